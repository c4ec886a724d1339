#!/bin/bash
# SPDX-License-Identifier: MIT
# stillctl restore: what was copied out of a mount becomes databases again, or
# nothing does. Refused, out of room, interrupted or killed at random points, it
# leaves the place as it was, and never half of anything.
#
#	POINTS   how often it is killed in each kind of place (make soak: 200)
. "$(dirname "$0")/../lib/mount.sh"

points=${POINTS:-20}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $points points"
set=$tmp/set
dest=$tmp/dest

# same DIR [SET]: it holds what data/ of the set does, and the engine agrees.
same() {
	local file
	diff -r "${2:-$set}/data" "$1" >"$tmp/diff" || {
		cat "$tmp/diff"
		fail "$1 is not what is in the set"
	}
	while IFS= read -r -d '' file; do
		[ "$(sqlite3 "$file" 'PRAGMA integrity_check')" = ok ] ||
			fail "integrity_check of $file"
		# That looked into it leaves these.
		rm -f "$file-wal" "$file-shm"
	done < <(find "$1" -type f -name '*.db' -print0)
}
# untouched DIR: it is there, empty, and nothing is beside it.
untouched() {
	[ -d "$1" ] || fail "$1 is not there"
	[ -z "$(ls -A "$1")" ] || fail "in $1: $(ls -A "$1")"
	clean "$1"
}
clean() {
	local left
	left=$(find "$(dirname "$1")" "$1" -maxdepth 1 -name '.*restoring')
	[ -z "$left" ] || fail "left: $left"
}
# describe SET: a list and a description of what lies in its data/.
describe() {
	local file sep='' files bytes
	files=$(find "$1/data" -type f | wc -l)
	bytes=$(find "$1/data" -type f -printf '%s\n' | awk '{n += $1} END {print n}')
	{
		printf '{"format": 1, "session": "20261121T021314Z-0123abcd",
			"kind": "full", "base": null, "engine": "sqlite",
			"source": "/src", "checksums": "verify/XXH128SUMS",
			"frozen_at": "2026-11-21T02:13:14.262220310Z",
			"data_files": %s, "data_bytes": %s, "databases": [' \
			"$files" "$bytes"
		(cd "$1" && find data -type f | LC_ALL=C sort) |
			while read -r file; do
				printf '%s{"path": "%s", "size_bytes": %s,
					"frozen": true}' "$sep" "$file" \
					"$(stat -c %s "$1/$file")"
				sep=,
			done
		printf ']}\n'
	} >"$1/backup.json"
	mkdir -p "$1/verify"
	(cd "$1" && find data backup.json -type f -print0 |
		xargs -0 xxhsum -H2 2>/dev/null >verify/XXH128SUMS)
}

# ---- a set out of a mount ----------------------------------------------------

mkdir -p "$src/a b/c" "$src/$(printf 'x\377y')"
make_db "$src/app.db" 4096 20000
make_db "$src/a b/b c.db" 1024 100
make_db "$src/a b/c/-d'\"\\*.db" 8192 100
make_db "$src/$(printf 'x\377y/\376.db')" 4096 100
chmod 640 "$src/app.db"
chown 1234:4321 "$src/app.db"
chmod 750 "$src/a b"
start_fs "$src"
cp -a "$mnt/backup" "$set" || fail cp
ctl 0 commit "$mnt"
umount "$mnt"
wait_fs

mkdir -m 2770 "$dest"
chown 11:22 "$dest"
ctl 0 restore "$set" "$dest"
ctl_says "restored $(record id) to $dest: 4 files, " ', verified'
# Before SQLite has looked at it, and put its files there for a moment.
[ "$(stat -c %Y "$dest/app.db" "$dest/a b/c" | xargs)" = \
	"$(stat -c %Y "$set/data/app.db" "$set/data/a b/c" | xargs)" ] ||
	fail "times: $(ls -l "$dest")"
same "$dest"
clean "$dest"
[ "$(stat -c '%a %u:%g' "$dest" "$dest/app.db" "$dest/a b" | xargs)" = \
	'2770 11:22 640 1234:4321 750 0:0' ] ||
	fail "owners and modes: $(stat -c '%a %u:%g' "$dest" "$dest/app.db" "$dest/a b")"
ok "a set of a mount: every database, with owner, mode and time"

ctl 0 restore --create --json --database "$(printf 'x\377y/\376.db')" "$set" \
	"$tmp/one/$(printf '\376')"
