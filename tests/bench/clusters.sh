# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# PostgreSQL: how long a freeze takes, by size and by number of relations, where
# blocks are shared (a loop image of XFS) and where they are copied (of ext4);
# and backups of one cluster in one run, in pairs with pg_basebackup.
#
# A backup by the mount is all of it: the freeze, what cp reads, and the sums of
# all of that. Every backup goes to a fresh place.

declare -A cluster_way=([xfs]=clone [ext4]=copy)
disk=$tmp/disk
cluster=$disk/c
pgbench_pid=

# disk_of FS MIB: on $disk, with room for databases and copies.
disk_of() {
	local make=("mkfs.$1" -q)
	[ "$1" != xfs ] || make+=(-m reflink=1)
	command -v "mkfs.$1" >/dev/null || {
		left_out "clusters on $1: no mkfs.$1"
		return 1
	}
	if [ "$(room "$tmp")" -lt "$2" ]; then
		left_out "clusters on $1: $(room "$tmp") of $2 MiB free"
		return 1
	fi
	truncate -s "${2}M" "$tmp/image"
	mkdir "$disk"
	"${make[@]}" "$tmp/image" >/dev/null || fail "mkfs.$1"
	mount -o loop "$tmp/image" "$disk" || {
		left_out "clusters on $1: it cannot be mounted"
		no_disk
		return 1
	}
	# Neither lies in the data directory.
	mkdir -m 700 "$disk/spool"
	chmod 755 "$disk"
}
no_disk() {
	cluster_end
	clusters=()
	mountpoint -q "$disk" && { umount "$disk" || fail "umount $disk"; }
	rm -rf "$tmp/image" "$disk"
}

# new_cluster: running, and as durable as any.
new_cluster() {
	cluster_end
	clusters=()
	rm -rf "$cluster"
	cluster_new "$cluster"
	cluster_conf "$cluster" "fsync = on" "shared_buffers = 128MB" \
		"max_wal_size = 4GB"
	cluster_start "$cluster"
}

# The options of a mount of it.
mount_options() { echo "freeze=${cluster_way[$1]},spool=$disk/spool"; }

# ---- the freeze ---------------------------------------------------------------

# XFS has blocks behind the end of a file that grows.
cluster_mib() { du -sm --apparent-size "$cluster/data/base" | cut -f 1; }

# grow_to MIB: until its files have so many. A row takes a quarter of a page.
grow_to() {
	local mib
	mib=$(cluster_mib)
	cluster_psql "$cluster" -c "SET client_min_messages = warning" \
		-c "SET synchronous_commit = off" \
		-c "CREATE TABLE IF NOT EXISTS big(b text)" \
		-c "ALTER TABLE big ALTER b SET STORAGE PLAIN" \
		-c "INSERT INTO big SELECT repeat('x', 1990)
			FROM generate_series(1, greatest(0, $1 - $mib) * 512)" \
		-c CHECKPOINT
}

# relate_to N: until there are so many tables, each with one page.
relate_to() {
	cluster_psql "$cluster" <<-EOS
		SET client_min_messages = warning;
		SET synchronous_commit = off;
		SELECT format('CREATE TABLE IF NOT EXISTS r_%s AS SELECT %s AS n',
			i, i) FROM generate_series(1, $1) i \gexec
		CHECKPOINT;
	EOS
}

# freeze_of_cluster FS: as it is.
freeze_of_cluster() {
	local what
	what="$1, ${cluster_way[$1]}, $(find "$cluster/data/base" -type f |
		wc -l) files, $(cluster_mib) MiB"
	freeze_row "$what" "$cluster/data" -o "$(mount_options "$1")"
}

# cluster_freezes FS
cluster_freezes() {
	local mib n largest
	wanted "freeze of a cluster, $1" || return
	largest=$(tr ' ' '\n' <<<"$pg_sizes" | sort -n | tail -n 1)
	disk_of "$1" $((4 * largest + 2048 + $(tr ' ' '\n' <<<"$pg_relations" |
		sort -n | tail -n 1) / 16)) || return
	new_cluster
	for mib in $pg_sizes; do
		grow_to "$mib"
		freeze_of_cluster "$1"
	done
	new_cluster
	for n in $pg_relations; do
		relate_to "$n"
		freeze_of_cluster "$1"
	done
	no_disk
}

# ---- backups ------------------------------------------------------------------

