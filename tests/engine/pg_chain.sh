#!/bin/bash
# SPDX-License-Identifier: MIT
# A chain of sessions of a cluster: what each link brings, what the slot keeps,
# what is released, and what is left behind.
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/chain.sh"

: "${PGASK:?}" "${TOP:?}"
c=${tmp:?}/c
sets=${sets:?}
r=$tmp/r
sql() { cluster_psql "$c" -c "$1"; }
slots() { sql "SELECT count(*) FROM pg_replication_slots"; }
log() { cat "$tmp/chain.log"; }

cluster_new "$c" --wal-segsize=1
cluster_conf "$c" 'autovacuum = off' 'max_wal_size = 4MB' 'min_wal_size = 2MB'
mkdir "$c/space" && chown postgres: "$c/space"
cluster_start "$c"
sql "CREATE TABLESPACE space LOCATION '$c/space'" || fail tablespace
sql 'CREATE TABLE t(i int PRIMARY KEY, s text) TABLESPACE space;
	CREATE TABLE u(i int); INSERT INTO u VALUES (0)' || fail tables

# Without the option nothing is made.
chain_run plain "$c/data" "$tmp/spool" "$sets/plain" || fail "$(log)"
[ "$(slots)" = 0 ] && [ ! -e "$sets/plain.note" ] || fail "a slot, or a note"
grep -q slot "$tmp/chain.log" && fail "$(log)"
# Nor is it by a trial.
chain_run full "$c/data" "$tmp/spool" - || fail "$(log)"
[ "$(slots)" = 0 ] || fail "a slot is left of a trial"
ok "no slot is made that nobody needs"

