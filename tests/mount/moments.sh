#!/bin/bash
# SPDX-License-Identifier: MIT
# A tool that is held in the middle of its work while its session ends, and
# another one begins behind its back: it must fail, and what it made must be of
# the first moment or not there.
. "$(dirname "$0")/../lib/mount.sh"

: "${GRIP:?}"
N=32
make_db "$tmp/base.db" 4096 8000
for ((i = 10; i < N + 10; i++)); do
	cp "$tmp/base.db" "$src/d$i.db"
done
total=$((N * $(stat -c %s "$tmp/base.db")))

change_all() {
	local db
	for db in "$src"/*.db; do
		sqlite3 "$db" "UPDATE t SET b=hex(randomblob(50))" ||
			fail "the application cannot write $db"
	done
}
# The files as they are, without a log: what the next session must show.
settle() {
	local db
	for db in "$src"/*.db; do
		[ "$(sqlite3 "$db" "PRAGMA wal_checkpoint(TRUNCATE)")" = '0|0|0' ] ||
			fail "$db cannot be checkpointed"
	done
	rm -rf "$tmp/first"
	mkdir "$tmp/first"
	cp "$src"/*.db "$tmp/first" || fail cp
}

# The tools. Each is one process, or some that work together, and goes by path.
out=$tmp/out
tool_cp=(cp -r "$mnt/backup" "$out")
tool_rsync=(rsync -a "$mnt/backup/" "$out/")
tool_tar=(tar -C "$mnt" -cf "$out.tar" backup)
# Goes on after an error, from the root down for each file.
tool_walker=(/usr/bin/env python3 -c '
import os, sys
source, dest = sys.argv[1:]
status = 0
for root, dirs, files in os.walk(source):
    target = dest + root[len(source):]
    os.makedirs(target, exist_ok=True)
    for name in sorted(files):
        try:
            with open(root + "/" + name, "rb", 0) as f, \
                    open(target + "/" + name, "wb", 0) as g:
                while data := f.read(65536):
                    g.write(data)
        except OSError as error:
            print(error, file=sys.stderr)
            status = 1
sys.exit(status)' "$mnt/backup" "$out")
# A process for each file: nobody can tell that they belong together.
tool_each=(bash -c 'mkdir -p "$2/data"
	for f in "$1"/data/*; do cp "$f" "$2/data/"; done' - "$mnt/backup" "$out")

# hold TOOL: runs until an eighth of it is done. let_go: it goes on, and ends;
# sets status.
hold() {
	local -n command=tool_$1
	local path=$out/data
	[ "$1" = tar ] && path=$out.tar
	rm -rf "$out" "$out.tar" "$tmp/in.grip"
	mkfifo "$tmp/in.grip"
	: >"$tmp/grip.out"
	"$GRIP" "$path" $((total / 8)) "${command[@]}" <"$tmp/in.grip" \
		>"$tmp/grip.out" 2>"$tmp/grip.err" &
	grip_pid=$!
	started+=("$grip_pid")
	exec 8>"$tmp/in.grip"
	wait_for 30 held_or_gone || fail "$1 is not held: $(cat "$tmp"/grip.*)"
	held && [ "$(du -bs "$path" | cut -f1)" -lt $((total / 2)) ]
}
held() { grep -q held "$tmp/grip.out"; }
held_or_gone() { held || gone_or_zombie "$grip_pid"; }
# start_held TOOL [SOURCE [OPTION...]]: a mount, and the tool in the middle of it.
# On a machine with much to do it is held too late now and then.
start_held() {
	local try
	for ((try = 0; try < 20; try++)); do
		start_fs "${@:2}"
		hold "$1" && return
		exec 8>&-
		wait_for 60 gone_or_zombie "$grip_pid" || fail "$1 does not end"
		wait "$grip_pid"
		umount "$mnt" || fail umount
		wait_fs
	done
	fail "$1 cannot be held in the middle of its work"
}
let_go() {
	exec 8>&-
	wait_for 60 gone_or_zombie "$grip_pid" || fail "it does not end"
	wait "$grip_pid"
	status=$?
	[ $status != 99 ] || fail "it was not held"
}
ended() { grep -q ' session-end ' "$log"; }

# judge TOOL: sets whole, short and other, the numbers of files.
judge() {
	local name n
	if [ "$1" = tar ]; then
		mkdir "$out"
		tar -C "$out" --strip-components=1 -xf "$out.tar" 2>/dev/null
	fi
	whole=0 short=0 other=0
	for ((i = 10; i < N + 10; i++)); do
		name=d$i.db
		# tar says how long a member is before it reads it. What it cannot
		# read then are zeros in the archive, and its exit status tells.
		[ "$1" = tar ] && [ -e "$out/data/$name" ] && /usr/bin/env python3 -c '
import sys
with open(sys.argv[1], "r+b") as f:
    f.truncate(len(f.read().rstrip(b"\0")))
' "$out/data/$name"
		n=$(stat -c %s "$out/data/$name" 2>/dev/null || echo 0)
		if [ "$n" -gt 0 ] && ! cmp -s -n "$n" "$out/data/$name" \
			"$tmp/first/$name"; then
			other=$((other + 1))
		elif cmp -s "$out/data/$name" "$tmp/first/$name"; then
			whole=$((whole + 1))
		else
			short=$((short + 1))
		fi
	done
}

# end_session HOW
end_session() {
	case $1 in
	stall)
		wait_for 5 ended || fail "the session does not end"
		recorded "$(outcome)"
		case $(outcome) in
		'ABORTED(partial: '*) ;;
		*) fail "outcome: $(outcome)" ;;
		esac
		;;
	abort) ctl 0 abort "$mnt" ;;
	next)
		ctl 0 abort "$mnt"
		begin_next
		;;
	lost)
		# Nobody ends it, and it is not quiet.
		rm "$src/d10.db-shm" || fail "nothing to lose"
		wait_for 5 ended || fail "a lost session does not end"
		recorded 'ABORTED(pin lost)'
		begin_next
		;;
	*) change_all ;;
	esac
}
begin_next() {
	change_all
	ls "$mnt/backup" >/dev/null || fail "no next session"
	[ "$(grep -c ' session-begin ' "$log")" = 2 ] || fail "one session"
	# It is there, and of another moment.
	cat "$mnt/backup/data/d$((N + 9)).db" >"$tmp/next" ||
		fail "the next session cannot be read"
	cmp -s "$tmp/next" "$tmp/first/d$((N + 9)).db" &&
		fail "the next session shows the first moment"
}
options() {
	case $1 in
	stall) echo "-o lease=1,stall=1" ;;
	lost) echo "-o pin=hold" ;;
	esac
}

settle
for tool in cp rsync tar walker; do
	# The control: to be held alone harms nobody.
	start_held $tool
	end_session none
	ended && fail "it ended"
	let_go
	[ $status = 0 ] || fail "$tool, held: status $status: $(cat "$tmp/grip.err")"
	judge $tool
	[ $whole = $N ] || fail "$tool, held: $whole whole, $other other"
	stop_fs COPIED
	settle
	said=
	for how in stall abort next lost; do
		# shellcheck disable=SC2046
		start_held $tool "$src" $(options $how)
		end_session $how
		let_go
		[ $status != 0 ] || fail "$tool over $how exits with 0"
		judge $tool
		[ $other = 0 ] || fail "$tool over $how: $other files of another moment"
		[ $short -gt 0 ] || fail "$tool over $how: it got everything"
		[ $whole -gt 0 ] || fail "$tool over $how: it was held too early"
		[ -s "$out/verify/XXH128SUMS" ] && fail "$tool over $how: a seal"
		said+="; $how: status $status, $whole whole, $short not"
		umount "$mnt" || fail umount
		wait_fs
		settle
	done
	ok "$tool, held in the middle${said}"
done

# Kept out is who goes on, not who begins anew: the same process, which opens
# backup/ itself.
rm -rf "$out"
mkdir -p "$out/data"
again=d$((N + 9)).db
tool_again=(/usr/bin/env python3 -c '
import errno, os, sys
root, name, held = sys.argv[1:]
path = root + "/data/" + name
with open(path, "rb") as f, open(held, "wb") as g:
    g.write(f.read())
sys.stdin.read()
for _ in range(3):
    try:
        open(path)
        sys.exit("it is let into another session")
    except OSError as error:
        if error.errno != errno.ESTALE:
            sys.exit(str(error))
os.listdir(root)
with open(path, "rb") as f, open(held + ".next", "wb") as g:
    g.write(f.read())
' "$mnt/backup" "$again" "$out/data/$again")
start_fs
rm -f "$tmp/in.grip"
mkfifo "$tmp/in.grip"
"${tool_again[@]}" <"$tmp/in.grip" >"$tmp/grip.out" 2>"$tmp/grip.err" &
grip_pid=$!
started+=("$grip_pid")
exec 8>"$tmp/in.grip"
wait_for 20 cmp "$out/data/$again" "$tmp/first/$again" || fail "it does not read"
end_session next
let_go
[ $status = 0 ] || fail "one who begins anew: $(cat "$tmp/grip.err")"
cmp "$out/data/$again.next" "$tmp/next" || fail "it reads something else"
umount "$mnt" || fail umount
wait_fs
settle
ok "who opens backup/ again takes part in the new session, and not before"

# The judge must be able to say no.
start_held each
end_session next
let_go
judge each
umount "$mnt" || fail umount
wait_fs
[ $other -gt 0 ] || fail "the judge finds nothing: $whole whole, $short not"
ok "negative control: a process for each file mixes two moments ($whole and $other)"
