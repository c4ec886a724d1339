#!/bin/bash
# SPDX-License-Identifier: MIT
# The main job, once: for builds on which the whole set is too slow.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db"
make_db "$src/other.db" 1024 100
open_app "$src/app.db"
app "UPDATE t SET b=hex(randomblob(50)) WHERE a%2=0;"
start_fs
cp -r "$mnt" "$tmp/whole" &
first=$!
rsync -a "$mnt/backup/" "$tmp/copy/" || fail "rsync"
wait $first || fail "cp"
app "UPDATE t SET b='after'; PRAGMA wal_checkpoint(PASSIVE);"
for d in whole/backup copy; do
	check_set "$tmp/$d"
	[ "$(sqlite3 "$tmp/$d/data/app.db" \
		"SELECT count(*) FROM t WHERE b='after'")" = 0 ] ||
		fail "the future is in the copy"
done
"$PEEK" pread "$mnt/backup/data/app.db" "$tmp/copy/data/app.db" $RANDOM 500 ||
	fail "random preads"
"$PEEK" mmap "$mnt/backup/data/app.db" "$tmp/copy/data/app.db" || fail "mmap"
cat "$mnt/status" "$mnt/status.json" "$mnt/events" >/dev/null || fail "status"
close_app
stop_fs COPIED
ok "two readers at once, and an application that goes on"
start_fs
head -c 1000 "$mnt/backup/data/app.db" >/dev/null
kill -TERM "$fs_pid"
wait_fs
outcome_is 'ABORTED(partial: 0 of 4 files)'
ok "ended by a signal in the middle"
