#!/bin/bash
# SPDX-License-Identifier: MIT
# What takes bytes from nowhere, with the files of a real cluster as seeds,
# changed RUNS times each.
#
#	fuzz.sh          run the targets of $FUZZ
#	fuzz.sh DIR      write the seeds only: DIR/TARGET.seeds/, for `make fuzz`
. "$(dirname "$0")/../lib/cluster.sh"

: "${FUZZ:?}" "${FORMATS:?}"
runs=${RUNS:-20000}
seeds=${1:-$tmp}
db=$tmp/db
mkdir -p "$seeds"/pg_{control,label,manifest,wal}.seeds

cluster_new "$db"
cluster_start "$db"
cluster_run "$db" pg_basebackup -D "$tmp/copy" -c fast -X none \
	--manifest-checksums=CRC32C 2>"$tmp/out" ||
	fail "pg_basebackup: $(cat "$tmp/out")"
copy=$tmp/copy

# Of pg_control the zeros behind the fields are left away, and the targets put
# them back.
cp "$copy/global/pg_control" "$tmp/control"
head -c 300 "$tmp/control" >"$seeds/pg_control.seeds/real"
"$FORMATS" protect "$tmp/control" || fail "protect"
cp "$tmp/control" "$seeds/pg_control.seeds/protected"

cp "$copy/backup_label" "$seeds/pg_label.seeds/real"
sed 's/primary/standby/; s/streamed/pg_start_backup/' "$copy/backup_label" \
	>"$seeds/pg_label.seeds/standby"

# All files are many to read so often: the first few do.
awk '/"Path"/ && ++n >= 6 {if (n == 6) {sub(/,$/, ""); print}; next} {print}' \
	"$copy/backup_manifest" >"$seeds/pg_manifest.seeds/short"
sed '1s/1,/2,\n"System-Identifier": 7000000000000000000,/' \
	"$seeds/pg_manifest.seeds/short" >"$seeds/pg_manifest.seeds/newer"
[ $# -eq 0 ] || exit 0

# The seeds are good ones, or little is found with them.
"$FORMATS" label "$seeds/pg_label.seeds/real" >/dev/null || fail "label"
[ "$(grep -c '"Path"' "$seeds/pg_manifest.seeds/short")" = 6 ] ||
	fail "manifest: $(cat "$seeds/pg_manifest.seeds/short")"
"$FUZZ/drive_pg_manifest" -runs=0 "$copy/backup_manifest" >"$tmp/out" 2>&1 ||
	fail "the whole manifest: $(cat "$tmp/out")"
for target in pg_control pg_label pg_manifest pg_wal; do
	files=("$seeds/$target.seeds"/*)
	[ -e "${files[0]}" ] || files=()
	"$FUZZ/drive_$target" -runs="$runs" ${files[@]+"${files[@]}"} \
		>"$tmp/out" 2>&1 || fail "$target: $(tail -n 40 "$tmp/out")"
	ok "$target: $(head -n 1 "$tmp/out")"
done
