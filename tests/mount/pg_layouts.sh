#!/bin/bash
# SPDX-License-Identifier: MIT
# A cluster whose parts lie where they may, and need not: a PGDATA that is reached
# through a link, pg_wal elsewhere, in segments of another size, a tablespace
# within the PGDATA, one within another, and one that another version shares; and a
# relation that does not end with a page.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

c=${tmp:?}/c
mkdir "$tmp/wal" "$tmp/outer" && chown postgres: "$tmp/wal" "$tmp/outer" || fail mkdir
cluster_new "$c" --waldir="$tmp/wal/pg" --wal-segsize=2
[ -L "$c/data/pg_wal" ] || fail "pg_wal is no link"
cluster_server "$c" pg_checksums --disable >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
cluster_start "$c"
mkdir -p "$c/data/spaces/inner" "$tmp/outer/nested" "$tmp/outer/PG_9.6_201608131/5"
echo old >"$tmp/outer/PG_9.6_201608131/5/1259"
chown -R postgres: "$c/data/spaces" "$tmp/outer"
sql() { cluster_psql "$c" -c "$1"; }
for at in "$c/data/spaces/inner" "$tmp/outer" "$tmp/outer/nested"; do
	name=$(basename "$at")
	sql "CREATE TABLESPACE s_$name LOCATION '$at'" 2>"$tmp/out" ||
		fail "$(cat "$tmp/out")"
	sql "CREATE TABLE t_$name TABLESPACE s_$name AS
		SELECT generate_series(1, 1000) AS a" || fail "t_$name"
done
sql 'CREATE TABLE t AS SELECT a, repeat(md5(a::text), 50) AS b
	FROM generate_series(1, 3000) a' || fail t
# A disk that was full leaves a part of a page behind, which no server looks at, and
# which is written over when the relation grows.
node=$(sql "SELECT pg_relation_filepath('t')")
whole=$(stat -c %s "$c/data/$node")
head -c 4096 /dev/zero >>"$c/data/$node"
mkdir "$tmp/way" && ln -s "$c/data" "$tmp/way/there"

ctl 0 backup --state "$state" --create "$tmp/way/there" "$tmp/set"
set=$tmp/set/full
"$pg_bin/pg_verifybackup" -q "$set/data" >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
[ ! -L "$set/data/pg_wal" ] || fail "pg_wal is a link in the copy"
[ -z "$(ls "$set/data/spaces/inner")" ] || fail "a tablespace is there twice"
[ "$(ls "$set/tablespaces" | wc -l)" = 3 ] || fail "$(ls -R "$set/tablespaces")"
[ -z "$(find "$set" -path '*PG_9.6*')" ] || fail "files of another version"
[ "$(stat -c %s "$set"/data/pg_wal/0* | sort -u)" = $((2 << 20)) ] || fail segments
[ "$(stat -c %s "$set/data/$node")" = "$whole" ] || fail "a part of a page"
ctl 0 restore "$set" "$tmp/r" --create
mkdir "$tmp/r/sock"
chown postgres: "$tmp/r/sock"
chmod 755 "$tmp/r" "$tmp/r/sock"
cluster_conf "$tmp/r" "unix_socket_directories = '$tmp/r/sock'"
# Nothing of the live one is to be had any more.
cluster_stop "$c"
mv "$tmp/outer" "$tmp/wal" "$tmp/way" "$c/" || fail mv
cluster_start "$tmp/r"
[ "$(cluster_psql "$tmp/r" -c 'SELECT (SELECT sum(a) FROM t_inner),
	(SELECT sum(a) FROM t_outer), (SELECT sum(a) FROM t_nested),
	(SELECT sum(length(b)) FROM t)')" = '500500|500500|500500|4800000' ] ||
	fail "the copy is another one"
cluster_stop "$tmp/r"
ok "links, segments and tablespaces in odd places"
