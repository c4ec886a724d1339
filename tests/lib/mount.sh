# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What mount tests share. A test sources this, says what it expects with `ok`
# and stops at the first thing that is not so. Everything it makes lies below
# $tmp; whatever happens, nothing stays mounted and no process stays behind.
#
# Environment, set by the makefile: STILLFS, STILLCTL, LOAD, WAL, PEEK, GRIP,
# CKSUM, HAMMER, CHURN, GOVERNOR_HAMMER (programs).
# STILL_CI=1: what cannot be tested here is a failure, not a skip.

set -u
: "${STILLFS:?}" "${STILLCTL:?}" "${LOAD:?}" "${WAL:?}" "${PEEK:?}"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/stillfs-test.XXXXXX")
src=$tmp/src
mnt=$tmp/mnt
state=$tmp/state
log=$tmp/log
mkdir "$src" "$mnt"
chmod 755 "$tmp"
# What a test does is remembered in its own state directory, and nowhere else.
printf '#!/bin/sh\nexec %q -o state=%q "$@"\n' "$STILLFS" "$state" >"$tmp/stillfs"
chmod 755 "$tmp/stillfs"
program=$STILLFS
STILLFS=$tmp/stillfs
# Whatever this machine mounts at boot is not meant.
export STILLCTL_FSTAB=/dev/null
fs_pid=
started=()

