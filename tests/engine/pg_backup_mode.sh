#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# Backup mode begins, ends, and is lost at every step; whatever happens, the
# server has nothing of ours afterwards.
. "$(dirname "$0")/../lib/cluster.sh"

: "${PGASK:?}"
c=${tmp:?}/a
source=$c/data
out=$tmp/out

says() { grep -qF -- "$1" "$out" || fail "no '$1' in: $(cat "$out")"; }
sql() { cluster_psql "$c" -c "$1"; }

# begin [COMMAND...]: backup mode on, by a process whose stdin is descriptor 9;
# its answers come into $out.
begin() {
	: >"$out"
	rm -f "$tmp/in"
	mkfifo "$tmp/in"
	"$@" "$PGASK" backup "$source" <"$tmp/in" >"$out" 2>&1 &
	holder=$!
	exec 9>"$tmp/in"
	wait_for 30 grep -q '^begun' "$out" || fail "no begin: $(cat "$out")"
	slot=$(sed -n 's/^begun .* //p' "$out")
}
# finish WANT-STATUS
finish() {
	local status=0
	echo >&9
	exec 9>&-
	wait "$holder" || status=$?
	[ "$status" = "$1" ] || fail "status $status: $(cat "$out")"
}
nothing_left() {
	[ "$(sql "SELECT (SELECT count(*) FROM pg_replication_slots) +
		(SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'stillfs')")" = 0 ]
}
clean() {
	wait_for 20 nothing_left || fail "$1: something is left in the server"
	[ ! -e "$c/data/backup_label" ] || fail "$1: a backup_label is left"
	[ -z "$(ls "$c/data/pg_replslot")" ] || fail "$1: a slot is left"
	ok "$1: nothing is left in the server"
}

# begun_at: the LSN of the start.
begun_at() {
	sed -nE 's|^begun ([0-9A-F]+)([0-9A-F]{8}) .*|\1/\2|p' "$out" | grep . ||
		sed -nE 's|^begun ([0-9A-F]+) .*|0/\1|p' "$out"
}
# work: so much that the server has no use any more for its WAL from before.
work() {
	local i
	for i in 1 2 3 4; do
		sql "SELECT pg_switch_wal(); UPDATE t SET n = $i; CHECKPOINT" >/dev/null ||
			fail work
	done
}

cluster_new "$c"
# Checksums have images written for hints, whatever full_page_writes says.
cluster_server "$c" pg_checksums --disable >"$out" 2>&1 || fail "$(cat "$out")"
cluster_conf "$c" 'full_page_writes = off' 'autovacuum = off' \
	'min_wal_size = 32MB' 'max_wal_size = 32MB'
cluster_start "$c"
sql 'CREATE TABLE t AS SELECT i, 0 AS n FROM generate_series(1, 1000) AS i;
	CHECKPOINT' || fail table

begin
[ "$slot" = "stillfs_$holder" ] || fail "slot $slot of $holder"
[ "$(sql "SELECT slot_type || ' ' || temporary || ' ' || active || ' ' ||
	(restart_lsn IS NOT NULL) FROM pg_replication_slots")" = \
	"physical true true true" ] || fail "the slot: $(sql \
	'SELECT * FROM pg_replication_slots')"
# It was there before the start: one that is made behind the start's checkpoint
# holds the WAL from that on.
[ "$(sql "SELECT restart_lsn < '$(begun_at)' FROM pg_replication_slots")" = t ] ||
	fail "a slot of $(sql 'SELECT restart_lsn FROM pg_replication_slots')," \
		"behind the start at $(begun_at)"
