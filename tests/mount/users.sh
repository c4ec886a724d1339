#!/bin/bash
# SPDX-License-Identifier: MIT
# Other users of the machine: no byte and no control. With allow_other what the
# source's modes allow, and still no control but for the source's owner.
. "$(dirname "$0")/../lib/mount.sh"

command -v setpriv >/dev/null || skip "no setpriv"
OTHER=65534 THIRD=12345
# as UID COMMAND...
as() {
	local uid=$1
	shift
	timeout 20 setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
}
as $OTHER "$STILLCTL" --help >/dev/null 2>&1 ||
	skip "another user cannot run what is tested"

mkdir -m 700 "$src/deep"
make_db "$src/open.db" 4096 2000
make_db "$src/shut.db" 4096 2000
make_db "$src/deep/deep.db" 4096 20
chmod 644 "$src/open.db"
chmod 600 "$src/shut.db"

# denied WORDS COMMAND...: by OTHER, it fails, and these words say why.
denied() {
	local words=$1
	shift
	as $OTHER "$@" >"$tmp/out" 2>"$tmp/err" && fail "$OTHER may: $*"
	grep -qiE -- "$words" "$tmp/err" || fail "$*: $(cat "$tmp/err")"
	[ -s "$tmp/out" ] && fail "$* tells $(cat "$tmp/out")"
	return 0
}
# uncontrolled UID: no verb works, and it is said why.
uncontrolled() {
	local verb status
	for verb in begin commit abort umount; do
		as "$1" "$STILLCTL" $verb "$mnt" >"$tmp/out" 2>"$tmp/err"
		status=$?
		[ $status = 1 ] || fail "$verb by $1: status $status"
		grep -qiE 'permitted|permission|may ' "$tmp/err" ||
			fail "$verb by $1: $(cat "$tmp/err")"
	done
	mounted "$mnt" || fail "unmounted by $1"
}
# request UID: what each request of the control gives that user.
request() {
	as "$1" /usr/bin/env python3 -c '
import errno, fcntl, os, struct, sys
SIZE = 11616
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
for number in 0x10, 0x11, 0x12, 0x13, 0x7f:
    request = 3 << 30 | SIZE << 16 | ord("s") << 8 | number
    buf = bytearray(struct.pack("=I", 2) + bytes(SIZE - 4))
    try:
        fcntl.ioctl(fd, request, buf)
        print("0", end=" ")
    except OSError as error:
        print(errno.errorcode[error.errno], end=" ")
' "$mnt" 2>&1
}

# ---- without allow_other -----------------------------------------------------

start_fs
denied 'permission denied' ls "$mnt"
denied 'permission denied' stat "$mnt/backup"
for file in status status.json events metrics backup/backup.json \
	backup/data/open.db; do
	denied 'permission denied' cat "$mnt/$file"
done
denied . "$STILLCTL" status "$mnt"
uncontrolled $OTHER
case $(request $OTHER) in
*PermissionError*) ;;
*) fail "the root can be opened: $(request $OTHER)" ;;
esac
grep -q session-begin "$log" && fail "somebody else began a session"
# Root's session is not theirs either.
cp -r "$mnt/backup" "$tmp/copy" || fail cp
denied 'permission denied' cat "$mnt/backup/data/open.db"
uncontrolled $OTHER
stop_fs COPIED
ok "without allow_other: no name, no byte, no control"

# ---- with allow_other --------------------------------------------------------

start_fs "$src" -o allow_other
[ "$(request $OTHER)" = "EPERM EPERM EPERM EPERM ENOTTY " ] ||
	[ "$(request $OTHER)" = "EPERM EPERM EPERM EPERM EPERM " ] ||
	fail "requests by another user: $(request $OTHER)"
grep -q session-begin "$log" && fail "a request that was refused began a session"
ls "$mnt/backup" >/dev/null || fail ls
as $OTHER cat "$mnt/backup/data/open.db" | cmp - "$src/open.db" ||
	fail "a database that all may read"
denied 'permission denied' cat "$mnt/backup/data/shut.db"
denied 'permission denied' ls "$mnt/backup/data/deep"
denied 'permission denied' cat "$mnt/backup/data/deep/deep.db"
# Not even what is in the cache of the kernel.
cat "$mnt/backup/data/shut.db" "$mnt/backup/data/deep/deep.db" >/dev/null ||
	fail "root may not"
denied 'permission denied' cat "$mnt/backup/data/shut.db"
denied 'permission denied' cat "$mnt/backup/data/deep/deep.db"
chmod 600 "$src/open.db"
as $OTHER cat "$mnt/backup/data/open.db" >/dev/null ||
	fail "the session's modes are those of its freeze"
chmod 644 "$src/open.db"
uncontrolled $OTHER
grep -q session-end "$log" && fail "another user ended the session"
[ "$(request 0)" = "0 0 0 0 ENOTTY " ] || fail "requests by root: $(request 0)"
umount "$mnt" || fail umount
wait_fs
ok "with allow_other: what the modes allow, and no control"

# The owner of the source: control, and nobody else but root.
chown $OTHER "$src" "$src/open.db"
start_fs "$src" -o allow_other
uncontrolled $THIRD
as $OTHER "$STILLCTL" begin "$mnt" >"$tmp/out" 2>&1 ||
	fail "begin by the owner: $(cat "$tmp/out")"
uncontrolled $THIRD
as $OTHER "$STILLCTL" commit "$mnt" >"$tmp/out" 2>&1 ||
	fail "commit by the owner: $(cat "$tmp/out")"
recorded COMMITTED
as $OTHER "$STILLCTL" begin "$mnt" >/dev/null 2>&1 || fail "the next begin"
as $OTHER "$STILLCTL" abort "$mnt" >/dev/null 2>&1 || fail "abort by the owner"
recorded 'ABORTED(by caller)'
umount "$mnt" || fail umount
wait_fs
chown 0 "$src" "$src/open.db"
ok "the source's owner has control, a third user has not"

