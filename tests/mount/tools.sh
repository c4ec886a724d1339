#!/bin/bash
# SPDX-License-Identifier: MIT
# Backup tools over the mount, while an application writes: tar, cpio, rsync,
# restic and borg, by the lines that the manual page has. What they restore must
# be the frozen moment, and none of them may see a file change.
. "$(dirname "$0")/../lib/mount.sh"

: "${MANDIR:?}"
for tool in tar cpio rsync restic borg; do
	command -v $tool >/dev/null || skip "no $tool"
done
export RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$tmp/restic-cache
export BORG_BASE_DIR=$tmp/borg-base LC_ALL=C.UTF-8
seed=${SEED:-$RANDOM}
echo "seed $seed"

srv=$tmp/srv
mkdir -p "$srv/copies"
steady=$'sub/deep/\xc3\xbcber \\ \xff.db'
edited="a b/\$odd 'name'.sqlite"
mkdir -p "$src/shop" "$src/sub/deep" "$src/a b"
make_db "$src/-v.db" 1024 50
make_db "$src/$steady" 512 300
make_db "$src/$edited" 65536 100
"$LOAD" init "$src/shop" 4096 || fail "init"
mkfifo "$tmp/storm.in"
"$LOAD" storm "$src/shop" "$seed" <"$tmp/storm.in" >"$tmp/log.storm" 2>&1 &
storm_pid=$!
started+=("$storm_pid")
exec 8>"$tmp/storm.in"
wait_for 10 test -s "$src/shop/acked" || fail "no load"

# line TOOL: what stillfs(1) says, for this mount. README.md must say the same.
line() {
	local text
	text=$(sed -n '/^The same with other tools/,/^\.Ed/p' \
		"$MANDIR/stillfs.1" | grep -w "$1") ||
		fail "stillfs(1) has no line for $1"
	grep -qxF "    $text" "$MANDIR/../README.md" ||
		fail "README.md does not have: $text"
	text=${text//\/mnt\/shop/$mnt}
	printf '%s\n' "${text//\/srv/$srv}"
}
# run TOOL: that line; exit status 0 and not a word of warning.
run() {
	eval "$(line "$1")" >"$tmp/$1.out" 2>"$tmp/$1.err" ||
		{ cat "$tmp/$1.err"; fail "$1 ends with a status that is not 0"; }
	silent "$1"
}
# silent TOOL: nothing on standard error, but cpio's count of blocks.
silent() {
	grep -vE '^[0-9]+ blocks$' "$tmp/$1.err" && fail "$1 complains"
}
next_second() {
	local now
	now=$(date +%s)
	wait_for 3 eval '[ "$(date +%s)" != '"$now"' ]' || fail "time stands still"
}
# same TOOL DIR: what was restored proves itself, and is the frozen moment.
same() {
	check_set "$2"
	diff -r "$tmp/frozen" "$2" || fail "$1 restores something else"
	judge "$2/data/shop/app.db"
	rm -rf "$tmp/restored"
}
# judge FILE: no transfer is half done, and no number of the sequence missing.
judge() {
	[ "$(sqlite3 "file:$1?immutable=1" "SELECT sum(balance) FROM account;
		SELECT count(*) = max(n) FROM seq;")" = "100000
1" ] || fail "$1 is not one moment"
}
freeze() {
	start_fs
	acked=$(sed 's/^0*//' "$src/shop/acked")
	rm -rf "$tmp/frozen"
	cp -r "$mnt/backup" "$tmp/frozen" || fail "cp"
	check_set "$tmp/frozen"
}
thaw() {
	local now
	now=$(sed 's/^0*//' "$src/shop/acked")
	[ "$now" -gt "$acked" ] || fail "the writer did not write meanwhile"
	stop_fs COPIED
}
restore() {
	mkdir "$tmp/restored"
	cd "$tmp/restored" || fail cd
	case $1 in
	tar) tar -xf "$srv/copies/shop.tar" ;;
	cpio) cpio -i --quiet -d <"$srv/copies/shop.cpio" ;;
	rsync) cp -r "$srv/copies/shop" backup ;;
	restic) restic -q -r "$srv/restic" restore latest --target . ;;
	borg) borg extract "$srv/borg::$(borg_last)" ;;
	esac >"$tmp/$1.out" 2>"$tmp/$1.err" || fail "$1 cannot restore"
	silent "$1"
	cd / || fail cd
	case $1 in
	restic | borg) same "$1" "$tmp/restored$mnt/backup" ;;
	*) same "$1" "$tmp/restored/backup" ;;
	esac
}
borg_last() { borg list --short --last 1 -P shop "$srv/borg"; }
restic_last() {
	restic -r "$srv/restic" snapshots --json --path "$mnt/backup" |
		python3 -c 'import json, sys
print(json.load(sys.stdin)[-1]["id"])'
}
borg_bytes() {
	borg info --json "$srv/borg" | python3 -c 'import json, sys
print(json.load(sys.stdin)["cache"]["stats"]["unique_size"])'
}
# changed: the paths on standard input, below the mount, sorted.
changed() { sed -n "s|^.*${mnt#/}/||p" | sort; }

