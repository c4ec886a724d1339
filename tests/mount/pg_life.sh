#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# What becomes of a session, and of the server, when either of them goes at the
# wrong moment, when there is no room, and beside other backups.
#
# A freeze is held where it is wanted by no clock: between start and stop, by a
# spool whose file system is frozen, so that the first copied block waits; within
# the start, by a checkpointer that is stopped.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

spool=${tmp:?}/spool
life_cleanup() {
	local status=$?
	trap '' INT TERM
	# What waits for it could not even be killed.
	fsfreeze -u "$spool" 2>/dev/null
	[ -z "${checkpointer:-}" ] || kill -CONT "$checkpointer" 2>/dev/null
	(exit "$status")
	cluster_cleanup
}
trap life_cleanup EXIT

c=$tmp/c
cluster_new "$c"
cluster_conf "$c" 'max_replication_slots = 3' 'max_wal_senders = 3'
cluster_start "$c"
cluster_psql "$c" -c 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS a' ||
	fail table
truncate -s 256M "$tmp/spool.disk"
mkfs.ext4 -q -F "$tmp/spool.disk" || skip "no mkfs.ext4"
mkdir "$spool"
mount -o loop "$tmp/spool.disk" "$spool" || skip "no loop mount"
rm -rf "$spool/lost+found"
chmod 700 "$spool"

sql() { cluster_psql "$c" -c "$1"; }
# is TEXT SQL
is() { [ "$(sql "$2")" = "$1" ]; }
used() { stat -f -c '%b %f' "$spool" | awk '{print $1 - $2}'; }
# Nothing of ours: in the server, when it runs, and in the spool. A backend that
# was left alone sees that at its next word to the client.
clean() {
	wait_for 20 is '0|0' "SELECT (SELECT count(*) FROM pg_replication_slots),
		(SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'stillfs')" ||
		fail "$1: the server is not clean"
	roomy "$1"
}
roomy() {
	wait_for 10 test_room || fail "$1: the spool: $(used), not $empty"
	[ -z "$(ls -A "$spool")" ] || fail "$1: $(ls -A "$spool")"
}
test_room() { [ "$(used)" = "$empty" ]; }
# tells TEXT...: what the catalog remembers of the last session.
tells() {
	local text all
	all="$(record error) $(record hint)"
	for text; do
		[[ $all == *"$text"* ]] || fail "it does not say '$text': $all"
	done
}
# good WHAT: a session after that is as good as any.
good() {
	local dir=$tmp/good
	rm -rf "$dir"
	ctl 0 backup --create "$mnt" "$dir"
	recorded COMMITTED
	(cd "$dir/full" && xxhsum -c --quiet verify/XXH128SUMS) >"$tmp/out" 2>&1 ||
		fail "$1: $(cat "$tmp/out")"
	"$pg_bin/pg_verifybackup" -q "$dir/full/data" >"$tmp/out" 2>&1 ||
		fail "$1: $(cat "$tmp/out")"
	clean "$1"
}
# hold: begin, and wait until the freeze is between start and stop.
hold() {
	fsfreeze -f "$spool" || fail fsfreeze
	"$STILLCTL" begin "$mnt" >"$tmp/begin.out" 2>&1 8>&- &
	begin_pid=$!
	wait_for 30 is 1 "SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'stillfs' AND state = 'idle'
		AND query LIKE '%pg_backup_start%'" || fail "it does not begin"
	is 1 'SELECT count(*) FROM pg_replication_slots' || fail "no slot"
}
# release STATUS: let it go on; `stillctl begin` ends so.
release() {
	fsfreeze -u "$spool" || fail "fsfreeze -u"
	wait "$begin_pid"
	got=$?
	[ "$got" = "$1" ] || fail "begin: $got, not $1: $(cat "$tmp/begin.out")"
}

start_fs "$c/data" -o spool="$spool",freeze=copy,state="$state"
# What the file system itself writes, it has written then.
ctl 0 begin "$mnt"
grep -qx 'captured:  by copy' "$mnt/status" || fail "$(cat "$mnt/status")"
grep -q '"freeze": "copy"' "$mnt/status.json" || fail "status.json"
ctl 0 abort "$mnt"
sync -f "$spool"
empty=$(used)
good "to begin with"

