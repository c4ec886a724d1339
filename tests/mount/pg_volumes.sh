#!/bin/bash
# SPDX-License-Identifier: MIT
# A server whose WAL lies on a full file system: `stillctl check` and `status` name
# that one, though the data directory has room.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

vol=$tmp/vol
cluster=$tmp/cluster
mkdir "$vol"
mount -t tmpfs -o size=64m,mode=755 none "$vol" || fail "tmpfs"
mkdir "$vol/wal" && chown postgres "$vol/wal"
cluster_new "$cluster" --wal-segsize=1 -X "$vol/wal" || fail "initdb"
cluster_conf "$cluster" "min_wal_size = 16MB" "max_wal_size = 16MB"
cluster_start "$cluster"
# The server has segments to go on with, for as long as nobody writes much.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
	cluster_psql "$cluster" -c 'SELECT pg_switch_wal()' >/dev/null
	cluster_psql "$cluster" -c 'CREATE TABLE x(); DROP TABLE x'
done
cluster_psql "$cluster" -c CHECKPOINT || fail "checkpoint"

start_fs "$cluster/data"
ctl 0 check --state "$state" "$cluster/data"
grep -qx 'error:     none' "$mnt/status" || fail "$(cat "$mnt/status")"
fill() { dd if=/dev/zero of="$vol/filler" bs=64k 2>/dev/null; }
fill
# A backup, whoever makes it, ends with a file in pg_wal.
ctl 4 check --state "$state" "$cluster/data"
ctl_says "error: server of " "No space left on device" \
	"warning: file system \`$vol\`: is full, " "a backup would fail"
truncate -s -512K "$vol/filler"
ctl 3 check --state "$state" "$cluster/data"
ctl_says "warning: file system \`$vol\`: is full, " "\`$cluster/data/pg_wal\`"
grep -qF "error:     file system \`$vol\`: is full, " "$mnt/status" ||
	fail "$(cat "$mnt/status")"
rm "$vol/filler"
grep -qx 'error:     none' "$mnt/status" || fail "$(cat "$mnt/status")"
ok "a full file system below pg_wal is named, until there is room again"
umount "$mnt" && wait_fs
