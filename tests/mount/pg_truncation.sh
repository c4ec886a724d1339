#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2015,SC2016
# Random sessions of a cluster that is written to, each with a random ending: as in
# truncation.sh, and by a connection that is cut, by a server that crashes or stops.
# Its slot moves on after a commit that asks for it, to the end of the last committed
# session, and at no other time. Chains of what was committed are restored and
# started.
#
#	ENDINGS   how many (make soak: 200)
#	SEED      of all that is random
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/endings.sh"
. "$(dirname "$0")/../lib/cluster.sh"

endings=${ENDINGS:-12}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $endings endings"

cluster=${tmp:?}/cluster
postmaster=
frozen_cleanup() {
	local status=$?
	trap '' INT TERM
	[ ! "$postmaster" ] || kill -CONT "$postmaster" 2>/dev/null
	(exit "$status")
	cluster_cleanup
}
trap frozen_cleanup EXIT
cluster_new "$cluster" --wal-segsize=1 || fail initdb
cluster_conf "$cluster" "max_wal_size = 16MB"
cluster_start "$cluster"
source=$cluster/data
sql() { cluster_psql "$cluster" -c "$1" 2>>"$tmp/log.sql"; }
sql "CREATE TABLE seq(n int PRIMARY KEY); CREATE TABLE big AS
	SELECT i, md5(i::text) b FROM generate_series(1, 2000) i" || fail tables

# Somebody who commits all the time, in order, and connects again when he must.
storm() {
	local n=0
	while [ ! -e "$tmp/enough" ]; do
		n=$((n + 1))
		echo $n >>"$tmp/begun"
		sql "INSERT INTO seq VALUES($n); UPDATE big SET b = md5(b)
			WHERE i % 50 = $((n % 50))" && echo $n >>"$tmp/acked"
		sleep 0.05
	done
}
storm &
storm_pid=$!
started+=("$storm_pid")
wait_for 20 test -s "$tmp/acked" || fail "no load: $(cat "$tmp/log.sql")"

# ---- what endings.sh asks for --------------------------------------------------

begin() {
	local how=()
	case $kind in
	copy) how=(--copy) ;;
	incremental) how=(--incremental) ;;
	esac
	read -r n_acked was_acked < <(awk 'END {print NR, $1}' "$tmp/acked")
	ctl 0 begin "${how[@]}" "${mnt:?}"
	is_begun=$(tail -n 1 "$tmp/begun")
	sid=$(record id)
	number=$(record number)
	dir=$mnt/backup
	[ "$kind" != incremental ] ||
		dir=$mnt/incremental/$(printf %06d "$number")
	stop=$(sed -n 's/.*"stop_lsn": "\(.*\)".*/\1/p' "$dir/backup.json")
	[ "$stop" ] || fail "no stop_lsn"
	# A full session makes the slot where there is none.
	if [ ! -s "$tmp/old.kept" ]; then
		look_kept >"$tmp/old.kept"
		[ -s "$tmp/old.kept" ] || [ "$kind" != full ] || fail "no slot"
	fi
}

# Where the slot is.
look_kept() { sql "SELECT restart_lsn FROM pg_replication_slots WHERE NOT temporary"; }
lsn() { [ "$(sql "SELECT '$1'::pg_lsn $2 '$3'::pg_lsn")" = t ]; }
base_stop=
crashed=
check_now() {
	local old now
	old=$(cat "$tmp/old.kept") now=$(cat "$tmp/now.kept")
	[ "$base" = "$old_base" ] || base_stop=$stop
	if [ "$base_stop" ]; then
		lsn "$now" "<=" "$base_stop" ||
			fail "$what: the slot is at $now, and needed from $base_stop on"
	fi
	if [ "$old" = "$now" ]; then
		[ "$told$asked$outcome" != yestruncateCOMMITTED ] ||
			[ "$now" = "$base_stop" ] || lsn "$now" ">=" "$base_stop" ||
			fail "$what: the slot is at $now, not at $base_stop"
		return
	fi
	# What a crash has undone keeps more than is needed.
	[ ! "$crashed" ] || ! lsn "$now" "<" "$old" || return 0
	# The freeze of a first session has made it.
	[ "$old" ] || return 0
	[ "$asked" = truncate ] || fail "$what: the slot went from $old to $now"
	[ "$outcome" = COMMITTED ] || [ "$what" = between ] ||
		fail "$what: the slot went from $old to $now without a commit"
	[ "$now" = "$base_stop" ] ||
		fail "$what: the slot went from $old to $now, not to $base_stop"
}

