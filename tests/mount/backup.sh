#!/bin/bash
# SPDX-License-Identifier: MIT
# stillctl backup: one call, from a source and from a mount, while an application
# writes; and that whatever fails or is stopped leaves the last set as it was.
. "$(dirname "$0")/../lib/mount.sh"

dest=$tmp/dest

# backup STATUS [ARGUMENT...]: of the source, in this test's state directory.
backup() {
	local want=$1
	shift
	ctl "$want" backup --state "$state" "$@"
}
# tree DIR: all that is there, and its content.
tree() { (cd "$1" && find . ! -name . -printf '%p %y %m %T@\n' -type f \
	-exec xxhsum -H2 {} \; 2>/dev/null | sort); }
# keep, kept: nothing has changed in the directory in between.
keep() { tree "$dest" >"$tmp/kept"; }
kept() { diff "$tmp/kept" <(tree "$dest") || fail "$*: the last set has changed"; }
set_is_right() {
	[ "$(ls -A "$dest")" = full ] || fail "not only full: $(ls -A "$dest")"
	check_set "$dest/full"
}
# json FILE done|error: the lines are right; prints session and kind, or the
# code of the error.
json() { python3 - "$@" <<'EOF'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1], encoding="utf-8")]
events = [l.get("event") for l in lines]
phases = [l["phase"] for l in lines if l.get("event") == "progress"]
if sys.argv[2] == "done":
    assert events[-1] == "done" and events.count("done") == 1, events
    order = ["freezing", "copying", "syncing", "verifying"]
    assert [p for i, p in enumerate(phases) if p not in phases[:i]] == order
    done = lines[-1]
    assert done["outcome"] == "COMMITTED" and done["files"] >= 3, done
    for l in lines:
        if l.get("event") == "progress":
            assert 0 <= l["bytes_done"] <= l["bytes"], l
    print(done["session"], done["kind"])
else:
    assert "done" not in events and "error" in lines[-1], events
    print(lines[-1]["error"]["code"])
EOF
}

make_db "$src/app.db" 4096 3000
mkdir "$src/sub"
sqlite3 "$src/sub/rollback.db" \
	"CREATE TABLE t(a); INSERT INTO t VALUES('first')"

# ---- refused ----
backup 2
ctl_complains "an argument is missing"
backup 2 a b c
backup 2 --snapshot "$src" "$dest"
ctl_complains "unknown option \`--snapshot\`"
backup 1 "$src" "$dest"
ctl_complains "$dest" "No such file" "--create"
backup 1 --create "$src" "$tmp/none/dest"
ctl_complains "its parent directory"
backup 1 --create "$src" "$src/dest"
ctl_complains "lies in the source"
backup 1 "$src" "$tmp"
ctl_complains "lies in it"
[ ! -e "$src/dest" ] || fail "something was made in the source"
mkdir "$dest"
touch "$dest/precious"
backup 1 "$src" "$dest"
ctl_complains "\`$dest\`: there is something else in it: \`precious\`"
[ "$(ls -A "$dest")" = precious ] || fail "the foreign file"
rm -r "$dest"
[ "$(record outcome)" = "" ] || fail "a refusal began a session"
ok "what will not do is refused, and nothing is begun"

# ---- the first, and the next ----
backup 0 --create "$src" "$dest"
session=$(record id)
ctl_says "stored $session in $dest/full: 4 files, " "verified; COMMITTED"
[ "$(stat -c %a "$dest")" = 700 ] || fail "the mode of what was made"
recorded COMMITTED
set_is_right
sqlite3 "$src/sub/rollback.db" "UPDATE t SET a='second'"
backup 0 --atomic --no-truncate --threads=5 --json "$src" "$dest"
[ "$(json "$tmp/ctl.out" "done")" = "$(record id) full" ] || fail "--json"
grep -q '"event":"log".*session-end .*outcome=COMMITTED' "$tmp/ctl.out" ||
	fail "the events are not told"
set_is_right
[ "$(sqlite3 "$dest/full/data/sub/rollback.db" 'SELECT a FROM t')" = second ] ||
	fail "the second set is not the second"
backup 0 --copy --quiet "$src" "$dest"
[ -s "$tmp/ctl.out" ] && fail "--quiet says something"
[ "$(record kind)" = copy ] || fail "--copy"
keep
ok "a source is backed up, and the next set takes the place of the last"

