# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# A bank in a PostgreSQL cluster, the load that works on it, and what a copy of
# it must hold. To be sourced behind mount.sh and cluster.sh.
#
# Environment: PGACKS (a program).
#
#	bank_new DIR SCALE [RELATIONS]  a cluster that runs: pgbench's tables, one
#	                        in a tablespace (DIR/space), one that is not
#	                        logged, RELATIONS small ones
#	bank_open DIR [CLIENTS] the load begins: pgbench, acknowledged numbers
#	                        (DIR/acks), and tables made, emptied, rewritten,
#	                        moved and dropped
#	bank_close DIR          it ends; it must not have met an error
#	bank_clean DIR          nothing of ours is in the server
#	bank_orderly DIR        nor did it ever have to end a backup itself
#	judge_set SET ACKS      what is wrong with a copy of backup/, nothing if
#	                        it is good. Starts a server in it, and stops it.

: "${PGACKS:?}"

bank_new() {
	local dir=$1 i
	cluster_new "$dir"
	mkdir "$dir/space" && chown postgres: "$dir/space"
	cluster_conf "$dir" "max_wal_size = 256MB" "autovacuum_naptime = 1s"
	cluster_start "$dir"
	cluster_psql "$dir" <<-END >/dev/null || fail "the bank"
		CREATE EXTENSION amcheck;
		CREATE TABLESPACE space LOCATION '$dir/space';
		CREATE TABLE acks(id bigint PRIMARY KEY);
		CREATE TABLE moved(i int PRIMARY KEY, t text) TABLESPACE space;
		CREATE TABLE emptied(i int PRIMARY KEY, t text);
		CREATE TABLE kept(i int PRIMARY KEY, t text) TABLESPACE space;
		INSERT INTO kept SELECT i, repeat(md5(i::text), 100)
			FROM generate_series(1, 2000) i;
		CREATE UNLOGGED TABLE light(i int PRIMARY KEY);
		INSERT INTO light SELECT generate_series(1, 1000);
	END
	cluster_run "$dir" pgbench -iq -s "$2" >"$dir/init.log" 2>&1 ||
		fail "pgbench -i: $(cat "$dir/init.log")"
	# A table with a key is two relations; in one transaction they would be
	# more locks than there are.
	for ((i = 0; i < ${3:-0}; i += 2)); do
		echo "CREATE TABLE small_$i(i int PRIMARY KEY, j int);"
		echo "INSERT INTO small_$i SELECT n, $i FROM generate_series(1, 9) n;"
	done | cluster_psql "$dir" >/dev/null || fail "small relations"
}

# One round of what moves files about.
bank_churn() {
	cat <<-'END'
		CREATE TABLE made(i int PRIMARY KEY, t text);
		INSERT INTO made SELECT i, md5(i::text) FROM generate_series(1, 3000) i;
		DROP TABLE IF EXISTS gone;
		ALTER TABLE made RENAME TO gone;
		ALTER INDEX made_pkey RENAME TO gone_pkey;
		BEGIN;
		TRUNCATE emptied;
		INSERT INTO emptied SELECT i, 'x' FROM generate_series(1, 500) i;
		COMMIT;
		BEGIN;
		DELETE FROM moved;
		INSERT INTO moved SELECT i, md5(i::text) FROM generate_series(1, 500) i;
		COMMIT;
		VACUUM FULL moved;
		ALTER TABLE moved SET TABLESPACE pg_default;
		ALTER TABLE moved SET TABLESPACE space;
		UPDATE kept SET t = md5(t) || substr(t, 33) WHERE i % 7 = 0;
		VACUUM kept;
		VACUUM (FULL) emptied;
		REINDEX TABLE acks;
		TRUNCATE light;
		INSERT INTO light SELECT generate_series(1, 1000);
		INSERT INTO rounds VALUES (DEFAULT);
	END
}

bank_open() {
	local dir=$1
	cluster_psql "$dir" -c "CREATE TABLE IF NOT EXISTS rounds(n serial)" \
		2>/dev/null || fail "rounds"
	(
		exec 7>&- 8>&-
		while [ ! -e "$dir/closing" ]; do
			bank_churn | cluster_psql "$dir" || exit 1
		done
	) >"$dir/churn.log" 2>&1 &
	bank_pids=($!)
	"$pg_bin/pgbench" -h "$dir/sock" -U postgres -n -c "${2:-2}" -T 7200 \
		postgres >"$dir/pgbench.log" 2>&1 7>&- 8>&- &
	bank_pids+=($!)
	"$PGACKS" "$(cluster_conninfo "$dir" user=postgres)" "$dir/acks" \
		>"$dir/acks.log" 2>&1 7>&- 8>&- &
	bank_pids+=($!)
	started+=("${bank_pids[@]}")
	wait_for 30 bank_moved "$dir" 0 || fail "no load: $(cat "$dir"/*.log)"
}

# bank_moved DIR ROUNDS: all of the load has got on, and the churn this far.
bank_moved() {
	[ "$(cluster_psql "$1" -c "SELECT count(*) > $2 AND
		(SELECT count(*) > 20 FROM acks) AND
		(SELECT count(*) > 20 FROM pgbench_history) FROM rounds")" = t ]
}

