# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What a command costs, and what of that may be said: never a time that stands
# alone, but a ratio to another command that ran just before or after it, and
# of several ratios the median, with minimum and maximum.

# cpu_of PID: microseconds of user and system time so far, all threads, those
# that have ended too. /proc/PID/stat has the same in hundredths of a second,
# which is a tenth of what is measured here.
cpu_of() {
	python3 -c 'import sys, time
print(time.clock_gettime_ns(~int(sys.argv[1]) << 3 | 2) // 1000)' "$1"
}

# timed COMMAND...: sets wall and cpu, in microseconds, of it and its children.
# Returns its status.
timed() {
	local start=${EPOCHREALTIME/./} status used TIMEFORMAT='%3U %3S'
	{
		time "$@" >/dev/null 2>"$tmp/errors"
		status=$?
	} 2>"$tmp/time"
	wall=$((${EPOCHREALTIME/./} - start))
	read -r -a used <"$tmp/time"
	cpu=$((10#${used[0]/./} * 1000 + 10#${used[1]/./} * 1000))
	return "$status"
}

# spread [DIGITS]: of the numbers on stdin, "median (minimum-maximum)".
spread() {
	sort -g | awk -v f="%.${1:-2}f" '{v[NR] = $1} END {
		if (NR) printf f " (" f "-" f ")", v[int((NR + 1) / 2)], v[1], v[NR]
		else printf "-"}'
}

# ratio A B: a line, or none where B is too small to divide by.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {if (b >= 2000) print a / b}'; }

# memory_of PID: its peak and its own pages, in MiB.
memory_of() {
	awk '/^VmHWM:/ {peak = $2} /^RssAnon:/ {own = $2}
		END {printf "%.1f|%.1f", peak / 1024, own / 1024}' \
		"/proc/$1/status"
}
