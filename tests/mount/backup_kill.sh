#!/bin/bash
# SPDX-License-Identifier: MIT
# stillctl backup while an application writes, checkpoints in every mode, vacuums
# and is killed: each set is one moment that holds all that was acknowledged
# before it. Then backup dies by SIGKILL at random points: the set that is there
# is whole, the old one or the new one, the catalog says what is so, and the next
# backup needs no hands. So it is with incremental ones and their chain. And two
# at once.
#
#	BACKUPS   under the load (make soak: 100)
#	POINTS    how often it dies (make soak: 200)
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/storm.sh"

backups=${BACKUPS:-12}
points=${POINTS:-40}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $backups backups, $points points"
sets=$tmp/sets
mkdir "$sets"

backup() {
	timeout -k 5 120 "$STILLCTL" backup --quiet --state="$state" "$src" \
		"$1" >"$tmp/log.out" 2>"$tmp/log.err"
}
session_in() {
	sed -n 's/.*"session": "\([^"]*\)".*/\1/p' "$1/backup.json" 2>/dev/null
}
now_us() { echo $(($(date +%s%N) / 1000)); }

# ---- the oracle --------------------------------------------------------------

start_storm 4096
least=
for ((i = 0; i < backups; i++)); do
	acked=$(number "$src/acked")
	wait_for 60 moved_on "$acked" || fail "the load is no load"
	acked=$(number "$src/acked")
	begun=$(now_us)
	backup "$sets" || fail "backup $i: $(cat "$tmp/log.err")"
	took=$(($(now_us) - begun))
	[ -n "$least" ] && [ "$least" -lt "$took" ] || least=$took
	begun=$(number "$src/begun")
	check_set "$sets/full"
	wrong=$(judge "$sets/full/data/app.db" "$acked" "$begun")
	[ -z "$wrong" ] || fail "backup $i: $wrong"
	recorded COMMITTED
	[ "$(session_in "$sets/full")" = "$(record id)" ] ||
		fail "another session is stored"
done
[ "$(ls -A "$sets")" = full ] || fail "beside full: $(ls -A "$sets")"
ok "$backups backups under load, each of one moment; the fastest $((least / 1000)) ms"

# ---- two at once -------------------------------------------------------------

mkdir "$tmp/other"
busy=0
for ((i = 0; i < 200 && busy < 3; i++)); do
	backup "$sets" &
	one=$!
	started+=("$one")
	timeout -k 5 120 "$STILLCTL" backup --quiet --state="$state" "$src" \
		"$tmp/other" >"$tmp/log.out2" 2>"$tmp/log.err2"
	second=$?
	wait "$one"
	first=$?
	case $first$second in
	00) ;;
	04 | 40)
		busy=$((busy + 1))
		cat "$tmp/log.err" "$tmp/log.err2" | grep -q 'session' ||
			fail "busy with what? $(cat "$tmp/log.err" "$tmp/log.err2")"
		;;
	*) fail "two at once end with $first and $second: $(cat "$tmp"/log.err*)" ;;
	esac
	check_set "$sets/full"
	[ ! -e "$tmp/other/full" ] || check_set "$tmp/other/full"
done
[ $busy -ge 3 ] || fail "two of one instance were never at once"
# The same directory, from two sources: it is the first one's.
mkdir "$tmp/src2"
make_db "$tmp/src2/x.db"
busy=0
for ((i = 0; i < 200 && busy < 3; i++)); do
	backup "$sets" &
	one=$!
	started+=("$one")
	timeout -k 5 120 "$STILLCTL" backup --quiet --state="$state" \
		"$tmp/src2" "$sets" >"$tmp/log.out2" 2>"$tmp/log.err2"
	second=$?
	wait "$one"
	first=$?
	case $first$second in
	01) grep -q 'is a set of another source' "$tmp/log.err2" ||
		fail "refused: $(cat "$tmp/log.err2")" ;;
	04 | 41) busy=$((busy + 1)) ;;
	*) fail "two into one end with $first and $second: $(cat "$tmp"/log.err*)" ;;
	esac
	check_set "$sets/full"
done
[ $busy -ge 3 ] || fail "two into one directory were never at once"
ok "two at once: one of them is told so, neither is harmed"

# ---- death -------------------------------------------------------------------

backup "$sets" || fail "backup: $(cat "$tmp/log.err")"
declare -A count
for ((i = 0; i < points; i++)); do
	before=$(session_in "$sets/full")
	last=$(record id)
	"$STILLCTL" backup --quiet --state="$state" "$src" "$sets" \
		>"$tmp/log.out" 2>"$tmp/log.err" &
	one=$!
	started+=("$one")
	delay=$(((RANDOM * 32768 + RANDOM) % (least * 5 / 4)))
	sleep "$(printf '%d.%06d' $((delay / 1000000)) $((delay % 1000000)))"
	kill -9 "$one" 2>/dev/null
	wait "$one" 2>/dev/null
	status=$?
	[ -z "$(locks_of "$src/app.db" | grep "pid=$one ")" ] || fail "a dead lock"
	kill -0 "$storm_pid" || fail "the load has ended: $(cat "$tmp/log.storm")"
	now=$(session_in "$sets/full")
	check_set "$sets/full"
	id=$(record id)
	said=$(record outcome)
	if [ "$id" = "$last" ]; then
		word=none
		[ "$now" = "$before" ] || fail "a set without a session"
	elif [ "$now" = "$before" ]; then
		word=old
		[ "$said" = 'ABORTED(crash)' ] || fail "nothing is stored: $said"
	else
		[ "$now" = "$id" ] || fail "the set of another session"
		word=new
		case $said in
		COMMITTED) word=committed ;;
		'ABORTED(crash)') ;;
		*) fail "stored: $said" ;;
		esac
	fi
	[ $status != 0 ] || [ $word = committed ] || fail "exit 0, and $said"
	count[$word]=$((${count[$word]:-0} + 1))