prove() {
	local got out=$tmp/out
	[ "$link" -gt 0 ] || return 0
	rm -rf "$out"
	mkdir "$out" "$out/sock" && chown postgres: "$out" "$out/sock" || fail "$out"
	ctl 0 restore --create "${chain_sets[@]}" "$out/data"
	cluster_start "$out" -k "$out/sock"
	got=$(cluster_psql "$out" -c "SELECT count(*) FILTER (WHERE n <= $was_acked),
		max(n) FROM seq")
	cluster_stop "$out" immediate
	# What was answered for is there, and nothing that was not begun.
	[ "${got%|*}" -ge "$n_acked" ] && [ "${got#*|}" -le "$is_begun" ] ||
		fail "$what: $got, acknowledged $n_acked to $was_acked, begun $is_begun"
	proofs=$((proofs + 1))
}

# ---- endings that only a server has --------------------------------------------

sever() { sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE application_name = 'stillfs'" >"$tmp/severed"; }
alive() { grep -qs '^State:[[:space:]]*[A-Y]' "/proc/$1/status"; }
# The connection is cut again and again.
end_cut_freeze() {
	begin_beside
	while alive "$beginner"; do sever; done
	if wait "$beginner"; then
		# It was faster.
		ctl 0 abort "$mnt"
		may='ABORTED\(by caller\)'
	else
		may='|ABORTED\(not frozen\)'
	fi
}
end_cut_commit() {
	commit_beside
	while alive "$committer"; do sever; done
	commit_told
}
# What is served is ours by then; what the slot keeps is the server's still.
end_crash() {
	cluster_stop "$cluster" immediate
	cluster_start "$cluster"
	crashed=yes
	end_truncate
}
end_down() {
	cluster_stop "$cluster"
	ctl 3 commit --truncate "$mnt"
	ctl_says "$sid COMMITTED"
	ctl_complains "nothing was truncated"
	cluster_start "$cluster"
	asked=truncate may=COMMITTED
}
# The server does not answer, and then the daemon dies: it is committed, and that
# is all that stillctl says.
hangs() {
	"$STILLCTL" list --state "$state" | grep -q "^ *[0-9]* *$sid .* COMMITTED"
}
end_kill_hung() {
	postmaster=$(head -n 1 "$cluster/data/postmaster.pid")
	kill -STOP "$postmaster"
	commit_beside
	wait_for 30 hangs || fail "it is not committed: $(cat "$tmp/ctl.err")"
	die
	wait "$committer"
	[ $? = 3 ] || fail "exit status: $(cat "$tmp"/ctl.*)"
	ctl_says "$sid COMMITTED"
	ctl_complains "no truncation is on record" 'Run `stillctl truncate`'
	kill -CONT "$postmaster"
	postmaster=
	asked=truncate may=COMMITTED
}

# ---- all of it -----------------------------------------------------------------

freeze_us=400000
look "$tmp/old"
all=(truncate kill_hung cut_freeze commit crash down cut_commit trial abort umount
	kill_commit lazy kill force term kill_freeze full_commit full elsewhere
	full_freeze truncate)
for ((i = 0; i < endings; i++)); do
	crashed=
	# The first ones in their order, so that a short run meets the most.
	if [ $i -lt 7 ]; then
		one_of "${all[i]}"
	else
		one_of "${all[@]}"
	fi
done
last_chain
touch "$tmp/enough"
wait "$storm_pid"
if [ "$endings" -ge 150 ]; then
	summary 'commit COMMITTED' 'truncate COMMITTED' 'kill ABORTED(crash)' \
		'kill_commit COMMITTED' 'cut_freeze ABORTED(not frozen)' \
		'crash COMMITTED' 'down COMMITTED' 'kill_hung COMMITTED' \
		'cut_commit COMMITTED' 'umount COPIED'
else
	summary 'kill_hung COMMITTED' 'crash COMMITTED' 'down COMMITTED'
fi
ok "$endings endings: $committed committed, $proofs chains restored and started"
