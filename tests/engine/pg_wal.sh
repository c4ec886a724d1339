#!/bin/bash
# SPDX-License-Identifier: MIT
# The walk over a real server's WAL: what it counts is what pg_waldump counts,
# and what is damaged is named.
. "$(dirname "$0")/../lib/cluster.sh"

: "${WALKER:?}"
c=$tmp/c
wal=$tmp/wal

cluster_new "$c" --wal-segsize=1 || fail "initdb"
cluster_conf "$c" "max_wal_size = 1GB" "checkpoint_timeout = 1h" \
	"wal_keep_size = 1GB" "wal_level = logical"
cluster_start "$c"
system=$(cluster_psql "$c" -c "SELECT system_identifier FROM pg_control_system()")
major=$(($(cluster_psql "$c" -c "SHOW server_version_num") / 10000))
cluster_run "$c" pgbench -i -q -s 2 >"$tmp/bench" 2>&1 || fail "pgbench -i"

switched() { cluster_psql "$c" -c "SELECT pg_switch_wal()"; }
# A checkpoint, so that images come again; and where it begins.
begin() {
	cluster_psql "$c" -c CHECKPOINT \
		-c "SELECT redo_lsn FROM pg_control_checkpoint()"
}
traffic() {
	cluster_run "$c" pgbench -n -c 3 -t "$1" >"$tmp/bench" 2>&1 ||
		fail "pgbench: $(cat "$tmp/bench")"
}

# walk START STOP [OPTION...]: into $tmp/walk.
walk() {
	local start=$1 stop=$2
	shift 2
	"$WALKER" "$@" "$wal" "$start" "$stop" "$system" 1 "$major" 1048576 \
		>"$tmp/walk" 2>&1
}
# pg_waldump's words in ours.
dump_stats() {
	"$pg_bin/pg_waldump" -p "$wal" -s "$1" -e "$2" --stats >"$tmp/stats" ||
		fail "pg_waldump --stats"
	sed 's/[][()%]//g' "$tmp/stats" | awk '
		$1 == "Total" { print "total", $2, $3, $5; next }
		NF == 9 && $2 > 0 { print $1, $2, $4, $6 }'
}
dump_blocks() {
	# Of a message all bytes are shown.
	"$pg_bin/pg_waldump" -p "$wal" -s "$1" -e "$2" -b | cut -b -2000 \
		>"$tmp/dump"
	[ "${PIPESTATUS[0]}" = 0 ] || fail "pg_waldump -b"
	awk '/^rmgr:/ {
			match($0, /lsn: [0-9A-F]+\/[0-9A-F]+/)
			lsn = substr($0, RSTART + 5, RLENGTH - 5)
			sub(/\/0*/, "/", lsn)
		}
		/blkref #/ {
			match($0, /rel .* blk [0-9]+/)
			print lsn, substr($0, RSTART, RLENGTH) \
				(/\(FPW/ ? " FPW" : "")
		}' "$tmp/dump"
}

# same NAME START STOP: both tell the same.
same() {
	local name=$1 n images
	rm -rf "$wal"
	cp -r "$c/data/pg_wal" "$wal"
	walk "$2" "$3" || fail "$name: $(cat "$tmp/walk")"
	dump_stats "$2" "$3" >"$tmp/want"
	images=$(awk '/^total/ { print $5 }' "$tmp/walk")
	covered=$(awk '/^covered/ { print $2 }' "$tmp/walk")
	grep -v '^covered' "$tmp/walk" | awk '{ print $1, $2, $3, $4 }' \
		>"$tmp/got"
	diff "$tmp/want" "$tmp/got" || fail "$name: other counts"
	walk "$2" "$3" -b || fail "$name: $(cat "$tmp/walk")"
	dump_blocks "$2" "$3" >"$tmp/want"
	sed 's/ replaced$//' "$tmp/walk" >"$tmp/got"
	cmp "$tmp/want" "$tmp/got" || fail "$name: other blocks"
	n=$(grep -c 'FPW$' "$tmp/want")
	[ "$n" = "$images" ] || fail "$name: $images images, not $n"
	n=$(sed -n 's/^[^ ]* \(.* blk [0-9]*\).* replaced$/\1/p' "$tmp/walk" |
		sort -u | wc -l)
	[ "$n" = "$covered" ] || fail "$name: $covered blocks, not $n"
	# An image is to be applied, or is there for verification only.
	n=$(grep -c 'FPW for WAL verification' "$tmp/dump")
	if [ "$n" = 0 ]; then
		grep -q 'FPW$' "$tmp/walk" && fail "$name: an image not applied"
	else
		grep -q 'FPW$' "$tmp/walk" || fail "$name: all are applied"
	fi
	ok "$name: $(wc -l <"$tmp/want") blocks, $images images," \
		"$covered covered; as pg_waldump"
}

