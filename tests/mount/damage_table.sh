#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of damages: a set is built and proven intact through the mount, then
# damaged in one way, and then message, errors, outcome and what can still be
# read must be what the table at the end says.
#
#	ROWS   a regular expression: only the rows whose damage matches
. "$(dirname "$0")/../lib/mount.sh"

: "${CKSUM:?}"
db=$src/app.db
image=$mnt/backup/data/app.db
out=$tmp/out
spool=$tmp/spool
user=()

# --- The sets: app.db, to be damaged, beside other.db, which nobody touches.

# In WAL mode, open, with commits in its log that no checkpoint has moved.
live() {
	make_db "$db" 4096 2000
	open_app "$db"
	commit
}
# The same, after a crash.
idle() {
	live
	crash
}
# The same, and all of it another user's, who runs stillfs.
users() {
	live
	app_of_other
	chown -R nobody "$src" "$mnt" "$spool" "$out"
	user=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
}
# With a rollback journal.
rollback() {
	make_db "$db" 4096 2000
	sqlite3 "$db" "PRAGMA journal_mode=DELETE" >/dev/null
	open_app "$db"
}
# Of the checksum VFS, which leaves the log alone, or sums it (before 2024).
summed() {
	"$CKSUM" "$@" "$db" "PRAGMA journal_mode=WAL" \
		"CREATE TABLE t(a INTEGER PRIMARY KEY, b)" \
		"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c
		WHERE i < 2000) INSERT INTO t SELECT i, hex(randomblob(50))
		FROM c" >/dev/null || fail "cksum"
	open_app "$db" "$CKSUM" "$@" -i
	commit
}
summed_log() { summed -w; }

commit() { app "UPDATE t SET b=hex(randomblob(50)) WHERE a BETWEEN 90 AND 400;"; }
crash() {
	kill -9 "$app_pid"
	wait "$app_pid" 2>/dev/null
	exec 7>&-
}
# Who is not its owner may share a database only while it is open.
app_of_other() {
	mkfifo "$tmp/other.in"
	sqlite3 "$src/other.db" <"$tmp/other.in" >"$tmp/other.out" &
	started+=($!)
	exec 8>"$tmp/other.in"
	echo "SELECT 'open'||count(*) FROM t;" >&8
	wait_for 10 grep -q open "$tmp/other.out" || fail "other.db"
}

# --- The damages. Each says in `bad` which pages cannot be read then. What can
# be read is what it was, but for the pages in `other`.

poke() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
frame_at() { echo $((32 + ($1 - 1) * (24 + 4096))); }
one_page() { bad=$("$WAL" page "$db" "$1"); }

