# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154
# Sessions with random endings, and a model of what may be on record then and of
# what must be kept. To be sourced behind mount.sh, by a test that says of its
# engine:
#
#	source          what is mounted
#	begin           begins a session of $kind; sets sid, number and dir
#	look_kept       prints what is kept besides the records
#	check_now       compares that in $tmp/old.kept with that in $tmp/now.kept
#	prove           restores the sets in chain_sets, and looks at what it gets
#
# The state directory is a small file system of its own, which can be full.

sets=$tmp/sets
mkdir "$sets" "$state"
mount -t tmpfs -o size=24m,mode=700 none "$state" || fail tmpfs
filler=$state/filler
fill() { dd if=/dev/zero of="$filler" bs=4096 status=none 2>/dev/null; }
empty() { rm -f "$filler"; }

base=''                 # the last session that is committed and no copy
chain_sets=()           # what was copied of its chain
whole_chain=''          # if that is all of it
link=0                  # how long it is
committed=0 proofs=0
commit_us=50000         # that a commit took
declare -A count=()

# ---- what is kept --------------------------------------------------------------

# A line for each session, the newest last: NUMBER|ID|KIND|OUTCOME|TRUNCATED|
# RANGE|ELSEWHERE|BASE|FORCED
look() {
	: >"$1.rows"
	if [ -e "$state/catalog.db" ]; then
		"$STILLCTL" list --all --limit 200 --json --state "$state" \
			>"$tmp/list.json" 2>"$tmp/list.err" ||
			fail "list: $(cat "$tmp/list.err")"
		sqlite3 :memory: "SELECT value->>'number', value->>'id',
			value->>'kind',
			coalesce(value->>'outcome', value->>'state'),
			value->>'truncated', value->>'truncated_range',
			value->>'truncated_elsewhere', value->>'base',
			value->>'forced'
			FROM json_each(CAST(readfile('$tmp/list.json') AS TEXT))
			ORDER BY 1" >"$1.rows" || fail "the list is no JSON"
	fi
	look_kept >"$1.kept"
}
keep_look() {
	mv "$tmp/now.rows" "$tmp/old.rows"
	mv "$tmp/now.kept" "$tmp/old.kept"
}
field() { cut -d'|' -f"$1" <<<"$row"; }

# ---- a session -----------------------------------------------------------------

# come_by none|part|whole: what is read of it.
come_by() {
	copied=
	case $1 in
	part) cat "$dir/backup.json" >/dev/null || fail "backup.json" ;;
	whole)
		cp -a "$dir" "$sets/$number" || fail "cp: $(cat "$mnt/status")"
		copied=$sets/$number
		;;
	esac
}

# nap US: a random part of so many microseconds.
nap() { sleep "$(printf '0.%06d' $(((RANDOM * 32768 + RANDOM) % $1)))"; }
die() {
	kill -9 "$fs_pid" 2>/dev/null
	wait "$fs_pid" 2>/dev/null
	fs_pid=
	check_log
}

