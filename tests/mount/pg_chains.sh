#!/bin/bash
# SPDX-License-Identifier: MIT
# Random chains of a cluster under load, from end to end: stored and restored by
# stillctl. The load transfers, numbers, makes, empties, rewrites, moves and drops
# tables, some of them in a tablespace; between two links databases are made and
# dropped, tablespaces are dropped, and the server crashes in the middle of it.
# Restored to the last link and to a random earlier one, the cluster starts and
# is the moment of that link (bank.sh); of quiet moments all content is compared.
# Each link removed, swapped, repeated, or taken from another chain is refused,
# by name.
#
#	CHAINS (1)  LINKS (3) at most in each  SCALE (1) of pgbench
#	SEED        of all that is random but the load
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/bank.sh"
. "$(dirname "$0")/../lib/chain.sh"

seed=${SEED:-$RANDOM}
echo "# seed $seed"
RANDOM=$seed
c=$tmp/c
dest=$tmp/dest
# Each statement by itself.
sql() {
	local statement
	for statement; do
		cluster_psql "$c" -c 'SET client_min_messages = warning' \
			-c "$statement" >/dev/null || fail "$statement"
	done
}
ask() { cluster_psql "$c" -c "$1"; }
rounds() { ask 'SELECT count(*) FROM rounds'; }
back() { ctl "$1" backup --create --state "$state" "${@:2}"; }

# ---- two other clusters ------------------------------------------------------

# Each in the same place as the one before: what is a chain of a cluster stays
# one of that cluster, wherever the next is made.
strangers=()
stranger() {
	local d=$tmp/d to=$tmp/stranger.$1
	rm -rf "$d"
	cluster_new "$d" --wal-segsize=1
	cluster_start "$d"
	if [ "$1" -gt 1 ]; then
		back 1 -i "$d/data" "$tmp/stranger.1"
		ctl_complains "is another cluster than that of session 2"
	fi
	back 0 --chain "$d/data" "$to"
	cluster_psql "$d" -c 'CREATE TABLE t(i int)' || fail "the other cluster"
	back 0 -i "$d/data" "$to"
	cluster_stop "$d"
	strangers+=("$to/incremental"/*)
	[ -d "${strangers[-1]}/logs" ] || fail "no link of the other cluster"
}
stranger 1
stranger 2
ok "a cluster that is made anew in the place of another begins anew"

bank_new "$c" "${SCALE:-1}"
cluster_conf "$c" 'wal_keep_size = 0' 'min_wal_size = 32MB'
cluster_reload "$c"

# ---- what happens between two links ------------------------------------------

# The server crashes, and what works on it meets that. A number whose answer was
# lost may be there all the same: if so, it was sent after the last answer.
crash() {
	local p last id
	cluster_stop "$c" immediate
	: >"$c/closing"
	for p in "${bank_pids[@]}"; do
		wait "$p"
	done
	rm "$c/closing"
	cluster_start "$c"
	read -r id _ last < <(tail -n 1 "$c/acks")
	[ "$(ask 'SELECT max(id) FROM acks')" = "$id" ] || {
		[ "$(ask 'SELECT max(id) FROM acks')" = $((id + 1)) ] ||
			fail "$id is not the last number"
		echo "$((id + 1)) $last $(date +%s%N)" >>"$c/acks"
	}
	sql 'DROP TABLE IF EXISTS made' 'DROP TABLE IF EXISTS gone'
	bank_open "$c"
	crashes=$((crashes + 1))
}

# A database is copied by the server file by file, or row by row; which of them,
# and where to, is said.
n_made=0
make_database() {
	n_made=$((n_made + 1))
	sql "CREATE DATABASE made_$n_made STRATEGY $1 TABLESPACE $2"
	cluster_psql "$c" -d "made_$n_made" -c "CREATE TABLE t AS
		SELECT i, md5(i::text) FROM generate_series(1, 1000) i" ||
		fail "made_$n_made"
}
drop_databases() {
	local name
	for name in $(ask "SELECT datname FROM pg_database
		WHERE datname LIKE 'made%'"); do
		sql "DROP DATABASE $name"
	done
}
has_spare() {
	[ -n "$(ask "SELECT 1 FROM pg_tablespace WHERE spcname = 'spare'")" ]
}
drop_spare() {
	has_spare || return 0
	sql 'ALTER TABLE spared SET TABLESPACE pg_default' 'DROP TABLESPACE spare'
}
between() {
	case $((RANDOM % 12)) in
	0 | 1) sql CHECKPOINT ;;
	2) sql 'SELECT pg_switch_wal()' ;;
	3 | 4) crash ;;
	5) make_database file_copy pg_default ;;
	6) make_database file_copy space ;;
	7) make_database wal_log space ;;
	8) drop_databases ;;
	9) drop_spare ;;
	10) sql 'CREATE INDEX IF NOT EXISTS i ON pgbench_history(tid)' \
		'VACUUM FULL pgbench_tellers' ;;
	11) sql 'DROP INDEX IF EXISTS i' 'CLUSTER kept USING kept_pkey' ;;
	esac
}

# All that is in it, table by table, and which databases and tablespaces are.
content() {
	local table
	for table in $(cluster_psql "$1" -c "SELECT oid::regclass FROM pg_class
		WHERE relkind = 'r' AND relpersistence = 'p' AND oid > 16383
		ORDER BY 1"); do
		cluster_psql "$1" -c "SELECT '$table', count(*),
			sum(hashtextextended(t::text, 0)) FROM $table t"
	done
	cluster_psql "$1" -c 'SELECT datname FROM pg_database ORDER BY 1'
	cluster_psql "$1" -c 'SELECT oid, spcname FROM pg_tablespace ORDER BY 1'
}

# ---- what is refused ---------------------------------------------------------

# refuses TEXT SET...: nothing is restored.
refuses() {
	local text=$1
	shift
	ctl 1 restore --create "$@" "$tmp/none"
	ctl_complains "$text"
	[ ! -e "$tmp/none" ] || fail "something was restored"
	refusals=$((refusals + 1))
}

# Each of the links: $full ${links[@]}.
refuse_links() {
	local k n=${#links[@]} link next other
	for ((k = 0; k < n; k++)); do
		link=${links[k]} next=${links[k + 1]-}
		local before=("${links[@]:0:k}") after=("${links[@]:k+1}")
		[ -z "$next" ] || {
			refuses "\`$next\`: builds on session" \
				"$full" "${before[@]}" "${after[@]}"
			refuses "\`$next\`: stands before \`$link\`" "$full" \
				"${before[@]}" "$next" "$link" "${after[@]:1}"
			mv "$link" "$tmp/aside"
			refuses "\`$next\`: builds on session" "$dest"
			mv "$tmp/aside" "$link"
		}
		refuses "\`$link\`: is named twice" \
			"$full" "${before[@]}" "$link" "$link" "${after[@]}"
		for other in "${strangers[@]}" ${older:+"$older"}; do
			refuses "\`$other\`: is of another chain" "$full" \
				"${before[@]}" "$other" "${after[@]}"
		done
	done
	refuses "\`${links[0]}\`: builds on session" "${links[@]}"
	for other in "${strangers[@]}"; do
		refuses "\`${links[0]}\`: is of another chain" \
			"${other%/*/*}/full" "${links[@]}"
	done
}

