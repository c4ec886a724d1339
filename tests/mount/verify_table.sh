#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of damages to a set: it is copied and proven intact, then damaged in
# one way, and then `stillctl verify` must end with 5 and say what the table says,
# all of it and nothing else, for people and in JSON.
#
#	ROWS   a regular expression: only the rows whose damage matches
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/damage.sh"

# --- The set: three databases, two of which have the same size.

make_db "$src/a.db" 4096 3000
sqlite3 "$src/a.db" "CREATE INDEX i ON t(b)"
make_db "$src/twin1.db" 4096 100
make_db "$src/twin2.db" 4096 100
mkdir "$src/sub"
sqlite3 "$src/sub/c.db" "CREATE TABLE c(x); INSERT INTO c VALUES(1);"
start_fs
cp -a "$mnt/backup" "$intact" || fail "cp"
stop_fs COPIED
check_set "$intact"
size=$(stat -c %s "$intact/data/a.db")

# --- Damages. They run in the set.

nested() {
	python3 -c 'print("[" * 100000)' >"$json"
}
zero_page() { # FILE PAGE
	dd if=/dev/zero of="$1" bs=4096 seek=$(($2 - 1)) count=1 conv=notrunc \
		status=none
}
socket_at() {
	python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$1"
}
deep_tree() {
	python3 -c '
import os
os.chdir("data")
for i in range(3000):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)'
}

beside() {
	printf '`%s`: is a %s beside a database, and was not backed up: whoever opens the database would use it' "$1" "$2"
}
sums='`verify/XXH128SUMS`:'
bad_line='is not 32 lowercase hexadecimal digits, two spaces and a path'
desc='`backup.json`:'
a_has() { printf '`data/a.db`: has %s bytes, and backup.json says %s' "$1" "$2"; }
n=$(wc -l <"$intact/verify/XXH128SUMS")

# Content.
row 'flip data/a.db 30' "$(other data/a.db)"
row 'flip data/a.db 4000' "$(other data/a.db)"
row "flip data/a.db $((size / 2))" "$(other data/a.db)"
row "flip data/a.db $((size - 1))" "$(other data/a.db)"
row 'flip data/sub/c.db 5000' "$(other data/sub/c.db)"
row 'zero_page data/a.db 9' "$(other data/a.db)"
row 'truncate -s -1 data/a.db' "$(a_has $((size - 1)) "$size")"
row 'truncate -s -4096 data/a.db' "$(a_has $((size - 4096)) "$size")"
row 'truncate -s 0 data/a.db' "$(a_has 0 "$size")"
row 'printf x >>data/a.db' "$(a_has $((size + 1)) "$size")"
row 'cat data/a.db >>data/a.db.2; cat data/a.db.2 >>data/a.db; rm data/a.db.2' \
	"$(a_has $((size * 2)) "$size")"
row 'swap data/twin1.db data/twin2.db' \
	"$(other data/twin1.db)" "$(other data/twin2.db)"
row 'cp data/twin1.db data/twin2.db' "$(other data/twin2.db)"
row 'sqlite3 data/twin1.db "UPDATE t SET b=1 WHERE a=1"; rm -f data/*-wal data/*-shm' \
	"$(other data/twin1.db)"

# What is there.
row 'rm data/a.db' "$(missing data/a.db)"
row 'rm -r data/sub' "$(missing data/sub/c.db)"
row 'rm -r data' "$(missing data/a.db)" "$(missing data/sub/c.db)" \
	"$(missing data/twin1.db)" "$(missing data/twin2.db)"
row 'mv data/a.db data/b.db' "$(missing data/a.db)" "$(extra data/b.db)"
row 'mv data/sub data/bus' "$(extra data/bus/c.db)" "$(missing data/sub/c.db)"
row 'cp data/a.db data/b.db' "$(extra data/b.db)"
row 'touch data/.hidden' "$(extra data/.hidden)"
row 'touch note' "$(extra note)"
row 'touch data/a.db-wal' "$(beside data/a.db-wal log)"
row 'cp data/a.db data/a.db-shm' "$(beside data/a.db-shm 'log index')"
row 'echo x >data/sub/c.db-journal' "$(beside data/sub/c.db-journal journal)"
row 'mkdir data/a.db-wal' "$(beside data/a.db-wal log)"
row 'deep_tree' '`data/ddd*'

