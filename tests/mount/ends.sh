#!/bin/bash
# SPDX-License-Identifier: MIT
# Every way to end, the outcome that it has, and the daemon gone within 2 s.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 5000
make_db "$src/two.db" 4096 50
open_app "$src/app.db"
image=$mnt/backup/data/app.db

# harmless: the application checkpoints and changes its mode at once, the
# mountpoint is free, and another session begins without hands.
harmless() {
	mounted "$mnt" && fail "$1: still mounted"
	app "INSERT INTO t(b) VALUES('after $1');"
	: >"$tmp/app.out"
	app "PRAGMA wal_checkpoint(TRUNCATE);"
	grep -q '^0|0|0$' "$tmp/app.out" ||
		fail "$1: the checkpoint was held up: $(cat "$tmp/app.out")"
}

start_fs
umount "$mnt"
wait_fs
grep -q session- "$log" && fail "a session without a look"
grep -q 'unmounted .* by=umount' "$log" || fail "not told: umount"
harmless idle
ok "umount of an idle mount: no session"

start_fs
ls "$mnt/backup" >/dev/null
stop_fs 'ABORTED(unread)'
harmless unread
ok "umount, nothing read: ABORTED(unread)"

start_fs
cat "$mnt/backup/backup.json" >/dev/null
stop_fs 'ABORTED(partial: 1 of 4 files)'
harmless partial
start_fs
cp -r "$mnt/backup/data" "$mnt/backup/backup.json" "$tmp/" || fail cp
stop_fs 'ABORTED(partial: 3 of 4 files)'
start_fs
# The seal alone makes the daemon read everything, but serves nothing of it.
cat "$mnt/backup/verify/XXH128SUMS" >/dev/null || fail "the seal"
stop_fs 'ABORTED(partial: 1 of 4 files)'
harmless seal
ok "umount, some read: ABORTED(partial)"

start_fs
cp -r "$mnt/backup" "$tmp/copy" || fail cp
stop_fs COPIED
harmless copied
ok "umount, all read: COPIED"

for signal in TERM INT HUP; do
	start_fs
	cp -r "$mnt/backup" "$tmp/copy$signal" || fail cp
	kill -$signal "$fs_pid"
	wait_fs
	outcome_is COPIED
	grep -q 'unmounted .* by=signal' "$log" || fail "not told: signal"
	harmless $signal
	start_fs
	head -c 5000 "$image" >/dev/null
	kill -$signal "$fs_pid"
	wait_fs
	outcome_is 'ABORTED(partial: 0 of 4 files)'
	harmless "$signal partial"
done
ok "SIGTERM, SIGINT and SIGHUP unmount; the outcome is by coverage"

hold() {
	rm -f "$tmp/hold.in"
	mkfifo "$tmp/hold.in"
	: >"$tmp/hold.out"
	"$PEEK" hold "$1" <"$tmp/hold.in" >"$tmp/hold.out" 2>&1 &
	hold_pid=$!
	started+=("$hold_pid")
	exec 8>"$tmp/hold.in"
	wait_for 10 grep -q held "$tmp/hold.out" || fail "nobody holds $1"
}
release() {
	exec 8>&-
	wait "$hold_pid"
}

start_fs
cp -r "$mnt/backup" "$tmp/copyl" || fail cp
hold "$image"
umount "$mnt" 2>/dev/null && fail "a busy mount was unmounted"
umount -l "$mnt" || fail "umount -l"
wait_fs
outcome_is COPIED
harmless lazy
release
ok "umount -l with an open file: gone in $took_ms ms, outcome by coverage"

start_fs
hold "$image"
umount -l "$mnt"
wait_fs
outcome_is 'ABORTED(partial: 0 of 4 files)'
harmless "lazy partial"
release
ok "umount -l with an open file, half read"

# What somebody mounted in the place meanwhile is not ours to unmount.
start_fs
hold "$image"
umount -l "$mnt" && mount -t tmpfs none "$mnt" || fail "tmpfs"
wait_fs
mounted "$mnt" || fail "somebody else's mount was unmounted"
umount "$mnt"
release
ok "a mount that took our place is left alone"

# Nor is it asked: the next mount may be held up, and who asks it holds it. The
# kernel gives it the device number of the one before, if nobody else was faster.
# (What is asked instead is known since Linux 6.8.)
mkdir "$tmp/next"
make_db "$tmp/next/app.db" 4096 5
replaced() {
	start_fs
	dev=$(stat -c %d "$mnt")
	kill -STOP "$fs_pid"
	# Without -c, umount(8) looks at the mount first.
	umount -c "$mnt" || fail "umount of a daemon that is held up"
	"$program" -o state="$tmp/state-next" "$tmp/next" "$mnt" ||
		fail "the next mount"
	next=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' "$mnt/status.json")
	started+=("$next")
	local got
	got=$(stat -c %d "$mnt")
	if [ "$(printf '%s\n' 6.8 "$(uname -r)" | sort -V | head -n1)" = 6.8 ]
	then
		kill -STOP "$next"
	fi
	kill -CONT "$fs_pid"
	wait_fs
	kill -CONT "$next"
	grep -q '^state' "$mnt/status" || fail "the next mount was taken away"
	umount "$mnt" || fail "umount of the next mount"
	wait_for 2 gone_or_zombie "$next" || fail "the next daemon is still there"
	[ "$got" = "$dev" ]
}
for i in 1 2 3 4 5 6 7 8 9 10; do
	replaced && break
	[ $i -lt 10 ] || fail "never the same device number"
done
ok "the next mount in our place is not asked, and left alone"

start_fs
cp -r "$mnt/backup" "$tmp/copyf" || fail cp
hold "$image"
umount -f "$mnt" 2>/dev/null
wait_fs
outcome_is 'ABORTED(forced)'
harmless forced
release
ok "umount -f of a busy mount: ABORTED(forced)"

start_fs
hold "$image"
kill -TERM "$fs_pid"
wait_fs
outcome_is 'ABORTED(partial: 0 of 4 files)'
harmless "TERM busy"
release
ok "SIGTERM with an open file: gone in $took_ms ms"

# A reader in the middle of it sees an error, not an end.
start_fs
(while cat "$image" >/dev/null 2>"$tmp/reader.err"; do
	echo 1 >/proc/sys/vm/drop_caches
done) &
reader=$!
started+=("$reader")
wait_for 5 grep -q "progress:  [1-9]" "$mnt/status" || fail "no reader"
kill -TERM "$fs_pid"
wait_fs
wait "$reader"
[ -s "$tmp/reader.err" ] || fail "the reader saw no error"
harmless reading
ok "SIGTERM while somebody reads"
close_app