# ---- chains ------------------------------------------------------------------

# restored K SET ARGUMENT...: to the link in SET, the Kth, it is that moment.
restored() {
	local k=$1 set=$2 wrong r=$tmp/r
	shift 2
	ctl 0 restore --create "$@" "$r"
	wrong=$(cluster_server "$r" pg_verifybackup -q "$r/data" 2>&1)
	[ -z "$wrong" ] || fail "link $k: pg_verifybackup: $wrong"
	chain_start "$r"
	wrong=$(judge_server "$r" "$c/acks" "$set")
	[ ! -e "$tmp/content.$k" ] ||
		wrong+=$(content "$r" | diff - "$tmp/content.$k")
	[ -z "$wrong" ] || fail "chain $chain, link $k of ${#links[@]}: $wrong"
	chain_end "$r"
	rm -rf "$r"
	judged=$((judged + 1))
}

judged=0 crashes=0 refusals=0 quiet=0 stored=0 older=
for ((chain = 1; chain <= ${CHAINS:-1}; chain++)); do
	n=$((1 + RANDOM % ${LINKS:-3}))
	# The first has all that there is.
	[ "$chain" -gt 1 ] || n=${LINKS:-3}
	rm -rf "$tmp"/content.*
	drop_databases
	mkdir -p "$c/spare" && chown postgres: "$c/spare"
	has_spare || sql "CREATE TABLESPACE spare LOCATION '$c/spare'"
	sql 'DROP TABLE IF EXISTS spared' 'CREATE TABLE spared TABLESPACE spare
		AS SELECT generate_series(1, 1000) i'
	bank_open "$c"
	back 0 --chain "$c/data" "$dest"
	for ((k = 1; k <= n; k++)); do
		was=$(rounds)
		if [ "$chain" = 1 ] && [ $k = 2 ]; then crash; else between; fi
		[ $((RANDOM % 3)) = 0 ] ||
			wait_for 120 bank_moved "$c" "$was" || fail "no load"
		if [ $k = "$n" ] && [ $((RANDOM % 2)) = 0 ]; then
			bank_close "$c"
			content "$c" >"$tmp/content.$k"
			quiet=$((quiet + 1))
		fi
		back 0 -i "$c/data" "$dest"
	done
	[ -e "$tmp/content.$n" ] || bank_close "$c"
	full=$dest/full
	links=("$dest/incremental"/*)
	[ ${#links[@]} = "$n" ] || fail "${#links[@]} links, not $n"
	stored=$((stored + n))
	ctl 0 verify "$dest"
	ctl_says "sets:      $((n + 1))"
	restored "$n" "${links[-1]}" "$dest"
	k=$((RANDOM % n))
	if [ $k = 0 ]; then
		restored 0 "$full" "$full"
	elif [ $((RANDOM % 2)) = 0 ]; then
		restored $k "${links[k - 1]}" --upto $((10#$(basename \
			"${links[k - 1]}"))) "$dest"
	else
		restored $k "${links[k - 1]}" "$full" "${links[@]:0:k}"
	fi
	refuse_links
	rm -rf "$tmp/older" && cp -a "${links[-1]}" "$tmp/older"
	older=$tmp/older
	ok "chain $chain: $n links, restored to $n and $k; crashes so far: $crashes"
done
echo "# $((chain - 1)) chains, $stored links, $judged restored and right;" \
	"$crashes crashes, $quiet quiet ends; $refusals refusals;" \
	"$(ask "SELECT (SELECT count(*) FROM pgbench_history)||' transfers, '||
	(SELECT count(*) FROM rounds)||' rounds of DDL, '||
	(SELECT count(*) FROM acks)||' numbers'")"
[ $judged = $((2 * (chain - 1))) ] || fail "not all were judged"
[ "${LINKS:-3}" = 1 ] || [ $crashes -gt 0 ] || fail "no crash"
