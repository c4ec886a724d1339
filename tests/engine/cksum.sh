#!/bin/bash
# SPDX-License-Identifier: MIT
# What databases of SQLite's checksum VFS look like on disk, live: the facts at
# the head of tests/lib/cksum.c, judged by other code than the one there.
. "$(dirname "$0")/../lib/mount.sh"

: "${CKSUM:?}"
db=$src/app.db

# judge FILE: how many pages, how many with a good sum; of the log the same,
# and of how many frames the own checksum is good.
judge() {
	python3 - "$1" <<-'END'
		import os, struct, sys
		def add(data, order, s0=0, s1=0):
		    for a, b in struct.iter_unpack(order + "II", data):
		        s0 = (s0 + a + s1) & 0xffffffff
		        s1 = (s1 + b + s0) & 0xffffffff
		    return s0, s1
		def good(page):
		    return add(page[:-8], "<") == struct.unpack("<II", page[-8:])
		data = open(sys.argv[1], "rb").read()
		size = struct.unpack(">H", data[16:18])[0]
		size = 65536 if size == 1 else size
		assert data[20] == 8 and len(data) % size == 0
		pages = [data[i:i + size] for i in range(0, len(data), size)]
		print(len(pages), sum(map(good, pages)), end=" ")
		log = b""
		if os.path.exists(sys.argv[1] + "-wal"):
		    log = open(sys.argv[1] + "-wal", "rb").read()
		order = ">" if log and log[3] & 1 else "<"
		last = struct.unpack(">II", log[24:32]) if log else None
		frames = sums = checks = 0
		for i in range(32, len(log), 24 + size):
		    head, page = log[i:i + 24], log[i + 24:i + 24 + size]
		    if head[8:16] != log[16:24]:
		        break
		    want = add(page, order, *add(head[:8], order, *last))
		    last = struct.unpack(">II", head[16:])
		    frames += 1
		    sums += good(page)
		    checks += want == last
		print(frames, sums, checks)
	END
}

for size in 512 4096 65536; do
	for old in "" -w; do
		rm -f "$db"*
		"$CKSUM" $old "$db" "PRAGMA page_size=$size" \
			"PRAGMA journal_mode=WAL" "CREATE TABLE t(a, b)" \
			"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1
			FROM c WHERE i < 500) INSERT INTO t
			SELECT i, hex(randomblob(200)) FROM c" >/dev/null ||
			fail "init"
		open_app "$db" "$CKSUM" $old -i
		app "UPDATE t SET b='x' WHERE a % 5 = 0;"
		read -r pages good frames sums checks <<<"$(judge "$db")"
		[ "$pages" -gt 1 ] && [ "$pages" = "$good" ] ||
			fail "$good of $pages pages are good"
		[ "$frames" -gt 1 ] || fail "no log"
		case $old in
		-w) want="$frames 0" ;;
		*) want="0 $frames" ;;
		esac
		[ "$sums $checks" = "$want" ] ||
			fail "frames $frames: $sums sums, $checks checksums"
		app "PRAGMA wal_checkpoint;"
		case $(judge "$db") in
		"$pages $pages "*) ;;
		*) fail "after the checkpoint: $(judge "$db")" ;;
		esac
		close_app || fail "the application: $(cat "$tmp/app.out")"
		[ -z "$("$CKSUM" -c "$db")" ] || fail "cksum -c disagrees"
		ok "page size $size${old:+, as before 2024}: $frames frames," \
			"$sums with a good sum, $checks with a good checksum"
	done
done

# After a crash, the frames of the older generation are lost to SQLite itself.
for old in "" -w; do
	rm -f "$db"*
	"$CKSUM" $old "$db" "PRAGMA journal_mode=WAL; CREATE TABLE t(a, b);
		INSERT INTO t VALUES(1, 2)" >/dev/null
	open_app "$db" "$CKSUM" $old -i
	app "UPDATE t SET b=3; UPDATE t SET b=4;"
	cp "$db" "$tmp/crash.db"
	cp "$db-wal" "$tmp/crash.db-wal"
	close_app
	got=$(sqlite3 "$tmp/crash.db" 'SELECT b FROM t')
	want=4
	[ "$old" ] && want=2
	[ "$got" = $want ] || fail "recovered $got, not $want"
	rm -f "$tmp"/crash.db*
done
ok "recovery takes the frames whose checksum is good, and only them"

rm -f "$db"*
"$CKSUM" "$db" "CREATE TABLE t(a INTEGER PRIMARY KEY, b)" \
	"INSERT INTO t VALUES(1, hex(randomblob(9000)))" || fail "init"
cp "$db" "$tmp/good.db"
for offset in 4095 4088 4087 200 30; do
	cp "$tmp/good.db" "$db"
	byte=$(od -An -tu1 -j $((4096 + offset)) -N 1 "$db")
	printf "\\$(printf %o $((byte ^ 16)))" |
		dd of="$db" bs=1 seek=$((4096 + offset)) conv=notrunc status=none
	cmp -s "$db" "$tmp/good.db" && fail "no damage at $offset"
	[ "$("$CKSUM" -c "$db")" = 2 ] || fail "a byte at $offset is not seen"
	"$CKSUM" "$db" "SELECT sum(length(b)) FROM t" 2>"$tmp/err" &&
		fail "a byte at $offset was read"
	grep -q '(8202)' "$tmp/err" || fail "no SQLITE_IOERR_DATA: $(cat "$tmp/err")"
done
ok "a bit at the beginning, in the body, in the sum: found when it is read"

cp "$tmp/good.db" "$db"
sqlite3 "$db" "UPDATE t SET b='short'" || fail "stock"
# Page 3 is free now, and heads the list of those that are.
[ "$("$CKSUM" -c "$db" | tr '\n' ' ')" = "1 2 3 " ] || fail "bad after stock SQLite: $("$CKSUM" -c "$db")"
"$CKSUM" "$db" "SELECT b FROM t" 2>/dev/null && fail "stale sums were taken"
ok "pages that SQLite wrote without the VFS are bad"

cp "$tmp/good.db" "$db"
truncate -s +8192 "$db"
[ -z "$("$CKSUM" -c "$db")" ] || fail "pages of zeros are bad"
ok "a page of zeros is valid, and so are holes"

rm -f "$db"*
sqlite3 "$db" "CREATE TABLE t(a); INSERT INTO t VALUES(7)" || fail "stock"
"$CKSUM" -c "$db" 2>/dev/null && fail "a plain database has sums"
"$CKSUM" "$db" "INSERT INTO t VALUES(8)" || fail "insert"
"$CKSUM" -c "$db" 2>/dev/null && fail "no byte 20, and sums"
[ "$("$CKSUM" "$db" "VACUUM" "SELECT sum(a) FROM t")" = 15 ] || fail "VACUUM"
[ -z "$("$CKSUM" -c "$db")" ] || fail "after VACUUM"
ok "a plain database has no sums until it is vacuumed"
