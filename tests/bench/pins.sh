# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What a session costs an application for as long as it lasts. Some alike write
# side by side, each to a database of its own. One has no session, each of the
# others has one, with another `pin=`, which a slow backup reads. Whatever the
# machine does meanwhile, it does to all of them.

pins_dir=$tmp/pins
declare -A pins_fs
pins_apps=()

# pins_mount MODE: a session's log may become as long as it does.
pins_mount() {
	local dir=$pins_dir/$1 options=state=$pins_dir/$1/state
	if has_option pin=; then
		options+=,pin=$1
		[ "$1" = auto ] || options+=,wal_max=1T
	fi
	"$program" "$dir/src" "$dir/mnt" -f -o "$options" >"$log.$1" 2>&1 &
	pins_fs[$1]=$!
	started+=($!)
	wait_for 20 grep -q ' info mounted ' "$log.$1" ||
		fail "the mount is not ready"
}

# pins_start MODE CHECKPOINTS RATE: an application. A pipe that it has open
# itself waits for nobody, and does not end.
pins_start() {
	local dir=$pins_dir/$1
	mkdir -p "$dir/src" "$dir/mnt"
	cp "$pins_dir/app.db" "$dir/src/app.db"
	mkfifo "$dir/in"
	"$PATIENT" "$dir/src/app.db" "$3" "$2" <>"$dir/in" >"$dir.app" &
	pins_apps+=($!)
	started+=($!)
	wait_for 20 grep -q ready "$dir.app" || fail "an application did not start"
	[ "$1" = none ] || pins_mount "$1"
}

# pins_tell LINE: to the applications.
pins_tell() {
	local mode
	for mode in $pin_modes; do
		echo "$1" >"$pins_dir/$mode/in"
	done
}

pins_watch() {
	local mode what=()
	for mode in $pin_modes; do
		what+=("$mode=$pins_dir/$mode/src/app.db")
		[ "$mode" = none ] || what[-1]+=",$pins_dir/$mode/mnt"
	done
	"$pins_py" watch "$pins_dir" "${what[@]}" &
	pins_watch=$!
	started+=($!)
}

# pins_session: all at once. The backup reads each byte once, and takes as long
# as the session.
pins_session() {
	local mode begins=() readers=()
	echo "$EPOCHREALTIME" >"$pins_dir/begin"
	for mode in "${!pins_fs[@]}"; do
		"$STILLCTL" begin "$pins_dir/$mode/mnt" >"$log.begin" &
		begins+=($!)
	done
	for mode in "${begins[@]}"; do
		wait "$mode" || fail "a session does not begin"
	done
	for mode in "${!pins_fs[@]}"; do
		"$pins_py" read "$pins_dir/$mode/mnt/backup" \
			$((pins_mib * 1048576 / pins_s)) \
			>"$pins_dir/$mode.read" 2>&1 &
		readers+=($!)
	done
	started+=("${readers[@]}")
	sleep "$pins_s"
	echo "$EPOCHREALTIME" >"$pins_dir/end"
	for mode in "${!pins_fs[@]}"; do
		awk -v us="$(cpu_of "${pins_fs[$mode]}")" \
			'BEGIN {printf "%.1f\n", us / 1000000}' \
			>"$pins_dir/$mode.cpu"
	done
	kill "${readers[@]}" 2>/dev/null
	wait "${readers[@]}"
}

pins_end() {
	local mode
	pins_tell end
	wait "${pins_apps[@]}" || fail "an application failed"
	kill "$pins_watch" && wait "$pins_watch"
	for mode in "${!pins_fs[@]}"; do
		cp "$pins_dir/$mode/mnt/events" "$pins_dir/$mode.events"
		umount "$pins_dir/$mode/mnt" || fail "umount failed"
		wait "${pins_fs[$mode]}"
		log=$log.$mode check_log
	done
	pins_apps=()
	pins_fs=()
}

# pins_rows WHAT
pins_rows() {
	# shellcheck disable=SC2086 # words
	"$pins_py" "$1" "$pins_dir" $pin_modes >"$tmp/pins.$1" ||
		fail "pins.py $1"
	rows_in "pins.$1"
}

# pins_of CHECKPOINTS RATE WHAT
pins_of() {
	local mode
	wanted "pins, $1, $2/s" || return
	# Databases, copies of them, and what a log becomes that is held.
	if [ "$(room "$tmp")" -lt $((10 * pins_mib)) ]; then
		left_out "pins, $1, $2/s: $(room "$tmp") MiB free"
		return
	fi
	rm -rf "$pins_dir"
	mkdir "$pins_dir"
	big_db "$pins_dir/app.db" "$pins_mib" 'randomblob(900)' 1024
	for mode in $pin_modes; do
		pins_start "$mode" "$1" "$2"
	done
	rm "$pins_dir/app.db"
	sync -f "$pins_dir"
	pins_watch
	# What the first commits cost is not what is looked for.
	sleep 3
	pins_tell begin
	pins_session
	pins_end
	[ -z "${KEEP:-}" ] || {
		mkdir -p "$KEEP/$1-$2"
		find "$pins_dir" -maxdepth 1 -type f \
			-exec cp {} "$KEEP/$1-$2/" \;
	}
	table "$3: a session of $pins_s s of $pins_mib MiB. Commits, in ms from
their begin. Stalls are \`alone\` beside which the one without a session had
nothing half as long. Seconds are calm in which neither that one nor the machine
needed over 50 ms for anything." pin commits/s failed p50 p99 p99.9 longest \
		'over 100 ms' alone 'longest in' 'calm seconds' checkpoints \
		busy 'p50 of these' 'longest one'
	pins_rows commits
	table "The same: the log and the spool, in MiB, and seconds." pin \
		'log at most' 'log at the end' 'copied after' copied \
		'log until then' spool 'oldest pin' moves 'let by' CPU
	pins_rows pins
	table "The same: stalls that are alone, and what took more than 50 ms
beside them." pin second ms 'beside it'
	pins_rows stalls
	rm -rf "$pins_dir"
}

pins() {
	pins_py=$(dirname "$0")/pins.py
	pins_of auto 200 'Checkpoints by SQLite itself, 200 commits/s'
	pins_of truncate 200 'TRUNCATE each second, 200 commits/s'
	pins_of truncate 2000 'TRUNCATE each second, 2000 commits/s'
}
