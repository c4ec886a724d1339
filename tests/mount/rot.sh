#!/bin/bash
# SPDX-License-Identifier: MIT
# Bit rot: committed sessions one after the other under a load that does all that
# an application can do to a database, each compared with the one before it,
# without an alarm; then one bit of a page that nobody writes, which is EIO.
#
#	SESSIONS   under the load, per page size
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/storm.sh"

sessions=${SESSIONS:-6}
page_sizes=${PAGE_SIZES:-512 4096}
seed=${SEED:-$RANDOM}
echo "seed $seed, $sessions sessions for each page size"

committed() {
	rm -rf "$tmp/copy"
	cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
	ctl 0 commit "$mnt"
}

n=0
for page_size in $page_sizes; do
	start_storm "$page_size"
	for ((i = 0; i < sessions; i++)); do
		start_fs
		acked=$(number "$src/acked")
		ls "$mnt/backup" >/dev/null || fail "the freeze: $(cat "$mnt/status")"
		begun=$(number "$src/begun")
		committed
		stop_fs COMMITTED
		wrong=$(judge "$tmp/copy/data/app.db" "$acked" "$begun")
		[ -z "$wrong" ] || fail "page size $page_size: $wrong"
		grep -q 'it is not what it was' "$log" && fail "a false alarm"
		n=$((n + 1))
	done
	stop_storm
done
ok "$n sessions under load, each compared with the one before: no alarm"

# turn_over FILE OFFSET: the lowest bit of a byte.
turn_over() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %o $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

rm -rf "$src" && mkdir "$src"
db=$src/app.db
make_db "$db" 4096 8000
open_app "$db"
app "UPDATE t SET b='x' WHERE a < 40;"
start_fs
committed
stop_fs COMMITTED
page=$(($(stat -c %s "$db") / 4096 / 2))
while "$WAL" has "$db" $page; do page=$((page + 1)); done
off=$(((page - 1) * 4096 + 1000))
turn_over "$db" $off
app "UPDATE t SET b='y' WHERE a < 20;"
start_fs
cp -r "$mnt/backup" "$tmp/bad" 2>"$tmp/err" && fail "it was served"
grep -q 'app.db.*Input/output error' "$tmp/err" || fail "no EIO"
[ "$("$PEEK" bad "$mnt/backup/data/app.db" 4096)" = "$page" ] ||
	fail "bad pages: $("$PEEK" bad "$mnt/backup/data/app.db" 4096), not $page"
grep -qF "error:     page $page of \`app.db\`: it is not what it was in the last committed backup, and its application has not written it since" \
	"$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(corrupt)'
ok "one bit of a page that nobody wrote: EIO there, and nowhere else"

turn_over "$db" $off
start_fs
committed
stop_fs COMMITTED
ok "turned back, it is what it was"

turn_over "$db" $off
app "UPDATE t SET b=b||'z'; PRAGMA wal_checkpoint(TRUNCATE);"
app "UPDATE t SET b=hex(randomblob(3)) WHERE a = 1;"
start_fs
committed
stop_fs COMMITTED
ok "where the log began anew nothing is known, and nobody is alarmed"
close_app
