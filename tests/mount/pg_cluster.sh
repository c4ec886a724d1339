#!/bin/bash
# SPDX-License-Identifier: MIT
# A PostgreSQL cluster through the mount, while it is worked on: copies by the
# tools that people have, each in an order of its own. Each copy must be accepted
# by PostgreSQL's own tools, and a server in it must have all that was
# acknowledged before the moment, and nothing that was begun after it.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/bank.sh"

for tool in rsync tar restic; do
	command -v $tool >/dev/null || skip "no $tool"
done
export RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$tmp/restic-cache
c=$tmp/c
restic -q -r "$tmp/restic" init >/dev/null || fail "restic init"
# Its copies are not of one device, and nobody else's.
mkdir "$tmp/copies"

# freeze: and what is acknowledged afterwards goes on.
freeze() {
	start_fs "$c/data"
	ls -lR "$mnt/backup" >"$tmp/ls" || fail "the freeze: $(cat "$mnt/status")"
	bank_orderly "$c"
	moved=$(wc -l <"$c/acks")
}
thaw() {
	[ "$(wc -l <"$c/acks")" -gt "$moved" ] || fail "the load was no load"
	stop_fs COPIED
	bank_orderly "$c"
}
# good NAME: the copy.
good() {
	local wrong
	wrong=$(judge_set "$tmp/copies/$1" "$c/acks")
	[ -z "$wrong" ] || fail "$1: $wrong"
	ok "$1: accepted by pg_verifybackup, starts, and holds what it must"
	rm -rf "$tmp/copies/${1:?}"
}
# same NAME NAME: two copies of one moment.
same() {
	diff -r --no-dereference "$tmp/copies/$1" "$tmp/copies/$2" ||
		fail "$1 and $2 are not of one moment"
}

bank_new "$c" 1 20
bank_open "$c" 2

freeze
(cd "$mnt/backup" && find . ! -type d | sort -r) >"$tmp/backwards"
tar -C "$mnt/backup" -cf "$tmp/tar" -T "$tmp/backwards" 2>"$tmp/err" ||
	fail "tar: $(cat "$tmp/err")"
cp -a "$mnt/backup" "$tmp/copies/cp" || fail "cp"
[ ! -s "$tmp/err" ] || fail "tar: $(cat "$tmp/err")"
thaw
mkdir "$tmp/copies/tar"
# What has no file in it is no member of such an archive.
(cd "$tmp/copies/cp" && find . -type d) | (cd "$tmp/copies/tar" && xargs mkdir -p)
tar -C "$tmp/copies/tar" -xf "$tmp/tar" || fail "tar -x"
same cp tar
good cp
good tar

freeze
restic -q -r "$tmp/restic" backup "$mnt/backup" >"$tmp/out" 2>&1 ||
	fail "restic: $(cat "$tmp/out")"
[ ! -s "$tmp/out" ] || fail "restic: $(cat "$tmp/out")"
rsync -a "$mnt/backup/" "$tmp/copies/rsync" || fail "rsync"
thaw
restic -q -r "$tmp/restic" restore latest --target "$tmp/restored" ||
	fail "restic restore"
mv "$tmp/restored$mnt/backup" "$tmp/copies/restic"
same rsync restic
cp -a "$tmp/copies/rsync" "$tmp/copies/again"
good restic
good rsync

# The judge can say no.
set=$tmp/copies/again
clusters+=("$set")
mkdir "$set/sock" && chown -R postgres: "$set"
cluster_server "$set" pg_ctl -s -w -t 60 -l "$set/log" start \
	-o "-k '$set/sock'" || fail "start"
# said SQL WORDS: this makes the judge say that.
said() {
	local wrong
	cluster_psql "$set" -c "$1" || fail "$1"
	wrong=$(judge_server "$set" "$c/acks" "$set")
	[[ $wrong == *"$2"* ]] || fail "after $1: '$wrong'"
}
said 'UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1' \
	'balances and history: 2 4'
said 'DELETE FROM acks WHERE id = 5' 'acks: '
said 'DELETE FROM acks WHERE id > 5' 'is the last'
said "INSERT INTO acks SELECT id FROM generate_series(
	$(wc -l <"$c/acks"), $(wc -l <"$c/acks")) id" 'acks: '
