#!/bin/bash
# SPDX-License-Identifier: MIT
# The load oracle for one cut over several databases, two in WAL mode and one
# with a rollback journal: whatever an application commits over all of them is
# in all of them or in none, in each snapshot. See tests/lib/load_many.h.
#
#	SNAPSHOTS   per storm, of which each page size has two: synchronous=OFF
#	            and FULL (make soak: 17, so 102 in all)
#	FREEZES     per storm, below the mount, each with other transactions
#	PAGE_SIZES  default 512 4096 65536
. "$(dirname "$0")/../lib/mount.sh"

: "${CUT_HAMMER:?}"
snapshots=${SNAPSHOTS:-1}
freezes=${FREEZES:-100}
page_sizes=${PAGE_SIZES:-512 4096 65536}
seed=${SEED:-$RANDOM}
spool=$tmp/spool
mkdir -m 700 "$spool"
echo "seed $seed, $snapshots snapshots and $freezes freezes for each storm"

start_storm() {
	rm -rf "$src"
	mkdir "$src"
	"$LOAD" init-many "$src" "$1" || fail "init"
	rm -f "$tmp/storm.in"
	mkfifo "$tmp/storm.in"
	"$LOAD" storm-many "$src" "$seed" <"$tmp/storm.in" \
		>"$tmp/log.storm" 2>&1 8>&- &
	storm_pid=$!
	started+=("$storm_pid")
	exec 8>"$tmp/storm.in"
	wait_for 30 all_acked || fail "no load"
}
all_acked() {
	local name
	for name in joint a b c; do
		[ -s "$src/$name.acked" ] || return 1
	done
}
stop_storm() {
	exec 8>&-
	wait "$storm_pid" || fail "the load met an error: $(cat "$tmp/log.storm")"
}

# numbers WHAT: of joint, a, b, c.
numbers() {
	local name
	for name in joint a b c; do
		echo $((10#$(cat "$src/$name.$1")))
	done
}

# judge DIR ACKED BEGUN: prints what is wrong with three images; the numbers are
# those of `numbers`.
judge() {
	local -a low high f
	local i name out sum=0 step=
	low=($2) high=($3)
	for i in 1 2 3; do
		name=$(echo abc | cut -c $i)
		out=$(sqlite3 "$1/$name.db" "PRAGMA integrity_check;
			SELECT sum(balance), count(*) FROM account;
			SELECT n FROM step;
			SELECT count(*), coalesce(max(n),0) FROM joint;
			SELECT count(*), coalesce(max(n),0) FROM seq;" 2>&1)
		f=($(echo "$out" | tr '\n|' '  '))
		[ "${f[0]}" = ok ] && [ ${#f[@]} = 8 ] ||
			{ echo "$name: integrity: ${out:0:300}"; return; }
		[ "${f[2]}" = 100 ] || { echo "$name: ${f[2]} accounts"; return; }
		[ "${f[4]}" = "${f[5]}" ] && [ "${f[6]}" = "${f[7]}" ] ||
			{ echo "$name: gaps in a sequence: ${f[*]}"; return; }
		[ "${f[5]}" -ge "${low[0]}" ] && [ "${f[7]}" -ge "${low[i]}" ] ||
			{ echo "$name: lost: ${f[*]} of $2"; return; }
		[ "${f[5]}" -le "${high[0]}" ] && [ "${f[7]}" -le "${high[i]}" ] ||
			{ echo "$name: too new: ${f[*]} of $3"; return; }
		sum=$((sum + f[1]))
		step="$step ${f[3]} ${f[5]}"
	done
	[ "$(echo $step | tr ' ' '\n' | sort -u | wc -l)" = 1 ] ||
		{ echo "two moments: steps$step"; return; }
	[ $sum = 300000 ] || echo "two moments: sum $sum"
}

# snapshot: into $tmp/copy; fails when a database is refused, because its
# application was killed and has not come back yet.
snapshot() {
	start_fs "$src" -o "spool=$spool"
	acked=$(numbers acked)
	ls "$mnt/backup" >/dev/null || fail "the freeze: $(cat "$mnt/status")"
	begun=$(numbers begun)
	rm -rf "$tmp/copy"
	if grep -q '"frozen": false' "$mnt/backup/backup.json"; then
		grep 'recover' "$mnt/backup/backup.json" || fail "a refusal"
		umount "$mnt" || fail "umount"
		wait_fs
		return 1
	fi
	cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
	stop_fs COPIED
	grep -q '"cut": "one moment"' "$tmp/copy/backup.json" ||
		fail "not one moment: $(cat "$tmp/copy/backup.json")"
	(cd "$tmp/copy" && xxhsum -c verify/XXH128SUMS) >/dev/null 2>&1 ||
		fail "xxhsum -c"
}

total=0 refused=0
# storm PAGE_SIZE: one of them, from start to end.
storm() {
	local i wrong
	start_storm "$1"
	# First, while the databases are small: each image is checked whole.
	"$CUT_HAMMER" "$src" "$freezes" >"$tmp/hammer" 2>&1 ||
		fail "below the mount: $(cat "$tmp/hammer")"
	echo "# page size $1, seed $seed: $(cat "$tmp/hammer")"
	for ((i = 0; i < snapshots; i++)); do
		until snapshot; do
			refused=$((refused + 1))
			[ $refused -lt 10 ] || fail "refused again and again"
		done
		wrong=$(judge "$tmp/copy/data" "$acked" "$begun")
		[ -z "$wrong" ] || fail "page size $1, snapshot $i: $wrong"
		total=$((total + 1))
	done
	stop_storm
	# What is wrong in the application's own files is not the snapshot's.
	wrong=$(judge "$src" "$(numbers acked)" "$(numbers begun)")
	[ -z "$wrong" ] || fail "the load itself: $wrong"
	echo "# page size $1: $(cat "$tmp/log.storm")"
}
for page_size in $page_sizes; do
	for i in 1 2; do
		storm "$page_size"
		seed=$((seed + 1))
	done
done
[ -z "$(ls -A "$spool")" ] || fail "something has a name in the spool"
ok "$total snapshots of one moment ($refused more had to wait for a recovery)"

# The judges must be able to say no: to databases of two snapshots ...
start_storm 4096
until snapshot; do :; done
mkdir "$tmp/mixed"
mv "$tmp/copy/data/a.db" "$tmp/mixed"
acked_first=$acked joint=$(cat "$src/joint.begun")
moved_on() { [ "$(cat "$src/joint.acked")" \> "$joint" ]; }
wait_for 30 moved_on || fail "the load stands still"
until snapshot; do :; done
mv "$tmp/copy/data/b.db" "$tmp/copy/data/c.db" "$tmp/mixed"
wrong=$(judge "$tmp/mixed" "$acked_first" "$begun")
[ "${wrong%%:*}" = "two moments" ] || fail "not caught: '$wrong'"
ok "negative control: $wrong"

# ... and to a freeze without the barrier.
"${CUT_HAMMER}_torn" "$src" 2000 >"$tmp/hammer" 2>&1
[ $? = 3 ] && grep -q 'two moments' "$tmp/hammer" ||
	fail "a freeze without the barrier was not caught: $(cat "$tmp/hammer")"
stop_storm
ok "negative control: $(cat "$tmp/hammer")"