# What is no file.
link='is a symbolic link, and no file'
row 'mv data/a.db data/sub; ln -s sub/a.db data/a.db' \
	"\`data/a.db\`: $link" "$(extra data/sub/a.db)"
row "cp data/a.db $tmp/away; ln -sf $tmp/away data/a.db" "\`data/a.db\`: $link"
row 'ln -sf nowhere data/a.db' "\`data/a.db\`: $link"
row "cp -r data $tmp/awaydata; rm -r data; ln -s $tmp/awaydata data" \
	"\`data\`: $link" "$(missing data/a.db)" "$(missing data/sub/c.db)" \
	"$(missing data/twin1.db)" "$(missing data/twin2.db)"
row 'ln -s . data/loop' "\`data/loop\`: $link"
row 'rm data/a.db; mkfifo data/a.db' '`data/a.db`: is a FIFO, and no file'
row 'mkfifo data/fifo' '`data/fifo`: is a FIFO, and no file'
row 'rm data/a.db; socket_at data/a.db' '`data/a.db`: is a socket, and no file'
row 'rm data/a.db; mknod data/a.db c 1 5' '`data/a.db`: is a device, and no file'
row 'rm data/a.db; mkdir data/a.db; touch data/a.db/x' \
	'`data/a.db`: is a directory, and no file'

# The list.
not_done='is missing: the copy was not finished, or is not of one session'
row 'rm verify/XXH128SUMS' "$sums $not_done"
row 'rm -r verify' "$sums $not_done"
row 'rm verify/XXH128SUMS; mkdir verify/XXH128SUMS' \
	"$sums is not a regular file"
row 'mv verify/XXH128SUMS data/l; ln -s ../data/l verify/XXH128SUMS' \
	"$sums is a symbolic link, or lies behind one"
row ': >verify/XXH128SUMS' "$sums is empty"
row 'edit_list "/a\.db/s/^./x/"' "$sums line 2: $bad_line"
row 'edit_list "/a\.db/s/^.\{4\}/0000/"' "$(other data/a.db)"
row 'edit_list "s/^................................/\U&/"' \
	"$sums line 1: $bad_line" "$sums line 2: $bad_line" \
	"$sums line 3: $bad_line" "$sums line 4: $bad_line" \
	"$sums line 5: $bad_line"
row 'edit_list "/a\.db/s/  / */"' "$sums line 2: $bad_line"
row 'edit_list "/a\.db/s/  / /"' "$sums line 2: $bad_line"
row "edit_list '\$d'" \
	'`data/sub/c.db`: is in backup.json, and not in verify/XXH128SUMS'
row 'truncate -s -5 verify/XXH128SUMS' "$sums line $n: is cut"
row 'truncate -s -1 verify/XXH128SUMS' "$sums line $n: is cut"
row 'edit_list 2p' "$sums names \`data/a.db\` twice"
row "edit_list 's/\$/\\r/'" \
	"$sums its lines end with a carriage return: a program for texts has changed it"
row 'edit_list "1s/^/\xef\xbb\xbf/"' "$sums line 1: $bad_line"
row 'echo >>verify/XXH128SUMS' "$sums line $((n + 1)): $bad_line"
row 'echo "XXH128 (data/x) = 0" >>verify/XXH128SUMS' \
	"$sums line $((n + 1)): $bad_line"
row 'add_line ../set/data/a.db' \
	"$sums line $((n + 1)): \`../set/data/a.db\` is no path in a set"
row 'add_line /etc/passwd' \
	"$sums line $((n + 1)): \`/etc/passwd\` is no path in a set"
row 'add_line data//a.db' \
	"$sums line $((n + 1)): \`data//a.db\` is no path in a set"
row 'add_line ./data/a.db' \
	"$sums line $((n + 1)): \`./data/a.db\` is no path in a set"
