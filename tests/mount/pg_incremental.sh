#!/bin/bash
# SPDX-License-Identifier: MIT
# A chain of sessions of a cluster, from end to end: stored by stillctl and copied
# out of a mount, verified, restored to each of its links and started; its slot,
# which moves on with a truncation and with nothing else.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

[ "$(id -u)" = 0 ] || skip "only root becomes another user"
chmod 755 "$tmp"
cluster=$tmp/cluster
dest=$tmp/dest
mkdir "$dest" "$tmp/space"
chown postgres "$tmp/space"
cluster_new "$cluster" --wal-segsize=1 || fail "initdb"
cluster_conf "$cluster" "max_wal_size = 8MB" "checkpoint_timeout = 30s"
cluster_start "$cluster" || fail "the server"
sql() { cluster_psql "$cluster" -c "$1" || fail "$1"; }
sql "CREATE TABLESPACE space LOCATION '$tmp/space'"
sql "CREATE TABLE t TABLESPACE space AS
	SELECT i, repeat(md5(i::text), 20) b FROM generate_series(1, 5000) i"
sql "CREATE TABLE u AS SELECT generate_series(1, 100) i"

sums="SELECT count(*)::text || ' ' || coalesce(sum(hashtext(t::text)), 0) FROM t
	UNION ALL SELECT count(*)::text FROM u"
keep() { cluster_psql "$cluster" -c "$sums" >"$tmp/was.$1"; }
# is N DIR: the cluster in DIR starts, and is what it was then.
is() {
	mkdir "$2/sock" && chown postgres "$2/sock"
	cluster_start "$2" -k "$2/sock" || fail "$2: $(cat "$2/log")"
	cluster_psql "$2" -c "$sums" | diff - "$tmp/was.$1" >&2 ||
		fail "$2: not what it was at $1"
	cluster_stop "$2"
}
slot() { cluster_psql "$cluster" -c "SELECT restart_lsn FROM pg_replication_slots"; }

back() { ctl 0 backup --state "$state" "$@" "$cluster/data" "$dest"; }
ctl 1 backup --state "$state" -i "$cluster/data" "$dest"
back
[ -z "$(slot)" ] || fail "a full session without --chain left a slot"
ctl 1 backup --state "$state" -i "$cluster/data" "$dest"
ctl_complains "session 1: the server was not asked to keep the WAL behind it"
ok "without --chain there is no slot, and no increment"

back --chain
keep 0
[ -n "$(slot)" ] || fail "there is no slot"
sql "UPDATE t SET b = b || 'x' WHERE i % 7 = 0; DELETE FROM u WHERE i < 10"
keep 1
back -i
sql "CREATE TABLE v AS SELECT 1; DROP TABLE v; CREATE INDEX ON t(i)"
sql "VACUUM FULL t"
sql "INSERT INTO u SELECT generate_series(1, 20000)"
sql CHECKPOINT
keep 2
back -i
# Nothing happens meanwhile; and then it crashes.
keep 3
back -i
cluster_stop "$cluster" immediate
cluster_start "$cluster" || fail "recovery"
sql "TRUNCATE u; INSERT INTO u VALUES (1), (2)"
keep 4
back -i
names=$(ls "$dest/incremental" | wc -l)
[ "$names" = 4 ] || fail "$names links"
ctl 0 verify "$dest"
ctl_says "sets:      5"
ok "a chain of a full set and four links is stored and verified"

n=0
ctl 0 restore --create "$dest/full" "$tmp/r0"
is 0 "$tmp/r0"
for link in $(ls "$dest/incremental"); do
	n=$((n + 1))
	ctl 0 restore --create --upto "$link" "$dest" "$tmp/r$n"
	is $n "$tmp/r$n"
	rm -rf "$tmp/r$n"
done
ok "restored to each of them, the cluster starts and is what it was"

# A link that is missing, or damaged, is named.
links=("$dest/incremental"/*)
ctl 1 restore --create "$dest/full" "${links[0]}" "${links[2]}" "$tmp/bad"
ctl_complains "$(basename "${links[2]}")"
segment=$(ls "${links[1]}/logs"/* | head -n 1)
cp -a "${links[1]}" "$tmp/whole"
printf X | dd of="$segment" bs=1 seek=70000 conv=notrunc status=none
ctl 5 restore --create "$dest" "$tmp/bad"
ctl_complains "$(basename "$segment")"
[ ! -e "$tmp/bad" ] || fail "something is there"
rm -rf "${links[1]}" && mv "$tmp/whole" "${links[1]}"
ok "a missing link and a damaged segment are named, and nothing is there"

# ---- a mount -----------------------------------------------------------------

before=$(slot)
start_fs "$cluster/data" -o incremental
sql "UPDATE t SET b = 'y' WHERE i % 11 = 0"
keep 5
number=$(ls "$mnt/incremental") || fail "incremental/: $(cat "$mnt/status")"
mkdir "$tmp/more"
cp -a "$mnt/incremental/$number" "$tmp/more/" || fail "cp"
[ "$(slot)" = "$before" ] || fail "the slot has moved before a commit"
ctl 0 commit --truncate --dry-run "$mnt"
[ "$(slot)" = "$before" ] || fail "the slot has moved in a trial"
ctl 0 commit --truncate "$mnt"
after=$(slot)
grep -qE " info truncated session=[^ ]* range=\"?$before - $after" \
	"$mnt/events" || fail "no event of it: $(cat "$mnt/events")"
[ "$after" != "$before" ] || fail "the slot has not moved on"
stop=$(sed -n 's/.*"stop_lsn": "\(.*\)".*/\1/p' "$tmp/more/$number/backup.json")
[ "$(cluster_psql "$cluster" -c "SELECT '$after'::pg_lsn <= '$stop'::pg_lsn")" = \
	t ] || fail "the slot is at $after, behind the end $stop"
umount "$mnt"
wait_fs
ctl 0 restore --create "$dest/full" "${links[@]}" "$tmp/more/$number" "$tmp/r5"
is 5 "$tmp/r5"
ok "the slot moves on with a commit that truncates; what was copied is restored"

# A session that nobody commits truncates nothing.
start_fs "$cluster/data" -o incremental
sql "INSERT INTO u VALUES (3)"
cp -r "$mnt/incremental" "$tmp/unused" || fail "cp"
umount "$mnt"
wait_fs
[ "$(slot)" = "$after" ] || fail "the slot has moved without a commit"
# What was not committed is in the next one.
keep 6
start_fs "$cluster/data" -o incremental
number=$(ls "$mnt/incremental")
cp -a "$mnt/incremental/$number" "$tmp/more/" || fail "cp"
ctl 0 commit "$mnt"
umount "$mnt"
wait_fs
ctl 0 restore --create "$dest/full" "${links[@]}" "$tmp/more"/* "$tmp/r6"
is 6 "$tmp/r6"
ok "what was not committed is in the next one"

ctl 3 check --state "$state" "$cluster/data"
ctl_says "slot"
ok "stillctl check tells of the slot"

sql "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
ctl 1 backup --state "$state" -i "$cluster/data" "$dest"
ctl_complains "slot"
ok "without its slot an incremental session is refused"
