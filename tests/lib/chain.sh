# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Chains of sessions of a PostgreSQL cluster, without the core. To be sourced
# behind cluster.sh.
#
# Environment: PGCHAIN (a program).
#
#	chain_full DIR            a full session of the cluster at DIR, $sets/0
#	chain_add DIR K           an incremental one on it, $sets/K
#	chain_refused CODE TEXT HINT PROGRAM-ARGUMENT...
#	                          pgchain fails with just these
#	chain_restore K OUT       the full set and its links up to K, as a cluster
#	chain_start OUT           a server in it; `cluster_psql OUT` asks it
#	chain_end OUT             it ends, and had nothing to complain of

: "${PGCHAIN:?}"
sets=${tmp:?}/sets
mkdir -p "$sets" "$tmp/spool" && chmod 700 "$tmp/spool"

chain_run() { timeout 120 "$PGCHAIN" "$@" >"$tmp/chain.log" 2>&1; }

chain_full() {
	rm -rf "${sets:?}"/*
	chain_run full "$1/data" "$tmp/spool" "$sets/0" ||
		fail "full: $(cat "$tmp/chain.log")"
}

chain_add() {
	chain_run add "$1/data" "$tmp/spool" "$sets/$2" \
		"$sets/$(($2 - 1)).note" "$2" ||
		fail "link $2: $(cat "$tmp/chain.log")"
}

chain_refused() {
	local code=$1 text=$2 hint=$3
	shift 3
	! chain_run "$@" || fail "not refused: $(cat "$tmp/chain.log")"
	[ "$(grep -v '^warn' "$tmp/chain.log")" = "error $code: $text
hint: $hint" ] || fail "not '$code: $text', '$hint': $(cat "$tmp/chain.log")"
}

chain_restore() {
	local k
	rm -rf "$2"
	cp -a "$sets/0" "$2" || fail "cp"
	for ((k = 1; k <= $1; k++)); do
		chain_run apply "$2" "$sets/$k" ||
			fail "apply of $k: $(cat "$tmp/chain.log")"
	done
}

chain_start() {
	mkdir -p "$1/sock" && chown postgres: "$1" "$1/sock" && chmod 755 "$1"
	[[ " ${clusters[*]-} " == *" $1 "* ]] || clusters+=("$1")
	cluster_server "$1" pg_ctl -s -w -t 120 -l "$1/log" start \
		-o "-k '$1/sock' -c autovacuum=off" ||
		fail "start of $1: $(tail -n 20 "$1/log")"
}

# Smart: it waits for backends whose clients are gone.
chain_end() {
	cluster_stop "$1" smart || fail "stop: $(tail -n 20 "$1/log")"
	! grep -E 'PANIC|FATAL|ERROR|WARNING' "$1/log" |
		grep -vE 'starting up$|not yet accepting connections$' ||
		fail "complaints in $1/log"
	cluster_server "$1" pg_checksums --check >"$tmp/sums" 2>&1 ||
		fail "pg_checksums: $(cat "$tmp/sums")"
}
