# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The freeze: how long it takes, by size and by number of databases, what it and
# the end of its session cost with what is written down of them, and how long it
# holds a writer off.

# ms_since US: and now.
ms_since() {
	awk -v us=$((${EPOCHREALTIME/./} - $1)) 'BEGIN {printf "%.2f\n", us / 1000}'
}

# freeze_times DIR [OPTION...]: RUNS freezes, in ms, one a line each in $tmp/freeze: the
# freeze, in $tmp/listing: the first ls, in $tmp/end: from umount until the
# daemon is gone, of a session that was not read.
freeze_times() {
	local i start
	: >"$tmp/freeze"
	: >"$tmp/listing"
	: >"$tmp/end"
	for ((i = 0; i < runs; i++)); do
		start_fs "$@"
		start=${EPOCHREALTIME/./}
		ls "$mnt/backup" >/dev/null 2>&1
		ms_since "$start" >>"$tmp/listing"
		freeze_ms >>"$tmp/freeze"
		start=${EPOCHREALTIME/./}
		umount "$mnt" || fail "umount failed"
		wait "$fs_pid"
		ms_since "$start" >>"$tmp/end"
		fs_pid=
		check_log
	done
}

# freeze_row WHAT DIR [OPTION...]
freeze_row() {
	local what=$1
	shift
	freeze_times "$@"
	[ "$(wc -l <"$tmp/freeze")" = "$runs" ] || what="$what, some failed"
	row "$what" "$(spread <"$tmp/freeze")" "$(spread <"$tmp/listing")" \
		"$(spread <"$tmp/end")"
}

# freeze_of_size MIB: the log is as long at each size.
freeze_of_size() {
	local dir=$src/size
	wanted "freeze, $1 MiB" || return
	if [ "$(room "$src")" -lt $(($1 + $1 / 4 + 64)) ]; then
		left_out "freeze, $1 MiB: $(room "$src") MiB free"
		return
	fi
	mkdir "$dir"
	# Whole pages of one row: this is written as fast as the disk goes.
	big_db "$dir/app.db" "$1" 'zeroblob(1047500)' 1
	open_app "$dir/app.db"
	app "UPDATE t SET b=randomblob(900);"
	freeze_row "$1 MiB" "$dir"
	close_app
	rm -rf "$dir"
}

# freeze_of_many: that nobody has open.
freeze_of_many() {
	wanted "freeze, $dbs databases" || return
	many_dbs "$src/many" "$dbs"
	freeze_row "$dbs small databases" "$src/many"
	rm -rf "$src/many"
}

# stall_window NAME COMMAND...: a mount, and a window of the writer with the
# command in it, of the same length whatever it takes. Adds to NAME's numbers.
stall_window() {
	local name=$1 start
	shift
	start_fs "$dest/stall"
	mark rest
	start=${EPOCHREALTIME/./}
	"$@" >/dev/null 2>&1
	sleep "$(awk -v us=$((1500000 - (${EPOCHREALTIME/./} - start))) \
		'BEGIN {print (us > 0 ? us / 1000000 : 0)}')"
	mark "$name"
	of_window max >>"$tmp/$name.due"
	of_window commit_max >>"$tmp/$name.commit"
	freeze_ms >>"$tmp/$name.freeze"
	end_fs
}

ms_of() { awk '{print $1 / 1000}' "$tmp/$1" | spread; }

# stall_row N WHAT MODE...: the longest commit of all, in windows with a freeze
# and without one by turns. In memory, so that no disk is measured.
stall_row() {
	local n=$1 what=$2 i name
	shift 2
	wanted "stall, $n databases, $what" || return
	many_dbs "$dest/stall" "$n" "$@"
	rm -f "$tmp"/{nothing,frozen}.*
	start_pace "$dest/stall" 500
	for ((i = 0; i < runs; i++)); do
		stall_window nothing true
		stall_window frozen ls "$mnt/backup"
	done
	stop_pace
	rm -rf "$dest/stall"
	[ "$(wc -l <"$tmp/frozen.freeze")" = "$runs" ] ||
		what="$what, some freezes failed"
	row "$n" "$what" "$(spread <"$tmp/frozen.freeze")" \
		"$(ms_of nothing.due)" "$(ms_of frozen.due)" \
		"$(ms_of nothing.commit)" "$(ms_of frozen.commit)"
}

# takes_rollback: can databases with a rollback journal be mounted?
takes_rollback() {
	local status
	many_dbs "$tmp/probe" 1 delete
	timeout 10 "$STILLFS" "$tmp/probe" "$mnt" >/dev/null 2>&1
	status=$?
	[ "$status" != 0 ] || umount "$mnt"
	rm -rf "$tmp/probe"
	return "$status"
}

stalls() {
	local n
	for n in 2 100 "$dbs"; do
		stall_row "$n" WAL wal
	done
	if takes_rollback; then
		for n in 2 100 "$dbs"; do
			stall_row "$n" 'WAL and rollback' wal delete
		done
	else
		left_out "stalls, rollback journals: they are refused"
	fi
}

freezes() {
	local n
	table 'Freeze, in ms: alone, until backup/ is listed, and the end of the
session. The log of a single database has 1000 frames.' \
		databases freeze 'first ls' 'umount until gone'
	for n in $sizes; do
		freeze_of_size "$n"
	done
	freeze_of_many
	table 'Longest commit of a writer with 500 commits/s, in ms, in 1.5 s.' \
		databases journal freeze \
		'from due, no freeze' 'from due, freeze' \
		'from begin, no freeze' 'from begin, freeze'
	stalls
}
