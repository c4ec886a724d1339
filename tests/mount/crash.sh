#!/bin/bash
# SPDX-License-Identifier: MIT
# The daemon dies by SIGKILL at random points of a round (mount, freeze, copy,
# commit or unmount), while an application writes. What the catalog says then is
# the truth, the application never notices, and the next mount needs no hands.
#
#	POINTS   how often it dies (make soak: 200)
. "$(dirname "$0")/../lib/mount.sh"

points=${POINTS:-40}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $points points"

"$LOAD" init "$src" 4096 || fail "init"
mkfifo "$tmp/storm.in"
"$LOAD" storm "$src" "$seed" <"$tmp/storm.in" >"$tmp/log.storm" 2>&1 8>&- &
storm_pid=$!
started+=("$storm_pid")
exec 8>"$tmp/storm.in"
wait_for 10 test -s "$src/acked" || fail "no load"

# ---- a round -----------------------------------------------------------------
# Its steps, and the kinds of rounds. Each step leaves its exit status in a file,
# since some run beside the killer.

kinds=(copied committed unread)
steps=(mount freeze copy end)
step_mount() {
	wait_for 20 grep -q ' info mounted ' "$log"
}
step_freeze() { timeout 30 ls "$mnt/backup" >/dev/null 2>&1; }
step_copy() {
	rm -rf "$tmp/copy"
	# What nobody reads, a commit has to read.
	[ "$kind" = unread ] || timeout 30 cp -r "$mnt/backup" "$tmp/copy" 2>/dev/null
}
step_end() {
	if [ "$kind" = copied ]; then
		umount "$mnt" && wait_for 5 gone_or_zombie "$fs_pid"
	else
		timeout 30 "$STILLCTL" commit "$mnt" >/dev/null 2>&1
	fi
}
step() {
	"step_$1"
	echo $? >"$tmp/status.$1"
}
status_of() { cat "$tmp/status.$1" 2>/dev/null || echo none; }

# measure: how long each step takes when nobody dies, in took[KIND STEP] (us).
declare -A took
measure() {
	local name start
	launch_fs
	for name in "${steps[@]}"; do
		start=$(date +%s%N)
		step "$name"
		took[$kind $name]=$((($(date +%s%N) - start) / 1000))
		[ "$(status_of "$name")" = 0 ] || fail "$kind: $name fails unharmed"
	done
	[ "$kind" = copied ] || umount "$mnt" || fail umount
	wait_fs
}

# ---- the truth ---------------------------------------------------------------

sql() { sqlite3 "$state/catalog.db" "$1"; }

# digests ID: every file has one but the seal; each is that of the copy.
digests() {
	local path digest
	sql "SELECT CAST(path AS TEXT) || '|' || lower(hex(xxh128)) FROM file
		JOIN session ON session.seq = file.session
		WHERE session.id = '$1'" >"$tmp/digests"
	grep -q '^data/app.db|' "$tmp/digests" || fail "no digests: $(cat \
		"$tmp/digests")"
	while IFS='|' read -r path digest; do
		case $path in
		verify | data | verify/XXH128SUMS) continue ;;
		esac
		[ ${#digest} = 32 ] || fail "$path has no digest"
		[ "$kind" = unread ] || [ "$(xxhsum -H2 "$tmp/copy/$path" \
			2>"$tmp/err" | cut -d ' ' -f 1)" = "$digest" ] || fail "$path has another"
	done <"$tmp/digests"
}

# truth STEP: what the catalog may say when the daemon died in this step.
truth() {
	local now id told
	id=$(record id)
	now=$(record outcome)
	if [ "$id" = "$last_id" ]; then
		case $1 in
		mount | freeze) word=none ;;
		*) fail "the session is not recorded" ;;
		esac
		return
	fi
	case $now in
	'ABORTED(crash)')
		word=crash
		# Nobody was told more than that.
		grep -q ' session-end ' "$log" && fail "an end was told: $(outcome)"
		[ "$1" = end ] && [ "$kind" != copied ] &&
			[ "$(status_of end)" = 0 ] && fail "a commit was answered"
		;;
	COMMITTED)
		word=committed
		[ "$1 $kind" != 'end copied' ] && [ "$1" = end ] ||
			fail "COMMITTED in $1 of $kind"
		digests "$id"
		[ "$kind" = unread ] || check_set "$tmp/copy"
		;;
	COPIED)
		word=copied
		[ "$1 $kind" = 'end copied' ] || fail "COPIED in $1 of $kind"
		[ "$(status_of copy)" = 0 ] || fail "COPIED, and cp failed"
		digests "$id"
		check_set "$tmp/copy"
		;;
	*) fail "in $1 of $kind: $now" ;;
	esac
	told=$(outcome)
	[ -z "$told" ] || [ "$told" = "$now" ] || fail "told $told, and is $now"
}

