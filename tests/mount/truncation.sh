#!/bin/bash
# SPDX-License-Identifier: MIT
# Random sessions of a live source, each with a random ending: by every verdict, by
# every way to unmount, by signals, by SIGKILL in its freeze, in its copy and in its
# commit, and with a state directory that is full. A model says what the catalog
# may say then, and what must be kept: only a commit that asks for it truncates, and
# what the last committed session keeps for the next one is there to the bit, until
# another is committed. Chains of what was committed are restored.
#
#	ENDINGS   how many (make soak: 1000)
#	SEED      of all that is random
. "$(dirname "$0")/../lib/mount.sh"

endings=${ENDINGS:-60}
seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $endings endings"

sets=$tmp/sets
mkdir "$sets" "$state"
# That can be full.
mount -t tmpfs -o size=24m,mode=700 none "$state" || fail tmpfs
filler=$state/filler

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
mkfifo "$tmp/storm.in"
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
quiet_wal() { od -An -v -tx1 -N 32 "$src/quiet.db-wal"; }
app "INSERT INTO t(b) VALUES('x');"
quiet=$((quiet + 1))
wal=$(quiet_wal)
wal_bytes=0

# ---- what is kept --------------------------------------------------------------

# A line for each session: NUMBER|ID|KIND|OUTCOME|TRUNCATED|RANGE|ELSEWHERE|BASE|
# CHAIN|LINK|FORCED, the newest last; and one for each file of sums.
look() {
	[ -e "$state/catalog.db" ] || { : >"$1.rows"; : >"$1.sums"; return; }
	"$STILLCTL" list --all --limit 200 --json --state "$state" \
		>"$tmp/list.json" 2>"$tmp/list.err" ||
		fail "list: $(cat "$tmp/list.err")"
	sqlite3 :memory: "SELECT value->>'number', value->>'id', value->>'kind',
		coalesce(value->>'outcome', value->>'state'),
		value->>'truncated', coalesce(value->>'truncated_range', ''),
		value->>'truncated_elsewhere', coalesce(value->>'base', ''),
		coalesce(value->>'chain', ''), value->>'link',
		value->>'forced'
		FROM json_each(CAST(readfile('$tmp/list.json') AS TEXT))
		ORDER BY 1" >"$1.rows" || fail "the list is no JSON"
	(cd "$state/pages" 2>/dev/null && find . -type f -exec xxhsum -H2 {} + |
		sort) >"$1.sums" 2>/dev/null
}
field() { cut -d'|' -f"$1" <<<"$row"; }
row_of() { grep -F "|$1|" "$tmp/now.rows" | grep "^[0-9]*|$1|"; }

base='' chain='' link=0 # of the model
chain_sets=() whole_chain=
sid='' number='' kind='' copied='' asked=none told=

# ---- a session -----------------------------------------------------------------

# begin: what `kind` says. Sets sid, number and dir.
begin() {
	local how=()
	was_acked=$(acked) was_quiet=$quiet
	case $kind in
	copy) how=(--copy) ;;
	incremental) how=(--incremental) ;;
	esac
	if [ "$kind" = copy ] || [ $((RANDOM % 2)) = 0 ]; then
		ctl 0 begin "${how[@]}" "$mnt"
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
# come_by none|part|whole
come_by() {
	copied=
	case $1 in
	part) cat "$dir/backup.json" >/dev/null || fail "backup.json" ;;
	whole)
		cp -r "$dir" "$sets/$number" || fail "cp: $(cat "$mnt/status")"
		copied=$sets/$number
		;;
	esac
}

fill() { dd if=/dev/zero of="$filler" bs=4096 status=none 2>/dev/null; }
empty() { rm -f "$filler"; }

# A random part of a time in us.
nap() {
	local us=$(((RANDOM * 32768 + RANDOM) % $1))
	sleep "$(printf '0.%06d' $us)"
}
die() {
	kill -9 "$fs_pid" 2>/dev/null
	wait "$fs_pid" 2>/dev/null
	fs_pid=
	check_log
}

# ---- its endings ---------------------------------------------------------------
# Each sets `may`, an expression for the outcome; `asked`: none, commit, truncate
# or elsewhere; and `told`: yes where stillctl said that it is so.

by_coverage() {
	may='COPIED|ABORTED\((unread|partial: .*)\)'
	[ ! "$copied" ] || may=COPIED
}
commits() {
	asked=$1 told=yes may=COMMITTED
}

