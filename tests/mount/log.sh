#!/bin/bash
# SPDX-License-Identifier: MIT
# Which events go to the log, and to which: a log is shared with others, so it
# hears of a file only when something is wrong with it.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 5000
make_db "$src/two.db" 4096 50

# A session in which one database is read, and of the other one a part.
read_some() {
	cat "$mnt/backup/data/two.db" >/dev/null || fail "two.db"
	dd if="$mnt/backup/data/app.db" of=/dev/null bs=4096 count=1 \
		status=none || fail "app.db"
	cp "$mnt/events" "$tmp/events"
}
# in_events NAME: how many there are, of the level debug.
in_events() { grep -cE "^[^ ]+Z debug $1 " "$tmp/events"; }

start_fs
read_some
stop_fs 'ABORTED(partial: 1 of 4 files)'
[ "$(in_events file-begin)" = 2 ] || fail "file-begin: $(cat "$tmp/events")"
[ "$(in_events file-end)" = 1 ] || fail "file-end: $(cat "$tmp/events")"
[ "$(in_events log-range)" = 2 ] || fail "log-range: $(cat "$tmp/events")"
grep -E ' (debug|file-begin|file-end|log-range) ' "$log" &&
	fail "events of the level debug are in the log"
for event in session-begin session-frozen session-end; do
	[ "$(grep -c " $event " "$log")" = 1 ] || fail "$event is not in the log"
done
grep -q ' info file-short .* path=data/app.db ' "$log" ||
	fail "file-short is not in the log"
ok "in the foreground: what is wrong with files, not each of them"

start_fs "$src" -d
read_some
stop_fs 'ABORTED(partial: 1 of 4 files)'
for event in file-begin file-end log-range; do
	grep -qE "Z debug $event .* path=data/two.db " "$log" ||
		fail "-d: $event is not in the log"
done
ok "-d: all of them"

# With a /dev of our own, in which we are the one who listens. The daemon dies
# with it, whatever happens.
in_own_dev() {
	unshare -m -p -f --kill-child --mount-proc bash -c '
		mount -t tmpfs none "$1" &&
		mknod -m 666 "$1/null" c 1 3 &&
		mknod -m 666 "$1/urandom" c 1 9 &&
		mknod -m 666 "$1/fuse" c 10 229 &&
		mount --bind "$1" /dev || exit 77
		shift
		"$@"' - "$@"
}
# Each message of a daemon, a line each, until one says that it is unmounted.
listen='
import socket, subprocess, sys
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
log.settimeout(30)
subprocess.run(sys.argv[1:], check=True)
line = ""
while " unmounted " not in line:
    line = log.recv(65536).decode()
    print(line.rstrip("\0\n"))
'
backup='
"$0" "$1" "$2" || exit
cat "$2/backup/data/two.db" >/dev/null || exit
dd if="$2/backup/data/app.db" of=/dev/null bs=4096 count=1 status=none || exit
umount "$2"'
mkdir "$tmp/dev"
in_own_dev "$tmp/dev" true 2>/dev/null || skip "no /dev of our own"
timeout 60 bash -c "$(declare -f in_own_dev)"' ; in_own_dev "$@"' - \
	"$tmp/dev" python3 -c "$listen" \
	bash -c "$backup" "$STILLFS" "$src" "$mnt" >"$tmp/log.syslog" ||
	fail "a daemon that logs to syslog"
grep -E ' (debug|file-begin|file-end|log-range) ' "$tmp/log.syslog" &&
	fail "events of the level debug are in syslog"
# Facility daemon is 3 * 8; info is 6, warning is 4.
grep -q '^<30>.* stillfs\[[0-9]*\]: info file-short ' "$tmp/log.syslog" ||
	fail "syslog: file-short: $(cat "$tmp/log.syslog")"
grep -q '^<28>.* stillfs\[[0-9]*\]: warning session-end ' "$tmp/log.syslog" ||
	fail "syslog: session-end: $(cat "$tmp/log.syslog")"
ok "syslog: the same"
