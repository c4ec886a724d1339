#!/bin/bash
# SPDX-License-Identifier: MIT
# The lines of doc/postgres.md that make a cluster of a set again, without
# stillfs.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

[ "$(id -u)" = 0 ] || skip "only root becomes another user"
cluster=$tmp/cluster
chmod 755 "$tmp"
cluster_new "$cluster" || fail "initdb"
cluster_conf "$cluster" "listen_addresses = ''"
cluster_start "$cluster" || fail "the server"
mkdir "$tmp/space" && chown postgres "$tmp/space"
cluster_psql "$cluster" -c "CREATE TABLESPACE space LOCATION '$tmp/space'" \
	-c 'CREATE TABLE t TABLESPACE space AS SELECT generate_series(1, 1000) i' ||
	fail "a table"

# The lines below the heading that stand apart.
lines() {
	sed -n "/^## Restore/,/^## Not yet/p" "$TOP/doc/postgres.md" |
		sed -n 's/^    //p' | grep -v '^stillctl '
}
[ "$(lines | wc -l)" = 10 ] || fail "the page has $(lines | wc -l) lines"

"$STILLFS" "$cluster/data" "$mnt" || fail "the mount"
cp -a "$mnt/backup" "$tmp/set" || fail "the copy"
ctl 0 commit "$mnt" || fail "the commit"
umount "$mnt" || fail "umount"
cluster_psql "$cluster" -c 'DROP TABLE t'
ok "a set of a cluster with a tablespace"

lines | sed -e "s|^set=.*|set=$tmp/set|" -e "s|^live=.*|live=$tmp/live|" \
	-e "s|-p 5499|-p 5499 -k $cluster/sock|" >"$tmp/lines"
# No descriptor of the test stays with the server.
(set -e; . "$tmp/lines") 7>&- 8>&- </dev/null >"$tmp/log.lines" 2>&1 ||
	fail "the lines: $(cat "$tmp/log.lines")"
clusters+=("$tmp/live")
got=$(PGPORT=5499 psql -XAtq -h "$cluster/sock" -p 5499 -U postgres \
	-c 'SELECT count(*) FROM t' postgres) || fail "the restored server"
[ "$got" = 1000 ] || fail "it has $got rows"
runuser -u postgres -- "$pg_bin/pg_ctl" -s -w -D "$tmp/live/data" stop \
	-m immediate </dev/null
ok "restored by the lines of the page"
