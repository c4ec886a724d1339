#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# stillctl check of a cluster: everything that stands in the way at once, each
# thing once, and how it would be frozen.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

c=${tmp:?}/c
mkdir -m 700 "$tmp/st" "$tmp/spool"
# check STATUS SOURCE [OPTION...]
check() {
	local want=$1
	shift
	ctl "$want" check --state "$tmp/st" --spool "$tmp/spool" "$@"
	cp "$tmp/ctl.out" "$tmp/out"
}
# counts ERRORS WARNINGS
counts() {
	[ "$(grep -c '^error: ' "$tmp/out") $(grep -c '^warning: ' "$tmp/out")" = \
		"$1 $2" ] || fail "not $1 errors, $2 warnings: $(cat "$tmp/out")"
}
cluster_new "$c"
check 4 "$c/data"
counts 1 0
ctl_says "error: cluster \`$c/data\`: is not running" 'Start the server' \
	'result:    a backup would fail, or be none'
ok "not running"

cluster_start "$c"
cluster_psql "$c" -c 'CREATE ROLE bare LOGIN' || fail role
check 1 "host=$c/sock user=bare"
counts 4 0
for grant in 'ALTER ROLE "bare" REPLICATION;' \
	'GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean) TO "bare";' \
	'GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean) TO "bare";' \
	'GRANT pg_monitor TO "bare";'; do
	ctl_says "\`$grant\`"
	cluster_psql "$c" -c "$grant" || fail "$grant"
done
# And the mount says the first of them.
cluster_psql "$c" -c 'ALTER ROLE bare NOREPLICATION' || fail role
timeout 60 "$STILLFS" "host=$c/sock user=bare" "$mnt" >"$tmp/out" 2>&1 &&
	fail "mounted without privileges"
grep -qF 'role `bare`: has not the attribute REPLICATION' "$tmp/out" ||
	fail "$(cat "$tmp/out")"
cluster_psql "$c" -c 'ALTER ROLE bare REPLICATION' || fail role
check 0 "host=$c/sock user=bare"
counts 0 0
ok "privileges, each with what grants it"

# What would be done, and what it takes.
ctl_says "source:    $c/data (postgres 15" ' ms, by copy; ' 'pages+wal' \
	'a freeze is by copy: ' ' of the spool for as long as a session lasts'
check 0 "$c/data" --freeze copy --json
python3 - "$tmp/ctl.out" <<'END' || fail "$(cat "$tmp/ctl.out")"
import json, sys
o = json.load(open(sys.argv[1]))
assert o["ok"] and o["freeze"] == "copy" and o["copy_bytes"] > 20 << 20, o
assert [f["level"] for f in o["findings"]][:1] == ["info"], o
assert o["databases"][0]["path"] == "data", o
END
# What cannot be had is known before the server begins a backup for it, which
# would be a checkpoint.
cluster_psql "$c" -c "ALTER SYSTEM SET log_statement = 'all'" || fail "setting"
cluster_reload "$c"
began() { grep -c 'SELECT pg_backup_start' "$c/log"; }
wait_for 10 eval '[ "$(cluster_psql "$c" -c "SHOW log_statement")" = all ]' ||
	fail "it does not log"
check 0 "$c/data" --freeze copy
begun=$(began)
[ "$begun" -gt 0 ] || fail "the log does not tell of backups"
check 1 "$c/data" --spool-max 1M
counts 1 0
ctl_says 'spool'
[ "$(began)" = "$begun" ] || fail "there is no room, and a backup was begun"
[ -z "$(ls -A "$tmp/spool")" ] || fail "something is in the spool"
# An ext4 or tmpfs shares no blocks; where this is an XFS or btrfs, it does.
if cp --reflink=always "$c/log" "$tmp/clone" 2>"$tmp/out"; then
	check 0 "$c/data" --freeze clone
	ctl_says 'a freeze is by clone: nothing is copied'
else
	check 1 "$c/data" --freeze=clone
	counts 1 0
	ctl_says 'cannot be cloned'
	[ "$(began)" = "$begun" ] || fail "a backup was begun for nothing"
fi
ctl 2 check --freeze=fast "$c/data"
ctl 2 backup --freeze=fast "$c/data" "$tmp/dest"
ctl_complains 'option `--freeze`: `fast` is not one of auto|clone|copy'
ok "way and room"

cluster_stop "$c"
cluster_server "$c" pg_checksums --disable >"$tmp/out" 2>&1 || fail checksums
cluster_start "$c"
check 3 "$c/data"
counts 0 1
ctl_says 'its pages have no checksums' 'pg_checksums --enable' \
	'a backup would succeed; see the warnings'
cluster_conf "$c" 'wal_level = minimal' 'max_wal_senders = 0'
cluster_stop "$c"
cluster_start "$c"
cluster_psql "$c" -c 'REVOKE pg_monitor FROM bare' || fail revoke
check 1 "host=$c/sock user=bare"
counts 2 1
ctl_says 'wal_level is minimal' 'GRANT pg_monitor TO "bare";' 'no checksums'
ok "errors beside warnings, each once"

# Neither checks nor refusals leave anything behind.
[ "$(cluster_psql "$c" -c 'SELECT count(*) FROM pg_replication_slots')" = 0 ] ||
	fail "a slot is left"
[ "$(cluster_psql "$c" -c "SELECT count(*) FROM pg_stat_activity
	WHERE application_name = 'stillfs'")" = 0 ] || fail "a connection is left"
ok "the server is clean"
