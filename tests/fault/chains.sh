#!/bin/bash
# SPDX-License-Identifier: MIT
# Chains, in which the n-th call of a kind fails, as sweep.sh has it for single
# sets: a backup that adds a link, the restore of a chain, its verification, a
# truncation, and a catalog of an older format that is brought forward. Whatever
# fails: the chain is whole, what is committed stays so, an increment is never made
# of what is not known, and the next one works or says what must be done.
#
#	STRIDE         how far apart the n are, at most (make soak: 1)
#	STRIDE_ALLOC   of allocations, which are many (make soak: 20)
#	ONLY           which of them: link, chain, verify, truncate, old
#	SEED           of their choice
. "$(dirname "$0")/../lib/mount.sh"

: "${FAULTY:?}"
stride=${STRIDE:-24}
stride_alloc=${STRIDE_ALLOC:-500}
RANDOM=${SEED:-$$}
seed=$RANDOM
RANDOM=$seed
echo "seed $seed"
EIO=5 ENOMEM=12 ENOSPC=28 EMFILE=24

sql() { sqlite3 "$src/$1" "$2" >/dev/null || fail "sqlite3 $1: $2"; }
sets=$tmp/sets
mkdir "$sets" "$src/sub"
make_db "$src/a.db" 4096 100
make_db "$src/sub/b.db" 512 60
ctl 0 backup --state="$state" --chain "$src" "$sets"
sql a.db "UPDATE t SET b = 1 WHERE a % 3 = 0"
ctl 0 backup --state="$state" -i "$src" "$sets"
mkdir "$tmp/at"
cp -a "$sets" "$state" "$tmp/at"
sql sub/b.db "DELETE FROM t WHERE a > 30"
make_db "$src/c.db" 4096 10
links() { (cd "$sets/incremental" && echo *); }
dumps() {
	local db
	(cd "$1" && find . -name '*.db' | sort) | while read -r db; do
		echo "$db"
		sqlite3 "file:$1/$db${2:-}" .dump
	done
}
dumps "$src" >"$tmp/source"
ctl 0 restore --create "$tmp/at/sets" "$tmp/back"
dumps "$tmp/back" '?immutable=1' >"$tmp/chain"
rm -r "$tmp/back"
return_all() {
	rm -rf "$sets" "$state"
	cp -a "$tmp/at/." "$tmp"
}

# run FAULT VERB...: sets status, and fired.
run() {
	rm -f "$tmp/fired"
	STILL_FAULT=$1 STILL_FAULT_FIRED=$tmp/fired timeout -k 5 60 \
		"$FAULTY" "${@:2}" >"$tmp/log.out" 2>"$tmp/log.err"
	status=$?
	fired=
	[ ! -e "$tmp/fired" ] || fired=1
	case $status in
	0 | 1 | 3 | 4 | 5 | 6) ;;
	*) fail "$*: exit $status" ;;
	esac
	! grep -qE 'Sanitizer|runtime error|[Aa]ssertion' "$tmp/log.err" ||
		fail "$*: bad words"
	[ $status = 0 ] || [ -s "$tmp/log.err" ] || [ -s "$tmp/log.out" ] ||
		fail "$*: exit $status without a word"
}

# next WHAT: the next incremental backup works, or says what must be done.
full=0
next() {
	if ! "$STILLCTL" backup --quiet -i --state="$state" "$src" "$sets" \
		>"$tmp/log.next" 2>&1; then
		grep -qi 'full backup' "$tmp/log.next" ||
			fail "$1: the next one: $(cat "$tmp/log.next")"
		full=$((full + 1))
		ctl 0 backup --quiet --state="$state" "$src" "$sets"
	fi
	ctl 0 verify --quick "$sets"
	[ -z "$(find "$sets" -mindepth 1 -maxdepth 1 ! -name full \
		! -name incremental)" ] || fail "$1: it leaves $(ls -A "$sets")"
	ctl 0 restore --quiet --create "$sets" "$tmp/back"
	dumps "$tmp/back" '?immutable=1' | cmp -s - "$tmp/source" ||
		fail "$1: something else is restored"
	rm -r "$tmp/back"
}

link_run() { run "$1" backup --quiet -i --state="$state" "$src" "$sets"; }
link_judge() {
	[ "$status" != 5 ] || fail "$1: an intact source is called damaged"
	"$STILLCTL" verify --quick --quiet "$sets" >"$tmp/log.out" 2>&1 ||
		fail "$1: exit $status, and the chain is not whole: $(cat "$tmp/log.out")"
	if [ "$status" = 0 ] || [ "$status" = 3 ]; then
		[ "$(links)" = '000002 000003' ] || fail "$1: no link: $(links)"
		recorded COMMITTED
	elif [ "$(links)" != 000002 ] && ! grep -q 'stored' "$tmp/log.err"; then
		fail "$1: exit $status, and links: $(links)"
	fi
	next "$1"
}
link_reset() { return_all; }

chain_run() { run "$1" restore --quiet --create "$tmp/at/sets" "$tmp/back"; }
chain_judge() {
	[ "$status" != 5 ] || fail "$1: an intact chain is called damaged: $(cat "$tmp/log.err")"
	if [ "$status" = 0 ]; then
		dumps "$tmp/back" '?immutable=1' | cmp -s - "$tmp/chain" ||
			fail "$1: exit 0, and it is not whole"
	elif [ -e "$tmp/back" ]; then
		fail "$1: exit $status, and something is there: $(ls -A "$tmp/back")"
	fi
}
chain_reset() { rm -rf "$tmp/back"; }

