#!/bin/bash
# SPDX-License-Identifier: MIT
# By an automounter, here autofs, by the lines in doc/mounting.md: mounted at the
# first look, away when idle, and back again. While it mounts, the kernel lets only the automounter's own
# process group to the mountpoint: everybody else waits for the mount, and a
# daemon that did would wait for itself. systemd's automount does the same.
. "$(dirname "$0")/../lib/system.sh"

command -v automount >/dev/null || skip "no automount(8)"
grep -q autofs /proc/filesystems || modprobe autofs4 2>/dev/null ||
	skip "no autofs in this kernel"

# The two lines of the page, for places of ours, with an idle time for tests.
# The same map serves as a direct one.
make_db "$src/app.db" 4096 50
mkdir "$tmp/indirect" "$tmp/direct"
sed -n '/^## autofs/,/^## /s/^    //p' "$TOP/doc/mounting.md" |
	sed -e "s|/mnt/stillfs|$tmp/indirect|" -e "s|/var/lib/shop|$src|" \
		-e "s|/etc/auto.stillfs|$tmp/auto.stillfs|" \
		-e 's|--timeout=[0-9]*|--timeout=2|' >"$tmp/lines"
[ "$(wc -l <"$tmp/lines")" = 2 ] || fail "the page has other lines"
sed -n 1p "$tmp/lines" >"$tmp/auto.master"
sed -n 2p "$tmp/lines" >"$tmp/auto.stillfs"
sed "s|^shop|$tmp/direct|" "$tmp/auto.stillfs" >"$tmp/auto.direct"
echo "/- $tmp/auto.direct --timeout=2" >>"$tmp/auto.master"

# A process group of its own, or this test would be in its.
setsid automount -f -v --pid-file "$tmp/pid" "$tmp/auto.master" \
	>"$tmp/log.automount" 2>&1 &
started+=($!)
wait_for 10 eval '[ "$(grep -c "$tmp.* autofs " /proc/self/mountinfo)" = 2 ]' ||
	fail "automount does not start: $(cat "$tmp/log.automount")"

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
		away "$place"
		# To look at the place would mount it again.
		ended "$src" COPIED
	done
	ok "autofs mounts ${place#"$tmp"/} at the first look, and unmounts it when idle"
done
kill "$(cat "$tmp/pid")"
wait_for 10 eval '! grep -q "$tmp.* autofs " /proc/self/mountinfo' ||
	fail "automount does not end"
ok "the automounter ends"
