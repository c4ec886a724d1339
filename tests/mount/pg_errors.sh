#!/bin/bash
# SPDX-License-Identifier: MIT
# What a program is told of a cluster that cannot be backed up now: the errno of a
# look into the mount, and the same in the JSON of stillctl.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"

gets() {
	local got
	got=$(python3 -c 'import errno, os, sys
try:
    os.listdir(sys.argv[1])
    print(0)
except OSError as e:
    print(errno.errorcode[e.errno])' "$2")
	[ "$got" = "$1" ] || fail "$2: $got, not $1: $(cat "$mnt/status")"
}
# answers STATUS CODE ERRNO VERB...: with --json.
answers() {
	local want="\"code\":\"$2\",\"errno\":\"$3\""
	ctl "$1" "${@:4}" --json --state "$state"
	ctl_says "$want"
}

c=$tmp/c
cluster_new "$c"
cluster_start "$c"
start_fs "$c/data" -o incremental
answers 1 no-session EPROTO commit "$mnt"
answers 1 no-session EPROTO abort "$mnt"
gets ENODATA "$mnt/incremental"
answers 1 no-base ENODATA begin --incremental "$mnt"
gets 0 "$mnt/backup"
gets EBUSY "$mnt/incremental"
answers 4 busy EBUSY backup --create "$c/data" "$tmp/dest"
ctl 0 abort "$mnt"
ok "no session: EPROTO; nothing to build on: ENODATA; one at a time: EBUSY"

# Whoever is connected keeps the server from ending, but nobody else is let in.
cluster_psql "$c" -c 'SELECT pg_sleep(600)' >"$tmp/sleep" 2>&1 &
sleeper=$!
connected() {
	[ "$(cluster_psql "$c" -c "SELECT count(*) FROM pg_stat_activity
		WHERE query LIKE 'SELECT pg_sleep%'")" = 1 ]
}
wait_for 20 connected || fail "nobody is connected"
cluster_server "$c" pg_ctl -s -W -m smart stop
wait_for 20 grep -q '^stopping' "$c/data/postmaster.pid" || fail "not stopping"
gets ESHUTDOWN "$mnt/backup"
answers 4 stopping ESHUTDOWN begin "$mnt"
grep -q 'is shutting down' "$mnt/status" || fail "$(cat "$mnt/status")"
ok "the server is shutting down: ESHUTDOWN"

cluster_stop "$c"
wait $sleeper 2>/dev/null
gets ENXIO "$mnt/backup"
answers 4 not-running ENXIO begin "$mnt"
grep -q 'is not running' "$mnt/status" || fail "$(cat "$mnt/status")"
cluster_start "$c"
gets 0 "$mnt/backup"
ctl 0 abort "$mnt"
umount "$mnt" && wait_fs
ok "no server answers: ENXIO, until it is up again"
