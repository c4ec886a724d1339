# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Copies of the mount and by SQLite, in pairs with the same tool, or cp, on the
# same files at rest. CPU is that of the command and, for the mount, of the
# daemon. Every copy goes to a fresh place, and every copy of the mount has a
# fresh mount, so that nothing of the one before is in the kernel's cache.

live=$src/live
quiet=$src/quiet
out=
# What there is of the daemon's memory after a copy of the mount.
memory=
counting=
hits=0
warming=

# The tools: what FROM TO. They copy the directory FROM to the new TO.
by_cp() { timeout "$limit" cp -r "$1" "$2"; }
by_rsync() { timeout "$limit" rsync -a "$1/" "$2/"; }
by_tar() { timeout "$limit" tar -C "$1" -cf "$2" .; }
by_restic() { timeout "$limit" restic -q --no-cache -r "$2" backup "$1"; }
by_ls() { timeout "$limit" ls -lR "$1"; }
by_backup() {
	timeout "$limit" sqlite3 -cmd '.timeout 10000' "$1/app.db" \
		".backup $2"
}
by_vacuum() {
	timeout "$limit" sqlite3 -cmd '.timeout 10000' "$1/app.db" \
		"VACUUM INTO '$2'"
}

by_stillctl() {
	timeout "$limit" "$STILLCTL" backup --quiet --create \
		--state="$state" "$1" "$2"
}

# own_memory [MIB]: what the copy and the kernel's cache of the mount are about to
# take. A virtual machine gives free memory back to its host, and the side that
# has to ask for it again looks several times as slow.
own_memory() {
	head -c "${1:-$((2 * size_mib))}M" /dev/zero >"$dest/memory"
	rm "$dest/memory"
}

# run_tool TOOL FROM WHAT: to a fresh place; WHAT is the writer's window.
run_tool() {
	local status
	rm -rf "$out"
	own_memory
	[ "$1" != by_restic ] || cp -r "$dest/restic" "$out"
	mark rest
	timed "$1" "$2" "$out"
	status=$?
	mark "${warming:-$3}"
	rm -rf "$out"
	return "$status"
}

# The sides of a pair. TOOL WHAT [BELOW [OPTION...]]: set wall and cpu.
on_quiet() { run_tool "$1" "$quiet" "${1#by_} of the files at rest"; }
on_live() { run_tool "$1" "$live" "$2"; }
on_mount() {
	local tool=$1 what=$2 below=$3 before status
	shift 3
	start_fs "$live" "$@"
	if ls "$mnt/backup" >/dev/null 2>"$tmp/errors"; then
		before=$(cpu_of "$fs_pid")
		run_tool "$tool" "$mnt/backup$below" "$what"
		status=$?
		cpu=$((cpu + $(cpu_of "$fs_pid") - before))
		memory="$(memory_of "$fs_pid")"
	else
		status=1
	fi
	end_fs
	return "$status"
}

# ran COMMAND...: or says why not, in $why.
ran() {
	local status
	"$@"
	status=$?
	case $status in
	0) ;;
	124) why="did not finish in $limit s" ;;
	*) why="failed: $(tail -n 1 "$tmp/errors" | tr '|' ' ')" ;;
	esac
	return "$status"
}

# pair RAW COMMAND...: both, in this order or the other by turns. Adds a ratio.
pair() {
	local raw=$1 side order=(raw other) raw_wall raw_cpu other_wall other_cpu
	shift
	[ $((turn++ % 2)) = 0 ] || order=(other raw)
	find "$quiet" "$live" -name '*.db' -exec cat {} + >/dev/null
	for side in "${order[@]}"; do
		if [ "$side" = raw ]; then
			ran on_quiet "$raw" || return
			raw_wall=$wall
			raw_cpu=$cpu
		else
			ran "$@" || return
			other_wall=$wall
			other_cpu=$cpu
		fi
	done
	ratio "$other_wall" "$raw_wall" >>"$tmp/wall"
	ratio "$other_cpu" "$raw_cpu" >>"$tmp/cpu"
}

