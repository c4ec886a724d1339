#!/bin/bash
# SPDX-License-Identifier: MIT
# The commands of doc/restoring.md, as they stand there but for the paths: with
# stock tools alone, sets that cp, rsync, tar, restic and borg have stored are
# checked and restored, by root and by a user, as a whole and one database. What
# is damaged does not pass the check.
. "$(dirname "$0")/../lib/mount.sh"

for tool in rsync tar restic borg xxhsum setpriv; do
	command -v $tool >/dev/null || skip "no $tool"
done
export RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$tmp/restic-cache
export BORG_BASE_DIR=$tmp/borg-base LC_ALL=C.UTF-8
page=$TOP/doc/restoring.md
srv=$tmp/srv
live=$tmp/var/shop
mkdir -p "$srv/copies" "$srv/restore" "$tmp/var"
restic -q -r "$srv/restic" init >/dev/null || fail "restic init"
borg init -e none "$srv/borg" 2>/dev/null || fail "borg init"

# lines HEADING [PATTERN]: what stands apart below it, the first two lines of the
# page before it. Only paragraphs of lines in which the pattern is.
lines() {
	awk -v heading="## $1" -v pattern="${2:-}" '
		/^    / {
			line = substr($0, 5)
			if (line !~ /^systemctl/)
				block = block line "\n"
			if (pattern == "" || index(line, pattern))
				wanted = 1
			next
		}
		{
			if (inside && wanted)
				printf "%s", block
			if (first && block)
				printf "%s", block
			if (block)
				first = 0
			block = ""
			wanted = 0
		}
		NR == 1 {first = 1}
		/^## / {inside = ($0 == heading)}' "$page" |
		sed -e "s|/mnt/shop|$mnt|g" -e "s|/srv/|$srv/|g" \
			-e "s|/var/lib/shop|$live|g" >"$tmp/lines"
	[ "$(wc -l <"$tmp/lines")" -gt 2 ] || fail "nothing below: $1"
}
# run: these, until one fails.
run() { bash -euo pipefail "$tmp/lines" >"$tmp/out" 2>&1; }
# must HEADING [PATTERN]: all of them succeed.
must() {
	lines "$@"
	run || {
		cat "$tmp/lines" "$tmp/out"
		fail "the lines below: $1"
	}
}

# ---- sets --------------------------------------------------------------------

mkdir "$src/a b"
sqlite3 "$src/orders.db" "PRAGMA journal_mode=WAL; CREATE TABLE orders(id, b);
	INSERT INTO orders VALUES(1, 'frozen')" >/dev/null || fail make
make_db "$src/a b/more.db" 4096 500
chmod 640 "$src/orders.db"
chown -R 1234:4321 "$src"
start_fs "$src"
cp -a "$mnt/backup" "$srv/copies/cp" || fail cp
rsync -a "$mnt/backup/" "$srv/copies/rsync/" || fail rsync
tar -C "$mnt" -cf "$srv/copies/shop.tar" backup || fail tar
restic -q -r "$srv/restic" backup "$mnt/backup" >/dev/null || fail restic
borg create "$srv/borg::one" "$mnt/backup" || fail borg
ctl 0 commit "$mnt"
umount "$mnt"
wait_fs

# get TOOL: its set, at $srv/restore/backup.
get() {
	rm -rf "$srv/restore"
	mkdir "$srv/restore"
	case $1 in
	cp | rsync) cp -a "$srv/copies/$1" "$srv/restore/backup" ;;
	*) must "Get the set" "$1 " ;;
	esac
	[ -e "$srv/restore/backup/backup.json" ] || fail "$1: no set"
}
# A live instance, with a log that is not of the set.
make_live() {
	rm -rf "$live" "$live".*
	cp -a "$src" "$live"
	sqlite3 "$live/orders.db" "PRAGMA wal_autocheckpoint=0;
		UPDATE orders SET b='later'; SELECT 1" ".shell cp '$live/orders.db-wal' \
		'$tmp/wal'" >/dev/null || fail "the live one"
	cp "$tmp/wal" "$live/orders.db-wal"
	chown 1234:4321 "$live"/orders.db*
}
value() { sqlite3 "file:$1?immutable=1" "SELECT b FROM orders"; }
# restored [OWNER]: the live instance is what the set is.
restored() {
	diff -r "$srv/restore/backup/data" "$live" || fail "not what is in the set"
	[ "$(value "$live/orders.db")" = frozen ] || fail "not the state of the set"
	[ "$(stat -c '%a %u:%g' "$live/orders.db")" = "640 ${1:-1234:4321}" ] ||
		fail "whose it is: $(ls -l "$live")"
	[ -e "$live.damaged/orders.db-wal" ] || fail "the old log has gone"
	[ ! -e "$live.new" ] || fail "$live.new is left"
}

for tool in cp rsync tar restic borg; do
	get $tool
	must "Check the set"
	make_live
	must "Restore all of it"
	restored
	ok "$tool: its set is checked, and restored as a whole"
done

make_live
must "Restore one database"
[ "$(value "$live/orders.db")" = frozen ] || fail "one: not restored"
[ "$(stat -c '%a %u:%g' "$live/orders.db")" = "640 1234:4321" ] || fail "whose"
cmp "$live/a b/more.db" "$src/a b/more.db" || fail "one: another changed"
[ "$(ls "$live")" = "$(printf 'a b\norders.db')" ] || fail "one: $(ls "$live")"
ok "one database"

# Nothing is overwritten: the old one is still there.
make_live
mkdir "$live.damaged"
cp -a "$live/orders.db" "$live.damaged"
lines "Restore one database"
sed -i '/^mkdir/d; /-exec mv/d' "$tmp/lines"
run && fail "one: over one that is there"
grep -q 'File exists' "$tmp/out" || fail "one: $(cat "$tmp/out")"
[ "$(sqlite3 "$live/orders.db" "SELECT b FROM orders")" = later ] ||
	fail "one: it was overwritten"
ok "one database is not put over another"

# ---- a user ------------------------------------------------------------------

make_live
chown -R 65534:65534 "$srv/restore" "$tmp/var"
lines "Restore as a user"
chmod 755 "$srv"
chmod 644 "$tmp/lines"
setpriv --reuid=65534 --regid=65534 --clear-groups \
	bash -euo pipefail "$tmp/lines" >"$tmp/out" 2>&1 || {
	cat "$tmp/out"
	fail "a user's restore"
}
restored 65534:65534
ok "a user"

# ---- every month -------------------------------------------------------------

must "Test it every month"
ok "the monthly test passes"

# spoiled NAME COMMAND: done to the set, neither the check nor the test passes.
spoiled() {
	local name=$1 heading
	for heading in "Check the set" "Test it every month"; do
		get cp
		(cd "$srv/restore/backup" && eval "$2") || fail "cannot spoil: $2"
		lines "$heading"
		run && fail "$heading: passes with $name"
	done
	ok "found: $name"
}
flip='printf X | dd of=data/orders.db bs=1 seek=5000 conv=notrunc status=none'
spoiled "a changed byte" "$flip"
spoiled "a missing database" 'rm "data/a b/more.db"'
spoiled "a short one" 'truncate -s -1 data/orders.db'
spoiled "a log beside one" ': >data/orders.db-wal'
spoiled "no list" 'rm verify/XXH128SUMS'
spoiled "damage that the sums know nothing of" "$flip;
	printf XXXXXXXXXXXXXXXX | dd of=data/orders.db bs=1 seek=4096 \
		conv=notrunc status=none
	xxhsum -H2 data/orders.db 'data/a b/more.db' backup.json \
		>verify/XXH128SUMS 2>/dev/null"
