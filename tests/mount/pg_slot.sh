#!/bin/bash
# SPDX-License-Identifier: MIT
# The slot of a cluster's incremental sessions: which sessions make it, which move
# it, and which do neither.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

c=$tmp/c
copy=$tmp/copy
cluster_new "$c" --wal-segsize=1
cluster_start "$c"
sql() { cluster_psql "$c" -c "$1" || fail "$1"; }
slots() { sql 'SELECT count(*) FROM pg_replication_slots'; }
kept() { sql 'SELECT restart_lsn FROM pg_replication_slots'; }
noted() {
	sqlite3 "$state/catalog.db" 'SELECT note FROM session ORDER BY number DESC
		LIMIT 1'
}
# WAL, and a checkpoint, which releases what no slot keeps.
sql 'CREATE TABLE t(i int)'
write() {
	sql 'INSERT INTO t SELECT generate_series(1, 20000)'
	sql 'SELECT pg_switch_wal()' >/dev/null
	sql CHECKPOINT
}
# taken [OPTION]: a session is begun and copied out.
taken() {
	local from=$mnt/backup
	[ "${1-}" != --incremental ] || from=$mnt/incremental
	rm -rf "$copy"
	ctl 0 begin "$@" "$mnt"
	cp -a "$from" "$copy" || fail "cp"
}
# stays TEXT: the slot is where it was.
stays() {
	[ "$(kept)" = "$at" ] || fail "$1: the slot is at $(kept), not at $at"
}

# ---- a copy -------------------------------------------------------------------

# It stands beside all chains: nothing is kept for its sake.
start_fs "$c/data" -o incremental
ctl 0 check --state "$state" "$c/data"
[ "$(slots)" = 0 ] || fail "a look makes a slot"
taken --copy
[ "$(slots)" = 0 ] || fail "a copy makes a slot"
ctl 0 commit "$mnt"
[ "$(slots)" = 0 ] || fail "the commit of a copy makes a slot"
[ -z "$(noted)" ] || fail "a copy is noted: $(noted)"
ctl 1 begin --incremental "$mnt"
[ "$(slots)" = 0 ] || fail "an incremental session without a base makes a slot"
umount "$mnt"
wait_fs
! grep -E 'slot' "$log" || fail "a copy tells of a slot"
ctl 0 backup --state "$state" --create --copy --chain "$c/data" "$tmp/d"
[ "$(slots)" = 0 ] || fail "a copy with --chain makes a slot"
ok "a copy makes no slot, and none of its commit does"

# ---- who makes it, and who moves it -------------------------------------------

start_fs "$c/data" -o incremental
taken
[ "$(slots)" = 1 ] || fail "a full session makes no slot"
at=$(kept)
ctl 0 abort "$mnt"
write
stays "a full session that is given up"
taken
umount "$mnt"
wait_fs
stays "a full session that is only read"
start_fs "$c/data" -o incremental
taken
ctl 0 commit "$mnt"
stays "a full session that is committed, and truncates nothing"
write
taken --incremental
ctl 0 abort "$mnt"
stays "an incremental session that is given up"
write
taken --copy
ctl 0 commit "$mnt"
stays "a copy"
taken --incremental
umount "$mnt"
wait_fs
stays "an incremental session that is only read"
write
# All of it is still there.
start_fs "$c/data" -o incremental
taken --incremental
[ -n "$(find "$copy" -path '*/logs/*')" ] || fail "no segment in the link"
stays "an incremental session that is read"
ctl 0 commit --truncate "$mnt"
[ "$(sql "SELECT '$(kept)'::pg_lsn > '$at'::pg_lsn")" = t ] ||
	fail "a commit that truncates does not move the slot"
at=$(kept)
taken --copy
ctl 0 commit --truncate "$mnt"
stays "a copy that truncates"
umount "$mnt"
wait_fs
ok "only a commit that truncates moves the slot, and never that of a copy"

# ---- how much it keeps ---------------------------------------------------------

# As of the last checkpoint, while a session lasts.
gauge() { sed -n 's/^stillfs_log_kept_bytes{.*} //p' "$mnt/metrics"; }
at_least() { [ "$(gauge)" -ge "$1" ]; }
start_fs "$c/data" -o incremental
taken
[ "$(gauge)" != 0 ] || wait_for 10 at_least 1 || fail "keeps $(gauge) bytes"
was=$(gauge)
for _ in 1 2 3 4; do
	write
done
wait_for 10 at_least $((was + 4 * 1048576)) ||
	fail "keeps $(gauge) bytes, and $was before"
[ "$(gauge)" -le "$(sql "SELECT pg_current_wal_lsn() - '$at'::pg_lsn")" ] ||
	fail "keeps $(gauge) bytes"
grep -q '"log_kept_bytes": [1-9]' "$mnt/status.json" || fail "no log_kept_bytes"
grep -q '^log kept:  [1-9].* MiB for incremental sessions; ' "$mnt/status" ||
	fail "$(cat "$mnt/status")"
ctl 0 abort "$mnt"
taken --copy
grep -q '^stillfs_log_kept_bytes{.*} 0$' "$mnt/metrics" ||
	fail "a copy keeps $(gauge) bytes"
ctl 0 abort "$mnt"
umount "$mnt"
wait_fs
ok "status and metrics follow what the slot keeps"
