#!/bin/bash
# SPDX-License-Identifier: MIT
# Many sessions of one mount, under an application whose files never change
# their size. After each session the copy is the snapshot: rsync, which compares
# sizes and times only, has missed nothing; no reader got a byte of another
# session; inode numbers stay, and times move exactly where bytes did.
#
#	SESSIONS    how many (make soak: 100)
. "$(dirname "$0")/../lib/mount.sh"

sessions=${SESSIONS:-20}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $sessions sessions"
copy=$tmp/copy
LEASE=3

# busy.db and roll.db are written all the time, quiet.db now and then, idle.db
# never.
mkdir "$src/sub"
for db in busy roll idle sub/quiet; do
	make_db "$src/$db.db" 4096 2000
	sqlite3 "$src/$db.db" "CREATE TABLE gen(n); INSERT INTO gen VALUES('');"
done
sqlite3 "$src/roll.db" "PRAGMA journal_mode=DELETE" >/dev/null
number() { printf '%010d' "$1"; }
# now DB NUMBER
now() {
	sqlite3 -cmd '.timeout 10000' "$src/$1.db" \
		"UPDATE gen SET n='$(number "$2")'" || fail "writing $1.db"
}
for db in busy roll idle sub/quiet; do
	now $db 0
done
# A change this young could be followed by another one with the same times.
aged() { [ $(($(date +%s) - $(stat -c %Z "$src/idle.db"))) -gt 3 ]; }
wait_for 6 aged || fail "time stands still"

write_all_the_time() {
	echo "PRAGMA synchronous=OFF;"
	while [ -e "$tmp/go" ]; do
		for ((i = 0; i < 5; i++)); do
			echo "UPDATE t SET b=hex(randomblob(50))
				WHERE a=abs(random())%2000+1;"
		done
		sleep 0.02
	done
}
: >"$tmp/go"
for db in busy roll; do
	write_all_the_time | sqlite3 -bail -cmd '.timeout 10000' \
		"$src/$db.db" >"$tmp/writer.$db" 2>&1 &
	writers+=($!)
	started+=($!)
done

# ---- readers, each compared with what rsync has copied ------------------------

files() { (cd "$copy" && find . -type f -printf '%P\n' | sort); }
read_cp() {
	rm -rf "$tmp/other"
	cp -r "$mnt/backup" "$tmp/other" || fail "cp"
	diff -r "$copy" "$tmp/other" || fail "cp sees something else"
}
read_tar() {
	rm -rf "$tmp/other"
	mkdir "$tmp/other"
	tar -C "$mnt" -cf "$tmp/other.tar" backup || fail "tar"
	tar -C "$tmp/other" --strip-components=1 --warning=no-timestamp \
		-xf "$tmp/other.tar" ||
		fail "tar -x"
	diff -r "$copy" "$tmp/other" || fail "tar sees something else"
}
read_cat() {
	local file
	for file in $(files); do
		cat "$mnt/backup/$file" >"$tmp/cat" || fail "cat $file"
		cmp "$tmp/cat" "$copy/$file" || fail "cat sees something else"
	done
}
read_mmap() {
	local db
	for db in busy roll idle sub/quiet; do
		"$PEEK" mmap "$mnt/backup/data/$db.db" "$copy/data/$db.db" ||
			fail "a mapping of $db.db has something else"
	done
}
read_pread() {
	local db
	for db in busy roll idle sub/quiet; do
		"$PEEK" pread "$mnt/backup/data/$db.db" "$copy/data/$db.db" \
			$RANDOM 60 >"$tmp/pread" 2>&1 ||
			fail "pread of $db.db: $(cat "$tmp/pread")"
	done
}
read_dd() {
	local skip=$((RANDOM % 20)) bs=$((RANDOM % 9000 + 1)) from
	for from in "$mnt/backup" "$copy"; do
		dd if="$from/data/busy.db" bs=$bs skip=$skip status=none |
			xxhsum -H2 2>"$tmp/err" || fail "dd"
	done >"$tmp/dd"
	[ "$(cut -d ' ' -f 1 "$tmp/dd" | uniq | wc -l)" = 1 ] ||
		fail "dd bs=$bs skip=$skip sees something else"
}
read_find() {
	find "$mnt/backup" -ls >"$tmp/find" || fail "find -ls"
	[ "$(wc -l <"$tmp/find")" = "$(find "$copy" | wc -l)" ] || fail "find -ls"
}
readers=(cp tar cat mmap pread dd find)

# A descriptor that outlives its session.
keep_open() {
	rm -f "$tmp/late.in"
	mkfifo "$tmp/late.in"
	cp "$copy/data/roll.db" "$tmp/late.ref"
	: >"$tmp/late.out"
	"$PEEK" late "$mnt/backup/data/roll.db" "$tmp/late.ref" \
		<"$tmp/late.in" >"$tmp/late.out" 2>&1 &
	late=$!
	started+=("$late")
	exec 8>"$tmp/late.in"
	wait_for 10 grep -q held "$tmp/late.out" || fail "late"
}
let_go() {
	local status
	exec 8>&-
	wait "$late"
	status=$?
	late=
	[ $status = 3 ] || fail "a descriptor of an ended session: $status, $(cat \
		"$tmp/late.out")"
	late_reads=$((late_reads + 1))
}

# ---- what must hold ----------------------------------------------------------

