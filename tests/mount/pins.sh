#!/bin/bash
# SPDX-License-Identifier: MIT
# What a session promises the application while it lasts: that its checkpoints
# get through, that nothing is held once the image is copied, that its log has a
# limit, and that nothing is left of a daemon that dies. No times are judged
# here; tests/bench/pins.sh measures them.
. "$(dirname "$0")/../lib/mount.sh"
: "${PACE:?}"

db=$src/app.db
image=$mnt/backup/data/app.db
spool=$tmp/spool
mkdir -m 700 "$spool"
mount -t tmpfs -o mode=700,size=256m none "$spool" || skip "no tmpfs"

# ---- the application ---------------------------------------------------------

# ask SQL: sets $got to what the application gets.
ask() {
	local from
	from=$(($(wc -l <"$tmp/app.out") + 1))
	app "$1"
	got=$(tail -n "+$from" "$tmp/app.out" | sed "/^done-$app_n\$/,\$d")
}
# gets SQL ANSWER
gets() {
	ask "$1"
	[ "$got" = "$2" ] || fail "$1: the application gets '$got', not '$2'"
}
log_bytes() { stat -c %s "$db-wal"; }
# truncates: no waiting, and the log is gone.
truncates() {
	app '.timeout 0'
	gets 'PRAGMA wal_checkpoint(TRUNCATE);' '0|0|0'
	[ "$(log_bytes)" = 0 ] || fail "the log has $(log_bytes) bytes"
	app '.timeout 5000'
}
change() { app "UPDATE t SET b=hex(randomblob(50)) WHERE a%${1:-7}=0;"; }

# a_database MIB: with an application that never checkpoints by itself, and a
# part of it in its log.
a_database() {
	make_db "$db"
	sqlite3 "$db" "CREATE TABLE big(b);
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c
		WHERE i < $1) INSERT INTO big SELECT randomblob(1000000) FROM c;"
	open_app "$db"
	app '.timeout 5000'
	change 3
}
no_database() {
	close_app
	rm -f "$db"*
}

# Another, that writes all the time. It must never fail.
start_writer() {
	mkfifo "$tmp/pace.in"
	"$PACE" "$src" 500 <"$tmp/pace.in" >"$tmp/pace.out" 7>&- &
	writer=$!
	started+=("$writer")
	exec 8>"$tmp/pace.in"
	wait_for 10 grep -q ready "$tmp/pace.out" || fail "no writer"
	echo 'mark first' >&8
}
stop_writer() {
	echo 'mark all' >&8
	exec 8>&-
	wait "$writer" || fail "the writer failed"
	rm "$tmp/pace.in"
	grep '^total .* name=all$' "$tmp/pace.out" | grep -q ' failed=0 ' ||
		fail "commits failed: $(cat "$tmp/pace.out")"
}

# ---- the session -------------------------------------------------------------

# begin OPTIONS: a session, while the application stands still. What it must
# show: by SQLite's own backup, and to the byte, by SQLite's own checkpoint.
begin() {
	start_fs "$src" -o "spool=$spool,$1"
	rm -rf "$tmp/ref"
	mkdir "$tmp/ref"
	cp "$db" "$db-wal" "$tmp/ref"
	sqlite3 "$db" ".backup '$tmp/ref/backup.db'" || fail ".backup"
	ctl 0 begin "$mnt"
	sqlite3 "$tmp/ref/app.db" 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null
	cmp <(sqlite3 "$tmp/ref/app.db" .dump) \
		<(sqlite3 "$tmp/ref/backup.db" .dump) || fail "the references"
}
same() { cmp "$image" "$tmp/ref/app.db" || fail "the image is another one"; }

# said KEY: of the session, or VALUE is what it says.
said() {
	cat "$mnt/status.json" >"$tmp/status.json"
	sqlite3 :memory: "SELECT json_extract(CAST(readfile('$tmp/status.json')
		AS TEXT), '\$.session.$1')"
}
says() { [ "$(said "$1")" = "$2" ]; }
# more KEY N
more() { [ "$(said "$1")" -gt "$2" ]; }
# problem CODE
problem() { grep -qF "\"code\": \"$1\"" "$mnt/status.json"; }