done
acked=$(number "$src/acked")
backup "$sets" || fail "the next backup: $(cat "$tmp/log.err")"
begun=$(number "$src/begun")
wrong=$(judge "$sets/full/data/app.db" "$acked" "$begun")
[ -z "$wrong" ] || fail "the next backup: $wrong"
[ "$(ls -A "$sets")" = full ] || fail "beside full: $(ls -A "$sets")"
[ "${count[old]:-0}" -gt 0 ] || fail "it never died in the middle"
for word in "${!count[@]}"; do
	echo "# $word: ${count[$word]}"
done | sort
ok "killed $points times: the set is whole, the catalog true, the next one works"

# ---- death of what builds on another -----------------------------------------

chain=$tmp/chain
mkdir "$chain"
increment() {
	timeout -k 5 120 "$STILLCTL" backup --quiet --incremental \
		--state="$state" "$src" "$chain" >"$tmp/log.out" 2>"$tmp/log.err"
}
sessions_in() { # in the order of the chain, with a space behind each
	local dir
	for dir in "$chain/full" "$chain"/incremental/*; do
		[ ! -e "$dir/backup.json" ] ||
			printf '%s ' "$(session_in "$dir" | head -n 1)"
	done
}
backup "$chain" || fail "backup: $(cat "$tmp/log.err")"
least=
for ((i = 0; i < 3; i++)); do
	begun=$(now_us)
	increment || fail "increment $i: $(cat "$tmp/log.err")"
	took=$(($(now_us) - begun))
	[ -n "$least" ] && [ "$least" -lt "$took" ] || least=$took
done
count=()
committed=$(sessions_in)
for ((i = 0; i < points; i++)); do
	before=$(sessions_in)
	last=$(record id)
	"$STILLCTL" backup --quiet --incremental --state="$state" "$src" \
		"$chain" >"$tmp/log.out" 2>"$tmp/log.err" &
	one=$!
	started+=("$one")
	delay=$(((RANDOM * 32768 + RANDOM) % (least * 5 / 4)))
	sleep "$(printf '%d.%06d' $((delay / 1000000)) $((delay % 1000000)))"
	kill -9 "$one" 2>/dev/null
	wait "$one" 2>/dev/null
	kill -0 "$storm_pid" || fail "the load has ended: $(cat "$tmp/log.storm")"
	id=$(record id)
	said=$(record outcome)
	[ "$id" != "$last" ] || id=none
	"$STILLCTL" verify --quick "$chain" >"$tmp/log.out" 2>&1
	status=$?
	if [ $status = 4 ]; then
		# A link that was never committed made room, and waits.
		grep -q 'incremental sets are in `.links-' "$tmp/log.out" ||
			fail "verify: $(cat "$tmp/log.out")"
		word=waits
	elif [ $status != 0 ]; then
		fail "the chain is not whole: $(cat "$tmp/log.out")"
	elif [ "$id" != none ] && [ "$(sessions_in)" = "$committed$id " ]; then
		word=new
		[ "$said" = COMMITTED ] || [ "$said" = 'ABORTED(crash)' ] ||
			fail "stored: $said"
	else
		word=old
		[ "$(sessions_in)" = "$before" ] ||
			[ "$(sessions_in)" = "$committed" ] ||
			fail "a chain of $(sessions_in), and there was $before"
		[ "$id" = none ] || [ "$said" = 'ABORTED(crash)' ] ||
			fail "nothing is stored: $said"
	fi
	[ "$id" = none ] || [ "$said" != COMMITTED ] || committed=$(sessions_in)
	count[$word]=$((${count[$word]:-0} + 1))
	# Now and then, and at the end, one that lives.
	if ((i % 8 == 7 || i == points - 1)); then
		acked=$(number "$src/acked")
		increment || fail "the next one: $(cat "$tmp/log.err")"
		begun=$(number "$src/begun")
		committed=$(sessions_in)
		recorded COMMITTED
		rm -rf "$tmp/back"
		ctl 0 restore --quiet --create "$chain" "$tmp/back"
		wrong=$(judge "$tmp/back/app.db" "$acked" "$begun")
		[ -z "$wrong" ] || fail "the next one: $wrong"
	fi
done
stop_storm
ctl 0 verify "$chain"
[ -z "$(find "$chain" -mindepth 1 -maxdepth 1 ! -name full \
	! -name incremental)" ] || fail "it leaves $(ls -A "$chain")"
[ "${count[old]:-0}" -gt 0 ] || fail "it never died in the middle"
for word in "${!count[@]}"; do
	echo "# $word: ${count[$word]}"
done | sort
ok "killed $points times: the chain is whole, the catalog true, the next one works"