# ---- the server ----------------------------------------------------------------
cluster_stop "$c"
ctl 4 begin "$mnt"
ctl_complains 'is not running' 'Start the server'
recorded 'ABORTED(not frozen)'
tells 'is not running'
grep -q '^error: .*is not running' "$mnt/status" || fail "$(cat "$mnt/status")"
ls "$mnt/backup" >"$tmp/out" 2>&1 && fail "a server that is stopped is frozen"
roomy "stopped before"
cluster_start "$c"
good "started again"
ok "stopped before the freeze; started again"

# status and metrics tell how far it is; and then it goes on as if nothing was.
hold
grep -q '^state:     preparing' "$mnt/status" || fail "$(cat "$mnt/status")"
grep -q '"state": "preparing"' "$mnt/status.json" || fail "status.json"
ls "$mnt/backup" >"$tmp/ls.out" 2>&1 &
# What the server writes into pg_control now is in it, because that comes last.
sql CHECKPOINT || fail checkpoint
release 0
wait $! || fail "who waited: $(cat "$tmp/ls.out")"
grep -q '^data$' "$tmp/ls.out" || fail "$(cat "$tmp/ls.out")"
grep -qE '"capture_bytes": [1-9][0-9]{6}' "$mnt/status.json" || fail "captured"
redo_of() {
	"$pg_bin/pg_controldata" "$1" | sed -n "s/^Latest checkpoint's REDO .*: *//p"
}
[ -n "$(redo_of "$c/data")" ] || fail "pg_controldata"
[ "$(redo_of "$mnt/backup/data")" = "$(redo_of "$c/data")" ] ||
	fail "pg_control is not the last: $(redo_of "$mnt/backup/data")"
exec 6<"$mnt/backup/data/PG_VERSION"
ctl 0 abort "$mnt"
dd bs=1 count=1 status=none <&6 >"$tmp/out" 2>&1 && fail "a session that is over is read"
grep -q 'Input/output error' "$tmp/out" || fail "$(cat "$tmp/out")"
exec 6<&-
recorded 'ABORTED(by caller)'
clean "a freeze that waits for its spool"
ok "a freeze that waits, and those who wait for it; pg_control comes last"

# One whose CRC stays wrong is not taken.
hold
cp "$c/data/global/pg_control" "$tmp/pg_control"
printf x | dd of="$c/data/global/pg_control" bs=1 seek=100 conv=notrunc status=none
release 5
dd if="$tmp/pg_control" of="$c/data/global/pg_control" conv=notrunc status=none
recorded 'ABORTED(not frozen)'
tells 'global/pg_control'
good "a pg_control that was spoilt"
ok "a pg_control that is not whole fails the freeze"

