#!/bin/bash
# SPDX-License-Identifier: MIT
# Requests that wait: interrupted, held up by an exclusive application, ended
# while they wait; and status answers all the time.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 200
open_app "$src/app.db"
app "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(b) VALUES('mine');"

start_fs
ls "$mnt/backup" 2>"$tmp/err" && fail "an exclusive database was frozen"
grep -qi 'busy' "$tmp/err" || fail "not EBUSY: $(cat "$tmp/err")"
grep -q 'database `app.db`: is locked by its application' "$mnt/status" ||
	fail "status: $(cat "$mnt/status")"
ok "an application with locking_mode=EXCLUSIVE: EBUSY, by name"

# One waits and is killed; then others wait; status answers meanwhile. (They
# come one after another: libfuse 3.14 cannot ask the kernel for parallel
# requests in one directory, so there the second waits in the kernel.)
preparing() { grep -q '^state: *preparing' "$mnt/status"; }
ls "$mnt/backup" >"$tmp/w1" 2>&1 &
one=$!
wait_for 2 preparing || fail "nobody waits"
start=$(date +%s%N)
kill -9 $one
wait $one 2>/dev/null
took_ms=$((($(date +%s%N) - start) / 1000000))
[ $took_ms -lt 700 ] || fail "a killed reader waited $took_ms ms for the freeze"
stat "$mnt/backup/data" >"$tmp/w2" 2>&1 &
two=$!
ls "$mnt/backup" >"$tmp/w3" 2>&1 &
three=$!
started+=($two $three)
timeout 1 cat "$mnt/status" "$mnt/events" >/dev/null || fail "status waits too"
timeout 1 df "$mnt" >/dev/null || fail "df waits too"
preparing || fail "the freeze is over already: nothing was shown"
wait $two && fail "stat of what could not be frozen"
wait $three && fail "ls of what could not be frozen"
grep -qi busy "$tmp/w2" || fail "no answer: $(cat "$tmp/w2")"
grep -qi busy "$tmp/w3" || fail "no answer: $(cat "$tmp/w3")"
ok "one who is killed while he waits is gone at once; the others get their answer"

close_app
cp -r "$mnt/backup" "$tmp/copy" || fail "the next try"
check_set "$tmp/copy"
umount "$mnt"
wait_fs
ok "when the application lets go, the same mount serves"

open_app "$src/app.db"
app "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(b) VALUES('mine');"
start_fs
ls "$mnt/backup" >"$tmp/w1" 2>&1 &
one=$!
wait_for 2 preparing || fail "nobody waits"
kill -TERM "$fs_pid"
wait_fs
wait $one && fail "ls succeeded"
mounted "$mnt" && fail "still mounted"
ok "SIGTERM while a freeze waits: gone in $took_ms ms"

start_fs
ls "$mnt/backup" >"$tmp/w1" 2>&1 &
one=$!
wait_for 2 preparing || fail "nobody waits"
umount -l "$mnt"
wait_fs
wait $one && fail "ls succeeded"
ok "umount -l while a freeze waits: gone in $took_ms ms"

start_fs "$src" -o freeze_ms=100
start=$(date +%s%N)
ls "$mnt/backup" 2>/dev/null && fail "frozen"
[ $((($(date +%s%N) - start) / 1000000)) -lt 1500 ] || fail "freeze_ms is ignored"
umount "$mnt"
wait_fs
ok "freeze_ms bounds the wait"
close_app
