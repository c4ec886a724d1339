#!/bin/bash
# SPDX-License-Identifier: MIT
# Chains of random lengths under a load that makes, empties, rewrites, moves and
# drops tables, some of them in a tablespace: restored to each link, started,
# and asked whether it is the moment of that link and no other.
#
#	CHAINS (1)  LINKS (3) at most in each  SCALE (1) of pgbench
#	SEED        of the lengths, and of what happens between links
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/bank.sh"
. "$(dirname "$0")/../lib/chain.sh"

c=${tmp:?}/c
r=$tmp/r
sets=${sets:?}
seed=${SEED:-$RANDOM}
echo "# seed $seed"
RANDOM=$seed
started=()
sql() { cluster_psql "$c" -c "$1" >/dev/null || fail "$1"; }

bank_new "$c" "${SCALE:-1}"
cluster_conf "$c" 'wal_keep_size = 0' 'min_wal_size = 32MB'
cluster_reload "$c"
rounds() { cluster_psql "$c" -c 'SELECT count(*) FROM rounds'; }

# What may happen between two links beside the load. A truncation leaves what the
# next link needs.
between() {
	case $((RANDOM % 4)) in
	0) sql CHECKPOINT ;;
	1) sql 'SELECT pg_switch_wal()' ;;
	2) chain_run truncate "$c/data" "$sets/$1.note" 1 ||
		fail "truncate: $(cat "$tmp/chain.log")" ;;
	esac
}

judged=0
for ((chain = 1; chain <= ${CHAINS:-1}; chain++)); do
	links=$((1 + RANDOM % ${LINKS:-3}))
	bank_open "$c"
	chain_full "$c"
	for ((k = 1; k <= links; k++)); do
		n=$(rounds)
		between $((k - 1))
		[ $((RANDOM % 3)) = 0 ] ||
			wait_for 60 bank_moved "$c" "$n" || fail "no load"
		chain_add "$c" "$k"
		chain_run check "$sets/$k" &&
			[ "$(cat "$tmp/chain.log")" = sound ] ||
			fail "link $k: $(cat "$tmp/chain.log")"
	done
	bank_close "$c"
	for ((k = 0; k <= links; k++)); do
		chain_restore "$k" "$r"
		chain_start "$r"
		wrong=$(judge_server "$r" "$c/acks" "$sets/$k")
		[ -z "$wrong" ] || fail "chain $chain, link $k of $links: $wrong"
		chain_end "$r"
		judged=$((judged + 1))
	done
	ok "chain $chain: each of $links links is its moment"
done
[ "$judged" -ge 2 ] || fail "no link was judged"
