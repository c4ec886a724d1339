#!/bin/bash
# SPDX-License-Identifier: MIT
# Incremental sessions of a mount and of stillctl: what is shown and when, what
# is refused, what is stored, and what becomes of it again: by stillctl, by stock
# tools alone, and not at all where a link is missing, repeated, swapped, foreign
# or damaged.
. "$(dirname "$0")/../lib/mount.sh"

dest=$tmp/dest
mkdir "$dest" "$src/sub"
make_db "$src/a.db" 4096 500
make_db "$src/sub/b.db" 1024 300
# Whoever has it open keeps the log.
exec 9> >(exec sqlite3 "$src/a.db" >/dev/null 2>&1)
echo 'SELECT count(*) FROM t;' >&9

sql() { sqlite3 "$src/$1" "$2" >/dev/null || fail "sqlite3 $1: $2"; }
# keep NAME: what the databases are now, as dumps.
keep() {
	local db
	mkdir -p "$tmp/was/$1"
	(cd "$src" && find . -name '*.db' | sort) >"$tmp/was/$1/names"
	while read -r db; do
		sqlite3 "$src/$db" .dump
	done <"$tmp/was/$1/names" >"$tmp/was/$1/dump"
}
# is NAME DIR: the databases in DIR are these, and nothing else is there.
is() {
	local db
	diff <(cd "$2" && find . -type f | sort) "$tmp/was/$1/names" >"$tmp/diff" ||
		{ cat "$tmp/diff"; fail "$2: other files than in $1"; }
	while read -r db; do
		sqlite3 "file:$2/$db?immutable=1" .dump
	done <"$tmp/was/$1/names" | cmp -s - "$tmp/was/$1/dump" ||
		fail "$2: other databases than in $1"
}

# ---- a mount -----------------------------------------------------------------

start_fs "$src"
[ ! -e "$mnt/incremental" ] || fail "there is an incremental/"
ctl 1 begin --incremental "$mnt"
ctl_complains "is not mounted for incremental sessions"
umount "$mnt"
wait_fs
ok "without the option there is none"

start_fs "$src" -o incremental
[ "$(stat -c %h "$mnt")" = 4 ] || fail "links of the root"
before=$(stat -c '%h %i %Y %Z %a' "$mnt/incremental")
ls "$mnt/incremental" >"$tmp/out" 2>&1 && fail "an increment of nothing"
grep -q 'No data available' "$tmp/out" || fail "ENODATA: $(cat "$tmp/out")"
grep -q 'no committed full backup to build on' "$mnt/status" ||
	{ cat "$mnt/status"; fail "status does not say why"; }
[ "$(ctl 0 list --state "$state" --all --json; cat "$tmp/ctl.out")" = '[]' ] ||
	fail "a session began"
ok "an increment of nothing is ENODATA, and status says why"

cp -r "$mnt/backup" "$tmp/full" || fail "cp backup"
ls "$mnt/incremental" >"$tmp/out" 2>&1 && fail "two sessions at once"
grep -q 'resource busy' "$tmp/out" || fail "EBUSY: $(cat "$tmp/out")"
grep -q ' warning directory-busy directory=incremental ' "$mnt/events" ||
	fail "no event of it"
[ "$(stat -c '%h %i %a' "$mnt/incremental")" = "${before%% *} $(
	cut -d' ' -f2,5 <<<"$before")" ] || fail "another incremental/"
ctl 0 commit "$mnt"
keep 1
ok "it is busy while a session is open in backup/"

sql a.db "DELETE FROM t WHERE a % 3 = 0; CREATE INDEX i ON t(b)"
sql c.db "PRAGMA journal_mode=WAL; CREATE TABLE c(x); INSERT INTO c VALUES(1)"
keep 2
before=$(stat -c '%h %i %Y %Z' "$mnt/incremental")
names=$(ls "$mnt/incremental")
[ "$names" = 000002 ] || fail "the session is called $names"
[ "$(stat -c '%h %i %Y %Z' "$mnt/incremental")" = "$before" ] ||
	fail "incremental/ has changed: $before"
