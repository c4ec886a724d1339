#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# What a commit can be asked for, and what is refused: --force of a session with
# damage, --truncate and its trial, --truncated-elsewhere; `stillctl truncate`, with
# a mount and without one; and what `stillctl backup` does of these by itself.
. "$(dirname "$0")/../lib/mount.sh"

db=${src:?}/app.db
make_db "$db" 4096 8000
make_db "$src/two.db" 4096 50
open_app "$db"
app "UPDATE t SET b='x' WHERE a < 40;"

# Each committed session that somebody may build on keeps sums of pages.
kept() { ls "${state:?}/pages" 2>/dev/null | sort | tr '\n' ' '; }
kept_are() {
	local want
	want=$(printf '%s\n' "$@" | sort | tr '\n' ' ')
	[ "$(kept)" = "$want" ] || fail "kept: $(kept), not $want"
}
# all: the catalog and what is kept, to be compared.
all() { "$STILLCTL" list --all --json --state "$state"; find "$state/pages" | sort; }
unchanged() { all | diff "${tmp:?}/all" - || fail "$1 has changed something"; }

# ---- nothing committed ---------------------------------------------------------

start_fs "$src" -o incremental
for target in "${mnt:?}" "$src"; do
	ctl 1 truncate --state "$state" "$target"
	ctl_complains 'no session of it is committed' 'Make a full backup'
	ctl 1 truncate --dry-run --state "$state" "$target"
	ctl_complains 'no session of it is committed'
done
ctl 1 commit --truncate "$mnt"
ctl_complains 'is no session to commit'
ctl 2 commit --truncate --truncated-elsewhere "$mnt"
ctl_complains '`--truncate`: does not go with `--truncated-elsewhere`'
ctl 2 commit --dry-run "$mnt"
ctl_complains '`--dry-run`: is of `--truncate`'
ctl 2 commit --dry-run --truncated-elsewhere "$mnt"
ctl 0 begin "$mnt"
ctl 1 commit --truncate --dry-run --session another "$mnt"
all >"$tmp/all"
for target in "$mnt" "$src"; do
	ctl 4 truncate --state "$state" "$target"
	ctl_complains 'has a session at'
	unchanged "truncate of $target"
done
ctl 0 commit --truncate --dry-run "$mnt"
ctl_says 'would release nothing'
unchanged "a trial"
ctl 0 abort "$mnt"
ctl 1 commit --truncate "$mnt"
recorded 'ABORTED(by caller)'
# A copy is no base: it is committed, and that is all.
ctl 0 begin --copy "$mnt"
ctl 3 commit --truncate "$mnt"
ctl_says COMMITTED
ctl_complains 'no session of it is committed' 'nothing was truncated'
[ "$(record kind) $(record outcome) $(record truncated)" = 'copy COMMITTED 0' ] ||
	fail "a copy: $(record truncated)"
ctl 1 truncate "$mnt"
ctl_complains 'no session of it is committed'
ok "nothing is truncated where nothing is committed, nor while a session is open"

# ---- a commit that truncates, and its trial --------------------------------------

ctl 0 begin "$mnt"
first=$(record id)
ctl 0 commit "$mnt"
kept_are "$first"
ctl 0 begin --incremental "$mnt"
second=$(record id)
cp -r "$mnt/incremental" "$tmp/second" || fail cp
kept_are "$first" "$second"
all >"$tmp/all"
ctl 0 commit --truncate --dry-run --json "$mnt"
tail -n 1 "$tmp/ctl.out" >"$tmp/done" # behind what it says of its progress
[ "$(sqlite3 :memory: "SELECT json_extract(CAST(readfile('$tmp/done') AS TEXT),
	'\$.truncation.sessions', '\$.truncation.dry_run', '\$.truncation.error')")" = \
	'[1,true,null]' ] || fail "--json: $(cat "$tmp/ctl.out")"
