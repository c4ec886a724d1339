#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# Every obstacle of a cluster is found, with all others, and what its hint says
# mends it.
. "$(dirname "$0")/../lib/cluster.sh"

: "${PGASK:?}"
c=${tmp:?}/a
out=$tmp/out

# check WANT-STATUS SOURCE: the findings in $out.
check() {
	local status=0
	timeout 60 "$PGASK" check "$2" >"$out" 2>&1 || status=$?
	[ "$status" = "$1" ] || fail "$2: status $status: $(cat "$out")"
}
says() { grep -qF -- "$1" "$out" || fail "no '$1' in: $(cat "$out")"; }
# counts ERRORS WARNINGS
counts() {
	[ "$(grep -c '^error ' "$out") $(grep -c '^warning ' "$out")" = \
		"$1 $2" ] || fail "not $1 errors, $2 warnings: $(cat "$out")"
}
sql() { cluster_psql "$c" -c "$1"; }
# hinted: the statements between ticks in the hints.
hinted() { sed -n 's/^hint: Run as a superuser[^:]*: `\(.*\)`\.$/\1/p' "$out"; }

cluster_new "$c"
check 1 "$c/data"
counts 1 0
says 'error not-running: cluster `'"$c/data"'`: is not running: it has no'
says cut
ok "a stopped cluster"

cluster_start "$c"
check 0 "$c/data"
counts 0 0
says "pgdata $c/data"
ok "nothing stands in the way"
mkdir "$tmp/link"
ln -s "$c/data" "$tmp/link/pg"
check 0 "$tmp/link/pg"
says "pgdata $c/data"
check 0 "host=$c/sock user=postgres"
says "pgdata $c/data"
ok "by a link, by its socket"

# ---- roles, each lacking one thing, and all ----------------------------------
start='EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean)'
stop='EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean)'
sql "CREATE ROLE bare LOGIN;
	CREATE ROLE whole LOGIN REPLICATION; GRANT pg_monitor TO whole;
	GRANT $start TO whole; GRANT $stop TO whole;
	CREATE ROLE no_slot LOGIN; GRANT pg_monitor TO no_slot;
	GRANT $start TO no_slot; GRANT $stop TO no_slot;
	CREATE ROLE no_start LOGIN REPLICATION; GRANT pg_monitor TO no_start;
	GRANT $stop TO no_start;
	CREATE ROLE no_stop LOGIN REPLICATION; GRANT pg_monitor TO no_stop;
	GRANT $start TO no_stop;
	CREATE ROLE no_monitor LOGIN REPLICATION;
	GRANT $start TO no_monitor; GRANT $stop TO no_monitor;
	CREATE ROLE \"o\"\"d D\" LOGIN" || fail "roles"
check 0 "host=$c/sock user=whole"
counts 0 0
echo | "$PGASK" backup "host=$c/sock user=whole" >"$out" 2>&1 ||
	fail "a role with all privileges: $(cat "$out")"
ok "a role with what the hints grant, and no superuser, takes a backup"
# lacks ROLE TEXT HINT
lacks() {
	check 1 "host=$c/sock user=$1"
	counts 1 0
	says "error no-access: role \`$1\`: $2"
	says "hint: Run as a superuser$3"
	ok "$1: $2"
}
lacks no_slot 'has not the attribute REPLICATION' \
	': `ALTER ROLE "no_slot" REPLICATION;`.'
lacks no_start 'may not run pg_backup_start(text, boolean)' \
	', in the database `postgres`: `GRANT '"$start"' TO "no_start";`.'
lacks no_stop 'may not run pg_backup_stop(boolean)' \
	', in the database `postgres`: `GRANT '"$stop"' TO "no_stop";`.'
lacks no_monitor 'may not see where the data directory is' \
	': `GRANT pg_monitor TO "no_monitor";`.'
for role in bare 'o"d D'; do
	source="host=$c/sock user='$role'"
	check 1 "$source"
	counts 4 0
	hinted >"$tmp/hints"
	[ "$(wc -l <"$tmp/hints")" = 4 ] || fail "hints: $(cat "$out")"
	echo | "$PGASK" backup "$source" >"$tmp/o" 2>&1 &&
		fail "a backup without privileges"
	cluster_psql "$c" -f "$tmp/hints" || fail "the hints are no SQL"
	check 0 "$source"
	counts 0 0
	echo | "$PGASK" backup "$source" >"$tmp/o" 2>&1 ||
		fail "after the hints: $(cat "$tmp/o")"
	ok "$role: 4 obstacles at once, and their hints mend them"
