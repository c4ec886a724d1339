#!/bin/bash
# SPDX-License-Identifier: MIT
# What an owner, a script or a bad day does to the source, and what must not
# come of it.
. "$(dirname "$0")/../lib/mount.sh"

db=$src/app.db
make_db "$db" 4096 200

# Pins were moved on so often.
moved() {
	[ "$(sed -n 's/.*moved on \([0-9]*\) time.*/\1/p' "$mnt/status")" -ge "$1" ]
}

# readdir(3) takes ENOENT for the end of the directory: an empty copy with
# status 0 would look like a backup.
start_fs "$db"
mv "$db" "$tmp/away.db"
for tool in "cp -r $mnt/backup $tmp/c" "rsync -a $mnt/backup/ $tmp/r/" \
	"tar -C $mnt -cf $tmp/t.tar backup" "ls $mnt/backup" \
	"find $mnt/backup/data"; do
	$tool >/dev/null 2>&1 && fail "a lost database, and '$tool' is content"
done
grep -q 'app.db' "$mnt/status" || fail "status names nothing"
mv "$tmp/away.db" "$db"
cp -r "$mnt/backup" "$tmp/copy" || fail "the next try"
check_set "$tmp/copy"
umount "$mnt"
wait_fs
ok "a database that vanished fails every tool; once back, it is served"

# Temporary databases that come and go under the freeze.
(while [ ! -e "$tmp/stop" ]; do
	cp "$tmp/copy/data/app.db" "$src/temp$((RANDOM % 40)).db" 2>/dev/null
	rm -f "$src/temp$((RANDOM % 40)).db"*
done) &
churn=$!
started+=("$churn")
served=0
for i in 1 2 3 4 5 6 7 8; do
	start_fs
	if ls "$mnt/backup/data" >"$tmp/list" 2>&1; then
		grep -qx app.db "$tmp/list" || fail "app.db is missing"
		served=$((served + 1))
	fi
	# Half-copied ones are refused for what they are, never for permission.
	grep -qi 'permission' "$tmp/list" && fail "$(cat "$mnt/status")"
	umount "$mnt"
	wait_fs
done
: >"$tmp/stop"
wait "$churn"
rm -f "$src"/temp*
ok "databases that come and go beside it do no harm"

# Too many databases for the descriptors that there are.
mkdir "$src/many"
for i in $(seq 1 40); do cp "$tmp/copy/data/app.db" "$src/many/$i.db"; done
: >"$log"
(ulimit -n 100 && exec "$STILLFS" "$src" "$mnt" -f >>"$log" 2>&1) &
fs_pid=$!
wait "$fs_pid" && fail "mounted with 100 descriptors for 41 databases"
fs_pid=
grep -q '41 databases take 392 descriptors, and this process may have 100' \
	"$log" || fail "it says: $(cat "$log")"
# Or when they come later.
mv "$src/many" "$tmp/many"
: >"$log"
(ulimit -n 100 && exec "$STILLFS" "$src" "$mnt" -f >>"$log" 2>&1) &
fs_pid=$!
wait_for 10 grep -q ' info mounted ' "$log" || fail "no mount"
mv "$tmp/many" "$src/many"
ls "$mnt/backup" >/dev/null 2>"$tmp/err" && fail "frozen with 100 descriptors"
grep -q 'not supported' "$tmp/err" || fail "ls says: $(cat "$tmp/err")"
grep -q 'error: .* databases take .* descriptors' "$mnt/status" ||
	fail "status: $(cat "$mnt/status")"
umount "$mnt"
wait_fs
ok "too many databases for the descriptors: said so"

