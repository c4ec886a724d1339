#!/bin/bash
# SPDX-License-Identifier: MIT
# What walks over file systems without being asked: updatedb stays out with the
# line in doc/mounting.md, and would come in without it. What only looks at the
# mount begins nothing.
. "$(dirname "$0")/../lib/system.sh"

command -v updatedb >/dev/null || skip "no updatedb"
make_db "$src/app.db" 4096 50
mkdir -p "$tmp/root/mnt"
mnt=$tmp/root/mnt
stillfs -o lease=1 "$src" "$mnt" || fail "the mount"

# As the package has it; it leaves /tmp out, where this test is.
sed '/^PRUNEPATHS/d' /etc/updatedb.conf >"$tmp/updatedb.conf"
grep -q '^PRUNEFS *= *"' "$tmp/updatedb.conf" || fail "another updatedb.conf"
grep -q fuse.stillfs "$tmp/updatedb.conf" && fail "somebody was here before"
mount --bind "$tmp/updatedb.conf" /etc/updatedb.conf || fail "updatedb.conf"
index() {
	updatedb -l no -U "$tmp/root" --prune-bind-mounts no -o "$tmp/index" ||
		fail "updatedb"
}
state() { sed -n 's/^state: *\([a-z]*\).*/\1/p' "$mnt/status"; }

index
# It may be over by now.
[ "$(state)" = serving ] || [ "$(state)" = ended ] ||
	fail "updatedb does not look into the mount"
wait_for 10 eval '[ "$(state)" = ended ]' || fail "the session lasts"
ended "$mnt" "ABORTED(unread)"
grep -q '^error: *none' "$mnt/status" || fail "a problem: $(cat "$mnt/status")"
ok "an indexer begins a session, which ends ABORTED(unread) and is no problem"

line=$(sed -n 's/^ *\(sed -i .*updatedb.conf\)$/\1/p' "$TOP/doc/mounting.md")
[ -n "$line" ] || fail "the page has no line for updatedb.conf"
# It cannot be replaced, being mounted.
eval "${line//\/etc\/updatedb.conf/$tmp/updatedb.conf}" || fail "$line"
umount /etc/updatedb.conf
mount --bind "$tmp/updatedb.conf" /etc/updatedb.conf || fail "updatedb.conf"
index
[ "$(state)" = ended ] || fail "updatedb looks into the mount all the same"
ok "with the line of the page it stays out"

umount "$mnt" || fail umount
away "$mnt"
stillfs "$src" "$mnt" || fail "the mount"
df "$mnt" >/dev/null
stat "$mnt" "$mnt/backup" >/dev/null
ls -la "$mnt" >/dev/null
find "$mnt" -maxdepth 1 >/dev/null
find "$tmp/root" -xdev >/dev/null
du -x "$tmp/root" >/dev/null
cat "$mnt/status" "$mnt/status.json" "$mnt/metrics" "$mnt/events" >/dev/null
[ "$(state)" = idle ] || fail "a look from outside begins a session"
ok "df, stat, ls -la, find -xdev, du -x and monitoring begin none"
umount "$mnt" || fail umount
away "$mnt"