# The tools: FS TO. Nothing is compressed or synced, where that can be said.
pg_by_basebackup() {
	timeout "$limit" "$pg_bin/pg_basebackup" -h "$cluster/sock" -p 5432 \
		-U postgres -c fast -X stream -N -D "$2"
}
pg_by_mount() { timeout "$limit" cp -r "$mnt/backup" "$2"; }
pg_by_stillctl() {
	timeout "$limit" "$STILLCTL" backup --quiet --create \
		--state="$state" --spool="$disk/spool" "$cluster/data" "$2"
}
# pgbackrest_of REPOSITORY VERB [OPTION...]
pgbackrest_of() {
	local repo=$1 verb=$2
	shift 2
	timeout "$limit" runuser -u postgres -- pgbackrest --stanza=bench \
		--config=/dev/null --repo1-path="$repo" --lock-path="$repo/lock" \
		--log-level-file=off --log-level-console=error \
		--pg1-path="$cluster/data" --pg1-socket-path="$cluster/sock" \
		--pg1-port=5432 "$@" "$verb" </dev/null
}
pg_by_pgbackrest_1() { pgbackrest_backup 1 "$2"; }
pg_by_pgbackrest_2() { pgbackrest_backup 2 "$2"; }
# pgbackrest_backup PROCESSES REPOSITORY
pgbackrest_backup() {
	pgbackrest_of "$2" backup --process-max="$1" --type=full \
		--compress-type=none --start-fast --no-archive-check \
		--repo1-retention-full=1
}

# What must be there before the clock runs. FS TO.
ready_for() {
	case $1 in
	pg_by_mount)
		start_fs "$cluster/data" -o "$(mount_options "$2")"
		;;
	pg_by_pgbackrest*)
		install -d -o postgres -g postgres "$3" "$3/lock"
		pgbackrest_of "$3" stanza-create --no-online >/dev/null ||
			fail "pgbackrest stanza-create"
		;;
	esac
}

# backup_by TOOL FS WHAT: sets wall. Its window is kept for the writers' table.
backup_by() {
	local start status
	rm -rf "$out"
	own_memory $((pg_scale * 32))
	ready_for "$1" "$2" "$out"
	start=${EPOCHREALTIME/./}
	timed "$1" "$2" "$out"
	status=$?
	[ -z "$pgbench_pid" ] || [ -n "$warming" ] ||
		echo "$2|$3|$start|${EPOCHREALTIME/./}" >>"$tmp/windows"
	[ "$1" != pg_by_mount ] || end_fs
	rm -rf "$out"
	return "$status"
}

# cluster_pair TOOL FS WHAT: with pg_basebackup, in this order or the other by
# turns.
cluster_pair() {
	local side order=(raw other) raw_wall other_wall
	[ $((turn++ % 2)) = 0 ] || order=(other raw)
	for side in "${order[@]}"; do
		if [ "$side" = raw ]; then
			ran backup_by pg_by_basebackup "$2" pg_basebackup || return
			raw_wall=$wall
		else
			ran backup_by "$1" "$2" "$3" || return
			other_wall=$wall
		fi
	done
	ratio "$other_wall" "$raw_wall" >>"$tmp/wall"
}

# cluster_pairs FS LOAD WHAT TOOL: a row.
cluster_pairs() {
	local turn why=
	wanted "cluster, $1, $3, $2" || return
	if [ -n "$counting" ]; then
		hits=$((hits + 1))
		return
	fi
	# A first run reads programs and files from the disk. It does not count.
	warming=rest
	ran backup_by pg_by_basebackup "$1" pg_basebackup
	warming=
	: >"$tmp/wall"
	why=
	for ((turn = 0; turn < runs;)); do
		cluster_pair "$4" "$1" "$3" || break
	done
	row "$1, ${cluster_way[$1]}" "$3" "$2" \
		"$([ -n "$why" ] && echo "$why" || spread <"$tmp/wall")"
}

# backups_under FS LOAD
backups_under() {
	cluster_pairs "$1" "$2" 'cp -r of the mount' pg_by_mount
	cluster_pairs "$1" "$2" 'stillctl backup' pg_by_stillctl
	command -v pgbackrest >/dev/null || return 0
	cluster_pairs "$1" "$2" 'pgbackrest, 1 process' pg_by_pgbackrest_1
	cluster_pairs "$1" "$2" 'pgbackrest, 2 processes' pg_by_pgbackrest_2
}

# ---- pgbench ------------------------------------------------------------------

