#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# The table of damages to a set that is a PostgreSQL cluster (see verify_table.sh),
# then what is no damage, what cannot be checked, and a lost backup_label.
#
#	ROWS   a regular expression: only the rows whose damage matches
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/damage.sh"

: "${FORMATS:?}"
db=$tmp/db

# --- The set: under load, so that the WAL of the backup has images of pages; two
# tables that nobody writes to, and one in a tablespace.

make_cluster() {
	cluster_new "$db" --wal-segsize=1
	cluster_conf "$db" "autovacuum = off" "max_wal_size = 1GB"
	cluster_start "$db"
	mkdir "$tmp/fast"
	chown postgres: "$tmp/fast"
	# So that there is less to copy, for each row.
	cluster_psql "$db" -c "UPDATE pg_database SET datistemplate = false" \
		-c "DROP DATABASE template0" -c "DROP DATABASE template1" &&
	cluster_psql "$db" -c "CREATE TABLESPACE fast LOCATION '$tmp/fast'" -c "
		CREATE TABLE q(a int, b text);
		INSERT INTO q SELECT i, repeat('q', 200)
			FROM generate_series(1, 2000) i;
		CREATE TABLE twin AS SELECT a, repeat('r', 200) AS b FROM q;
		CREATE TABLE s(a int) TABLESPACE fast;
		INSERT INTO s SELECT generate_series(1, 2000);
		CREATE TABLE t(a int PRIMARY KEY, b text);
		INSERT INTO t SELECT i, repeat('t', 200)
			FROM generate_series(1, 6000) i;
		CHECKPOINT" || fail "tables"
	echo '\set r random(1, 6000)
UPDATE t SET b = '"repeat('u', 200)"' WHERE a BETWEEN :r AND :r + 100;' \
		>"$tmp/load.sql"
}
under_load() {
	cluster_run "$db" pgbench -n -T 100 -f "$tmp/load.sql" \
		>"$tmp/pgbench" 2>&1 &
	started+=($!)
	wait_for 30 touched 1 || fail "no load: $(cat "$tmp/pgbench")"
}
touched() {
	[ "$(cluster_psql "$db" -c \
		"SELECT count(*) FROM t WHERE b LIKE 'u%'")" -ge "$1" ]
}
file_of() { cluster_psql "$db" -c "SELECT pg_relation_filepath('$1')"; }