restic -q -r "$srv/restic" init >/dev/null || fail "restic init"
borg init -e none "$srv/borg" 2>/dev/null || fail "borg init"

freeze
for tool in tar cpio rsync restic borg; do
	run $tool
	restore $tool
	ok "$tool: status 0, no warning, and restores the frozen moment"
done
tar -C "$mnt" -df "$srv/copies/shop.tar" || fail "tar finds a difference"
ok "tar compares its archive with the mount, later, and finds no difference"

# Once more in the same session.
files=$(find "$tmp/frozen" -type f | wc -l)
run restic
grep -qE "^Files: +0 new, +0 changed, +$files unmodified" "$tmp/restic.out" ||
	{ cat "$tmp/restic.out"; fail "restic read again"; }
before=$(borg_bytes)
first=$(borg_last)
next_second
run borg
[ "$(borg_last)" != "$first" ] || fail "no second archive"
[ -z "$(borg diff "$srv/borg::$first" "$(borg_last)")" ] || fail "borg diff"
# An archive's own description, and no page of a database.
[ $(($(borg_bytes) - before)) -lt 8192 ] || fail "borg stored again"
ok "a second run in the session: restic and borg store nothing new"

# With what is live beside backup/: each open has a content of its own.
tar -C "$mnt" -cf "$tmp/whole.tar" . 2>"$tmp/tar.err" || fail "tar, whole"
silent tar
(cd "$mnt" && find . | cpio -o -H newc >"$tmp/whole.cpio") 2>"$tmp/cpio.err" ||
	fail "cpio, whole"
silent cpio
restic -r "$srv/restic" backup "$mnt" >"$tmp/restic.out" 2>"$tmp/restic.err" ||
	fail "restic, whole"
silent restic
borg create "$srv/borg::whole" "$mnt" 2>"$tmp/borg.err" || fail "borg, whole"
silent borg
rm -rf "$tmp/restored"
for tool in tar cpio restic borg; do
	mkdir "$tmp/restored"
	cd "$tmp/restored" || fail cd
	case $tool in
	tar) tar -xf "$tmp/whole.tar" ;;
	cpio) cpio -i --quiet -d <"$tmp/whole.cpio" ;;
	restic) restic -q -r "$srv/restic" restore latest --target . ;;
	borg) borg extract "$srv/borg::whole" ;;
	esac || fail "$tool cannot restore the whole"
	cd / || fail cd
	root=$tmp/restored
	case $tool in
	restic | borg)
		root=$root$mnt
		for name in status status.json events; do
			[ -s "$root/$name" ] || fail "$tool: $name is empty"
		done
		grep -q '^state: *serving' "$root/status" || fail "status"
		python3 -m json.tool "$root/status.json" >/dev/null ||
			fail "$tool: half a status.json"
		;;
	*)
		for name in status status.json events; do
			[ -e "$root/$name" ] || fail "$tool: no $name"
			[ ! -s "$root/$name" ] || fail "$tool: $name is not empty"
		done
		;;
	esac
	same $tool "$root/backup"
done
ok "the whole mount: the live files whole or empty, never a warning"
thaw

# The next session: one row, of the same length, and the file keeps its size.
archive=$(borg_last)
snapshot=$(restic_last)
mv "$tmp/frozen" "$tmp/before"
sqlite3 "$src/$edited" "UPDATE t SET b=replace(b, substr(b, 1, 1), 'Z')
	WHERE a=7; PRAGMA wal_checkpoint(PASSIVE);" >/dev/null || fail "the edit"
freeze
[ "$(stat -c %s "$tmp/before/data/$edited")" = \
	"$(stat -c %s "$mnt/backup/data/$edited")" ] || fail "another size"
cmp -s "$tmp/before/data/$edited" "$mnt/backup/data/$edited" &&
	fail "nothing was edited"
cmp "$tmp/before/data/$steady" "$mnt/backup/data/$steady" ||
	fail "what nobody touched has other bytes"
for tool in tar cpio rsync restic borg; do
	run $tool
	restore $tool
done
LC_ALL=C sort >"$tmp/expected" <<-END
	backup/backup.json
	backup/data/$edited
	backup/data/shop/app.db
	backup/verify/XXH128SUMS
END
restic -r "$srv/restic" diff "$snapshot" "$(restic_last)" \
	>"$tmp/restic.out" || fail "restic diff"
grep '^[M+-] .*[^/]$' "$tmp/restic.out" | changed | diff "$tmp/expected" - ||
	fail "restic stored something else"
borg diff --content-only "$srv/borg::$archive" "$(borg_last)" | changed |
	diff "$tmp/expected" - || fail "borg stored something else"
ok "the next session: the same size, and restic, borg and rsync find the change"
thaw

exec 8>&-
wait "$storm_pid" || fail "the load met an error: $(cat "$tmp/log.storm")"