row 'add_line verify/XXH128SUMS' "$sums line $((n + 1)): names the list itself"
row 'add_line data/z.db' "$(missing data/z.db)"
row 'add_line "data/a
b"' "$(missing data/a)" "$sums line $((n + 2)): $bad_line"
row 'edit_list /backup.json/d' "$sums does not name backup.json"
row 'edit_list /data/d' "$sums names no file but backup.json"

# The description. Whatever is changed in it, its own sum tells too, unless it
# could not be understood.
row 'rm backup.json' "$desc is missing"
row ': >backup.json' "$desc is not JSON: line 1: *"
row 'truncate -s 300 backup.json' "$desc is not JSON: line *"
row 'echo "hello" >backup.json' "$desc is not JSON: line 1: *"
row 'echo "[]" >backup.json' "$desc is not a JSON object"
row 'nested' "$desc is not JSON: line 1: *"
row 'edit_json "s/\"data_files\": 4/\"data_files\": 99999999999999999999/"' \
	"$desc is not JSON: line *"
row 'edit_json "s/\"kind\": \"full\"/&, &/"' "$desc is not JSON: line *"
row 'edit_json "s/\"format\": 1/\"format\": 2/"' \
	"$desc has format 2, and this stillfs knows 1"
row 'edit_json "s/\"format\": 1/\"format\": \"1\"/"' "$desc \`format\` is not a count"
row 'edit_json "/\"session\"/d"' "$desc \`session\` is not a text"
row 'edit_json "s/\"engine\": \"sqlite\"/\"engine\": 7/"' \
	"$desc \`engine\` is not a text"
row 'edit_json "s/\"frozen_at\": \"20/\"frozen_at\": \"x0/"' \
	"$desc \`frozen_at\` is not a time"
row 'edit_json "s/\"data_bytes\": /&-/"' "$desc \`data_bytes\` is not a count"
row 'edit_json "s/\"data_files\": 4/\"data_files\": 5/"' \
	"$desc says that there are 5 files of data, and there are 4"
row 'edit_json "s/\"data_bytes\": /&1/"' \
	"$desc says that there are 1*"
row 'edit_json "s/\"databases\": \[/\"databases\": 7, \"x\": [/"' \
	"$desc \`databases\` is not an array"
row 'edit_json "s/\"frozen\": true/\"frozen\": 1/"' \
	"$desc database \`data/a.db\`: \`frozen\` is neither true nor false" \
	"$desc database \`data/sub/c.db\`: \`frozen\` is neither true nor false" \
	"$desc database \`data/twin1.db\`: \`frozen\` is neither true nor false" \
	"$desc database \`data/twin2.db\`: \`frozen\` is neither true nor false"
row 'edit_json "s/\"path\": \"data.a.db\"/\"path\": \"..\/a.db\"/"' \
	"$desc database 1: \`path\` is no path in a set"
row 'edit_json "s/\"size_bytes\": '"$size"'/\"size_bytes\": 5/"' \
	"$(other backup.json)" "$(a_has "$size" 5)"
row 'edit_json "s/\"program\": \"/&x/"' "$(other backup.json)"
row 'edit_json "0,/\"frozen\": true/s//\"frozen\": false/"; reseal' \
	'`data/a.db`: was not frozen: this set has no backup of it'
row 'edit_json "s/data.twin1.db/data\/twin3.db/"; reseal' \
	"$(missing data/twin3.db)"

# What only the engine finds.
says() { printf '`data/a.db`: integrity_check says: %s*' "$1"; }
row 'zero_page data/a.db 9; reseal' "$(says '')"
row 'flip data/a.db 0; reseal' "$(says 'file is not a database')"
row 'dd if=/dev/urandom of=data/a.db bs=4096 count=1 conv=notrunc status=none; reseal' \
	"$(says '')"
row 'dd if=/dev/zero of=data/a.db bs=1 seek=108 count=8 conv=notrunc status=none; reseal' \
	"$(says '')"