verify_run() { run "$1" verify "$sets"; }
verify_judge() {
	[ "$status" != 0 ] || grep -q '^sets:  *2, a full one' "$tmp/log.out" ||
		fail "$1: exit 0, and links were left out"
	! grep -qE 'is not what|builds on session|is no backup' \
		"$tmp/log.err" "$tmp/log.out" || [ "$status" = 5 ] ||
		fail "$1: an intact chain is called damaged"
	! grep -q 'content is not what' "$tmp/log.err" "$tmp/log.out" ||
		fail "$1: an intact file is called damaged"
}
verify_reset() { :; }

truncate_run() { run "$1" truncate --state="$state" "$src"; }
truncate_judge() { next "$1"; }
truncate_reset() { return_all; }

# A catalog of the first format, with what this one knows: what came with chains is
# taken out of it.
make_old() {
	sqlite3 "$state/catalog.db" "
		ALTER TABLE session DROP COLUMN seal_xxh128;
		ALTER TABLE session DROP COLUMN base;
		ALTER TABLE session DROP COLUMN chain;
		ALTER TABLE session DROP COLUMN link;
		ALTER TABLE session DROP COLUMN note;
		ALTER TABLE session DROP COLUMN forced;
		ALTER TABLE session DROP COLUMN truncated;
		ALTER TABLE session DROP COLUMN truncated_range;
		PRAGMA user_version=1" || fail "no old catalog"
}
format() { sqlite3 "$state/catalog.db" 'PRAGMA user_version'; }
sessions() { sqlite3 "$state/catalog.db" "SELECT id, number, kind, outcome_text,
	frozen_at_ns, databases_json FROM session ORDER BY seq"; }
old_run() { run "$1" list --all --json --state="$state"; }
old_judge() {
	case $(format) in
	1) [ "$status" != 0 ] || fail "$1: it reads an old catalog as a new one" ;;
	2) ;;
	*) fail "$1: a format of its own" ;;
	esac
	[ "$(sqlite3 "$state/catalog.db" 'PRAGMA integrity_check')" = ok ] ||
		fail "$1: the catalog is damaged"
	sessions | cmp -s - "$tmp/sessions" || fail "$1: other sessions"
	ctl 0 list --all --state "$state"
	[ "$(format)" = 2 ] || fail "$1: it stays old"
}
old_reset() { rm -rf "$state"; cp -a "$tmp/old" "$state"; }

# sweep VERB KIND HOW...
sweep() {
	local verb=$1 kind=$2 how n total=0 step=$stride
	[ "$2" != alloc ] || step=$stride_alloc
	shift 2
	for how; do
		n=1
		while :; do
			"${verb}_reset"
			"${verb}_run" "$kind:$n:$how"
			[ -n "$fired" ] || break
			"${verb}_judge" "$verb with $kind:$n:$how"
			total=$((total + 1))
			n=$((n + 1 + RANDOM % step))
		done
		[ "$status" = 0 ] || fail "$verb, in which nothing failed: exit $status"
	done
	count[$verb]=$((${count[$verb]:-0} + total))
}

declare -A count
only=${ONLY:-link chain verify truncate old}
for verb in $only; do
	if [ "$verb" = old ]; then
		return_all
		make_old
		cp -a "$state" "$tmp/old"
		sessions >"$tmp/sessions"
	fi
	sweep "$verb" open $EIO $EMFILE+
	sweep "$verb" list $EIO+
	sweep "$verb" read $EIO $EIO+ short
	sweep "$verb" alloc $ENOMEM $ENOMEM+
	sweep "$verb" meta $EIO $EIO+
	case $verb in
	link | chain)
		sweep "$verb" thread 11+
		sweep "$verb" write $EIO $ENOSPC+ short
		sweep "$verb" sync $EIO $EIO+
		sweep "$verb" name $EIO $ENOSPC+
		;;
	esac
	"${verb}_reset"
	ok "$verb: ${count[$verb]} failing calls"
done
echo "# a full backup had to be made $full times"

# The old one knows sessions, and nothing that could be built on.
return_all
make_old
ctl 1 backup -i --state="$state" "$src" "$sets"
ctl_complains 'full backup'
[ "$(links)" = 000002 ] || fail "links: $(links)"
ctl 0 backup --state="$state" "$src" "$sets"
ctl 0 backup -i --state="$state" "$src" "$sets"
next "with a catalog that was old"
ok "a catalog of the first format is brought forward"
return_all
sqlite3 "$state/catalog.db" 'PRAGMA user_version=3'
for verb in "backup -i" backup; do
	# shellcheck disable=SC2086
	ctl 1 $verb --state="$state" "$src" "$sets"
	ctl_complains "catalog \`$state/catalog.db\`: was written by a newer stillfs (format 3)" \
		'Use that version'
done
ctl 1 list --all --state="$state"
ctl_complains 'was written by a newer stillfs (format 3)'
[ "$(format) $(links)" = '3 000002' ] || fail "it was changed"
ok "one of a newer stillfs is refused, and left as it is"
