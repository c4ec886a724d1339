#!/bin/bash
# SPDX-License-Identifier: MIT
# stillctl and a mount: what it says, what it does, and with what it ends.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 2000
make_db "$src/two.db" 4096 20
id='[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}'

# value FILTER: of the JSON that was printed last, by an expression of Python
# over `j`; of several lines, over the last one.
value() {
	python3 -c '
import json, sys
text = sys.stdin.read()
try:
	j = json.loads(text)
except ValueError:
	j = json.loads(text.splitlines()[-1])
print(eval(sys.argv[1]))' "$1" <"$tmp/ctl.out" || fail "no JSON: $1"
}
value_is() {
	local got
	got=$(value "$1")
	[ "$got" = "$2" ] || fail "$1 is '$got', not '$2'"
}
line_is() { grep -qxE "$1" "$tmp/ctl.out" || { cat "$tmp/ctl.out"; fail "no line $1"; }; }
sessions() { ctl 0 list --json "$mnt" && value 'len(j)'; }

# --- Before the mount.
ctl 1 begin "$mnt"
ctl_complains 'no mount of stillfs'
ctl 1 status --state "$state" "$src"
ctl 0 check --state "$state" "$src"
ctl_says 'app.db' 'two.db' 'a backup would succeed'
ctl_says 'the state directory does not exist yet' 'neither mounted'
[ -e "$state" ] && fail "check has made the state directory"
ok "nothing is mounted, and check makes nothing"

# --- Status of a mount, which begins nothing.
start_fs
ctl 0 status "$mnt"
cmp -s <(grep '^source:' "$tmp/ctl.out") <(grep '^source:' "$mnt/status") ||
	fail "status does not print the file"
ctl_says 'state:     idle'
ctl 0 status --json "$src"
value_is 'j["mountpoint"]' "$mnt"
value_is 'j["state_dir"]' "$state"
ctl 0 status -q "$mnt"
[ -s "$tmp/ctl.out" ] && fail "quiet, and says something"
ctl 0 list "$mnt"
ctl 1 commit "$mnt"
ctl_complains 'no session'
ctl 1 abort --json "$mnt"
value_is 'j["error"]["message"].count("no session")' 1
grep -q ' session-' "$log" && fail "something has begun a session"
ok "status, list, commit and abort of an idle mount begin nothing"

# --- Begin and abort.
ctl 0 begin "$mnt"
line_is "$id"
session=$(cat "$tmp/ctl.out")
ctl 4 begin "$mnt"
ctl_complains 'has a session already'
ctl 0 status --json "$mnt"
value_is 'j["state"]' serving
value_is 'j["session"]["id"]' "$session"
cat "$mnt/backup/backup.json" >/dev/null || fail "begin, and nothing to read"
ctl 0 abort "$mnt"
line_is "$session ABORTED\\(by caller\\)"
ctl 1 abort "$mnt"
ctl 0 status "$mnt"
ctl 0 begin --copy --json "$src"
value_is 'j["event"]' done
value_is 'j["state"]' serving
ctl 0 abort -q "$mnt"
[ -s "$tmp/ctl.out" ] && fail "quiet, and says something"
ctl 0 list --json "$mnt"
value_is '[s["kind"] for s in j]' "['copy', 'full']"
ok "begin and abort"

# --- Commit of what was read, and of what was not.
cp -r "$mnt/backup" "$tmp/one" || fail cp
ctl 0 commit "$mnt"
line_is "$id COMMITTED"
check_set "$tmp/one"
cp "$tmp/ctl.out" "$tmp/first"
ctl 0 commit "$src"
cmp -s "$tmp/ctl.out" "$tmp/first" || fail "a second commit says otherwise"
ctl 0 begin "$mnt"
ctl 0 commit --json "$mnt"
value_is 'j["event"]' done
value_is 'j["outcome"]' COMMITTED
value_is 'j["bytes_verified"] > 0' True
ctl 0 list "$mnt"
[ "$(grep -c COMMITTED "$tmp/ctl.out")" = 2 ] || fail "not two are committed"
ctl 0 list --good --limit 1 --json "$mnt"
value_is 'len(j)' 1
value_is 'j[0]["number"]' 4
value_is 'j[0]["source"]' "$src"
value_is 'j[0]["committed_at"] is not None' True
ok "commit, before and after everything was read"