# pairs LOAD WHAT AGAINST RAW SIDE TOOL [ARGUMENT...]: a row of the table.
# While rows are only counted, it is one more.
pairs() {
	local load=$1 what=$2 against=$3 raw=$4 side=$5 tool=$6 turn why=
	shift 6
	wanted "$what, $load" || return
	if [ -n "$counting" ]; then
		hits=$((hits + 1))
		return
	fi
	# A first run reads the program from the disk. It does not count.
	warming=rest
	ran on_quiet "$raw"
	warming=
	: >"$tmp/wall"
	: >"$tmp/cpu"
	why=
	for ((turn = 0; turn < runs;)); do
		pair "$raw" "$side" "$tool" "$what" "$@" || break
	done
	if [ -n "$why" ]; then
		row "$what" "$against" "$load" "$why" ''
	else
		row "$what" "$against" "$load" "$(spread <"$tmp/wall")" \
			"$(spread <"$tmp/cpu")"
	fi
}

# has_rows COMMAND...: would it show any?
has_rows() {
	hits=0
	counting=yes
	"$@"
	counting=
	[ "$hits" -gt 0 ]
}

# under LOAD: every row of it, of one big database.
under() {
	local load=$1 tool
	memory=
	pairs "$load" 'cp of the mount' 'cp' by_cp on_mount by_cp /data
	[ -z "$memory" ] || [ "$load" != idle ] ||
		echo "$size_mib MiB, one database|$memory" >>"$tmp/memory"
	pairs "$load" 'cp of the mount, checksum list too' cp \
		by_cp on_mount by_cp ''
	! has_option direct_io ||
		pairs "$load" 'cp of the mount, direct_io' cp \
			by_cp on_mount by_cp /data -o direct_io
	for tool in rsync tar restic; do
		command -v "$tool" >/dev/null || continue
		pairs "$load" "$tool of the mount" "$tool" \
			"by_$tool" on_mount "by_$tool" /data
	done
	pairs "$load" 'sqlite3 .backup' cp by_cp on_live by_backup
	pairs "$load" 'VACUUM INTO' cp by_cp on_live by_vacuum
	pairs "$load" 'stillctl backup' cp by_cp on_live by_stillctl
}

has_option() { "$STILLFS" --help | grep -qE "^ *$1\b"; }

# idle: somebody has the database open, and a part of it is in its log.
without_writer() {
	open_app "$live/app.db"
	app "UPDATE t SET b=randomblob(900) WHERE a%3=0;"
	under idle
	close_app
}

# with_writer RATE: and what the writer met.
with_writer() {
	start_pace "$live" "$1"
	sleep 2
	mark nothing
	under "$1/s"
	stop_pace
	writer_rows "$1/s" >>"$tmp/writers"
}

make_database() {
	[ ! -d "$live" ] || return 0
	mkdir "$live" "$quiet"
	big_db "$quiet/app.db" "$size_mib" 'randomblob(900)' 1024
	cp "$quiet/app.db" "$live/app.db"
	sync "$live/app.db"
}

one_database() {
	local load
	if [ "$(room "$src")" -lt $((4 * size_mib)) ]; then
		left_out "copies: $(room "$src") MiB free for the databases"
		return
	fi
	for load in $loads; do
		if [ "$load" = 0 ]; then
			has_rows under idle || continue
			make_database
			without_writer
		else
			has_rows under "$load/s" || continue
			make_database
			with_writer "$load"
		fi
	done
	rm -rf "$live" "$quiet"
}

many_rows() {
	memory=
	pairs idle "ls -lR of the mount, $dbs databases" 'ls -lR' \
		by_ls on_mount by_ls /data
	pairs idle "cp of the mount, $dbs databases" cp by_cp on_mount by_cp \
		/data
	[ -z "$memory" ] ||
		echo "$dbs small databases|$memory" >>"$tmp/memory"
}

# Nobody has these open.
many_databases() {
	has_rows many_rows || return
	many_dbs "$live" "$dbs"
	cp -r "$live" "$quiet"
	many_rows
	rm -rf "$live" "$quiet"
}

copies() {
	local tool
	export RESTIC_PASSWORD=bench
	out=$dest/out
	for tool in rsync tar restic; do
		command -v "$tool" >/dev/null ||
			left_out "$tool: it is not installed"
	done
	[ "$(type -P restic)" = '' ] ||
		restic -q --no-cache -r "$dest/restic" init ||
		fail "restic cannot make a repository"
	has_option direct_io || left_out "direct_io: the option is not there"
	table "Ratios to the same files at rest. One database has $size_mib MiB." \
		command against load wall CPU
	one_database
	many_databases
}
