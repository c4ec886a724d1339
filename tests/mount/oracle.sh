#!/bin/bash
# SPDX-License-Identifier: MIT
# The load oracle: snapshots copied with cp -r while an application writes,
# checkpoints in every mode, vacuums, and is killed; each copy opened with stock
# sqlite3 must be one moment that holds all that was acknowledged before it.
#
#	SNAPSHOTS   per page size (make soak: 67, so 201 in all)
#	FREEZES     per page size, below the mount, as fast as they go
#	PAGE_SIZES  default 512 4096 65536
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/storm.sh"

: "${HAMMER:?}"
snapshots=${SNAPSHOTS:-5}
freezes=${FREEZES:-100}
page_sizes=${PAGE_SIZES:-512 4096 65536}
seed=${SEED:-$RANDOM}
echo "seed $seed, $snapshots snapshots for each page size"

total=0 bad=0 frames=0
for page_size in $page_sizes; do
	start_storm "$page_size"
	# First, while the database is small: each image is checked whole.
	"$HAMMER" "$src" "$freezes" >"$tmp/hammer" 2>&1 ||
		fail "below the mount: $(cat "$tmp/hammer")"
	echo "# page size $page_size: $(cat "$tmp/hammer")"
	for ((i = 0; i < snapshots; i++)); do
		# A session is over in no time: let the load come to something.
		acked=$(number "$src/acked")
		wait_for 60 moved_on "$acked" || fail "the load is no load"
		start_fs
		acked=$(number "$src/acked")
		ls "$mnt/backup" >/dev/null || fail "the freeze: $(cat "$mnt/status")"
		begun=$(number "$src/begun")
		rm -rf "$tmp/copy"
		cp -r "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
		stop_fs COPIED
		frames=$((frames + $(sed -n 's/.*"last_frame": \([0-9]*\).*/\1/p' \
			"$tmp/copy/backup.json") - $(sed -n \
			's/.*"backfilled_frames": \([0-9]*\).*/\1/p' \
			"$tmp/copy/backup.json")))
		(cd "$tmp/copy" && xxhsum -c verify/XXH128SUMS) >/dev/null 2>&1 ||
			fail "xxhsum -c"
		wrong=$(judge "$tmp/copy/data/app.db" "$acked" "$begun")
		total=$((total + 1))
		if [ "$wrong" ]; then
			bad=$((bad + 1))
			echo "page size $page_size, snapshot $i: $wrong"
		fi
	done
	[ "$(number "$src/acked")" -gt 50 ] || fail "the load was no load"
	stop_storm
	echo "# page size $page_size: $(number "$src/acked") numbered commits," \
		"$(cat "$tmp/log.storm")"
done
[ $bad = 0 ] || fail "$bad of $total snapshots are bad"
ok "$total snapshots under load, 0 bad ($frames frames of the log in them)"

# The oracle must be able to say no: the live files, copied as they are, by a
# tool that is not so fast that all of it is one moment by luck.
start_storm 4096
caught=
end=$((SECONDS + 120))
for ((tries = 0; SECONDS < end && ${#caught} == 0; tries++)); do
	acked=$(number "$src/acked")
	rm -rf "$tmp/raw" && mkdir "$tmp/raw"
	set -- app.db-wal app.db
	[ $((tries % 2)) = 0 ] || set -- app.db app.db-wal
	cp "$src/$1" "$tmp/raw" 2>/dev/null
	wait_for 10 moved_on "$(number "$src/acked")" || fail "the load is no load"
	cp "$src/$2" "$tmp/raw" 2>/dev/null
	begun=$(number "$src/begun")
	caught=$(judge "$tmp/raw/app.db" "$acked" "$begun")
done
stop_storm
[ "$caught" ] || fail "a raw cp of the live files was not caught in $tries tries"
ok "negative control: raw cp is caught, try $tries: ${caught:0:60}"
