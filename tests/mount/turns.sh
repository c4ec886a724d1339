#!/bin/bash
# SPDX-License-Identifier: MIT
# Sessions that follow one another while requests are under way: who waits for
# whom, and who is asked for what.
. "$(dirname "$0")/../lib/mount.sh"
: "${ASK:?}"

# big_db FILE MIB: mostly one long value.
big_db() {
	sqlite3 "$1" "PRAGMA journal_mode=WAL; CREATE TABLE t(a);
		INSERT INTO t VALUES(randomblob($2 * 1024 * 1024));" >/dev/null ||
		fail "big_db"
}
# No thread of it is left, whether it was waited for or not.
ended() {
	[ ! -d "/proc/$1" ] ||
		{ gone_or_zombie "$1" && [ "$(ls "/proc/$1/task" | wc -l)" = 1 ]; }
}

# ---- the end of the daemon during the end of a session -------------------------
# What the kernel has of a session is taken from it, for which it may wait until
# a read is answered: by whom, if the daemon had stopped to serve?

for i in 1 2 3; do
	big_db "$src/$i.db" 40
done
for i in $(seq "${ROUNDS:-12}"); do
	start_fs "$src" -o threads=1
	ls "$mnt/backup" >/dev/null || fail "ls"
	readers=()
	for f in 1 2 3 1 2 3; do
		dd if="$mnt/backup/data/$f.db" bs=1M skip=$((i % 3 * 13)) \
			of=/dev/null 2>/dev/null &
		readers+=($!)
	done
	started+=("${readers[@]}")
	sleep "0.0$((RANDOM % 5 + 1))"
	"$ASK" "$mnt" abort nowait >"$tmp/ask.out" &
	started+=($!)
	sleep "0.00$((RANDOM % 9))"
	kill -TERM "$fs_pid"
	wait_for 2 ended "$fs_pid" || fail "round $i: the daemon does not end"
	wait_fs
	wait "${readers[@]}"
	mounted "$mnt" && fail "round $i: the mount is still there"
	started=()
done
ok "SIGTERM while the kernel is made to forget, and readers wait: no deadlock"
