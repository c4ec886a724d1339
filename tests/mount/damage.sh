#!/bin/bash
# SPDX-License-Identifier: MIT
# Damage in the log: proven intact, damaged in one way, then the exact result.
. "$(dirname "$0")/../lib/mount.sh"

db=$src/app.db
seal=backup/verify/XXH128SUMS
image=$mnt/backup/data/app.db

# A log whose first half is backfilled: a reader of our own holds the rest.
build() {
	rm -rf "$src" && mkdir "$src"
	make_db "$db" 4096 2000
	make_db "$src/other.db" 4096 20
	open_app "$db"
	app "UPDATE t SET b=hex(randomblob(50)) WHERE a < 400;"
	mkfifo "$tmp/reader.in" 2>/dev/null
	sqlite3 "$db" <"$tmp/reader.in" >>"$tmp/reader.out" &
	started+=($!)
	exec 8>"$tmp/reader.in"
	echo "BEGIN; SELECT 'r'||count(*) FROM t;" >&8
	wait_for 5 grep -q r "$tmp/reader.out" || fail "the reader"
	app "UPDATE t SET b=hex(randomblob(50)) WHERE a BETWEEN 600 AND 1200;
		PRAGMA wal_checkpoint(PASSIVE);"
	: >"$tmp/reader.out"
	eval "$("$WAL" info "$db")"
	[ "$backfilled" -gt 3 ] && [ "$last" -gt $((backfilled + 10)) ] ||
		fail "no log to damage: backfilled=$backfilled last=$last"
	frame=$((backfilled + 3))
	while "$WAL" superseded "$db" $frame; do frame=$((frame + 1)); done
	page=$("$WAL" page "$db" $frame)
}
teardown() {
	echo .quit >&8
	exec 8>&-
	close_app
}

intact() {
	start_fs
	cp -r "$mnt/backup" "$tmp/intact" || fail "cp before the damage"
	check_set "$tmp/intact"
	stop_fs COPIED
}
# doomed MESSAGE: what every damaged session looks like.
doomed() {
	cat "$mnt/$seal" >"$tmp/seal.out" 2>"$tmp/seal.err" &&
		fail "the seal was given out"
	grep -q 'Input/output error' "$tmp/seal.err" || fail "the seal is no EIO"
	[ -s "$tmp/seal.out" ] && fail "a part of the seal was given out"
	grep -qF "error:     $1" "$mnt/status" ||
		{ cat "$mnt/status"; fail "status does not say: $1"; }
	grep -qF "\"message\": \"$1" "$mnt/status.json" || fail "status.json"
	grep -q ' error damage ' "$mnt/events" || fail "no damage event"
	cmp "$mnt/backup/data/other.db" "$tmp/intact/data/other.db" ||
		fail "the other database cannot be read"
	stop_fs 'ABORTED(corrupt)'
}

build
intact
ok "the set is intact before any damage"

# offset in the frame: page data, page number, salts, stored checksum
for offset in 1000 24 4119 19 22 9; do
	"$WAL" flip "$db" "$frame" $offset
	start_fs
	ls "$mnt/backup/data" >/dev/null || fail "the rest cannot be listed"
	bad=$("$PEEK" bad "$image" 4096)
	[ "$bad" = "$page" ] || fail "offset $offset: bad pages '$bad', not $page"
	doomed "log frame $frame of \`app.db-wal\`: "
	"$WAL" flip "$db" "$frame" $offset
	ok "a bit at $offset of frame $frame, before the freeze: EIO for page $page"
done

"$WAL" flip "$db" "$frame" 2
start_fs
[ "$("$PEEK" bad "$image" 4096 | wc -l)" -gt 50 ] || fail "pages were believed"
doomed "log frame $frame of \`app.db-wal\`: checksum mismatch"
"$WAL" flip "$db" "$frame" 2
ok "a page number that cannot be believed: EIO for the whole database"

start_fs
ls "$mnt/backup" >/dev/null
"$WAL" flip "$db" "$frame" 2000
bad=$("$PEEK" bad "$image" 4096)
[ "$bad" = "$page" ] || fail "bad pages '$bad', not $page"
doomed "log frame $frame of \`app.db-wal\`: changed since the freeze (page $page)"
"$WAL" flip "$db" "$frame" 2000
ok "a bit flipped after the freeze: EIO for page $page, and no seal"

start_fs
ls "$mnt/backup" >/dev/null
"$WAL" flip "$db" "$frame" 2000
cat "$mnt/$seal" >/dev/null 2>&1 && fail "the seal was given out"
doomed "log frame $frame of \`app.db-wal\`: changed since the freeze (page $page)"
"$WAL" flip "$db" "$frame" 2000
ok "the pass for the seal finds it too, when nobody else has read"

# Outside (nBackfill, M]: frames that are in the file already, the log's header,
# and a tail behind the last commit.
for where in "1 1000" "$backfilled 1000" "$backfilled 20" "2 3"; do
	set -- $where
	"$WAL" flip "$db" "$1" "$2"
	rm -rf "$tmp/copy"
	start_fs
	cp -r "$mnt/backup" "$tmp/copy" || fail "cp with damage outside"
	stop_fs COPIED
	check_set "$tmp/copy"
	cmp "$tmp/copy/data/app.db" "$tmp/intact/data/app.db" || fail "other bytes"
	"$WAL" flip "$db" "$1" "$2"
done
ok "a bit flipped outside of it has no effect"

intact2=$(md5sum <"$tmp/intact/data/app.db")
rm -rf "$tmp/intact"
intact
[ "$(md5sum <"$tmp/intact/data/app.db")" = "$intact2" ] || fail "not undone"
ok "with the damage undone the set is intact again"
teardown

# The log cut short under a live wal-index.
build
rm -rf "$tmp/intact"
intact
truncate -s -5000 "$db-wal"
start_fs
doomed "log frame"
ok "a log that ends too early: no seal"
teardown

# The database file shorter than the snapshot.
rm -rf "$src" && mkdir "$src"
make_db "$db" 4096 2000
make_db "$src/other.db" 4096 20
rm -rf "$tmp/intact"
intact
truncate -s -4096 "$db"
start_fs
ls "$mnt/backup" 2>"$tmp/err" && fail "a truncated database was frozen"
grep -q 'Input/output error' "$tmp/err" || fail "no EIO: $(cat "$tmp/err")"
grep -qF 'error:     database `app.db`: is malformed' "$mnt/status" ||
	{ cat "$mnt/status"; fail "status"; }
stop_fs 'ABORTED(not frozen)'
ok "a database file that ends too early is refused by name"
