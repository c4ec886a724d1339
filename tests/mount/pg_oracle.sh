#!/bin/bash
# SPDX-License-Identifier: MIT
# The load oracle for PostgreSQL: freezes of a cluster on XFS, btrfs and ext4,
# each on a disk of its own, while it is worked on and its relations are made,
# emptied, rewritten, moved and dropped. They are copied by cp, rsync, tar and
# restic in turn; the second and later ones of rsync and restic read only what
# they think has changed. Of each copy all is asked that judge_set (bank.sh) knows.
#
#	FREEZES     for each file system (make soak: 10, so 30 in all)
#	SCALE       of pgbench (20)
#	RELATIONS   besides (2000)
#	FS          default: xfs btrfs ext4
#	DISK        bytes of a disk, as truncate has it (8G; sparse)
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/bank.sh"

freezes=${FREEZES:-4}
scale=${SCALE:-20}
relations=${RELATIONS:-2000}
kinds=${FS:-xfs btrfs ext4}
for tool in rsync restic; do
	command -v $tool >/dev/null || skip "no $tool"
done
export RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$tmp/restic-cache
tools=(cp rsync tar restic)
copy=$tmp/copy

# disk KIND: a file system of that kind, at $tmp/KIND.
disk() {
	command -v "mkfs.$1" >/dev/null || skip "no mkfs.$1"
	truncate -s "${DISK:-8G}" "$tmp/disk"
	case $1 in
	xfs) mkfs.xfs -q -m reflink=1 "$tmp/disk" ;;
	btrfs) mkfs.btrfs -q "$tmp/disk" ;;
	*) "mkfs.$1" -q "$tmp/disk" ;;
	esac >"$tmp/mkfs.out" 2>&1 || fail "mkfs.$1: $(cat "$tmp/mkfs.out")"
	mkdir "$tmp/$1"
	mount -o loop "$tmp/disk" "$tmp/$1" || skip "no loop mount of $1"
	chmod 755 "$tmp/$1"
}

# copy_by TOOL: backup/ to $copy, by way of what the tool keeps.
copy_by() {
	rm -rf "$copy"
	case $1 in
	cp) cp -r "$mnt/backup" "$copy" ;;
	rsync) rsync -a --delete "$mnt/backup/" "$tmp/rsync" ;;
	tar) (cd "$mnt/backup" && find . | sort -r) >"$tmp/names" &&
		tar -C "$mnt/backup" --no-recursion -cf "$tmp/tar" -T "$tmp/names" ;;
	restic) restic -q -r "$tmp/restic" backup "$mnt/backup" ;;
	esac >"$tmp/tool.out" 2>&1 && [ ! -s "$tmp/tool.out" ] ||
		fail "$1: $(cat "$tmp/tool.out" "$mnt/status")"
}
# restore_from TOOL: the same, once the session is over.
restore_from() {
	case $1 in
	cp) ;;
	rsync) cp -a "$tmp/rsync" "$copy" ;;
	tar) mkdir "$copy" && tar -C "$copy" -xf "$tmp/tar" && rm "$tmp/tar" ;;
	restic) restic -q -r "$tmp/restic" restore latest --target "$tmp/out" &&
		mv "$tmp/out$mnt/backup" "$copy" && rm -rf "$tmp/out" ;;
	esac >"$tmp/tool.out" 2>&1 || fail "$1: $(cat "$tmp/tool.out")"
}

# of_log EVENT FIELD: a field of an event that the daemon wrote.
of_log() {
	sed -n "s/.* $1 .* $2=\"\{0,1\}\([^ \"]*\).*/\1/p" "$log" | tail -n 1
}

# one KIND NUMBER: a freeze, its copy, and the judgement.
one() {
	local kind=$1 n=$2 tool way want wrong
	tool=${tools[$((n % 4))]}
	# As it is chosen, but for some that are forced.
	case $((n % 5)) in
	3) way=copy ;;
	4) [ "$kind" = ext4 ] && way=copy || way=clone ;;
	*) way=auto ;;
	esac
	want=$way
	if [ $way = auto ]; then
		[ "$kind" = ext4 ] && want=copy || want=clone
	fi
	start_fs "$c/data" -o freeze=$way
	copy_by "$tool"
	[ "$(sed -n 's/.*"freeze": "\(.*\)".*/\1/p' "$mnt/backup/backup.json")" = \
		"$want" ] || fail "not by $want: $(cat "$mnt/backup/backup.json")"
	! grep -E ' (error|damage) ' "$mnt/events" || fail "a false alarm"
	stop_fs COPIED
	bank_clean "$c"
	restore_from "$tool"
	wrong=$(judge_set "$copy" "$c/acks")
	judged=$((judged + 1))
	if [ -n "$wrong" ]; then
		bad=$((bad + 1))
		echo "$kind, freeze $n, $want, $tool: $wrong"
	fi
	printf '# %s %d: %s, %s; %d ms, %d files, %d MiB; %d acknowledged%s\n' \
		"$kind" "$n" "$want" "$tool" \
		$(($(of_log session-frozen freeze_ns) / 1000000)) \
		"$(of_log session-frozen files)" \
		$(($(of_log session-frozen bytes) >> 20)) \
		"$(wc -l <"$c/acks")" "${wrong:+; BAD}"
	rm -rf "$copy"
}

judged=0 bad=0
for kind in $kinds; do
	disk "$kind"
	c=$tmp/$kind/c
	restic -q -r "$tmp/restic" init >/dev/null || fail "restic init"
	bank_new "$c" "$scale" "$relations"
	n=$(cluster_psql "$c" -c "SELECT count(*) FROM pg_class
		WHERE relkind IN ('r', 'i', 't')")
	[ "$n" -gt "$relations" ] || fail "$n relations"
	if [ "$kind" = ext4 ]; then
		start_fs "$c/data" -o freeze=clone
		ls "$mnt/backup" >/dev/null 2>&1 && fail "cloned on ext4"
		grep -q 'error: .*cannot share blocks' "$mnt/status" ||
			fail "$(cat "$mnt/status")"
		stop_fs 'ABORTED(not frozen)'
		bank_clean "$c"
		ok "ext4: forced to clone, it says that it cannot"
	fi
	bank_open "$c" 4
	for ((i = 0; i < freezes; i++)); do
		rounds=$(cluster_psql "$c" -c 'SELECT count(*) FROM rounds')
		wait_for 120 bank_moved "$c" "$rounds" || fail "the load is no load"
		one "$kind" "$i"
	done
	bank_close "$c"
	echo "# $kind: $n relations; the load made" \
		"$(cluster_psql "$c" -F ' ' -c "SELECT (SELECT count(*)
		FROM pgbench_history)||' transfers, '||(SELECT count(*)
		FROM rounds)||' rounds of DDL, '||(SELECT count(*)
		FROM acks)||' numbers'")"
	cluster_stop "$c"
	umount "$tmp/$kind" || fail "something of $kind is still held"
	rm -rf "$tmp/disk" "$tmp/restic" "$tmp/rsync"
done
[ $bad = 0 ] || fail "$bad of $judged copies are bad"
ok "$judged freezes under load, 0 bad, 0 false alarms"