# free_of_us: no lock of the daemon, and no descriptor.
free_of_us() {
	! locks_of "$db" | grep -q "pid=$fs_pid " &&
		! find "/proc/$fs_pid/fd" -lname "$db*" | grep -q .
}

# ---- auto: nothing is held soon ------------------------------------------------

a_database 20
begin pin=auto
wait_for 60 says n_pinned 0 || fail "still pinned: $(cat "$mnt/status")"
free_of_us || fail "the daemon holds: $(locks_of "$db")
$(ls -l "/proc/$fs_pid/fd")"
[ "$(said copied_bytes)" = "$(said copy_bytes)" ] || fail "half a copy"
grep -q ' snapshot-complete ' "$log" || fail "no snapshot-complete"
change
truncates
ok "auto: the image is copied, and nothing is held"

gets 'PRAGMA journal_mode=DELETE;' delete
change 2
gets 'PRAGMA journal_mode=WAL;' wal
app 'PRAGMA wal_autocheckpoint=0; VACUUM;'
change 5
truncates
ok "auto: the application changes its journal mode while the session serves"

cp -r "$mnt/backup" "$tmp/copy" || fail "cp"
check_set "$tmp/copy"
same
cmp "$tmp/copy/data/app.db" "$tmp/ref/app.db" || fail "the copy"
free_of_us || fail "a read took something"
stop_fs COPIED
[ -z "$(ls -A "$spool")" ] || fail "a name in the spool"
no_database
ok "auto: the copy is the moment of the freeze"

# ---- govern: checkpoints get through ---------------------------------------------

# calls N: sets $busy to how many of these were.
calls() {
	local i
	busy=0
	for ((i = 0; i < $1; i++)); do
		change $((i % 5 + 2))
		ask 'PRAGMA wal_checkpoint(TRUNCATE);'
		[[ $got = 0\|* ]] || busy=$((busy + 1))
	done
}

N=${CALLS:-40}
a_database 20
begin pin=govern
start_writer
calls "$N"
[ "$busy" = 0 ] || fail "$busy of $N checkpoints were busy"
stop_writer
[ "$(said n_pinned)" = 1 ] || fail "not pinned"
free_of_us && fail "no lock and no descriptor is seen where there are some"
wait_for 10 more pin_moves 0 || fail "the pin never moved"
same
cp -r "$mnt/backup" "$tmp/copy2" || fail "cp"
check_set "$tmp/copy2"
cmp "$tmp/copy2/data/app.db" "$tmp/ref/app.db" || fail "the copy"
stop_fs COPIED
no_database
ok "govern: $N checkpoints with TRUNCATE, beside a writer, and none is busy"

a_database 2
begin pin=hold
change
app '.timeout 200'
calls 3
[ "$busy" = 3 ] || fail "$busy of 3 checkpoints were busy"
[ "$(said pin_moves)" = 0 ] || fail "the pin moved"
same
stop_fs 'ABORTED(partial: 1 of 3 files)'
truncates
no_database
ok "hold: they are busy, until it ends"

# ---- a spool that is too small ------------------------------------------------------

a_database 20
begin pin=auto,spool_max=4M
wait_for 30 says spool_full 1 || fail "not full: $(cat "$mnt/status")"
wait_for 10 grep -q ' warning spool-full ' "$mnt/events" || fail "no event"
problem spool-full || fail "no problem: $(cat "$mnt/status.json")"
start_writer
calls 5
[ "$busy" = 0 ] || fail "$busy of 5 checkpoints were busy"
stop_writer
[ "$(said n_pinned)" = 1 ] || fail "not pinned"
[ "$(said spool_bytes)" -le $((4 << 20)) ] || fail "more than spool_max"
same
grep -q ' snapshot-complete ' "$log" && fail "complete?"
stop_fs 'ABORTED(partial: 1 of 3 files)'
truncates
no_database
ok "spool_max: the pin is only moved on, and status and events say so"