header() { poke "$db" "$1" "$2"; }
in_page() {
	bad=$1
	poke "$db" $((($1 - 1) * 4096 + $2)) 'XXXX'
}
# Where the log has the page too, the file's is not needed.
in_page_of_log() {
	in_page "$("$WAL" page "$db" 3)" 300
	bad=
}
page_by_others() {
	app "PRAGMA wal_checkpoint(TRUNCATE);"
	sqlite3 "$db" "PRAGMA wal_autocheckpoint=0; UPDATE t SET b=upper(b)||'.'
		WHERE a=1000; PRAGMA wal_checkpoint;" >/dev/null
	bad=$("$CKSUM" -c "$db")
	[ "$bad" ] || fail "stock SQLite writes sums"
}
file_by() {
	truncate -s "$1" "$db"
	bad=$pages
}
file_longer() {
	head -c 9000 /dev/urandom >>"$db"
	bad=
}
log_header() {
	poke "$db-wal" "$1" "$2"
	one_page 1
}
frame() {
	one_page "$1"
	poke "$db-wal" $(($(frame_at "$1") + $2)) "$3"
}
last_frame() { frame "$last" "$@"; }
# A page number that cannot be believed: any page may be meant.
frame_page() {
	frame 3 0 "$1"
	bad=$(seq "$pages")
}
log_by() {
	bad=$(seq "$pages")
	truncate -s "$1" "$db-wal"
}
no_log() {
	bad=$(seq "$pages")
	rm "$db-wal"
}
no_memory_of_log() {
	poke "$db-shm" 0 '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
}
index() { poke "$db-shm" "$1" "$2"; }
foreign() {
	mkdir "$tmp/foreign"
	sqlite3 "$tmp/foreign/f.db" "PRAGMA journal_mode=WAL;
		PRAGMA wal_autocheckpoint=0; CREATE TABLE f(a, b);
		WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c
		WHERE i < 3000) INSERT INTO f SELECT i, hex(randomblob(50))
		FROM c" ".shell cat $tmp/foreign/f.db-$1 >$tmp/foreign/copy" \
		>/dev/null
	[ -s "$tmp/foreign/copy" ] || fail "no foreign -$1"
	# Into the file that is there: somebody may have it open.
	cat "$tmp/foreign/copy" >"$db-$1"
	rm -r "$tmp/foreign"
}
foreign_log() {
	bad=$(seq "$pages")
	foreign wal
}
random_index() { head -c 32768 /dev/urandom >"$db-shm"; }
exclusive() {
	close_app
	open_app "$db"
	app "PRAGMA locking_mode=EXCLUSIVE; UPDATE t SET b='x' WHERE a=5;"
}
committing() { app "BEGIN EXCLUSIVE; UPDATE t SET b='x' WHERE a=5;"; }
not_readable() {
	chown root:root "$1"
	chmod 600 "$1"
}
log_is_directory() {
	crash
	rm "$db-wal"
	mkdir "$db-wal"
}
encrypted() {
	crash
	head -c $((pages * 4096)) /dev/urandom >"$db"
}
hot_journal() {
	close_app
	python3 - "$db" <<-'END'
		import os, sqlite3, sys
		c = sqlite3.connect(sys.argv[1], isolation_level=None)
		c.execute("PRAGMA cache_size=2")
		c.execute("BEGIN IMMEDIATE")
		c.execute("UPDATE t SET b=hex(randomblob(60))")
		os._exit(0)
	END
	[ -s "$db-journal" ] || fail "no hot journal"
	[ $# = 0 ] || poke "$db-journal" "$1" "$2"
}
# A size that is not that of before.
resized() {
	pages=$((($(stat -c %s "$db") + 4095) / 4096))
}

# --- The judges.

start() {
	local dir=$state
	[ ${#user[@]} = 0 ] || dir=$spool/state
	: >"$log"
	"${user[@]}" "$STILLFS" "${1:-$src}" "$mnt" -f \
		-o "spool=$spool,state=$dir,freeze_ms=1000${2:-}" \
		>>"$log" 2>&1 7>&- 8>&- &
	fs_pid=$!
	wait_for 20 up_or_gone || fail "neither mounted nor refused"
}
up_or_gone() { grep -q ' info mounted ' "$log" || gone_or_zombie "$fs_pid"; }
copy() {
	rm -rf "$out/copy"
	"${user[@]}" timeout 60 cp -r "$mnt/backup" "$out/copy" 2>"$tmp/err"
}
finish() { # OUTCOME
	"${user[@]}" cat "$mnt/status" >"$tmp/status"
	stop_fs "$1"
}
intact() {
	rm -rf "$out/intact"
	start
	copy || fail "cp before the damage: $(cat "$tmp/err")"
	check_set "$out/copy"
	finish COPIED
	mv "$out/copy" "$out/intact"
}
same_file() { cmp "$out/intact/data/$1" "$out/copy/data/$1" || fail "$1 differs"; }
broken() {
	! sqlite3 "file:$1?immutable=1" 'PRAGMA integrity_check' 2>/dev/null |
		grep -qx ok
}

# What is common to all that is found: it is named, there is no seal, and
# everything else can be read. `got` are the pages that cannot.
named() { # MESSAGE
	local seal=$mnt/backup/verify/XXH128SUMS wrong
	copy && fail "cp is content"
	wrong="error reading '($image|$seal)': Input/output error"
	# The modes in the mount are those of the source.
	[ ! "$kept_out" ] ||
		wrong="$wrong|cannot open '$image' for reading: Permission denied"
	wrong=$(grep -vE "^cp: ($wrong)\$" "$tmp/err") && fail "cp says: $wrong"
	grep -q XXH128SUMS "$tmp/err" || fail "a seal was given out"
	same_file other.db
	"${user[@]}" cat "$seal" >"$tmp/seal" 2>/dev/null
	[ ! -s "$tmp/seal" ] || fail "a part of the seal was given out"
	"${user[@]}" ls "$mnt/backup/data" | grep -qx app.db || fail "not listed"
	[ "$kept_out" ] && got=$(seq "$pages") ||
		got=$("${user[@]}" "$PEEK" bad "$image" 4096)
	"${user[@]}" cat "$mnt/status" >"$tmp/status"
	grep -qF "error:     $1" "$tmp/status" ||
		{ cat "$tmp/status"; fail "status does not say: $1"; }
	"${user[@]}" grep -qF "\"message\": \"$1" "$mnt/status.json" ||
		fail "status.json does not say: $1"
}
event() { "${user[@]}" grep -q " error $1 " "$mnt/events" || fail "no event $1"; }

# Pages that can be read, and are not those of before.
others() {
	python3 - "$image" "$out/intact/data/app.db" <<-'END'
		import os, sys
		new, old = (os.open(p, os.O_RDONLY) for p in sys.argv[1:])
		for page in range(os.fstat(new).st_size // 4096):
		    try:
		        data = os.pread(new, 4096, page * 4096)
		    except OSError:
		        continue
		    if data != os.pread(old, 4096, page * 4096):
		        print(page + 1)
	END
}

# Frozen, and damaged in these pages; the rest is served, and right.
judge_doomed() {
	named "$1"
	event damage
	[ "$got" = "$bad" ] ||
		fail "bad pages:" $got "and not:" $bad
	[ "$(others)" = "$other" ] || fail "other pages:" $(others)
	grep -q '^missing:' "$tmp/status" && fail "not frozen at all"
	finish 'ABORTED(corrupt)'
}
# Not frozen, for a reason that is damage or none; alone it is an error.
judge_unfrozen() { # OUTCOME MESSAGE ERRNO
	named "$2"
	event not-frozen
	[ "$got" = "$(seq "$pages")" ] || fail "pages of it were served"
	grep -q '^missing: *1 of 2 databases' "$tmp/status" ||
		{ cat "$tmp/status"; fail "not one is missing"; }
	finish "ABORTED($1)"
	start "$db"
	if gone_or_zombie "$fs_pid"; then
		[ "$3" = refused ] || fail "alone, it is not mounted"
		judge_refused "$2"
		return
	fi
	"${user[@]}" ls "$mnt/backup" >/dev/null 2>"$tmp/err" &&
		fail "alone, it was frozen"
	grep -q ": $3\$" "$tmp/err" || fail "alone: $(cat "$tmp/err")"
	finish 'ABORTED(not frozen)'
	grep -qF "error:     $2" "$tmp/status" ||
		{ cat "$tmp/status"; fail "alone, status does not say: $2"; }
}
# Not mounted at all.
judge_refused() {
	gone_or_zombie "$fs_pid" || fail "it is mounted"
	wait "$fs_pid"
	[ $? = 1 ] || fail "not exit status 1"
	fs_pid=
	check_log
	grep -qF "stillfs: $1" "$log" || fail "it does not say: $1"
}
judge_incomplete() { judge_unfrozen incomplete "$@"; }
judge_corrupt() { judge_unfrozen corrupt "$@"; }
# The whole freeze fails.
judge_failed() { # MESSAGE ERRNO
	"${user[@]}" ls "$mnt/backup" >/dev/null 2>"$tmp/err" && fail "it was frozen"
	grep -q ": $2\$" "$tmp/err" || fail "ls says: $(cat "$tmp/err")"
	finish 'ABORTED(not frozen)'
	grep -qF "error:     $1" "$tmp/status" ||
		{ cat "$tmp/status"; fail "status does not say: $1"; }
}
served() {
	copy || fail "cp: $(cat "$tmp/err"; cat "$mnt/status")"
	(cd "$out/copy" && xxhsum -c verify/XXH128SUMS) >/dev/null 2>&1 ||
		fail "xxhsum -c"
	same_file other.db
	finish COPIED
}
# No byte of the snapshot is hit.
judge_harmless() {
	served
	check_set "$out/copy"
	same_file app.db
}
# A state that SQLite takes for whole, but not the last one.
judge_older() {
	served
	check_set "$out/copy"
	cmp -s "$out/intact/data/app.db" "$out/copy/data/app.db" &&
		fail "nothing is missing"
}
# What nothing in the files tells: copied as it is.
judge_unseen() {
	served
	cmp -s "$out/intact/data/app.db" "$out/copy/data/app.db" &&
		fail "nothing is damaged"
}
# The same, but SQLite's own check finds it when it is asked for.
judge_quick() {
	judge_unseen
	broken "$out/copy/data/app.db" || fail "stock SQLite finds nothing wrong"
	start "$src" ,verify=quick
	bad=
	other=$(others)
	judge_doomed "$1"
}
# The file is none that is known as a database any more.
judge_absent() {
	served
	[ -e "$out/copy/data/app.db" ] && fail "it is there"
}

# row SET DAMAGE VERDICT [MESSAGE [ERRNO]]
rows=0
row() {
	[[ $2 =~ ${ROWS:-} ]] || return 0
	rm -rf "$src" "$out" "$tmp"/other.*
	mkdir -p "$src" "$out"
	mkdir -p -m 700 "$spool"
	chown root "$mnt" "$spool"
	user=()
	make_db "$src/other.db" 4096 20
	$1
	intact
	pages=$(($(stat -c %s "$out/intact/data/app.db") / 4096))
	[ ! -e "$db-wal" ] || [ ! -e "$db-shm" ] || eval "$("$WAL" info "$db")"
	bad='not said' other= kept_out=
	echo "# $1, $2"
	eval "$2"
	start
	[ "$3" = refused ] || ! gone_or_zombie "$fs_pid" || fail "not mounted"
	eval "judge_$3 \"\${@:4}\""
	ok "$1, $2: $3${4:+: $4}"
	exec 7>&- 8>&-
	kill -9 "$app_pid" 2>/dev/null
	wait "$app_pid" 2>/dev/null
	rows=$((rows + 1))
}

# --- The table. What it takes after the verdict is the message and, where there
# is no other database, the error of the freeze, or `refused` by the mount.

not_db='`app.db`: is no SQLite database that can be read'
quick='database `app.db`: quick_check says: '
malformed='database `app.db`: is malformed'
eio='Input/output error'
again='Resource temporarily unavailable'

# The file of a database in WAL mode.
row live 'header 0 X' incomplete "$not_db" refused
row live 'header 16 XX' corrupt \
	'page 1 of `app.db`: the header names an impossible page size' refused
row live 'header 16 "\40\0"; bad= other=1' doomed \
	'page 1 of `app.db`: its page size is not the log'"'s"
row live 'header 28 "\0\0\7\7"' corrupt "$malformed" "$eio"
row live 'header 21 "\100\377"' corrupt \
	'page 1 of `app.db`: the header has wrong payload fractions' refused
row live 'header 28 "\0\0\0\3"; bad= other=1' doomed \
	'page 1 of `app.db`: it names another number of pages than the log'
row live 'header 100 "\377"' quick "$quick"
row live 'in_page 1 2000' unseen
row live 'in_page 30 0' quick "$quick"
row live 'in_page 30 3000' unseen
row live 'in_page_of_log' harmless
row live 'file_by -4096' doomed \
	'page 57 of `app.db`: the database file ends before it'
row live 'file_by -100' doomed \
	'page 57 of `app.db`: the database file ends before it'
# It is listed with a size, so that no copy of it can pass for whole.
row live 'file_by 0; pages=1' incomplete \
	'database `app.db`: is empty, but has a -wal beside it' "$again"
row live 'file_longer' harmless
row live 'encrypted' incomplete "$not_db" refused

# Its log.
row live 'log_header 0 X' doomed 'log header of `app.db-wal`: wrong magic'
row live 'log_header 8 "\0\0\040\0"' doomed \
	'log header of `app.db-wal`: checksum mismatch'
row live 'log_header 16 XXXX' doomed \
	'log header of `app.db-wal`: checksum mismatch'
row live 'frame 3 7 "\71"' doomed \
	'log frame 3 of `app.db-wal`: checksum mismatch'
row live 'frame 3 8 XXXXXXXX' doomed 'log frame 3 of `app.db-wal`: wrong salts'
row live 'frame 3 500 XXXX' doomed \
	'log frame 3 of `app.db-wal`: checksum mismatch'
row live 'frame_page "\0\0\0\0"' doomed \
	'log frame 3 of `app.db-wal`: checksum mismatch'
row live 'frame_page "\377"' doomed \
	'log frame 3 of `app.db-wal`: checksum mismatch'
row live 'last_frame 4 "\0\0\0\0"' doomed \
	'log frame 9 of `app.db-wal`: checksum mismatch'
row live 'last_frame 7 "\377"' doomed \
	'log frame 9 of `app.db-wal`: checksum mismatch'
row live 'log_by -1' doomed \
	'log frame 9 of `app.db-wal`: the file ends before it'
row live 'log_by 0' doomed \
	'log frame 9 of `app.db-wal`: the file ends before it'
row live 'no_log' doomed 'log frame 9 of `app.db-wal`: the file ends before it'
row live 'foreign_log' doomed 'log frame 1 of `app.db-wal`: wrong salts'
row live 'log_is_directory' incomplete \
	'`app.db-wal`: not a regular file' 'Operation not supported'
row idle 'log_by -1' older
row idle 'log_by 0' older
row idle 'foreign wal' unseen

# Its wal-index.
row live 'foreign shm' corrupt 'page 1 of `app.db`: has no valid header' "$eio"
row live 'no_memory_of_log' harmless
row live 'index 96 "\377\377"' failed 'database `app.db`: was in the way' \
	'Device or resource busy'
row idle 'random_index' harmless
row idle 'foreign shm' harmless

# Who may not, and who is not let.
row live 'exclusive' incomplete \
	'database `app.db`: is locked by its application' 'Device or resource busy'
row users 'not_readable "$db"; kept_out=yes' incomplete \
	'`app.db`: Permission denied' refused
row users 'not_readable "$db-wal"' incomplete \
	'`app.db-wal`: Permission denied' refused
row users 'not_readable "$db-shm"' incomplete \
	'`app.db-shm`: Permission denied' refused

# Databases with a rollback journal.
row rollback 'header 0 X' absent
row rollback 'header 16 XX' corrupt \
	'page 1 of `app.db`: the header names an impossible page size' refused
row rollback 'header 28 "\0\0\0\3"' quick "$quick"
row rollback 'header 28 "\0\0\7\7"' corrupt "$malformed" "$eio"
row rollback 'header 100 "\377"' quick "$quick"
row rollback 'in_page 30 3000' unseen
row rollback 'file_by -4096; resized' corrupt "$malformed" "$eio"
row rollback 'file_by -100' doomed \
	'page 57 of `app.db`: the database file ends before it'
row rollback 'file_longer' harmless
row rollback 'foreign wal' unseen
row rollback 'committing' incomplete \
	'database `app.db`: is locked by its application' 'Device or resource busy'
hot='database `app.db`: needs recovery by its application (hot journal)'
row rollback 'hot_journal; resized' incomplete "$hot" "$again"
row rollback 'hot_journal 0 XXXXXXXX; resized' incomplete "$hot" "$again"
row rollback 'hot_journal 700 XXXX; resized' incomplete "$hot" "$again"

# Databases of the checksum VFS, both generations.
sum='its checksum (of the checksum VFS) does not match'
for set in summed summed_log; do
	row $set 'in_page 30 3000' doomed "page 30 of \`app.db\`: $sum"
	row $set 'in_page 30 4090' doomed "page 30 of \`app.db\`: $sum"
	row $set 'in_page 1 2000' doomed "page 1 of \`app.db\`: $sum"
	row $set 'frame 3 500 XXXX' doomed \
		'log frame 3 of `app.db-wal`: checksum mismatch'
	row $set 'frame 3 4116 XXXX' doomed \
		'log frame 3 of `app.db-wal`: checksum mismatch'
	row $set 'frame 3 8 XXXXXXXX' doomed \
		'log frame 3 of `app.db-wal`: wrong salts'
	row $set 'log_by -1' doomed \
		'log frame 9 of `app.db-wal`: the file ends before it'
	row $set 'page_by_others' doomed "page 30 of \`app.db\`: $sum"
done
row summed 'frame 3 20 XXXX' doomed 'log frame 3 of `app.db-wal`: checksum mismatch'
row summed_log 'frame 3 20 XXXX' harmless

ok "$rows damages"