done
# A grant holds in the database where it was made.
cluster_run "$c" createdb second || fail createdb
check 1 "host=$c/sock user=whole dbname=second"
counts 2 0
says 'in the database `second`'
ok "privileges of another database do not count"

# ---- settings ----------------------------------------------------------------
cluster_conf "$c" 'max_replication_slots = 1'
cluster_stop "$c"
cluster_start "$c"
sql "SELECT pg_create_physical_replication_slot('away')" >"$out" || fail slot
check 1 "$c/data"
counts 1 0
says 'error try-again'
says 'has no free replication slot: all 1 are taken'
echo | "$PGASK" backup "$c/data" >"$out" && fail "a backup without a slot"
says 'error try-again: server: has no free replication slot'
sql "SELECT pg_drop_replication_slot('away')" >"$out" || fail drop
check 0 "$c/data"
ok "no free slot"
cluster_conf "$c" 'max_replication_slots = 0'
cluster_stop "$c"
cluster_start "$c"
check 1 "$c/data"
counts 1 0
says 'max_replication_slots is 0'
echo | "$PGASK" backup "$c/data" >"$out" && fail "a backup without slots"
says 'error unsupported: server: gives no replication slots'
ok "no slots at all"
cluster_conf "$c" 'max_replication_slots = 4' 'wal_level = minimal' \
	'max_wal_senders = 0' 'full_page_writes = off'
cluster_stop "$c"
cluster_start "$c"
check 1 "host=$c/sock user=no_start"
counts 2 0
says 'error unsupported'
says 'wal_level is minimal'
says 'may not run pg_backup_start'
ok "wal_level = minimal, told beside the rest"
cluster_conf "$c" 'wal_level = logical'
cluster_stop "$c"
cluster_server "$c" pg_checksums --disable >"$tmp/o" 2>&1 || fail checksums
cluster_start "$c"
check 0 "$c/data"
counts 0 1
says 'warning unsupported'
says 'its pages have no checksums'
ok "no checksums: a warning; full_page_writes = off, wal_level = logical: none"

# ---- the facts ---------------------------------------------------------------
mkdir "$tmp/space"
chown postgres: "$tmp/space"
chmod 700 "$tmp/space"
sql "CREATE TABLESPACE space LOCATION '$tmp/space'" || fail tablespace
cluster_psql "$c" -c 'SET allow_in_place_tablespaces = on' \
	-c "CREATE TABLESPACE inside LOCATION ''" || fail "in place"
"$PGASK" facts "$c/data" >"$out" || fail "facts: $(cat "$out")"
# fact NAME WANT
fact() { grep -qxF "$1 $2" "$out" || fail "$1 is not $2: $(cat "$out")"; }
cluster_server "$c" pg_controldata >"$tmp/control"
controldata() { sed -n "s/^$1: *//p" "$tmp/control"; }
fact system_identifier "$(controldata 'Database system identifier')"
fact catalog_version "$(controldata 'Catalog version number')"
fact timeline "$(controldata "Latest checkpoint's TimeLineID")"
fact block_size "$(controldata 'Database block size')"
fact wal_block_size "$(controldata 'WAL block size')"
fact wal_segment_size "$(controldata 'Bytes per WAL segment')"
fact data_directory "$c/data"
fact major "$(cat "$c/data/PG_VERSION")"
fact version "$(sql 'SHOW server_version')"
fact data_checksums 0
fact full_page_writes 0
fact in_recovery 0
fact wal_level logical
fact slots 0/4
fact role postgres
fact database postgres
oid() { sql "SELECT oid FROM pg_$1 WHERE $2 = '$3'"; }
fact tablespace "$(oid tablespace spcname space) $tmp/space"
inside=$(oid tablespace spcname inside)
fact tablespace "$inside pg_tblspc/$inside"
[ "$(grep -c ^tablespace "$out")" = 2 ] || fail "$(cat "$out")"
fact base "$(oid database datname second) second"
[ "$(grep -c ^base "$out")" = 4 ] || fail "$(cat "$out")"
sql 'DROP TABLESPACE inside' || fail "drop"
ok "the facts are the server's"

