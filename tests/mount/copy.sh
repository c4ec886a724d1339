#!/bin/bash
# SPDX-License-Identifier: MIT
# Copies by cp and rsync, of the whole mount and of backup/, by several readers.
. "$(dirname "$0")/../lib/mount.sh"

mkdir -p "$src/sub/deep" "$src/empty" "$src/a b"
make_db "$src/app.db"
make_db "$src/sub/deep/small.db" 512 10
make_db "$src/a b/\$odd 'name'.sqlite" 65536 100
printf 'nothing to see\n' >"$src/notes.txt"
ln -s app.db "$src/link.db"
chmod 640 "$src/app.db"
chown 1234:1234 "$src/app.db"
# Frames in the log, not only an image in the file.
open_app "$src/app.db"
app "INSERT INTO t(b) SELECT b FROM t LIMIT 500; UPDATE t SET b='x' WHERE a=7;"

start_fs
ls -la "$mnt" >/dev/null
find "$mnt" -maxdepth 1 >/dev/null
stat "$mnt/backup" "$mnt" >"$tmp/stat.before"
df "$mnt" >/dev/null
stat -f "$mnt" >/dev/null
test -r "$mnt/backup"
cat "$mnt/status" "$mnt/status.json" "$mnt/events" >"$tmp/live"
grep -q '^state: *idle' "$tmp/live" || fail "looking from outside began a session"
grep -q '"session": null' "$tmp/live" || fail "a session in status.json"
grep -q session-begin "$log" && fail "a session began"
ok "df, stat, ls -la and find -maxdepth 1 begin no session"

cp -r "$mnt" "$tmp/whole" || fail "cp -r of the mount"
cp -r "$mnt/backup" "$tmp/copy" || fail "cp -r of backup/"
ok "cp -r of the mountpoint and of backup/ exits 0"
rsync -a "$mnt/" "$tmp/rwhole/" || fail "rsync of the mount"
rsync -a "$mnt/backup/" "$tmp/rcopy/" || fail "rsync of backup/"
ok "rsync -a of the mountpoint and of backup/ exits 0"
rsync -ai "$mnt/" "$tmp/rwhole/" >"$tmp/again" || fail "the second rsync"
rsync -ai "$mnt/backup/" "$tmp/rcopy/" >>"$tmp/again"
[ -s "$tmp/again" ] && { cat "$tmp/again"; fail "the second rsync copied"; }
ok "a second rsync within the session copies nothing"

for d in whole/backup copy rwhole/backup rcopy; do
	check_set "$tmp/$d"
	diff -r "$tmp/copy" "$tmp/$d" || fail "$d is another copy"
done
ok "xxhsum -c and stock sqlite3 accept every copy, and all are equal"

(cd "$tmp/copy/data" && find . -type f | sort) >"$tmp/names"
diff - "$tmp/names" <<-EOF || fail "the databases that were found"
	./a b/\$odd 'name'.sqlite
	./app.db
	./sub/deep/small.db
EOF
[ -e "$tmp/copy/data/empty" ] && fail "a directory without databases is there"
ok "databases are found below the source; links, texts and sidecars are not"

[ "$(stat -c '%a %u %g' "$mnt/backup/data/app.db")" = "640 1234 1234" ] ||
	fail "owner and mode"
[ "$(sqlite3 "$tmp/copy/data/app.db" 'SELECT count(*) FROM t')" = 3500 ] ||
	fail "what was only in the log is missing"
sum() { md5sum <"$1" | cut -c 1-32; }
app "INSERT INTO t(b) VALUES('later'); PRAGMA wal_checkpoint(PASSIVE);"
echo 3 >/proc/sys/vm/drop_caches
[ "$(sum "$mnt/backup/data/app.db")" = "$(sum "$tmp/copy/data/app.db")" ] ||
	fail "the image moved"
stat "$mnt/backup" "$mnt" | grep -v '^Access: [0-9]' >"$tmp/stat.after"
grep -v '^Access: [0-9]' "$tmp/stat.before" | diff - "$tmp/stat.after" ||
	fail "attributes of backup/ changed"
ok "nothing moves while the application writes and checkpoints"

for i in 1 2 3; do
	"$PEEK" pread "$mnt/backup/data/app.db" "$tmp/copy/data/app.db" \
		$((RANDOM + i)) 300 >"$tmp/peek$i" 2>&1 &
	peeks[i]=$!
done
"$PEEK" mmap "$mnt/backup/data/app.db" "$tmp/copy/data/app.db" ||
	fail "mmap reads something else"
for i in 1 2 3; do
	wait "${peeks[i]}" || { cat "$tmp/peek$i"; fail "random preads differ"; }
done
find "$mnt/backup" -type f | sort -r | while read -r f; do
	cmp "$f" "$tmp/copy${f#"$mnt/backup"}" || exit 1
done || fail "read backwards, it differs"
ok "several readers, any order, mmap and random preads see the same bytes"

tar -C "$mnt" -cf "$tmp/t.tar" backup 2>"$tmp/tar.err" || fail "tar"
[ -s "$tmp/tar.err" ] && { cat "$tmp/tar.err"; fail "tar complains"; }
[ "$(tar -tf "$tmp/t.tar" | tail -n 1)" = backup/verify/XXH128SUMS ] ||
	fail "tar does not read the seal last"
last=$(find "$mnt/backup" -printf '%i %P\n' | sort -n | tail -n 2 | head -n 1)
case $last in
*verify*) ;;
*) fail "by inode number, verify/ is not last: $last" ;;
esac
[ "$(find "$mnt/backup" -printf '%i\n' | sort | uniq -d)" = "" ] ||
	fail "an inode number twice"
ok "the seal comes last by name and by inode number"

grep -q 'served whole' "$mnt/status" || fail "no progress in status"
python3 -c 'import json,sys
s = json.load(open(sys.argv[1])); b = json.load(open(sys.argv[2]))
assert s["format"] == 1 and b["format"] == 1
assert list(s)[0] == "format" and list(b)[0] == "format"
assert s["state"] == "serving" and s["session"]["id"] == b["session"]
assert s["session"]["files"] == s["session"]["files_whole"] == 5
assert s["session"]["sealed"] and s["session"]["error"] is None
assert b["cut"] == "one moment" and b["kind"] == "full"
assert b["verified"] == "header+logs" and b["base"] is None
d = {x["path"]: x for x in b["databases"]}["data/app.db"]
assert d["page_size_bytes"] * d["pages"] == d["size_bytes"]
assert d["log"]["mode"] == "wal" and d["log"]["last_frame"] > 0
' "$mnt/status.json" "$mnt/backup/backup.json" || fail "the JSON documents"
ok "backup.json and status.json say what was done"

: >"$mnt/backup/new" 2>/dev/null && fail "a file was made"
rm "$mnt/backup/backup.json" 2>/dev/null && fail "a file was removed"
touch "$mnt/x" 2>"$tmp/err"
grep -qi 'read-only' "$tmp/err" || fail "not EROFS: $(cat "$tmp/err")"
ls "$mnt/backup/no-such-thing" 2>/dev/null && fail "a name that is not there"
ok "the mount is read-only"

close_app
stop_fs COPIED
ok "the session is COPIED"
