#!/bin/bash
# SPDX-License-Identifier: MIT
# Bit rot: committed sessions one after the other under a load that does all that
# an application can do to a database, each compared with the one before it,
# without an alarm; and bits of pages that nobody writes, which are EIO, of a
# database beside it and of one alone. How many pages were compared says
# status.json.
#
#	SESSIONS   under the load, per page size (make soak: 60)
#	FLIPS      under the load, per page size (make soak: 20)
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/storm.sh"

sessions=${SESSIONS:-6}
flips=${FLIPS:-2}
page_sizes=${PAGE_SIZES:-512 4096}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $sessions sessions for each page size"

committed() {
	rm -rf "$tmp/copy"
	cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
	ctl 0 commit "$mnt"
	count_compared
}

compared=0 pages=0
count_compared() {
	local n
	n=$(sed -n 's/.*"pages_compared": \([0-9]*\).*/\1/p' "$mnt/status.json")
	[ -n "$n" ] || fail "status.json does not say how many were compared"
	compared=$((compared + n))
	pages=$((pages + $(stat -c %s "$tmp/copy/data/"*.db |
		awk -v p="$page_size" '{n += $1 / p} END {print n}')))
}

# While somebody reads the log it does not begin anew, so that something is known
# of what was not written.
start_reader() {
	rm -f "$tmp/read"
	exec 6> >(exec sqlite3 "$src/app.db" >"$tmp/read" 2>&1 8>&-)
	echo ".timeout 20000
BEGIN; SELECT count(*) FROM account;" >&6
	wait_for 60 test -s "$tmp/read" || fail "no reader"
}
stop_reader() { exec 6>&-; }

# turn_over FILE OFFSET: the lowest bit of a byte.
turn_over() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %o $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# any_page DB: one that is not in the log, and that nobody writes.
any_page() {
	local n page
	n=$(($(stat -c %s "$1") / page_size))
	page=$((n / 4 + RANDOM % (n / 2)))
	while "$WAL" has "$1" $page; do page=$((page + 1)); done
	echo $page
}

# is_found DB PAGE: the session is EIO in this page of it, in no other, and says so.
# A kernel asks for 4 KiB at a time.
is_found() {
	cp -r "$mnt/backup" "$tmp/bad" 2>"$tmp/err" && fail "it was served"
	rm -rf "$tmp/bad"
	grep -q "$1.*Input/output error" "$tmp/err" ||
		fail "no EIO: $(cat "$tmp/err")"
	bad=$("$PEEK" bad "$mnt/backup/data/$1" 4096)
	[ "$bad" = $((($2 - 1) * page_size / 4096 + 1)) ] ||
		fail "bad blocks: $bad; page $2"
	grep -qF "error:     page $2 of \`$1\`: it is not what it was in the last committed backup, and its application has not written it since" \
		"$mnt/status" || fail "$(cat "$mnt/status")"
}

n=0 found=0
for page_size in $page_sizes; do
	start_storm "$page_size"
	make_db "$src/quiet.db" "$page_size" 8000
	open_app "$src/quiet.db"
	app "UPDATE t SET b='x' WHERE a < 40;"
	for ((i = 0; i < sessions + 2 * flips; i++)); do
		if [ $((i % 3)) = 0 ]; then
			stop_reader
			start_reader
		fi
		off=
		if [ $i -ge "$sessions" ] && [ $((i % 2)) = 1 ]; then
			page=$(any_page "$src/quiet.db")
			off=$(((page - 1) * page_size + RANDOM % page_size))
			turn_over "$src/quiet.db" $off
		fi
		app "UPDATE t SET b='$i' WHERE a < 20;"
		start_fs
		acked=$(number "$src/acked")
		ls "$mnt/backup" >/dev/null || fail "the freeze: $(cat "$mnt/status")"
		begun=$(number "$src/begun")
		if [ "$off" ]; then
			is_found quiet.db "$page"
			found=$((found + 1))
			stop_fs 'ABORTED(corrupt)'
			turn_over "$src/quiet.db" $off
			continue
		fi
		committed
		stop_fs COMMITTED
		wrong=$(judge "$tmp/copy/data/app.db" "$acked" "$begun")
		[ -z "$wrong" ] || fail "page size $page_size: $wrong"
		grep -q 'it is not what it was' "$log" && fail "a false alarm"
		n=$((n + 1))
	done
	stop_reader
	# It has what the load waits for open, too.
	close_app
	stop_storm
done
[ $compared -gt 0 ] || fail "nothing was compared"
ok "$n sessions under load, each compared with the one before: $compared of" \
	"$pages pages compared, no alarm; $found bits turned over, all found"

rm -rf "$src" && mkdir "$src"
db=$src/app.db
page_size=4096
make_db "$db" $page_size 8000
open_app "$db"
app "UPDATE t SET b='x' WHERE a < 40;"
start_fs
committed
stop_fs COMMITTED
page=$(any_page "$db")
off=$(((page - 1) * page_size + 1000))
turn_over "$db" $off
app "UPDATE t SET b='y' WHERE a < 20;"
start_fs
is_found app.db "$page"
stop_fs 'ABORTED(corrupt)'
ok "one bit of a page that nobody wrote: EIO there, and nowhere else"

turn_over "$db" $off
before=$compared
start_fs
committed
stop_fs COMMITTED
[ $compared -gt $((before + 100)) ] || fail "it was not compared"
ok "turned back, it is what it was"

turn_over "$db" $off
app "UPDATE t SET b=b||'z'; PRAGMA wal_checkpoint(TRUNCATE);"
app "UPDATE t SET b=hex(randomblob(3)) WHERE a = 1;"
before=$compared
start_fs
committed
stop_fs COMMITTED
[ $compared = "$before" ] || fail "it was compared"
ok "where the log began anew nothing is known, and nobody is alarmed"
close_app
