#!/bin/bash
# SPDX-License-Identifier: MIT
# What happens to a PostgreSQL cluster's files between the start and the stop of
# the backup. A page that is torn there is right in every copy if the WAL in
# between replaces it, and is EIO if it does not; WAL that is spoilt there, cut
# or missing, fails the freeze. The server is left clean.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/bank.sh"

: "${FORMATS:?}"
c=$tmp/c
sql() { cluster_psql "$c" -c "$1" || fail "$1"; }

cluster_new "$c"
cluster_conf "$c" "autovacuum = off" "bgwriter_lru_maxpages = 0"
cluster_start "$c"
cluster_psql "$c" <<-END >/dev/null || fail "tables"
	CREATE TABLE torn(i int, n int, t text) WITH (fillfactor = 50);
	INSERT INTO torn SELECT i, 0, repeat('x', 400)
		FROM generate_series(1, 400) i;
	VACUUM FREEZE;
	CHECKPOINT;
	SELECT sum(n) FROM torn;
END
torn=$(sql "SELECT pg_relation_filepath('torn')")
served=$mnt/backup/data/$torn

# ---- pages ----------------------------------------------------------------

# Somebody who spoils 64 bytes of block 0 of the file, again and again: the server
# has the page in memory, changes it there, and writes it at its checkpoints. A
# write that is caught in the middle looks like this.
spoil() {
	python3 -c '
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY)
while os.getppid() == int(sys.argv[2]):
	os.pwrite(fd, b"spoilt " * 9, 5000)
	time.sleep(0.0005)' "$c/data/$torn" $$ &
	spoiler=$!
	started+=("$spoiler")
}
# busy: each transaction changes block 0. A row that is updated may go elsewhere,
# one that is locked does not.
busy() {
	printf '%s;\n' 'UPDATE torn SET n = n + 1 WHERE i = 1' \
		'SELECT FROM torn WHERE i = 2 FOR UPDATE' >"$tmp/script"
	"$pg_bin/pgbench" -h "$c/sock" -U postgres -n -f "$tmp/script" -c 1 \
		-T 600 postgres >"$tmp/log.pgbench" 2>&1 &
	pgbench=$!
	started+=("$pgbench")
	wait_for 20 busily || fail "no load: $(cat "$tmp/log.pgbench")"
}
busily() { [ "$(sql 'SELECT n > 100 FROM torn WHERE i = 1')" = t ]; }
end() {
	kill "$1"
	wait "$1" 2>/dev/null
}
alone() {
	[ "$(sql "SELECT count(*) FROM pg_stat_activity
		WHERE application_name = 'pgbench'")" = 0 ]
}
bad_pages() { "$PEEK" bad "$served" 8192 | awk '{printf "%d ", $1 - 1}'; }
# wrong FILE: how many of its pages have another checksum.
wrong() { "$FORMATS" pages "$1" 0 | awk '{print $3}'; }

spoil
busy
# Between the checkpoint at the start and the capture it may still be whole.
for ((caught = 0, try = 0; caught < 2; try++)); do
	[ $try -lt 20 ] || fail "never caught"
	rm -rf "$tmp/copy"
	start_fs "$c/data"
	ls "$mnt/backup" >/dev/null || fail "ls: $(cat "$mnt/status")"
	[ -z "$(bad_pages)" ] || fail "not accepted: $(cat "$mnt/events")"
	cp -a "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
	stop_fs COPIED
	bank_orderly "$c"
	case $(wrong "$tmp/copy/data/$torn") in
	0) continue ;;
	1) grep -q 'spoilt spoilt' "$tmp/copy/data/$torn" || fail "other bytes" ;;
	*) fail "more than one page is torn" ;;
	esac
	caught=$((caught + 1))
	mkdir "$tmp/copy/sock" && chown -R postgres: "$tmp/copy"
	cluster_server "$tmp/copy" pg_verifybackup -q "$tmp/copy/data" ||
		fail "pg_verifybackup"
	clusters+=("$tmp/copy")
	cluster_server "$tmp/copy" pg_ctl -s -w -l "$tmp/copy/log" start \
		-o "-k '$tmp/copy/sock'" || fail "start: $(cat "$tmp/copy/log")"
	[ "$(cluster_psql "$tmp/copy" -c "SELECT count(*), min(n), max(n) > 100,
		sum(length(t)) FROM torn")" = "400|0|t|160000" ] ||
		fail "other rows"
	cluster_stop "$tmp/copy"
	cluster_server "$tmp/copy" pg_checksums --check >/dev/null ||
		fail "replay did not mend it"
