#!/bin/bash
# SPDX-License-Identifier: MIT
# A table of endings: each with nobody there, with a reader at work, and with an
# open descriptor. What the catalog and the log say of the session, that the
# application is free at once, and that the next session needs no hands.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 5000
make_db "$src/two.db" 4096 50
open_app "$src/app.db"
image=$mnt/backup/data/app.db
LEASE=1 STALL=4

# ---- who is there ----------------------------------------------------------

come() {
	reader=
	[ "$1" = idle ] && return
	# What its bytes must be, as long as it gets any.
	cp "$src/app.db" "$tmp/reference"
	rm -f "$tmp/in.reader" "$tmp/reader.out"
	mkfifo "$tmp/in.reader"
	case $1 in
	reading) set -- loop reading ;;
	open) set -- late held ;;
	esac
	"$PEEK" "$1" "$image" "$tmp/reference" <"$tmp/in.reader" \
		>"$tmp/reader.out" 2>"$tmp/reader.err" 7>&- &
	reader=$!
	started+=("$reader")
	exec 8>"$tmp/in.reader"
	wait_for 10 grep -q "^$2" "$tmp/reader.out" ||
		fail "the reader: $(cat "$tmp"/reader.*)"
}
# leave STATUS: 0, all that it read was right; 3, then it met an error.
leave() {
	local status
	[ "$reader" ] || return 0
	# Who reads in a loop is not told to stop before he has met it.
	if [ "$1" = 3 ] && grep -q reading "$tmp/reader.out"; then
		wait_for 5 gone_or_zombie "$reader" || fail "the reader meets no error"
	fi
	exec 8>&-
	wait "$reader"
	status=$?
	reader=
	[ $status = "$1" ] ||
		fail "the reader ended with $status: $(cat "$tmp"/reader.*)"
	# A daemon that lives takes back what the kernel has in its cache.
	if [ "$1" = 3 ] && [ "$fs_pid" ] && grep -q held "$tmp/reader.out"; then
		[ "$(tail -n +2 "$tmp/reader.out" | tr '\n' ' ')" = "EIO EIO " ] ||
			fail "an open descriptor gives $(cat "$tmp/reader.out")"
	fi
}

# ---- the endings -----------------------------------------------------------
# Each leaves the session ended, and nobody there.

ended() { grep -q ' session-end ' "$log"; }
# busy STATUS COMMAND...: refused while somebody is there, and no harm done.
busy() {
	local want=$1 status
	shift
	[ "$reader" ] || return 0
	timeout 20 "$@" >"$tmp/busy" 2>&1
	status=$?
	[ $status = "$want" ] || fail "status $status: $(cat "$tmp/busy")"
	ended && fail "a refused $* ended the session"
	mounted "$mnt" || fail "a refused $* took the mount away"
	leave 0
}
# quiet WHO SECONDS: the session ends by itself, not before this time, and one
# that waits for its lease only does not wait for the stall.
quiet() {
	local start
	if [ "$1" = reading ]; then
		# As long as somebody reads it does not.
		start=$SECONDS
		until [ $((SECONDS - start)) -gt $((STALL + 1)) ]; do
			kill -0 "$reader" || fail "the reader is gone"
			ended && fail "it ended under a reader"
			sleep 0.05
		done
		leave 0
	fi
	start=$(date +%s%N)
	wait_for $((STALL + 2)) ended || fail "it does not end"
	start=$((($(date +%s%N) - start) / 1000000))
	[ $start -gt $(($2 * 1000 - 300)) ] || fail "it ended after $start ms"
	[ $2 = $STALL ] || [ $start -lt $((STALL * 1000 - 300)) ] ||
		fail "it ended only after $start ms"
	leave 3
}

end_commit() { ctl 0 commit "$mnt"; leave 3; }
end_commit_umount() {
	end_commit
	umount "$mnt" || fail "umount"
	wait_fs
}
end_abort() { ctl 0 abort "$mnt"; leave 3; }
end_umount() {
	busy 32 umount "$mnt"
	umount "$mnt" || fail "umount"
	wait_fs
}
# end_ctl WHO STATUS
end_ctl() {
	busy 4 "$STILLCTL" umount "$mnt"
	ctl "$2" umount "$mnt"
	# It has waited for the daemon.
	gone_or_zombie "$fs_pid" || fail "stillctl umount did not wait"
	wait_fs
}
end_lazy() {
	umount -l "$mnt" || fail "umount -l"
	wait_fs
	leave 3
}
end_force() {
	umount -f "$mnt" 2>/dev/null
	wait_fs
	leave 3
}
end_TERM() {
	kill -"${ending}" "$fs_pid"
	wait_fs
	leave 3
}
end_INT() { end_TERM; }
end_KILL() {
	kill -9 "$fs_pid"
	wait "$fs_pid" 2>/dev/null
	fs_pid=
	check_log
	leave 3
}
end_lease() { quiet "$1" $LEASE; }
end_stall() { quiet "$1" $STALL; }

# ---- what must hold --------------------------------------------------------

