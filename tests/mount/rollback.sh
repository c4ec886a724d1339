#!/bin/bash
# SPDX-License-Identifier: MIT
# Databases with a rollback journal: copied while they are locked, and theirs
# again at once.
. "$(dirname "$0")/../lib/mount.sh"

db=$src/app.db
spool=$tmp/spool
mkdir -m 700 "$spool"

# make_rollback FILE [MODE [ROWS]]
make_rollback() {
	sqlite3 "$1" "PRAGMA journal_mode=${2:-DELETE};
		CREATE TABLE t(a INTEGER PRIMARY KEY, b);
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c
		WHERE i < ${3:-3000}) INSERT INTO t SELECT i, hex(randomblob(50))
		FROM c;" >/dev/null || fail "make_rollback"
}
# field KEY DATABASE: of backup.json
field() {
	python3 -c 'import json,sys
d = {x["path"]: x for x in json.load(open(sys.argv[1]))["databases"]}
v = d["data/" + sys.argv[3]]
for k in sys.argv[2].split("."): v = v[k]
print(v)' "$mnt/backup/backup.json" "$1" "$2"
}

for mode in DELETE TRUNCATE PERSIST; do
	make_rollback "$src/$mode.db" "$mode"
	# Used before, so that what the mode leaves behind is there.
	sqlite3 "$src/$mode.db" "PRAGMA journal_mode=$mode;
		UPDATE t SET b='x' WHERE a < 100" >/dev/null
done
make_db "$src/wal.db" 4096 100
: >"$src/empty.db" && : >"$src/empty.db-journal"
find "$src" -type f | sort | xargs md5sum >"$tmp/before"
start_fs "$src" -o "spool=$spool"
cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
check_set "$tmp/copy"
for f in DELETE TRUNCATE PERSIST; do
	cmp "$src/$f.db" "$tmp/copy/data/$f.db" || fail "$f: other bytes"
	[ "$(field log.mode $f.db)" = rollback ] || fail "$f: its log"
	[ "$(field verified $f.db)" = header ] || fail "$f: verified"
done
[ -e "$tmp/copy/data/empty.db" ] && [ ! -s "$tmp/copy/data/empty.db" ] ||
	fail "an empty database is an empty file"
grep -q '^cut: *one moment' "$mnt/status" || fail "$(cat "$mnt/status")"
[ -z "$(ls -A "$spool")" ] || fail "something has a name in the spool"
ok "DELETE, TRUNCATE, PERSIST and empty ones beside one in WAL mode: one set"