end_commit() {
	ctl 0 commit "$mnt"
	ctl_says "$sid COMMITTED"
	commits commit
}
end_truncate() {
	local start
	start=$(date +%s%N)
	ctl 0 commit --truncate "$mnt"
	commit_us=$((($(date +%s%N) - start) / 1000))
	ctl_says "$sid COMMITTED" released
	commits truncate
}
end_elsewhere() {
	ctl 0 commit --truncated-elsewhere "$mnt"
	ctl_says "$sid COMMITTED"
	commits elsewhere
}
end_trial() {
	look "$tmp/before"
	ctl 0 commit --truncate --dry-run "$mnt"
	ctl_says "would release"
	look "$tmp/after"
	cmp -s "$tmp/before.rows" "$tmp/after.rows" &&
		cmp -s "$tmp/before.sums" "$tmp/after.sums" ||
		fail "a trial has changed something"
	end_umount
}
end_abort() {
	ctl 0 abort "$mnt"
	may='ABORTED\(by caller\)'
}
end_umount() {
	umount "$mnt" || fail umount
	wait_fs
	by_coverage
}
end_lazy() {
	umount -l "$mnt" || fail "umount -l"
	wait_fs
	by_coverage
}
end_force() {
	umount -f "$mnt" 2>/dev/null
	wait_fs
	by_coverage
	may="$may|ABORTED\\(forced\\)"
}
end_term() {
	kill -TERM "$fs_pid"
	wait_fs
	by_coverage
}
end_kill() {
	local reader
	cp -r "$dir" "$tmp/torn" 2>/dev/null &
	reader=$!
	nap 30000
	die
	wait $reader
	rm -rf "$tmp/torn"
	may='ABORTED\(crash\)'
}
end_kill_commit() {
	local status
	timeout 30 "$STILLCTL" commit --truncate "$mnt" >"$tmp/ctl.out" \
		2>"$tmp/ctl.err" &
	reader=$!
	nap $((commit_us * 5 / 4 / (1 + RANDOM % 3) + 1000))
	die
	wait $reader
	status=$?
	asked=truncate
	case $status in
	0) told=yes may=COMMITTED ;;
	3) may=COMMITTED ;;
	*) may='ABORTED\(crash\)' ;;
	esac
}
# Nothing can be recorded, and so nothing is committed; or it had room left.
end_full_commit() {
	fill
	timeout 30 "$STILLCTL" commit --truncate "$mnt" >"$tmp/ctl.out" \
		2>"$tmp/ctl.err"
	case $? in
	0) commits truncate ;;
	1)
		grep -qF "stillctl: " "$tmp/ctl.err" || fail "no reason"
		look "$tmp/before"
		cmp -s "$tmp/before.sums" "$tmp/old.sums" ||
			grep -q "$base" "$tmp/before.sums" || [ ! "$base" ] ||
			fail "a failed commit has released something"
		if [ $((RANDOM % 2)) = 0 ]; then
			empty
			end_truncate
		else
			umount "$mnt" || fail umount
			wait_fs
			by_coverage
			may="$may|ABORTED\\((crash|not recorded)\\)"
		fi
		;;
	*) fail "full: $(cat "$tmp/ctl.err")" ;;
	esac
	empty
}
end_full() {
	fill
	umount "$mnt" || fail umount
	wait_fs
	empty
	by_coverage
	may="$may|ABORTED\\((crash|not recorded)\\)"
}

# Those in which there is no session yet.
end_kill_freeze() {
	local reader
	case $kind in
	incremental) ls "$mnt/incremental" >/dev/null 2>&1 & ;;
	*) ls "$mnt/backup" >/dev/null 2>&1 & ;;
	esac
	reader=$!
	nap 25000
	die
	wait $reader
	may='|ABORTED\(crash\)'
}
end_full_freeze() {
	fill
	if ls "$mnt/backup" >/dev/null 2>&1; then
		may='COPIED|ABORTED\((unread|crash|not recorded)\)'
	else
		may='|ABORTED\((not frozen|crash)\)'
	fi
	umount "$mnt" || fail umount
	wait_fs
	empty
}

# ---- what must hold ------------------------------------------------------------

# The newest of the records, if it is not what the model knows.
newest() {
	sid=$(tail -n 1 "$tmp/now.rows" | cut -d'|' -f2)
	[ "$sid" != "$(tail -n 1 "$tmp/old.rows" | cut -d'|' -f2)" ] || sid=
}

# All others, but what was truncated for the sake of BASE.
others() {
	local from
	from=$(($(tail -n 1 "$tmp/now.rows" | cut -d'|' -f1) - 190))
	awk -F'|' -v OFS='|' -v id="$sid" -v from=$from -v base="${2:-}" '
		$2 == base {$5 = ""}
		$1 > from && $2 != id' "$1"
}
same_others() {
	others "$tmp/old.rows" "${1:-}" >"$tmp/old.others"
	others "$tmp/now.rows" "${1:-}" >"$tmp/now.others"
	diff "$tmp/old.others" "$tmp/now.others" ||
		fail "$what: other records are not what they were"
}

