#!/bin/bash
# SPDX-License-Identifier: MIT
# Idle databases, sessions that follow one another, and what is left behind.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 100
bytes=$(md5sum <"$src/app.db")
mtime=$(stat -c '%y' "$src/app.db")
left() { (cd "$src" && ls); }
unchanged() {
	[ "$(md5sum <"$src/app.db")" = "$bytes" ] || fail "the bytes changed: $1"
	[ "$(stat -c '%y' "$src/app.db")" = "$mtime" ] || fail "mtime: $1"
}

start_fs
[ "$(left)" = app.db ] || fail "mounting left something in the source"
umount "$mnt" || fail "umount"
wait_fs
grep -q session-end "$log" && fail "a session ended that never began"
unchanged "mount and umount"
[ "$(left)" = app.db ] || fail "the mount left something in the source"
ok "a mount that nobody looks into touches nothing"

start_fs
rsync -a "$mnt/backup/" "$tmp/copy/" || fail "rsync"
check_set "$tmp/copy"
stop_fs COPIED
unchanged "a session"
for f in $(left); do
	case $f in
	app.db | app.db-shm) ;;
	app.db-wal) [ -s "$src/$f" ] && fail "a log with content was left" ;;
	*) fail "$f was left behind" ;;
	esac
done
sqlite3 "$src/app.db" "SELECT count(*) FROM t" >/dev/null
[ "$(left)" = app.db ] || fail "the next close did not clean up: $(left)"
unchanged "the next close"
ok "an idle database keeps bytes and mtime; its next close tidies up"

# The size never changes and the sessions follow at once: rsync, which compares
# size and whole seconds, must see every change.
for i in 1 2 3 4 5; do
	sqlite3 "$src/app.db" "UPDATE t SET b='$i$i$i$i' WHERE a=1"
	start_fs
	rsync -a "$mnt/backup/" "$tmp/copy/" || fail "rsync $i"
	stop_fs COPIED
	got=$(sqlite3 "$tmp/copy/data/app.db" "SELECT b FROM t WHERE a=1")
	[ "$got" = "$i$i$i$i" ] || fail "rsync kept the old bytes: $got"
	(cd "$tmp/copy" && xxhsum -c verify/XXH128SUMS) >/dev/null ||
		fail "the copy is mixed"
done
ok "rsync sees every change between sessions, though no size changes"

# One file as the source, and a name that needs escaping.
odd=$tmp/'o,d\d "n" ü'
mkdir "$odd"
make_db "$odd/x,y.db" 1024 50
start_fs "$odd/x,y.db"
cp -r "$mnt/backup" "$tmp/single" || fail "cp"
check_set "$tmp/single"
[ -f "$tmp/single/data/x,y.db" ] || fail "the name changed"
grep -qF 'x,y.db' /proc/self/mounts || fail "the source is not in /proc/mounts"
stop_fs COPIED
ok "a single database is a source; commas and quotes in names do no harm"

bad=$(printf 'latin\xe9.db')
make_db "$odd/$bad" 1024 50
start_fs "$odd"
cp -r "$mnt/backup" "$tmp/latin" || fail "cp"
check_set "$tmp/latin"
grep -q '"encoded_path": "646174612f6c6174696ee92e6462"' \
	"$tmp/latin/backup.json" || fail "encoded_path is missing"
stop_fs COPIED
ok "a name that is no UTF-8 is served as it is, and encoded in JSON"

# Databases that come and go between two mounts need nothing but the mount.
make_db "$src/second.db"
rm "$src/app.db"
start_fs
[ "$(ls "$mnt/backup/data")" = second.db ] || fail "the listing is old"
rm "$src/second.db"
make_db "$src/second.db" 4096 10
cat "$mnt/backup/data/second.db" >/dev/null || fail "an unlinked database"
umount "$mnt"
wait_fs
ok "what is there at the freeze is what is served"