# ---- the files ---------------------------------------------------------------
# as UID SOURCE
check_as() {
	local status=0
	setpriv --reuid "$1" --regid "$1" --clear-groups \
		"$PGASK" check "$2" >"$out" 2>&1 || status=$?
	[ "$status" = 1 ] || fail "$1: status $status: $(cat "$out")"
}
check 0 "$c/data"
cp "$PGASK" "$tmp/pgask" && chmod 755 "$tmp/pgask"
PGASK=$tmp/pgask
check_as 65534 "host=$c/sock user=postgres"
counts 2 1
says 'error no-access: cluster'\''s `'"$c/data"'`: Permission denied'
says 'error no-access: cluster'\''s `'"$tmp/space"'`: Permission denied'
says 'hint: Run stillfs as root or as user `postgres`.'
ok "PGDATA and a tablespace that are closed to us"
setpriv --reuid postgres --regid postgres --clear-groups \
	"$PGASK" check "$c/data" >"$out" || fail "the owner: $(cat "$out")"
ok "the owner itself"
chmod 755 "$c/data"
check_as 65534 "host=$c/sock user=postgres"
says 'cluster'\''s `'"$c/data/base"'`'
says 'cluster'\''s `'"$c/data/global"'`'
says 'cluster'\''s `'"$c/data/pg_wal"'`'
ok "directories that are closed to us, each"
chmod 700 "$c/data"

# ---- not its server ----------------------------------------------------------
d=$tmp/b
cluster_new "$d"
cp "$c/data/postmaster.pid" "$d/data/postmaster.pid"
check 1 "$d/data"
counts 1 0
says 'is not running: process'
rm "$d/data/postmaster.pid"
# A server of it that is no server: the one of the other cluster answers.
cluster_start "$d"
sed "5s|.*|$c/sock|" "$d/data/postmaster.pid" >"$tmp/pid"
cp "$d/data/postmaster.pid" "$tmp/pid.own"
cat "$tmp/pid" >"$d/data/postmaster.pid"
check 1 "$d/data"
counts 2 1
says 'has its data in `'"$c/data"'`, not there'
says 'is not that of the files in `'"$d/data"'`: system identifier'
cat "$tmp/pid.own" >"$d/data/postmaster.pid"
check 0 "$d/data"
ok "another server answers: by directory and by identifier"
# As in a container: its socket is here, its files are not.
hidden() {
	local status=0
	mkdir -p "$tmp/sock"
	unshare -m bash -c 'mount --bind "$1/sock" "$2/sock" &&
		mount -t tmpfs tmpfs "$3" &&
		exec "$4" check "host=$2/sock user=postgres"' - \
		"$d" "$tmp" "$1" "$PGASK" >"$out" 2>&1 || status=$?
	[ "$status" = 1 ] || fail "status $status: $(cat "$out")"
}
hidden "$d"
counts 1 0
says 'error unsupported'
says 'has its data in `'"$d/data"'`, which is not on this machine'
hidden "$d/data"
says 'error not-found: cluster'\''s `'"$d/data/global"'`: No such file'
ok "a server whose files are not here"
status=0
unshare -m bash -c 'mount --bind "$1" "$2" && exec "$3" check "$4"' - \
	"$c/data/global/pg_control" "$d/data/global/pg_control" "$PGASK" \
	"host=$d/sock user=postgres" >"$out" 2>&1 || status=$?
[ "$status" = 1 ] || fail "status $status: $(cat "$out")"
counts 1 0
says 'error invalid'
says 'system identifier'
ok "files with another system identifier"
cluster_stop "$d"

# ---- a standby ---------------------------------------------------------------
cluster_conf "$c" 'max_wal_senders = 4'
cluster_stop "$c"
cluster_start "$c"
s=$tmp/s
mkdir -p "$s/sock" && chown postgres: "$s" "$s/sock"
cluster_as_postgres "${pg_bin:?}/pg_basebackup" -D "$s/data" -R -c fast \
	--no-sync -d "$(cluster_conninfo "$c" user=postgres)" \
	--tablespace-mapping="$tmp/space=$s/space" >"$tmp/o" 2>&1 ||
	fail "standby: $(cat "$tmp/o")"
cluster_conf "$s" "unix_socket_directories = '$s/sock'" 'hot_standby = on'
cluster_start "$s"
check 1 "$s/data"
counts 1 1
says 'error unsupported'
says 'is a standby'
ok "a standby"
# It has its primary's identifier; the directory tells them apart.
cat "$s/data/postmaster.pid" >"$tmp/pid.own"
sed "5s|.*|$c/sock|" "$tmp/pid.own" >"$tmp/pid"
cat "$tmp/pid" >"$s/data/postmaster.pid"
check 1 "$s/data"
counts 1 1
says 'has its data in'
cat "$tmp/pid.own" >"$s/data/postmaster.pid"
ok "a primary that answers for its standby"
cluster_stop "$s"

