#!/bin/bash
# SPDX-License-Identifier: MIT
# Damage in the log: proven intact, damaged in one way, then the exact result. Under
# a held pin, because what is damaged afterwards would have been copied by then.
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
		UPDATE t SET b=hex(randomblob(50)) WHERE a BETWEEN 620 AND 650;
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
	start_fs "$src" -o pin=hold
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
	start_fs "$src" -o pin=hold
	ls "$mnt/backup/data" >/dev/null || fail "the rest cannot be listed"
	bad=$("$PEEK" bad "$image" 4096)
	[ "$bad" = "$page" ] || fail "offset $offset: bad pages '$bad', not $page"
	doomed "log frame $frame of \`app.db-wal\`: "
	"$WAL" flip "$db" "$frame" $offset
	ok "a bit at $offset of frame $frame, before the freeze: EIO for page $page"
done

"$WAL" flip "$db" "$frame" 2
start_fs "$src" -o pin=hold
[ "$("$PEEK" bad "$image" 4096 | wc -l)" -gt 50 ] || fail "pages were believed"
doomed "log frame $frame of \`app.db-wal\`: checksum mismatch"
"$WAL" flip "$db" "$frame" 2
ok "a page number that cannot be believed: EIO for the whole database"

for offset in 2000 1 9 20; do
	start_fs "$src" -o pin=hold
	ls "$mnt/backup" >/dev/null
	"$WAL" flip "$db" "$frame" $offset
	bad=$("$PEEK" bad "$image" 4096)
	[ "$bad" = "$page" ] || fail "offset $offset: bad pages '$bad', not $page"
	doomed "log frame $frame of \`app.db-wal\`: changed since the freeze (page $page)"
	"$WAL" flip "$db" "$frame" $offset
	ok "a bit at $offset flipped after the freeze: EIO for page $page, and no seal"
done

start_fs "$src" -o pin=hold
ls "$mnt/backup" >/dev/null
"$WAL" flip "$db" "$frame" 2000
cat "$mnt/$seal" >/dev/null 2>&1 && fail "the seal was given out"
doomed "log frame $frame of \`app.db-wal\`: changed since the freeze (page $page)"
"$WAL" flip "$db" "$frame" 2000
ok "the pass for the seal finds it too, when nobody else has read"

# A frame in the range whose page a later one holds too: the image does not need
# it, but the log is damaged, and no session of a damaged log is sealed.
old=$((backfilled + 1))
while ! "$WAL" superseded "$db" $old; do
	old=$((old + 1))
	[ $old -lt "$last" ] || fail "no superseded frame"
done
"$WAL" flip "$db" $old 1000
start_fs "$src" -o pin=hold
[ -z "$("$PEEK" bad "$image" 4096)" ] || fail "a page is bad that is not needed"
doomed "log frame $old of \`app.db-wal\`: checksum mismatch"
"$WAL" flip "$db" $old 1000
ok "a superseded frame: every page is served, and no seal"

# Outside (nBackfill, M]: frames that are in the file already.
for where in "1 1000" "$backfilled 1000" "$backfilled 20" "2 3"; do
	set -- $where
	"$WAL" flip "$db" "$1" "$2"
	rm -rf "$tmp/copy"
	start_fs "$src" -o pin=hold
	cp -r "$mnt/backup" "$tmp/copy" || fail "cp with damage outside"
	stop_fs COPIED
	check_set "$tmp/copy"
	cmp "$tmp/copy/data/app.db" "$tmp/intact/data/app.db" || fail "other bytes"
	"$WAL" flip "$db" "$1" "$2"
done
ok "a bit flipped before nBackfill has no effect"

# And what was committed after the freeze.
rm -rf "$tmp/copy"
start_fs "$src" -o pin=hold
ls "$mnt/backup" >/dev/null
app "INSERT INTO t(b) VALUES('after the freeze');"
eval "$("$WAL" info "$db" | sed 's/ last=/ newest=/')"
[ "$newest" -gt "$last" ] || fail "no frame after the freeze"
"$WAL" flip "$db" "$newest" 1000
cp -r "$mnt/backup" "$tmp/copy" || fail "cp with damage behind M"
"$WAL" flip "$db" "$newest" 1000
stop_fs COPIED
check_set "$tmp/copy"
cmp "$tmp/copy/data/app.db" "$tmp/intact/data/app.db" || fail "other bytes"
ok "a bit flipped behind M has no effect"

rm -rf "$tmp/intact"
app "DELETE FROM t WHERE b='after the freeze';"
intact
[ "$(sqlite3 "$tmp/intact/data/app.db" "SELECT count(*) FROM t")" = 2000 ] ||
	fail "not undone"
ok "with the damage undone the set is intact again"
teardown

# The header of a log of which nothing is in the file yet: the sums of all its
# frames begin there, and a restart of the application would lose them all.
build_whole() {
	rm -rf "$src" && mkdir "$src"
	make_db "$db" 4096 2000
	make_db "$src/other.db" 4096 20
	open_app "$db"
	app "UPDATE t SET b='y' WHERE a < 400;"
}
build_whole
rm -rf "$tmp/intact"
intact
printf '\001' | dd of="$db-wal" bs=1 seek=14 conv=notrunc 2>/dev/null
start_fs "$src" -o pin=hold
doomed "log header of \`app.db-wal\`: checksum mismatch"
ok "the header of a log that is needed from its first frame: named, no seal"
close_app

# A log that is bad all over takes no longer to refuse, and can be given up.
build_whole
rm -rf "$tmp/intact"
app "UPDATE t SET b=hex(randomblob(3000));"
intact
size=$(stat -c %s "$db-wal")
# Not the end, where page 1 is: without it SQLite itself refuses.
dd if=/dev/zero of="$db-wal" bs=4096 seek=$((size / 4096 / 10)) \
	count=$((size / 4096 / 2)) conv=notrunc 2>/dev/null
start_fs "$src" -o pin=hold
timeout 10 ls "$mnt/backup" >/dev/null || fail "a bad log takes for ever"
doomed "log frame"
ok "a log with $((size / 4096 / 2)) pages of zeros in it: told in time"
close_app

# The log cut short under a live wal-index.
build
rm -rf "$tmp/intact"
intact
truncate -s -5000 "$db-wal"
start_fs "$src" -o pin=hold
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
start_fs "$src" -o pin=hold
cp -r "$mnt/backup" "$tmp/short" 2>"$tmp/err" && fail "a truncated database"
grep -q 'data/app.db.*Input/output error' "$tmp/err" || fail "$(cat "$tmp/err")"
[ "$("$PEEK" bad "$image" 4096 | wc -l)" = "$(($(stat -c %s "$db") / 4096))" ] ||
	fail "pages of it were served"
doomed 'database `app.db`: is malformed'
ok "a database file that ends too early: listed, EIO, and the rest is served"