# ---- not the last set of this source ----
cp "$dest/full/backup.json" "$tmp/backup.json"
mkdir "$tmp/other"
cp "$src/sub/rollback.db" "$tmp/other/other.db"
backup 1 "$tmp/other" "$dest"
ctl_complains "\`$dest/full\`: is a set of another source: \`$src\`" \
	"Choose another directory"
kept "the set of another source"
echo '{"name": "photos", "version": "1.0"}' >"$dest/full/backup.json"
keep
backup 1 "$src" "$dest"
ctl_complains "\`$dest/full\`: is not known to be a set: \`backup.json\`: "
kept "what is no set"
# One of ours that is damaged is replaced.
cp "$tmp/backup.json" "$dest/full/backup.json"
rm -r "$dest/full/data" "$dest/full/verify"
backup 0 "$src" "$dest"
set_is_right
keep
ok "a set of another source, and what is none, is refused"

# ---- nobody reads a set who may not read the source ----
mkdir "$tmp/listed"
cp "$src/sub/rollback.db" "$tmp/listed/one.db"
chmod 600 "$tmp/listed/one.db"
# user::rw- user:1234:rw- group::--- mask::rw- other::---, and what is made in
# the destination gets the same.
if python3 - "$tmp/listed/one.db" "$tmp/acldest" <<'EOF'
import os, struct, sys
entries = [(1, 6, ~0), (2, 6, 1234), (4, 0, ~0), (16, 6, ~0), (32, 0, ~0)]
acl = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", t, r, i & 0xffffffff) for t, r, i in entries)
os.mkdir(sys.argv[2])
try:
    os.setxattr(sys.argv[1], "system.posix_acl_access", acl)
    os.setxattr(sys.argv[2], "system.posix_acl_default", acl)
except OSError as e:
    sys.exit(77)
EOF
then
	[ "$(stat -c %a "$tmp/listed/one.db")" = 660 ] || fail "no list"
	# modes DIR: the group has nothing, and there is no list.
	modes() {
		[ "$(stat -c %a "$1/one.db")" = 600 ] ||
			fail "$1: $(stat -c %a "$1/one.db")"
		python3 -c 'import os, sys
for dir, _, files in os.walk(sys.argv[1]):
    for path in [dir] + [os.path.join(dir, f) for f in files]:
        lists = [n for n in os.listxattr(path) if "posix_acl" in n]
        assert not lists, (path, lists)' "$1" || fail "$1: a list"
	}
	backup 0 "$tmp/listed" "$tmp/acldest"
	modes "$tmp/acldest/full/data"
	start_fs "$tmp/listed"
	ctl 0 backup "$mnt" "$tmp/acldest"
	modes "$tmp/acldest/full/data"
	umount "$mnt" || fail umount
	wait_fs
	# A tool may have given a set a list.
	cp -a "$tmp/listed/one.db" "$tmp/acldest/full/data/one.db" || fail "cp -a"
	[ "$(stat -c %a "$tmp/acldest/full/data/one.db")" = 660 ] || fail "cp -a"
	ctl 0 restore --create "$tmp/acldest/full" "$tmp/acldest/back"
	modes "$tmp/acldest/back"
	ok "a list of access is not taken for rights of the group"
fi

# Of a group's files its member gives the group, and does not open them to his
# own.
mkdir "$tmp/grouped" "$tmp/groupdest"
cp "$src/sub/rollback.db" "$tmp/grouped/one.db"
chown -R 2000:4000 "$tmp/grouped"
chmod 2770 "$tmp/grouped"
chmod 660 "$tmp/grouped/one.db"
mkdir -m 700 "$tmp/grouphome"
chown 1500:100 "$tmp/groupdest" "$tmp/grouphome"
chmod 755 "$tmp"
# member VERB [ARGUMENT...]
member() {
	timeout 60 setpriv --reuid=1500 --regid=100 --groups=4000 \
		env -u XDG_STATE_HOME HOME="$tmp/grouphome" "$STILLCTL" "$@" \
		>"$tmp/out" 2>&1 || fail "a member: $(cat "$tmp/out")"
}
# owners DIR
owners() {
	local got
	got=$(stat -c '%u:%g %a' "$1" "$1/one.db" | tr '\n' ' ')
	[ "$got" = "1500:4000 750 1500:4000 640 " ] || fail "$1: $got"
}
member backup "$tmp/grouped" "$tmp/groupdest"
owners "$tmp/groupdest/full/data"
mkdir "$tmp/groupback"
chown 1500:100 "$tmp/groupback"
member restore --create "$tmp/groupdest/full" "$tmp/groupback/data"
owners "$tmp/groupback/data"
ok "a member of its group stores a file for the group, and for no other"