cleanup() {
	local status=$? p
	# make sends its signal twice.
	trap '' INT TERM
	for p in ${started[@]+"${started[@]}"} $fs_pid; do
		kill -9 "$p" 2>/dev/null
	done
	while IFS= read -r p; do
		# Odd bytes stand there as octal numbers.
		umount -l "$(printf %b "${p//\\/\\0}")" 2>/dev/null
	done < <(awk -v t="$tmp/" 'index($5, t) == 1 {print $5}' \
		/proc/self/mountinfo)
	if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
		for p in "$tmp"/log*; do
			[ -s "$p" ] && { echo "--- $p"; tail -n 200 "$p"; }
		done
	fi
	rm -rf "$tmp"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# shellcheck source=tests/lib/say.sh
. "${BASH_SOURCE[0]%/*}/say.sh"
[ -c /dev/fuse ] || skip "no /dev/fuse"
[ "$(id -u)" = 0 ] || skip "needs root"

gone() { ! kill -0 "$1" 2>/dev/null; }
mounted() { awk -v m="$1" '$5 == m {f = 1} END {exit !f}' /proc/self/mountinfo; }

# launch_fs [SOURCE [OPTION...]]: in the foreground, log in $log.
launch_fs() {
	local source=${1:-$src}
	[ $# -gt 0 ] && shift
	: >"$log"
	# Without the descriptors through which the test talks to others.
	"$STILLFS" "$source" "$mnt" -f "$@" >>"$log" 2>&1 7>&- 8>&- &
	fs_pid=$!
}
# start_fs [SOURCE [OPTION...]]: the same, until the mount is ready.
start_fs() {
	launch_fs "$@"
	wait_for 20 grep -q ' info mounted ' "$log" || fail "the mount is not ready"
}

# ctl STATUS VERB [ARGUMENT...]: stillctl ends with this status. What it printed
# is in $tmp/ctl.out and $tmp/ctl.err.
ctl() {
	local want=$1 got
	shift
	timeout -k 5 120 "$STILLCTL" "$@" >"$tmp/ctl.out" 2>"$tmp/ctl.err"
	got=$?
	[ "$got" = "$want" ] || {
		cat "$tmp/ctl.out" "$tmp/ctl.err"
		fail "stillctl $*: exit $got, not $want"
	}
}
# ctl_says TEXT..., ctl_complains TEXT...: all of these are in what it printed.
ctl_says() { said_in "$tmp/ctl.out" "$@"; }
ctl_complains() { said_in "$tmp/ctl.err" "$@"; }
said_in() {
	local file=$1 text
	shift
	for text; do
		grep -qF -- "$text" "$file" ||
			{ cat "$file"; fail "stillctl does not say: $text"; }
	done
}

# A daemon's log and exit status tell of memory errors and failed assertions.
check_log() {
	if grep -nE 'Sanitizer|runtime error|[Aa]ssertion|Segmentation' "$log"; then
		fail "the daemon's log has bad words"
	fi
}

# wait_fs: the daemon ends within 2 s, with exit status 0. Sets took_ms.
wait_fs() {
	local status start
	start=$(date +%s%N)
	wait_for 2 gone_or_zombie "$fs_pid" || fail "the daemon is still there"
	took_ms=$((($(date +%s%N) - start) / 1000000))
	wait "$fs_pid"
	status=$?
	fs_pid=
	check_log
	[ "$status" = 0 ] || fail "the daemon ended with $status"
}
gone_or_zombie() {
	[ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"
}

# stop_fs OUTCOME: unmount, and require this outcome.
stop_fs() {
	umount "$mnt" || fail "umount failed"
	wait_fs
	outcome_is "$1"
}
outcome_is() {
	local got
	got=$(outcome)
	[ "$got" = "$1" ] || fail "outcome is '$got', not '$1'"
	[ "$(grep -c ' session-end ' "$log")" = 1 ] || fail "not one session-end"
}
outcome() {
	sed -n 's/.* session-end .* outcome="\{0,1\}\([A-Z]*\((.*)\)\{0,1\}\)"\{0,1\} files=.*/\1/p' "$log"
}

# record KEY [N]: of the newest session that the catalog knows, or of the Nth
# before it. Empty where there is none.
record() {
	"$STILLCTL" list --all --json --state "$state" \
		>"$tmp/list.json" 2>"$tmp/list.err" || {
		echo "list failed: $(cat "$tmp/list.err")"
		return
	}
	sqlite3 :memory: "SELECT json_extract(CAST(readfile('$tmp/list.json')
		AS TEXT), '\$[${2:-0}].$1')"
}
# recorded OUTCOME: it is the newest session's.
recorded() {
	local got
	got=$(record outcome)
	[ "$got" = "$1" ] || fail "the catalog says '$got', not '$1'"
}

# make_db FILE [PAGE_SIZE [ROWS]]: in WAL mode; nobody has it open afterwards.
make_db() {
	sqlite3 "$1" "PRAGMA page_size=${2:-4096}; PRAGMA journal_mode=WAL;
		CREATE TABLE t(a INTEGER PRIMARY KEY, b);
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c
		WHERE i < ${3:-3000}) INSERT INTO t SELECT i, hex(randomblob(50))
		FROM c;" >/dev/null || fail "make_db"
}

# open_app FILE [COMMAND...]: an application, sqlite3 or another, that keeps the
# database open and never checkpoints by itself. `app SQL` talks to it.
open_app() {
	local file=$1
	shift
	rm -f "$tmp/app.in" "$tmp/app.out"
	mkfifo "$tmp/app.in"
	"${@:-sqlite3}" "$file" <"$tmp/app.in" >>"$tmp/app.out" 2>&1 &
	app_pid=$!
	started+=("$app_pid")
	exec 7>"$tmp/app.in"
	app_n=0
	app "PRAGMA wal_autocheckpoint=0;"
}
app() {
	app_n=$((app_n + 1))
	printf '%s\nSELECT "done-%s";\n' "$1" "$app_n" >&7
	wait_for 20 grep -q "^done-$app_n\$" "$tmp/app.out" ||
		fail "the application hangs: $1"
}
close_app() {
	echo .quit >&7
	exec 7>&-
	wait "$app_pid"
}

# locks_of DB: who holds which bytes of it and of its -shm, a line each.
locks_of() {
	local suffix
	for suffix in "" -shm; do
		[ -e "$1$suffix" ] || continue
		awk -v ino=":$(stat -c %i "$1$suffix")\$" -v name="db$suffix" \
			'$6 ~ ino {print name, "pid=" $5, $4, $7 "-" $8}' \
			/proc/locks | sort -u
	done
}

# check_set DIR: a copy of backup/ proves itself with stock tools.
check_set() {
	(cd "$1" && xxhsum -c verify/XXH128SUMS) >"$tmp/xxhsum.out" 2>&1 ||
		{ cat "$tmp/xxhsum.out"; fail "xxhsum -c in $1"; }
	local n
	n=$(find "$1" -type f | wc -l)
	[ "$(grep -c ': OK$' "$tmp/xxhsum.out")" = $((n - 1)) ] ||
		fail "the sums do not name every file of $1"
	while read -r n; do
		[ "$(sqlite3 "$n" 'PRAGMA integrity_check')" = ok ] ||
			fail "integrity_check of $n"
	done < <(find "$1/data" -type f -size +0 ! -name '*-wal' ! -name '*-shm')
}