# ---- a daemon of another user ------------------------------------------------

if as $OTHER test -w /dev/fuse && command -v fusermount3 >/dev/null; then
	mkdir "$tmp/home"
	cp "$src/open.db" "$tmp/home/own.db"
	mkdir "$tmp/home/mnt"
	chown -R $OTHER:$OTHER "$tmp/home"
	(
		export XDG_STATE_HOME=$tmp/home/state HOME=$tmp/home
		as $OTHER "$program" "$tmp/home/own.db" "$tmp/home/mnt" ||
			fail "it cannot mount"
		[ "$(stat -c '%a %u' "$tmp/home/state/stillfs")" = "700 $OTHER" ] ||
			fail "its state directory"
		as $OTHER cp -r "$tmp/home/mnt/backup" "$tmp/home/copy" ||
			fail "it cannot copy"
		as $THIRD ls "$tmp/home/mnt" >"$tmp/out" 2>&1 && fail "a third can"
		as $OTHER "$STILLCTL" commit "$tmp/home/mnt" >"$tmp/out" 2>&1 ||
			fail "it cannot commit: $(cat "$tmp/out")"
		as $OTHER "$STILLCTL" umount "$tmp/home/mnt" >"$tmp/out" 2>&1 ||
			fail "it cannot unmount: $(cat "$tmp/out")"
		grep -q COMMITTED "$tmp/out" || fail "outcome: $(cat "$tmp/out")"
		as $OTHER "$STILLCTL" list --all >"$tmp/out" 2>&1 ||
			fail "it cannot list: $(cat "$tmp/out")"
		grep -q COMMITTED "$tmp/out" || fail "list: $(cat "$tmp/out")"
	) || exit 1
	ok "a user's own mount: his state directory, his control"
else
	echo "# no fusermount3 for another user"
fi

# ---- the state directory -----------------------------------------------------

[ "$(stat -c '%a %u' "$state")" = "700 0" ] || fail "state: $(stat "$state")"
denied 'permission denied' ls "$state"
denied 'permission denied' cat "$state/catalog.db"
denied . "$STILLCTL" list --all --state "$state"
while read -r -d '' name; do
	[ "$(stat -c %a "$name" | tail -c 3)" = 00 ] ||
		fail "$name: mode $(stat -c %a "$name")"
done < <(find "$state" -print0)
ok "the state directory and all in it is for its owner only"

# refused_state WORDS DIR
refused_state() {
	timeout 20 "$STILLFS" "$src" "$mnt" -o "state=$2" >"$tmp/out" 2>"$tmp/err" &&
		fail "state=$2 is taken"
	grep -qF "\`$2\`" "$tmp/err" || fail "not named: $(cat "$tmp/err")"
	grep -qiE "$1" "$tmp/err" || fail "not told: $(cat "$tmp/err")"
	mounted "$mnt" && fail "mounted all the same"
	"$STILLCTL" list --all --state "$2" >"$tmp/out" 2>"$tmp/err"
	[ $? = 1 ] || fail "stillctl takes state $2"
}
for mode in 755 750 711 770 701; do
	mkdir "$tmp/s$mode"
	chmod $mode "$tmp/s$mode"
	refused_state . "$tmp/s$mode"
	[ -z "$(ls -A "$tmp/s$mode")" ] || fail "something was put into it"
done
mkdir -m 700 "$tmp/foreign"
chown $OTHER "$tmp/foreign"
refused_state . "$tmp/foreign"
: >"$tmp/plain"
refused_state 'director' "$tmp/plain"
# One that was right, and is not any more.
chmod 755 "$state"
refused_state . "$state"
chmod 700 "$state"
start_fs
umount "$mnt"
wait_fs
ok "a state directory that others can read, or own, is refused"

# Who may only read the -shm cannot set a mark, and may find none to share. Then
# the application goes first, and does not wait until it is tired of it.
mkdir -m 755 "$tmp/live"
chmod 711 "$tmp"
mkdir -m 700 "$tmp/o-mnt" "$tmp/o-state" "$tmp/o-spool"
chown $OTHER "$tmp"/o-*
make_db "$tmp/live/app.db" 4096 20
chmod 644 "$tmp/live/app.db"
open_app "$tmp/live/app.db"
app "PRAGMA journal_mode=WAL; PRAGMA user_version=1;"
setpriv --reuid=$OTHER --regid=$OTHER --clear-groups "$STILLFS" "$tmp/live" \
	"$tmp/o-mnt" -f -o "pin=govern,state=$tmp/o-state,spool=$tmp/o-spool" \
	>"$tmp/o-log" 2>&1 7>&- &
other=$!
started+=("$other")
wait_for 20 grep -q ' info mounted ' "$tmp/o-log" || fail "$(cat "$tmp/o-log")"
app "PRAGMA user_version=2;"
as $OTHER ls "$tmp/o-mnt/backup" >/dev/null || fail "$(cat "$tmp/o-log")"
app "PRAGMA user_version=3; PRAGMA busy_timeout=15000;"
app "PRAGMA wal_checkpoint(TRUNCATE); SELECT 'truncated';"
tail -n 3 "$tmp/app.out" | grep -q '^0|0|0$' ||
	fail "the checkpoint waited in vain: $(tail -n 3 "$tmp/app.out")"
wait_for 20 grep -q ' outcome="ABORTED(pin lost)".*may only read the -shm' \
	"$tmp/o-log" || fail "$(cat "$tmp/o-log")"
kill "$other"
wait "$other"
close_app
ok "a checkpoint passes a user who may only read the -shm"
