#!/bin/bash
# SPDX-License-Identifier: MIT
# One session of an instance at a time, whatever the mounts; what lies in one
# another is one; what a commit may be said of; and what need not be read again.
. "$(dirname "$0")/../lib/mount.sh"

for tool in rsync restic borg; do
	command -v $tool >/dev/null || skip "no $tool"
done
mkdir "$src/sub" "$tmp/mnt2"
make_db "$src/app.db" 4096 3000
make_db "$src/other.db" 4096 3000
make_db "$src/sub/in.db" 4096 300
aged() { [ $(($(date +%s) - $(stat -c %Z "$src/sub/in.db"))) -gt 3 ]; }

# second SOURCE: another mount, of which second_pid is the daemon.
second() {
	local first_pid=$fs_pid
	mnt=$tmp/mnt2 log=$tmp/log2 start_fs "$1"
	second_pid=$fs_pid
	started+=("$second_pid")
	fs_pid=$first_pid
}
end_second() {
	local first_pid=$fs_pid
	umount "$tmp/mnt2" || fail "umount of the second"
	fs_pid=$second_pid
	log=$tmp/log2 wait_fs
	fs_pid=$first_pid
}
# kept_out MOUNT: no session begins there, and it is told who has it.
kept_out() {
	local n
	n=$(record id)
	timeout 20 ls "$1/backup" >"$tmp/out" 2>"$tmp/err" && fail "a second session"
	grep -qi busy "$tmp/err" || fail "not EBUSY: $(cat "$tmp/err")"
	ctl 4 begin "$1"
	grep -q "$2" "$tmp/ctl.err" || fail "not told who: $(cat "$tmp/ctl.err")"
	[ "$(record id)" = "$n" ] || fail "a session was recorded"
}

# ---- two mounts of one source ------------------------------------------------

start_fs
second "$src"
mkdir "$tmp/copy"
cp -r "$mnt/backup/backup.json" "$tmp/copy" || fail cp
id=$(record id)
kept_out "$tmp/mnt2" "$fs_pid"
grep -q "^state: *serving" "$mnt/status" || fail "the first was disturbed"
cp -r "$mnt/backup" "$tmp/" || fail "the first was disturbed"
check_set "$tmp/backup"
kept_out "$tmp/mnt2" "$mnt"
stop_fs COPIED
[ "$(record id) $(record outcome)" = "$id COPIED" ] || fail "$(record outcome)"
[ "$(record place)" = "$mnt" ] || fail "place: $(record place)"
ctl 0 begin "$tmp/mnt2"
cp -r "$tmp/mnt2/backup" "$tmp/copy2" || fail "the second, later"
check_set "$tmp/copy2"
end_second
recorded COPIED
[ "$(record place)" = "$tmp/mnt2" ] || fail "place: $(record place)"
ok "two mounts of a source: EBUSY for the second, until the first is done"

# A dead one keeps nobody out.
start_fs
second "$src"
ls "$mnt/backup" >/dev/null || fail ls
kept_out "$tmp/mnt2" "$mnt"
kill -9 "$fs_pid"
wait "$fs_pid" 2>/dev/null
fs_pid=
umount -l "$mnt"
recorded 'ABORTED(crash)'
ctl 0 begin "$tmp/mnt2"
[ "$(record outcome 1)" = 'ABORTED(crash)' ] || fail "$(record outcome 1)"
end_second
ok "a daemon that was killed keeps nobody out"

# ---- one in the other --------------------------------------------------------

for inner in "$src/sub" "$src/app.db" "$src/sub/in.db"; do
	start_fs
	second "$inner"
	ls "$mnt/backup" >/dev/null || fail ls
	kept_out "$tmp/mnt2" "$mnt"
	umount "$mnt"
	wait_fs
	# The other way round.
	ls "$tmp/mnt2/backup" >/dev/null || fail "ls, $inner"
	start_fs
	kept_out "$mnt" "$tmp/mnt2"
	end_second
	ls "$mnt/backup" >/dev/null || fail "ls, when $inner is done"
	umount "$mnt"
	wait_fs
done
start_fs "$src/app.db"
second "$src/other.db"
ls "$mnt/backup" "$tmp/mnt2/backup" >/dev/null || fail "neighbours"
end_second
umount "$mnt"
wait_fs
ok "a source in a source is the same, both ways; a neighbour is not"

# ---- places that are refused -------------------------------------------------

# refused WORDS ARGUMENT...
refused() {
	local words=$1
	shift
	timeout 20 "$STILLFS" "$@" >"$tmp/out" 2>"$tmp/err" && fail "taken: $*"
	grep -qF -- "$words" "$tmp/err" || fail "$*: $(cat "$tmp/err")"
	mounted "$mnt" && fail "mounted all the same: $*"
	return 0
}
refused "$src/state" "$src" "$mnt" -o "state=$src/state"
[ -e "$src/state/catalog.db" ] && fail "a catalog in the source"
[ -e "$src/state" ] && fail "a directory in the source"
ln -s "$src" "$tmp/link"
refused "$src/a/b" "$src" "$mnt" -o "state=$tmp/link/a/b"
(cd "$src" && refused "$src/state" "$tmp/link" "$mnt" -o "state=state") || exit 1
# (What SQLite keeps beside a database is its own.)
[ "$(ls "$src" | grep -vE -- '-(wal|shm)$' | tr '\n' ' ')" = \
	"app.db other.db sub " ] || fail "left in the source: $(ls "$src")"