start=$(begin)
traffic 300
same "plain traffic" "$start" "$(switched)"

start=$(begin)
cluster_psql "$c" -c "ALTER SYSTEM SET wal_compression = pglz" \
	-c "SELECT pg_reload_conf()" >"$tmp/out"
traffic 200
same "compressed images" "$start" "$(switched)"

start=$(begin)
cluster_psql "$c" -c "ALTER SYSTEM SET wal_compression = off" \
	-c "ALTER SYSTEM SET wal_consistency_checking = 'all'" \
	-c "SELECT pg_reload_conf()" >"$tmp/out"
traffic 100
same "images for verification" "$start" "$(switched)"
cluster_psql "$c" -c "ALTER SYSTEM RESET wal_consistency_checking" \
	-c "SELECT pg_reload_conf()" >"$tmp/out"

# Records longer than two segments, origins, subtransactions, all kinds of
# indexes, sequences, databases both ways.
start=$(begin)
cluster_psql "$c" >"$tmp/out" <<-'SQL' || fail "SQL"
	SELECT pg_logical_emit_message(false, 'x', repeat('abcdefghi', 300000));
	SELECT pg_replication_origin_create('o');
	SELECT pg_replication_origin_session_setup('o');
	CREATE TABLE t(a int, b text, p point, r int[]);
	BEGIN;
	INSERT INTO t VALUES(1, 'x', '(1,2)', '{1}');
	SAVEPOINT s;
	INSERT INTO t SELECT i, repeat(md5(i::text), 100), point(i, i), ARRAY[i]
		FROM generate_series(1, 2000) i;
	COMMIT;
	CREATE INDEX ON t USING hash(a);
	CREATE INDEX ON t USING gin(r);
	CREATE INDEX ON t USING gist(p);
	CREATE INDEX ON t USING spgist(p);
	CREATE INDEX ON t USING brin(a);
	CREATE SEQUENCE q;
	SELECT nextval('q') FROM generate_series(1, 100);
	UPDATE t SET a = a + 1, p = point(a, 0) WHERE a % 3 = 0;
	DELETE FROM t WHERE a % 5 = 0;
	VACUUM t;
	CREATE DATABASE other;
	DROP DATABASE other;
	TRUNCATE t;
SQL
[ "$major" -lt 15 ] ||
	cluster_psql "$c" -c "CREATE DATABASE other STRATEGY file_copy"
same "many kinds of records" "$start" "$(switched)"

# A crash, most often while a long record is written: the server says then that
# it is cut, and pg_waldump, too, goes on behind it.
start=$(begin)
(while cluster_psql "$c" -c "SELECT pg_logical_emit_message(false, 'x',
	repeat('abcdefghi', 3000000))"; do :; done) >"$tmp/out" 2>&1 &