# ---- what lies between us and a server ----------------------------------------
# proxy KIND: on a free port of 127.0.0.1 (in $port), to the socket of $c. KIND
# is plain; pooler: the backend's number is another, as with pgbouncer; or a
# version that it pretends to be.
cat >"$tmp/proxy.py" <<'END'
import socket, struct, sys, threading
kind, path, address = sys.argv[1:]
def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            sys.exit()
        data += more
    return data
def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data:
                break
            b.sendall(data)
    except OSError:
        pass
    b.shutdown(socket.SHUT_WR)
def startup(server, client):
    while True:
        head = exactly(server, 5)
        body = exactly(server, struct.unpack(">I", head[1:])[0] - 4)
        if head[:1] == b"K" and kind == "pooler":
            body = struct.pack(">I", 77) + body[4:]
        if head[:1] == b"S" and body.startswith(b"server_version\0") and \
                kind[:1].isdigit():
            body = b"server_version\0" + kind.encode() + b"\0"
        client.sendall(head[:1] + struct.pack(">I", len(body) + 4) + body)
        if head[:1] == b"Z":
            return
def serve(client):
    # SSL and GSS requests are refused here; libpq goes on without.
    while True:
        head = exactly(client, 8)
        n, code = struct.unpack(">II", head)
        if code not in (80877103, 80877104):
            break
        client.sendall(b"N")
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    server.sendall(head + exactly(client, n - 8))
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    startup(server, client)
    pump(server, client)
listener = socket.create_server((address, 5432 * (address[:3] == "10.")))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
END
proxies=()
proxy() {
	# Another than the last: nobody waits for an old answer.
	rm -f "$tmp/port"
	python3 "$tmp/proxy.py" "$1" "$c/sock/.s.PGSQL.5432" \
		127.0.0.1 >"$tmp/port" &
	proxies+=($!)
	wait_for 20 test -s "$tmp/port" || fail "no proxy"
	port=$(cat "$tmp/port")
}
proxy plain
check 0 "host=127.0.0.1 port=$port user=postgres"
counts 0 1
ok "loopback is this host"
# Two network namespaces are two hosts.
cat >"$tmp/far.sh" <<'END'
set -e
ip link set lo up
ip link add near type veth peer name far
unshare -n sleep 600 &
other=$!
until [ "$(readlink "/proc/$other/ns/net")" != \
	"$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set far netns "$other"
ip addr add 10.0.0.1/24 dev near
ip link set near up
nsenter -t "$other" -n ip addr add 10.0.0.2/24 dev far
nsenter -t "$other" -n ip link set far up
nsenter -t "$other" -n python3 "$1/proxy.py" plain "$2" 10.0.0.2 \
	>"$1/port" &
proxy=$!
until [ -s "$1/port" ]; do sleep 0.02; done
status=0
"$3" check "host=10.0.0.2 user=postgres" || status=$?
kill "$proxy" "$other"
exit "$status"
END
rm -f "$tmp/port"
status=0
timeout 60 unshare -n bash "$tmp/far.sh" "$tmp" "$c/sock/.s.PGSQL.5432" \
	"$PGASK" >"$out" 2>&1 || status=$?
[ "$status" = 1 ] || fail "status $status: $(cat "$out")"
counts 1 1
says 'error unsupported'
says 'runs on another host'
ok "another host"
for kind in pooler 1.18.0/bouncer; do
	proxy "$kind"
	check 1 "host=127.0.0.1 port=$port user=postgres"
	counts 1 0
	says 'error unsupported'
	says 'answers through a connection pooler'
done
ok "a pooler, and the console of one"
for version in 12.22 18.1; do
	proxy "$version"
	check 1 "host=127.0.0.1 port=$port user=postgres"
	counts 1 0
	says "is of version ${version%.*}; stillfs knows 13 to 17"
	says 'error unsupported: server of `host=127.0.0.1'
done
ok "versions that are not 13 to 17"
kill "${proxies[@]}"
wait "${proxies[@]}" 2>/dev/null
check 1 "host=127.0.0.1 port=$port user=postgres"
counts 1 0
says 'cannot be reached'
ok "nobody listens"

# ---- sources -----------------------------------------------------------------
check 1 "$tmp"
counts 1 0
says 'error not-found: source `'"$tmp"'`: is neither a PGDATA nor a connection'
check 1 "postgresql://u:geheim@h/"
counts 1 0
grep -q geheim "$out" && fail "a secret: $(cat "$out")"
ok "no source, and a secret in one"
