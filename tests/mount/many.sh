#!/bin/bash
# SPDX-License-Identifier: MIT
# Hundreds of databases, and a process that may have few descriptors unless it asks
# for more: a chain of a full session and of one in which each has an increment,
# with no more than is said to be needed; and a refusal, before anything begins,
# with one less.
. "$(dirname "$0")/../lib/mount.sh"

n=200
make_db "$tmp/one.db" 1024 20
mkdir "$src/sub"
for ((i = 0; i < n; i++)); do
	cp "$tmp/one.db" "$src/sub/$i.db"
done
each() { # SQL
	local i
	for ((i = 0; i < n; i++)); do
		printf '.open %s\n%s;\n' "$src/sub/$i.db" "$1"
	done | sqlite3 >"$tmp/log.each" 2>&1 || fail "$1: $(cat "$tmp/log.each")"
}
dest=$tmp/dest
mkdir "$dest"
needed=$((n * 9 + 64))

(ulimit -Sn 100 && ulimit -Hn $((needed - 1)) &&
	ctl 1 backup --chain --state "$state" "$src" "$dest") || exit 1
grep -qF "$n databases take " "$tmp/ctl.err" ||
	fail "it says: $(cat "$tmp/ctl.err")"
grep -qF "and this process may have $((needed - 1))" "$tmp/ctl.err" ||
	fail "its limit was not raised: $(cat "$tmp/ctl.err")"
[ -z "$(ls -A "$dest")" ] || fail "something is there"
(ulimit -Sn 100 && ulimit -Hn $needed &&
	ctl 0 backup --chain --state "$state" "$src" "$dest") || exit 1
each "UPDATE t SET b = 'other' WHERE a > 10"
(ulimit -Sn 100 && ulimit -Hn $needed &&
	ctl 0 backup --incremental --state "$state" "$src" "$dest") || exit 1
[ "$(find "$dest/incremental" -name '*-wal' | wc -l)" = $n ] ||
	fail "not each has an increment: $(find "$dest/incremental")"
[ ! -e "$dest/incremental/000002/data" ] || fail "some came whole"
ctl 0 verify "$dest"
ctl 0 restore --create "$dest" "$tmp/back"
[ "$(find "$tmp/back" -name '*.db' -exec sqlite3 'file:{}?immutable=1' \
	"SELECT count(*) FROM t WHERE b = 'other'" \; | sort | uniq -c |
	tr -s ' ')" = " $n 10" ] || fail "something else is restored"
ok "$n databases, a chain, and $needed descriptors"