for f in DELETE TRUNCATE PERSIST; do
	[ -z "$(locks_of "$src/$f.db")" ] || fail "a lock is left: $f"
	[ "$(sqlite3 "$src/$f.db" "UPDATE t SET b='later'; PRAGMA journal_mode=WAL;
		INSERT INTO t(b) VALUES('more'); PRAGMA journal_mode=DELETE")" = \
		"wal
delete" ] || fail "$f is held"
done
echo 3 >/proc/sys/vm/drop_caches
diff -r "$tmp/copy/data" "$mnt/backup/data" || fail "the snapshot moved"
stop_fs COPIED
ok "while it lasts the application writes, and switches modes, as it likes"

# Nothing of theirs is changed by a session.
rm -rf "$src" "$tmp/copy" && mkdir "$src"
make_rollback "$db"
find "$src" -type f | sort | xargs md5sum >"$tmp/before"
stat -c '%n %Y %Z %s' "$src" "$db" >>"$tmp/before"
start_fs "$src" -o "spool=$spool"
cp -r "$mnt/backup" "$tmp/copy" || fail "cp"
grep -q '^pin: *none, nothing is held' "$mnt/status" ||
	fail "nothing is pinned: $(cat "$mnt/status")"
grep -q '^cut: *one commit' "$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs COPIED
find "$src" -type f | sort | xargs md5sum >"$tmp/after"
stat -c '%n %Y %Z %s' "$src" "$db" >>"$tmp/after"
cmp "$tmp/before" "$tmp/after" || fail "something changed"
ok "one alone: copied, and not a byte or a time of it changes"

# A writer in the middle of its transaction does not hinder; one that commits
# just now does, and one that never ends is named.
open_app "$db"
app "BEGIN IMMEDIATE; UPDATE t SET b='not yet';"
start_fs "$src" -o "spool=$spool,freeze_ms=300"
cp "$mnt/backup/data/app.db" "$tmp/open.db" || fail "cp: $(cat "$mnt/status")"
cmp "$tmp/open.db" "$tmp/copy/data/app.db" || fail "an open transaction shows"
umount "$mnt"
wait_fs
app "ROLLBACK; BEGIN EXCLUSIVE;"
start_fs "$src" -o "spool=$spool,freeze_ms=300"
ls "$mnt/backup" 2>"$tmp/err" && fail "frozen against an exclusive lock"
grep -q 'Device or resource busy' "$tmp/err" || fail "$(cat "$tmp/err")"
grep -qF 'error:     database `app.db`: is locked by its application' \
	"$mnt/status" || fail "$(cat "$mnt/status")"
app "ROLLBACK;"
rm -rf "$tmp/copy"
cp -r "$mnt/backup" "$tmp/copy" || fail "after it: $(cat "$mnt/status")"
umount "$mnt"
wait_fs
[ "$(outcome | tail -n 1)" = COPIED ] || fail "$(outcome)"
close_app
ok "RESERVED does not hinder; EXCLUSIVE is EBUSY, and the next look freezes"

# A writer that died while it committed.
python3 - "$db" <<-'EOF'
	import os, sqlite3, sys
	c = sqlite3.connect(sys.argv[1], isolation_level=None)
	c.execute("PRAGMA cache_size=2")
	c.execute("PRAGMA cache_spill=1")
	c.execute("BEGIN IMMEDIATE")
	c.execute("UPDATE t SET b=hex(randomblob(60))")
	os._exit(0)
	EOF
[ -s "$db-journal" ] || fail "no hot journal"
md5sum "$db" "$db-journal" >"$tmp/before"
make_db "$src/other.db" 4096 100
start_fs "$src" -o "spool=$spool"
cp -r "$mnt/backup" "$tmp/hot" 2>"$tmp/err" && fail "a hot journal was frozen"
grep -q 'data/app.db.*Input/output error' "$tmp/err" || fail "$(cat "$tmp/err")"
grep -q 'XXH128SUMS.*Input/output error' "$tmp/err" || fail "a seal"
cmp "$mnt/backup/data/other.db" "$tmp/hot/data/other.db" || fail "the other one"
why='database `app.db`: needs recovery by its application (hot journal)'
grep -qF "error:     $why" "$mnt/status" || fail "$(cat "$mnt/status")"
grep -q '^missing: *1 of 2 databases' "$mnt/status" || fail "status: missing"
[ "$(field frozen app.db)" = False ] && [ "$(field error app.db)" = "$why" ] ||
	fail "backup.json: $(cat "$mnt/backup/backup.json")"
stop_fs 'ABORTED(incomplete)'
rm "$src"/other.db*
start_fs "$src" -o "spool=$spool"
ls "$mnt/backup" 2>"$tmp/err" && fail "a hot journal was frozen"
grep -q 'Resource temporarily unavailable' "$tmp/err" || fail "$(cat "$tmp/err")"
stop_fs 'ABORTED(not frozen)'
md5sum "$db" "$db-journal" | cmp - "$tmp/before" || fail "it was rolled back"
[ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ] || fail "the application"
ok "a hot journal: listed, EIO, no seal; alone EAGAIN; and left as it was"

# Room and time are looked at before anybody is held up.
mkdir -m 700 "$tmp/small"
mount -t tmpfs -o size=256k,mode=700 small "$tmp/small"
start_fs "$src" -o "spool=$tmp/small"
ls "$mnt/backup" 2>"$tmp/err" && fail "copied into no room"
grep -q 'No space left' "$tmp/err" || fail "$(cat "$tmp/err")"
grep -q "error:     spool .*/small.: a private copy of .app.db. takes $(stat -c %s "$db") bytes, and 262144 are free" \
	"$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(not frozen)'
umount "$tmp/small"
sqlite3 "$db" "CREATE TABLE big(b); WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL
	SELECT i+1 FROM c WHERE i < 150) INSERT INTO big
	SELECT randomblob(1000000) FROM c"
