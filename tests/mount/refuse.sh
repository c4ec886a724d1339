#!/bin/bash
# SPDX-License-Identifier: MIT
# What is refused before mounting, each in its own words; and nothing is left.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 20

# refused STATUS MESSAGE ARGUMENT...
refused() {
	local want=$1 message=$2 status
	shift 2
	timeout 20 "$STILLFS" "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
	[ $status = "$want" ] || fail "status $status, not $want: $* ($(cat "$tmp/err"))"
	grep -qF -- "$message" "$tmp/err" ||
		fail "'$(cat "$tmp/err")' does not say '$message'"
	[ -s "$tmp/out" ] && fail "something on stdout: $*"
	mounted "$mnt" && fail "mounted all the same: $*"
	ok "$message"
}

refused 1 "source \`$tmp/none\`: No such file" "$tmp/none" "$mnt"
mkdir "$tmp/void" && echo text >"$tmp/void/notes"
refused 1 "source \`$tmp/void\`: no database in it" "$tmp/void" "$mnt"
refused 1 "\`notes\`: is no SQLite database" "$tmp/void/notes" "$mnt"
: >"$tmp/empty.db"
refused 1 "source \`/dev/null\`: is neither a file nor a directory" /dev/null "$mnt"
refused 1 "no engine knows this kind" gopher://x "$mnt"

mkdir "$tmp/enc"
head -c 8192 /dev/urandom >"$tmp/enc/secret.db"
: >"$tmp/enc/secret.db-wal"
refused 1 "\`secret.db\`: is no SQLite database that can be read" "$tmp/enc" "$mnt"
mkdir "$tmp/links"
make_db "$tmp/links/a.db" 4096 5
ln "$tmp/links/a.db" "$tmp/b-link"
refused 1 "database \`a.db\`: has 2 hard links" "$tmp/links" "$mnt"
ln "$tmp/links/a.db" "$tmp/links/b.db"
refused 1 "databases \`a.db\` and \`b.db\`: are the same file" \
	"$tmp/links" "$mnt" -o force
make_db "$tmp/links/c.db" 4096 5
refused 1 "has 3 databases, and \`barrier_max\` allows 2" \
	"$tmp/links" "$mnt" -o barrier_max=2
(ulimit -n 70 && refused 1 "3 databases take 88 descriptors, and this process may have 70" \
	"$tmp/links" "$mnt") || exit 1
refused 1 "spool \`$tmp/none\`: No such file" "$src" "$mnt" -o "spool=$tmp/none"
refused 1 "spool \`$tmp/empty.db\`: not a directory" "$src" "$mnt" -o "spool=$tmp/empty.db"
mkdir -m 1777 "$tmp/open"
refused 1 "spool \`$tmp/open\`: everybody may write" "$src" "$mnt" -o "spool=$tmp/open"
refused 1 "spool \`/proc\`: its file system has no files without a name" \
	"$src" "$mnt" -o spool=/proc
refused 2 "option \`verify\`: \`deep\` is not one of basic|quick|full" \
	"$src" "$mnt" -o verify=deep
mkdir "$tmp/nl"
make_db "$tmp/nl/a"$'\n'"b.db" 4096 5
refused 1 'has a newline in it' "$tmp/nl" "$mnt"

refused 1 "mountpoint \`$tmp/no\`: No such file" "$src" "$tmp/no"
refused 1 "mountpoint \`$tmp/empty.db\`: is not a directory" "$src" "$tmp/empty.db"
mkdir "$src/inside" "$tmp/full" && : >"$tmp/full/file"
refused 1 "mountpoint \`$src\`: is the source" "$src" "$src"
refused 1 "mountpoint \`$src/inside\`: lies in the source" "$src" "$src/inside"
refused 1 "mountpoint \`$tmp\`: lies above the source" "$src" "$tmp" -o nonempty
refused 1 "mountpoint \`$src\`: lies above the source" "$src/app.db" "$src" -o nonempty
refused 1 "mountpoint \`$tmp/full\`: is not empty" "$src" "$tmp/full"
# Another way to the same place is the same place.
mkdir "$tmp/bind" && mount --bind "$src" "$tmp/bind"
refused 1 "mountpoint \`$tmp/bind\`: is the source" "$src" "$tmp/bind"
refused 1 "lies in the source" "$src" "$tmp/bind/inside"
umount "$tmp/bind"

# What is refused because of where it lies is not made there.
ln -s "$src" "$tmp/srclink"
for dir in "$src/state" "$src/inside/a/b" "$tmp/srclink/state"; do
	refused 1 "source \`$src\`: holds the state directory" \
		"$src" "$mnt" -o "state=$dir"
done
[ -z "$(ls -A "$src/inside")" ] || fail "something was made in the source"

refused 2 "no source given"
refused 2 "no mountpoint given" "$src"
refused 2 "one argument too many" "$src" "$mnt" more
refused 2 "unknown option \`wibble\`" "$src" "$mnt" -o wibble
refused 2 "unknown option \`wibble\`" "$src" "$mnt" -o ro,wibble=3,nofail
refused 2 "unknown option \`wibble\`" "$src" "$mnt" --wibble=1
refused 2 "unknown option \`-x\`" "$src" "$mnt" -x
refused 2 "option \`threads\`: 0 is out of range, it takes 1 to 64" \
	"$src" "$mnt" -o threads=0