# ---- what killed runs left ----
cp -a "$dest/full" "$dest/.new-20260101T000000Z-00000000"
mv "$dest/full" "$dest/.old-20260102T000000Z-00000000"
touch "$dest/foreign"
backup 1 "$src" "$dest"
rm "$dest/foreign"
[ -e "$dest/.old-20260102T000000Z-00000000" ] || fail "touched, though refused"
backup 1 --engine=none "$src" "$dest"
backup 0 "$src" "$dest"
set_is_right
ok "what killed runs left is cleared away"

# ---- a terminal ----
dd if=/dev/urandom bs=1M count=40 2>/dev/null | od -An -tx1 -v -w2000 |
	tr -d ' ' | sed "s/.*/INSERT INTO big VALUES('&');/" >"$tmp/big.sql"
{ echo "CREATE TABLE big(a); BEGIN;"; cat "$tmp/big.sql"; echo "COMMIT;"; } |
	sqlite3 "$src/app.db" || fail "the big table"
sqlite3 "$src/app.db" "PRAGMA wal_checkpoint(TRUNCATE)" >/dev/null
rm "$tmp/big.sql"
python3 - "$tmp/pty" "$STILLCTL" backup --state "$state" "$src" "$dest" <<'EOF' ||
import os, pty, sys
out = open(sys.argv[1], "wb")
def read(fd):
    data = os.read(fd, 65536)
    out.write(data)
    return data
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], read)))
EOF
	fail "on a terminal"
grep -qE 'copying .*\[[#.]{20}\] +[0-9]+%' "$tmp/pty" ||
	fail "no bar: $(cat "$tmp/pty")"
grep -qE 'verifying .*\[[#.]{20}\] +[0-9]+%' "$tmp/pty" || fail "no second bar"
grep -q 'COMMITTED' "$tmp/pty" || fail "no result on the terminal"
set_is_right
ok "a terminal has a bar"

# ---- readers of the output ----
"$STILLCTL" backup --json --state "$state" "$src" "$dest" 2>/dev/null | head -c 10 \
	>/dev/null
ends=("${PIPESTATUS[@]}")
[ "${ends[0]}" = 0 ] || fail "a reader that went away: ${ends[0]}"
recorded COMMITTED
set_is_right
# One that never reads: the pipe is full from the first byte on.
before=$(record number)
mkfifo "$tmp/never"
exec 8<>"$tmp/never"
python3 -c 'import os, sys
os.set_blocking(8, False)
try:
    while True: os.write(8, b"\n" * 4096)
except BlockingIOError: os.set_blocking(8, True)'
"$STILLCTL" backup --json --state "$state" "$src" "$dest" >&8 2>/dev/null 8>&- &
pid=$!
started+=("$pid")
committed_since() {
	[ "$(record number)" -gt "$before" ] && [ "$(record outcome)" = COMMITTED ]
}
wait_for 60 committed_since || fail "a reader that never reads holds it up"
timeout 20 cat <&8 >/dev/null &
cat=$!
started+=("$cat")
wait_for 20 gone_or_zombie "$pid" || fail "it does not end once somebody reads"
wait "$pid" || fail "a reader that never read: $?"
kill "$cat"
wait "$cat" 2>/dev/null
exec 8>&-
set_is_right
keep
ok "a reader that goes away, or never reads, does not stop it"

