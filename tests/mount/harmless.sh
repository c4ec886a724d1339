#!/bin/bash
# SPDX-License-Identifier: MIT
# A killed daemon: the database as before, the application free at once, the
# next mount without hands. And the locks that a live one holds.
. "$(dirname "$0")/../lib/mount.sh"

db=$src/app.db
make_db "$db" 4096 3000
copy_in() { rm -rf "$tmp/copy" && cp -r "$mnt/backup" "$tmp/copy"; }

# No application has it open: the database's own bytes and times.
bytes=$(md5sum <"$db")
mtime=$(stat -c %y "$db")
start_fs
copy_in || fail cp
kill -9 "$fs_pid"
wait "$fs_pid" 2>/dev/null
[ "$(md5sum <"$db")" = "$bytes" ] || fail "the bytes changed"
[ "$(stat -c %y "$db")" = "$mtime" ] || fail "the mtime changed"
cat "$mnt/status" 2>/dev/null && fail "a dead mount answers"
start_fs
copy_in || fail "cp after the dead mount"
check_set "$tmp/copy"
stop_fs COPIED
ok "kill -9 of the daemon: bytes and mtime as before; the next mount needs no hands"

sqlite3 "$db" "INSERT INTO t(b) VALUES('write'); PRAGMA wal_checkpoint(TRUNCATE);
	PRAGMA journal_mode=DELETE; PRAGMA journal_mode=WAL;" >"$tmp/out" 2>&1
[ "$(tr '\n' ' ' <"$tmp/out")" = "0|0|0 delete wal " ] ||
	fail "the application is held up: $(cat "$tmp/out")"
ok "afterwards it writes, checkpoints and changes its journal mode"

# With frames in the log and an application at work.
open_app "$db"
app "UPDATE t SET b='x' WHERE a%3=0;"
start_fs
copy_in || fail cp
kill -9 "$fs_pid"
wait "$fs_pid" 2>/dev/null
: >"$tmp/app.out"
app "INSERT INTO t(b) VALUES('write'); PRAGMA wal_checkpoint(RESTART);
	PRAGMA journal_mode=DELETE; PRAGMA journal_mode=WAL;"
[ "$(grep -v done "$tmp/app.out" | tr '\n' ' ' | sed 's/|[0-9]*//g')" = \
	"0 delete wal " ] || fail "held up: $(cat "$tmp/app.out")"
[ -z "$(locks_of "$db" | grep -v "pid=$app_pid ")" ] || fail "a lock is left"
ok "the same at once with an application that has it open"

# What the live daemon holds: SHARED on the database, one read slot; never the
# write, checkpoint or recovery lock. Many opens and closes by readers of the
# mount, status files, and a second look at the source drop none of it.
app "UPDATE t SET b='y' WHERE a%5=0;"
held() { locks_of "$db" | grep "pid=$fs_pid "; }
start_fs "$src" -o pin=hold,wal_max=3G
ls "$mnt/backup" >/dev/null
for line in '"pin": "hold"' '"wal_max_bytes": 3221225472'; do
	grep -qF "$line" "$mnt/status.json" || fail "$(cat "$mnt/status.json")"
done
held >"$tmp/locks"
grep -q '^db pid.* READ' "$tmp/locks" || fail "no lock on the database"
grep -q '^db-shm pid.* READ \(12[4-7]\)-\1$' "$tmp/locks" ||
	{ cat "$tmp/locks"; fail "no read slot is held"; }
grep -q 'WRITE' "$tmp/locks" && fail "a writer's lock is held"
for i in 1 2 3; do
	copy_in || fail cp
	cat "$mnt/status" "$mnt/events" >/dev/null
	df "$mnt" >/dev/null
done
held | diff "$tmp/locks" - || fail "the locks changed"
: >"$tmp/app.out"
app "PRAGMA busy_timeout=100; PRAGMA wal_checkpoint(PASSIVE);
	INSERT INTO t(b) VALUES('passive');"