# In a copy of a database nothing may be left by a look at it.
shown() {
	sqlite3 "file:$copy/data/$1.db?immutable=1" "SELECT n FROM gen"
}
check_copy() {
	local n
	(cd "$copy" && xxhsum -c verify/XXH128SUMS) >"$tmp/xxhsum.out" 2>&1 ||
		{ cat "$tmp/xxhsum.out"; fail "session $1: a stale byte"; }
	n=$(files | wc -l)
	[ "$(grep -c ': OK$' "$tmp/xxhsum.out")" = $((n - 1)) ] || fail "the sums"
	for n in $(files); do
		cmp "$mnt/backup/$n" "$copy/$n" || fail "session $1: rsync missed $n"
	done
	[ "$(shown busy)" = "$(number "$1")" ] || fail "busy.db: $(shown busy)"
	[ "$(shown roll)" = "$(number "$1")" ] || fail "roll.db: $(shown roll)"
	[ "$(shown idle)" = "$(number 0)" ] || fail "idle.db: $(shown idle)"
	[ "$(shown sub/quiet)" = "$(number $(($1 - $1 % 3)))" ] ||
		fail "quiet.db: $(shown sub/quiet)"
}
# Inode numbers and sizes as in the first session; a time is that of the session
# before only where the bytes are, and always where nobody writes. (A file that
# was written just before a freeze gets another time once more, since its own
# times could not tell whether it was written again.)
check_times() {
	local name what want
	find "$mnt/backup" -printf '%i %y /%P\n' | sort >"$tmp/inodes.$1"
	cmp "$tmp/inodes.1" "$tmp/inodes.$1" || fail "inode numbers moved"
	find "$mnt/backup/data" -type f -printf '%s %P\n' | sort >"$tmp/sizes.$1"
	cmp "$tmp/sizes.1" "$tmp/sizes.$1" ||
		fail "a size moved: this is no test of times"
	find "$mnt/backup" -type f -printf '%T@ %C@ %P\n' | sort -k 3 \
		>"$tmp/times.$1"
	[ "$1" -gt 1 ] || return 0
	while read -r what _ name; do
		want=same
		cmp -s "$copy/$name" "$tmp/before/$name" || want=other
		if grep -qF "$what " <(grep " $name\$" "$tmp/times.$(($1 - 1))"); then
			[ $want = same ] || fail "$name changed, and its time did not"
		elif [ "$name" = data/idle.db ]; then
			fail "the time of $name moved, and it did not change"
		fi
	done <"$tmp/times.$1"
	awk '$1 != $2 {print; f = 1} END {exit f}' "$tmp/times.$1" ||
		fail "ctime is not mtime"
	grep -q '^>f.* data/idle.db$' "$tmp/rsync.out" && fail "rsync read idle.db"
	grep -q '^>f..t.* data/busy.db$' "$tmp/rsync.out" || fail "rsync: busy.db"
	grep -q '^>f..t.* data/roll.db$' "$tmp/rsync.out" || fail "rsync: roll.db"
}

ends() { grep -c ' session-end ' "$log"; }
has_ended() { [ "$(ends)" = "$1" ]; }

start_fs "$src" -o lease=$LEASE,stall=$LEASE
late='' late_reads=0
declare -A count=()
for ((s = 1; s <= sessions; s++)); do
	now busy $s
	now roll $s
	[ $((s % 3)) != 0 ] || now sub/quiet $s
	case $((RANDOM % 3)) in
	0) ls "$mnt/backup" >/dev/null || fail "session $s does not begin" ;;
	1) ctl 0 begin "$mnt" ;;
	esac
	rm -rf "$tmp/before"
	[ $s = 1 ] || cp -al "$copy" "$tmp/before" || fail "cp -al"
	rsync -ai "$mnt/backup/" "$copy/" >"$tmp/rsync.out" || fail "rsync"
	check_copy $s
	check_times $s
	how=$((RANDOM % 3))
	# What is to end as COPIED is read whole.
	[ $how != 2 ] || read_cp
	for reader in "${readers[RANDOM % 7]}" "${readers[RANDOM % 7]}"; do
		"read_$reader"
		count[$reader]=$((${count[$reader]:-0} + 1))
	done
	[ $((RANDOM % 2)) = 0 ] || keep_open
	case $how in
	0)
		ctl 0 commit "$mnt"
		recorded COMMITTED
		;;
	1)
		ctl 0 abort "$mnt"
		recorded 'ABORTED(by caller)'
		;;
	2)
		wait_for $((LEASE + 3)) has_ended $s || fail "the lease has no end"
		recorded COPIED
		;;
	esac
	has_ended $s || fail "$(ends) ends of $s sessions"
	count[end$how]=$((${count[end$how]:-0} + 1))
	[ -z "$late" ] || let_go
done
umount "$mnt" || fail umount
wait_fs
rm "$tmp/go"
for i in 0 1; do
	wait "${writers[i]}" || fail "a writer failed"
done
cat "$tmp"/writer.*
[ "$(cat "$tmp"/writer.* | wc -c)" = 0 ] || fail "a writer met an error"
ok "$sessions sessions (${count[end0]:-0} commits, ${count[end1]:-0} aborts," \
	"${count[end2]:-0} leases), not one stale byte"
ok "inode numbers stay, times move exactly where bytes did"
ok "$late_reads descriptors of ended sessions got an error"
for reader in "${readers[@]}"; do
	echo "# $reader: ${count[$reader]:-0} times"
done