emitter=$!
from=$(cluster_psql "$c" -c "SELECT pg_current_wal_insert_lsn()")
grown() {
	[ "$(cluster_psql "$c" -c "SELECT
		pg_current_wal_lsn() - '$from' > 40000000")" = t ]
}
wait_for 60 grown || fail "no long records"
cluster_stop "$c" immediate
wait "$emitter"
cluster_start "$c"
traffic 20
same "a crash" "$start" "$(switched)"
echo "# $(grep -c OVERWRITE_CONTRECORD "$tmp/dump") record was cut"

# A backup under load, by the server's own start and stop.
if [ "$major" -ge 15 ]; then
	backup_start="pg_backup_start('x', true)"
	backup_stop="pg_backup_stop(false)"
else
	backup_start="pg_start_backup('x', true, false)"
	backup_stop="pg_stop_backup(false, false)"
fi
cluster_run "$c" pgbench -n -c 3 -T 120 >"$tmp/bench" 2>&1 &
bench=$!
cluster_psql "$c" >"$tmp/backup" <<-SQL || fail "backup"
	SELECT $backup_start;
	DO \$\$ DECLARE start pg_lsn := pg_current_wal_lsn(); BEGIN
		WHILE pg_current_wal_lsn() - start < 3000000 LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
	END \$\$;
	SELECT lsn FROM $backup_stop;
SQL
kill "$bench"
wait "$bench"
{ read -r start && read -r stop; } <"$tmp/backup" || fail "no LSN"
same "a backup" "$start" "$stop"

# ---- damage ----

# flip FILE OFFSET: one bit of it.
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %o $((byte ^ 16)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# refused MESSAGE: that is all that the walk says.
refused() {
	walk "$start" "$stop" && fail "damage was not found: $1"
	[ "$(cat "$tmp/walk")" = "$1" ] ||
		fail "it says '$(cat "$tmp/walk")', not '$1'"
}

# Records that lie within their page, from the middle of the backup on.
sed -n 's/^rmgr: .*(rec\/tot): *[0-9]*\/ *\([0-9]*\), .* lsn: \([0-9A-F]*\)\/\([0-9A-F]*\), prev.*/\1 \2 \3/p' \
	"$tmp/dump" >"$tmp/records"
n=$(wc -l <"$tmp/records")
damaged=0
while read -r total high low; do
	lsn=$((0x$high * 4294967296 + 0x$low))
	[ $((lsn % 8192 + total)) -le 8192 ] || continue
	file=$(printf '00000001%08X%08X' "0x$high" $((0x$low / 1048576)))
	name=$(printf '%X/%X' "0x$high" "0x$low")
	for at in 16 20 23 24 $((total / 2)) $((total - 1)); do
		flip "$wal/$file" $((lsn % 1048576 + at))
		refused "corrupt: \`pg_wal/$file\`: record at $name fails its checksum"
		flip "$wal/$file" $((lsn % 1048576 + at))
	done
	damaged=$((damaged + 1))
done < <(tail -n +$((n / 2)) "$tmp/records" | head -n 30)
[ "$damaged" -gt 5 ] || fail "only $damaged records were damaged"
walk "$start" "$stop" || fail "the damage stayed: $(cat "$tmp/walk")"
ok "$damaged records of $n, six places each: each is named"

# The server began the backup in a segment of its own, and filled it.
file=$(printf '00000001%08X%08X' "0x${start%/*}" \
	$((0x${start#*/} / 1048576)))
mv "$wal/$file" "$wal/away"
refused "not-found: \`pg_wal/$file\` is missing: the backup needs the WAL from \
$start to $stop"
head -c 300000 "$wal/away" >"$wal/$file"
walk "$start" "$stop" && fail "a segment that ends is not found"
grep -q "^corrupt: \`pg_wal/$file\`: page at [0-9A-F/]* is not there: the file \
ends at byte" "$tmp/walk" || fail "it says $(cat "$tmp/walk")"
mv "$wal/away" "$wal/$file"
walk "$start" "$stop" || fail "after all: $(cat "$tmp/walk")"
ok "a segment that is missing, or ends, is named"
