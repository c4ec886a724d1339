#!/bin/bash
# SPDX-License-Identifier: MIT
# Captures on real file systems: where clones can be had and where not, where
# they lie, and that nothing is left of them.
. "$(dirname "$0")/../lib/say.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
[ -n "${STILL_NS:-}" ] || STILL_NS=1 exec unshare -m bash "$0" "$@"
set -u
: "${CAPTURE:?}" "${TEST_PG_CAPTURE:?}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/stillfs-test.XXXXXX")
cleanup() {
	local status=$?
	[ -z "${pid:-}" ] || kill -9 "$pid" 2>/dev/null
	for m in $(awk -v t="$tmp/" 'index($5, t) == 1 { print $5 }' \
		/proc/self/mountinfo | sort -r); do
		umount "$m"
	done
	rm -rf "$tmp"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# make FS MKFS...: a file system on $tmp/FS.
make() {
	local fs=$1
	shift
	command -v "$1" >/dev/null || skip "no $1"
	truncate -s 1G "$tmp/$fs.disk"
	"$@" "$tmp/$fs.disk" >/dev/null 2>"$tmp/err" || fail "$(cat "$tmp/err")"
	mkdir "$tmp/$fs"
	mount -o loop "$tmp/$fs.disk" "$tmp/$fs" || skip "no loop mount of $fs"
}
make ext4 mkfs.ext4 -q
make xfs mkfs.xfs -q -m reflink=1
make btrfs mkfs.btrfs -q

for fs in ext4 xfs btrfs; do
	clones=1
	[ "$fs" != ext4 ] || clones=
	TMPDIR=$tmp/$fs STILL_TEST_CLONES=$clones \
		"$TEST_PG_CAPTURE" >"$tmp/out" 2>&1 || fail "$fs: $(cat "$tmp/out")"
	ok "files of $fs are captured, with and without writers"
done

# Something that looks like a cluster, in DIR.
cluster() {
	mkdir -p "$1"/{base/5,global,pg_wal,pg_tblspc} || fail "mkdir $1"
	echo 15 >"$1/PG_VERSION"
	echo x >"$1/global/pg_control"
	head -c 20000000 /dev/urandom >"$1/base/5/16384"
	head -c 8192 /dev/urandom >"$1/base/5/16385"
	: >"$1/base/5/16386"
	head -c 100 /dev/urandom >"$1/pg_wal/00000002.history"
}
# capture WAY SPOOL DATA: into $tmp/copy, and its first word.
capture() {
	rm -rf "$tmp/copy"
	mkdir "$tmp/copy"
	"$CAPTURE" "$1" "$2" "$tmp/copy" "$3" PG_15_202209061 >"$tmp/out" 2>&1
	status=$?
	way=$(cut -d ' ' -f 1 "$tmp/out" | head -n 1)
}
# captured WAY DATA: it was done so, and is right.
captured() {
	[ "$status" = 0 ] || fail "$(cat "$tmp/out")"
	[ "$way" = "$1" ] || fail "not $1: $(cat "$tmp/out")"
	diff -r -x pg_control -x archive_status "$2" "$tmp/copy/data" || fail "differs"
}

# The spool is elsewhere: clones lie beside the data directory, without a name.
mkdir -m 700 "$tmp/ext4/spool"
for fs in xfs btrfs; do
	cluster "$tmp/$fs/db/data"
	capture clone "$tmp/ext4/spool" "$tmp/$fs/db/data"
	captured clone "$tmp/$fs/db/data"
	[ "$(ls -A "$tmp/$fs/db")" = data ] || fail "$(ls -A "$tmp/$fs/db")"
done
ok "without a spool there a clone lies beside the data directory"

# Not where that is not ours; not inside.
chmod 555 "$tmp/xfs/db"
mkdir -m 700 "$tmp/xfs/spool"
cluster "$tmp/xfs/mine/data"
chown -R nobody "$tmp/xfs/mine/data" "$tmp/xfs/mine/data/base/5"
mkdir -m 700 "$tmp/ext4/spool_of_nobody"
chown nobody "$tmp/ext4/spool_of_nobody"
chmod 755 "$tmp" "$tmp/xfs" "$tmp/ext4" "$tmp/xfs/mine"
(cd / && setpriv --reuid=nobody --regid=nogroup --clear-groups "$CAPTURE" auto \
	"$tmp/ext4/spool_of_nobody" - "$tmp/xfs/mine/data" PG_15_202209061 \
	</dev/null) >"$tmp/out" 2>&1 || fail "nobody: $(cat "$tmp/out")"
grep -q '^copy of 5 files' "$tmp/out" || fail "$(cat "$tmp/out")"
grep -q "^reason \`$tmp/xfs/mine\`: Permission denied$" "$tmp/out" ||
	fail "$(cat "$tmp/out")"
ok "where no clone may be made it is a copy, and it is said why"

# A data directory that is a file system has nothing beside it.
mkdir -p "$tmp/top/data"
umount "$tmp/xfs"
mkfs.xfs -q -f -m reflink=1 "$tmp/xfs.disk"
mount -o loop "$tmp/xfs.disk" "$tmp/top/data" || fail "mount"
cluster "$tmp/top/data"
capture auto "$tmp/ext4/spool" "$tmp/top/data"
captured copy "$tmp/top/data"
grep -q '^reason no directory outside of the data directory' "$tmp/out" ||
	fail "$(cat "$tmp/out")"
capture clone "$tmp/ext4/spool" "$tmp/top/data"
[ "$status" = 2 ] || fail "a clone: $(cat "$tmp/out")"
grep -q '^error unsupported: `PG_VERSION`: cannot be cloned: no directory' \
	"$tmp/out" || fail "$(cat "$tmp/out")"
grep -q '^hint .*`spool=`' "$tmp/out" || fail "$(cat "$tmp/out")"
umount "$tmp/top/data"
mount -o loop "$tmp/xfs.disk" "$tmp/xfs" || fail "mount"
ok "where there is no place for a clone the hint names the spool"

# Two file systems, two ways.
mkdir -p "$tmp/xfs/db" "$tmp/ext4/wal"
cluster "$tmp/xfs/db/data"
mv "$tmp/xfs/db/data/pg_wal" "$tmp/ext4/wal/pg_wal"
ln -s "$tmp/ext4/wal/pg_wal" "$tmp/xfs/db/data/pg_wal"
capture auto "$tmp/ext4/spool" "$tmp/xfs/db/data"
captured clone+copy "$tmp/xfs/db/data"
grep -q '^reason its file system cannot share blocks' "$tmp/out" ||
	fail "$(cat "$tmp/out")"
rm "$tmp/xfs/db/data/pg_wal"
mkdir "$tmp/xfs/db/data/pg_wal"
ok "each file system has its own way"

# What can be had is told before anything is captured: of all file systems, and
# of the WAL, of which a capture hears last.
# foresee STATUS SPOOL WAY DATA SAYS
foresee() {
	"$CAPTURE" foresee "$3" "$2" "$4" PG_15_202209061 >"$tmp/out" 2>&1
	[ $? = "$1" ] && grep -q "$5" "$tmp/out" || fail "$3 of $4: $(cat "$tmp/out")"
	[ -z "$(ls -A "$2")" ] || fail "something is in $2"
}
data=$tmp/xfs/db/data
truncate -s 16M "$data/pg_wal/00000002000000000000000"{4,5}
cluster "$tmp/ext4/db/data"
mkdir -m 700 "$tmp/none"
mount -t tmpfs -o size=20M,mode=700 none "$tmp/none" || fail "tmpfs"
foresee 0 "$tmp/none" clone "$data" 'it can be had'
foresee 2 "$tmp/none" clone "$tmp/ext4/db/data" \
	'^error unsupported: `PG_VERSION`: cannot be cloned: its file system'
foresee 0 "$tmp/ext4/spool" auto "$tmp/ext4/db/data" 'it can be had'
foresee 2 "$tmp/none" auto "$tmp/ext4/db/data" '^error no-space: spool'
rm -r "$tmp/ext4/wal/pg_wal"
mv "$data/pg_wal" "$tmp/ext4/wal/pg_wal"
ln -s "$tmp/ext4/wal/pg_wal" "$data/pg_wal"
foresee 2 "$tmp/ext4/spool" clone "$data" \
	"^error unsupported: .*pg_wal/00000002.*: cannot be cloned"
foresee 0 "$tmp/ext4/spool" auto "$data" 'it can be had'
# Two segments, where one would have room.
foresee 2 "$tmp/none" auto "$data" \
	'^error no-space: spool .* takes 33554432 bytes'
rm "$data/pg_wal"
mv "$tmp/ext4/wal/pg_wal" "$data/pg_wal"
rm "$data/pg_wal/"*
umount "$tmp/none"
# Of a clone, what is written down of it.
for i in $(seq 6000); do echo x >"$data/base/5/$i" || fail "full"; done
head -c 2G /dev/zero >"$tmp/xfs/full" 2>/dev/null
foresee 2 "$tmp/ext4/spool" clone "$data" '^error no-space: '
truncate -s -3M "$tmp/xfs/full"
foresee 2 "$tmp/ext4/spool" clone "$data" \
	"^error no-space: directory \`$tmp/xfs/db\`: clones of .* beside what they share"
rm "$tmp/xfs/full"
foresee 0 "$tmp/ext4/spool" clone "$data" 'it can be had'
rm "$data/base/5/"{1..6000}
ok "what cannot be had is told first"

# btrfs: files that are not copied on write share blocks with their like, and
# subvolumes with each other.
mkdir "$tmp/btrfs/half"
cluster "$tmp/btrfs/half/data"
mkdir "$tmp/btrfs/half/data/base/6"
chattr +C "$tmp/btrfs/half/data/base/6" || skip "no chattr +C"
head -c 9000000 /dev/urandom >"$tmp/btrfs/half/data/base/6/16384"
lsattr "$tmp/btrfs/half/data/base/6/16384" | grep -q 'C.* ' || fail "no +C"
capture clone "$tmp/ext4/spool" "$tmp/btrfs/half/data"
captured clone "$tmp/btrfs/half/data"
btrfs -q subvolume create "$tmp/btrfs/sub" || skip "no btrfs"
cluster "$tmp/btrfs/sub/data"
btrfs -q subvolume create "$tmp/btrfs/sub/data/base/7" || fail "subvolume"
head -c 9000000 /dev/urandom >"$tmp/btrfs/sub/data/base/7/16384"
mkdir -m 700 "$tmp/btrfs/spool"
for spool in btrfs ext4; do
	capture clone "$tmp/$spool/spool" "$tmp/btrfs/sub/data"
	captured clone "$tmp/btrfs/sub/data"
done
ok "on btrfs everything can be cloned"

# A spool that is too small says so first.
mkdir -m 700 "$tmp/small"
mount -t tmpfs -o size=8M,mode=700 none "$tmp/small" || fail "tmpfs"
capture copy "$tmp/small" "$tmp/xfs/db/data"
[ "$status" = 2 ] || fail "20 MB in 8: $(cat "$tmp/out")"
grep -q "^error no-space: spool \`$tmp/small\`: a private copy of \`$tmp/xfs/db/data\` takes 20" \
	"$tmp/out" || fail "$(cat "$tmp/out")"
used=$(df --output=used "$tmp/small" | tail -n 1)
[ "$used" -eq 0 ] || fail "$used KiB are left behind"
ok "a spool without room is told before"

# Who is killed leaves nothing.
used() { sync -f "$1" && df --output=used "$1" | tail -n 1; }
# What is used of it when nothing more is being freed: btrfs takes its time.
settled() {
	local now last='' same=0
	while [ $same -lt 5 ]; do
		now=$(used "$1")
		[ "$now" = "$last" ] && same=$((same + 1)) || same=0
		last=$now
		sleep 0.1
	done
	echo "$now"
}
same_as_before() { [ "$(used "$1")" -le "$2" ]; }
for pair in ext4:copy xfs:clone btrfs:clone; do
	fs=${pair%:*} way=${pair#*:} data=$tmp/xfs/db/data
	[ "$fs" != btrfs ] || data=$tmp/btrfs/half/data
	# What was removed before is being freed still, but not beyond this.
	umount "$tmp/$fs" && mount -o loop "$tmp/$fs.disk" "$tmp/$fs" ||
		fail "mount of $fs"
	before=$(settled "$tmp/$fs")
	mkfifo "$tmp/hold.$fs"
	"$CAPTURE" "$way" "$tmp/ext4/spool" - "$data" PG_15_202209061 \
		<"$tmp/hold.$fs" >"$tmp/out" 2>&1 &
	pid=$!
	exec 9>"$tmp/hold.$fs"
	wait_for 30 grep -q "^$way of" "$tmp/out" || fail "$(cat "$tmp/out")"
	# What is written now is held by the clone too.
	head -c 20000000 /dev/urandom | dd of="$data/base/5/16384" conv=notrunc \
		status=none
	[ "$(used "$tmp/$fs")" -gt $((before + 15000)) ] ||
		fail "$fs holds nothing: $before, $(used "$tmp/$fs")"
	kill -9 $pid
	wait $pid 2>/dev/null
	pid=
	exec 9>&-
	wait_for 30 same_as_before "$tmp/$fs" $((before + 500)) ||
		fail "$fs: $before KiB before, $(used "$tmp/$fs") after"
done
[ -z "$(ls -A "$tmp/ext4/spool")" ] || fail "a name in the spool"
ok "a kill leaves nothing behind"
echo "1..12"