check_row() {
	row=$(row_of "$sid")
	outcome=$(field 4)
	[[ $outcome =~ ^($may)$ ]] || fail "$what: it is $outcome, not $may"
	[ "$(field 6)" = '' ] || fail "$what: a range of logs: $(field 6)"
	[ "$(field 11)" = 0 ] || fail "$what: forced"
	case $outcome$asked in
	COMMITTEDnone) fail "$what: nobody has committed it" ;;
	COMMITTEDtruncate)
		[ "$told" != yes ] || [ "$kind" = copy ] ||
			[ "$(field 5)" = 1 ] ||
			fail "$what: told to be truncated, and is not"
		;;
	*) [ "$(field 5)" = 0 ] || fail "$what: truncated: nobody has asked" ;;
	esac
	[ "$(field 7)" = "$([ "$outcome$asked" = COMMITTEDelsewhere ] && echo 1 ||
		echo 0)" ] || fail "$what: truncated elsewhere: $(field 7)"
	[ "$(field 3)" != incremental ] || [ "$(field 8)" = "$base" ] ||
		fail "$what: builds on $(field 8), not $base"
}

# One end, and no truncation that nobody asked for.
check_log_of() {
	local n
	[ "$fs_pid" ] || [ -s "$log" ] || fail "no log"
	n=$(grep -c " session-end session=$sid " "$log")
	case $outcome in
	'ABORTED(crash)')
		[ "$n" = 0 ] || grep -q " catalog-failed session=$sid " "$log" ||
			fail "$what: an end was told"
		;;
	*) [ "$n" = 1 ] || [[ $what == kill* ]] || fail "$what: $n ends told" ;;
	esac
	n=$(grep -c " truncated session=$sid " "$log")
	[ "$n" = 0 ] || [ "$n$asked" = 1truncate ] ||
		fail "$what: $n truncations told, asked: $asked"
}

check_kept() {
	look "$tmp/now"
	[ "$sid" ] || newest
	# Nothing builds on a copy: what goes then the last base does not need.
	case $kind$asked in
	copytruncate) same_others "$base" ;;
	*) same_others ;;
	esac
	outcome=
	if [ "$sid" ]; then
		check_row
		check_log_of
	else
		[[ '' =~ ^($may)$ ]] || fail "$what: there is no record"
	fi
	if [ "$outcome" = COMMITTED ] && [ "$(field 3)" != copy ]; then
		base=$sid
		[ "$(grep -c "/$base/" "$tmp/now.sums")" = 2 ] ||
			fail "$what: what the next one builds on is not there"
	elif [ "$base" ]; then
		diff <(grep "/$base/" "$tmp/old.sums") \
			<(grep "/$base/" "$tmp/now.sums") ||
			fail "$what: what the next one builds on has changed"
	fi
	[ "$(quiet_wal)" = "$wal" ] || fail "$what: an application's log began anew"
	local bytes
	bytes=$(stat -c %s "$src/quiet.db-wal")
	[ "$bytes" -ge $wal_bytes ] || fail "$what: an application's log shrank"
	wal_bytes=$bytes
	mv "$tmp/now.rows" "$tmp/old.rows"
	mv "$tmp/now.sums" "$tmp/old.sums"
}

# What was committed is a chain that can be restored to its last link.
prove() {
	local got
	rm -rf "$tmp/out"
	ctl 0 restore --create "${chain_sets[@]}" "$tmp/out"
	got=$(sqlite3 "file:$tmp/out/app.db?immutable=1" "PRAGMA integrity_check;
		SELECT count(*), max(n) FROM seq" | tr '\n' ' ')
	set -- ${got//|/ }
	[ "$1" = ok ] && [ "$2" = "$3" ] || fail "$what: app.db is $got"
	[ "$3" -ge "$was_acked" ] && [ "$3" -le "$is_begun" ] ||
		fail "$what: $3 is not in $was_acked .. $is_begun"
	got=$(sqlite3 "file:$tmp/out/quiet.db?immutable=1" \
		"PRAGMA integrity_check; SELECT count(*) FROM t" | tr '\n' ' ')
	[ "$got" = "ok $was_quiet " ] || fail "$what: quiet.db is $got, not $was_quiet"
	proofs=$((proofs + 1))
}

# The chain that the model goes on with.
go_on() {
	[ "$outcome" = COMMITTED ] || { rm -rf "${copied:-$tmp/none}"; return; }
	committed=$((committed + 1))
	case $kind in
	copy) rm -rf "${copied:-$tmp/none}"; return ;;
	full)
		rm -rf ${chain_sets[@]+"${chain_sets[@]}"}
		chain_sets=() link=0
		whole_chain=$copied
		;;
	incremental)
		link=$((link + 1))
		[ "$copied" ] || whole_chain=
		;;
	esac
	[ ! "$copied" ] || chain_sets+=("$copied")
	[ ! "$whole_chain" ] || prove
}

