#!/bin/bash
# SPDX-License-Identifier: MIT
# What reads increments of SQLite databases, with real ones as seeds, changed RUNS
# times.
. "$(dirname "$0")/../lib/mount.sh"

: "${FUZZ:?}"
runs=${RUNS:-20000}
mkdir "$tmp/dest" "$tmp/seeds"
make_db "$src/a.db" 512 30
make_db "$src/b.db" 1024 5
ctl 0 backup --chain --state "$state" "$src" "$tmp/dest"
for i in 1 2 3; do
	sqlite3 "$src/a.db" "UPDATE t SET b = $i WHERE a % 3 = $i - 1" ||
		fail "update"
	sqlite3 "$src/b.db" "INSERT INTO t(b) VALUES(hex(randomblob(400 * $i)))" ||
		fail "insert"
	ctl 0 backup -i --state "$state" "$src" "$tmp/dest"
done
for file in "$tmp"/dest/incremental/*/logs/*; do
	seed=$tmp/seeds/$(tr / - <<<"${file#"$tmp/dest/"}")
	{
		printf '\0'
		cat "$file"
	} >"$seed"
	[ "$(stat -c %s "$seed")" -le 8192 ] || rm "$seed"
done
[ "$(find "$tmp/seeds" -type f | wc -l)" -ge 4 ] || fail "too few seeds"
"$FUZZ/drive_increment" -runs="$runs" "$tmp/seeds"/* >"$tmp/out" 2>&1 ||
	fail "$(tail -n 40 "$tmp/out")"
ok "increment: $(head -n 1 "$tmp/out")"
