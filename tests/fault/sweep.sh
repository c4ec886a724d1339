#!/bin/bash
# SPDX-License-Identifier: MIT
# backup, verify and restore, in which the n-th call of a kind fails, for each n
# until a run has fewer (tests/fault/fault.c): once, from there on, or by half of
# what was asked for. Whatever fails: no crash, no hang, no leak; success is said
# only of what is whole; what was there before is as it was.
#
#	STRIDE         how far apart the n are, at most (make soak: 1)
#	STRIDE_ALLOC   of allocations, which are many
#	SEED           of their choice
. "$(dirname "$0")/../lib/mount.sh"

: "${FAULTY:?}"
stride=${STRIDE:-4}
stride_alloc=${STRIDE_ALLOC:-60}
RANDOM=${SEED:-$$}
seed=$RANDOM
RANDOM=$seed
echo "seed $seed"
EIO=5 ENOMEM=12 ENOSPC=28 EMFILE=24

mkdir "$src/sub"
make_db "$src/a.db" 4096 400
make_db "$src/sub/b.db" 512 300
sets=$tmp/sets
mkdir "$sets"
ctl 0 backup --state="$state" "$src" "$sets"
first=$tmp/first
cp -a "$sets" "$first"
damaged=$tmp/damaged
cp -a "$sets/full" "$damaged"
printf X | dd of="$damaged/data/a.db" bs=1 seek=5000 conv=notrunc status=none
ctl 0 verify "$sets/full"
ctl 5 verify "$damaged"
sqlite3 "$src/a.db" "UPDATE t SET b=hex(randomblob(50))"
sums_of() { (cd "$1" && find . -type f -exec sha256sum {} + | sort); }
sums_of "$sets/full/data" >"$tmp/first.sums"

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

# What each verb is, and what must be so after it.
backup_run() { run "$1" backup --quiet --state="$state" "$src" "$sets"; }
backup_judge() {
	[ "$status" != 5 ] || fail "$1: an intact source is called damaged"
	"$STILLCTL" verify --quick --quiet "$sets/full" >"$tmp/log.out" 2>&1 ||
		fail "$1: exit $status, and the set is not whole"
	# 3: it is stored, and what was there before could not be removed.
	if [ "$status" = 0 ] || [ "$status" = 3 ]; then
		"$STILLCTL" list --state="$state" --limit=1 |
			grep -q COMMITTED || fail "$1: it is not committed"
	elif ! cmp -s "$sets/full/backup.json" "$first/full/backup.json" &&
		! grep -q 'stored' "$tmp/log.err"; then
		fail "$1: exit $status, and another set is there"
	fi
	[ "$(sqlite3 "$src/a.db" 'PRAGMA quick_check')" = ok ] ||
		fail "$1: the application's database is damaged"
	[ "$(sqlite3 "$src/a.db" 'PRAGMA wal_checkpoint(TRUNCATE)')" = '0|0|0' ] ||
		fail "$1: something of ours is left in the database"
}
# The next one clears away whatever is left, and that must work, too.
backup_reset() {
	rm -rf "$sets/full"
	cp -a "$first/full" "$sets/full"
}

verify_run() { run "$1" verify "$sets/full"; }
verify_judge() {
	grep -q 'is not what was backed up' "$tmp/log.err" "$tmp/log.out" &&
		fail "$1: an intact set is called damaged"
	return 0
}
verify_reset() { :; }

damaged_run() { run "$1" verify "$damaged"; }
damaged_judge() {
	case $status in
	0 | 3) fail "$1: a damaged set passes" ;;
	esac
}
damaged_reset() { :; }

restore_run() { run "$1" restore --quiet --create "$first/full" "$tmp/back"; }
restore_judge() {
	[ "$status" != 5 ] || fail "$1: an intact set is called damaged"
	if [ "$status" = 0 ]; then
		sums_of "$tmp/back" | cmp -s - "$tmp/first.sums" ||
			fail "$1: exit 0, and it is not whole"
	elif [ -e "$tmp/back" ]; then
		fail "$1: exit $status, and something is there: $(ls -A "$tmp/back")"
	fi
}
restore_reset() { rm -rf "$tmp/back"; }

# sweep VERB KIND HOW...
sweep() {
	local verb=$1 kind=$2 how n total=0 step=$stride
	[ "$2" != alloc ] || step=$stride_alloc
	shift 2
	for how; do
		n=1
		while :; do
			"${verb}_run" "$kind:$n:$how"
			[ -n "$fired" ] || break
			"${verb}_judge" "$verb with $kind:$n:$how"
			"${verb}_reset"
			total=$((total + 1))
			n=$((n + 1 + RANDOM % step))
		done
		[ "$status" = 0 ] || [ "$verb" = damaged ] ||
			fail "$verb, in which nothing failed: exit $status"
		"${verb}_reset"
	done
	count[$verb]=$((${count[$verb]:-0} + total))
}

declare -A count
for verb in backup verify damaged restore; do
	sweep $verb open $EIO $EMFILE $EMFILE+
	sweep $verb list $EIO $EIO+
	sweep $verb read $EIO $EIO+ short
	sweep $verb alloc $ENOMEM $ENOMEM+
	sweep $verb meta $EIO $EIO+
	sweep $verb thread 11 11+
	ok "$verb: ${count[$verb]} failing calls"
done
for verb in backup restore; do
	sweep $verb write $EIO $ENOSPC $ENOSPC+ short
	sweep $verb sync $EIO $EIO+
	sweep $verb name $EIO $ENOSPC+
	ok "$verb, that writes: ${count[$verb]} failing calls"
done

# Two of them: a sync, and a name. Where the exchange cannot be taken back either,
# both sets are there, and both are whole.
pairs=0 both=0
pair_judge() {
	local last
	backup_judge "$1"
	pairs=$((pairs + 1))
	case $status in
	0 | 3) return ;;
	esac
	! cmp -s "$sets/full/backup.json" "$first/full/backup.json" || return
	both=$((both + 1))
	last=$(echo "$sets"/.new-*)
	cmp -s "$last/backup.json" "$first/full/backup.json" ||
		fail "$1: exit $status, and the last set is gone"
	"$STILLCTL" verify --quiet "$last" >"$tmp/log.out" 2>&1 ||
		fail "$1: exit $status, and the last set is not whole"
}
sync=0
while :; do
	sync=$((sync + 1))
	backup_run "sync:$sync:$EIO"
	[ -n "$fired" ] || break
	backup_reset
	for name in 1 2 3 4; do
		backup_run "sync:$sync:$EIO,name:$name:$EIO"
		[ -z "$fired" ] || pair_judge "backup with sync $sync, name $name"
		backup_reset
	done
done
[ "$both" -gt 0 ] || fail "no exchange that could not be taken back"
ok "backup: $pairs pairs of failing calls, $both of them in the exchange"
