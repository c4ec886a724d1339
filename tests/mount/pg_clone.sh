#!/bin/bash
# SPDX-License-Identifier: MIT
# Clusters on file systems that share blocks, under load: cloned where nothing is
# said, cloned or copied where it is; told in all the places where people look;
# without a name anywhere; and right. (pg_oracle.sh asks more of them, and takes
# longer.)
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/bank.sh"

# disk KIND: a file system of that kind, at $tmp/KIND.
disk() {
	command -v "mkfs.$1" >/dev/null || skip "no mkfs.$1"
	truncate -s 2G "$tmp/$1.disk"
	"mkfs.$1" -q "$tmp/$1.disk" >"$tmp/out" 2>&1 || fail "$(cat "$tmp/out")"
	mkdir "$tmp/$1"
	mount -o loop "$tmp/$1.disk" "$tmp/$1" || skip "no loop mount of $1"
	chmod 755 "$tmp/$1"
}
# names: all that has one beside the cluster and in it, but for what the server
# makes and removes.
names() {
	# Files come and go meanwhile.
	find "$tmp/$kind" -user root ! -path "$tmp/$kind" 2>/dev/null
	ls -A "$tmp/$kind" "$c"
}
# one WANT OPTION...: a freeze, told as such, and its copy judged.
one() {
	local want=$1 wrong
	shift
	names >"$tmp/before"
	start_fs "$c/data" "$@"
	cp -a "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
	grep -q "\"freeze\": \"$want\"" "$tmp/copy/backup.json" ||
		fail "not by $want: $(cat "$mnt/status")"
	grep -qx "captured:  by $want" "$mnt/status" || fail "$(cat "$mnt/status")"
	grep -q " session-frozen .* freeze=$want " "$log" || fail "no event"
	names >"$tmp/during"
	diff "$tmp/before" "$tmp/during" || fail "a name of ours"
	stop_fs COPIED
	bank_orderly "$c"
	wrong=$(judge_set "$tmp/copy" "$c/acks")
	[ -z "$wrong" ] || fail "$kind, $want: $wrong"
	rm -rf "$tmp/copy"
	ok "$kind, ${*:-as it comes}: by $want"
}

# crowded: the disk fills up while clones keep what is overwritten. They go before
# the server has none.
crowded() {
	local free_mib
	start_fs "$c/data"
	ls "$mnt/backup" >/dev/null || fail "ls"
	cat "$mnt/backup/data/PG_VERSION" >/dev/null || fail "not served"
	free_mib=$(df -m --output=avail "$tmp/$kind" | tail -n 1)
	fallocate -l $((free_mib - 70))M "$tmp/$kind/big" || fail "fallocate"
	wait_for 10 grep -q 'on the file system of the clones' "$mnt/status" ||
		fail "it does not give up: $(df -m "$tmp/$kind"; cat "$mnt/status")"
	cat "$mnt/backup/data/global/pg_control" >/dev/null 2>&1 &&
		fail "it serves on"
	cluster_psql "$c" -c "CREATE TABLE crowded AS SELECT 1" \
		-c "DROP TABLE crowded" || fail "the server has no room"
	rm "$tmp/$kind/big"
	umount "$mnt" || fail "umount"
	wait_fs
	grep -q 'outcome="ABORTED(pin lost)"' "$log" || fail "$(tail -n 3 "$log")"
	bank_orderly "$c"
	ok "$kind: clones go before the server has no room"
}

for kind in xfs btrfs; do
	disk $kind
	c=$tmp/$kind/c
	bank_new "$c" 1 20
	bank_open "$c" 2
	# The spool is elsewhere, and then there.
	one clone
	mkdir -m 700 "$tmp/$kind/spool"
	one clone -o "freeze=clone,spool=$tmp/$kind/spool"
	one copy -o freeze=copy
	crowded
	one clone
	bank_close "$c"
	cluster_stop "$c"
	umount "$tmp/$kind" || fail "something of $kind is still held"
done