said "DELETE FROM acks; INSERT INTO acks SELECT
	generate_series(1, $(wc -l <"$c/acks"))" 'was begun after the moment'
said 'DELETE FROM kept WHERE i = 1' 'kept; light;'
cluster_stop "$set"
rm -rf "$set"
ok "negative control: what is not as it must be is told"

bank_close "$c"

# At rest, also from those who clean up: what is in it is what pg_basebackup has,
# but for what differs between two backups. Junk that is in neither, too. By then
# it was restored once, and is on a timeline with a history.
cluster_stop "$c"
cluster_conf "$c" "autovacuum = off" "restore_command = 'false'"
touch "$c/data/recovery.signal" && chown postgres: "$c/data/recovery.signal"
cluster_start "$c"
promoted() { [ "$(cluster_psql "$c" -c 'SELECT pg_is_in_recovery()')" = f ]; }
wait_for 60 promoted || fail "not promoted"
# Names are bytes; in a database with no encoding they can be any.
cluster_psql "$c" -c "CREATE DATABASE raw ENCODING SQL_ASCII TEMPLATE template0" &&
	cluster_psql "$c" -d raw -c "$(printf 'CREATE DATABASE "caf\351"')" \
		-c "$(printf 'CREATE DATABASE "a\nb\\"" %%"')" || fail "odd names"
# Nor does whoever reads a catalogue tidy up a page of it.
cluster_run "$c" vacuumdb -aqF || fail "vacuumdb"
touch "$c/data/base/pgsql_tmp1" "$c/data/postgresql.auto.conf.tmp" \
	"$c/data/base/5/t9_16384"
mkdir -p "$c/data/pg_stat_tmp/more" "$c/data/base/pgsql_tmp"
chown -R postgres: "$c/data"
cluster_psql "$c" -c CHECKPOINT
oid=$(cluster_psql "$c" -c "SELECT oid FROM pg_tablespace WHERE spcname='space'")
cluster_run "$c" pg_basebackup -c fast -X fetch -D "$tmp/base" \
	-T "$c/space=$tmp/base.space" || fail "pg_basebackup"
start_fs "$c/data"
cp -a "$mnt/backup" "$tmp/copies/idle" || fail "cp"
stop_fs COPIED
# list DIR: kind and name of all in it; a segment is a segment.
list() {
	(cd "$1" && find . -mindepth 1 -printf '%y %P\n') |
		sed -E 's|(pg_wal/.*)[0-9A-F]{24}|\1SEGMENT|' | sort -u
}
list "$tmp/base" >"$tmp/theirs"
list "$tmp/base.space" | sed "s|^\(.\) |\1 pg_tblspc/$oid/|" >>"$tmp/theirs"
list "$tmp/copies/idle/data" >"$tmp/ours"
list "$tmp/copies/idle/tablespaces/$oid" |
	sed "s|^\(.\) |\1 pg_tblspc/$oid/|" >>"$tmp/ours"
diff <(sort "$tmp/theirs") <(sort "$tmp/ours") || fail "not pg_basebackup's list"
[ "$(wc -l <"$tmp/ours")" -gt 900 ] || fail "no list: $(wc -l <"$tmp/ours")"
grep -qx 'f pg_wal/00000002.history' "$tmp/ours" || fail "no history"
ok "the list of files is pg_basebackup's, all $(wc -l <"$tmp/ours") of them"
python3 - "$tmp/copies/idle/backup.json" <<'END' || fail "backup.json"
import json, sys
d = json.load(open(sys.argv[1]))["databases"][0]
assert sorted(d["databases"]) == ["a\nb\\\" %", "postgres", "raw", "template0",
	"template1"], d
assert d["encoded_databases"] == ["636166e9"], d
assert d["log"]["timeline"] == 2, d
END
ctl 0 verify "$tmp/copies/idle"
ok "names that are no text, and a second timeline"

# And of what has not changed between the two, so are the bytes.
(cd "$tmp/copies/idle/data" && find base global pg_xact -type f) >"$tmp/names"
differ=$(while read -r name; do
	cmp -s "$tmp/base/$name" "$tmp/copies/idle/data/$name" || echo "$name"
done <"$tmp/names")
[ "$differ" = global/pg_control ] || fail "other bytes: $differ"
good idle