# ---- full, and read-only ----
umount_dest() { umount "$tmp/small" || fail "umount"; }
mkdir "$tmp/small"
size=$(du -sm "$dest/full" | cut -f1)
mount -t tmpfs -o size=$((size * 3 / 2))m tmpfs "$tmp/small" || fail "tmpfs"
backup 0 "$src" "$tmp/small"
tree "$tmp/small" >"$tmp/small.tree"
backup 1 "$src" "$tmp/small"
ctl_complains "No space left on device" "Make room there"
diff "$tmp/small.tree" <(tree "$tmp/small") || fail "the full disk"
recorded "ABORTED(by caller)"
mount -o remount,ro "$tmp/small" || fail "remount"
backup 1 "$src" "$tmp/small"
ctl_complains "Read-only file system"
diff "$tmp/small.tree" <(tree "$tmp/small") || fail "the read-only disk"
umount_dest
ok "a full disk and a read-only one change nothing"

# ---- interrupted ----
for signal in INT TERM; do
	for phase in freezing copying syncing verifying; do
		mkfifo "$tmp/lines"
		# So that it ignores nothing that a shell in the background would.
		python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$STILLCTL" backup --json --threads=1 \
			--state "$state" "$src" "$dest" >"$tmp/lines" \
			2>"$tmp/ctl.err" &
		pid=$!
		started+=("$pid")
		sent=
		while IFS= read -r line; do
			case $line in
			*"\"phase\":\"$phase\""*)
				# A second one would kill it.
				[ -n "$sent" ] || kill -$signal $pid
				sent=1
				;;
			esac
		done <"$tmp/lines"
		wait $pid
		status=$?
		rm "$tmp/lines"
		# By then it may have been exchanged.
		if [ $status = 0 ] && [ $phase != freezing ]; then
			recorded COMMITTED
			keep
			continue
		fi
		[ $status = 6 ] || fail "SIG$signal while $phase: $status"
		ctl_complains "\`$dest\`: the backup was stopped"
		case $(record outcome) in
		ABORTED*) ;;
		*) fail "SIG$signal while $phase: $(record outcome)" ;;
		esac
		kept "SIG$signal while $phase"
	done
done
ok "an interrupt leaves the last set, and exit 6"

# ---- killed ----
n=0
for delay in 0.05 0.1 0.15 0.2 0.3 0.4; do
	{ timeout -s KILL $delay "$STILLCTL" backup --state "$state" "$src" \
		"$dest" || n=$((n + 1)); } >/dev/null 2>&1
	[ -d "$dest/full" ] || fail "killed after $delay s: no full"
	check_set "$dest/full"
done
backup 0 "$src" "$dest"
set_is_right
ok "kill -9 leaves a whole set, and the next run tidies up ($n of 6 killed)"

# ---- under load ----
mkdir "$tmp/live"
"$LOAD" init "$tmp/live" 4096 || fail "load init"
mkfifo "$tmp/storm"
"$LOAD" storm "$tmp/live" 1 <"$tmp/storm" >"$tmp/storm.out" 2>&1 &
started+=("$!")
exec 9>"$tmp/storm"
wait_for 20 test -s "$tmp/live/acked" || fail "the load"
mkdir "$tmp/livedest"
for _ in 1 2 3 4 5; do
	backup 0 "$tmp/live" "$tmp/livedest"
	check_set "$tmp/livedest/full"
done
start_fs "$tmp/live"
for _ in 1 2 3 4 5; do
	ctl 0 backup "$mnt" "$tmp/livedest"
	check_set "$tmp/livedest/full"
done
recorded COMMITTED
umount "$mnt" || fail umount
wait_fs
exec 9>&-
wait "${started[-1]}"
ok "under load each set is whole"

# ---- a mount ----
start_fs
sessions() { "$STILLCTL" list --all --json --state "$state" | grep -c '"id"'; }
before=$(sessions)
ctl 0 backup "$mnt" "$dest"
ctl_says "in $dest/full: 4 files, " "COMMITTED"
set_is_right
ctl 0 backup "$src" "$dest"
# In a mount table without those of others.
cat >"$tmp/alone" <<END
#!/bin/bash
exec unshare -m --propagation slave bash -c '
	awk "/ - fuse.stillfs / {print \\\$5}" /proc/self/mountinfo |
		while IFS= read -r m; do
			m=\$(printf %b "\${m//\\\\/\\\\0}")
			[ "\$m" = "$mnt" ] || umount -l "\$m"
		done
	exec "\$@"' - "$STILLCTL" "\$@"
