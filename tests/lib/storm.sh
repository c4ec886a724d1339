# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# A load over $src (tests/lib/load.c), and what an image of it must hold. To be
# sourced behind mount.sh; `seed` decides what the load does.

number() { sed 's/^0*\([0-9]\)/\1/' "$1" 2>/dev/null || echo 0; }

moved_on() { [ "$(number "$src/acked")" -gt $(($1 + 30)) ]; }

# start_storm PAGE_SIZE: $src anew, and its load. stop_storm: until it ends.
start_storm() {
	rm -rf "$src"
	mkdir "$src"
	"$LOAD" init "$src" "$1" || fail "init"
	rm -f "$tmp/storm.in"
	mkfifo "$tmp/storm.in"
	"$LOAD" storm "$src" "$seed" <"$tmp/storm.in" >"$tmp/log.storm" 2>&1 8>&- &
	storm_pid=$!
	started+=("$storm_pid")
	exec 8>"$tmp/storm.in"
	wait_for 10 test -s "$src/acked" || fail "no load"
}
stop_storm() {
	exec 8>&-
	wait "$storm_pid" || fail "the load met an error: $(cat "$tmp/log.storm")"
}

# judge FILE ACKED BEGUN: prints what is wrong with an image.
judge() {
	local out
	out=$(sqlite3 "file:$1?immutable=1" "PRAGMA integrity_check;
		SELECT 'sum '||sum(balance)||' '||count(*) FROM account;
		SELECT 'seq '||count(*)||' '||coalesce(max(n),0) FROM seq;" 2>&1)
	set -- "$2" "$3" $(echo "$out" | tr '\n' ' ')
	[ "$3" = ok ] || { echo "integrity: ${out:0:300}"; return; }
	[ "$4 $5 $6" = "sum 100000 100" ] || { echo "sum: $5 of $6"; return; }
	[ "$8" = "$9" ] || { echo "the sequence has gaps: $8 of $9"; return; }
	[ "$9" -ge "$1" ] || { echo "lost: $9 < acknowledged $1"; return; }
	[ "$9" -le "$2" ] || echo "too new: $9 > begun $2"
}
