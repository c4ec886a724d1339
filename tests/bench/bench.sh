#!/bin/bash
# SPDX-License-Identifier: MIT
# Benchmarks, as Markdown on stdout. What the machine has no room for is left
# out, and said so at the end.
#
#	FULL      not empty: the values in parentheses
#	RUNS      pairs, or repetitions: 3 (7)
#	SIZE_MIB  of the database that is copied: 128 (1024)
#	SIZES     MiB of those that are frozen: 10 100 (10 100 1024 4096 8192)
#	DBS       how many "many" databases are: 2000
#	LOADS     commits a second while copying, 0 is idle: 0 500 (0 100 500)
#	LIMIT     seconds after which a command is given up: 10 (60)
#	PINS_S    seconds that a session lasts, beside which others write: 60
#	          (600)
#	PINS_MIB  of the databases of these: 1024
#	PIN_MODES what is compared: none auto govern hold
#	PG_FS     file systems of clusters: xfs, where a freeze clones, and ext4,
#	          where it copies
#	PG_SIZES  MiB of clusters that are frozen: 32 256 (32 256 1024 4096)
#	PG_RELATIONS  how many tables they have: 500 2000 (2000 10000 50000)
#	PG_SCALE  of pgbench, in clusters that are backed up: 10 (100)
#	KEEP      a directory in which what they met is left, in detail
#	ROWS      a regular expression: only rows that match. A row is called
#	          "cp of the mount, 500/s", "freeze, 100 MiB",
#	          "stall, 2 databases, WAL", "pins, truncate, 200/s",
#	          "freeze of a cluster, xfs" or
#	          "cluster, xfs, cp -r of the mount, pgbench".
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/time.sh"
. "$(dirname "$0")/data.sh"
. "$(dirname "$0")/writer.sh"
. "$(dirname "$0")/copies.sh"
. "$(dirname "$0")/freezes.sh"
. "$(dirname "$0")/pins.sh"
. "$(dirname "$0")/clusters.sh"
: "${PACE:?}" "${PATIENT:?}"

full() { [ -n "${FULL:-}" ] && echo "$2" || echo "$1"; }
runs=${RUNS:-$(full 3 7)}
size_mib=${SIZE_MIB:-$(full 128 1024)}
sizes=${SIZES:-$(full '10 100' '10 100 1024 4096 8192')}
dbs=${DBS:-2000}
loads=${LOADS:-$(full '0 500' '0 100 500')}
limit=${LIMIT:-$(full 10 60)}
pins_s=${PINS_S:-$(full 60 600)}
pins_mib=${PINS_MIB:-1024}
pin_modes=${PIN_MODES:-none auto govern hold}
pg_fs=${PG_FS:-xfs ext4}
pg_sizes=${PG_SIZES:-$(full '32 256' '32 256 1024 4096')}
pg_relations=${PG_RELATIONS:-$(full '500 2000' '2000 10000 50000')}
pg_scale=${PG_SCALE:-$(full 10 100)}
rows=${ROWS:-.}

# Without a server it would skip all of this.
pg_here=
if [ -x "${PG_BINDIR:-$(pg_config --bindir 2>/dev/null)}/postgres" ] &&
	id -u postgres >/dev/null 2>&1; then
	pg_here=yes
	. "$(dirname "$0")/../lib/cluster.sh"
fi

# wanted ROW
wanted() { [[ $1 =~ $rows ]]; }
left_out() { echo "- $*" >>"$tmp/left-out"; }

# table TITLE COLUMN...: it begins with its first row, if it has one.
table() {
	printf '\n%s\n\n' "$1" >"$tmp/head"
	shift
	row_of "$@" >>"$tmp/head"
	row_of "${@//*/---}" >>"$tmp/head"
}
row_of() {
	printf '| %s ' "$@"
	echo '|'
}
# row CELL...
row() {
	[ ! -e "$tmp/head" ] || cat "$tmp/head"
	rm -f "$tmp/head"
	row_of "$@"
}

# freeze_ms: of the mount's session, from its log.
freeze_ms() {
	sed -n 's/.* freeze_ns=\([0-9]*\).*/\1/p' "$log" |
		awk '{printf "%.2f\n", $1 / 1000000}'
}

# end_fs: whatever the outcome.
end_fs() {
	umount "$mnt" || fail "umount failed"
	wait_for 30 gone_or_zombie "$fs_pid" || fail "the daemon is still there"
	wait "$fs_pid"
	fs_pid=
	check_log
}

end_bench() {
	local status=$?
	# make sends the signal once more.
	trap '' INT TERM
	if [ -n "$pace_pid" ]; then
		kill "$pace_pid" 2>/dev/null
		wait "$pace_pid"
	fi
	[ -z "$pg_here" ] || cluster_end
	rm -rf "${dest:-}"
	(exit "$status")
	cleanup
}
trap end_bench EXIT

# rows_in NAME: those that were kept in this file, fields with | between.
rows_in() {
	local cells
	while IFS='|' read -r -a cells; do
		row "${cells[@]}"
	done <"$tmp/$1"
}

facts() {
	echo "$(nproc) cores, $(awk '/^MemTotal:/ {
		printf "%d GiB", $2 / 1048576}' /proc/meminfo) of memory," \
		"$(uname -sr);" \
		"databases on $(findmnt -no FSTYPE -T "$src" | tail -n 1)," \
		"sessions remembered on" \
		"$(findmnt -no FSTYPE -T "$tmp" | tail -n 1)," \
		"copies on $(findmnt -no FSTYPE -T "$dest" | tail -n 1);" \
		"SQLite $(sqlite3 --version | cut -d ' ' -f 1)," \
		"${pg_here:+$("$pg_bin/postgres" --version),}" \
		"$("$STILLFS" --version | head -n 1)."
	echo
	echo "$runs pairs, page cache warm; median (minimum-maximum). CPU is user" \
		"and system time of the command and the daemon."
}

dest=$(place_for $((2 * size_mib + pg_scale * 40 + 512)))
: >"$tmp/left-out"
: >"$tmp/memory"
: >"$tmp/writers"
facts
copies
table 'Commits of a writer while each runs, in ms: from when they were due, and
from when they began.' load while commits failed 'due p50' 'due p99' 'due max' \
	'begin p50' 'begin p99' 'begin max'
rows_in writers
freezes
pins
cluster_tables
table 'Memory of the daemon after a copy of the mount, in MiB.' \
	copied VmHWM RssAnon
rows_in memory
if [ -s "$tmp/left-out" ]; then
	printf '\nLeft out:\n\n'
	cat "$tmp/left-out"
fi