ctl_says '"event":"done"' '"files":1' '"encoded_dest":' '"phase":"copying"'
cmp "$set/data/$(printf 'x\377y/\376.db')" "$tmp/one/$(printf '\376')" ||
	fail "one database"
ctl 0 restore --quiet --database 'data/a b/b c.db' "$set" "$tmp/one"
[ -s "$tmp/ctl.out" ] && fail "quiet: $(cat "$tmp/ctl.out")"
cmp "$set/data/a b/b c.db" "$tmp/one/b c.db" || fail "one database"
ok "one database, into a directory and under another name"

# ---- refused -----------------------------------------------------------------

ctl 1 restore "$set" "$dest"
ctl_complains "stillctl: \`$dest\`: is not empty: \`a b\` is there" \
	'Restore into an empty directory'
ctl 1 restore --json "$set" "$dest"
ctl_says '"code":"invalid"'
ctl 1 restore "$set" "$tmp/none"
ctl_complains "\`$tmp/none\`: there is no such directory" '--create'
ctl 1 restore "$tmp/none" "$dest"
ctl_complains "\`$tmp/none\`: No such file or directory"
ctl 2 restore "$set"
ctl 2 restore --threads 0 "$set" "$dest"
ctl 1 restore --database app.db "$set" "$dest"
ctl_complains "\`$dest/app.db\`: is there already"
ctl 1 restore --database nope.db "$set" "$tmp/one"
ctl_complains 'there is no such database in' 'It holds: '
: >"$tmp/one/app.db-wal"
ctl 1 restore --database app.db "$set" "$tmp/one"
ctl_complains "\`$tmp/one/app.db-wal\`: is there already, the log of another" \
	'would be replayed'
rm "$tmp/one/app.db-wal"
ctl 1 restore "$set" "$tmp/one"
ok "what is not free, or not there, is refused"

open_app "$dest/app.db"
app "SELECT count(*) FROM t; BEGIN; SELECT count(*) FROM t;"
ctl 4 restore "$set" "$dest"
ctl_complains ": is in use: process $app_pid has it locked" 'Stop the application'
ctl 4 restore --database app.db "$set" "$dest/app.db"
ctl_complains "is in use: process $app_pid"
close_app
ok "what an application has open is busy, and its process is named"

# ---- damaged -----------------------------------------------------------------

rm -rf "$dest"
mkdir "$dest"
# damaged NAME TEXT...: the set in $tmp/bad; nothing comes of it.
damaged() {
	local name=$1
	shift
	ctl 5 restore "$tmp/bad" "$dest"
	ctl_complains "$@"
	untouched "$dest"
	ok "refused: $name"
	rm -rf "$tmp/bad"
	cp -a "$set" "$tmp/bad"
}
cp -a "$set" "$tmp/bad"
size=$(stat -c %s "$set/data/app.db")
for at in 0 $((RANDOM * 32768 % size)) $((size - 1)); do
	xxd -s "$at" -l 1 -p "$tmp/bad/data/app.db" |
		tr 0-9a-f 1-9a-f0 | xxd -r -p |
		dd of="$tmp/bad/data/app.db" bs=1 seek="$at" conv=notrunc status=none
	damaged "byte $at is another" "\`data/app.db\`: is damaged: its sum is " \
		'stillctl verify'
done
truncate -s -1 "$tmp/bad/data/app.db"
damaged "a byte is missing" "\`$tmp/bad\`: is not whole: \`data/app.db\`: has "
rm "$tmp/bad/data/a b/b c.db"
damaged "a file is missing" "is not whole: \`data/a b/b c.db\`: is missing"
: >"$tmp/bad/data/app.db-wal"
damaged "a log of another" "is not whole: \`data/app.db-wal\`"
: >"$tmp/bad/data/more.db"
damaged "a file too many" "is not whole: \`data/more.db\`: "
rm "$tmp/bad/verify/XXH128SUMS"
damaged "no list" "is not whole: \`verify/XXH128SUMS\`: is missing"
ln -sf /etc/hostname "$tmp/bad/data/app.db"
damaged "a link" "is not whole: \`data/app.db\`"
rm -rf "$tmp/bad"

# ---- places ------------------------------------------------------------------

