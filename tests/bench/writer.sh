# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The application that writes while something is measured: `pace`, and what it
# says of its windows. Descriptors 7 and 8 are its, as long as it runs.

pace_pid=

# start_pace DIR RATE
start_pace() {
	rm -f "$tmp/pace.in" "$tmp/pace.out"
	mkfifo "$tmp/pace.in" "$tmp/pace.out"
	"$PACE" "$1" "$2" <"$tmp/pace.in" >"$tmp/pace.out" &
	pace_pid=$!
	started+=("$pace_pid")
	exec 8>"$tmp/pace.in" 7<"$tmp/pace.out"
	read -r _ <&7 || fail "the writer did not start"
	# What the first commits cost is not what is looked for.
	sleep 1
	mark rest
}

# mark NAME: ends a window, whose line is in $marked then.
mark() {
	[ -n "$pace_pid" ] || return 0
	echo "mark $1" >&8
	read -r marked <&7 || fail "the writer died"
}

# of_window KEY: a number of the last window.
of_window() { sed -n "s/.* $1=\([0-9.]*\) .*/\1/p" <<<"$marked"; }

# stop_pace: leaves the totals in $tmp/totals.
stop_pace() {
	exec 8>&-
	grep '^total ' <&7 | grep -v ' name=rest$' >"$tmp/totals"
	exec 7<&-
	wait "$pace_pid" || fail "the writer failed"
	pace_pid=
}

# writer_rows LOAD: the totals, in milliseconds, with | between.
writer_rows() {
	awk -v load="$1" '{
		name = $0
		sub(/.* name=/, "", name)
		for (i = 2; i <= 10; i++) {
			split($i, pair, "=")
			v[pair[1]] = pair[2]
		}
		printf "%s|%s|%d|%d", load, name, v["n"], v["failed"]
		n = split("p50 p99 max commit_p50 commit_p99 commit_max", key)
		for (i = 1; i <= n; i++)
			printf "|%.2f", v[key[i]] / 1000
		print ""
	}' "$tmp/totals"
}
