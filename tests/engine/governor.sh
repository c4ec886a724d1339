#!/bin/bash
# SPDX-License-Identifier: MIT
# The oracle of the governor: whatever an application does meanwhile, an image
# whose pin is moved on, or is let go, is what it was at the freeze. See
# tests/engine/governor_hammer.c and tests/lib/churn.c. And each way in which the
# governor can be broken is noticed (src/engines/sqlite/points.h).
#
#	GOVERNOR_RUNS      runs in which chance decides (make soak: 30)
#	GOVERNOR_SECONDS   of each run (make soak: 60)
#	SEED               of the first run
. "$(dirname "$0")/../lib/mount.sh"

: "${GOVERNOR_HAMMER:?}" "${CHURN:?}"
runs=${GOVERNOR_RUNS:-2}
seconds=${GOVERNOR_SECONDS:-2}
seed=${SEED:-$RANDOM$RANDOM}
echo "seed $seed, $runs runs of $seconds s"
export TMPDIR=$tmp

# try PROGRAM KEY=VALUE...: sets got. Its output is in $tmp/log.hammer.
try() {
	timeout -k 5 $((seconds + 120)) "$@" >"$tmp/log.hammer" 2>&1
	got=$?
	rm -rf "$tmp"/stillfs-test-*
}
# hammer STATUS PROGRAM KEY=VALUE...: ends with this status.
hammer() {
	local want=$1 got
	shift
	try "$@"
	[ "$got" = "$want" ] || fail "exit $got, not $want: $*"
}
told() { sed 's/^/# /' "$tmp/log.hammer"; }

# Each policy, each page size, each kind of checkpoint at least once.
fixed=0
while read -r words; do
	seed=$((seed + 1)) fixed=$((fixed + 1))
	eval "set -- $words"
	hammer 0 "$GOVERNOR_HAMMER" seed=$seed seconds="$seconds" "$@"
	told
done <<-'END'
	policy=govern page_size=512 n=1 mib=4 auto_vacuum=1 kill=1 autocheckpoint=1000 roles='update@a regrow@a append@a mixed@a'
	policy=govern page_size=4096 n=3 mib=4 auto_vacuum=2 kill=0 autocheckpoint=1 roles='update@a hot@a transfer@b vacuum@b opens@c opens@c truncate@a'
	policy=govern assist=1 page_size=4096 n=1 mib=8 auto_vacuum=1 kill=0 autocheckpoint=1000 roles='update@a big@a shrink@a append@a'
	policy=auto page_size=65536 n=2 mib=16 auto_vacuum=0 kill=1 autocheckpoint=1000 roles='update@a big@a blobs@b hot@b restart@b' complete=1
	policy=auto spool=2000000 page_size=4096 n=1 mib=16 auto_vacuum=0 kill=0 autocheckpoint=0 roles='hot@a full@a'
	policy=hold page_size=4096 n=1 mib=4 auto_vacuum=1 kill=1 autocheckpoint=1000 roles='update@a regrow@a passive@a'
END
ok "$fixed runs, each as it is said"

# So big that its copy is not made at once.
if [ "$seconds" -ge 20 ]; then
	seed=$((seed + 1))
	hammer 0 "$GOVERNOR_HAMMER" seed=$seed seconds="$seconds" policy=auto \
		complete=1 n=1 mib=256 page_size=4096 autocheckpoint=1000
	told
	ok "a big database"
fi

for ((i = 0; i < runs; i++)); do
	policy=govern complete=0
	[ $((i % 3)) = 0 ] && policy=auto complete=1
	seed=$((seed + 1))
	hammer 0 "$GOVERNOR_HAMMER" seed=$seed seconds="$seconds" \
		policy=$policy complete=$complete
	told
done
ok "$runs runs of chance"

# While a copy takes its time, the pin is moved, and lets pages go that are
# copied already, or are being copied.
seed=$((seed + 1))
hammer 0 "${GOVERNOR_HAMMER}_points" seed=$seed seconds=4 policy=auto \
	slow_us=30000 page_size=4096 n=1 mib=6 auto_vacuum=1 kill=1 pin_ms=5 \
	autocheckpoint=1000 roles='update@a regrow@a hot@a mixed@a' complete=1
told
grep -q ' 0 moves' "$tmp/log.hammer" && fail "a copy beside which nothing moved"
ok "a slow copy beside hops"

# control FAULT KEY=VALUE...: the same run is right without the fault. With it, it
# is wrong when a reader, a hop and a checkpoint meet, of which a short run has
# enough, as a rule; a long one does not have more of it, when all pages are saved.
control() {
	local fault=$1 i got
	shift
	seed=$((seed + 1))
	hammer 0 "${GOVERNOR_HAMMER}_points" seed=$seed seconds=2 \
		policy=govern "$@"
	for ((i = 0; i < 12; i++)); do
		seed=$((seed + 1))
		try "${GOVERNOR_HAMMER}_points" seed=$seed seconds=5 \
			policy=govern "$@" fault="$fault"
		[ $got = 0 ] || break
	done
	[ $got = 1 ] || fail "$fault: exit $got, not 1"
	grep -q 'WRONG IMAGE' "$tmp/log.hammer" || fail "$fault: caught by luck"
	told
	ok "negative control: $fault is caught"
}
one="n=1 kill=0 autocheckpoint=1000 pin_ms=5"
control drop_page $one page_size=4096 mib=8 auto_vacuum=0 \
	roles='update@a update@a passive@a'
control release_first $one page_size=4096 mib=16 auto_vacuum=0 linger=1 \
	roles='update@a hot@a passive@a passive@a'
control ignore_shrink $one page_size=4096 mib=2 auto_vacuum=1 \
	roles='shrink@a passive@a'
control no_drain $one page_size=4096 mib=4 auto_vacuum=0 hold_readers=1 \
	roles='update@a hot@a passive@a passive@a'