ls "$mnt/backup" >"$tmp/out" 2>&1 && fail "two sessions at once"
grep -q 'resource busy' "$tmp/out" || fail "EBUSY: $(cat "$tmp/out")"
ls "$mnt/backup/data" >/dev/null 2>&1 && fail "something below backup/"
ls "$mnt/incremental/000001" >/dev/null 2>&1 && fail "another number"
[ "$(find "$mnt/incremental" -type f -printf '%P\n' | sort | tr '\n' ' ')" = \
	"000002/backup.json 000002/data/c.db 000002/logs/a.db-wal \
000002/verify/XXH128SUMS " ] || fail "$(find "$mnt/incremental")"
[ "$(stat -c %i "$mnt/incremental/000002/backup.json")" != \
	"$(stat -c %i "$tmp/full/backup.json")" ] || fail "inode numbers"
tar -C "$mnt" -cf - incremental | tar -C "$tmp" -xf - || fail "tar"
ctl 0 commit --truncate "$mnt"
ctl_says COMMITTED
grep -q ' info truncated session=[^ ]* bytes=0 sessions=1$' "$mnt/events" ||
	fail "no event of it: $(cat "$mnt/events")"
(cd "$tmp/incremental/000002" && xxhsum --quiet -c verify/XXH128SUMS) ||
	fail "the sums of the increment"
ctl 0 verify "$tmp/incremental/000002"
ctl_says "builds on: " "it is worth nothing without its base"
ok "its directory is called by its number, and backup/ is busy then"

ls "$mnt/incremental/000002" >/dev/null 2>&1 && fail "it is over"
[ "$(stat -c '%h %i' "$mnt/incremental")" = "${before% * *}" ] ||
	fail "incremental/ has changed"
umount "$mnt"
wait_fs
ctl 0 restore --create "$tmp/full" "$tmp/incremental/000002" "$tmp/out1"
ctl_says "of it 1 incremental set"
is 2 "$tmp/out1"
ok "what was copied out of the mount is restored"

# ---- stillctl ----------------------------------------------------------------

back() { ctl 0 backup --state "$state" "$@" "$src" "$dest"; }
ctl 1 backup --state "$state" -i "$src" "$dest"
ctl_complains "holds no full set that an incremental one could build on"
ctl 2 backup --state "$state" -i --atomic "$src" "$dest"
ctl_complains '`--atomic`: does not go with `--incremental`'
back --chain
keep 3
sql a.db "INSERT INTO t(b) SELECT randomblob(300) FROM t LIMIT 99"
sql sub/b.db "VACUUM"
keep 4
back -i
rm "$src/c.db"*
sql sub/b.db "DROP TABLE t; VACUUM"
keep 5
back -i
sql a.db "DELETE FROM t WHERE a > 100; VACUUM"
mkdir "$src/new"
sql new/d.db "PRAGMA journal_mode=WAL; CREATE TABLE d(x)"
keep 6
back -i
names=$(ls "$dest/incremental" | tr '\n' ' ')
[ "$names" = "000004 000005 000006 " ] || fail "links: $names"
ctl 0 verify "$dest"
ctl_says "sets:      4" "the sets are whole, and one chain"
ctl 0 list --state "$state" --all
ctl_says " 3+3 " " 3+0 " " 1+1 "
for n in 4 5 6; do
	ctl 0 restore --create --upto "00000$n" "$dest" "$tmp/upto$n"
	is $n "$tmp/upto$n"
done
ctl 0 restore --create "$dest" "$tmp/all"
is 6 "$tmp/all"
ctl 0 restore --create "$dest/full" "$tmp/alone"
is 3 "$tmp/alone"
ctl 0 restore --database sub/b.db "$dest" "$tmp/b.db"
cmp -s "$tmp/b.db" "$tmp/all/sub/b.db" || fail "one database"
ctl 0 restore --database new/d.db "$dest" "$tmp/d.db"
cmp -s "$tmp/d.db" "$tmp/all/new/d.db" || fail "one new database"
ctl 1 restore --database c.db "$dest" "$tmp/c.db"
ctl_complains "there is no such database"
ok "a chain is stored, verified, and restored to each of its links"

# By hand: the blocks of the page, with the directories of this test.
command -v jq >/dev/null || skip "no jq"
awk '/^## / {on = ($0 == "## Restore incremental sets")}
	on && /^    / {print substr($0, 5)}' "$TOP/doc/restoring.md" |
	sed -e "s|/srv/copies/backups|$dest|" >"$tmp/lines"