# And what is asked for is what they take, with every pin moved on.
start_fs "$src" -o pin=govern
before=$(find "/proc/$fs_pid/fd" -mindepth 1 | wc -l)
ls "$mnt/backup" >/dev/null || fail "not frozen"
for f in "$db" "$src"/many/*.db; do
	sqlite3 "$f" 'PRAGMA user_version = 7' || fail "$f: no commit"
done
wait_for 20 moved 41 || fail "not moved: $(cat "$mnt/status")"
taken=$(($(find "/proc/$fs_pid/fd" -mindepth 1 | wc -l) - before))
# And a few that the session has, or its catalog.
[ "$taken" -le $((41 * 8 + 8)) ] || fail "41 databases take $taken descriptors"
umount "$mnt"
wait_fs
rm -r "$src/many"
ok "41 databases, each of them moved: $taken descriptors"

# The names of sidecars are no proof.
mkdir "$src/notes"
make_db "$src/notes-journal" 4096 10
start_fs
[ "$(ls "$mnt/backup/data" | tr '\n' ' ')" = "app.db notes-journal " ] ||
	fail "found: $(ls "$mnt/backup/data")"
umount "$mnt"
wait_fs
rm -r "$src"/notes*
ok "a database called notes-journal is a database"

# One file under two names: SQLite would give both the same wal-index.
: >"$src/twin.db"
mount --bind "$db" "$src/twin.db" || fail "bind"
"$STILLFS" "$src" "$mnt" -o force 2>"$tmp/err" && fail "two names were taken"
grep -q 'are the same file' "$tmp/err" || fail "$(cat "$tmp/err")"
umount "$src/twin.db"
rm "$src/twin.db"
ok "one file under two names is refused"

# Who opens a pipe waits until somebody writes into it.
mkfifo "$db-journal"
make_db "$src/other.db" 4096 10
start_fs
timeout 10 ls "$mnt/backup/data" >"$tmp/list" || fail "the freeze waits for a pipe"
grep -qx app.db "$tmp/list" || fail "app.db is missing"
cat "$mnt/backup/data/app.db" >/dev/null 2>&1 && fail "app.db was served"
cat "$mnt/backup/data/other.db" >/dev/null || fail "other.db was not served"
grep -qF '`app.db-journal`: not a regular file' "$mnt/status" ||
	fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(incomplete)'
rm "$db-journal" "$src"/other.db*
ok "a pipe with the name of a journal holds nobody up"

# An idle database in WAL mode needs a log, which nobody can make here.
mkdir "$tmp/ro"
mount -t tmpfs none "$tmp/ro" || fail "mount tmpfs"
make_db "$tmp/ro/idle.db" 4096 10
sqlite3 "$tmp/ro/old.db" 'CREATE TABLE t(a); INSERT INTO t VALUES(1)'
mount -o remount,ro "$tmp/ro" || fail "remount"
start_fs "$tmp/ro"
cat "$mnt/backup/data/old.db" >/dev/null || fail "$(cat "$mnt/status")"
cat "$mnt/backup/data/idle.db" >/dev/null 2>&1 && fail "idle.db was served"
grep -qF 'database `idle.db`: cannot be opened' "$mnt/status" ||
	fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(incomplete)'
umount "$tmp/ro"
ok "a database whose log cannot be made does not take the others with it"

# A link in the place of a database between two looks.
start_fs
rm -rf "${db:?}"*
ln -s /etc/passwd "$db"
make_db "$src/other.db" 4096 10
[ "$(ls "$mnt/backup/data")" = other.db ] || fail "the link was followed"
umount "$mnt"
wait_fs
rm "$db" "$src"/other.db*
make_db "$db" 4096 200
ok "a link in the place of a database is not followed"

# An error may name a file whose name is no text.
odd=$(printf 'esc\033[31m\xff\xfe.db')
make_db "$src/$odd" 4096 10
start_fs
# Page 1 goes bad behind our back.
printf 'XXXX' | dd of="$src/$odd" bs=1 seek=16 conv=notrunc 2>/dev/null
ls "$mnt/backup" >/dev/null || fail "the rest cannot be listed"
cat "$mnt/backup/data/$odd" >/dev/null 2>&1 && fail "a broken header was served"
cat "$mnt/status" >"$tmp/status" || fail "status cannot be read"
grep -q $'\033' "$tmp/status" && fail "control bytes in status"
python3 -m json.tool "$mnt/status.json" >/dev/null || fail "status.json is no JSON"
grep -q 'esc\\\\x1b\[31m\\\\xff\\\\xfe.db' "$mnt/status.json" ||
	fail "the name is not escaped: $(cat "$mnt/status.json")"
umount "$mnt"
wait_fs
rm "$src/$odd"*
ok "odd names are escaped in status and status.json"

# A database that was one at the mount and lost its header since.
make_db "$src/lost.db" 4096 10
start_fs
printf 'XXXX' | dd of="$src/lost.db" conv=notrunc 2>/dev/null
cp -r "$mnt/backup" "$tmp/lost" 2>"$tmp/err" && fail "a lost database is no error"
grep -q 'data/lost.db.*Input/output error' "$tmp/err" || fail "$(cat "$tmp/err")"
grep -qF 'error:     `lost.db`: is no SQLite database that can be read' \
	"$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(incomplete)'
rm -r "$src/lost.db" "$tmp/lost"
ok "a database that lost its header is not left out"

# A wal-index whose sizes would lead astray, with a header that checks.
open_app "$db"
app "INSERT INTO t(b) VALUES('x');"
cp "$db-shm" "$tmp/shm"
python3 - "$db-shm" <<-'EOF'
	import struct, sys
	f = open(sys.argv[1], "r+b")
	h = bytearray(f.read(48))
	struct.pack_into("<H", h, 14, 0xfe01)
	s0 = s1 = 0
	for a, b in struct.iter_unpack("<II", h[:40]):
	    s0 = (s0 + a + s1) & 0xffffffff
	    s1 = (s1 + b + s0) & 0xffffffff
	struct.pack_into("<II", h, 40, s0, s1)
	f.seek(0)
	f.write(h + h)
EOF
start_fs
ls "$mnt/backup" >/dev/null 2>&1 && fail "impossible sizes were believed"
wait_for 1 test -e "/proc/$fs_pid" || fail "the daemon died"
grep -q '^state: *ended' "$mnt/status" || fail "no status"
umount "$mnt"
wait_fs
dd if="$tmp/shm" of="$db-shm" bs=48 count=2 conv=notrunc 2>/dev/null
start_fs
rm -rf "$tmp/copy"
cp -r "$mnt/backup" "$tmp/copy" || fail "after repair"
check_set "$tmp/copy"
stop_fs COPIED
ok "a wal-index with impossible sizes is refused"

# The pin lost after the last byte, mostly before the next look at it.
start_fs "$src" -o pin=hold
cp -r "$mnt/backup" "$tmp/copy2" || fail cp
mv "$db-shm" "$tmp/shm"
umount "$mnt"
wait_fs
outcome_is 'ABORTED(pin lost)'
mv "$tmp/shm" "$db-shm"
ok "a pin that is lost at the very end is lost"
close_app

# The page with the lock bytes, at 2^30, and what lies behind it in the log.
rm -rf "$src" && mkdir "$src"
make_db "$db" 65536 10
open_app "$db"
python3 - "$db" <<-'EOF'
	import sqlite3, sys
	c = sqlite3.connect(sys.argv[1])
	c.execute("PRAGMA wal_autocheckpoint=2000")
	c.execute("CREATE TABLE big(b)")
	for i in range(1100):
	    c.execute("INSERT INTO big VALUES(zeroblob(1000000))")
	    c.commit()
EOF
app "INSERT INTO t(b) VALUES('behind');"
start_fs
"$PEEK" pread "$mnt/backup/data/app.db" "$mnt/backup/data/app.db" 1 3 || fail "read"
cat "$mnt/backup/data/app.db" >"$tmp/big.db" || fail "cat"
[ "$(sqlite3 "$tmp/big.db" 'PRAGMA integrity_check; SELECT count(*) FROM big')" = \
	"ok
1100" ] || fail "the image"
[ "$(stat -c %s "$tmp/big.db")" -gt 1090000000 ] || fail "too small to matter"
umount "$mnt"
wait_fs
close_app
ok "a database larger than 1 GiB: the page of the lock bytes does no harm"