ctl 0 commit --truncate --dry-run "$mnt"
ctl_says 'would release page sums of 1 session'
[ "$(grep -c COMMITTED "$tmp/ctl.out")" = 0 ] || fail "a trial commits"
unchanged "a trial"
# The session goes on, and can be given up.
head -c 10 "$mnt/incremental/"*/backup.json >/dev/null || fail "it is over"
ctl 0 commit --truncate "$mnt"
ctl_says "$second COMMITTED" 'released page sums of 1 session'
kept_are "$second"
[ "$(record truncated) $(record truncated_elsewhere)" = '1 0' ] || fail "the record"
# For the sake of the last base goes what a copy is committed with.
ctl 0 begin --copy "$mnt"
ctl 0 commit --truncate "$mnt"
ctl_says 'released nothing'
[ "$(record truncated)" = 0 ] || fail "for a copy's sake"
kept_are "$second"
ctl 0 begin --incremental "$mnt"
[ "$(record base)" = "$second" ] || fail "it builds on $(record base)"
ctl 0 commit --truncated-elsewhere "$mnt"
third=$(record id)
[ "$(record truncated) $(record truncated_elsewhere)" = '0 1' ] || fail "the record"
# To commit again changes nothing.
all >"$tmp/all"
ctl 0 commit --truncate "$mnt"
unchanged "a second commit"
ok "a trial changes nothing; a commit truncates, or says who has"

# ---- stillctl truncate -----------------------------------------------------------

ctl 0 begin "$mnt"
ctl 0 abort "$mnt"
for target in "$mnt" "$src"; do
	ctl 0 truncate --dry-run "$target" --state "$state"
	ctl_says 'would release nothing'
	ctl 0 truncate "$target" --state "$state"
	ctl_says 'released nothing'
done
kept_are "$third"
umount "$mnt"
wait_fs
# What a process that died has left goes.
start_fs "$src" -o incremental
ctl 0 begin "$mnt"
died=$(record id)
cp -r "$mnt/backup" "$tmp/died" || fail cp
kept_are "$third" "$died"
kill -9 "$fs_pid"
wait "$fs_pid" 2>/dev/null
fs_pid=
kept_are "$third" "$died"
ctl 0 truncate --dry-run --state "$state" "$src"
ctl_says 'would release page sums of 1 session'
kept_are "$third" "$died"
ctl 0 truncate --json --state "$state" "$src"
grep -q '"sessions": *1' "$tmp/ctl.out" || fail "--json: $(cat "$tmp/ctl.out")"
kept_are "$third"
[ "$(record id 2) $(record truncated 2) $(record truncated_elsewhere 2)" = \
	"$third 1 1" ] || fail "the record of what it was done for"
ctl 1 truncate --state "$tmp/none" "$src"
ctl_complains 'No such file'
ok "stillctl truncate releases what nobody needs, mounted or not"

# ---- force -----------------------------------------------------------------------