row 'sqlite3 data/a.db "PRAGMA journal_mode=DELETE; PRAGMA writable_schema=1;
	UPDATE sqlite_schema SET rootpage=3 WHERE name=\"i\"" >/dev/null
	edit_json "s/\"size_bytes\": '"$size"'/\"size_bytes\": $(stat -c %s data/a.db)/"
	reseal' "$(says '')"
ok "$rows damages"
[ -n "${ROWS:-}" ] || [ "$rows" -ge 80 ] || fail "the table was not run"

# --- Who may not read a file has not verified it.
chmod 755 "$tmp"
fresh
chmod 600 "$set/data/a.db"
chmod 755 "$set" "$set/data" "$set/data/sub" "$set/verify"
chmod 644 "$json" "$list" "$set"/data/t* "$set/data/sub/c.db"
cp "$STILLCTL" "$tmp/stillctl"
chmod 755 "$tmp/stillctl"
setpriv --reuid=nobody --regid=nogroup --clear-groups \
	timeout 60 "$tmp/stillctl" verify "$set" >"$tmp/ctl.out" 2>"$tmp/ctl.err"
[ $? = 5 ] || { cat "$tmp/ctl.out" "$tmp/ctl.err"; fail "not exit 5"; }
ctl_says 'damaged:   `data/a.db`: Permission denied' \
	'databases: 4, 3 checked and sound'
ok "what cannot be read is not verified"