# It is there before the backup starts, and no other is made.
chain_full "$c"
slot=$(sql "SELECT slot_name FROM pg_replication_slots WHERE NOT temporary AND
	slot_type = 'physical' AND restart_lsn IS NOT NULL")
[[ $slot =~ ^stillfs_[0-9a-f]{8}$ ]] || fail "slot '$slot'"
grep -qF "\"slot\": \"$slot\"" "$sets/0.note" || fail "$(cat "$sets/0.note")"
start=$(sed -n 's/^START WAL LOCATION: \([^ ]*\) .*/\1/p' \
	"$sets/0/data/backup_label")
[ "$(sql "SELECT restart_lsn <= '$start' FROM pg_replication_slots")" = t ] ||
	fail "the slot keeps too little"
grep -qF "warn slot-remains: slot \`$slot\`: remains in the server, and keeps \
its WAL from " "$tmp/chain.log" || fail "$(log)"
ok "a full session makes the slot, and tells that it remains"

sql "INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 30000) i;
	UPDATE u SET i = 1" || fail rows
chain_add "$c" 1
# More than max_wal_size, and checkpoints: what the slot keeps stays.
sql "CREATE TABLE made AS SELECT * FROM t; UPDATE t SET s = 'x' WHERE i % 3 = 0;
	UPDATE u SET i = 2; TRUNCATE made; INSERT INTO made VALUES (7, 'seven')" ||
	fail DDL
sql 'VACUUM FULL t' && sql CHECKPOINT && sql 'SELECT pg_switch_wal()' \
	>/dev/null && sql CHECKPOINT || fail vacuum
chain_add "$c" 2
# Nothing at all: a link without a segment, if the server was quiet.
sql CHECKPOINT
chain_add "$c" 3
chain_add "$c" 4
[ ! -e "$sets/4/logs" ] && grep -q '"increment": null' "$sets/4/backup.json" ||
	fail "link 4: $(cat "$sets/4/backup.json")"
sql 'CREATE INDEX i ON t(s); DROP TABLE made; UPDATE u SET i = 5' || fail DDL
cluster_stop "$c" immediate
cluster_start "$c"
chain_add "$c" 5
for k in 1 2 3 4 5; do
	chain_run check "$sets/$k" && [ "$(log)" = sound ] || fail "$k: $(log)"
done
ok "links are made after checkpoints, of quiet times, and of crashes"

for want in '0 0 0' '1 1 30000' '2 2 30000' '3 2 30000' '4 2 30000' '5 5 30000'
do
	read -r k u t <<<"$want"
	chain_restore "$k" "$r"
	[ "$(find "$r/data/pg_wal" -maxdepth 1 -type f | grep -c '/[0-9A-F]*$')" = \
		"$(find "$r/data/pg_wal/archive_status" -name '*.done' | wc -l)" ] ||
		fail "link $k: not each segment is marked as archived"
	chain_start "$r"
	[ "$(cluster_psql "$r" -F ' ' -c \
		'SELECT (SELECT i FROM u), (SELECT count(*) FROM t)')" = "$u $t" ] ||
		fail "link $k: $(cluster_psql "$r" -c 'TABLE u')"
	made=$(cluster_psql "$r" -c "SELECT count(*) FROM pg_class
		WHERE relname IN ('made', 'i')")
	[ "$made" = $((k >= 1 && k != 1)) ] || fail "link $k: $made relations"
	[ "$(cluster_psql "$r" -c "SELECT pg_tablespace_location(oid)
		FROM pg_tablespace WHERE spcname = 'space'")" = \
		"../../tablespaces/$(basename "$sets"/0/tablespaces/*)" ] ||
		fail "link $k: the tablespace is elsewhere"
	chain_end "$r"
done
ok "a chain is restored to each of its links"

# By stock tools, as the document says.
lines=$(sed -n '/^To restore by hand, restore/,/^A server that starts/s/^    //p' \
	"$TOP/doc/postgres.md")
[ "$(wc -l <<<"$lines")" = 2 ] || fail "no lines to restore by: $lines"
rm -rf "$r" && cp -a "$sets/0" "$r"
live=$r
for link in "$sets"/[1-5]; do
	[ ! -d "$link" ] || [ ! -d "$link/logs" ] || eval "$lines" || fail "$link"
done
: "$live"
chain_start "$r"
[ "$(cluster_psql "$r" -c 'TABLE u')" = 5 ] || fail "by hand: not link 5"
chain_end "$r"
ok "a chain is restored by hand, as the document says"

# A trial looks, and ends no segment.
at=$(sql 'SELECT pg_current_wal_lsn()')
chain_run add "$c/data" "$tmp/spool" - "$sets/5.note" 6 || fail "$(log)"
[ "$(sql "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '$at') < 10000")" = t ] ||
	fail "a trial ends a segment"
ok "a trial of a link ends no segment"

# What is released: nothing by a dry run; up to the base otherwise.
kept() { sql "SELECT restart_lsn FROM pg_replication_slots"; }
before=$(kept)
stop=$(sed -n 's/.*"stop_lsn": "\(.*\)".*/\1/p' "$sets/2.note")
bytes=$(sql "SELECT (floor(('$stop'::pg_lsn - '0/0') / 1048576) -
	floor(('$before'::pg_lsn - '0/0') / 1048576)) * 1048576")
chain_run truncate "$c/data" "$sets/2.note" 2 dry || fail "$(log)"
[ "$(log)" = "$before - $stop; $bytes bytes" ] || fail "$(log), not $bytes"
[ "$(kept)" = "$before" ] || fail "a dry run releases"
chain_run truncate "$c/data" "$sets/2.note" 2 || fail "$(log)"
[ "$(log)" = "$before - $stop; $bytes bytes" ] || fail "$(log)"
[ "$(kept)" = "$stop" ] || fail "kept from $(kept), not from $stop"
chain_run truncate "$c/data" "$sets/2.note" 2 || fail "$(log)"
[ "$(log)" = "; 0 bytes" ] || fail "again: $(log)"
# An older one moves nothing back.
chain_run truncate "$c/data" "$sets/1.note" 1 || fail "$(log)"
[ "$(log)" = "; 0 bytes" ] && [ "$(kept)" = "$stop" ] || fail "older: $(log)"
sql CHECKPOINT
first=$(find "$sets/1/logs" -type f -printf '%f\n' | sort | head -n 1)
[ ! -e "$c/data/pg_wal/$first" ] || fail "$first is kept"
sql 'UPDATE u SET i = 6' || fail u
chain_add "$c" 6
ok "a truncation releases what is before the base, and no more"

# Without the option the slot is told of, and stays.
"$PGASK" check "$c/data" >"$tmp/out"
grep -q "^warning .*: slot \`$slot\`: keeps [0-9]* bytes of WAL for incremental \
sessions, which nobody asks for$" "$tmp/out" || fail "$(cat "$tmp/out")"
grep -qF "SELECT pg_drop_replication_slot('$slot');" "$tmp/out" ||
	fail "$(cat "$tmp/out")"
"$PGASK" check "$c/data" chain >"$tmp/out"
grep -q "^warning .*: slot \`$slot\`: keeps [0-9]* bytes of WAL, from [0-9A-F/]* \
on, and nothing limits that$" "$tmp/out" || fail "$(cat "$tmp/out")"
sql "ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'" && sql \
	'SELECT pg_reload_conf()' >/dev/null || fail reload
limited() {
	"$PGASK" check "$c/data" chain >"$tmp/out"
	grep -q "slot \`$slot\`: keeps [0-9]* bytes of WAL, from [0-9A-F/]* on, and \
is lost when [1-9][0-9]* more are written (max_slot_wal_keep_size)$" "$tmp/out"
}
wait_for 10 limited || fail "$(cat "$tmp/out")"
ok "a look tells what the slot keeps, and what limits it"

# A full session that comes to nothing leaves no slot that it made.
sql "SELECT pg_drop_replication_slot('$slot')" >/dev/null || fail drop
rm "$c/data/pg_tblspc"/[0-9]* || fail link
! chain_run full "$c/data" "$tmp/spool" "$sets/bad" || fail "no failure"
[ "$(slots)" = 0 ] || fail "a slot is left: $(log)"
ok "a session that fails takes the slot that it made with it"
