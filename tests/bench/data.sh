# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Databases to measure with, and room for them.

# room DIR: free MiB there, and no more than memory has if it is memory.
room() {
	local mib available
	mib=$(df -Pm "$1" | awk 'NR == 2 {print $4}')
	if [ "$(stat -f -c %T "$1")" = tmpfs ]; then
		available=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' \
			/proc/meminfo)
		# Not the last of it: others need some, and the page cache.
		available=$((available / 2))
		[ "$mib" -lt "$available" ] || mib=$available
	fi
	echo "$mib"
}

# place_for MIB: a new directory in memory, or else below TMPDIR.
place_for() {
	if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ] &&
		[ "$(room /dev/shm)" -ge "$1" ]; then
		mktemp -d /dev/shm/stillfs-bench.XXXXXX
	else
		mktemp -d "$tmp/place.XXXXXX"
	fi
}

# big_db FILE MIB VALUE ROWS: in WAL mode, with ROWS rows to the MiB of what the
# SQL expression VALUE makes, and a table of 4000 rows that can be written to.
# It is on disk when this is done, and in the page cache.
big_db() {
	python3 - "$@" <<-'EOP'
		import sqlite3, sys
		file, mib, value, rows = sys.argv[1:]
		numbers = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1" \
		    " FROM c WHERE i<%d) "
		c = sqlite3.connect(file, isolation_level=None)
		c.execute("PRAGMA synchronous=OFF")
		c.execute("PRAGMA journal_mode=OFF")
		c.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
		c.execute("CREATE TABLE big(b)")
		c.execute("INSERT INTO t " + numbers % 4000 +
		    "SELECT i, randomblob(900) FROM c")
		# The first table has 4 MiB.
		c.execute("INSERT INTO big " +
		    numbers % max((int(mib) - 4) * int(rows), 1) +
		    "SELECT %s FROM c" % value)
		c.execute("PRAGMA journal_mode=WAL")
		c.close()
	EOP
	sync "$1"
	cat "$1" >/dev/null
}

# many_dbs DIR N [MODE...]: N small databases, a hundred to a directory, of
# these journal modes (wal) in turn.
many_dbs() {
	local dir=$1 n=$2 i modes
	shift 2
	modes=("${@:-wal}")
	mkdir -p "$dir"
	for i in "${!modes[@]}"; do
		sqlite3 "$tmp/template.$i" "PRAGMA journal_mode=${modes[i]};
			CREATE TABLE t(a INTEGER PRIMARY KEY, b);
			INSERT INTO t VALUES(1, randomblob(20000));" >/dev/null
	done
	for ((i = 0; i < n; i++)); do
		[ $((i % 100)) != 0 ] || mkdir "$dir/$((i / 100))"
		echo "$tmp/template.$((i % ${#modes[@]}))" \
			"$dir/$((i / 100))/$i.db"
	done | xargs -n 2 cp
	rm -f "$tmp"/template.*
}