# ---- its endings ---------------------------------------------------------------
# Each sets `may`, an expression for the outcome; `asked`: none, commit, truncate
# or elsewhere; and `told`: yes where stillctl said that all that was asked is done.

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
	cmp "$tmp/before.rows" "$tmp/after.rows" ||
		fail "a trial has changed a record"
	cmp "$tmp/before.kept" "$tmp/after.kept" ||
		fail "a trial has released something"
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
	wait "$reader"
	rm -rf "$tmp/torn"
	may='ABORTED\(crash\)'
}
commit_beside() {
	timeout 60 "$STILLCTL" commit --truncate "$mnt" >"$tmp/ctl.out" \
		2>"$tmp/ctl.err" &
	committer=$!
}
# Its exit status is the truth, whatever it could ask.
commit_told() {
	local status
	wait "$committer"
	status=$?
	asked=truncate
	case $status in
	0) told=yes may=COMMITTED ;;
	3) may=COMMITTED ;;
	*) may='ABORTED\(crash\)' ;;
	esac
}
end_kill_commit() {
	commit_beside
	nap $((commit_us * 5 / 4 / (1 + RANDOM % 3) + 1000))
	die
	commit_told
}
# Nothing can be recorded, and so nothing is committed; or it had room left.
end_full_commit() {
	fill
	timeout 30 "$STILLCTL" commit --truncate "$mnt" >"$tmp/ctl.out" \
		2>"$tmp/ctl.err"
	case $? in
	0) commits truncate ;;
	1)
		ctl_complains "the disk is full"
		if [ $((RANDOM % 2)) = 0 ]; then
			empty
			end_truncate
		else
			umount "$mnt" || fail umount
			wait_fs
			may='COPIED|ABORTED\((unread|partial: .*|crash)\)'
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
	may="$may|ABORTED\\(crash\\)"
}
# Those in which there is no session yet.
begin_beside() {
	local name=backup
	[ "$kind" != incremental ] || name=incremental
	ls "$mnt/$name" >"$tmp/begin.out" 2>&1 &
	beginner=$!
}
end_kill_freeze() {
	begin_beside
	nap "${freeze_us:-25000}"
	die
	wait "$beginner"
	may='|ABORTED\(crash\)'
}
end_full_freeze() {
	fill
	if ls "$mnt/backup" >/dev/null 2>&1; then
		may='COPIED|ABORTED\((unread|crash)\)'
	else
		may='|ABORTED\((not frozen|crash)\)'
	fi
	umount "$mnt" || fail umount
	wait_fs
	empty
}

# ---- what must hold ------------------------------------------------------------

# All others, but whether anything was truncated for the sake of session $2.
others() {
	local from
	from=$(($(tail -n 1 "$tmp/now.rows" | cut -d'|' -f1) - 190))
	awk -F'|' -v OFS='|' -v id="$sid" -v from=$from -v base="${2:-}" '
		$2 == base {$5 = $6 = ""}
		$1 > from && $2 != id' "$1"
}
same_others() {
	others "$tmp/old.rows" "${1:-}" >"$tmp/old.others"
	others "$tmp/now.rows" "${1:-}" >"$tmp/now.others"
	diff "$tmp/old.others" "$tmp/now.others" ||
		fail "$what: other records are not what they were"
}

# The newest of the records, if the model does not know it.
newest() {
	sid=$(tail -n 1 "$tmp/now.rows" | cut -d'|' -f2)
	[ "$sid" != "$(tail -n 1 "$tmp/old.rows" | cut -d'|' -f2)" ] || sid=
}

check_row() {
	row=$(grep "^[0-9]*|$sid|" "$tmp/now.rows")
	outcome=$(field 4)
	[[ $outcome =~ ^($may)$ ]] || fail "$what: it is '$outcome', not $may"
	[ "$(field 9)" = 0 ] || fail "$what: forced"
	case $outcome$asked in
	COMMITTEDnone) fail "$what: nobody has committed it" ;;
	COMMITTEDtruncate)
		[ "$told" != yes ] || [ "$kind" = copy ] ||
			[ "$(field 5)" = 1 ] ||
			fail "$what: told to be truncated, and is not"
		;;
	*) [ "$(field 5)$(field 6)" = 0 ] || fail "$what: truncated: not asked" ;;
	esac
	[ "$(field 7)" = "$([ "$outcome$asked" = COMMITTEDelsewhere ] && echo 1 ||
		echo 0)" ] || fail "$what: truncated elsewhere: $(field 7)"
	[ "$(field 3)" != incremental ] || [ "$(field 8)" = "$base" ] ||
		fail "$what: it builds on '$(field 8)', not on $base"
}

# One end, and no truncation that nobody asked for.
check_told() {
	local n
	n=$(grep -c " session-end session=$sid " "$log")
	case $outcome in
	'ABORTED(crash)')
		[ "$n" = 0 ] || grep -q " catalog-failed session=$sid " "$log" ||
			fail "$what: an end was told"
		;;
	*) [ "$n" = 1 ] || [ "$n$died" = 0yes ] || fail "$what: $n ends were told" ;;
	esac
	n=$(grep -c " truncated session=$sid " "$log")
	[ "$n" = 0 ] || [ "$n$asked" = 1truncate ] ||
		fail "$what: $n truncations were told, and asked was $asked"
}

