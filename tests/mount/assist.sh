#!/bin/bash
# SPDX-License-Identifier: MIT
# An application whose checkpoints never wait, under a pin that is only moved on:
# its log grows by all that it writes. With `assist` it does not, the snapshot
# stays what it was, and the application loses nothing.
. "$(dirname "$0")/../lib/mount.sh"

db=$src/app.db
wal_kib() { echo $(($(stat -c %s "$db-wal") >> 10)); }
# About 30 MiB of log, a commit for each MiB of it.
load() {
	local i
	for ((i = 0; i < 27; i++)); do
		app "UPDATE t SET b=hex(randomblob(50));"
	done
	app "INSERT INTO t(b) VALUES('last');"
}

# run OPTION...: a session with the load in it. Sets log_kib.
run() {
	rm -rf "$src" "$tmp/copy" && mkdir "$src"
	make_db "$db" 4096 10000
	open_app "$db"
	app "UPDATE t SET b='before' WHERE a%7=0;"
	sqlite3 "$db" .dump >"$tmp/before"
	start_fs "$src" -o pin=govern "$@"
	ls "$mnt/backup" >/dev/null
	load
	log_kib=$(wal_kib)
	sqlite3 "$db" .dump >"$tmp/after"
	cp -r "$mnt/backup" "$tmp/copy" || fail "cp"
	cp "$mnt/events" "$tmp/events"
	stop_fs COPIED
	check_set "$tmp/copy"
	sqlite3 "$tmp/copy/data/app.db" .dump | cmp - "$tmp/before" ||
		fail "the copy is not the moment of the freeze"
	exec 7>&-
	wait "$app_pid"
	[ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ] || fail "not whole"
	sqlite3 "$db" .dump | cmp - "$tmp/after" || fail "the application lost something"
}

run
[ "$log_kib" -gt 20000 ] || fail "the load was no load: $log_kib KiB of log"
grep -q assist "$tmp/events" && fail "something assists unasked"
ok "without assist the log grew to $log_kib KiB"

run -o assist
[ "$log_kib" -lt 14000 ] || fail "the log grew to $log_kib KiB"
risky=$(sqlite3 :memory: "SELECT sqlite_version() < '3.51.3'")
[ "$(grep -c ' warning assist-risk ' "$tmp/events")" = "$risky" ] ||
	fail "the danger is not told, or told in vain"
ok "with assist it stayed at $log_kib KiB"