free_at_once() {
	: >"$tmp/app.out"
	app "INSERT INTO t(b) VALUES('after $row');
		PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check;"
	[ "$(head -n 2 "$tmp/app.out" | tr '\n' ' ')" = "0|0|0 ok " ] ||
		fail "the application: $(cat "$tmp/app.out")"
	[ -z "$(locks_of "$src/app.db" | grep -v "pid=$app_pid ")" ] ||
		fail "locks are left: $(locks_of "$src/app.db")"
	[ -z "$(locks_of "$src/two.db")" ] || fail "locks are left on two.db"
}

# told OUTCOME: by catalog and log alike, once.
told() {
	recorded "$1"
	if [ "$1" = 'ABORTED(crash)' ]; then
		ended && fail "a killed daemon told an end"
		return
	fi
	outcome_is "$1"
	grep -q " session-end session=$(record id) " "$log" ||
		fail "the log and the catalog have other sessions"
}

next_session() {
	local id
	id=$(record id)
	if [ "$fs_pid" ]; then
		mounted "$mnt" || fail "the mount is gone"
		timeout 10 cat "$image" >/dev/null 2>"$tmp/err" &&
			fail "a path into an ended session can be read"
		grep -q 'Stale file handle' "$tmp/err" ||
			fail "not ESTALE: $(cat "$tmp/err")"
	else
		start_fs
	fi
	[ "$(record id)" = "$id" ] || fail "a session that nobody asked for"
	rm -rf "$tmp/copy"
	cp -r "$mnt/backup" "$tmp/copy" || fail "the next cp"
	check_set "$tmp/copy"
	[ "$(sqlite3 "$tmp/copy/data/app.db" \
		"SELECT count(*) FROM t WHERE b='after $row'")" = 1 ] ||
		fail "the next session shows another moment"
	umount "$mnt" || fail "umount of the next session"
	wait_fs
	recorded COPIED
	[ "$(record id)" != "$id" ] || fail "no next session"
	[ "$(grep -c ' session-end .*outcome=COPIED' "$log")" -ge 1 ] ||
		fail "the next end was not told"
	free_at_once
}

# ENDING, what was READ before, WHO is there, STATUS of stillctl, the session's
# OUTCOME.
while read -r ending read who status outcome <&5; do
	row="$ending, $read read, $who"
	echo "# $row"
	case $ending in
	lease | stall) start_fs "$src" -o lease=$LEASE,stall=$STALL ;;
	*) start_fs ;;
	esac
	case $read in
	none) ls "$mnt/backup" >/dev/null || fail "$row: ls" ;;
	half) cat "$mnt/backup/backup.json" >/dev/null || fail "$row: cat" ;;
	all)
		rm -rf "$tmp/copy"
		cp -r "$mnt/backup" "$tmp/copy" || fail "$row: cp"
		;;
	esac
	come "$who"
	"end_$ending" "$who" "$status"
	free_at_once
	told "$outcome"
	case $ending in
	commit | abort | lease | stall) [ "$fs_pid" ] || fail "it is gone" ;;
	*) [ -z "$fs_pid" ] || fail "it is still there" ;;
	esac
	next_session
	ok "$row: $outcome"
done 5<<-END
	commit		none idle 0	COMMITTED
	commit		half reading 0	COMMITTED
	commit		none open 0	COMMITTED
	commit_umount	all idle 0	COMMITTED
	commit_umount	none reading 0	COMMITTED
	commit_umount	half open 0	COMMITTED
	abort		none idle 0	ABORTED(by caller)
	abort		all reading 0	ABORTED(by caller)
	abort		half open 0	ABORTED(by caller)
	umount		none idle -	ABORTED(unread)
	umount		half idle -	ABORTED(partial: 1 of 4 files)
	umount		all idle -	COPIED
	umount		none reading -	ABORTED(partial: 1 of 4 files)
	umount		all reading -	COPIED
	umount		half open -	ABORTED(partial: 2 of 4 files)
	umount		all open -	COPIED
	ctl		none idle 0	ABORTED(unread)
	ctl		half idle 6	ABORTED(partial: 1 of 4 files)
	ctl		all reading 0	COPIED
	ctl		half open 6	ABORTED(partial: 2 of 4 files)
	lazy		none idle -	ABORTED(unread)
	lazy		half reading -	ABORTED(partial: 2 of 4 files)
	lazy		all open -	COPIED
	force		all idle -	COPIED
	force		all reading -	ABORTED(forced)
	force		half open -	ABORTED(forced)
	TERM		none idle -	ABORTED(unread)
	TERM		all reading -	COPIED
	TERM		half open -	ABORTED(partial: 1 of 4 files)
	INT		all idle -	COPIED
	INT		none reading -	ABORTED(partial: 1 of 4 files)
	INT		none open -	ABORTED(partial: 0 of 4 files)
	KILL		all idle -	ABORTED(crash)
	KILL		half reading -	ABORTED(crash)
	KILL		all open -	ABORTED(crash)
	lease		none idle -	ABORTED(unread)
	lease		all reading -	COPIED
	lease		all open -	COPIED
	stall		half idle -	ABORTED(partial: 1 of 4 files)
	stall		none reading -	ABORTED(partial: 1 of 4 files)
	stall		half open -	ABORTED(partial: 1 of 4 files)
END
close_app
