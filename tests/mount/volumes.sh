#!/bin/bash
# SPDX-License-Identifier: MIT
# Where the application can write nothing, stillfs says so, before any backup:
# `stillctl check` and `status` name the file system that is full or read-only.
. "$(dirname "$0")/../lib/mount.sh"

vol=$tmp/vol
mkdir "$vol" "$tmp/view"
mount -t tmpfs -o size=8m,mode=755 none "$vol" || fail "tmpfs"
make_db "$vol/app.db" 4096 100
sqlite3 "$vol/old.db" 'CREATE TABLE t(a); INSERT INTO t VALUES(1)'
make_db "$src/other.db" 4096 10

# The codes of what status.json says is wrong.
problems() {
	cat "$mnt/status.json" >"$tmp/status.json"
	sqlite3 :memory: "SELECT json_extract(CAST(readfile('$tmp/status.json')
		AS TEXT), '\$.problems[0].code', '\$.problems[1].code')"
}
counted() { sed -n 's/^stillfs_problems{.* //p' "$mnt/metrics"; }
# fine SOURCE: neither tells of anything.
fine() {
	ctl 0 check --state "$state" "$1"
	grep -q 'file system' "$tmp/ctl.out" && fail "$(cat "$tmp/ctl.out")"
	grep -qx 'error:     none' "$mnt/status" || fail "$(cat "$mnt/status")"
	[ "$(problems)" = '[null,null]' ] || fail "a problem: $(problems)"
	[ "$(counted)" = 0 ] || fail "metrics: $(counted) problems"
}

start_fs "$vol"
fine "$vol"
ok "where there is room nothing is said"

dd if=/dev/zero of="$vol/filler" bs=64k 2>/dev/null
open_app "$vol/app.db"
app "INSERT INTO t(b) VALUES(zeroblob(100000));"
grep -q 'full' "$tmp/app.out" || fail "the application can write"
close_app
ctl 3 check --state "$state" "$vol"
ctl_says "warning: file system \`$vol\`: is full, " \
	"can fail" "Make room there" "a backup would succeed"
grep -qF "error:     file system \`$vol\`: is full, " "$mnt/status" ||
	fail "$(cat "$mnt/status")"
grep -q '^hint:      Make room there' "$mnt/status" ||
	fail "$(cat "$mnt/status")"
[ "$(problems)" = '["volume-full",null]' ] || fail "the problem is $(problems)"
[ "$(counted)" = 1 ] || fail "metrics: $(counted) problems"
rm "$vol/filler"
fine "$vol"
ok "a full file system is named, until there is room again"

# Only here is it read-only, and that says nothing of the application.
mount --bind "$vol" "$tmp/view" && mount -o remount,bind,ro "$tmp/view" ||
	fail "bind"
umount "$mnt" && wait_fs
rm -f "$vol"/app.db*
start_fs "$tmp/view"
fine "$tmp/view"
umount "$mnt" && wait_fs
umount "$tmp/view"
ok "a view that is read-only is no trouble"

start_fs "$vol"
mount -o remount,ro "$vol" || fail "remount"
ctl 3 check --state "$state" "$vol"
ctl_says "warning: file system \`$vol\`: is read-only, " "mount it anew"
grep -qF "error:     file system \`$vol\`: is read-only" "$mnt/status" ||
	fail "$(cat "$mnt/status")"
[ "$(problems)" = '["volume-read-only",null]' ] || fail "the problem is $(problems)"
cat "$mnt/backup/data/old.db" >/dev/null || fail "$(cat "$mnt/status")"
mount -o remount,rw "$vol" || fail "remount"
umount "$mnt" && wait_fs
ok "one that is read-only is named, and is backed up all the same"