# --- COPIED by unmount; committed afterwards, until the next session.
cp -r "$mnt/backup" "$tmp/two" || fail cp
umount "$mnt" || fail umount
wait_fs
ctl 0 status --state "$state" "$mnt"
ctl_says 'state:     not mounted' 'COPIED' 'stillctl commit'
ctl 0 commit --state "$state" "$mnt"
line_is "$id COMMITTED"
ctl 0 commit --state "$state" "$src"
start_fs
cp -r "$mnt/backup" "$tmp/three" || fail cp
umount "$mnt" || fail umount
wait_fs
start_fs
cat "$mnt/backup/backup.json" >/dev/null
umount "$mnt" || fail umount
wait_fs
ctl 1 commit --state "$state" "$src"
ctl 3 status --state "$state" "$src"
ctl_says 'ABORTED(partial: 1 of 4 files)' 'last good:'
ok "what is COPIED can be committed without a mount, until the next session"

# --- Damage.
open_app "$src/app.db"
app "UPDATE t SET b=hex(randomblob(50)) WHERE a BETWEEN 600 AND 1200;
	UPDATE t SET b=hex(randomblob(50)) WHERE a < 1000;"
eval "$("$WAL" info "$src/app.db")"
"$WAL" flip "$src/app.db" 3 100 || fail flip
ctl 5 check --state "$state" "$src"
ctl_says 'error: ' 'app.db' 'a backup would fail, or be none'
ctl 5 check --json --state "$state" "$src"
value_is 'j["ok"]' False
value_is 'j["findings"][0]["code"]' corrupt
start_fs
ctl 0 begin "$mnt"
ctl 3 status "$mnt"
ctl 3 status --json "$mnt"
value_is 'j["session"]["error"]["code"]' corrupt
ctl 5 commit "$mnt"
ctl_complains 'app.db'
ctl 3 status "$mnt"
ctl 0 list --limit 1 "$mnt"
ctl_says 'ABORTED(corrupt)'
umount "$mnt" || fail umount
wait_fs
"$WAL" flip "$src/app.db" 3 100 || fail flip
close_app
ctl 3 status --state "$state" "$src"
ctl_says 'ABORTED(corrupt)' 'error:     '
ok "damage: check and commit end with 5, status with 3"

# --- A database that its application has locked.
exec 8> >(exec sqlite3 "$src/two.db" >"$tmp/locker.out" 2>&1)
started+=($!)
printf '%s\n' "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE;
	INSERT INTO t(b) VALUES(1); SELECT 'locked';" >&8
wait_for 10 grep -q locked "$tmp/locker.out" || fail "no lock"
timeout 60 "$STILLCTL" check --state "$state" --freeze-ms=500 "$src" \
	>"$tmp/ctl.out" 2>"$tmp/ctl.err"
got=$?
[ "$got" = 1 ] || [ "$got" = 4 ] || { cat "$tmp"/ctl.*; fail "exit $got"; }
ctl_says 'error: ' 'two.db'
exec 8>&-
wait_for 10 timeout 20 "$STILLCTL" check --state "$state" "$src" || fail "still locked"
ok "a locked database is found by check"

# --- What else is wrong with a source, or with the machine.
ctl 1 check --state "$state" "$tmp/none"
ctl_says 'error: ' "$tmp/none"
mkdir "$tmp/open"
chmod 755 "$tmp/open"
ctl 1 check --state "$tmp/open" "$src"
ctl_says 'error: ' "$tmp/open"
ctl 2 check --verify=all "$src"
ctl 2 check "$src" "$src"
ctl 1 check --engine=none --state "$state" "$src"
ok "check refuses what a mount would refuse"

# --- One session at a time: check disturbs nobody.
start_fs
cp "$mnt/backup/backup.json" "$tmp/before.json" || fail cp
ctl 4 check "$src"
cmp "$mnt/backup/backup.json" "$tmp/before.json" || fail "check disturbs"
ctl 0 abort "$mnt"
ctl 0 check "$src"
ok "check during a session is busy"

# --- Others may look, if the modes let them, and not touch.
umount "$mnt" || fail umount
wait_fs
chmod 755 "$src"
start_fs "$src" -o allow_other
other=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
"${other[@]}" timeout 20 "$STILLCTL" status "$mnt" >/dev/null ||
	fail "another user cannot read the status"
for verb in begin commit abort; do
	"${other[@]}" timeout 20 "$STILLCTL" $verb "$mnt" 2>"$tmp/ctl.err"
	got=$?
	[ $got = 1 ] || fail "another user may $verb: exit $got"
	ctl_complains 'this user may not control the mount'
done
"${other[@]}" timeout 20 "$STILLCTL" umount "$mnt" 2>/dev/null &&
	fail "another user may unmount"
