#!/bin/bash
# SPDX-License-Identifier: MIT
# What we read and write of PostgreSQL's files, judged by the server itself and
# its tools: pg_controldata, pg_checksums, pg_verifybackup, and a start.
. "$(dirname "$0")/../lib/cluster.sh"

: "${FORMATS:?}"
db=$tmp/db
tool=$tmp/pgfile
# User postgres may not be able to enter the folder of the build.
install -m 755 "$FORMATS" "$tool"

# field NAME: of what a verb of pgfile printed into $tmp/out.
field() { awk -v n="$1" '$1 == n {print $2}' "$tmp/out"; }
# said NAME: what pg_controldata says of it ($tmp/said).
said() { sed -n "s/^$1: *//p" "$tmp/said"; }
# lsn X/Y: as a decimal number.
lsn() { echo $((16#${1%/*} << 32 | 16#${1#*/})); }
# flip FILE OFFSET: one bit.
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %o $((byte ^ 16)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

cluster_new "$db" --wal-segsize=4
cluster_conf "$db" "max_wal_senders = 4" "wal_level = replica" \
	"autovacuum = off" "full_page_writes = on"
cluster_start "$db"
cluster_psql "$db" -c "CREATE TABLE t(a int, b text);
	INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 5000) i;
	CREATE INDEX ON t(a); CHECKPOINT" || fail "tables"

# ---- pg_control

same_as_controldata() {
	"$tool" control "$1/global/pg_control" >"$tmp/out" || fail "control $1"
	cluster_as_postgres env LC_ALL=C "$pg_bin/pg_controldata" "$1" \
		>"$tmp/said" || fail "pg_controldata $1"
	local pair
	for pair in \
		"system_identifier=$(said 'Database system identifier')" \
		"version=$(said 'pg_control version number')" \
		"catalog_version=$(said 'Catalog version number')" \
		"check_point=$(lsn "$(said 'Latest checkpoint location')")" \
		"redo=$(lsn "$(said "Latest checkpoint's REDO location")")" \
		"timeline=$(said "Latest checkpoint's TimeLineID")" \
		"min_recovery=$(lsn "$(said 'Minimum recovery ending location')")" \
		"min_recovery_timeline=$(said "Min recovery ending loc's timeline")" \
		"block_bytes=$(said 'Database block size')" \
		"segment_blocks=$(said 'Blocks per segment of large relation')" \
		"wal_block_bytes=$(said 'WAL block size')" \
		"wal_segment_bytes=$(said 'Bytes per WAL segment')" \
		"data_checksum_version=$(said 'Data page checksum version')"; do
		[ "$(field "${pair%%=*}")" = "${pair#*=}" ] ||
			fail "pg_controldata: $pair, ours: $(field "${pair%%=*}")"
	done
}
same_as_controldata "$db/data"
[ "$(field state)" = 6 ] || fail "in production, and state $(field state)"
[ "$(field wal_segment_bytes)" = 4194304 ] || fail "not what initdb was told"
cluster_stop "$db"
same_as_controldata "$db/data"
[ "$(field state)" = 1 ] || fail "shut down, and state $(field state)"
ok "pg_control: 13 fields as pg_controldata has them, and the state"

# ---- pages

# pages_of DIR: the sums of all files with pages.
pages_of() {
	local f seg
	while IFS= read -r f; do
		seg=0
		[[ ${f##*/} != *.* ]] || seg=${f##*.}
		"$tool" pages "$f" $((seg * 131072)) || echo "0 0 0 1000 0"
	done < <(find "$1/global" "$1/base" -regextype egrep -type f \
		-regex '.*/[0-9]+(_(fsm|vm|init))?(\.[0-9]+)?') |
		awk '{o += $1; z += $2; c += $3; h += $4; if ($5 > l) l = $5}
			END {printf "%d %d %d %d %.0f %d\n", o, z, c, h, l, NR}'
}
read -r good zero bad_sum bad_header last files <<<"$(pages_of "$db/data")"
cluster_server "$db" pg_checksums --check >"$tmp/checksums" ||
	fail "pg_checksums: $(cat "$tmp/checksums")"
blocks=$(sed -n 's/^Blocks scanned: *//p' "$tmp/checksums")
[ "$files" = "$(sed -n 's/^Files scanned: *//p' "$tmp/checksums")" ] ||
	fail "$files files, not as: $(cat "$tmp/checksums")"
[ "$bad_sum $bad_header" = "0 0" ] || fail "$bad_sum, $bad_header bad pages"
[ "$((good + zero))" = "$blocks" ] ||
	fail "$good and $zero pages, pg_checksums saw $blocks"
[ "$good" -gt 500 ] || fail "only $good pages"
[ "$last" -le "$(lsn "$(said 'Latest checkpoint location')")" ] ||
	fail "an LSN beyond the last checkpoint: $last"
ok "$good pages and $zero empty ones in $files files, all whole, as" \
	"pg_checksums says; no LSN beyond the end of WAL"

# Big relations: the second file's blocks go on where the first one's end. Not
# a gigabyte of pages: the file's number is in its name only.
rel=$(cluster_start "$db" >/dev/null &&
	cluster_psql "$db" -c "SELECT pg_relation_filepath('t')")
cluster_stop "$db"
cp "$db/data/$rel" "$tmp/page"
read -r n _ <<<"$("$tool" pages "$tmp/page" 0)"
[ "$("$tool" pages "$tmp/page" 131072 | cut -d' ' -f1-4)" = "0 0 $n 0" ] ||
	fail "pages of file 0 pass as those of file 1"
for offset in 0 7 8 9 12 100 4000 8191; do
	cp "$db/data/$rel" "$tmp/page"
	flip "$tmp/page" $((8192 * 3 + offset))
	[ "$("$tool" pages "$tmp/page" 0 | cut -d' ' -f1-4)" = \
		"$((n - 1)) 0 1 0" ] || fail "a bit at $offset is not seen"
done
ok "a bit anywhere in a page, and a page in another file, are seen"

# Free space that ends at 0, in a page that is not empty.
cp -a "$db/data/$rel" "$tmp/page"
printf '\0\0' | dd of="$db/data/$rel" bs=1 seek=$((8192 * 3 + 14)) \
	conv=notrunc status=none
[ "$("$tool" pages "$db/data/$rel" 0 | cut -d' ' -f1-4)" = "$((n - 1)) 0 0 1" ] ||
	fail "a page that only seems to be new is not seen"
cluster_server "$db" pg_checksums --check >"$tmp/checksums" ||
	fail "pg_checksums has learned it: say so in page.h"
cluster_start "$db"
cluster_psql "$db" -c "SELECT count(*) FROM t" 2>"$tmp/err" &&
	fail "the server takes it: say so in page.h"
grep -q 'invalid page in block 3' "$tmp/err" || fail "$(cat "$tmp/err")"
cluster_stop "$db"
cp -a "$tmp/page" "$db/data/$rel"
ok "a page that only seems to be new: seen by us and by the server," \
	"not by pg_checksums"

# ---- backup_label and the protection of pg_control

cluster_start "$db"
# What is served has the label; the server's own tool makes one.
cluster_run "$db" pg_basebackup -D "$tmp/base" -c fast -X fetch -l 'a label' ||
	fail "pg_basebackup"
"$tool" label "$tmp/base/backup_label" >"$tmp/out" || fail "backup_label"
[ "$(field streamed) $(field standby) $(field timeline)" = "1 0 1" ] ||
	fail "backup_label: $(cat "$tmp/out")"
[ -e "$tmp/base/pg_wal/$(field segment)" ] || fail "no segment $(field segment)"
grep -qF "START WAL LOCATION: $(printf %X/%X $(($(field start) >> 32)) \
	$(($(field start) & 0xffffffff))) (" "$tmp/base/backup_label" ||
	fail "start: $(field start)"
# What a SQL session gets is the same text.
cluster_psql "$db" -c "SELECT 1 FROM pg_backup_start('stillfs', true)" \
	-c "SELECT labelfile FROM pg_backup_stop(false)" 2>/dev/null |
	sed 1d >"$tmp/label" || fail "pg_backup_stop"
sed -i '/^$/d' "$tmp/label"
"$tool" label "$tmp/label" >/dev/null ||
	fail "the label of pg_backup_stop: $(cat "$tmp/label")"
# Rows that only the WAL of the backup has, and rows that it must not have.
cluster_psql "$db" -c "INSERT INTO t SELECT -1 FROM generate_series(1, 100)"
ok "backup_label of pg_basebackup and of pg_backup_stop"

# copy NAME: a cluster from the backup, as it was served.
copy() {
	mkdir -p "$tmp/$1/sock" && cp -a "$tmp/base" "$tmp/$1/data" &&
		chown -R postgres: "$tmp/$1" && chmod 700 "$tmp/$1/data" &&
		chmod 755 "$tmp/$1"
	sed -i "s|^unix_socket_directories.*|unix_socket_directories = '$tmp/$1/sock'|" \
		"$tmp/$1/data/postgresql.conf"
}
copy good
"$tool" protect "$tmp/good/data/global/pg_control" || fail "protect"
same_as_controldata "$tmp/good/data"
[ "$(field check_point)" = $((0xdead)) ] || fail "not protected"
cp -a "$tmp/good" "$tmp/lost"
sed -i "s|$tmp/good/|$tmp/lost/|" "$tmp/lost/data/postgresql.conf"
copy silent
rm "$tmp/lost/data/backup_label" "$tmp/silent/data/backup_label"

cluster_start "$tmp/good"
got=$(cluster_psql "$tmp/good" -c "SELECT count(*), min(a) FROM t")
[ "$got" = "5000|1" ] || fail "with the label: $got"
cluster_stop "$tmp/good"
same_as_controldata "$tmp/good/data"
[ "$(field check_point)" != $((0xdead)) ] || fail "no checkpoint since"
cluster_server "$tmp/good" pg_checksums --check >/dev/null || fail "checksums"
ok "protected, with its label: recovers and goes on"

# not_started DIR: it ends by itself, and says so.
if cluster_server "$tmp/lost" pg_ctl -s -w -t 120 -l "$tmp/lost/log" start \
	2>/dev/null; then
	cluster_server "$tmp/lost" pg_ctl -s -m immediate stop
	fail "protected, without its label: it started"
fi
grep -q 'PANIC:  could not locate a valid checkpoint record' "$tmp/lost/log" ||
	fail "another reason: $(cat "$tmp/lost/log")"
ok "protected, without its label: refuses to start"

# The negative control: this is what the protection is for.
cluster_start "$tmp/silent"
cluster_stop "$tmp/silent" immediate
ok "not protected, without its label: starts as if all were well"

# ---- backup_manifest

# A file that only bytes can name, and one that JSON must escape.
cluster_as_postgres touch "$db/data/$(printf 'odd\377name')" \
	"$db/data/$(printf 'q"\\\tu\303\274')" || fail "touch"
cluster_run "$db" pg_basebackup -D "$tmp/truth" -c fast -X fetch \
	--manifest-checksums=CRC32C || fail "pg_basebackup"
chown -R postgres: "$tmp/truth"
cluster_as_postgres "$pg_bin/pg_verifybackup" "$tmp/truth" >/dev/null ||
	fail "the server's own manifest is not taken"
truth=$tmp/truth.manifest
cp "$tmp/truth/backup_manifest" "$truth"
# Its files in its order with its times; and its WAL.
python3 - "$truth" >"$tmp/list" <<-'END' || fail "the server's manifest"
	import calendar, json, os, sys, time
	for f in json.load(open(sys.argv[1]))["Files"]:
	    path = bytes.fromhex(f["Encoded-Path"]) if "Encoded-Path" in f \
	        else f["Path"].encode()
	    at = calendar.timegm(time.strptime(f["Last-Modified"],
	        "%Y-%m-%d %H:%M:%S GMT"))
	    sys.stdout.buffer.write(b"%d %s\0" % (at, path))
END
sysid=$(cluster_psql "$db" -c "SELECT system_identifier FROM pg_control_system()")
read -r start end <<<"$(sed -n 's/.*"Start-LSN": "\([^"]*\)", "End-LSN": "\([^"]*\)".*/\1 \2/p' "$truth")"
start=$(lsn "$start") end=$(lsn "$end")
write_manifest() {
	"$tool" manifest "$tmp/truth" "$1" "$sysid" 1 "$start" "$end" <"$tmp/list"
}
write_manifest 1 >"$tmp/ours" || fail "manifest"
cmp "$tmp/ours" "$truth" || {
	diff "$tmp/ours" "$truth" | head -n 20
	fail "not what the server writes"
}
grep -q Encoded-Path "$tmp/ours" || fail "no encoded path"
ok "backup_manifest: byte for byte what the server writes," \
	"$(wc -l <"$tmp/ours") lines"

# verified STATUS: does pg_verifybackup take the copy with our manifest?
verified() {
	local got=0
	cluster_as_postgres "$pg_bin/pg_verifybackup" "$tmp/truth" \
		>"$tmp/verify" 2>&1 || got=$?
	[ "$got" = "$1" ] || fail "pg_verifybackup: exit $got: $(cat "$tmp/verify")"
}
# Other times and another order, as ours will be: only people read the times.
tr '\0' '\n' <"$tmp/list" | sort -r | sed 's/^[0-9]* /12345678 /' |
	tr '\n' '\0' >"$tmp/list.ours"
mv "$tmp/list.ours" "$tmp/list"
write_manifest 1 >"$tmp/truth/backup_manifest" || fail "manifest"
cmp -s "$tmp/truth/backup_manifest" "$truth" && fail "nothing was changed"
verified 0
ok "pg_verifybackup takes a copy with our manifest, its WAL too"

cp -a "$tmp/truth/$rel" "$tmp/page"
flip "$tmp/truth/$rel" 12345
verified 1
grep -qF "checksum mismatch for file \"$rel\"" "$tmp/verify" ||
	fail "another reason: $(cat "$tmp/verify")"
cp -a "$tmp/page" "$tmp/truth/$rel"
truncate -s -1 "$tmp/truth/$rel"
verified 1
cp -a "$tmp/page" "$tmp/truth/$rel"
cluster_as_postgres touch "$tmp/truth/base/extra"
verified 1
rm "$tmp/truth/base/extra"
verified 0
flip "$tmp/truth/backup_manifest" 400
verified 1
write_manifest 1 >"$tmp/truth/backup_manifest"
verified 0
ok "it refuses a flipped byte, a short file, one too many, a changed manifest"

write_manifest 2 >"$tmp/two" || fail "manifest, version 2"
head -n 3 "$tmp/two" >"$tmp/head"
printf '{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": %s,\n"Files": [\n' \
	"$sysid" | cmp - "$tmp/head" || fail "version 2: $(cat "$tmp/head")"
[ "$(sed '$d' "$tmp/two" | sha256sum | cut -d' ' -f1)" = \
	"$(tail -n 1 "$tmp/two" | cut -d'"' -f4)" ] || fail "its checksum"
python3 -m json.tool "$tmp/two" /dev/null || fail "version 2 is no JSON"
ok "version 2: its head, and its sum, as sha256sum has it"
