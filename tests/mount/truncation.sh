#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2015
# Random sessions of a live source, each with a random ending: by every verdict, by
# every way to unmount, by signals, by SIGKILL in its freeze, in its copy and in its
# commit, and with a state directory that is full. Only a commit that asks for it
# truncates, an application's log never is, and what the last committed session
# keeps for the next one is there to the bit, until another is committed. Chains of
# what was committed are restored.
#
#	ENDINGS   how many (make soak: 1000)
#	SEED      of all that is random
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/endings.sh"

endings=${ENDINGS:-60}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $endings endings"
source=${src:?}

# ---- the applications ----------------------------------------------------------

make_db "$src/quiet.db" 4096 50
make_db "$src/app.db" 4096 500
sqlite3 "$src/app.db" "CREATE TABLE seq(n INTEGER PRIMARY KEY)" || fail seq

# One commits all the time, in order; its log begins anew again and again.
storm() {
	local n=0
	while [ ! -e "$tmp/enough" ]; do
		n=$((n + 1))
		echo $n >>"$tmp/begun"
		echo "BEGIN IMMEDIATE; INSERT INTO seq VALUES($n);
			UPDATE t SET b=hex(randomblob(50))
			WHERE a=1+abs(random())%500; COMMIT;"
		[ $((n % 40)) != 0 ] || echo "PRAGMA wal_checkpoint(TRUNCATE);"
		[ $((n % 300)) != 0 ] || echo "VACUUM;"
		echo "SELECT 'acked '||$n;"
		sleep 0.03
	done
}
mkfifo "${tmp:?}/storm.in"
sqlite3 -cmd '.timeout 30000' "$src/app.db" <"$tmp/storm.in" >"$tmp/acked" \
	2>"$tmp/log.storm" &
load_pid=$!
storm >"$tmp/storm.in" &
storm_pid=$!
started+=("$storm_pid" "$load_pid")
begun() { tail -n 1 "$tmp/begun"; }
acked() { sed -n 's/^acked //p' "$tmp/acked" | tail -n 1; }
wait_for 20 grep -q acked "$tmp/acked" || fail "no load: $(cat "$tmp/log.storm")"

# The other never checkpoints: its log is its own.
open_app "$src/quiet.db"
quiet=50
write_quiet() {
	app "INSERT INTO t(b) VALUES('x');"
	quiet=$((quiet + 1))
}
quiet_wal() { od -An -v -tx1 -N 32 "$src/quiet.db-wal"; }
write_quiet
wal=$(quiet_wal)
wal_bytes=0

# ---- what endings.sh asks for --------------------------------------------------

begin() {
	local how=()
	was_acked=$(acked) was_quiet=$quiet
	case $kind in
	copy) how=(--copy) ;;
	incremental) how=(--incremental) ;;
	esac
	if [ "$kind" = copy ] || [ $((RANDOM % 2)) = 0 ]; then
		ctl 0 begin "${how[@]}" "${mnt:?}"
	elif [ "$kind" = full ]; then
		ls "$mnt/backup" >/dev/null || fail "backup/: $(cat "$mnt/status")"
	else
		ls "$mnt/incremental" >/dev/null ||
			fail "incremental/: $(cat "$mnt/status")"
	fi
	is_begun=$(begun)
	sid=$(record id)
	number=$(record number)
	dir=$mnt/backup
	[ "$kind" != incremental ] ||
		dir=$mnt/incremental/$(printf %06d "$number")
}

# The sums of pages.
look_kept() {
	[ ! -e "${state:?}/pages" ] || (cd "$state/pages" &&
		find . -type f -exec xxhsum -H2 {} + 2>/dev/null | sort)
}
check_now() {
	local bytes last
	[ ! "$base" ] || [ "$(grep -c "/$base/" "$tmp/now.kept")" = 2 ] ||
		fail "$what: what the next one builds on is not there"
	if [ "$base" ] && [ "$base" = "$old_base" ]; then
		diff <(grep "/$base/" "$tmp/old.kept") \
			<(grep "/$base/" "$tmp/now.kept") ||
			fail "$what: what the next one builds on has changed"
	fi
	if [ "$what" = between ]; then
		# Those of the last good session, too: it may be the next base.
		last=$(awk -F'|' '$4 ~ /^CO/ {id = $2} END {print id}' \
			"$tmp/now.rows")
		diff <(grep -E "/($base|$last)/" "$tmp/old.kept") \
			"$tmp/now.kept" || fail "truncate keeps other sums"
	fi
	[ "$(quiet_wal)" = "$wal" ] || fail "$what: an application's log began anew"
	bytes=$(stat -c %s "$src/quiet.db-wal")
	[ "$bytes" -ge "$wal_bytes" ] || fail "$what: an application's log shrank"
	wal_bytes=$bytes
	[ "$(awk -F'|' '$6 != ""' "$tmp/now.rows")" = '' ] ||
		fail "$what: a range of logs"
}

prove() {
	local got
	rm -rf "$tmp/out"
	ctl 0 restore --create "${chain_sets[@]}" "$tmp/out"
	got=$(sqlite3 "file:$tmp/out/app.db?immutable=1" "PRAGMA integrity_check;
		SELECT count(*), max(n) FROM seq" | tr '|\n' '  ')
	read -r sound n max <<<"$got"
	[ "$sound" = ok ] && [ "$n" = "$max" ] || fail "$what: app.db is $got"
	[ "$n" -ge "$was_acked" ] && [ "$n" -le "$is_begun" ] ||
		fail "$what: $n is not in $was_acked .. $is_begun"
	got=$(sqlite3 "file:$tmp/out/quiet.db?immutable=1" \
		"PRAGMA integrity_check; SELECT count(*) FROM t" | tr '\n' ' ')
	[ "$got" = "ok $was_quiet " ] ||
		fail "$what: quiet.db is $got, not $was_quiet"
	proofs=$((proofs + 1))
}

# ---- all of it -----------------------------------------------------------------

look "$tmp/old"
for ((i = 0; i < endings; i++)); do
	one_of commit truncate truncate elsewhere trial abort umount lazy force \
		term kill kill_commit kill_commit full_commit full kill_freeze \
		full_freeze
	write_quiet
done
last_chain
touch "$tmp/enough"
wait "$storm_pid" && wait "$load_pid" || fail "the load: $(cat "$tmp/log.storm")"
close_app
grep . "$tmp/log.storm" && fail "the load met an error"
# So many of them meet everything, or this is no test of it.
if [ "$endings" -ge 500 ]; then
	summary 'commit COMMITTED' 'truncate COMMITTED' 'kill ABORTED(crash)' \
		'kill_commit ABORTED(crash)' 'kill_commit COMMITTED' \
		'kill_freeze ABORTED(crash)' 'umount COPIED' 'lazy COPIED' \
		'term COPIED' 'later COPIED' 'later ABORTED' between
else
	summary
fi
ok "$endings endings: $committed committed, $proofs chains restored"