mounted "$mnt" || fail "unmounted by another user"
umount "$mnt" || fail umount
wait_fs
grep -q ' session-' "$log" && fail "another user has begun a session"
chown nobody "$src"
start_fs "$src" -o allow_other
"${other[@]}" timeout 20 "$STILLCTL" begin "$mnt" >/dev/null ||
	fail "the owner of the source may not begin"
"${other[@]}" timeout 20 "$STILLCTL" commit "$mnt" >"$tmp/ctl.out" ||
	fail "the owner of the source may not commit"
line_is "$id COMMITTED"
chown root "$src"
umount "$mnt" || fail umount
wait_fs
ok "another user controls nothing; the owner of the source may"

# --- A dead mount.
start_fs
cat "$mnt/backup/backup.json" >/dev/null
kill -9 "$fs_pid"
wait "$fs_pid" 2>/dev/null
fs_pid=
for verb in begin abort; do
	ctl 1 $verb "$mnt"
	ctl_complains 'the daemon of this mount has died' 'stillctl umount'
done
ctl 3 status --state "$state" "$mnt"
ctl_says 'state:     dead' 'ABORTED(crash)'
ctl 1 commit --state "$state" "$mnt"
ctl 6 umount --state "$state" "$mnt"
line_is "$id ABORTED\\(crash\\)"
mounted "$mnt" && fail "still there"
ok "a dead mount is told as such, and cleared away"

# --- Which instance: in a mount table of our own, without those of others.
cat >"$tmp/instances.sh" <<'END_OF_INSTANCES'
set -u
awk '/ - fuse.stillfs / {print $5}' /proc/self/mountinfo |
	while IFS= read -r m; do umount -l "$(printf %b "${m//\\/\\0}")"; done
want() {
	local want=$1 got
	shift
	timeout 20 "$@" >"$tmp/ctl.out" 2>"$tmp/ctl.err"
	got=$?
	[ $got = "$want" ] && return
	cat "$tmp/ctl.out" "$tmp/ctl.err"
	echo "exit $got, not $want: $*"
	exit 1
}
said() { grep -qF -- "$1" "$tmp/ctl.err" || { cat "$tmp/ctl.err"; exit 1; }; }
want 1 "$STILLCTL" status
said 'no instance: no stillfs is mounted, and none is configured'
want 1 "$STILLCTL" commit --json
mkdir "$tmp/m1" "$tmp/m2" "$tmp/s2"
cp "$src/two.db" "$tmp/s2/"
export STILLCTL_FSTAB=$tmp/fstab
echo "$src $tmp/m1 fuse.stillfs noauto,state=$state 0 0" >"$STILLCTL_FSTAB"
want 3 "$STILLCTL" status
want 1 "$STILLCTL" begin
said 'is not mounted'
want 0 "$STILLCTL" list
want 0 "$STILLCTL" check
"$STILLFS" "$src" "$tmp/m1" || exit 1
want 0 "$STILLCTL" begin
want 0 "$STILLCTL" abort
"$STILLFS" "$tmp/s2" "$tmp/m2" || exit 1
want 2 "$STILLCTL" begin
said "several instances; name one: $tmp/m1, $tmp/m2"
want 2 "$STILLCTL" umount
want 2 "$STILLCTL" list
# A catalog is named: all that is in it.
want 0 "$STILLCTL" list --state "$state"
grep -qF "ABORTED(by caller)" "$tmp/ctl.out" || exit 1
want 0 "$STILLCTL" begin "$tmp/s2"
want 0 "$STILLCTL" umount "$tmp/s2"
want 0 "$STILLCTL" umount
END_OF_INSTANCES
export tmp src state STILLFS STILLCTL
timeout 120 unshare -m --propagation slave bash "$tmp/instances.sh" ||
	fail "which instance is meant"
ok "without a target the only instance is meant; several are named"

# --- Names that are not easy.
odd="$tmp/a b	c\\d#e"$'\n'"f - g"
mkdir "$odd" "$tmp/odd mnt"
make_db "$odd/x.db" 4096 5
"$STILLFS" "$odd" "$tmp/odd mnt" || fail "mount of an odd name"
ctl 0 status --json "$odd"
value_is 'j["source"] == "'"$tmp"'/a b\tc\\d#e\nf - g"' True
ctl 0 begin "$odd"
ctl 0 commit "$tmp/odd mnt/"
ctl 0 list "$odd"
ctl 0 umount "$odd"
ok "spaces, tabs, newlines and backslashes in names"