take() {
	start_fs "$db/data"
	cp -a "$mnt/backup" "$intact" || fail "cp"
	stop_fs COPIED
	label=$intact/data/backup_label
	start=$(sed -n 's/START WAL LOCATION: \([^ ]*\) .*/\1/p' "$label")
	first=$(sed -n 's/START WAL.*(file \(.*\))/\1/p' "$label")
	stop=$(sed -n 's/.*"End-LSN": "\([^"]*\)".*/\1/p' \
		"$intact/data/backup_manifest")
	last=$(cd "$intact/data/pg_wal" && printf '%s\n' 0* | sort | tail -n 1)
	# What lies before it in its segment is nothing to the backup.
	offset=$(($(dec "$start") % 1048576))
	next_page=$((offset / 8192 + 1))
}
dec() { echo $((16#${1%/*} << 32 | 16#${1#*/})); }
# Of the records in the first segment, the middle one whose head lies in one page:
# some bytes between records, and in a page's head, are nothing to anybody.
middle_record() {
	python3 - "$tmp/waldump" "$(dec "$start")" <<-'END'
		import re, sys
		starts = []
		for line in open(sys.argv[1]):
		    high, low = re.search(r"lsn: (\w+)/(\w+)", line).groups()
		    starts.append(int(high, 16) << 32 | int(low, 16))
		segment = int(sys.argv[2]) // 1048576
		starts = [at % 1048576 for at in starts
		    if at // 1048576 == segment and at % 8192 < 8192 - 32]
		print(starts[len(starts) // 2])
	END
}
# Is there a block of t that the WAL of the backup replaces, and one that it does
# not? And more than one segment, with some pages in the first.
has_all() {
	"$pg_bin/pg_waldump" -p "$intact/data/pg_wal" -s "$start" -e "$stop" \
		>"$tmp/waldump" || fail "pg_waldump"
	blocks=$(($(stat -c %s "$intact/data/$t") / 8192))
	sed -n "s|.*rel [0-9]*/[0-9]*/${t##*/} blk \([0-9]*\) FPW.*|\1|p" \
		"$tmp/waldump" | awk -v n=$blocks '$1 < n' | sort -nu >"$tmp/fpw"
	covered=$(head -n 1 "$tmp/fpw")
	sed -n "s|.*rel [0-9]*/[0-9]*/${t##*/} blk \([0-9]*\).*|\1|p" \
		"$tmp/waldump" | sort -nu >"$tmp/changed"
	bare=$(seq 0 $((blocks - 1)) | grep -vxFf "$tmp/changed" | head -n 1)
	[ -n "$covered" ] && [ -n "$bare" ] && [ "$first" != "$last" ] &&
		[ $next_page -lt 100 ] && [ $((offset % 8192)) -lt 8160 ]
}

make_cluster
under_load
q=$(file_of q) twin=$(file_of twin) s=$(file_of s) t=$(file_of t)
oid=$(cluster_psql "$db" -c "SELECT oid FROM pg_tablespace WHERE spcname = 'fast'")
sysid=$(cluster_psql "$db" -c "SELECT system_identifier FROM pg_control_system()")
s=tablespaces/${s#pg_tblspc/}
for tries in $(seq 20); do
	rm -rf "$intact"
	take
	! has_all || break
done
cluster_psql "$db" -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE application_name = 'pgbench'" >/dev/null || fail "the load goes on"
wait "${started[-1]}"
has_all || fail "the load was not under the backup"
middle=$(middle_record) || fail "no record in the middle"
ok "a set with $(wc -l <"$tmp/fpw") replaced blocks of $blocks, at the ${tries}th try"

# --- Damages. They run in the set.

cat >"$tmp/mend.py" <<'END'
import hashlib, json, os, re, struct, sys

def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff

def listed():
    """The files of the manifest, as pgfile wants them."""
    for f in json.load(open("data/backup_manifest"))["Files"]:
        if os.path.exists("data/" + f["Path"]):
            sys.stdout.write("0 %s\0" % f["Path"])

def seal():
    """The manifest's own sum."""
    text = open("data/backup_manifest").read()
    head, sum = text.rsplit("\n", 2)[:2]
    head += "\n"
    with open("data/backup_manifest", "w") as f:
        f.write(head + '"Manifest-Checksum": "%s"}\n'
            % hashlib.sha256(head.encode()).hexdigest())

def count():
    """What backup.json says of the files in the list."""
    paths = [line[34:-1] for line in open("verify/XXH128SUMS")]
    paths = [p for p in paths if p != "backup.json"]
    with open("backup.json") as f:
        o = json.load(f)
    o["data_files"] = len(paths)
    o["data_bytes"] = sum(os.path.getsize(p) for p in paths)
    with open("backup.json", "w") as f:
        json.dump(o, f, indent=2)

def control(at, size, value):
    """A field of pg_control, and its CRC (versions 13 to 16)."""
    with open("data/global/pg_control", "r+b") as f:
        data = bytearray(f.read())
        data[int(at):int(at) + int(size)] = int(value).to_bytes(
            int(size), "little")
        data[288:292] = struct.pack("<I", crc32c(data[:288]))
        f.seek(0)
        f.write(data)

def describe(code):
    with open("backup.json") as f:
        o = json.load(f)
    exec(code, {"o": o, "d": o["databases"][0]})
    with open("backup.json", "w") as f:
        json.dump(o, f, indent=2)

globals()[sys.argv[1]](*sys.argv[2:])
END
mend_py() { python3 "$tmp/mend.py" "$@"; }
# remanifest: backup_manifest agrees with the files again. mend: backup.json and
# the list do.
remanifest() {
	mend_py listed >"$tmp/listed"
	"$FORMATS" manifest data 1 "$sysid" 1 "$(dec "$start")" "$(dec "$stop")" \
		<"$tmp/listed" >"$tmp/manifest" || return 1
	mv "$tmp/manifest" data/backup_manifest
}
mend() {
	mend_py count
	reseal
}
edit_label() { sed -i "$1" data/backup_label; }
edit_manifest() { sed -i "$1" data/backup_manifest; }
drop() { # FILE: as if it had never been there
	rm "$1"
	edit_list "\\|  $1\$|d"
}
bit() { flip "data/$q" "$@"; } # OFFSET
poke() { # FILE OFFSET: two bytes of zeros
	printf '\0\0' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
pages_swapped() { # FILE
	dd if="$1" of=page0 bs=8192 count=1 status=none
	dd if="$1" of=page1 bs=8192 count=1 skip=1 status=none
	cat page1 page0 | dd of="$1" bs=8192 conv=notrunc status=none
	rm page0 page1
}
lsn_of_page() { # FILE BLOCK
	od -An -tx4 -j $(($2 * 8192)) -N 8 "$1" |
		while read -r a b; do printf %X/%X "0x$a" "0x$b"; done
}

# --- What is said of them.

cluster() { printf '`data`: %s' "$*"; }
page() { # FILE BLOCK
	cluster "\`$1\`: block $2: its checksum is wrong, and the WAL does not replace it"
}
unlike() { printf '`%s`: its content is not what backup_manifest says' "$1"; }
link=data/pg_tblspc/$oid
target=../../tablespaces/$oid
space_files() { (cd "$intact" && find "tablespaces/$oid" -type f | LC_ALL=C sort); }
mapfile -t space < <(space_files)
[ ${#space[@]} -ge 1 ] || fail "no files in the tablespace"
gone=()
moved=()
for file in "${space[@]}"; do
	gone+=("$(missing "$file")")
	moved+=("$(extra "${file/#tablespaces/data/pg_tblspc}")")
done
no_link() { printf '`%s`: is no symbolic link: it was one to `%s`' "$link" "$target"; }

all=$(sed -n 's/.*"data_bytes": \([0-9]*\),/\1/p' "$intact/backup.json")
bytes() { # MORE
	printf '`backup.json`: says that there are %s bytes of data, and there are %s' \
		"$all" "$((all + $1))"
}

# What the sums find: the engine is not asked.
row 'bit 12345' "$(other "data/$q")"
row 'truncate -s -8192 "data/$q"' "$(bytes -8192)" "$(other "data/$q")"
row 'rm "data/$q"' "$(missing "data/$q")"
row 'swap "data/$q" "data/$twin"' "$(other "data/$q")" "$(other "data/$twin")"
row 'touch data/base/extra' "$(extra data/base/extra)"
row 'touch "data/$q.1"' "$(extra "data/$q.1")"
row 'echo "$oid /nowhere" >data/tablespace_map' "$(extra data/tablespace_map)"
row 'touch data/standby.signal' "$(extra data/standby.signal)"
row 'rm data/backup_label' "$(missing data/backup_label)"
row 'edit_label "s/^LABEL.*/LABEL: fillsts/"' "$(other data/backup_label)"
row 'cp "$db/data/global/pg_control" data/global' \
	"$(other data/global/pg_control)"
row 'edit_manifest "3s/Size/size/"' "$(other data/backup_manifest)"
row 'rm data/backup_manifest' "$(missing data/backup_manifest)"
row 'flip "data/pg_wal/$first" 100' "$(other "data/pg_wal/$first")"
row 'rm "data/pg_wal/$last"' "$(missing "data/pg_wal/$last")"
row 'truncate -s 8192 "data/pg_wal/$last"' \
	"$(bytes $((8192 - 1048576)))" "$(other "data/pg_wal/$last")"
row 'rm -r tablespaces' "${gone[@]}"
row 'mv "tablespaces/$oid" tablespaces/1' \
	"${moved[@]/data\/pg_tblspc\/$oid/tablespaces/1}" "${gone[@]}"

# What no list of sums can name.
row 'ln -sfn "$tmp/fast" "$link"' \
	"\`$link\`: leads to another place than \`$target\`"
row 'ln -sfn "$PWD/tablespaces/$oid" "$link"' \
	"\`$link\`: leads to another place than \`$target\`"
row 'ln -sfn "$target/" "$link"' \
	"\`$link\`: leads to another place than \`$target\`"
row 'rm "$link"' "\`$link\`: is missing: it is a symbolic link to \`$target\`"
row 'rm "$link"; mkdir "$link"' "$(no_link)"
row 'rm "$link"; mv "tablespaces/$oid" "$link"' \
	"$(no_link)" "${moved[@]}" "${gone[@]}"
row 'rm "$link"; cp "data/$q" "$link"' "$(no_link)" "$(extra "$link")"
row 'ln -s ../base data/global/base' \
	'`data/global/base`: is a symbolic link, and no file'
row 'rmdir data/pg_notify' '`data/pg_notify`: is missing: it is an empty directory'
row 'rmdir data/pg_notify; touch data/pg_notify' \
	'`data/pg_notify`: is no directory: it was an empty one' \
	"$(extra data/pg_notify)"
row 'mkfifo data/base/fifo' '`data/base/fifo`: is a FIFO, and no file'
row 'mend_py describe "o[\"links\"] = []"; mend' \
	"\`$link\`: is a symbolic link, and no file"
row 'mend_py describe "o[\"links\"][0][\"target\"] = \"/var\""; mend' \
	"\`backup.json\`: link \`$link\`: \`target\` leads to nothing in the set" \
	"\`$link\`: is a symbolic link, and no file"
row 'mend_py describe "d[\"path\"] = \"atad\""; mend' "$(missing atad)"
row 'mend_py describe "d[\"path\"] = \"data/base\""; mend' \
	'`data/base`: could not be checked: a cluster lies in `data`, and nowhere else'

# What only the engine finds. First the files that all depends on.
row 'drop data/PG_VERSION; mend' "$(cluster '`PG_VERSION`: is missing')"
row 'echo 15.20 >data/PG_VERSION; mend' \
	"$(cluster '`PG_VERSION`: names no version')"
row 'echo 17 >data/PG_VERSION; mend' \
	"$(cluster '`global/pg_control`: is not of PostgreSQL 17, as PG_VERSION says')"
row 'echo 14 >data/PG_VERSION; mend' "$(cluster "\`pg_wal/$first\`: page at ")*"
row 'drop data/global/pg_control; mend' \
	"$(cluster '`global/pg_control`: is missing')"
row 'flip data/global/pg_control 40; mend' \
	"$(cluster '`global/pg_control`: its CRC does not match its content')"
row 'truncate -s 4096 data/global/pg_control; mend' \
	"$(cluster '`global/pg_control`: has not 8192 bytes but 4096')"
row 'flip data/global/pg_control 8000; mend' \
	"$(cluster "$(unlike global/pg_control)")"
unprotected='`global/pg_control`: names a checkpoint: without its backup_label this cluster would start and be wrong'
row 'cp "$db/data/global/pg_control" data/global; mend' \
	"$(cluster "$unprotected")"
row 'cp "$db/data/global/pg_control" data/global; remanifest; mend' \
	"$(cluster "$unprotected")"
row 'mend_py control 32 8 12345; remanifest; mend' "$(cluster "$unprotected")"
row 'mend_py control 0 8 77; remanifest; mend' \
	"$(cluster "\`global/pg_control\`: its system identifier is 77, and backup.json says $sysid")"
row 'mend_py control 0 8 77; mend_py describe "d[\"system_identifier\"] = \"77\""; remanifest; mend' \
	"$(cluster "\`pg_wal/")*"
row 'mend_py control 252 4 0; remanifest; mend' \
	"$(cluster '`global/pg_control`: has no data checksums, and backup.json says that it has')"
row 'drop data/backup_label; mend' "$(cluster '`backup_label`: is missing')"
row 'edit_label "s/START TIMELINE: 1/START TIMELINE: 2/"; mend' \
	"$(cluster '`backup_label`: there is no valid line `START TIMELINE`')"
row 'edit_label 3d; mend' \
	"$(cluster '`backup_label`: there is no valid line `BACKUP METHOD`')"
row 'edit_label "1s|.*|START WAL LOCATION: 0/28 (file $first)|"; mend' \
	"$(cluster "\`backup_label\`: 0/28 does not lie in its file $first, but in 000000010000000000000000")"
other=${start%??}30
[ "$other" != "$start" ] || other=${start%??}38
row 'edit_label "1s|$start (file|$other (file|"; mend' \
	"$(cluster "\`backup_manifest\`: is not of the same backup as backup_label: its WAL begins at $start, not at $other")"
row 'edit_label "1s|.*|START WAL LOCATION: 0/28 (file 000000010000000000000000)|"
	start=0/28; remanifest; mend' \
	"$(cluster "\`backup_label\`: the begin of its WAL is 0/28, and backup.json says $start")"
row 'edit_label "s/^LABEL.*/LABEL: fillsts/"; mend' "$(cluster "$(unlike backup_label)")"

# backup_manifest.
manifest='`backup_manifest`:'
lines=$(wc -l <"$intact/data/backup_manifest")
at=$(grep -n '"PG_VERSION"' "$intact/data/backup_manifest" | cut -d: -f1)
row 'drop data/backup_manifest; mend' "$(cluster "$manifest is missing")"
row ': >data/backup_manifest; mend' "$(cluster "$manifest is cut behind line 0")"
row 'truncate -s -1 data/backup_manifest; mend' \
	"$(cluster "$manifest is cut behind line $((lines - 1))")"
row 'edit_manifest "s/\"Size\": 3,/\"Size\": 4,/"; mend' \
	"$(cluster "$manifest its checksum does not match its content")"
row 'edit_manifest "1s/1,/x,/"; mend' \
	"$(cluster "$manifest line 1: is not that of its version")"
row 'edit_manifest "s/\"Path\": \"PG_VERSION/\"Path\": \"..\/PG_VERSION/"; mend' \
	"$(cluster "$manifest line $at: has no valid path")"
row 'edit_manifest "/\"PG_VERSION\"/p"; mend_py seal; mend' \
	"$(cluster "$manifest names \`PG_VERSION\` twice")"
row 'edit_manifest "/\"PG_VERSION\"/d"; mend_py seal; mend' \
	"$(cluster '`PG_VERSION`: is not in backup_manifest')"
row 'edit_manifest "s/\"Timeline\": 1/\"Timeline\": 2/"; mend_py seal; mend' \
	"$(cluster "$manifest is not of the same backup as backup_label: its timeline is 2, not 1")"
row 'edit_manifest "s|\"End-LSN\": \"[^\"]*|\"End-LSN\": \"7/0|"; mend_py seal; mend' \
	"$(cluster "$manifest the end of its WAL is 7/0, and backup.json says $stop")"
row 'stop=7/0; remanifest; mend_py describe "del d[\"log\"][\"stop_lsn\"]"; mend' \
	"$(cluster "\`pg_wal/")*"
row 'stop=$start; remanifest; mend' \
	"$(cluster "$manifest the end of its WAL is $start, and backup.json says $stop")"

# WAL.
seg_has() { cluster "\`pg_wal/$1\`: has $2 bytes, and a segment of the WAL has 1048576"; }
row 'flip "data/pg_wal/$first" $((offset + 26)); mend' \
	"$(cluster "\`pg_wal/$first\`: record at $start fails its checksum")"
row 'flip "data/pg_wal/$first" $((offset + 20)); mend' \
	"$(cluster "\`pg_wal/$first\`: record at $start fails its checksum")"
row 'flip "data/pg_wal/$first" $((next_page * 8192 + 9)); mend' \
	"$(cluster "\`pg_wal/$first\`: page at ")*"
row 'flip "data/pg_wal/$first" $((middle + 20)); mend' \
	"$(cluster "\`pg_wal/$first\`: record at ")*"
row 'dd if=/dev/zero of="data/pg_wal/$first" bs=8192 seek=$((next_page + 1)) count=1 conv=notrunc status=none; mend' \
	"$(cluster "\`pg_wal/$first\`: page at ")*"
row 'swap "data/pg_wal/$first" "data/pg_wal/$last"; mend' \
	"$(cluster "\`pg_wal/$first\`: page at ")*"
row 'drop "data/pg_wal/$first"; mend' "$(cluster "\`pg_wal/$first\`: is missing")"
row 'drop "data/pg_wal/$last"; mend' "$(cluster "\`pg_wal/$last\`: is missing")"
row 'truncate -s 8192 "data/pg_wal/$last"; mend' "$(seg_has "$last" 8192)"
row 'truncate -s 1048575 "data/pg_wal/$first"; mend' \
	"$(seg_has "$first" 1048575)"
row 'echo >>"data/pg_wal/$last"; mend' "$(seg_has "$last" 1048577)"

# Pages. Where the manifest agrees with the file, they alone tell.
row 'bit $((8192 + 5000)); mend' "$(page "$q" 1)"
row 'bit $((8192 + 5000)); remanifest; mend' "$(page "$q" 1)"
row 'bit 8; remanifest; mend' "$(page "$q" 0)"
row 'flip "$s" $((3 * 8192 + 8191)); remanifest; mend' \
	"$(cluster "\`$s\`: block 3: its checksum is wrong, and the WAL does not replace it")"
row 'flip data/global/1262 4000; remanifest; mend' "$(page global/1262 0)"
row 'flip "data/$q"_fsm 4000; remanifest; mend' "$(page "${q}_fsm" 0)"
row 'flip "data/$t" $((bare * 8192 + 100)); remanifest; mend' "$(page "$t" "$bare")"
row 'flip "data/$t" $((covered * 8192 + 100)); mend' "$(cluster "$(unlike "$t")")"
row 'pages_swapped "data/$q"; remanifest; mend' "$(page "$q" 0)"
row 'poke "data/$q" $((2 * 8192 + 14)); remanifest; mend' \
	"$(cluster "\`$q\`: block 2: its header is that of an empty page, and it is not empty")"
row 'truncate -s -100 "data/$q"; remanifest; mend' \
	"$(cluster "\`$q\`: block $(($(stat -c %s "$intact/data/$q") / 8192 - 1)): the file ends in the middle of it")"
cluster_psql "$db" -c "UPDATE q SET b = 'later' WHERE a = 1" -c CHECKPOINT
row 'cp "$db/data/$q" data/base; mv "data/base/${q##*/}" "data/$q"; remanifest; mend' \
	"$(cluster "\`$q\`: block 0: its LSN $(lsn_of_page "$db/data/$q" 0) is behind the end of the backup, $stop")"

# Other files.
row 'swap "data/$q" "data/$twin"; mend' \
	"$(cluster "$(unlike "$q"); $(unlike "$twin")")"
row 'flip data/pg_xact/0000 3; mend' "$(cluster "$(unlike pg_xact/0000)")"
row 'echo >>data/pg_hba.conf; mend' \
	"$(cluster "\`pg_hba.conf\`: has $(($(stat -c %s "$intact/data/pg_hba.conf") + 1)) bytes, and backup_manifest says $(stat -c %s "$intact/data/pg_hba.conf")")"
row 'truncate -s -8192 "data/$q"; mend' "$(cluster "\`$q\`: has ")*"
row 'drop "data/$q"; mend' "$(cluster "\`$q\`: is missing")"
row 'cp "data/$q" "data/$q.1"; add_line "data/$q.1"; mend' \
	"$(cluster "\`$q.1\`: is not in backup_manifest")"
row 'echo "$oid /nowhere" >data/tablespace_map; add_line data/tablespace_map; mend' \
	"$(cluster '`tablespace_map`: is not in backup_manifest')"
row 'mkdir tablespaces/7; touch tablespaces/7/x; add_line tablespaces/7/x; mend' \
	"$(cluster '`pg_tblspc/7`: is no symbolic link: it was one to `../../tablespaces/7`; `tablespaces/7/x`: is not in backup_manifest')"
row 'drop "$s"; bit 5000; flip data/pg_xact/0000 3; mend' \
	"$(cluster "$(printf '%s\n' "\`$q\`: block 0: its checksum is wrong, and the WAL does not replace it" "$(unlike pg_xact/0000)" "\`$s\`: is missing" | paste -sd ';' | sed 's/;/; /g')")"
row 'for n in $(seq 10 24); do touch "data/base/$n"; add_line "data/base/$n"; done; mend' \
	"$(cluster "$(printf '`base/%s`: is not in backup_manifest; ' $(seq 10 19))and 5 more")"
ok "$rows damages"
[ -n "${ROWS:-}" ] || [ "$rows" -ge 80 ] || fail "the table was not run"

# --- What is no damage.

sound() {
	(cd "$set" && eval "$1") || fail "cannot: $1"
	intact
	ctl_says '"databases_checked":1'
	ok "no damage: $1"
}
fresh
sound 'flip "data/$t" $((covered * 8192 + 100)); remanifest; mend'
# The manifest says nothing of this file (check.h).
sound 'mend_py control 24 8 12345; mend'
sound 'mend_py describe "del d[\"system_identifier\"], d[\"log\"][\"start_lsn\"]"; mend'
sound 'touch -d 2001-01-01 data/PG_VERSION; chmod 777 data/base; mkdir data/base/77'

# --- The lost label, in a set that nothing else is wrong with.

# copy NAME: the set as a cluster that can be started.
copy() {
	mkdir -p "$tmp/$1/sock" &&
		cp -a "$intact/data" "$intact/tablespaces" "$tmp/$1" &&
		chown -R postgres: "$tmp/$1" && chmod 700 "$tmp/$1/data" &&
		chmod 755 "$tmp/$1" || fail "copy $1"
}
cluster_stop "$db"
copy whole
copy lost
rm "$tmp/lost/data/backup_label"
cluster_start "$tmp/whole" -k "$tmp/whole/sock"
got=$(cluster_psql "$tmp/whole" -c "SELECT (SELECT count(*) FROM q),
	(SELECT count(*) FROM s), (SELECT count(*) FROM t)")
[ "$got" = "2000|2000|6000" ] || fail "recovered: $got"
[ "$(readlink -f "$tmp/whole/$link")" = "$tmp/whole/tablespaces/$oid" ] ||
	fail "it runs on another tablespace"
cluster_stop "$tmp/whole"
cluster_server "$tmp/whole" pg_checksums --check >/dev/null || fail "checksums"
ok "with its backup_label a copy of the set recovers"
if cluster_server "$tmp/lost" pg_ctl -s -w -t 120 -l "$tmp/lost/log" \
	-o "-k $tmp/lost/sock" start 2>/dev/null; then
	cluster_server "$tmp/lost" pg_ctl -s -m immediate stop
	fail "without its label it started"
fi
grep -q 'PANIC:  could not locate a valid checkpoint record' "$tmp/lost/log" ||
	fail "another reason: $(cat "$tmp/lost/log")"
ok "without it, it refuses to start"

# --- Without checksums pages are not known to be right; all else is.

cluster_server "$db" pg_checksums --disable >/dev/null 2>&1 || fail "--disable"
cluster_start "$db"
rm -rf "$intact"
take
fresh
unknown() {
	ctl 3 verify "$set"
	ctl_says 'warning:   `data`: its pages have no checksums (data_checksums is off): only the WAL and the sums were checked' \
		'databases: 1, 0 checked and sound' \
		'result:    the set is whole; not all of it could be checked'
	[ "$(grep -c '^damaged:' "$tmp/ctl.out")" = 0 ] || fail "it is whole"
}
unknown
(cd "$set" && bit 5000 && remanifest && mend) || fail "cannot"
unknown
ctl 0 verify --quick "$set"
(cd "$set" && poke "data/$q" 14 && remanifest && mend) || fail "cannot"
verify 5
grep -qxF "$(cluster "\`$q\`: block 0: its header is that of an empty page, and it is not empty")" \
	"$tmp/flaws" || fail "$(cat "$tmp/flaws")"
fresh
(cd "$set" && flip "data/pg_wal/$first" $((offset + 26)) && mend) || fail "cannot"
verify 5
grep -qF "$(cluster "\`pg_wal/$first\`: record at ")" "$tmp/flaws" ||
	fail "$(cat "$tmp/flaws")"
ok "without checksums: a warning, and damage where there is some"
