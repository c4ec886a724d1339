#!/bin/bash
# SPDX-License-Identifier: MIT
# Chains, and a backup that dies by SIGKILL before the n-th call of a kind, for
# each n (tests/fault/fault.c): one that adds a link, one that adds it behind
# links that were never committed, one that replaces a whole chain, and one that
# puts back what another that died has left. After each death the directory
# holds a chain that is whole, as it was before or with the new set, or says what
# its links are called; the catalog says what is so; the next incremental backup
# works, or says that a full one must be made, and that works; and what is
# restored then is the source.
#
#	STRIDE   how far apart the n are, at most (make soak: 1); of calls that
#	         make names durable fewer are left out, and none of those that
#	         give them
#	SEED     of their choice
. "$(dirname "$0")/../lib/mount.sh"

: "${FAULTY:?}"
stride=${STRIDE:-90}
RANDOM=${SEED:-$$}
seed=$RANDOM
RANDOM=$seed
echo "seed $seed"
kinds='open list read write sync name meta'

sql() { sqlite3 "$src/$1" "$2" >/dev/null || fail "sqlite3 $1: $2"; }
sets=$tmp/sets
mkdir "$src/sub" "$sets"
make_db "$src/a.db" 4096 60
make_db "$src/sub/b.db" 1024 40
# Whoever has it open keeps the log.
exec 9> >(exec sqlite3 "$src/a.db" >/dev/null 2>&1)
echo 'SELECT count(*) FROM t;' >&9

backup() {
	timeout -k 5 60 "$1" backup --quiet --state="$state" "${@:2}" \
		"$src" "$sets" >"$tmp/log.out" 2>"$tmp/log.err"
}
must() { backup "$STILLCTL" "$@" || fail "backup $*: $(cat "$tmp/log.err")"; }
# ids DIR: of the sessions of its chain, in their order.
ids() {
	local file
	for file in "$1"/full/backup.json "$1"/incremental/*/backup.json; do
		[ ! -e "$file" ] ||
			sed -n 's/^ *"session": "\([^"]*\)".*/\1/p' "$file" | head -n 1
	done | tr '\n' ' '
}
# dumps DIR [URI-OPTION]: what is in its databases.
dumps() {
	local db
	(cd "$1" && find . -name '*.db' | sort) | while read -r db; do
		echo "$db"
		sqlite3 "file:$1/$db${2:-}" .dump
	done
}

# ---- what there is -----------------------------------------------------------

# mark NAME: what stands in the directory and in the catalog; to NAME it returns.
mark() {
	rm -rf "${tmp:?}/at.$1"
	mkdir "$tmp/at.$1"
	cp -a "$sets" "$state" "$tmp/at.$1"
	chain_is_whole "$1"
	before=$ids
	newest=$(record id)
}
return_to() {
	rm -rf "$sets" "$state"
	cp -a "$tmp/at.$1/." "$tmp"
}
# die KIND N OPTION...: sets status, and fired.
die() {
	rm -f "$tmp/fired"
	# The shell tells of the dead, too.
	{
		STILL_FAULT=$1:$2:kill STILL_FAULT_FIRED=$tmp/fired \
			backup "$FAULTY" "${@:3}"
	} 2>/dev/null
	status=$?
	fired=
	[ ! -e "$tmp/fired" ] || fired=1
	[ "$status" = 137 ] || [ -z "$fired" ] || fail "$*: it lives on: $status"
}

# ---- what must be so ---------------------------------------------------------