# Replay would make a tablespace where the live one is; and one that goes is no
# loss.
mkdir "$tmp/space" && chown postgres: "$tmp/space"
hold
sql "CREATE TABLESPACE space LOCATION '$tmp/space'" || fail tablespace
release 4
recorded 'ABORTED(not frozen)'
tells 'a tablespace was made while its files were captured' 'Begin again'
clean "a tablespace was made"
hold
sql "CREATE TABLE u TABLESPACE space AS SELECT 1 AS i" || fail "table u"
sql "DROP TABLE u" && sql "DROP TABLESPACE space" || fail "drop"
release 0
rm -rf "$tmp/r"
mkdir -m 755 "$tmp/r" "$tmp/r/sock"
cp -a "$mnt/backup/." "$tmp/r" || fail cp
ctl 0 commit "$mnt"
"$pg_bin/pg_verifybackup" -q "$tmp/r/data" || fail "pg_verifybackup"
chown -R postgres: "$tmp/r"
cluster_start "$tmp/r" -k "$tmp/r/sock"
[ "$(cluster_psql "$tmp/r" -c 'SELECT (SELECT count(*) FROM t), count(*)
	FROM pg_tablespace')" = '1000|2' ] || fail "without its tablespace"
cluster_stop "$tmp/r"
rm -rf "$tmp/r"
clean "a tablespace was dropped"
ok "a tablespace is made, or dropped, in the freeze"

for mode in fast immediate; do
	hold
	cluster_stop "$c" $mode
	release 1
	recorded 'ABORTED(not frozen)'
	tells "server of \`$c/data\`: " 'nothing is left there to clean up'
	roomy "$mode"
	ls "$mnt/backup" >"$tmp/out" 2>&1 && fail "a stopped server is frozen"
	cluster_start "$c"
	good "after a stop ($mode) in the freeze"
	ok "stopped ($mode) in the freeze"
done

hold
cluster_stop "$c"
cluster_start "$c"
release 1
recorded 'ABORTED(not frozen)'
clean "restarted"
good "restarted in the freeze"
ok "restarted in the freeze"

aborted=$(grep -c 'aborting backup due to backend exiting' "$c/log")
hold
is t "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity
	WHERE application_name = 'stillfs'" || fail terminate
release 1
recorded 'ABORTED(not frozen)'
tells 'terminating connection due to administrator command' \
	'nothing is left there to clean up'
clean "terminated"
[ "$(grep -c 'aborting backup due to backend exiting' "$c/log")" = \
	$((aborted + 1)) ] || fail "the server did not abort the backup"
good "terminated"
ok "the connection is ended between start and stop"

# ---- the daemon ----------------------------------------------------------------
hold
kill -9 "$fs_pid"
fsfreeze -u "$spool" || fail "fsfreeze -u"
wait "$fs_pid" "$begin_pid" 2>/dev/null
fs_pid=
clean "killed"
recorded 'ABORTED(crash)'
[ "$(grep -c 'aborting backup due to backend exiting' "$c/log")" = \
	$((aborted + 2)) ] || fail "the server did not abort the backup"
[ -z "$(find "$c" -newer "$tmp/begin.out" -user root)" ] || fail "a file of ours"
start_fs "$c/data" -o spool="$spool",freeze=copy,state="$state"
good "killed in the freeze"
ok "the daemon is killed between start and stop"

# halt: begin, and wait until the server is at the checkpoint of the start.
halt() {
	checkpointer=$(sql "SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'checkpointer'")
	kill -STOP "$checkpointer" || fail "no checkpointer"
	"$STILLCTL" begin "$mnt" >"$tmp/begin.out" 2>&1 8>&- &
	begin_pid=$!
	wait_for 30 is 1 "SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'stillfs' AND state = 'active'
		AND query LIKE '%pg_backup_start%'" || fail "it does not begin"
}
halt
ctl 0 abort "$mnt"
wait "$begin_pid" && fail "begun, in spite of the abort"
recorded 'ABORTED(not frozen)'
kill -CONT "$checkpointer"
clean "given up in the start"
good "given up in the start"
ok "given up while the server makes its checkpoint"

halt
umount "$mnt" 2>/dev/null || umount -l "$mnt" || fail umount
wait_fs
kill -CONT "$checkpointer"
clean "unmounted in the start"
recorded 'ABORTED(not frozen)'
start_fs "$c/data" -o spool="$spool",freeze=copy,state="$state"
halt
kill -9 "$fs_pid"
wait "$fs_pid" "$begin_pid" 2>/dev/null
fs_pid=
kill -CONT "$checkpointer"
clean "killed in the start"
recorded 'ABORTED(crash)'
start_fs "$c/data" -o spool="$spool",freeze=copy,state="$state"
good "killed in the start"
ok "unmounted, and killed, while the server makes its checkpoint"

# ---- room ----------------------------------------------------------------------
fallocate -l "$(($(stat -f -c '%a * %S' "$spool") - (20 << 20)))" \
	"$spool/full" || fail fallocate
ctl 1 begin "$mnt"
ctl_complains 'spool'
recorded 'ABORTED(not frozen)'
[ "$(record error | grep -c 'space\|room\|spool')" = 1 ] || fail "$(record error)"
rm "$spool/full"
clean "no room"
good "room again"
umount "$mnt" || fail umount
wait_fs
ctl 1 backup --spool "$spool" --spool-max 10M --freeze copy --create \
	--state "$state" "$c/data" "$tmp/none"
[ ! -e "$tmp/none" ] || fail "something is stored"
recorded 'ABORTED(not frozen)'
clean "spool_max"
ok "no room in the spool: nothing is stored, nothing stays"

# ---- beside others -------------------------------------------------------------
start_fs "$c/data" -o spool="$spool",freeze=copy,state="$state"
mkfifo "$tmp/other.in"
cluster_psql "$c" <"$tmp/other.in" >"$tmp/other.out" 2>&1 8>&- &
other=$!
started+=("$other")
exec 8>"$tmp/other.in"
echo "SELECT 'began', pg_backup_start('other', true);" >&8
wait_for 30 grep -q began "$tmp/other.out" || fail "$(cat "$tmp/other.out")"
# So slow that it is not done before us.
cluster_run "$c" pg_basebackup -D "$tmp/base" -X none --no-manifest -r 32 \
	-c fast --no-sync >"$tmp/base.out" 2>&1 8>&- &
base=$!
started+=("$base")
wait_for 30 is 1 "SELECT count(*) FROM pg_stat_progress_basebackup
	WHERE phase = 'streaming database files'" || fail "$(cat "$tmp/base.out")"
ctl 0 backup --create "$mnt" "$tmp/beside"
recorded COMMITTED
"$pg_bin/pg_verifybackup" -q "$tmp/beside/full/data" || fail "beside others"
is 1 "SELECT count(*) FROM pg_stat_progress_basebackup" || fail "it was disturbed"
echo "SELECT 'ended', lsn FROM pg_backup_stop(false);" >&8
wait_for 30 grep -q '^ended|' "$tmp/other.out" || fail "$(cat "$tmp/other.out")"
exec 8>&-
wait "$other" || fail "the other backup"
is t "SELECT bool_and(pg_terminate_backend(pid))
	FROM pg_stat_progress_basebackup" || fail "pg_basebackup is not there"
wait "$base" && fail "pg_basebackup was done before us"
wait_for 20 is 0 'SELECT count(*) FROM pg_stat_progress_basebackup' ||
	fail "pg_basebackup stays"
clean "beside others"
ok "pg_basebackup and another backup beside us"

# ---- while it is served --------------------------------------------------------
ctl 0 begin "$mnt"
sql 'INSERT INTO t VALUES (1001)' || fail insert
cluster_stop "$c" immediate
rm -rf "$tmp/copy"
cp -a "$mnt/backup" "$tmp/copy" || fail "cp without a server"
ctl 0 commit "$mnt"
recorded COMMITTED
(cd "$tmp/copy" && xxhsum -c --quiet verify/XXH128SUMS) || fail sums
"$pg_bin/pg_verifybackup" -q "$tmp/copy/data" || fail pg_verifybackup
ls "$mnt/backup" >"$tmp/out" 2>&1 && fail "a new session without a server"
recorded 'ABORTED(not frozen)'
cluster_start "$c"
good "served without its server"
# The copy is of the moment before the last row.
mkdir "$tmp/r" "$tmp/r/sock"
mv "$tmp/copy/data" "$tmp/r/data"
chown -R postgres: "$tmp/r"
chmod 755 "$tmp/r" "$tmp/r/sock"
cluster_conf "$tmp/r" "unix_socket_directories = '$tmp/r/sock'"
cluster_start "$tmp/r"
[ "$(cluster_psql "$tmp/r" -c 'SELECT count(*), max(a) FROM t')" = '1000|1000' ] ||
	fail "the copy shows another moment"
cluster_stop "$tmp/r"
ok "the server goes while it is served: reads go on, and the set is right"

# It comes back elsewhere.
mkdir "$c/sock2" && chown postgres: "$c/sock2"
cluster_stop "$c"
cluster_conf "$c" "unix_socket_directories = '$c/sock2'" 'port = 5433'
cluster_start "$c"
ctl 0 begin "$mnt"
ctl 0 abort "$mnt"
cluster_stop "$c"
cluster_conf "$c" "unix_socket_directories = '$c/sock'" 'port = 5432'
cluster_start "$c"
good "elsewhere and back"
umount "$mnt" || fail umount
wait_fs
clean "the end"
ok "a server that listens elsewhere after a restart"

# Another cluster that listens in the same place is not the one that was mounted.
start_fs "host=$c/sock user=postgres dbname=postgres" \
	-o spool="$spool",freeze=copy,state="$state"
cluster_stop "$c"
cluster_new "$tmp/other"
cluster_conf "$tmp/other" "unix_socket_directories = '$c/sock'"
cluster_start "$tmp/other"
ctl 4 begin "$mnt"
recorded 'ABORTED(not frozen)'
tells 'is another one than at the beginning' 'Mount it again'
cluster_stop "$tmp/other"
cluster_start "$c"
good "its own again"
umount "$mnt" || fail umount
wait_fs
ok "another server in the same place"
