#!/bin/bash
# SPDX-License-Identifier: MIT
# stillctl umount: it waits for the daemon, and ends with the session's outcome.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 5000
make_db "$src/two.db" 4096 20

# umount_is STATUS OUTCOME [OPTION...]: when it returns, the daemon is gone.
umount_is() {
	local want=$1 outcome=$2
	shift 2
	ctl "$want" umount "$@" "$mnt"
	gone_or_zombie "$fs_pid" || fail "the daemon outlives stillctl umount"
	mounted "$mnt" && fail "still mounted"
	wait_fs
	grep -qE "^($outcome)\$" "$tmp/ctl.out" || {
		cat "$tmp/ctl.out"
		fail "stillctl umount does not say $outcome"
	}
}
id='[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}'

start_fs
umount_is 0 'no session'
ok "no session"

start_fs
ls "$mnt/backup" >/dev/null
umount_is 0 'no session'
ok "a session that nobody has read"

start_fs
cat "$mnt/backup/backup.json" >/dev/null
umount_is 6 "$id ABORTED\\(partial: 1 of 4 files\\)"
ok "half of it"

start_fs
cp -r "$mnt/backup" "$tmp/copied" || fail cp
umount_is 0 "$id COPIED"
check_set "$tmp/copied"
ok "all of it"

start_fs
cp -r "$mnt/backup" "$tmp/committed" || fail cp
ctl 0 commit "$mnt"
# An indexer comes by, and must not hide it.
ls "$mnt/backup" >/dev/null
umount_is 0 "$id COMMITTED"
ok "a commit, and an indexer behind it"

start_fs
ctl 0 begin "$mnt"
ctl 0 commit "$mnt"
umount_is 0 "$id COMMITTED"
ok "a commit of what nobody has read"

start_fs
cp -r "$mnt/backup" "$tmp/aborted" || fail cp
ctl 0 abort "$mnt"
umount_is 6 "$id ABORTED\\(by caller\\)"
ok "an abort"

# What an earlier mount at this place did is not the question.
start_fs
umount_is 0 'no session'
ok "the sessions of earlier mounts do not count"

open_app "$src/app.db"
app "UPDATE t SET b=hex(randomblob(50)) WHERE a < 1000;"
"$WAL" flip "$src/app.db" 3 100 || fail flip
start_fs
cat "$mnt/backup/data/two.db" >/dev/null || fail "the other one"
umount_is 5 "$id ABORTED\\(corrupt\\)"
# Nobody read a byte, and nobody could have.
start_fs
ls "$mnt/backup" >/dev/null
umount_is 3 'no session'
ctl_complains 'ABORTED(corrupt)'
"$WAL" flip "$src/app.db" 3 100 || fail flip
close_app
ok "damage"

start_fs
ctl 0 begin "$mnt"
(cd "$mnt/backup" && exec sleep 60) &
started+=($!)
sleeper=$!
wait_for 5 test "$(readlink "/proc/$sleeper/cwd")" = "$mnt/backup"
ctl 4 umount "$mnt"
ctl_complains 'is in use' "fuser -vm $mnt"
ctl 4 umount --json "$mnt"
ctl_says '"code":"busy"'
mounted "$mnt" || fail "unmounted, though busy"
ctl 0 status --json "$mnt"
ctl_says '"state": "serving"'
head -c 5000 "$mnt/backup/data/app.db" >/dev/null || fail "disturbed"
umount_is 6 "$id ABORTED\\(partial: .*\\)" --lazy
kill "$sleeper"
ok "a busy mount stays, and its session with it; --lazy takes it away"

start_fs
cat "$mnt/backup/backup.json" >/dev/null
umount_is 6 "\\{\"event\":\"done\",\"session\":\"$id\",\"outcome\":\"ABORTED\\(.*\\)\"\\}" --json
start_fs
umount_is 0 '\{"event":"done","session":null,"outcome":null\}' --json
ok "in JSON"

start_fs
cat "$mnt/backup/backup.json" >/dev/null
ctl 3 umount --state "$tmp/none" "$mnt"
ctl_complains 'how its session ended cannot be told'
wait_fs
ok "a catalog that cannot be read is a warning"

# As a user, with fusermount3.
user=(setpriv --reuid=nobody --regid=nogroup --clear-groups env
	XDG_STATE_HOME="$tmp/home")
mkdir "$tmp/home" "$tmp/usrc" "$tmp/umnt"
cp "$src/two.db" "$tmp/usrc/"
chown -R nobody "$tmp/home" "$tmp/usrc" "$tmp/umnt"
"${user[@]}" timeout 30 "$program" "$tmp/usrc" "$tmp/umnt" || fail "as a user"
timeout 30 "${user[@]}" cp -r "$tmp/umnt/backup" "$tmp/home/copy" || fail cp
(cd "$tmp" && exec timeout 60 "${user[@]}" "$STILLCTL" check "$tmp/usrc") \
	>"$tmp/ctl.out" 2>"$tmp/ctl.err"
[ $? = 4 ] || { cat "$tmp"/ctl.*; fail "check as a user"; }
timeout 60 "${user[@]}" "$STILLCTL" umount "$tmp/umnt" >"$tmp/ctl.out" \
	2>"$tmp/ctl.err" || { cat "$tmp"/ctl.*; fail "umount as a user"; }
grep -qxE "$id COPIED" "$tmp/ctl.out" || fail "umount as a user: outcome"
mounted "$tmp/umnt" && fail "still mounted"
timeout 60 "${user[@]}" "$STILLCTL" check "$tmp/usrc" >"$tmp/ctl.out" ||
	fail "check as a user"
timeout 60 "${user[@]}" "$STILLCTL" commit "$tmp/usrc" >"$tmp/ctl.out" ||
	fail "commit as a user"
ok "as a user other than root"
