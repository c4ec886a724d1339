#!/bin/bash
# SPDX-License-Identifier: MIT
# Databases of SQLite's checksum VFS, both generations of it (tests/lib/cksum.c):
# every page of a copy has its right sum, and a bad page is found where it is.
. "$(dirname "$0")/../lib/mount.sh"

: "${CKSUM:?}"
db=$src/app.db
image=$mnt/backup/data/app.db

for size in 512 4096 65536; do
	for old in "" -w; do
		rm -rf "$src" "$tmp/copy" && mkdir "$src"
		"$CKSUM" $old "$db" "PRAGMA page_size=$size" \
			"PRAGMA journal_mode=WAL" "CREATE TABLE t(a, b)" \
			"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1
			FROM c WHERE i < 3000) INSERT INTO t
			SELECT i, hex(randomblob(200)) FROM c" >/dev/null ||
			fail "init"
		open_app "$db" "$CKSUM" $old -i
		app "UPDATE t SET b='x' WHERE a <= 60;"
		start_fs
		cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
		grep -q 'verified pages+logs$' "$mnt/status" ||
			fail "$(cat "$mnt/status")"
		case $old in
		-w) proof='salts and page checksums' ;;
		*) proof='salts and frame checksums' ;;
		esac
		grep -qF "\"proven_by\": \"$proof\"" "$mnt/backup/backup.json" ||
			fail "not proven by $proof"
		stop_fs COPIED
		check_set "$tmp/copy"
		[ -z "$("$CKSUM" -c "$tmp/copy/data/app.db")" ] ||
			fail "page size $size $old: pages of the copy are bad"
		[ "$("$CKSUM" $old "$tmp/copy/data/app.db" \
			"SELECT count(*) FROM t WHERE b='x'")" = 60 ] ||
			fail "page size $size $old: the VFS cannot read the copy"
		rm -rf "$tmp/copy"

		# A page of the file that the log does not have.
		page=$(($(stat -c %s "$db") / size / 2))
		while "$WAL" has "$db" $page; do page=$((page + 1)); done
		off=$(((page - 1) * size + size / 2))
		byte=$(od -An -tu1 -j $off -N 1 "$db")
		printf "\\$(printf %o $((byte ^ 16)))" |
			dd of="$db" bs=1 seek=$off conv=notrunc 2>/dev/null
		start_fs
		cp -r "$mnt/backup" "$tmp/copy" 2>"$tmp/err" && fail "it was served"
		rm -rf "$tmp/copy"
		grep -q 'app.db.*Input/output error' "$tmp/err" || fail "no EIO"
		# EIO covers the kernel's page.
		per=$((size < 4096 ? 4096 / size : 1))
		first=$(((page - 1) / per * per + 1))
		[ "$("$PEEK" bad "$image" $size)" = \
			"$(seq $first $((first + per - 1)))" ] ||
			fail "bad pages: $("$PEEK" bad "$image" $size), not $page"
		grep -qF "error:     page $page of \`app.db\`: its checksum (of the checksum VFS) does not match" \
			"$mnt/status" || fail "$(cat "$mnt/status")"
		stop_fs 'ABORTED(corrupt)'
		close_app
	done
	ok "page size $size: right sums in the copy, a bad page is EIO"
done

# Eight reserved bytes alone prove nothing, and alarm nobody.
rm -rf "$src" && mkdir "$src"
"$CKSUM" "$db" "PRAGMA journal_mode=DELETE" "CREATE TABLE t(a, b)" >/dev/null
sqlite3 "$db" "INSERT INTO t SELECT value, 1 FROM json_each('[1,2,3]');
	VACUUM" || fail "a plain writer"
[ -n "$("$CKSUM" -c "$db")" ] || fail "the plain writer made sums"
start_fs
cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
grep -q 'verified header$' "$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs COPIED
check_set "$tmp/copy"
ok "a database that only reserves the bytes is like any other"
