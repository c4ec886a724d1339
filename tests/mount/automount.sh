#!/bin/bash
# SPDX-License-Identifier: MIT
# By an automounter, here autofs: mounted at the first look, away when idle, and
# back again. While it mounts, the kernel lets only the automounter's own
# process group to the mountpoint: everybody else waits for the mount, and a
# daemon that did would wait for itself. systemd's automount does the same.
[ -n "${STILL_NS:-}" ] || [ "$(id -u)" != 0 ] ||
	STILL_NS=1 exec unshare -m bash "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"

command -v automount >/dev/null || skip "no automount(8)"
grep -q autofs /proc/filesystems || modprobe autofs4 2>/dev/null ||
	skip "no autofs in this kernel"

make_db "$src/app.db" 4096 50
bin=$tmp/bin
mkdir "$bin" "$tmp/indirect" "$tmp/direct"
ln -s "$(realpath "$STILLFS")" "$bin/stillfs"
mount --bind "$bin" /usr/local/bin || fail "no mount namespace"
# It looks there whether another is running.
mount -t tmpfs tmpfs /run || fail "no tmpfs"

echo "shop -fstype=fuse.stillfs,ro :$src" >"$tmp/auto.indirect"
echo "$tmp/direct -fstype=fuse.stillfs,ro :$src" >"$tmp/auto.direct"
cat >"$tmp/auto.master" <<-EOF
	$tmp/indirect $tmp/auto.indirect --timeout=2
	/- $tmp/auto.direct --timeout=2
EOF
# A process group of its own, or this test would be in its.
setsid automount -f -v --pid-file "$tmp/pid" "$tmp/auto.master" \
	>"$tmp/log.automount" 2>&1 &
started+=($!)
wait_for 10 eval '[ "$(grep -c "$tmp.* autofs " /proc/self/mountinfo)" = 2 ]' ||
	fail "automount does not start: $(cat "$tmp/log.automount")"

stillfs_at() { grep -q " $1 .* fuse.stillfs " /proc/self/mountinfo; }
for place in "$tmp/indirect/shop" "$tmp/direct"; do
	for i in 1 2; do
		stillfs_at "$place" && fail "$place is mounted before a look"
		timeout 20 cp -r "$place/backup" "$tmp/copy" ||
			fail "cp from $place: $(tail "$tmp/log.automount")"
		check_set "$tmp/copy"
		rm -rf "$tmp/copy"
		stillfs_at "$place" || fail "$place is not mounted"
		wait_for 15 eval '! stillfs_at "$place"' ||
			fail "$place stays mounted"
	done
	ok "autofs mounts ${place#"$tmp"/} at the first look, and unmounts it when idle"
done
wait_for 3 eval '! pgrep -f "^[^ ]*stillfs $src $tmp"' ||
	fail "a daemon stays behind"
kill "$(cat "$tmp/pid")"
wait_for 10 eval '! grep -q "$tmp.* autofs " /proc/self/mountinfo' ||
	fail "automount does not end"
ok "no daemon stays behind"