turn_over() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\$(printf %o $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
# The base of it all.
start_fs "$src" -o incremental
ctl 0 begin "$mnt"
ctl 0 commit "$mnt"
whole=$(record id)
page=$(($(stat -c %s "$db") / 4096 / 2))
while "$WAL" has "$db" $page; do page=$((page + 1)); done
turn_over "$db" $(((page - 1) * 4096 + 1000))
app "UPDATE t SET b='y' WHERE a < 20;"
ctl 0 begin "$mnt"
ctl 5 commit "$mnt"
ctl_complains "page $page of \`app.db\`: it is not what it was"
recorded 'ABORTED(corrupt)'
[ "$(record forced)" = 0 ] || fail "forced"
ctl 1 commit --force "$mnt"
recorded 'ABORTED(corrupt)'
ctl 0 begin --incremental "$mnt"
[ "$(record base)" = "$whole" ] || fail "what failed is built on"
ctl 0 abort "$mnt"
ok "a session with damage is not committed, nor afterwards, and nothing builds on it"

ctl 0 begin "$mnt"
forced=$(record id)
cp -r "$mnt/backup" "$tmp/bad" 2>/dev/null && fail "it was served"
ctl 3 commit --force --truncate "$mnt"
ctl_says "$forced COMMITTED"
ctl_complains "nothing can build on it" "nothing was truncated"
recorded COMMITTED
[ "$(record forced) $(record damaged) $(record truncated)" = '1 1 0' ] ||
	fail "the record: $(record forced) $(record damaged) $(record truncated)"
[[ $(record error) == *"page $page of \`app.db\`"* ]] || fail "$(record error)"
ctl 0 list --state "$state" --all --limit 1
ctl_says "COMMITTED, forced"
grep -q 'COMMITTED, though damage was found' "$mnt/status" ||
	fail "$(cat "$mnt/status")"
[ "$(grep -c " session-end session=$forced outcome=COMMITTED" "$log")" = 1 ] ||
	fail "not one end was told"
for target in "$mnt" "$src"; do
	ctl 1 truncate --state "$state" "$target"
	ctl_complains "session \`$forced\`: nothing can build on it"
done
ctl 1 begin --incremental "$mnt"
ctl_complains "is damaged, and nothing can build on it" "full backup"
# It is what the next full one is compared with, as far as it could be read: that
# page is nobody's alarm any more.
ctl 0 begin "$mnt"
cp -r "$mnt/backup" "$tmp/next" || fail "cp: $(cat "$mnt/status")"
ctl 0 commit "$mnt"
[ "$(record forced)" = 0 ] || fail "still forced"
(cd "$tmp/next" && xxhsum --quiet -c verify/XXH128SUMS) || fail "the sums"
next=$(record id)
app "UPDATE t SET b='z' WHERE a < 10;"
ctl 0 begin --incremental "$mnt"
[ "$(record base)" = "$next" ] || fail "it builds on $(record base)"
cp -r "$mnt/incremental" "$tmp/more" || fail cp
ctl 0 commit --force "$mnt"
[ "$(record forced)" = 0 ] || fail "there was nothing to force"
ctl 0 restore --create "$tmp/next" "$tmp/more/"* "$tmp/restored"
[ "$(sqlite3 "$tmp/restored/app.db" "SELECT count(*) FROM t WHERE b='z'")" = 9 ] ||
	fail "what was restored"
umount "$mnt"
wait_fs
ok "forced it is committed, which record, list and status say; the next one goes on"

# What is not there at all, no force brings back.
start_fs "$src"
ctl 0 begin "$mnt"
kill -9 "$fs_pid"
wait "$fs_pid" 2>/dev/null
fs_pid=
ctl 1 commit --force --state "$state" "$src"
recorded 'ABORTED(crash)'
ok "what is no session is not forced"

# ---- stillctl backup ---------------------------------------------------------------

dest=$tmp/dest
mkdir "$dest"
ctl 0 backup --state "$state" --atomic --chain "$src" "$dest"
[ "$(record outcome) $(record truncated)" = 'COMMITTED 1' ] || fail "it truncates"
ctl 0 backup --state "$state" --incremental --no-truncate "$src" "$dest"
[ "$(record kind) $(record truncated)" = 'incremental 0' ] || fail "--no-truncate"
ctl 0 backup --state "$state" --incremental "$src" "$dest"
[ "$(record kind) $(record truncated)" = 'incremental 1' ] || fail "-i truncates"
ctl 0 backup --state "$state" "$src" "$tmp/dest"
[ "$(record kind) $(record truncated)" = 'full 0' ] || fail "alone it has no chain"
last=$(record id)
ctl 0 backup --state "$state" --copy --create "$src" "$tmp/copies"
[ "$(record kind) $(record truncated)" = 'copy 0' ] || fail "--copy"
kept_are "$last"
for option in --truncate --truncated-elsewhere --dry-run; do
	ctl 2 backup --state "$state" $option "$src" "$dest"
done
ctl 2 backup --state "$state" --incremental --atomic "$src" "$dest"
ctl_complains '`--atomic`: does not go with `--incremental`'
ctl 2 backup --state "$state" --incremental --copy "$src" "$dest"
# The same over a mount, which has the option itself.
start_fs "$src" -o incremental
ctl 0 backup --no-truncate "$mnt" "$dest"
[ "$(record outcome) $(record truncated)" = 'COMMITTED 0' ] || fail "mounted"
ctl 0 backup --incremental "$mnt" "$dest"
[ "$(record kind) $(record truncated)" = 'incremental 1' ] || fail "mounted, -i"
ctl 0 backup --copy "$mnt" "$tmp/copies"
[ "$(record kind) $(record truncated)" = 'copy 0' ] || fail "mounted, --copy"
umount "$mnt"
wait_fs
start_fs "$src"
ctl 0 backup "$mnt" "$dest"
[ "$(record kind) $(record truncated)" = 'full 0' ] || fail "mounted without"
umount "$mnt"
wait_fs
ok "stillctl backup truncates as far as chains go, and not when it is told so"
close_app