# ---- a log that is too long ----------------------------------------------------------

a_database 20
begin pin=hold,wal_max=1M
mkfifo "$tmp/peek.in"
"$PEEK" late "$image" "$tmp/ref/app.db" <"$tmp/peek.in" >"$tmp/peek.out" \
	2>&1 7>&- &
reader=$!
started+=("$reader")
exec 8>"$tmp/peek.in"
wait_for 10 grep -q '^held' "$tmp/peek.out" || fail "the reader"
until [ "$(log_bytes)" -gt $((3 << 20)) ]; do
	change 1
done
wait_for 30 grep -q ' session-end ' "$log" || fail "it does not end"
outcome_is 'ABORTED(pin lost)'
wait_for 10 free_of_us || fail "the daemon holds: $(locks_of "$db")"
truncates
recorded 'ABORTED(pin lost)'
grep -q ' error pin-lost .*wal_max' "$log" || fail "pin-lost: $(cat "$log")"
says outcome 'ABORTED(pin lost)' || fail "status.json"
[[ $(said error.message) == *wal_max* || $(said error.hint) == *wal_max* ]] ||
	fail "status does not tell of wal_max: $(cat "$mnt/status")"
ctl 0 list --state "$state"
ctl_says 'ABORTED(pin lost)'
cat "$image" >/dev/null 2>&1 && fail "the image can be read by name"
exec 8>&-
wait "$reader"
[ $? = 3 ] || fail "the reader: $(cat "$tmp/peek.out")"
ok "wal_max: the session ends with its reason, and the application is free"

# The next one is served.
change
sqlite3 "$db" ".backup '$tmp/ref/next.db'"
ctl 0 begin "$mnt"
cmp <(sqlite3 "$tmp/ref/next.db" .dump) \
	<(cp "$image" "$tmp/next.db" && sqlite3 "$tmp/next.db" .dump) ||
	fail "the next session"
ctl 0 abort "$mnt"
umount "$mnt" || fail "umount"
wait_fs
no_database
ok "wal_max: the next session is served"

# ---- a daemon that dies ------------------------------------------------------------

seed=${SEED:-$RANDOM}
echo "# seed $seed"
RANDOM=$seed
# spool_kib: what is used of it.
spool_kib() { df -k --output=used "$spool" | tail -n 1; }
spool_empty() { [ "$(spool_kib)" -le "$empty_kib" ]; }

a_database 30
empty_kib=$(spool_kib)
used_kib=0
# Beside a slow disk the writer alone can have the lock for seconds.
app '.timeout 15000'
start_writer
for ((i = 0; i < ${KILLS:-8}; i++)); do
	policies=(auto govern 'auto,pin_ms=1')
	start_fs "$src" -o "spool=$spool,pin=${policies[i % 3]}"
	ctl 0 begin "$mnt"
	calls 1
	[ "$busy" = 0 ] || fail "round $i: busy beside the session"
	sleep "0.$((RANDOM % 9))$((RANDOM % 9))"
	[ "$(spool_kib)" -le "$used_kib" ] || used_kib=$(spool_kib)
	kill -9 "$fs_pid"
	wait "$fs_pid" 2>/dev/null
	fs_pid=
	umount -l "$mnt"
	calls 2
	[ "$busy" = 0 ] || fail "round $i: busy after its death"
	[ -z "$(ls -A "$spool")" ] || fail "round $i: a name in the spool"
	wait_for 10 spool_empty || fail "round $i: the spool has $(df "$spool")"
	check_log
done
[ "$used_kib" -gt $((empty_kib + 1024)) ] || fail "the spool was never used"
stop_writer
gets 'PRAGMA integrity_check;' ok
truncates
no_database
ok "kill -9: the application goes on, and nothing is left in the spool"