mount -t tmpfs -o size=300k none "$dest" || fail tmpfs
ctl 1 restore "$set" "$dest"
ctl_complains "\`$dest/app.db\`: No space left on device"
untouched "$dest"
mount -o remount,size=64m "$dest"
ctl 0 restore "$set" "$dest"
same "$dest"
rm -rf "${dest:?}"/*
mount -o remount,ro "$dest"
ctl 1 restore "$set" "$dest"
ctl_complains "$dest/.restoring\`: Read-only file system"
umount "$dest"
untouched "$dest"
ok "a full disk, a mountpoint, and one that is read-only"

as() {
	timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}
if as "$STILLCTL" --version >/dev/null 2>&1; then
	install -d -o 65534 -g 65534 "$tmp/user" "$tmp/user/home"
	chmod 755 "$set/data/a b"
	chmod 644 "$set/data/app.db"
	as "$STILLCTL" restore "$set" "$tmp/user/home" >"$tmp/out" ||
		fail "a user's restore"
	same "$tmp/user/home"
	[ "$(stat -c %u "$tmp/user/home/app.db")" = 65534 ] || fail "whose it is"
	rmdir "$dest"
	as "$STILLCTL" restore --create "$set" "$dest" 2>"$tmp/err" &&
		fail "a user restores where he may not write"
	grep -q 'Permission denied' "$tmp/err" || fail "$(cat "$tmp/err")"
	mkdir "$dest"
	# His directory, in one that he may not write to.
	chown 65534 "$dest"
	as "$STILLCTL" restore "$set" "$dest" >"$tmp/out" || fail "within"
	same "$dest"
	rm -rf "$dest"
	mkdir "$dest"
	ok "a user's restore is his; where he may not write it is refused"
else
	skip "another user cannot run what is tested"
fi

# ---- large and many ----------------------------------------------------------

mkdir -p "$tmp/large/data" "$tmp/many/data"
sqlite3 "$tmp/large/data/large.db" "PRAGMA journal_mode=OFF; PRAGMA synchronous=0;
	CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(536870912))" >/dev/null ||
	fail large
describe "$tmp/large"
ctl 0 restore "$tmp/large" "$dest"
ctl_says ': 1 file, 512.'
cmp "$dest/large.db" "$tmp/large/data/large.db" || fail "512 MiB"
ok "one of 512 MiB"

# In the middle of it, which stands still meanwhile.
rm -rf "$dest"
mkdir "$dest"
interrupted() {
	local pid status
	# What a shell starts in the background ignores SIGINT.
	env --default-signal=INT "$STILLCTL" restore "$tmp/large" "$dest" \
		>"$tmp/out" 2>"$tmp/err" &
	pid=$!
	started+=("$pid")
	wait_for 20 test -e "$tmp/.dest.restoring/large.db" || fail "no stage"
	kill -STOP "$pid"
	"$STILLCTL" restore "$tmp/large" "$dest" >"$tmp/out2" 2>"$tmp/err2"
	status=$?
	[ -e "$tmp/.dest.restoring/large.db" ] || fail "not in the middle"
	[ $status = 4 ] || fail "a second restore: $status, $(cat "$tmp/err2")"
	grep -q 'another restore to this place is under way' "$tmp/err2" ||
		fail "$(cat "$tmp/err2")"
	kill "-$1" "$pid"
	kill -CONT "$pid"
	wait "$pid"
	status=$?
	[ $status = 6 ] || fail "$1: exit $status, $(cat "$tmp/err")"
	grep -q "\`$dest\`: nothing was restored: it was stopped" "$tmp/err" ||
		fail "$(cat "$tmp/err")"
	untouched "$dest"
}
interrupted INT
interrupted TERM
rm -rf "$tmp/large"
ok "interrupted: nothing is left; a second one meanwhile is busy"

sqlite3 "$tmp/many/data/d.db" "CREATE TABLE t(a); INSERT INTO t VALUES(1)"
for i in {1..999}; do
	mkdir -p "$tmp/many/data/$((i % 37))"
	cp "$tmp/many/data/d.db" "$tmp/many/data/$((i % 37))/$i.db"
done
describe "$tmp/many"
ctl 0 restore --threads 8 "$tmp/many" "$dest"
ctl_says ': 1000 files, '
diff -r "$tmp/many/data" "$dest" || fail "1000 databases"
rm -rf "$dest"
mkdir "$dest"
ok "1000 databases"

# ---- killed ------------------------------------------------------------------

rm -rf "$tmp/kill"
mkdir -p "$tmp/kill/data/sub"
cp "$set/data/app.db" "$tmp/kill/data/a.db"
for i in 1 2 3 4 5 6; do
	cp "$set/data/app.db" "$tmp/kill/data/sub/$i.db"
	cp "$set/data/a b/b c.db" "$tmp/kill/data/$i.db"
done
describe "$tmp/kill"

# run_killed COMMAND...: killed after a random part of the time that it takes.
# Sets `ended`: had it ended by itself?
run_killed() {
	local us=$((RANDOM * 32768 + RANDOM)) pid
	us=$((us % (took_us * 11 / 10)))
	"$@" >/dev/null 2>&1 &
	pid=$!
	sleep "$(printf '%d.%06d' $((us / 1000000)) $((us % 1000000)))"
	kill -9 "$pid" 2>/dev/null
	ended=no
	wait "$pid" 2>/dev/null && ended=yes
}
# measure COMMAND...: in took_us.
measure() {
	local start
	start=$(date +%s%N)
	"$@" >/dev/null || fail "unharmed: $*"
	took_us=$((($(date +%s%N) - start) / 1000))
}
declare -A seen
# whole_or_nothing DIR: sets `what`.
whole_or_nothing() {
	local entry
	what=nothing
	[ -z "$(find "$1" -mindepth 1 -maxdepth 1 ! -name .restoring)" ] && return
	what=whole
	if [ -e "$1/.restoring" ] && [ -n "$(ls -A "$1/.restoring")" ]; then
		# The instant of the renames: each that has its name is whole.
		what=part
		for entry in "$1"/*; do
			diff -r "$entry" "$tmp/kill/data/${entry##*/}" ||
				fail "half of $entry"
		done
		return
	fi
	rmdir "$1/.restoring" 2>/dev/null
	diff -r "$tmp/kill/data" "$1" || fail "half of it in $1"
}