# The server would have removed the first segment by now.
first=$c/data/pg_wal/$(sql "SELECT pg_walfile_name('$(begun_at)')")
work
[ -e "$first" ] || fail "$first is gone before the stop"
sql 'UPDATE t SET n = 1' || fail update
echo '?' >&9
wait_for 10 grep -q '^alive' "$out" || fail "alive: $(cat "$out")"
finish 0
says 'LABEL: stillfs'
says 'BACKUP METHOD: streamed'
lsn() { sed -n "s/^$1 \([0-9A-F]*\).*/\1/p" "$out" | sed 's/\(........\)$/\/\1/
	/\//!s/^/0\//
	s/^\//0\//'; }
from=$(lsn begun)
to=$(lsn ended)
grep -qF "START WAL LOCATION: 0/$(sed -n 's/^begun \([0-9A-F]*\) .*/\1/p' \
	"$out") " "$out" || fail "not the label's LSN: $(cat "$out")"
clean "a whole backup"
# Without full_page_writes, in backup mode there are images all the same.
images() {
	cluster_server "$c" pg_waldump -p "$c/data/pg_wal" -s "$1" -e "$2" \
		2>&1 | grep -c "rel 1663/[0-9]*/$node blk [0-9]* FPW"
}
node=$(sql "SELECT pg_relation_filenode('t')")
n=$(images "$from" "$to")
[ "$n" -ge 5 ] || fail "$n images of a table of 5 pages, $from to $to"
ok "full_page_writes = off: $n pages with images in backup mode"
sql 'CHECKPOINT'
from=$(sql 'SELECT pg_current_wal_lsn()')
sql 'UPDATE t SET n = 2' || fail update
n=$(images "$from" "$(sql 'SELECT pg_current_wal_lsn()')")
[ "$n" = 0 ] || fail "$n images without backup mode: the test proves nothing"
ok "and none without it"
work
[ ! -e "$first" ] || fail "$first is there all the same: the test proves nothing"
ok "the slot holds the WAL, from before the start on"

begin
kill -9 "$holder"
wait "$holder" 2>/dev/null
exec 9>&-
clean "our death"

begin
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE application_name = 'stillfs'" >"$tmp/o" || fail terminate
noticed() {
	echo '?' >&9
	grep -q '^error' "$out"
}
wait_for 10 noticed || fail "not noticed: $(cat "$out")"
says 'error pin-lost'
says 'trying to keep the backup open'
finish 1
says 'trying to stop the backup'
says 'nothing is left there to clean up'
clean "a session that was ended"

begin
cluster_stop "$c" fast
finish 1
says 'error pin-lost'
cluster_start "$c"
clean "a restart"

begin
cluster_stop "$c" immediate
finish 1
says 'error pin-lost'
cluster_start "$c"
clean "a crash of the server"

begin
kill -9 "$(sql "SELECT pid FROM pg_stat_activity
	WHERE application_name = 'stillfs'")"
finish 1
says 'error pin-lost'
up() { sql 'SELECT 1'; }
wait_for 30 up || fail "the server does not come back"
clean "a backend that was killed"

# A smart shutdown waits for us: nobody else is let in, we may finish.
begin
cluster_server "$c" pg_ctl -s -W -m smart stop
stopping() { grep -q '^stopping' "$c/data/postmaster.pid"; }
wait_for 20 stopping || fail "$(cat "$c/data/postmaster.pid")"
"$PGASK" open "$c/data" >"$tmp/o" 2>&1 && fail "let in"
grep -q 'error stopping: cluster `.*`: is shutting down' "$tmp/o" ||
	fail "$(cat "$tmp/o")"
"$PGASK" open "host=$c/sock user=postgres" >"$tmp/o" 2>&1 && fail "let in"
grep -q 'error try-again: .*shutting down' "$tmp/o" || fail "$(cat "$tmp/o")"
finish 0
says 'LABEL: stillfs'
down() { [ ! -e "$c/data/postmaster.pid" ]; }
wait_for 30 down || fail "the server does not end"
cluster_start "$c"
clean "a shutdown that waits for us"

# The checkpoint takes its time: the flag ends the wait.
sql 'UPDATE t SET n = 3' || fail update
checkpointer=$(sql "SELECT pid FROM pg_stat_activity
	WHERE backend_type = 'checkpointer'")
kill -STOP "$checkpointer"
status=0
timeout 60 "$PGASK" backup "$c/data" 500 </dev/null >"$out" 2>&1 || status=$?
kill -CONT "$checkpointer"
[ "$status" = 1 ] || fail "status $status: $(cat "$out")"
says 'error cancelled'
clean "cancelled while it waited for the checkpoint"

# An archive that takes nothing.
cluster_conf "$c" 'archive_mode = on' "archive_command = 'false'"
cluster_stop "$c"
cluster_start "$c"
failing() { [ "$(sql 'SELECT failed_count > 0 FROM pg_stat_archiver')" = t ]; }
begin
sql 'SELECT pg_switch_wal()' >/dev/null
wait_for 30 failing || fail "the archive takes it: the test proves nothing"
echo >&9
exec 9>&-
ended() { ! kill -0 "$holder" 2>/dev/null; }
wait_for 30 ended || fail "the stop waits for the archive"
wait "$holder" || fail "$(cat "$out")"
says 'LABEL: stillfs'
clean "an archive that is broken"

# The same number in two containers. There no number of ours means the server.
source="host=$c/sock user=postgres"
begin unshare --pid --fork
[ "$slot" = stillfs_1 ] || fail "slot $slot"
unshare --pid --fork "$PGASK" backup "$source" </dev/null >"$tmp/o" 2>&1 ||
	fail "the second: $(cat "$tmp/o")"
grep -q '^begun .* stillfs_1_[0-9]*$' "$tmp/o" || fail "$(cat "$tmp/o")"
finish 0
clean "two of one number"