grep -q '^0|' "$tmp/app.out" || fail "a passive checkpoint is held up"
: >"$tmp/app.out"
app "PRAGMA wal_checkpoint(TRUNCATE);"
grep -q '^1|' "$tmp/app.out" ||
	fail "the pin does not hold the log: $(cat "$tmp/app.out")"
# A backfill to the freeze, then commits on top: promoted pins let them by.
stop_fs COPIED
: >"$tmp/app.out"
app "PRAGMA wal_checkpoint(TRUNCATE);"
grep -q '^0|0|0' "$tmp/app.out" || fail "the pin outlives the session"
[ -z "$(locks_of "$db" | grep -v "pid=$app_pid ")" ] || fail "a lock is left"
ok "a live session holds one read slot, and keeps it whatever is opened and closed"

# Read lock 0 would keep every checkpointer from its work.
start_fs "$src" -o pin=hold
ls "$mnt/backup" >/dev/null
held | grep -q '^db-shm .* 123-' && fail "read lock 0 is held"
held | grep -q '^db-shm pid.* READ \(12[4-7]\)-\1$' || fail "no slot after promotion"
: >"$tmp/app.out"
app "INSERT INTO t(b) VALUES('promoted'); PRAGMA wal_checkpoint(PASSIVE);"
copy_in || fail cp
sqlite3 "$tmp/copy/data/app.db" "SELECT b FROM t" | grep -q promoted &&
	fail "the image moved"
check_set "$tmp/copy"
stop_fs COPIED
ok "a fully checkpointed log is pinned by a slot, not by read lock 0"
close_app

# Its sidecars taken away by force: nobody shares our locks any more.
open_app "$db"
app "UPDATE t SET b='z' WHERE a%7=0;"
start_fs "$src" -o pin=hold
exec 9<"$mnt/backup/data/app.db"
head -c 5000 <&9 >/dev/null || fail "head"
mv "$db-shm" "$db-shm.old"
wait_for 5 grep -q ' session-end ' "$log" || fail "the session does not end"
recorded 'ABORTED(pin lost)'
python3 -c 'import os; os.pread(9, 1, 0)' 2>"$tmp/err" && fail "bytes were served"
grep -q 'Input/output error' "$tmp/err" || fail "an open file: $(cat "$tmp/err")"
cat "$mnt/backup/data/app.db" >/dev/null 2>"$tmp/err" && fail "bytes were served"
grep -q 'Stale file handle' "$tmp/err" || fail "a name: $(cat "$tmp/err")"
cat "$mnt/backup/verify/XXH128SUMS" >/dev/null 2>&1 && fail "a seal"
held && fail "a lock is left"
why='`app.db`: the snapshot is no longer protected, its -shm file was removed'
grep -qF "error:     database $why" "$mnt/status" || fail "$(cat "$mnt/status")"
grep -q '^outcome: *ABORTED(pin lost)' "$mnt/status" || fail "$(cat "$mnt/status")"
grep -q '^hint: .*begin another session' "$mnt/status" || fail "no hint"
grep -q '^next: .*copy backup/ again' "$mnt/status" || fail "no advice"
grep -q ' session-end .*error=.*no longer protected' "$log" || fail "no reason"
grep -q session-quiet "$log" && fail "it waited"
ctl 0 list --json "$mnt"
ctl_says "$why"
ctl 6 commit "$mnt"
ctl_complains "$why"
exec 9<&-
mv "$db-shm.old" "$db-shm"
cat "$mnt/backup/verify/XXH128SUMS" >/dev/null 2>&1 && fail "a seal, again"
ls "$mnt/backup" >/dev/null || fail "no next session"
copy_in || fail "cp of the next session"
check_set "$tmp/copy"
umount "$mnt" || fail umount
wait_fs
recorded COPIED
ok "a -shm that is taken away: the session ends at once, and says why"
close_app
