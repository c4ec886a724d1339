#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# Connecting to real servers: who we are there, what is refused and how it is
# said, and that nothing waits for ever.
. "$(dirname "$0")/../lib/cluster.sh"

: "${PGASK:?}"
c=${tmp:?}/a
out=$tmp/out

# ask WANT-STATUS ARGUMENT...: the answer in $out.
ask() {
	local want=$1 status=0
	shift
	timeout 60 "$PGASK" "$@" >"$out" 2>&1 || status=$?
	[ "$status" = "$want" ] || fail "$*: status $status: $(cat "$out")"
}
says() { grep -qF -- "$1" "$out" || fail "no '$1' in: $(cat "$out")"; }
never() { ! grep -q -- "$1" "$out" || fail "'$1' in: $(cat "$out")"; }
sql() { cluster_psql "$c" -c "$1"; }

cluster_new "$c"
cluster_hba "$c" 'local all postgres peer map=test' 'local all pw scram-sha-256' \
	'local all closed reject' 'local all all peer'
# The test itself comes in as root; stillfs does not.
echo 'test root postgres' >"$c/data/pg_ident.conf"
cluster_start "$c"
ask 1 open "$c/data"
says 'error no-access'
says 'Peer authentication failed for user "postgres"'
says 'hint: Root connects as the owner of the cluster, by `peer`'
says 'uid 0'
ok "peer that does not let the owner in: said, and we are root again"

echo 'test postgres postgres' >>"$c/data/pg_ident.conf"
cluster_reload "$c"
ask 0 open "$c/data"
says 'user postgres'
says 'local 1'
says 'uid 0'
ok "root, PGDATA, peer"
for source in "host=$c/sock" "host=$c/sock user=postgres" \
	"postgresql:///?host=$c/sock" \
	"postgresql://postgres@${c//\//%2F}%2Fsock/template1"; do
	ask 0 open "$source"
	says 'user postgres'
	says 'uid 0'
done
ok "root, socket, peer: as the socket's owner"
export PGHOST=$c/sock
ask 0 open postgresql://
says 'user postgres'
unset PGHOST
ok "root, PGHOST, peer"

# Others than the owner are not played.
sql 'CREATE ROLE pw LOGIN PASSWORD '\''geheim:1'\''; CREATE ROLE closed LOGIN;
	CREATE ROLE other LOGIN' || fail "roles"
ask 1 open "host=$c/sock user=other"
says 'Peer authentication failed for user "other"'
ask 1 open "host=$c/sock user=nobody-here"
says 'error no-access'
ask 1 open "host=$c/sock user=closed"
says 'error no-access'
ok "other roles are asked for by root itself"

# Passwords come from files only.
ask 1 open "host=$c/sock user=pw"
says 'error no-access'
says 'passfile'
# shellcheck disable=SC1003
printf '%s\n' '*:*:*:pw:geheim\:1' >"$tmp/pass"
chmod 600 "$tmp/pass"
ask 0 open "host=$c/sock user=pw passfile=$tmp/pass"
says 'user pw'
printf '[shop]\nhost=%s\nuser=pw\ndbname=postgres\npassfile=%s\n' "$c/sock" \
	"$tmp/pass" >"$tmp/services"
export PGSERVICEFILE=$tmp/services
ask 0 open service=shop
says 'user pw'
printf '[shop]\nhost=%s\nuser=pw\ndbname=postgres\npassword=geheim:1\n' \
	"$c/sock" >"$tmp/services"
chmod 600 "$tmp/services"
ask 0 open service=shop
says 'user pw'
printf '[shop]\nhost=%s\nuser=pw\ndbname=postgres\npassword=geheim:2\n' \
	"$c/sock" >"$tmp/services"
ask 1 open service=shop
says 'error no-access: server of `service=shop`'
never geheim
for source in "host=$c/sock user=pw password=geheim:1" \
	"postgresql://pw:geheim%3A1@/postgres?host=$c/sock" \
	"postgresql://pw@/postgres?host=$c/sock&pass%77ord=geheim:1"; do
	ask 1 open "$source"
	says 'error invalid: source: there is a password'
	never geheim
done
ok "passfile and service let in, a password in SOURCE does not"