# killed KIND: `points` times, into $dest.
killed() {
	local kind=$1 i
	measure "$STILLCTL" restore "$tmp/kill" "$dest"
	for ((i = 0; i < points; i++)); do
		find "$dest" -mindepth 1 -delete
		run_killed "$STILLCTL" restore "$tmp/kill" "$dest"
		whole_or_nothing "$dest"
		[ "$ended" = no ] || [ $what = whole ] ||
			fail "it ended well, and left $what"
		[ "$kind $what" = 'beside part' ] && fail "a part"
		seen[$kind.$what]=$((${seen[$kind.$what]:-0} + 1))
		if [ $what = part ]; then
			ctl 1 restore "$tmp/kill" "$dest"
			ctl_complains 'a restore was killed while it gave'
			find "$dest" -mindepth 1 -delete
		fi
		[ $what = whole ] && find "$dest" -mindepth 1 -delete
		# What a killed one left is in nobody's way.
		ctl 0 restore "$tmp/kill" "$dest"
		diff -r "$tmp/kill/data" "$dest" || fail "the next one"
		clean "$dest"
	done
}
killed beside
ok "killed $points times: nothing ${seen[beside.nothing]:-0}, whole ${seen[beside.whole]:-0}"
find "$dest" -mindepth 1 -delete
mount -t tmpfs none "$dest" || fail tmpfs
killed within
umount "$dest"
ok "within, $points times: nothing ${seen[within.nothing]:-0}, whole ${seen[within.whole]:-0}, part ${seen[within.part]:-0}"

one() { "$STILLCTL" restore --database a.db "$tmp/kill" "$dest/a.db"; }
measure one
for ((i = 0; i < points; i++)); do
	rm -f "$dest/a.db"
	run_killed "$STILLCTL" restore --database a.db "$tmp/kill" "$dest/a.db"
	what=nothing
	if [ -e "$dest/a.db" ]; then
		what=whole
		cmp "$dest/a.db" "$tmp/kill/data/a.db" || fail "half of a.db"
		rm "$dest/a.db"
	fi
	[ "$ended $what" = 'yes nothing' ] && fail "it ended well, and left nothing"
	seen[one.$what]=$((${seen[one.$what]:-0} + 1))
	one >/dev/null || fail "the next one"
	[ -z "$(find "$dest" -name '.*restoring')" ] || fail "left: $(ls -A "$dest")"
done
ok "one database, $points times: nothing ${seen[one.nothing]:-0}, whole ${seen[one.whole]:-0}"
# Both must have been met, or the delays are wrong.
for kind in beside within one; do
	[ "${seen[$kind.nothing]:-0}" -gt 0 ] || fail "$kind: never killed before the end"
done