done
rm -rf "$tmp/copy"
echo "# $try tries"
ok "a torn page that the WAL replaces: served, and right in the copy that starts"

# Another page, in the same freeze, that nobody changes.
cp "$c/data/$torn" "$tmp/torn"
printf 'spoilt' | dd of="$c/data/$torn" bs=1 seek=$((3 * 8192 + 7000)) \
	conv=notrunc status=none
start_fs "$c/data"
ls "$mnt/backup" >/dev/null || fail "ls: $(cat "$mnt/status")"
[ "$(bad_pages)" = "3 " ] || fail "bad pages: $(bad_pages)"
grep -qF "error:     \`$torn\`: block 3: its checksum is wrong, and the WAL does not replace it" \
	"$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(corrupt)'
dd if="$tmp/torn" of="$c/data/$torn" bs=8192 skip=3 seek=3 count=1 \
	conv=notrunc status=none
ok "beside it a page that the WAL does not replace: EIO for that one"

# The same damage to the same page, when nobody changes it any more.
end "$spoiler"
end "$pgbench"
wait_for 10 alone || fail "the load goes on"
sql CHECKPOINT
[ "$(wrong "$c/data/$torn")" = 0 ] || fail "the server did not write it"
printf 'spoilt' | dd of="$c/data/$torn" bs=1 seek=5000 conv=notrunc status=none
start_fs "$c/data"
ls "$mnt/backup" >/dev/null || fail "ls: $(cat "$mnt/status")"
[ "$(bad_pages)" = "0 " ] || fail "bad pages: $(bad_pages)"
grep -qF "error:     \`$torn\`: block 0: its checksum is wrong, and the WAL does not replace it" \
	"$mnt/status" || fail "$(cat "$mnt/status")"
stop_fs 'ABORTED(corrupt)'
ok "the same page, not changed meanwhile: EIO"
# A change, and the server writes it anew.
sql 'SELECT FROM torn WHERE i = 2 FOR UPDATE' >/dev/null
sql CHECKPOINT
[ "$(wrong "$c/data/$torn")" = 0 ] || fail "the live file is not mended"

# ---- WAL ------------------------------------------------------------------

# So that a copy takes its time.
cluster_psql "$c" <<-END >/dev/null || fail "a large table"
	CREATE TABLE big(t text);
	ALTER TABLE big ALTER t SET STORAGE PLAIN;
	INSERT INTO big SELECT repeat(md5(i::text), 200)
		FROM generate_series(1, 30000) i;
	CHECKPOINT;
END

begun="EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'stillfs'
	AND state = 'idle' AND query ~ 'pg_backup_start')"
