#!/bin/bash
# SPDX-License-Identifier: MIT
# Ratios, never times: each command in turn with plain cp of the quiesced files,
# RUNS times; a ratio per pair, of which minimum, median and maximum are shown.
# CPU is user and system time of the command and, for the mount, of the daemon.
#
#	RUNS      pairs (7)
#	SIZE_MIB  of the database (256)
. "$(dirname "$0")/../lib/mount.sh"

runs=${RUNS:-7}
size_mib=${SIZE_MIB:-256}
db=$src/app.db
tick_ms=$((1000 / $(getconf CLK_TCK)))

python3 - "$db" "$size_mib" <<-'EOF'
	import os, sqlite3, sys
	c = sqlite3.connect(sys.argv[1])
	c.execute("PRAGMA journal_mode=WAL")
	c.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	for i in range(int(sys.argv[2])):
	    c.executemany("INSERT INTO t(b) VALUES(?)",
	        [(os.urandom(900),) for _ in range(1024)])
	    c.commit()
	c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
	c.close()
EOF
open_app "$db"
app "UPDATE t SET b=randomblob(900) WHERE a%97=0;"

# cpu_of PID: milliseconds of user and system time so far.
cpu_of() {
	awk -v t="$tick_ms" '{sub(/.*\) /, ""); print ($12 + $13) * t}' \
		"/proc/$1/stat"
}
# timed COMMAND...: sets wall (ms) and cpu (ms) of it.
timed() {
	local out
	out=$({ TIMEFORMAT='%3R %3U %3S'; time "$@" >/dev/null 2>&1; } 2>&1)
	wall=$(awk '{printf "%d", $1 * 1000}' <<<"$out")
	cpu=$(awk '{printf "%d", ($2 + $3) * 1000}' <<<"$out")
}
spread() { sort -n | awk '{v[NR] = $1} END {
	printf "%.2f (%.2f-%.2f)", v[int((NR + 1) / 2)], v[1], v[NR]}'; }
row() { printf '| %s | %s | %s |\n' "$1" "$(spread <"$tmp/wall")" \
	"$(spread <"$tmp/cpu")"; }

raw() { cp "$db" "$tmp/raw.db"; }
by_mount() { cp "$mnt/backup/data/app.db" "$tmp/copy.db"; }
by_backup() { sqlite3 "$db" ".backup $tmp/backup.db"; }
by_vacuum() { rm -f "$tmp/vacuum.db" && sqlite3 "$db" "VACUUM INTO '$tmp/vacuum.db'"; }

# pairs COMMAND: fills $tmp/wall and $tmp/cpu with ratios to raw.
pairs() {
	local i before daemon
	: >"$tmp/wall"
	: >"$tmp/cpu"
	raw
	for ((i = 0; i < runs; i++)); do
		timed raw
		set -- "$1" "$wall" "$cpu"
		daemon=0
		if [ "$1" = by_mount ]; then
			start_fs
			ls "$mnt/backup/data" >/dev/null
			before=$(cpu_of "$fs_pid")
			timed "$1"
			daemon=$(($(cpu_of "$fs_pid") - before))
			umount "$mnt"
			wait_fs
		else
			timed "$1"
		fi
		awk -v a="$wall" -v b="$2" 'BEGIN {print a / (b ? b : 1)}' >>"$tmp/wall"
		awk -v a=$((cpu + daemon)) -v b="$3" \
			'BEGIN {print a / (b ? b : 1)}' >>"$tmp/cpu"
	done
}

echo "Database of $size_mib MiB with a log, page size 4096, $runs pairs," \
	"page cache warm; ratios to plain cp: median (min-max)."
echo
echo '| command | wall | CPU |'
echo '| --- | --- | --- |'
pairs by_mount
row 'cp of the mount, verified'
pairs by_backup
row 'sqlite3 .backup'
pairs by_vacuum
row 'VACUUM INTO'
echo
echo '| database | freeze, ms: median (min-max) |'
echo '| --- | --- |'
for file in "$db" "$tmp/small/app.db"; do
	if [ "$file" != "$db" ]; then
		close_app
		mkdir "$tmp/small"
		make_db "$file" 4096 2000
		open_app "$file"
		app "UPDATE t SET b='x' WHERE a%7=0;"
	fi
	for ((i = 0; i < runs; i++)); do
		start_fs "$(dirname "$file")"
		ls "$mnt/backup" >/dev/null
		sed -n 's/.* freeze_ns=\([0-9]*\).*/\1/p' "$log"
		umount "$mnt"
		wait_fs
	done | awk '{print $1 / 1000000}' >"$tmp/freeze"
	echo "| $(($(stat -c %s "$file") / 1048576)) MiB |" \
		"$(spread <"$tmp/freeze") |"
done
close_app