chmod 700 "$src"
refused "$src" "$src" "$mnt" -o "state=$src"
chmod 755 "$src"
[ -e "$src/catalog.db" ] && fail "a catalog in the source"
mkdir -m 700 "$tmp/above"
mkdir "$tmp/above/source"
make_db "$tmp/above/source/a.db" 4096 10
refused "$tmp/above" "$tmp/above/source" "$mnt" -o "state=$tmp/above"
[ "$(ls "$tmp/above")" = source ] || fail "a catalog above the source"
mkdir "$state/mnt"
refused "$state/mnt" "$src" "$state/mnt" -o "state=$state"
rmdir "$state/mnt"
refused "$state" "$src" "$state" -o "state=$state,nonempty"
mkdir -m 700 "$mnt/state"
refused "$mnt" "$src" "$mnt" -o "state=$mnt/state,nonempty"
rm -rf "$mnt/state"
ok "the state in the source, the source or the mountpoint in the state: refused"

# ---- a commit that comes later -----------------------------------------------

copied() {
	rm -rf "$tmp/copy"
	cp -r "$mnt/backup" "$tmp/copy" || fail cp
	wait_for 4 grep -q ' session-end .*outcome=COPIED' "$log" ||
		fail "the lease has no end: $(outcome)"
	recorded COPIED
}
start_fs "$src" -o lease=1
copied
ctl 0 commit "$mnt"
recorded COMMITTED
# Said twice it is what it was.
ctl 0 commit "$mnt"
umount "$mnt"
wait_fs
recorded COMMITTED
ok "COPIED by a lease, then commit on the mount: COMMITTED"

start_fs "$src" -o lease=1
copied
id=$(record id)
ctl 0 begin "$mnt"
[ "$(record outcome 1)" = COPIED ] || fail "$(record outcome 1)"
# Who names his session does not hit that of somebody else.
for verb in commit abort; do
	ctl 1 $verb --session "$id" "$mnt"
	grep -qF "session \`$id\`: is not the present one, which is " \
		"$tmp/ctl.err" || fail "$(cat "$tmp/ctl.err")"
done
[ "$(record state)" = serving ] || fail "the session of another was ended"
ctl 0 abort --session "$(record id)" "$mnt"
ctl 1 commit "$mnt"
[ "$(record outcome) $(record outcome 1)" = 'ABORTED(by caller) COPIED' ] ||
	fail "$(record outcome) $(record outcome 1)"
umount "$mnt"
wait_fs
ctl 1 commit --state "$state" "$src"
ctl 1 commit --state "$state" --session "$id" "$src"
[ "$(record outcome 1)" = COPIED ] || fail "committed after a later session"
ok "a later session has begun: no commit any more"

for target in "$src" "$mnt"; do
	start_fs
	cp -r "$mnt/backup" "$tmp/copy$RANDOM" || fail cp
	stop_fs COPIED
	ctl 0 commit --state "$state" "$target"
	recorded COMMITTED
done
ok "COPIED, unmounted, then commit of the source or the mountpoint: COMMITTED"

start_fs
ls "$mnt/backup" >/dev/null || fail ls
umount "$mnt"
wait_fs
recorded 'ABORTED(unread)'
ctl 1 commit --state "$state" "$src"
recorded 'ABORTED(unread)'
start_fs
ctl 1 commit "$mnt"
ctl 1 abort "$mnt"
umount "$mnt"
wait_fs
recorded 'ABORTED(unread)'
ok "no commit of what is aborted, nor of what never was"

# ---- what need not be read again ---------------------------------------------

wait_for 6 aged || fail "time stands still"
export RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$tmp/restic-cache
export BORG_BASE_DIR=$tmp/borg-base LC_ALL=C.UTF-8
tool_rsync() { rsync -a "$mnt/backup/" "$tmp/rsync/"; }
tool_restic() { restic -q -r "$tmp/restic" backup "$mnt/backup"; }
tool_borg() { borg create "$tmp/borg::$1" "$mnt/backup"; }
restic -q -r "$tmp/restic" init >/dev/null || fail "restic init"
borg init -e none "$tmp/borg" 2>/dev/null || fail "borg init"
for tool in rsync restic borg; do
	start_fs
	tool_$tool 1 >"$tmp/out" 2>&1 || fail "$tool: $(cat "$tmp/out")"
	stop_fs COPIED
	first=$(record bytes_served)
	# An abort in between changes nothing.
	start_fs
	ls "$mnt/backup" >/dev/null || fail ls
	umount "$mnt"
	wait_fs
	start_fs
	tool_$tool 2 >"$tmp/out" 2>&1 || fail "$tool: $(cat "$tmp/out")"
	stop_fs COPIED
	recorded COPIED
	[ "$(record files_known)" = 3 ] ||
		fail "$tool: $(record files_known) files known"
	served=$(record bytes_served)
	[ $((served * 10)) -lt "$first" ] ||
		fail "$tool read $served bytes again, of $first"
	ok "$tool, a second run: 3 databases known, $served bytes of $first read, COPIED"
done

# What is not what it was must be read.
sqlite3 "$src/sub/in.db" "UPDATE t SET b='x' WHERE a=1" || fail "the change"
start_fs
cat "$mnt/backup/backup.json" "$mnt/backup/verify/XXH128SUMS" >/dev/null
stop_fs 'ABORTED(partial: 2 of 5 files)'
start_fs
tool_rsync || fail rsync
stop_fs COPIED
[ "$(record files_known)" = 2 ] || fail "$(record files_known) files known"
ok "a database that was changed must be read"
