# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Real clusters for tests. A test sources this, alone or behind mount.sh; alone
# it gets $tmp, ok, fail, skip and wait_for from here. Each cluster lies in a
# directory of its own:
#
#	DIR/data   the PGDATA, of user postgres
#	DIR/sock   its socket; there is no TCP, so that no two tests meet
#	DIR/log    what the server says
#
#	cluster_new DIR [INITDB-OPTION...]  initdb -k; not started
#	cluster_conf DIR 'NAME = VALUE'...  lines for postgresql.conf
#	cluster_hba DIR LINE...             instead of pg_hba.conf; then reload
#	cluster_start DIR [OPTION...]       ready when it returns
#	cluster_stop DIR [MODE]             fast, smart or immediate (a crash)
#	cluster_reload DIR
#	cluster_run DIR PROGRAM ARGUMENT... a client program, connected as the
#	                                    superuser: pgbench, pg_basebackup ...
#	cluster_psql DIR ARGUMENT...        psql, bare output, ends at an error
#	cluster_server DIR PROGRAM ARGUMENT...  a server program, as user postgres:
#	                                    pg_controldata, pg_waldump ...
#	cluster_conninfo DIR [NAME=VALUE...]  a connection string
#	cluster_end [DIR...]                stop them (all) at once; the trap does
#
# PG_BINDIR names the server's programs, where pg_config does not.

set -u
pg_bin=${PG_BINDIR:-$(pg_config --bindir 2>/dev/null)}
clusters=()
# Nothing of the caller's own surroundings is meant.
unset PGDATA PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGPASSFILE \
	PGSERVICE PGSERVICEFILE PGSYSCONFDIR PGOPTIONS PGAPPNAME PGSSLMODE \
	PGGSSENCMODE PGCONNECT_TIMEOUT PGCLIENTENCODING PGTARGETSESSIONATTRS

# No descriptor of the test or of make reaches a server, which lives longer than
# the call. Nor does a directory that user postgres may not enter.
cluster_as_postgres() (
	cd / || exit 1
	exec runuser -u postgres -- "$@" 7>&- 8>&- </dev/null
)

cluster_server() {
	local dir=$1 program=$2
	shift 2
	PGDATA=$dir/data cluster_as_postgres "$pg_bin/$program" "$@"
}

cluster_run() (
	export PGHOST=$1/sock PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	program=$pg_bin/$2
	shift 2
	exec "$program" "$@"
)

cluster_psql() {
	local dir=$1
	shift
	cluster_run "$dir" psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

cluster_conninfo() {
	local dir=$1
	shift
	printf '%s' "host=$dir/sock port=5432 dbname=postgres${*:+ }$*"
}

cluster_conf() {
	local dir=$1
	shift
	printf '%s\n' "$@" >>"$dir/data/postgresql.conf"
}

cluster_reload() { cluster_server "$1" pg_ctl -s reload; }

cluster_hba() {
	local dir=$1
	shift
	printf '%s\n' "$@" >"$dir/data/pg_hba.conf"
	[ ! -e "$dir/data/postmaster.pid" ] || cluster_reload "$dir"
}

cluster_new() {
	local dir=$1
	shift
	[ "${#dir}" -lt 80 ] || fail "no socket can lie in $dir: too long"
	mkdir -p "$dir/sock" "$dir/data" &&
		chmod 755 "$dir" "$dir/sock" && chmod 700 "$dir/data" &&
		chown postgres: "$dir" "$dir/sock" "$dir/data" || return 1
	cluster_server "$dir" initdb -k -N -A trust -U postgres -E UTF8 \
		--locale=C "$@" >"$dir/initdb.log" 2>&1 ||
		fail "initdb: $(cat "$dir/initdb.log")"
	# A crash of the machine is not what is tested.
	cluster_conf "$dir" "listen_addresses = ''" "port = 5432" \
		"unix_socket_directories = '$dir/sock'" \
		"shared_buffers = 16MB" "fsync = off" \
		"log_line_prefix = '%m [%p] %q%u@%d %a '" \
		"log_replication_commands = on"
}

cluster_start() {
	local dir=$1
	shift
	[[ " ${clusters[*]-} " == *" $dir "* ]] || clusters+=("$dir")
	cluster_server "$dir" pg_ctl -s -w -t 120 -l "$dir/log" -o "$*" start ||
		fail "start of $dir: $(tail -n 20 "$dir/log")"
}

cluster_stop() {
	cluster_server "$1" pg_ctl -s -w -t 120 -m "${2:-fast}" stop
}

cluster_end() {
	local dir
	[ $# -gt 0 ] || set -- ${clusters[@]+"${clusters[@]}"}
	for dir in "$@"; do
		[ ! -e "$dir/data/postmaster.pid" ] ||
			cluster_stop "$dir" immediate >/dev/null 2>&1
	done
}

# In the trap: the status of the test is kept, and handed on to that of mount.sh.
cluster_cleanup() {
	local status=$? dir
	trap '' INT TERM
	cluster_end
	if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
		for dir in ${clusters[@]+"${clusters[@]}"}; do
			[ ! -s "$dir/log" ] || {
				echo "--- $dir/log"
				tail -n 60 "$dir/log"
			}
		done
	fi
	if declare -F cleanup >/dev/null; then
		(exit "$status")
		cleanup
	fi
	rm -rf "$tmp"
	exit "$status"
}

if ! declare -F cleanup >/dev/null; then
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/stillfs-test.XXXXXX")
	chmod 755 "$tmp"
	# shellcheck source=tests/lib/say.sh
	. "${BASH_SOURCE[0]%/*}/say.sh"
	trap 'exit 1' INT TERM
fi
trap cluster_cleanup EXIT

[ "$(id -u)" = 0 ] || skip "needs root"
[ -x "$pg_bin/postgres" ] || skip "no PostgreSQL server in '$pg_bin'"
id -u postgres >/dev/null 2>&1 || skip "no user postgres"
