#!/bin/bash
# SPDX-License-Identifier: MIT
# The lines of doc/postgres.md that make a cluster of a set again, without
# stillfs; and stillctl, which does the same.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

[ "$(id -u)" = 0 ] || skip "only root becomes another user"
cluster=$tmp/cluster
chmod 755 "$tmp"
cluster_new "$cluster" || fail "initdb"
cluster_conf "$cluster" "listen_addresses = ''"
cluster_start "$cluster" || fail "the server"
mkdir "$tmp/space" && chown postgres "$tmp/space"
cluster_psql "$cluster" -c "CREATE TABLESPACE space LOCATION '$tmp/space'" \
	-c 'CREATE TABLE t TABLESPACE space AS SELECT generate_series(1, 1000) i' ||
	fail "a table"

# The lines below the heading that stand apart.
lines() {
	sed -n "/^## Restore/,/^## Not yet/p" "$TOP/doc/postgres.md" |
		sed -n 's/^    //p' | grep -v '^stillctl '
}
[ "$(lines | wc -l)" = 10 ] || fail "the page has $(lines | wc -l) lines"

"$STILLFS" "$cluster/data" "$mnt" || fail "the mount"
cp -a "$mnt/backup" "$tmp/set" || fail "the copy"
ctl 0 commit "$mnt" || fail "the commit"
umount "$mnt" || fail "umount"
cluster_psql "$cluster" -c 'DROP TABLE t'
ok "a set of a cluster with a tablespace"

lines | sed -e "s|^set=.*|set=$tmp/set|" -e "s|^live=.*|live=$tmp/live|" \
	-e "s|-p 5499|-p 5499 -k $cluster/sock|" >"$tmp/lines"
# No descriptor of the test stays with the server.
(set -e; . "$tmp/lines") 7>&- 8>&- </dev/null >"$tmp/log.lines" 2>&1 ||
	fail "the lines: $(cat "$tmp/log.lines")"
clusters+=("$tmp/live")
got=$(PGPORT=5499 psql -XAtq -h "$cluster/sock" -p 5499 -U postgres \
	-c 'SELECT count(*) FROM t' postgres) || fail "the restored server"
[ "$got" = 1000 ] || fail "it has $got rows"
runuser -u postgres -- "$pg_bin/pg_ctl" -s -w -D "$tmp/live/data" stop \
	-m immediate </dev/null
ok "restored by the lines of the page"

# What stillctl makes of it starts as well, beside the live cluster and the other.
ctl 0 verify "$tmp/set"
ctl 0 restore --create "$tmp/set" "$tmp/again"
oid=$(ls "$tmp/set/tablespaces")
[ "$(readlink "$tmp/again/data/pg_tblspc/$oid")" = "../../tablespaces/$oid" ] ||
	fail "the link leads to $(readlink "$tmp/again/data/pg_tblspc/$oid")"
[ "$(stat -c '%U %a' "$tmp/again/data")" = 'postgres 700' ] ||
	fail "$(stat "$tmp/again/data")"
mkdir "$tmp/again/sock" && chown postgres "$tmp/again/sock"
cluster_start "$tmp/again" -k "$tmp/again/sock"
[ "$(cluster_psql "$tmp/again" -c 'SELECT count(*) FROM t')" = 1000 ] ||
	fail "rows"
cluster_stop "$tmp/again"
for name in data postgres; do
	ctl 1 restore --create --database $name "$tmp/set" "$tmp/alone"
	[ ! -e "$tmp/alone" ] || fail "$name: something is restored"
done
ctl 1 restore --create --database data "$tmp/set" "$tmp/alone"
ctl_complains 'is no database that can be restored alone'
ok "restored by stillctl; as a whole only"

# Brought to a later moment, by an archive.
mkdir "$tmp/archive" && chown postgres "$tmp/archive"
cluster_stop "$cluster"
cluster_conf "$cluster" 'archive_mode = on' "archive_command = 'cp %p $tmp/archive/%f'"
cluster_start "$cluster"
ctl 0 backup --create --state "$state" "$cluster/data" "$tmp/based"
cluster_psql "$cluster" -c 'CREATE TABLE later AS SELECT 2 AS i'
segment=$(cluster_psql "$cluster" -c 'SELECT pg_walfile_name(pg_switch_wal())')
wait_for 30 test -e "$tmp/archive/$segment" || fail "no archive"
cluster_psql "$cluster" -c 'DROP TABLE later'
ctl 0 restore --create "$tmp/based" "$tmp/moved"
mkdir "$tmp/moved/sock" && chown postgres "$tmp/moved/sock"
cluster_conf "$tmp/moved" "restore_command = 'cp $tmp/archive/%f %p'" 'archive_mode = off'
touch "$tmp/moved/data/recovery.signal"
chown postgres: "$tmp/moved/data/recovery.signal"
cluster_start "$tmp/moved" -k "$tmp/moved/sock"
moved() { [ "$(cluster_psql "$tmp/moved" -c 'SELECT pg_is_in_recovery()')" = f ]; }
wait_for 60 moved || fail "it does not end its recovery"
[ "$(cluster_psql "$tmp/moved" -c 'SELECT i FROM later')" = 2 ] || fail "too early"
cluster_stop "$tmp/moved"
ok "brought to a later moment by an archive of the WAL"

# Without tablespaces the place is the data directory itself.
cluster_psql "$cluster" -c 'DROP TABLESPACE space' -c 'CREATE TABLE u AS SELECT 1 AS i'
ctl 0 backup --create --state "$state" "$cluster/data" "$tmp/stored"
mkdir "$tmp/plain" "$tmp/plain/sock" && chown postgres: "$tmp/plain" "$tmp/plain/sock"
ctl 0 restore --create "$tmp/stored" "$tmp/plain/data"
cluster_start "$tmp/plain" -k "$tmp/plain/sock"
[ "$(cluster_psql "$tmp/plain" -c 'SELECT i FROM u')" = 1 ] || fail "rows"
cluster_stop "$tmp/plain"
ok "without tablespaces: the place is the data directory"