# --- What is no damage.
fresh
ln "$set/data/a.db" "$tmp/hard"
chmod -R a-w "$set"
mkdir -p "$set/data/empty"
touch -d 2001-01-01 "$set"/data/*.db "$json"
chown -R nobody "$set"
intact
ok "hard links, empty directories, owners, modes and times are none"

# --- Nothing is changed, and the quick one reads every byte too.
fresh
before=$(cd "$set" && find . -printf '%p %i %s %m %T@ %C@\n' | sort)
ctl 0 verify "$set"
[ "$(cd "$set" && find . -printf '%p %i %s %m %T@ %C@\n' | sort)" = "$before" ] ||
	fail "verify changes the set"
(cd "$set" && flip data/a.db 9999)
verify 5 --quick
grep -qxF "$(other data/a.db)" "$tmp/flaws" || fail "quick does not see it"
ctl 5 verify --quiet "$set"
[ ! -s "$tmp/ctl.out" ] || fail "quiet is not"
ctl_complains "stillctl: $(other data/a.db)" "the set is damaged: it is no backup"
fresh
ctl 0 verify --quiet "$set"
[ ! -s "$tmp/ctl.out" ] && [ ! -s "$tmp/ctl.err" ] || fail "quiet is not"
ok "it changes nothing; --quick and --quiet"

# --- Where there is none.
ctl 1 verify "$tmp/nothing"
ctl_complains 'No such file or directory'
ctl 1 verify "$src"
ctl_complains 'is no set: it has neither backup.json nor verify/XXH128SUMS'
ctl 1 verify "$src/a.db"
ctl_complains 'is not a directory'
ctl 2 verify
mkdir "$tmp/dest"
mv "$set" "$tmp/dest/full"
ctl 0 verify "$tmp/dest"
ctl_says "set:       $tmp/dest/full"
ok "no set, and a place where one is stored"

# --- So many flaws that not all are kept.
fresh
mkdir "$set/many"
(cd "$set/many" && seq 1500 | xargs touch)
ctl 5 verify "$set"
[ "$(grep -c '^damaged: ' "$tmp/ctl.out")" = 1001 ] || fail "not a thousand"
ctl_says 'damaged:   500 more'
ctl 5 verify --json "$set"
ctl_says '"flaws_total":1500'
ok "a thousand flaws are told, and all are counted"

# --- Whatever has copied it: it is whole.
rm -rf "$src" "$tmp/hard"
mkdir -p "$src/dir with spaces"
odd=$(printf 'o\\dd %%41?#\x27"\xff.db')
make_db "$src/dir with spaces/a'b.db" 4096 100
make_db "$src/$odd" 1024 100
make_db "$src/plain.db" 4096 500
: >"$src/empty.db"
start_fs
copies=()
copy_by() { # NAME COMMAND...: into $tmp/by-NAME
	local name=$1
	shift
	(cd "$tmp" && timeout 120 "$@") >"$tmp/tool.out" 2>&1 ||
		{ cat "$tmp/tool.out"; fail "$name"; }
	copies+=("$name")
}
by_tar() { mkdir by-tar && tar -C mnt/backup -cf - . | tar -C by-tar -xf -; }
by_restic() {
	export RESTIC_PASSWORD=x RESTIC_REPOSITORY=$tmp/restic
	export RESTIC_CACHE_DIR=$tmp/restic-cache
	restic init && restic backup mnt/backup &&
		restic restore latest --target out-restic &&
		mv out-restic/mnt/backup by-restic
}
by_borg() {
	export BORG_BASE_DIR=$tmp/borg-base
	borg init -e none borg && borg create borg::x mnt/backup && mkdir out-borg &&
		(cd out-borg && borg extract ../borg::x) &&
		mv out-borg/mnt/backup by-borg
}
export -f by_tar by_restic by_borg
export tmp
copy_by cp cp -r mnt/backup by-cp
copy_by rsync rsync -a mnt/backup/ by-rsync/
copy_by tar bash -c by_tar
for tool in restic borg; do
	command -v $tool >/dev/null && copy_by $tool bash -c by_$tool
done
ctl 0 verify "$mnt/backup"
ok "the mount itself is a set"
stop_fs COPIED
for tool in "${copies[@]}"; do
	ctl 0 verify "$tmp/by-$tool"
	ctl_says 'databases: 3, 3 checked and sound' 'result:    the set is whole'
	ok "what $tool has copied is whole"
done
set=$tmp/by-cp
printf x >>"$set/data/$odd"
verify 5
grep -qF '`data/o\dd %41?#'"'"'"\xff.db`: has ' "$tmp/flaws" ||
	{ cat "$tmp/flaws"; fail "an odd name"; }
ok "odd names are told on one line"

# --- What only its application could check is a warning.
rm -rf "$src"
mkdir "$src"
make_db "$src/plain.db" 4096 50
python3 - "$src/app.db" <<'END'
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.create_collation("ours", lambda a, b: (a > b) - (a < b))
c.execute("CREATE TABLE t(a TEXT COLLATE ours PRIMARY KEY)")
c.executemany("INSERT INTO t VALUES(?)", [(str(i),) for i in range(100)])
c.commit()
END
start_fs
cp -r "$mnt/backup" "$tmp/app" || fail "cp"
stop_fs COPIED
ctl 3 verify "$tmp/app"
ctl_says 'warning:   `data/app.db`: SQLite cannot check it: no such collation sequence: ours' \
	'databases: 2, 1 checked and sound' \
	'result:    the set is whole; not all of it could be checked'
ctl 3 verify --quiet "$tmp/app"
ctl_complains '`data/app.db`: SQLite cannot check it'
ctl 0 verify --quick "$tmp/app"
ok "what its application must bring along is a warning"

# --- In the middle of SQLite's check, which takes seconds.
make_db "$src/large.db" 512 600000
start_fs
cp -r "$mnt/backup" "$tmp/large" || fail "cp"
stop_fs COPIED
for signal in INT TERM; do
	# What a shell starts in the background ignores SIGINT.
	env --default-signal=INT "$STILLCTL" verify --json "$tmp/large" \
		>"$tmp/out" 2>"$tmp/err" &
	pid=$!
	started+=("$pid")
	wait_for 60 grep -q '"phase":"checking"' "$tmp/out" &&
		wait_for 20 pgrep -P "$pid" || fail "it does not check"
	kill "-$signal" "$pid"
	wait "$pid"
	status=$?
	[ $status = 6 ] || fail "$signal: exit $status: $(cat "$tmp/err")"
	grep -q 'it was stopped' "$tmp/err" || fail "$(cat "$tmp/err")"
	grep -q '"event":"done"' "$tmp/out" && fail "stopped, and done"
	[ -z "$(pgrep -P "$pid")" ] || fail "a child is left"
done
ok "an interrupt ends it, with exit 6"