# A copy may be committed when the mount is gone; what is none may not.
commit_later() {
	local how=() was=$outcome
	[ ! "$fs_pid" ] && [ "$sid" ] && [ $((RANDOM % 3)) = 0 ] || return
	what="$what, committed later"
	if [ "$was" = COPIED ]; then
		asked=commit may=COMMITTED told=yes
		[ $((RANDOM % 2)) = 0 ] || { asked=truncate how=(--truncate); }
		ctl 0 commit --state "$state" "${how[@]}" "$src"
		: >"$log.later"
	elif [ "$was" != COMMITTED ]; then
		ctl 1 commit --state "$state" --truncate "$src"
		may='ABORTED.*' asked=none
	else
		return
	fi
	check_kept
	count[later $was]=$((${count[later $was]:-0} + 1))
}

# `stillctl truncate` without a session.
between() {
	[ $((RANDOM % 12)) = 0 ] || return
	if [ ! "$base" ]; then
		ctl 1 truncate --state "$state" "$src"
		ctl_complains "no session of it is committed"
		return
	fi
	what=between
	ctl 0 truncate --state "$state" "$src"
	look "$tmp/now"
	sid=
	same_others "$base"
	# Of the last good session, too: it might have been committed.
	last=$(awk -F'|' '$4 ~ /^CO/ {id = $2} END {print id}' "$tmp/now.rows")
	diff <(grep -E "/($base|$last)/" "$tmp/old.sums") "$tmp/now.sums" ||
		fail "truncate keeps something else than what is needed"
	mv "$tmp/now.rows" "$tmp/old.rows"
	mv "$tmp/now.sums" "$tmp/old.sums"
	count[between]=$((${count[between]:-0} + 1))
}

# ---- all of it -----------------------------------------------------------------

ends=(commit truncate truncate elsewhere trial abort umount lazy force term kill
	kill_commit kill_commit full_commit full kill_freeze full_freeze)
declare -A count=()
proofs=0 committed=0 commit_us=50000
look "$tmp/old"
for ((i = 0; i < endings; i++)); do
	case $((RANDOM % 10)) in
	0) kind=copy ;;
	[1-3]) kind=full ;;
	*) kind=incremental ;;
	esac
	[ $link -lt 6 ] || [ $kind != incremental ] || kind=full
	[ "$base" ] || kind=full
	between
	end=${ends[RANDOM % ${#ends[@]}]}
	what="$end of $kind"
	asked=none told='' may='' sid='' copied=''
	[ "$fs_pid" ] || start_fs "$src" -o incremental
	case $end in
	kill_freeze | full_freeze) ;;
	*)
		begin
		case $end-$((RANDOM % 4)) in
		*-0) come_by none ;;
		commit-* | truncate-* | *_commit-* | elsewhere-* | *-1)
			come_by whole ;;
		*-2) come_by part ;;
		*) come_by whole ;;
		esac
		;;
	esac
	"end_$end"
	check_kept
	count[$end ${outcome:-no session}]=$((${count[$end \
		${outcome:-no session}]:-0} + 1))
	commit_later
	go_on
	app "INSERT INTO t(b) VALUES('$i');"
	quiet=$((quiet + 1))
	# A mount has several sessions, but not all of them.
	if [ "$fs_pid" ] && [ $((RANDOM % 4)) = 0 ]; then
		umount "$mnt" || fail umount
		wait_fs
	fi
done
[ ! "$fs_pid" ] || { umount "$mnt" && wait_fs; }
touch "$tmp/enough"
wait "$storm_pid" && wait "$load_pid" || fail "the load: $(cat "$tmp/log.storm")"
close_app
grep . "$tmp/log.storm" && fail "the load met an error"
for what in "${!count[@]}"; do
	echo "# $what: ${count[$what]}"
done | sort
# So many of them meet everything, or this is no test of it.
if [ "$endings" -ge 500 ]; then
	for what in 'commit COMMITTED' 'truncate COMMITTED' 'abort ABORTED(by caller)' \
		'kill ABORTED(crash)' 'kill_commit ABORTED(crash)' \
		'kill_commit COMMITTED' 'kill_freeze ABORTED(crash)' \
		'kill_freeze no session' 'umount COPIED' 'lazy COPIED' \
		'term COPIED' 'later COPIED' 'between'; do
		[ "${count[$what]:-}" ] || fail "not met: $what"
	done
fi
[ $proofs -gt 0 ] || fail "nothing was restored"
ok "$endings endings: $committed committed, $proofs chains restored"