unharmed() {
	kill -0 "$storm_pid" || fail "the load has ended: $(cat "$tmp/log.storm")"
	[ "$(sqlite3 -cmd '.timeout 20000' "$src/app.db" "PRAGMA quick_check;
		SELECT sum(balance) FROM account" 2>&1 | tr '\n' ' ')" = \
		"ok 100000 " ] || fail "the database is harmed"
	[ -z "$(locks_of "$src/app.db" | grep "pid=$1 ")" ] || fail "a dead lock"
}

# What the store had when the daemon died. A journal may hold it back, so this
# is for the statistics only.
found() {
	sqlite3 "file:$state/catalog.db?immutable=1" "SELECT state FROM session
		ORDER BY seq DESC LIMIT 1" 2>/dev/null
}

for kind in "${kinds[@]}"; do
	measure
	measure
	echo "# $kind, us: mount ${took[$kind mount]}, freeze" \
		"${took[$kind freeze]}, copy ${took[$kind copy]}, end" \
		"${took[$kind end]}"
done

declare -A count=()
for ((i = 0; i < points; i++)); do
	kind=${kinds[RANDOM % 3]}
	dies_in=${steps[RANDOM % 4]}
	last_id=$(record id)
	rm -f "$tmp"/status.*
	launch_fs
	dead=$fs_pid
	for name in "${steps[@]}"; do
		[ "$name" != "$dies_in" ] || break
		step "$name"
		[ "$(status_of "$name")" = 0 ] || fail "$kind: $name"
	done
	# A little beyond its end, too; and more often at first, since a commit is
	# done long before stillctl asks again.
	limit=$(((took[$kind $dies_in] * 5 / 4 + 1000) / (1 + RANDOM % 4)))
	delay=$(((RANDOM * 32768 + RANDOM) % limit))
	step "$dies_in" &
	worker=$!
	started+=("$worker")
	sleep "$(printf '%d.%06d' $((delay / 1000000)) $((delay % 1000000)))"
	kill -9 "$fs_pid" 2>/dev/null
	wait "$fs_pid" 2>/dev/null
	check_log
	count[found $(found)]=$((${count[found $(found)]:-0} + 1))
	if [ "$dies_in" != mount ]; then
		wait_for 40 gone_or_zombie $worker || fail "$dies_in hangs"
	else
		kill $worker 2>/dev/null
	fi
	wait $worker 2>/dev/null
	fs_pid=
	truth "$dies_in"
	unharmed "$dead"
	count[$dies_in $word]=$((${count[$dies_in $word]:-0} + 1))
done

kind=copied
measure
recorded COPIED
check_set "$tmp/copy"
[ "$(sql 'PRAGMA integrity_check')" = ok ] || fail "the catalog is harmed"
exec 8>&-
wait "$storm_pid" || fail "the load met an error: $(cat "$tmp/log.storm")"
for word in "${!count[@]}"; do
	echo "# $word: ${count[$word]}"
done | sort
# As many as these meet every kind of end, or this is no test of them.
if [ "$points" -ge 200 ]; then
	for word in 'freeze crash' 'copy crash' 'end crash' 'end committed' \
		'end copied'; do
		[ "${count[$word]:-}" ] || fail "not met: $word"
	done
fi
ok "$points deaths: the catalog tells the truth, and nobody was harmed"