# chain_is_whole WHAT: the chain is whole under its name. That its links wait to
# be put back is told, and so is what to do: it is done, and then it is. Sets ids.
waits=0 turns=0
chain_is_whole() {
	local status=0 dir=$sets waiting
	if [ ! -e "$sets/full" ]; then
		# Where two names cannot be exchanged (core/dest.h, rule 3).
		turns=$((turns + 1))
		mv "$sets"/.old-* "$sets/full" || fail "$1: the last set is gone"
		chain_is_whole "$1"
		mv "$sets/full" "$sets/.old-$(ids "$sets" | cut -d' ' -f1)"
		return
	fi
	"$STILLCTL" verify --quick "$sets" >"$tmp/log.out" 2>&1 || status=$?
	if [ $status = 4 ]; then
		waiting=$(cd "$sets" && echo .links-*)
		grep -qF "incremental sets are in \`$waiting\`" "$tmp/log.out" ||
			fail "$1: $(cat "$tmp/log.out")"
		grep -qF "move them into \`incremental\`" "$tmp/log.out" ||
			fail "$1: the way out: $(cat "$tmp/log.out")"
		waits=$((waits + 1))
		dir=$tmp/by-hand
		rm -rf "$dir"
		cp -a "$sets" "$dir"
		mkdir -p "$dir/incremental"
		[ -z "$(ls "$dir/$waiting")" ] ||
			mv "$dir/$waiting"/* "$dir/incremental"
		rmdir "$dir/$waiting"
		status=0
		"$STILLCTL" verify --quick "$dir" >"$tmp/log.out" 2>&1 || status=$?
	fi
	[ $status = 0 ] || fail "$1: verify: $status: $(cat "$tmp/log.out")"
	ids=$(ids "$dir")
}

# judge WHAT: it died.
judge() {
	local id said
	chain_is_whole "$1"
	id=$(record id)
	said=$(record outcome)
	[ "$id" != "$newest" ] || id=none
	case $ids in
	"$before" | "$committed" | "$committed${before:${#committed}:26}")
		word=old
		[ "$id" = none ] || [ "$said" = 'ABORTED(crash)' ] ||
			fail "$1: nothing is stored, and it is $said"
		;;
	"$committed$id " | "$id ")
		word=new
		[ "$said" = COMMITTED ] || [ "$said" = 'ABORTED(crash)' ] ||
			fail "$1: it is stored, and $said"
		;;
	*) fail "$1: a chain of $ids, and there was $before" ;;
	esac
	count[$word]=$((${count[$word]:-0} + 1))
	if ! backup "$STILLCTL" -i; then
		grep -q 'does not hold session .* on which this one builds' \
			"$tmp/log.err" ||
			fail "$1: the next one: $(cat "$tmp/log.err")"
		grep -q 'Make a full backup, which begins a new chain' \
			"$tmp/log.err" ||
			fail "$1: the way out: $(cat "$tmp/log.err")"
		[ "$ids $said" = "$id  ABORTED(crash)" ] ||
			fail "$1: there is a base: $(cat "$tmp/log.err")"
		count[anew]=$((${count[anew]:-0} + 1))
		must
	fi
	recorded COMMITTED
	[ -z "$(find "$sets" -mindepth 1 -maxdepth 1 ! -name full \
		! -name incremental)" ] || fail "$1: it leaves $(ls -A "$sets")"
	"$STILLCTL" verify "$sets" >"$tmp/log.out" 2>&1 ||
		fail "$1: the next one is not whole: $(cat "$tmp/log.out")"
	ctl 0 restore --quiet --create "$sets" "$tmp/back"
	dumps "$tmp/back" '?immutable=1' | cmp -s - "$tmp/source" ||
		fail "$1: something else is restored"
	rm -rf "$tmp/back"
}

# sweep MARK OPTION...: from what was marked so, for each kind and each n.
declare -A count
sweep() {
	local kind n step total=0
	count=()
	waits=0
	for kind in $kinds; do
		n=1
		step=$stride
		[ "$kind" != name ] || step=1
		[ "$kind" != sync ] || step=$(((stride + 5) / 6))
		while :; do
			return_to "$1"
			die "$kind" $n "${@:2}"
			[ -n "$fired" ] || break
			judge "$1, ${*:2}: dead at $kind $n"
			total=$((total + 1))
			n=$((n + 1 + RANDOM % step))
		done
		[ "$status" = 0 ] || fail "$1: lives, and ends with $status"
	done
	ok "$1: $total deaths, the new set stored at ${count[new]:-0}, a full" \
		"one to be made after ${count[anew]:-0}, $waits with links aside"
}

must
mark full
sql a.db "DELETE FROM t WHERE a % 7 = 0"
must -i
sql sub/b.db "INSERT INTO t(b) SELECT b FROM t"
must -i
sql a.db "UPDATE t SET b = 1 WHERE a < 20"
sql c.db "PRAGMA journal_mode=WAL; CREATE TABLE c(x); INSERT INTO c VALUES(1)"
dumps "$src" >"$tmp/source"
mark link
committed=$before
[ "$(wc -w <<<"$committed")" = 3 ] || fail "a chain of $committed"
sweep link -i

# Behind a link that died before it was committed.
n=0
until [ "$(wc -w <<<"$(ids "$sets")")" = 4 ] &&
	[ "$(record outcome)" = 'ABORTED(crash)' ]; do
	n=$((n + 1))
	return_to link
	die sync $n -i
	[ -n "$fired" ] || fail "a link is never stored and not committed"
done
mark uncommitted
sweep uncommitted -i

# Behind two, in a directory that is newer than the catalog.
return_to link
rm -rf "$state"
cp -a "$tmp/at.full/state" "$state"
mark newer
committed="${before%% *} "
sweep newer -i

# A full one takes the place of all.
return_to link
mark chain
committed=$before
sweep chain
[ "${count[new]:-0}" -gt 0 ] || fail "never dead behind the exchange"
# Dead when it has its place, and is not committed.
n=0
until [ "$(ids "$sets")" = "$(record id) " ] &&
	[ "$(record outcome)" = 'ABORTED(crash)' ]; do
	n=$((n + 1))
	return_to chain
	die sync $n
	[ -n "$fired" ] || fail "a full one is never stored and not committed"
done
judge "chain: dead at sync $n"
[ "${count[anew]:-0}" -gt 0 ] || fail "an increment of what was never committed"
n=0
until compgen -G "$sets/.links-*" >/dev/null && [ "$(ids "$sets")" = \
	"${committed%% *} " ]; do
	n=$((n + 1))
	return_to chain
	die name $n
	[ -n "$fired" ] || fail "links are never aside"
	exchange=$n
done
chain_is_whole "links that are aside"
[ $waits -gt 0 ] || fail "nobody is told of links that are aside"
mark aside
sweep aside -i
sweep aside

# The same where two names cannot be exchanged: the call that would, says so.
turns=0
for ((n = exchange; n < exchange + 4; n++)); do
	return_to chain
	die "name:$exchange:22,name" $n
	[ -n "$fired" ] || continue
	judge "chain, without an exchange: dead at name $n"
done
[ $turns -gt 0 ] || fail "never dead between two names"
ok "and where two names cannot be exchanged"