# in_two PID: this process stands still behind the start of the backup that it
# makes. False: it was faster, and goes on.
in_two() {
	cluster_psql "$c" -c "SET statement_timeout = '60s'" -c "DO \$\$
		BEGIN WHILE NOT $begun LOOP
		PERFORM pg_stat_clear_snapshot(); END LOOP; END \$\$" ||
		fail "no backup is begun"
	kill -STOP "$1"
	[ "$(sql "SELECT $begun")" = t ] && return
	kill -CONT "$1"
	return 1
}
# freeze_in_two: a freeze of a mount, in two.
freeze_in_two() {
	local try
	for try in 1 2 3 4 5 6 7 8; do
		start_fs "$c/data" -o freeze=copy
		ls "$mnt/backup" >"$tmp/ls" 2>"$tmp/err" &
		ls_pid=$!
		started+=("$ls_pid")
		in_two "$fs_pid" && return
		echo "# try $try"
		wait "$ls_pid"
		umount "$mnt"
		wait_fs
	done
	fail "the freeze is too fast to be stopped"
}
# refused MESSAGE: it goes on, and fails.
refused() {
	kill -CONT "$fs_pid"
	wait "$ls_pid" && fail "the freeze succeeded"
	grep -q "Input/output error" "$tmp/err" || fail "$(cat "$tmp/err")"
	grep -E "^error: +$1" "$mnt/status" || fail "$(cat "$mnt/status")"
	stop_fs 'ABORTED(not frozen)'
	bank_clean "$c"
}
# write: 200 kB of WAL, on the disk; where it ends, in $segment and $offset.
write() {
	local lsn
	lsn=$(sql "SELECT pg_logical_emit_message(true, 'test', repeat('w', 200000))")
	IFS='|' read -r segment offset < <(sql "SELECT file_name, file_offset
		FROM pg_walfile_name_offset('$lsn'::pg_lsn - 100000)")
	segment=$c/data/pg_wal/$segment
}

freeze_in_two
write
cp "$segment" "$tmp/segment"
printf 'spoilt' | dd of="$segment" bs=1 seek="$offset" conv=notrunc status=none
refused "\`pg_wal/${segment##*/}\`: record at [0-9A-F]+/[0-9A-F]+ fails its checksum"
cat "$tmp/segment" >"$segment"
ok "bytes of a WAL record: the freeze fails and names segment and record"

for ((try = 0; ; try++)); do
	[ $try -lt 8 ] || fail "the freeze is too fast to be stopped"
	"$STILLCTL" backup --state "$state" --create "$c/data" "$tmp/dest$try" \
		>"$tmp/ctl.out" 2>"$tmp/ctl.err" 7>&- 8>&- &
	ctl_pid=$!
	started+=("$ctl_pid")
	in_two "$ctl_pid" && break
	wait "$ctl_pid"
done
write
cp "$segment" "$tmp/segment"
printf 'spoilt' | dd of="$segment" bs=1 seek="$offset" conv=notrunc status=none
kill -CONT "$ctl_pid"
wait "$ctl_pid"
status=$?
[ $status = 5 ] || fail "stillctl backup: $status, $(cat "$tmp/ctl.err")"
ctl_complains "\`pg_wal/${segment##*/}\`: record at "
[ ! -e "$tmp/dest$try/full" ] || fail "a set was left"
bank_clean "$c"
cat "$tmp/segment" >"$segment"
ok "the same by stillctl backup: exit 5, nothing left"

freeze_in_two
write
sql 'SELECT pg_switch_wal()' >/dev/null
mv "$segment" "$tmp/segment"
refused "\`pg_wal/${segment##*/}\`: is needed, and is not there"
mv "$tmp/segment" "$segment"
ok "a segment that is gone: the freeze fails"

freeze_in_two
write
sql 'SELECT pg_switch_wal()' >/dev/null
truncate -s -8192 "$segment"
refused "\`pg_wal/${segment##*/}\`: is not whole"
truncate -s +8192 "$segment"
ok "a segment that is cut: the freeze fails"

# Somebody else's freeze of the same server, at rest, is none the worse.
start_fs "$c/data"
cp -a "$mnt/backup" "$tmp/copy" || fail "cp: $(cat "$mnt/status")"
stop_fs COPIED
chown postgres: "$tmp/copy"
cluster_server "$tmp/copy" pg_verifybackup -q "$tmp/copy/data" ||
	fail "pg_verifybackup"
ok "afterwards the cluster is backed up as ever"
