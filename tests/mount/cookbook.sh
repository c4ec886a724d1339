#!/bin/bash
# SPDX-License-Identifier: MIT
# The lines for tools in doc/mounting.md, as they stand there but for the paths,
# on one mount that stays: each run commits a session of its own. What has not
# changed since the last one is not read again by the tools that compare, and a
# change that keeps the size is found. A tool that fails commits nothing.
. "$(dirname "$0")/../lib/system.sh"

for tool in rsync tar restic borg; do
	command -v $tool >/dev/null || skip "no $tool"
done
export RESTIC_PASSWORD=test RESTIC_CACHE_DIR=$tmp/restic-cache
export BORG_BASE_DIR=$tmp/borg-base LC_ALL=C.UTF-8
srv=$tmp/srv
mkdir -p "$srv/copies"
restic -q -r "$srv/restic" init >/dev/null || fail "restic init"
borg init -e none "$srv/borg" 2>/dev/null || fail "borg init"

sed -n '/^## Tools/,/^## /s/^    \(.* && stillctl commit \/mnt\/shop\)$/\1/p' \
	"$TOP/doc/mounting.md" |
	sed -e "s|/mnt/shop|$mnt|g" -e "s|/srv/|$srv/|g" >"$tmp/lines"
for tool in cp rsync tar restic borg; do
	[ "$(grep -c "^$tool " "$tmp/lines")" = 1 ] || fail "no line for $tool"
done

make_db "$src/app.db" 4096 500
make_db "$src/idle.db" 4096 500
stillfs "$src" "$mnt" || fail "the mount"

# run TOOL: its line, and a committed session that is younger than the last.
run() {
	local before
	before=$(stillctl list --json "$mnt" | grep -c '"outcome"')
	eval "$(grep "^$1 " "$tmp/lines")" >"$tmp/$1.out" 2>"$tmp/$1.err" ||
		{ cat "$tmp/$1.err"; fail "$1"; }
	ended "$mnt" COMMITTED
	[ "$(stillctl list --json "$mnt" | grep -c '"outcome"')" = \
		$((before + 1)) ] || fail "$1: not one session"
}
# restored TOOL: where the set is that it stored last.
restored() {
	rm -rf "$tmp/restored"
	mkdir "$tmp/restored"
	cd "$tmp/restored" || fail cd
	case $1 in
	cp) cp -r "$srv/copies/monday" set ;;
	rsync) cp -r "$srv/copies/shop" set ;;
	tar) tar -xf "$srv/copies/shop.tar" && mv backup set ;;
	restic) restic -q -r "$srv/restic" restore latest --target . &&
		mv ".$mnt/backup" set ;;
	borg) borg extract "$srv/borg::$(borg list --short --last 1 \
		"$srv/borg")" && mv ".$mnt/backup" set ;;
	esac >"$tmp/restore.out" 2>&1 || fail "$1 cannot restore"
	cd / || fail cd
	check_set "$tmp/restored/set"
}
value() {
	sqlite3 "file:$tmp/restored/set/data/app.db?immutable=1" \
		"SELECT b FROM t WHERE a=7"
}

for tool in cp rsync tar restic borg; do
	sqlite3 "$src/app.db" "UPDATE t SET b='before' WHERE a=7" || fail edit
	run $tool
	restored $tool
	[ "$(value)" = before ] || fail "$tool: an old state"
	rm -rf "$srv/copies/monday"
	# As long as the other word.
	sqlite3 "$src/app.db" "UPDATE t SET b='behind' WHERE a=7;
		PRAGMA wal_checkpoint(PASSIVE)" >/dev/null || fail edit
	run $tool
	restored $tool
	[ "$(value)" = behind ] || fail "$tool: missed a change of the same size"
	ok "$tool: committed twice, and each set is the state of its moment"
	rm -rf "$srv/copies/monday"
done

# Nothing changes between two runs: only what is new in each session is read.
settled
run rsync
before=$(stat -c %i "$srv/copies/shop/data/app.db")
run rsync
[ "$(stat -c %i "$srv/copies/shop/data/app.db")" = "$before" ] ||
	fail "rsync copied again what has not changed"
rsync -ai --dry-run "$mnt/backup/" "$srv/copies/shop/" | grep -q 'data/' &&
	fail "rsync would copy again what has not changed"
stillctl abort -q "$mnt" || fail abort
run restic
run restic
grep -qE '^Files: +[0-2] new, +[0-2] changed, +2 unmodified' "$tmp/restic.out" ||
	{ cat "$tmp/restic.out"; fail "restic read again"; }
ok "nothing changed: rsync and restic read only what is new in each session"

# The disk is full: nothing is committed, and the session can be given up.
mount -t tmpfs -o size=64k none "$srv/copies" || fail "tmpfs"
for tool in cp rsync tar; do
	[ $tool = rsync ] && mkdir "$srv/copies/shop"
	eval "$(grep "^$tool " "$tmp/lines")" 2>"$tmp/err" &&
		fail "$tool does not mind a full disk"
	grep -qE 'No space left|Wrote only' "$tmp/err" || fail "$tool: $(cat "$tmp/err")"
	grep -q '^state: *serving' "$mnt/status" || fail "the session is over"
	stillctl abort -q "$mnt" || fail abort
	ended "$mnt" "ABORTED(by caller)"
	rm -rf "$srv/copies"/*
done
umount "$srv/copies"
ok "a tool that fails commits nothing"

umount "$mnt" || fail umount
away "$mnt"