# It runs until it is stopped, and notes when each transaction ended.
start_pgbench() {
	mkdir -p "$tmp/pgbench"
	rm -f "$tmp/pgbench/"*
	(
		cd "$tmp/pgbench" || exit 1
		PGHOST=$cluster/sock PGPORT=5432 PGUSER=postgres \
			exec "$pg_bin/pgbench" -n -c 2 -j 1 -T 100000 -l postgres
	) >"$tmp/pgbench.out" 2>&1 &
	pgbench_pid=$!
	started+=("$pgbench_pid")
	wait_for 20 eval '[ -s "$tmp"/pgbench/pgbench_log.* ]' ||
		fail "pgbench: $(cat "$tmp/pgbench.out")"
}
stop_pgbench() {
	local now=${EPOCHREALTIME/./}
	# It writes its log by the block, and not when it is stopped.
	wait_for 60 eval "awk -v now=$now 'END {
		exit !(\$5 * 1000000 + \$6 > now)}' '$tmp'/pgbench/pgbench_log.*" ||
		fail "pgbench: $(cat "$tmp/pgbench.out")"
	kill -INT "$pgbench_pid"
	wait "$pgbench_pid"
	pgbench_pid=
}

# window_of FROM TO: transactions a second, and latencies in ms.
window_of() {
	awk -v from="$1" -v to="$2" '{
		end = $5 * 1000000 + $6
		if (end >= from && end <= to) print $3 / 1000
	}' "$tmp/pgbench"/pgbench_log.* | sort -g
}

# pgbench_rows FS: of all windows of a tool together.
pgbench_rows() {
	local what from to us
	while read -r what; do
		: >"$tmp/latency"
		us=0
		while IFS='|' read -r _ _ from to; do
			window_of "$from" "$to" >>"$tmp/latency"
			us=$((us + to - from))
		done < <(grep -F "$1|$what|" "$tmp/windows")
		sort -g "$tmp/latency" | awk -v us="$us" -v what="$what" \
			-v fs="$1, ${cluster_way[$1]}" '{v[NR] = $1} END {
			printf "%s|%s|%.1f|%d", fs, what, us / 1000000, NR
			if (NR) printf "|%d|%.2f|%.2f|%.2f\n",
				NR / us * 1000000, v[int((NR + 1) / 2)],
				v[int(NR * 0.99 + 0.99)], v[NR]
			else print "|-|-|-|-"
		}' >>"$tmp/transactions"
	done < <(awk -F '|' -v fs="$1" '$1 == fs && !seen[$2]++ {print $2}' \
		"$tmp/windows")
}

# backups_beside_pgbench FS: and what it met.
backups_beside_pgbench() {
	local start
	: >"$tmp/windows"
	start_pgbench
	# What the first transactions cost is not what is looked for.
	sleep 2
	start=${EPOCHREALTIME/./}
	sleep 5
	echo "$1|nothing|$start|${EPOCHREALTIME/./}" >>"$tmp/windows"
	backups_under "$1" pgbench
	stop_pgbench
	pgbench_rows "$1"
}

# cluster_backups FS
cluster_backups() {
	has_rows backups_under "$1" idle || has_rows backups_under "$1" pgbench ||
		return
	disk_of "$1" $((pg_scale * 100 + 4096)) || return
	new_cluster
	cluster_run "$cluster" pgbench -i -q -s "$pg_scale" >/dev/null 2>&1 ||
		fail "pgbench -i"
	cluster_psql "$cluster" -c CHECKPOINT
	backups_under "$1" idle
	! has_rows backups_under "$1" pgbench || backups_beside_pgbench "$1"
	no_disk
}

# ---- all of it ----------------------------------------------------------------

cluster_tables() {
	local fs
	if [ -z "$pg_here" ]; then
		left_out "clusters: no PostgreSQL server is installed"
		return
	fi
	if ! "$STILLFS" --help | grep -q '^ *freeze='; then
		left_out "clusters: built without PostgreSQL"
		return
	fi
	command -v pgbackrest >/dev/null ||
		left_out "pgbackrest: it is not installed"
	chmod 755 "$dest"
	out=$dest/out
	: >"$tmp/transactions"
	table 'Freeze of a cluster, in ms: alone, until backup/ is listed, and the
end of the session.' cluster freeze 'first ls' 'umount until gone'
	for fs in $pg_fs; do
		cluster_freezes "$fs"
	done
	table "Backups of one cluster (pgbench, scale $pg_scale): wall time, as a
ratio to pg_basebackup. That of the mount has the freeze in it, and checks every
page. That of pgbackrest has no WAL." cluster backup load wall
	for fs in $pg_fs; do
		cluster_backups "$fs"
	done
	table 'Transactions of pgbench while each runs (2 clients, as fast as they
go), in ms.' cluster while seconds transactions tps p50 p99 longest
	rows_in transactions
}
