#!/bin/bash
# SPDX-License-Identifier: MIT
# What a program is told that asks for what cannot be had: the errno of a request
# in the mount, and the exit code and JSON of stillctl, which name the same.
. "$(dirname "$0")/../lib/mount.sh"

# errno_of PATH: what it gets who lists a directory, or reads a file; "0": nothing.
errno_of() {
	python3 - "$1" <<-'END'
		import errno, os, sys
		try:
		    os.listdir(sys.argv[1]) if os.path.isdir(sys.argv[1]) \
		        else open(sys.argv[1], "rb").read()
		    print(0)
		except OSError as e:
		    print(errno.errorcode[e.errno].replace("ENOTSUP", "EOPNOTSUPP"))
		END
}
# gets ERRNO PATH: and status has something to say of it.
gets() {
	local got
	got=$(errno_of "$2")
	[ "$got" = "$1" ] || fail "$2: $got, not $1: $(cat "$mnt/status")"
}
# answers STATUS CODE ERRNO TEXT VERB [ARGUMENT...]
answers() {
	local want="$2 $3" got
	set -- "$1" "$4" "${@:5}"
	ctl "$1" "$3" --json --state "$state" "${@:4}"
	got=$(python3 -c 'import json, sys
e = [json.loads(l) for l in sys.stdin if "error" in json.loads(l)][-1]["error"]
print(e["code"], e["errno"])' <"$tmp/ctl.out")
	[ "$got" = "$want" ] || fail "stillctl ${*:3}: $got, not $want"
	ctl_complains "$2"
}

make_db "$src/app.db" 4096 500

# ---- nothing to end, and nothing to build on -----------------------------------

start_fs "$src" -o incremental
for verb in commit abort; do
	answers 1 no-session EPROTO "there is no session to $verb" $verb "$mnt"
done
answers 1 no-session EPROTO "no session" commit "$tmp/src"
ok "commit and abort without a session: EPROTO"

gets ENODATA "$mnt/incremental"
answers 1 no-base ENODATA "no committed full backup to build on" \
	begin --incremental "$mnt"
answers 1 no-base ENODATA "no session of it is committed" truncate "$src"
ok "incremental without a full one, and truncation: ENODATA"

# ---- one at a time -------------------------------------------------------------

mkdir "$tmp/mnt2" "$tmp/dest"
"$STILLFS" "$src" "$tmp/mnt2" || fail "a second mount"
gets 0 "$mnt/backup"
gets EBUSY "$mnt/incremental"
gets EBUSY "$tmp/mnt2/backup"
answers 4 busy EBUSY "has a session at \`$mnt\`" begin "$tmp/mnt2"
umount "$tmp/mnt2"
gets 0 "$mnt/backup/data/app.db"
ctl 0 abort "$mnt"
ok "a second session: EBUSY, and the first goes on"

# ---- what was asked for --------------------------------------------------------

answers 2 invalid EINVAL '`--atomic`: does not go with `--incremental`' \
	backup --incremental --atomic "$src" "$tmp/dest"
ctl 2 backup --snapshot "$src" "$tmp/dest"
ctl_complains '`--snapshot`'
ctl 2 begin --wibble "$mnt"
ctl_complains '`--wibble`'
umount "$mnt" && wait_fs
ctl 0 backup --atomic --state "$state" "$src" "$tmp/dest"
ctl_says COMMITTED
: >"$tmp/file"
answers 1 not-found ENOENT "$tmp/none" backup "$src" "$tmp/none"
answers 1 not-found ENOENT "$tmp/no" backup --create "$src" "$tmp/no/dest"
answers 1 not-found ENOTDIR "$tmp/file" backup "$src" "$tmp/file/dest"
long=$(printf 'x%.0s' {1..300})
answers 1 invalid ENAMETOOLONG "$long" backup --create "$src" "$tmp/$long"
: >"$tmp/dest/foreign"
answers 1 invalid ENOTEMPTY foreign backup "$src" "$tmp/dest"
rm "$tmp/dest/foreign"
ctl 0 verify "$tmp/dest/full"
ok "options and paths: EINVAL, ENOENT, ENOTDIR, ENAMETOOLONG, ENOTEMPTY, by name"

# ---- what the instance is ------------------------------------------------------

start_fs "$src" -o incremental
gets 0 "$mnt/incremental"
ctl 0 abort "$mnt"
sqlite3 "$src/old.db" 'CREATE TABLE t(a); INSERT INTO t VALUES(1)'
gets EOPNOTSUPP "$mnt/incremental"
grep -qF '`old.db`' "$mnt/status" || fail "$(cat "$mnt/status")"
answers 1 unsupported EOPNOTSUPP 'old.db' begin --incremental "$mnt"
gets 0 "$mnt/backup"
ctl 0 abort "$mnt"
rm "$src/old.db"
ok "incremental, and a database keeps no log: EOPNOTSUPP, and a full one can be had"

mv "$src/app.db" "$tmp/away"
rm -f "$src"/app.db*
gets ENXIO "$mnt/backup"
answers 1 not-found ENOENT 'no database in it' begin "$mnt"
mv "$tmp/away" "$src/app.db"
gets 0 "$mnt/backup"
ctl 0 abort "$mnt"
ok "nothing is left at the source: ENXIO"

open_app "$src/app.db"
app "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(b) VALUES('mine');"
preparing() { grep -q '^state: *preparing' "$mnt/status"; }
errno_of "$mnt/backup" >"$tmp/waits" &
waits=$!
wait_for 5 preparing || fail "nobody waits"
kill -TERM "$fs_pid"
wait $waits
[ "$(cat "$tmp/waits")" = ESHUTDOWN ] || fail "who waits gets $(cat "$tmp/waits")"
wait_fs
close_app
ok "who waits for a session of a daemon that ends: ESHUTDOWN"