check_all() {
	look "$tmp/now"
	[ "$sid" ] || newest
	# Nothing builds on a copy: for the sake of the last base goes what goes.
	case $kind$asked in
	copytruncate) same_others "$base" ;;
	*) same_others ;;
	esac
	outcome=
	if [ "$sid" ]; then
		check_row
		check_told
	else
		[[ '' =~ ^($may)$ ]] || fail "$what: there is no record"
	fi
	old_base=$base
	[ "$outcome" != COMMITTED ] || [ "$kind" = copy ] || base=$sid
	check_now
	keep_look
}

# The chain that the next one goes on with.
go_on() {
	if [ "$outcome" != COMMITTED ] || [ "$kind" = copy ]; then
		[ "$outcome" != COMMITTED ] || committed=$((committed + 1))
		[ ! "$copied" ] || rm -rf "$copied"
		return
	fi
	committed=$((committed + 1))
	if [ "$kind" = full ]; then
		rm -rf ${chain_sets[@]+"${chain_sets[@]}"}
		chain_sets=() link=0
		whole_chain=$copied
	else
		link=$((link + 1))
		[ "$copied" ] || whole_chain=
	fi
	[ ! "$copied" ] || chain_sets+=("$copied")
	[ ! "$whole_chain" ] || prove
}

# A copy may be committed when the mount is gone; what is none may not.
commit_later() {
	local how=() was=$outcome
	[ ! "$fs_pid" ] && [ "$sid" ] && [ "$was" != COMMITTED ] &&
		[ $((RANDOM % 3)) = 0 ] || return
	what="$what, committed later"
	if [ "$was" = COPIED ]; then
		commits commit
		[ $((RANDOM % 2)) = 0 ] || { commits truncate; how=(--truncate); }
		ctl 0 commit --state "$state" "${how[@]}" "$source"
	else
		ctl 1 commit --state "$state" --truncate "$source"
		may='ABORTED.*' asked=none
	fi
	check_all
	add "later ${was%%(*}"
}

# `stillctl truncate` without a session.
between() {
	[ $((RANDOM % 12)) = 0 ] || return
	what=between sid='' kind='' asked=truncate told=yes
	if [ ! "$base" ]; then
		ctl 1 truncate --state "$state" "$source"
		if [ -e "$state/catalog.db" ]; then
			ctl_complains "no session of it is committed"
		else
			ctl_complains "No session was ever recorded there"
		fi
		return
	fi
	ctl 0 truncate --state "$state" "$source"
	look "$tmp/now"
	same_others "$base"
	old_base=$base
	check_now
	keep_look
	add between
}

add() { count[$1]=$((${count[$1]:-0} + 1)); }

fresh() {
	asked=none told='' may='' sid='' copied='' died=''
	[ "$fs_pid" ] || start_fs "$source" -o incremental
}

# last_chain: one that is restored, whatever has come about before.
last_chain() {
	for kind in full incremental; do
		what="the last $kind"
		fresh
		begin
		come_by whole
		end_truncate
		check_all
		go_on
	done
}

# one_of ENDING...: one session, and what becomes of it.
one_of() {
	case $((RANDOM % 10)) in
	0) kind=copy ;;
	[1-3]) kind=full ;;
	*) kind=incremental ;;
	esac
	[ $link -lt 6 ] || [ $kind != incremental ] || kind=full
	[ "$base" ] || kind=full
	local next=$kind end
	between
	kind=$next
	shift $((RANDOM % $#))
	end=$1 what="$1 of $kind"
	fresh
	[[ $end != *kill* ]] || died=yes
	case $end in
	*_freeze) ;;
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
	check_all
	outcome=${outcome%%: *}
	add "$end ${outcome:-no session}"
	commit_later
	go_on
	# A mount has several sessions, but not all of them.
	if [ "$fs_pid" ] && [ $((RANDOM % 4)) = 0 ]; then
		umount "$mnt" || fail umount
		wait_fs
	fi
}

# summary KEY...: what has come about; these have.
summary() {
	[ ! "$fs_pid" ] || { umount "$mnt" && wait_fs; } || fail umount
	for what in "${!count[@]}"; do
		echo "# $what: ${count[$what]}"
	done | sort
	for what; do
		[ "${count[$what]:-}" ] || fail "not met: $what"
	done
	[ $proofs -gt 0 ] || fail "nothing was restored"
}
