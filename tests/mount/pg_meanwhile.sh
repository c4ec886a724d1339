#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# What is made or dropped in a server while it is frozen: each copy starts, and
# has all that was committed before the freeze, or there is none.
#
# A freeze is held where it is wanted by no clock: between start and stop, by a
# spool whose file system is frozen, so that the first copied block waits; within
# the start, by a checkpointer that is stopped.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

spool=${tmp:?}/spool
stopped=()
meanwhile_cleanup() {
	local status=$?
	trap '' INT TERM
	# What waits for it could not even be killed.
	fsfreeze -u "$spool" 2>/dev/null
	[ ${#stopped[@]} = 0 ] || kill -CONT "${stopped[@]}" 2>/dev/null
	(exit "$status")
	cluster_cleanup
}
trap meanwhile_cleanup EXIT

c=$tmp/c
cluster_new "$c"
cluster_start "$c"
truncate -s 256M "$tmp/spool.disk"
mkfs.ext4 -q -F "$tmp/spool.disk" || skip "no mkfs.ext4"
mkdir "$spool"
mount -o loop "$tmp/spool.disk" "$spool" || skip "no loop mount"
rm -rf "$spool/lost+found"
chmod 700 "$spool"

sql() { cluster_psql "$c" -c "$1"; }
# is TEXT SQL
is() { [ "$(sql "$2")" = "$1" ]; }
begin() {
	"$STILLCTL" begin "$mnt" >"$tmp/begin.out" 2>&1 8>&- &
	begin_pid=$!
}
# hold: begin, and wait until the freeze is between start and stop, its list of
# files made.
hold() {
	fsfreeze -f "$spool" || fail fsfreeze
	begin
	wait_for 30 held || fail "it captures nothing"
	is 1 'SELECT count(*) FROM pg_replication_slots' || fail "no slot"
}
held() { grep -qs 'percpu_rwsem\|freeze' /proc/"$fs_pid"/task/*/wchan; }
# halt: begin, and wait until the server is at the checkpoint of the start. Stopped
# amid something, the checkpointer could hold what others need to get there.
halt() {
	wait_for 30 is CheckpointerMain "SELECT wait_event FROM pg_stat_activity
		WHERE backend_type = 'checkpointer'" || fail "a checkpoint goes on"
	stopped=("$(sql "SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'checkpointer'")")
	kill -STOP "${stopped[@]}" || fail "no checkpointer"
	begin
	wait_for 30 is 1 "SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'stillfs' AND state = 'active'
		AND query LIKE '%pg_backup_start%'" || fail "it does not begin"
}
# release STATUS: let it go on; `stillctl begin` ends so.
release() {
	fsfreeze -u "$spool" 2>/dev/null
	[ ${#stopped[@]} = 0 ] || kill -CONT "${stopped[@]}"
	stopped=()
	wait "$begin_pid"
	got=$?
	[ "$got" = "$1" ] || fail "begin: $got, not $1: $(cat "$tmp/begin.out")"
}
# tells TEXT...: what the catalog remembers of the last session.
tells() {
	local text all
	all="$(record error) $(record hint)"
	for text; do
		[[ $all == *"$text"* ]] || fail "it does not say '$text': $all"
	done
}
# copied NAME: what is served becomes a cluster of its own, which starts.
copied() {
	local dir=$tmp/copies/$1
	mkdir -p "$tmp/copies"
	cp -a "$mnt/backup" "$dir" || fail "$1: cp"
	ctl 0 commit "$mnt"
	recorded COMMITTED
	(cd "$dir" && xxhsum -c --quiet verify/XXH128SUMS) >"$tmp/out" 2>&1 ||
		fail "$1: $(cat "$tmp/out")"
	"$pg_bin/pg_verifybackup" -q "$dir/data" >"$tmp/out" 2>&1 ||
		fail "$1: $(cat "$tmp/out")"
	mkdir "$dir/sock"
	chown postgres: "$dir/sock"
	chmod 755 "$dir" "$dir/sock"
	cluster_conf "$dir" "unix_socket_directories = '$dir/sock'" \
		"synchronous_standby_names = ''"
	cluster_start "$dir"
}

start_fs "$c/data" -o spool="$spool",freeze=copy,state="$state"

# ---- an index of an unlogged table -----------------------------------------------
# It is there for as long as it is built, and has an init fork at the end only: its
# file is in the list, and replay makes the init fork. Where both are, the server
# does not start.
sql 'CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 1000) AS a;
	CREATE TABLE t AS SELECT generate_series(1, 1000) AS a;
	CREATE FUNCTION slow(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN PERFORM pg_advisory_lock_shared(1); RETURN i; END $$' || fail table
mkfifo "$tmp/lock.in"
cluster_psql "$c" <"$tmp/lock.in" >"$tmp/lock.out" 2>&1 8>&- &
started+=($!)
exec 8>"$tmp/lock.in"
echo "SELECT 'locked', pg_advisory_lock(1);" >&8
wait_for 10 grep -q locked "$tmp/lock.out" || fail "$(cat "$tmp/lock.out")"
cluster_psql "$c" -c 'CREATE INDEX ui ON u (slow(a))' >"$tmp/index.out" 2>&1 \
	8>&- &
index=$!
wait_for 10 is 1 "SELECT count(*) FROM pg_locks
	WHERE locktype = 'advisory' AND NOT granted" || fail "$(cat "$tmp/index.out")"
hold
exec 8>&-
wait "$index" || fail "$(cat "$tmp/index.out")"
node=$(sql "SELECT pg_relation_filepath('ui')")
[ -e "$c/data/${node}_init" ] || fail "an index without an init fork"
release 0
[ ! -e "$mnt/backup/data/$node" ] || fail "$node is in the copy"
copied index
[ "$(cluster_psql "$tmp/copies/index" -c 'INSERT INTO u VALUES (7);
	SET enable_seqscan = off; SELECT count(*) FROM u WHERE slow(a) = 7;
	SELECT count(*) FROM t' | tr '\n' ' ')" = '1 1000 ' ] || fail "the copy"
cluster_stop "$tmp/copies/index"
ok "an index of an unlogged table, built during the freeze"

# ---- tablespaces -----------------------------------------------------------------
# space NAME: a place for one.
space() { mkdir "$tmp/$1" && chown postgres: "$tmp/$1" || fail "$1"; }
space early
space gone
sql "CREATE TABLESPACE gone LOCATION '$tmp/gone'" || fail gone
halt
sql "CREATE TABLESPACE early LOCATION '$tmp/early'" || fail early
sql 'CREATE TABLE t_early TABLESPACE early AS SELECT a FROM t' || fail t_early
release 4
recorded 'ABORTED(not frozen)'
tells 'a tablespace was made' 'Begin again'
halt
sql 'DROP TABLESPACE gone' || fail drop
release 0
oid=$(sql "SELECT oid FROM pg_tablespace WHERE spcname = 'early'")
[ "$(ls "$mnt/backup/data/pg_tblspc")" = "$oid" ] ||
	fail "links: $(ls -l "$mnt/backup/data/pg_tblspc")"
copied early
[ "$(cluster_psql "$tmp/copies/early" -c 'SELECT count(*) FROM t_early')" = \
	1000 ] || fail "the copy has no tablespace"
cluster_stop "$tmp/copies/early"
ok "tablespaces that are made and dropped before the start"

# Its record is in the WAL before the start, and it is seen after it: the commit
# waits for a standby that does not come.
space slow
sql "ALTER SYSTEM SET synchronous_standby_names = 'nobody'" || fail 'ALTER SYSTEM'
cluster_reload "$c"
wait_for 10 is nobody 'SHOW synchronous_standby_names' || fail 'no standby to wait for'
cluster_psql "$c" -c "CREATE TABLESPACE slow LOCATION '$tmp/slow'" \
	>"$tmp/slow.out" 2>&1 8>&- &
slow=$!
wait_for 10 is 1 "SELECT count(*) FROM pg_stat_activity
	WHERE wait_event = 'SyncRep' AND query LIKE 'CREATE TABLESPACE%'" ||
	fail "$(cat "$tmp/slow.out")"
hold
sql 'ALTER SYSTEM RESET synchronous_standby_names' || fail 'ALTER SYSTEM'
cluster_reload "$c"
wait "$slow" || fail "$(cat "$tmp/slow.out")"
sql 'CREATE TABLE t_slow TABLESPACE slow AS SELECT a FROM t' || fail t_slow
release 4
recorded 'ABORTED(not frozen)'
tells 'a tablespace was made' 'Begin again'
begin
release 0
copied slowly
[ "$(cluster_psql "$tmp/copies/slowly" -c 'SELECT count(*) FROM t_slow')" = 1000 ] ||
	fail "the copy has no tablespace"
cluster_stop "$tmp/copies/slowly"
ok "a tablespace that is seen after the start only"

umount "$mnt" || fail umount
wait_fs

# ---- the files of another server -------------------------------------------------
# A standby is of the same system, and here its files are where the server says
# that its own are: in another container, say. They lag behind.
for name in early slow; do
	sql "DROP TABLE t_$name" && sql "DROP TABLESPACE $name" || fail "$name"
done
cluster_run "$c" pg_basebackup -D "$tmp/s/data" -R -X stream -c fast --no-sync \
	>"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
mkdir "$tmp/s/sock"
chmod 755 "$tmp/s"
chown -R postgres: "$tmp/s"
cluster_conf "$tmp/s" "unix_socket_directories = '$tmp/s/sock'"
cluster_start "$tmp/s"
wait_for 30 is streaming 'SELECT state FROM pg_stat_replication' ||
	fail "the standby gets nothing"
cluster_psql "$tmp/s" -c 'SELECT pg_wal_replay_pause()' >"$tmp/out" || fail pause
sql 'UPDATE t SET a = -a; CHECKPOINT; SELECT pg_switch_wal()' >"$tmp/out" ||
	fail update
at_standby() (
	exec unshare -m bash -c 'mount --bind "$1" "$2" && exec "${@:3}"' - \
		"$tmp/s/data" "$c/data" "$@"
)
at_standby "$STILLCTL" backup --state "$state" --spool "$spool" --create \
	"host=$c/sock dbname=postgres" "$tmp/other" >"$tmp/out" 2>&1 &&
	fail "the files of a standby are backed up"
grep -q 'are not those of the server' "$tmp/out" || fail "$(cat "$tmp/out")"
[ ! -e "$tmp/other" ] || fail "something is stored"
ok "the files of another server of the same system"