[ "$(wc -l <"$tmp/lines")" -gt 20 ] || fail "no lines in the page"
live=$tmp/live bash -euo pipefail "$tmp/lines" >"$tmp/out" 2>&1 ||
	{ cat "$tmp/out"; fail "the lines of the page"; }
is 6 "$tmp/live.new"
# They stop at a chain that is none.
mv "$dest/incremental/000005" "$tmp/aside"
live=$tmp/live2 bash -euo pipefail "$tmp/lines" >"$tmp/out" 2>&1 &&
	fail "the lines of the page restore a chain with a gap"
[ ! -e "$tmp/live2.new" ] || fail "something was restored"
mv "$tmp/aside" "$dest/incremental/000005"
ok "stock tools alone restore it"

# ---- what is refused ---------------------------------------------------------

# refuses STATUS TEXT SET...: nothing is restored.
refuses() {
	local status=$1 text=$2
	shift 2
	ctl "$status" restore --create "$@" "$tmp/none"
	ctl_complains "$text"
	[ ! -e "$tmp/none" ] || fail "something was restored"
}
full=$dest/full
l4=$dest/incremental/000004 l5=$dest/incremental/000005
l6=$dest/incremental/000006
refuses 1 "\`$l5\`: builds on session" "$full" "$l5"
refuses 1 "\`$l4\`: builds on session" "$l4"
refuses 1 "\`$l5\`: stands before \`$l4\`" "$full" "$l5" "$l4" "$l6"
refuses 1 "\`$l5\`: is named twice" "$full" "$l4" "$l5" "$l5" "$l6"
refuses 1 "000002\`: is of another chain" "$full" "$tmp/incremental/000002"
refuses 1 "\`$l4\`: is of another chain" "$tmp/full" "$l4"
refuses 2 'does not go with incremental sets that are named' --upto 4 "$full" "$l4"
refuses 1 'has no incremental set number 9' --upto 9 "$dest"
mv "$l5" "$tmp/aside"
refuses 1 "\`$l6\`: builds on session" "$dest"
ctl 5 verify "$dest"
ctl_says "the chain is damaged"
mv "$tmp/aside" "$l5"
file=$(find "$l5/logs" -type f | head -n 1)
cp -a "$file" "$tmp/aside"
printf X | dd of="$file" bs=1 seek=100 conv=notrunc status=none
refuses 5 "is damaged" "$dest"
ctl 5 verify "$dest"
ctl_says "incremental/000005/logs/"
cp -a "$tmp/aside" "$file"
ctl 0 verify "$dest"
ok "each link that is missing, repeated, swapped, foreign or damaged is named"

# Another copy of the full set's session, with another list.
mkdir "$tmp/other"
cp -a "$dest/." "$tmp/other"
line=$(tail -n 1 "$tmp/other/full/verify/XXH128SUMS")
{
	echo "$line"
	sed '$d' "$tmp/other/full/verify/XXH128SUMS"
} >"$tmp/sums"
cat "$tmp/sums" >"$tmp/other/full/verify/XXH128SUMS"
refuses 1 "is not what \`$tmp/other/incremental/000004\` builds on" "$tmp/other"
ctl 1 backup --state "$state" -i "$src" "$tmp/other"
ctl_complains "is not what"
[ "$(ls -A "$tmp/other" | tr '\n' ' ')" = "full incremental " ] ||
	fail "something new: $(ls -A "$tmp/other")"
ok "nothing is added to a chain that is another one"

# ---- a new chain -------------------------------------------------------------

keep 8
back --chain
[ "$(ls -A "$dest")" = full ] || fail "of the last chain: $(ls -A "$dest")"
ctl 0 restore --create "$dest" "$tmp/new"
is 8 "$tmp/new"
ctl 0 truncate --state "$state" --dry-run "$src"
ctl_says "would release"
ok "a full backup takes the place of all of the last chain"

# ---- nothing was added -------------------------------------------------------

dest=$tmp/quiet
mkdir "$dest"
back
keep quiet
back -i
back -i
[ "$(find "$dest/incremental" -type f | wc -l)" = 4 ] ||
	fail "$(find "$dest/incremental" -type f)"
ctl 0 verify "$dest"
ctl_says "sets:      3" "the sets are whole, and one chain"
ctl 0 restore --create "$dest" "$tmp/quiet-again"
is quiet "$tmp/quiet-again"
ok "a link to which nothing was added is whole, too"