# Any database will do.
sql 'SELECT 1' | grep -qx 1 || fail "no connection of our own"
cluster_run "$c" psql -q -d template1 -c 'DROP DATABASE postgres' || fail "drop"
ask 0 open "$c/data"
says 'user postgres'
ask 1 open "host=$c/sock dbname=postgres"
says 'error not-found'
cluster_run "$c" psql -q -d template1 -c 'CREATE DATABASE postgres' ||
	fail "create"
ok "a dropped database postgres does not matter"

# Waiting has an end.
ask 1 query "$c/data" 300 0 'SELECT pg_sleep(600)'
says 'error try-again'
says 'no answer within 0.3 s'
says 'session open'
ask 1 query "$c/data" 0 300 'SELECT pg_sleep(600)'
says 'error cancelled'
says 'session open'
[ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'
	AND application_name = 'stillfs'")" = 0 ] || fail "it goes on"
ok "limit and flag end a statement in the server too"

# A postmaster that takes cancel requests and does not answer them.
postmaster=$(head -n 1 "$c/data/postmaster.pid")
timeout 60 "$PGASK" query "$c/data" 0 4000 'SELECT pg_sleep(600)' >"$out" 2>&1 &
asking=$!
asleep() {
	[ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'
		AND application_name = 'stillfs'")" = "$1" ]
}
wait_for 3 asleep 1 || fail "nobody asks"
kill -STOP "$postmaster"
wait "$asking"
status=$?
kill -CONT "$postmaster"
[ "$status" = 1 ] || fail "status $status: $(cat "$out")"
says 'error cancelled'
says 'session gone'
wait_for 20 asleep 0 || fail "it goes on"
ok "a cancel request that is not answered holds nobody up"

# A server that wants another talk than ours: libpq says so again and again.
ask 1 query "$c/data" 0 0 'COPY (SELECT 1) TO STDOUT'
says 'session gone'
ok "an answer that is none ends the session"

# The role's own settings do not matter.
sql "ALTER ROLE postgres SET statement_timeout = '100ms';
	ALTER ROLE postgres SET client_min_messages = 'debug5';
	ALTER ROLE postgres SET search_path = 'evil';
	ALTER ROLE postgres SET idle_session_timeout = '1s'" || fail "settings"
ask 0 query "$c/data" 0 0 "SELECT pg_sleep(0.3), 7"
ask 0 query "$c/data" 0 0 "SELECT string_agg(current_setting(s), ' ') FROM
	unnest(ARRAY['statement_timeout', 'client_min_messages', 'search_path',
	'idle_session_timeout', 'application_name']) AS s"
grep -qx '0 warning pg_catalog 0 stillfs' "$out" || fail "$(cat "$out")"
[ "$(wc -l <"$out")" = 2 ] || fail "notices were printed: $(cat "$out")"
ask 0 query "$c/data" 0 0 "DO \$\$BEGIN RAISE WARNING 'x'; END\$\$"
never WARNING
sql "ALTER ROLE postgres RESET ALL" 2>/dev/null || fail "reset"
ok "the session has settings of its own, and prints nothing"

ask 1 query "$c/data" 0 0 'SELECT pg_terminate_backend(pg_backend_pid())'
says 'error pin-lost'
says 'session gone'
says 'nothing is left there to clean up'
ok "a session that the server ends"

# A socket that nobody answers: frozen, not dead.
kill -STOP "$(head -n 1 "$c/data/postmaster.pid")"
ask 1 open "$c/data"
kill -CONT "$(head -n 1 "$c/data/postmaster.pid")"
says 'error try-again'
says 'no answer within 10.0 s, trying to connect'
ok "a server that does not answer"

sql 'ALTER ROLE pw CONNECTION LIMIT 0' || fail "limit"
ask 1 open "host=$c/sock user=pw passfile=$tmp/pass"
says 'error try-again'
says 'too many connections for role "pw"'
ok "no free connection: it may pass"

cluster_stop "$c" immediate
ask 1 open "$c/data"
says 'error not-running'
says 'is not running'
ask 1 open "host=$c/sock user=postgres"
says 'error not-running'
says 'cannot be reached'
ok "a server that does not run"