start_fs "$src" -o "spool=$spool,stall_ms=1"
ls "$mnt/backup" 2>"$tmp/err" && fail "copied in a millisecond"
grep -q 'Resource temporarily unavailable' "$tmp/err" || fail "$(cat "$tmp/err")"
grep -q 'error: .*1 database with a rollback journal: copying would hold the writers off for about [0-9]* ms, and `stall_ms` allows 1$' \
	"$mnt/status" || fail "$(cat "$mnt/status")"
grep -q '^hint: .*stall_ms' "$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(not frozen)'
ok "no room is ENOSPC, no time EAGAIN, each in its own words"

# A disk that took what it cannot keep: thinner than it says. Whoever does not
# sync is not told, and reads zeros.
mkdir "$tmp/thin" "$tmp/spool3" "$tmp/src3"
mount -t tmpfs -o size=24M none "$tmp/thin" || fail "mount tmpfs"
truncate -s 300M "$tmp/thin/disk"
mkfs.ext4 -q "$tmp/thin/disk" || fail "mkfs.ext4"
mount -o loop "$tmp/thin/disk" "$tmp/spool3" || skip "no loop mount"
mkdir -m 700 "$tmp/spool3/spool"
sqlite3 "$tmp/src3/app.db" "CREATE TABLE big(b); WITH RECURSIVE c(i) AS
	(SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < 60)
	INSERT INTO big SELECT randomblob(1000000) FROM c;"
start_fs "$tmp/src3" -o "spool=$tmp/spool3/spool,stall_ms=60000"
ls "$mnt/backup/data" >/dev/null || fail "$(cat "$mnt/status")"
sync -f "$tmp/spool3" 2>/dev/null && fail "the thin disk has room for all of it"
echo 3 >/proc/sys/vm/drop_caches
cp -r "$mnt/backup" "$tmp/copy3" 2>"$tmp/err" && fail "what was lost was served"
grep -q 'data/app.db.*Input/output error' "$tmp/err" || fail "$(cat "$tmp/err")"
grep -q 'error: .*private copy of `app.db`: changed since it was made' \
	"$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(corrupt)'
umount "$tmp/spool3" "$tmp/thin"
rm -r "$tmp/src3" "$tmp/copy3"
ok "what the disk of the spool lost is not served"

# Blocks that can be shared are.
command -v mkfs.xfs >/dev/null || skip "no mkfs.xfs"
truncate -s 1G "$tmp/disk"
mkfs.xfs -q -m reflink=1 "$tmp/disk" || fail "mkfs.xfs"
mkdir "$tmp/xfs"
mount -o loop "$tmp/disk" "$tmp/xfs" || skip "no loop mount of XFS"
mkdir -m 700 "$tmp/xfs/spool" && mkdir "$tmp/xfs/src"
cp "$db" "$tmp/xfs/src/app.db"
make_rollback "$tmp/xfs/src/little.db"
start_fs "$tmp/xfs/src" -o "spool=$tmp/xfs/spool"
rm -rf "$tmp/copy"
cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
[ "$(field log.copy app.db)" = clone ] || fail "a large one is no clone"
[ "$(field log.copy little.db)" = copy ] || fail "a small one is a clone"
sqlite3 "$tmp/xfs/src/app.db" "UPDATE big SET b=zeroblob(1000000) WHERE rowid%3=0"
echo 3 >/proc/sys/vm/drop_caches
cmp "$mnt/backup/data/app.db" "$tmp/copy/data/app.db" || fail "the clone moved"
check_set "$tmp/copy"
stop_fs COPIED
umount "$tmp/xfs"
ok "on XFS a large database is cloned, and stays what it was"
