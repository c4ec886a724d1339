#!/bin/bash
# SPDX-License-Identifier: MIT
# Damage in a live PostgreSQL cluster: proven intact, damaged in one place, then
# the exact result. A page that is wrong on the disk while replay of the WAL puts
# it right is no damage; every other one is EIO, and so is WAL that does not hold
# together, when it was the server's disk that spoiled it during the freeze.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

: "${FORMATS:?}"
c=$tmp/c
seal=backup/verify/XXH128SUMS
no_cover="its checksum is wrong, and the WAL does not replace it"

sql() { cluster_psql "$c" -c "$1" || fail "$1"; }
# flip FILE OFFSET: a bit of it.
flip() {
	python3 - "$1" "$2" <<-'END' || fail "flip $1 $2"
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		byte = os.pread(fd, 1, int(sys.argv[2]))
		os.pwrite(fd, bytes([byte[0] ^ 16]), int(sys.argv[2]))
	END
}
# put FILE OFFSET: standard input there.
put() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none || fail "put"; }
file_of() { sql "SELECT pg_relation_filepath('$1')"; }
# served FILE: where the mount has it, from the path of pg_relation_filepath.
served() {
	case $1 in
	pg_tblspc/*) echo "$mnt/backup/tablespaces/${1#pg_tblspc/}" ;;
	*) echo "$mnt/backup/data/$1" ;;
	esac
}
# named FILE: as messages have it.
named() { served "$1" | sed "s|^$mnt/backup/||; s|^data/||"; }

# doomed MESSAGE: what a session that met damage looks like; and it ends.
doomed() {
	cat "$mnt/$seal" >"$tmp/seal.out" 2>"$tmp/seal.err" &&
		fail "the seal was given out"
	grep -q 'Input/output error' "$tmp/seal.err" || fail "the seal is no EIO"
	[ ! -s "$tmp/seal.out" ] || fail "a part of the seal was given out"
	cat "$mnt/backup/data/backup_manifest" >/dev/null 2>&1 &&
		fail "backup_manifest was given out"
	grep -qF "error:     $1" "$mnt/status" ||
		{ cat "$mnt/status"; fail "status does not say: $1"; }
	grep -qF "\"message\": \"$1" "$mnt/status.json" || fail "status.json"
	grep ' error damage ' "$mnt/events" | grep -qF "$1" ||
		{ cat "$mnt/events"; fail "no event says: $1"; }
	cmp "$(served "$other")" "$tmp/other" || fail "another file cannot be read"
	stop_fs 'ABORTED(corrupt)'
	recorded 'ABORTED(corrupt)'
}
# bad_pages FILE: of a file below the mount.
bad_pages() {
	[ -s "$(served "$1")" ] || fail "$1 is not there: $(cat "$mnt/status")"
	# It counts from 1.
	"$PEEK" bad "$(served "$1")" 8192 | awk '{printf "%d ", $1 - 1}'
}

cluster_new "$c"
mkdir "$c/space" && chown postgres: "$c/space"
cluster_conf "$c" "autovacuum = off"
cluster_start "$c"
cluster_psql "$c" <<-END >/dev/null || fail "tables"
	CREATE TABLESPACE space LOCATION '$c/space';
	CREATE TABLE one(i int PRIMARY KEY, t text);
	INSERT INTO one SELECT i, repeat(md5(i::text), 10)
		FROM generate_series(1, 2000) i;
	CREATE TABLE two(i int, t text) TABLESPACE space;
	INSERT INTO two SELECT * FROM one;
	CREATE TABLE other(i int);
	INSERT INTO other SELECT generate_series(1, 2000);
	VACUUM;
END
one=$(file_of one)
two=$(file_of two)
key=$(file_of one_pkey)
other=$(file_of other)

# From here on none of their pages is in the server's memory, and nobody asks for
# one: what the disk has is what there is.
cluster_stop "$c"
cluster_start "$c"

start_fs "$c/data"
cp -a "$mnt/backup" "$tmp/intact" || fail "cp before the damage"
cp "$(served "$other")" "$tmp/other" || fail "cp"
stop_fs COPIED
(cd "$tmp/intact" && xxhsum --quiet -c verify/XXH128SUMS) >/dev/null ||
	fail "xxhsum"
ok "the cluster is intact before any damage"

# ---- pages ----------------------------------------------------------------

# row FILE BLOCK OFFSET: a bit there, in data, item pointers, LSN, checksum,
# flags; each is found, in this block only, and named.
row() {
	local bad
	flip "$c/data/$1" $((8192 * $2 + $3))
	start_fs "$c/data"
	ls -lR "$mnt/backup" >/dev/null || fail "the rest cannot be listed"
	bad=$(bad_pages "$1")
	[ "$bad" = "$2 " ] || fail "$*: bad pages '$bad', not $2"
	doomed "\`$(named "$1")\`: block $2: $no_cover"
	flip "$c/data/$1" $((8192 * $2 + $3))
	ok "a bit at $3 of block $2 of $(named "$1"): EIO for this block"
}
row "$one" 7 4000
row "$one" 0 40
row "$two" 3 2
row "$two" 11 8
row "$key" 1 8191
row "$key" 2 11
row "${one}_fsm" 0 100
row "${one}_vm" 0 30

# A page in another's place, whose own checksum is right.
cp "$c/data/$one" "$tmp/one"
heal() { cat "$tmp/one" >"$c/data/$one"; }
dd if="$tmp/one" of="$c/data/$one" bs=8192 skip=4 seek=5 count=1 conv=notrunc \
	status=none
start_fs "$c/data"
[ "$(bad_pages "$one")" = "5 " ] || fail "a page in a wrong place"
doomed "\`$one\`: block 5: $no_cover"
ok "a page in another's place: EIO"

# The second file of a relation goes on where the first one has its gigabyte: what
# is right in the one is wrong in the other.
cp -a "$tmp/one" "$c/data/$one.1"
start_fs "$c/data"
[[ "$(bad_pages "$one.1")" == "0 1 2 "* ]] || fail "pages of the first file"
doomed "\`$one.1\`: block 131072: $no_cover"
rm "$c/data/$one.1"
ok "a file in the place of the next one: EIO, and the block of the relation"

# Zeros at its beginning only.
heal
dd if=/dev/zero of="$c/data/$one" bs=512 seek=$((6 * 16)) count=1 conv=notrunc \
	status=none
start_fs "$c/data"
[ "$(bad_pages "$one")" = "6 " ] || fail "a page that lost its head"
doomed "\`$one\`: block 6: its header is that of an empty page, and it is not empty"
ok "a page that lost its first sector: EIO"

# The end of the file, cut within a page.
heal
blocks=$(($(stat -c %s "$tmp/one") / 8192))
truncate -s -4096 "$c/data/$one"
start_fs "$c/data" -o freeze=copy
[ "$(bad_pages "$one")" = "$((blocks - 1)) " ] || fail "half a page"
doomed "\`$one\`: block $((blocks - 1)): the file ends in the middle of it"
ok "half a page at the end: EIO"

# The pass for the seal finds it too, and stillctl backup says it.
heal
flip "$c/data/$one" $((8192 * 9 + 5000))
start_fs "$c/data"
ls "$mnt/backup" >/dev/null || fail "ls"
doomed "\`$one\`: block 9: $no_cover"
ctl 5 backup --state "$state" --create "$c/data" "$tmp/dest"
ctl_complains "\`$one\`: block 9: $no_cover"
[ ! -e "$tmp/dest/full" ] || fail "a set was left"
heal
start_fs "$c/data"
cp -a "$mnt/backup" "$tmp/healed" || fail "cp: $(cat "$mnt/status")"
stop_fs COPIED
diff -r --no-dereference "$tmp/intact/tablespaces" "$tmp/healed/tablespaces" ||
	fail "not as before"
rm -rf "$tmp/healed"
ok "found by the seal alone, and by stillctl backup: exit 5, nothing left; healed"

# ---- without checksums -------------------------------------------------------

# What cannot be seen is said to be unseen: no page is called verified.
cluster_stop "$c"
cluster_server "$c" pg_checksums --disable >/dev/null 2>&1 || fail "pg_checksums"
cluster_start "$c"
flip "$c/data/$one" $((8192 * 7 + 4000))
start_fs "$c/data"
cp -a "$mnt/backup" "$tmp/plain" || fail "cp: $(cat "$mnt/status")"
grep ' warning server-warning ' "$mnt/events" | grep -q 'have no checksums' ||
	fail "no warning: $(cat "$mnt/events")"
grep -q '^frozen:.*; verified wal$' "$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs COPIED
grep -q '"verified": "wal"' "$tmp/plain/backup.json" || fail "backup.json"
cmp "$c/data/$one" "$tmp/plain/data/$one" || fail "other bytes"
rm -rf "$tmp/plain"
dd if=/dev/zero of="$c/data/$one" bs=512 seek=$((6 * 16)) count=1 conv=notrunc \
	status=none
start_fs "$c/data"
[ "$(bad_pages "$one")" = "6 " ] || fail "a page that lost its head"
stop_fs 'ABORTED(corrupt)'
ok "without checksums: said, and only what is evident is refused"