refused 2 "option \`threads\`: 65 is out of range" "$src" "$mnt" --threads=65
refused 2 "option \`threads\`: \`4x\` is not a number" "$src" "$mnt" -o threads=4x
refused 2 "option \`threads\`: \`-1\` is not a number" "$src" "$mnt" -o threads=-1
refused 2 "option \`freeze_ms\`: 99999999999999999999 is out of range" \
	"$src" "$mnt" -o freeze_ms=99999999999999999999
refused 2 "option \`pin\`: \`none\` is not one of auto|govern|hold" \
	"$src" "$mnt" -o pin=none
refused 2 "option \`pin_ms\`: 60001 is out of range, it takes 1 to 60000" \
	"$src" "$mnt" -o pin_ms=60001
refused 2 "option \`wal_max\`: \`1g\` is not a size" "$src" "$mnt" -o wal_max=1g
refused 2 "option \`wal_max\`: 9999999T is out of range" \
	"$src" "$mnt" -o wal_max=9999999T
refused 2 "option \`spool_max\`: 0 is out of range" "$src" "$mnt" -o spool_max=0
refused 2 "option \`threads\`: needs a value" "$src" "$mnt" -o threads
refused 2 "option \`nonempty\`: takes no value" "$src" "$mnt" -o nonempty=1
refused 2 "takes no secrets in options" "$src" "$mnt" -o password=x
refused 1 "engine \`oracle\`: is not one of" "$src" "$mnt" -o engine=oracle

# What the user may not read, by its name.
if [ "$(id -u nobody 2>/dev/null)" ]; then
	as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
	chmod 755 "$tmp" "$src"
	mkdir "$tmp/nmnt" "$tmp/nstate" && chown nobody "$tmp/nmnt" "$tmp/nstate"
	refused_nobody() {
		as_nobody "$STILLFS" "$2" "$tmp/nmnt" \
			-o "state=$tmp/nstate/state" 2>"$tmp/err" &&
			fail "nobody mounted it"
		grep -qF -- "$1" "$tmp/err" || fail "'$(cat "$tmp/err")' does not say '$1'"
		ok "$1 (as another user)"
	}
	chmod 600 "$src/app.db"
	refused_nobody "\`app.db\`: Permission denied" "$src"
	refused_nobody "\`app.db\`: Permission denied" "$src/app.db"
	chmod 644 "$src/app.db"
	chmod 700 "$src"
	refused_nobody "source \`$src\`: Permission denied" "$src"
	chmod 755 "$src"
	mkdir -m 700 "$src/sub"
	refused_nobody "directory \`sub\`: Permission denied" "$src"
	rmdir "$src/sub"
fi

[ "$(ls -A "$src" | tr '\n' ' ')" = "app.db inside " ] ||
	fail "something was left in the source: $(ls -A "$src")"
ok "a refusal leaves nothing in the source"

# A source that lies on FUSE: a mount of ours will do.
start_fs
mkdir "$tmp/second"
refused_fuse() {
	"$STILLFS" "$mnt/backup/data" "$tmp/second" 2>"$tmp/err" &&
		fail "a FUSE source was taken"
	grep -qF 'lies on a network or FUSE file system (FUSE)' "$tmp/err" ||
		fail "'$(cat "$tmp/err")'"
}
refused_fuse
ok "lies on a network or FUSE file system (FUSE)"
"$STILLFS" "$src" "$mnt" 2>"$tmp/err" && fail "mounted over a live mount"
grep -qF "mountpoint \`$mnt\`: a stillfs is mounted there already" "$tmp/err" ||
	fail "'$(cat "$tmp/err")'"
grep -q '^state:' "$mnt/status" || fail "the live mount was disturbed"
ok "a stillfs is mounted there already"

# A dead one of ours is detached; -o nonempty does what it says.
kill -9 "$fs_pid"
wait "$fs_pid" 2>/dev/null
ls "$mnt" 2>/dev/null && fail "the mount is not dead"
start_fs
grep -q '^state:' "$mnt/status" || fail "no mount after the dead one"
[ "$(grep -c "$mnt " /proc/self/mountinfo)" = 1 ] || fail "the dead one is below"
umount "$mnt"
wait_fs
ok "a dead mount of ours is detached"

"$STILLFS" "$src" "$tmp/full" -o nonempty || fail "-o nonempty"
grep -q '^state:' "$tmp/full/status" || fail "no mount"
umount "$tmp/full"
[ -e "$tmp/full/file" ] || fail "the file is gone"
ok "-o nonempty mounts over files, which come back"

"$STILLFS" --help >"$tmp/out" || fail "--help"
grep -q '^usage: stillfs SOURCE MOUNTPOINT' "$tmp/out" || fail "usage"
"$STILLFS" -V | grep -q '^stillfs [0-9]' || fail "-V"
"$STILLFS" -h | diff - "$tmp/out" || fail "-h is not --help"
ok "--help and --version"