bank_close() {
	local dir=$1
	: >"$dir/closing"
	kill -TERM "${bank_pids[2]}"
	wait "${bank_pids[2]}" || fail "acks: $(cat "$dir/acks.log")"
	wait "${bank_pids[0]}" || fail "churn: $(cat "$dir/churn.log")"
	kill -0 "${bank_pids[1]}" || fail "pgbench: $(cat "$dir/pgbench.log")"
	kill -TERM "${bank_pids[1]}"
	wait "${bank_pids[1]}"
	grep -i error "$dir/pgbench.log" && fail "pgbench met an error"
	rm "$dir/closing"
}

bank_clean() {
	wait_for 5 bank_left "$1" || fail "left in the server: $left"
}
# A connection that was closed is there for a moment more.
bank_left() {
	left=$(cluster_psql "$1" -c "SELECT 'slot '||slot_name
		FROM pg_replication_slots UNION ALL
		SELECT 'session '||application_name||' '||query
		FROM pg_stat_activity WHERE application_name ~ 'still' OR
		(pid <> pg_backend_pid() AND query ~ 'pg_backup')")
	[ -z "$left" ]
}
# And no backup of ours was not brought to its end.
bank_orderly() {
	bank_clean "$1"
	! grep -n 'aborting backup' "$1/log" || fail "a backup was not ended"
}

# judge_acks DIR ACKS SET: numbers without a gap; all that was acknowledged
# before the moment, none that was begun after it.
judge_acks() {
	local at width n last
	at=$(date -d "$(sed -n 's/.*"frozen_at": "\(.*\)".*/\1/p' \
		"$3/backup.json")" +%s%N)
	width=$(sed -n 's/.*"cut_width_ns": \([0-9]*\).*/\1/p' "$3/backup.json")
	read -r n last < <(cluster_psql "$1" -F ' ' -c \
		"SELECT count(*), coalesce(max(id), 0) FROM acks")
	[ "$n" = "$last" ] || { echo "acks: $n, and the last is $last"; return; }
	awk -v n="$n" -v first=$((at - width)) -v last="$at" '
		# As text: ns are more than a number here holds.
		function before(a, b) {
			return length(a) < length(b) || (length(a) == length(b) &&
				a "" < b "")
		}
		before($3, first) {acked = $1}
		$1 == n && before(last, $2) {
			print "acks: " n " was begun after the moment"
		}
		END {
			if (acked > n)
				print "acks: " acked " was acknowledged, " n \
					" is the last"
			if (acked == 0)
				print "acks: there were none"
		}' "$2"
}

# Everything that only a server that runs can tell, of the one at DIR.
judge_server() {
	local dir=$1 acks=$2 set=$3 out
	out=$(cluster_psql "$dir" -F ' ' -c "SELECT count(DISTINCT s), count(*)
		FROM (SELECT sum(abalance) FROM pgbench_accounts UNION ALL
		SELECT sum(tbalance) FROM pgbench_tellers UNION ALL
		SELECT sum(bbalance) FROM pgbench_branches UNION ALL
		SELECT sum(delta) FROM pgbench_history) t(s)" 2>&1)
	[ "$out" = "1 4" ] || echo "balances and history: $out"
	judge_acks "$dir" "$acks" "$set"
	out=$(cluster_psql "$dir" -c "SELECT count(*) FROM kept" \
		-c "SELECT count(*) FROM light" \
		-c "SELECT count(*) FROM emptied" \
		-c "SELECT count(*) FROM moved" \
		-c "SELECT spcname FROM pg_tablespace WHERE oid > 16383 AND
			pg_tablespace_location(oid) !~ '^[.][.]/'" \
		2>&1 | tr '\n' ';')
	[[ $out == "2000;0;"@(0|500)";"@(0|500)";" ]] ||
		echo "kept; light; emptied; moved; tablespaces outside: $out"
	out=$(cluster_run "$dir" pg_amcheck -j 2 --heapallindexed postgres 2>&1) &&
		[ -z "$out" ] || echo "amcheck: ${out:0:400}"
}

judge_set() {
	local set=$1 acks=$2 out n
	out=$(cd "$set" && xxhsum -c verify/XXH128SUMS 2>&1) ||
		{ echo "xxhsum: $(grep -v ': OK$' <<<"$out" | head)"; return; }
	n=$(find "$set" -type f | wc -l)
	[ "$(grep -c ': OK$' <<<"$out")" = $((n - 1)) ] ||
		echo "the sums do not name every file"
	mkdir -p "$set/sock" && chown -R postgres: "$set" && chmod 700 "$set/data"
	out=$(cluster_server "$set" pg_verifybackup "$set/data" 2>&1) &&
		[ "$out" = "backup successfully verified" ] ||
		{ echo "pg_verifybackup: ${out:0:400}"; return; }
	clusters+=("$set")
	cluster_server "$set" pg_ctl -s -w -t 120 -l "$set/log" start \
		-o "-k '$set/sock' -c autovacuum=off" ||
		{ echo "start: $(tail -n 20 "$set/log")"; return; }
	judge_server "$set" "$acks" "$set"
	# Waits for backends whose clients are gone.
	cluster_stop "$set" smart || echo "stop: $(tail -n 20 "$set/log")"
	! grep -E 'PANIC|FATAL|ERROR|WARNING' "$set/log" |
		grep -vE 'starting up$|not yet accepting connections$' |
		head -n 5
	out=$(cluster_server "$set" pg_checksums --check 2>&1) ||
		echo "pg_checksums: $(grep -v '^Files' <<<"$out" | head)"
}