END
chmod 755 "$tmp/alone"
STILLCTL=$tmp/alone ctl 0 backup --json --copy "$dest"
[ "$(json "$tmp/ctl.out" "done")" = "$(record id) copy" ] || fail "--json, a mount"
[ "$(sessions)" = $((before + 3)) ] || fail "not three sessions of the mount"
set_is_right
keep
ctl 2 backup --verify=full "$mnt" "$dest"
ctl_complains "option \`--verify\`: is for a source"
ctl 1 backup "$mnt" "$mnt"
ctl_complains "lies in a mount of stillfs"
ctl 1 backup "$mnt" "$mnt/backup"
ctl_complains "lies in a mount of stillfs"
[ "$(sessions)" = $((before + 3)) ] || fail "a refusal began a session"
# A tool that copies the same mount afterwards has its own session, and the same
# content with the same times.
rm -rf "$tmp/copied"
cp -rp "$mnt/backup" "$tmp/copied"
check_set "$tmp/copied"
diff -r "$tmp/copied/data" "$dest/full/data" || fail "the tool has other bytes"
for file in data/app.db data/sub/rollback.db; do
	[ "$(stat -c %Y "$tmp/copied/$file")" = \
		"$(stat -c %Y "$dest/full/$file")" ] || fail "the time of $file"
done
# And its session is not disturbed by one who comes too late.
session=$(record id)
ctl 4 backup "$mnt" "$dest"
ctl_complains "has a session already"
kept "busy"
cmp "$mnt/backup/data/app.db" "$tmp/copied/data/app.db" || fail "disturbed"
[ "$(record id) $(record state)" = "$session serving" ] || fail "not serving"
# The source is the mount's, by whatever name; and elsewhere it is busy.
ctl 4 backup "$src" "$dest"
ctl 0 commit "$mnt"
kept "the commit of another"
# A commit does not wait for a copy's next try.
ctl 0 begin "$mnt"
cat "$mnt/backup/data/app.db" >/dev/null
from=$(date +%s%N)
ctl 0 commit "$mnt"
[ $((($(date +%s%N) - from) / 1000000)) -lt 4500 ] || fail "the commit waits"
# Its session is given up while it is copied.
mkfifo "$tmp/lines"
"$STILLCTL" backup --json --threads=1 "$mnt" "$dest" >"$tmp/lines" \
	2>"$tmp/ctl.err" &
pid=$!
started+=("$pid")
while IFS= read -r line; do
	case $line in
	*'"phase":"copying"'*) "$STILLCTL" abort "$mnt" >/dev/null 2>&1 ;;
	esac
	echo "$line"
done <"$tmp/lines" >"$tmp/ctl.out"
wait $pid
status=$?
[ $status = 6 ] || fail "aborted by another: $status: $(cat "$tmp/ctl.err")"
json "$tmp/ctl.out" error >/dev/null
kept "aborted by another"
# As doc/mounting.md says it.
sed -n '/^## One call/,/^## /s/^    stillctl //p' "$TOP/doc/mounting.md" |
	sed -e "s|/mnt/shop|$mnt|" -e "s|/srv/backups|$tmp|" >"$tmp/line"
[ "$(wc -l <"$tmp/line")" = 1 ] || fail "not one line in doc/mounting.md"
read -ra line <"$tmp/line"
ctl 0 "${line[@]}"
check_set "$tmp/shop/full"
umount "$mnt" || fail umount
wait_fs
ok "a mount is backed up, by its own sessions"

# ---- damage ----
sqlite3 "$src/app.db" "CREATE INDEX i ON t(b); PRAGMA journal_mode=DELETE" \
	>/dev/null
keep
# A page of the table, whose structure is broken.
python3 - "$src/app.db" <<'EOF'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(4096 * 40)
    f.write(b"\xff" * 4096)
EOF
backup 5 --verify=full "$src" "$dest"
kept "damage"
recorded "ABORTED(corrupt)"
ok "damage leaves the last set, and exit 5"
# Through a mount the same is known, though a read says no more than EIO.
start_fs "$src" -o verify=full
ctl 5 backup "$mnt" "$dest"
kept "damage, through a mount"
recorded "ABORTED(corrupt)"
umount "$mnt" || fail umount
wait_fs
ok "so does damage that a mount finds"
