#!/bin/bash
# SPDX-License-Identifier: MIT
# What no link can be made of, and what no link is applied to: refused, with what
# is wrong and what to do.
# shellcheck disable=SC2015,SC2016
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/chain.sh"

: "${PGASK:?}"
c=${tmp:?}/c
d=$tmp/d
r=$tmp/r
sets=${sets:?}
sql() { cluster_psql "$c" -c "$1"; }
quiet() { sql "$1" >/dev/null || fail "$1"; }
log() { cat "$tmp/chain.log"; }
full_hint='Make a full session; later incremental ones build on it.'
chain_hint='Restore the whole chain, from its full set on, in its order.'
# refused TEXT [NOTE]: no link, on the set $base.
base=0
refused() {
	rm -rf "$sets/no"
	chain_refused no-base "$1" "$full_hint" add "$c/data" "$tmp/spool" \
		"$sets/no" "${2:-$sets/$base.note}" 7
	[ ! -e "$sets/no" ] || fail "a set was begun"
}
# Segments of WAL: many more than max_wal_size.
grow() {
	local i
	for ((i = 0; i < $1; i++)); do
		quiet "SELECT pg_logical_emit_message(false, 'x', 'y'),
			pg_switch_wal()"
	done
}

cluster_new "$c" --wal-segsize=1
cluster_conf "$c" 'autovacuum = off' 'max_wal_size = 4MB' \
	'min_wal_size = 2MB' 'checkpoint_timeout = 1h' 'archive_timeout = 0'
cluster_start "$c"
quiet 'CREATE TABLE t(i int)'
chain_run plain "$c/data" "$tmp/spool" "$sets/plain" || fail "$(log)"
chain_refused no-base \
	'session 7: the server was not asked to keep the WAL behind it' \
	'Make a full session with `-o incremental`: from then on the server keeps the WAL that incremental ones need.' \
	add "$c/data" "$tmp/spool" "$sets/no" "$sets/plain.note" 7
chain_refused unsupported \
	'session 7: the server keeps no WAL behind it for anybody' \
	'Make a full session with `-o incremental`: from then on the server keeps WAL for incremental ones.' \
	truncate "$c/data" "$sets/plain.note" 7
ok "a base without a slot"

chain_full "$c"
slot=$(sql 'SELECT slot_name FROM pg_replication_slots')
stop=$(sed -n 's/.*"stop_lsn": "\(.*\)".*/\1/p' "$sets/0.note")
last=$(sed -n 's/.*"last_lsn": "\(.*\)".*/\1/p' "$sets/0.note")

# The base's note says something else.
sed "s|\"last_lsn\": \"$last\"|\"last_lsn\": \"0/28\"|" "$sets/0.note" \
	>"$sets/odd.note"
quiet 'INSERT INTO t VALUES (1)'
rm -rf "$sets/no"
! chain_run add "$c/data" "$tmp/spool" "$sets/no" "$sets/odd.note" 7 &&
	grep -q "^error no-base: server of \`$c/data\`: its WAL does not go on where \
session 7 ended: the record at [0-9A-F/]* follows one at $last, not at 0/28$" \
	"$tmp/chain.log" || fail "$(log)"
sed "s|\"stop_lsn\": \".*\"|\"stop_lsn\": \"FF/28\"|" "$sets/0.note" \
	>"$sets/odd.note"
! chain_run add "$c/data" "$tmp/spool" "$sets/no" "$sets/odd.note" 7 &&
	grep -q "^error no-base: server of \`$c/data\`: writes its WAL at [0-9A-F/]*, \
and session 7 ended at FF/28: it was restored since then$" "$tmp/chain.log" ||
	fail "$(log)"
ok "WAL that does not follow the base's"

# Another cluster: the note is of this one.
cluster_new "$d" --wal-segsize=1
cluster_start "$d"
here=$(sql 'SELECT system_identifier FROM pg_control_system()')
there=$(cluster_psql "$d" -c 'SELECT system_identifier FROM pg_control_system()')
chain_refused no-base "server of \`$d/data\`: is another cluster than that of \
session 7: its system identifier is $there, not $here" "$full_hint" \
	add "$d/data" "$tmp/spool" "$sets/no" "$sets/0.note" 7
ok "another cluster"

# A segment that the slot keeps, and that is gone.
grow 3
first=$(sql "SELECT pg_walfile_name('$stop'::pg_lsn + 1048576)")
mv "$c/data/pg_wal/$first" "$tmp/away"
refused "\`pg_wal/$first\`: is missing, although slot \`$slot\` keeps it"
head -c 500000 "$tmp/away" >"$c/data/pg_wal/$first"
! chain_run add "$c/data" "$tmp/spool" "$sets/no" "$sets/0.note" 7 &&
	grep -qF "error corrupt: \`pg_wal/$first\`: is not whole" \
	"$tmp/chain.log" || fail "$(log)"
cp "$tmp/away" "$c/data/pg_wal/$first"
printf '\1' | dd of="$c/data/pg_wal/$first" bs=1 seek=60 conv=notrunc 2>/dev/null
! chain_run add "$c/data" "$tmp/spool" "$sets/no" "$sets/0.note" 7 &&
	grep -q "^error corrupt: \`pg_wal/$first\`: record at " \
	"$tmp/chain.log" || fail "$(log)"
cp "$tmp/away" "$c/data/pg_wal/$first"
chain_add "$c" 1
ok "WAL that is missing, cut off or damaged"

# While it is served: written to, and taken away.
hold() {
	rm -rf "$sets/held" "$tmp/in"
	mkfifo "$tmp/in"
	: >"$tmp/chain.log"
	HOLD=1 timeout 120 "$PGCHAIN" add "$c/data" "$tmp/spool" "$sets/held" \
		"$sets/1.note" 2 <"$tmp/in" >"$tmp/chain.log" 2>&1 &
	holder=$!
	exec 9>"$tmp/in"
	wait_for 60 grep -qx frozen "$tmp/chain.log" || fail "$(log)"
}
go_on() {
	echo >&9
	exec 9>&-
	wait "$holder"
}
grow 3
served=$(sql "SELECT pg_walfile_name('$(sed -n \
	's/.*"stop_lsn": "\(.*\)".*/\1/p' "$sets/1.note")'::pg_lsn + 1048576)")
hold
cp "$c/data/pg_wal/$served" "$tmp/away"
printf '\1' | dd of="$c/data/pg_wal/$served" bs=1 seek=900000 conv=notrunc \
	2>/dev/null
! go_on && grep -q "^kept [1-9][0-9]*$" "$tmp/chain.log" &&
	grep -qF "error corrupt: \`pg_wal/$served\`: is not what it was, at byte \
851968 and in the 65536 behind it" "$tmp/chain.log" || fail "$(log)"
cp "$tmp/away" "$c/data/pg_wal/$served"
hold
quiet "SELECT pg_drop_replication_slot('$slot')"
grow 8
quiet CHECKPOINT
! go_on && grep -qF "error pin-lost: \`pg_wal/$served\`: the server has removed it" \
	"$tmp/chain.log" || fail "$(log)"
ok "WAL that changes, or goes, while it is served"

# The slot is gone now; then there is another one of its name.
base=1
refused "slot \`$slot\`: was dropped: nothing keeps the WAL since session 7"
lost_hint='Nothing is left to release. Make a full session: it makes the slot anew.'
chain_refused pin-lost "slot \`$slot\`: was dropped since session 7" "$lost_hint" \
	truncate "$c/data" "$sets/1.note" 7
quiet "SELECT pg_create_physical_replication_slot('$slot', true)"
refused "slot \`$slot\`: was dropped and created again since session 7"
chain_refused pin-lost "slot \`$slot\`: was dropped and created again since session 7" \
	"$lost_hint" truncate "$c/data" "$sets/1.note" 7
quiet "SELECT pg_drop_replication_slot('$slot')"
ok "a slot that was dropped, and created again"

# Full sessions use the one that is there, and make it again where it is not.
base=0
chain_full "$c"
grow 3
quiet "SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())"
stop=$(sed -n 's/.*"stop_lsn": "\(.*\)".*/\1/p' "$sets/0.note")
at=$(sql 'SELECT restart_lsn FROM pg_replication_slots')
refused "slot \`$slot\`: keeps WAL from $at on, and session 7 ends before that, \
at $stop: somebody advanced it"
chain_full "$c"
chain_add "$c" 1
ok "a slot that somebody advanced"

# More WAL than it may keep: about to be lost, lost, and made again.
quiet "ALTER SYSTEM SET max_slot_wal_keep_size = '2MB'"
quiet "ALTER SYSTEM SET max_wal_size = '100MB'"
quiet 'SELECT pg_reload_conf()'
wait_for 10 sh -c "[ \"\$('$pg_bin/psql' -h '$c/sock' -U postgres -XAtc \
	'SHOW max_wal_size')\" = 100MB ]" || fail "no reload"
grow 8
state() { sql 'SELECT wal_status FROM pg_replication_slots'; }
[ "$(state)" = unreserved ] || fail "the slot is $(state)"
base=1
chain_run add "$c/data" "$tmp/spool" "$sets/no" "$sets/1.note" 7
grep -qF "warn server-warning: slot \`$slot\`: is lost at the next checkpoint" \
	"$tmp/chain.log" || fail "$(log)"
limit="slot \`$slot\`: is lost: since session 7 more WAL was written than \
max_slot_wal_keep_size lets it keep"
refused "$limit"
quiet CHECKPOINT
[ "$(state)" = lost ] || fail "the slot is $(state)"
refused "$limit"
chain_refused pin-lost "slot \`$slot\`: was lost since session 7" "$lost_hint" \
	truncate "$c/data" "$sets/1.note" 7
"$PGASK" check "$c/data" chain >"$tmp/out"
grep -qF "slot \`$slot\`: is lost: more WAL was written than \
max_slot_wal_keep_size lets it keep" "$tmp/out" || fail "$(cat "$tmp/out")"
quiet 'ALTER SYSTEM RESET max_slot_wal_keep_size'
quiet 'SELECT pg_reload_conf()'
chain_full "$c"
quiet 'INSERT INTO t VALUES (2)'
chain_add "$c" 1
ok "a slot that was lost; and a full session that makes it again"

# A tablespace that is made: replay would make it where the live one is.
mkdir "$c/space" && chown postgres: "$c/space"
quiet "CREATE TABLESPACE space LOCATION '$c/space'"
made="server of \`$c/data\`: since session 7 tablespace $(sql "SELECT oid FROM
	pg_tablespace WHERE spcname = 'space'") was made at \`$c/space\`, which its \
WAL cannot bring into a copy"
refused "$made"
# One that is gone again would be made, and removed, where another may be by then.
quiet 'DROP TABLESPACE space'
refused "$made"
chain_full "$c"
quiet 'INSERT INTO t VALUES (3)'
for k in 1 2 3; do
	grow 2
	chain_add "$c" "$k"
done
ok "a tablespace that was made"

# ---- sets that are not applied ----
in_set() { find "$sets/$1/logs" -type f -printf '%f\n' | sort | sed -n "$2p"; }
lsn_of() { sed -n "s/.*\"$2\": \"\(.*\)\".*/\1/p" "$sets/$1/backup.json"; }
unapplied() { chain_refused corrupt "$1" "$chain_hint" apply "$r" "$sets/$2"; }
segment_end() {
	sql "SELECT pg_size_bytes('1MB') * ceil(('$1'::pg_lsn - '0/0') / 1048576)
		+ '0/0'::pg_lsn"
}
chain_restore 1 "$r"
unapplied "\`$sets/3\`: begins at $(lsn_of 3 start_lsn), and the WAL before it \
ends at $(segment_end "$(lsn_of 1 stop_lsn)"): a link between them is missing" 3
unapplied "\`$sets/1\`: begins at $(lsn_of 1 start_lsn), and the WAL before it \
goes beyond that: it was applied already, or is of another chain" 1
# Of another cluster, version, timeline, segment size.
other() {
	rm -rf "$sets/4" && cp -a "$sets/2" "$sets/4" &&
		sed -i "$1" "$sets/4/backup.json"
	unapplied "\`$sets/4\`: is not of this cluster: its $2" 4
}
other "s/$here/$there/" "system identifier is $there, not $here"
other 's/"major": 15/"major": 14/' 'version is 14, not 15'
other 's/"timeline": 1/"timeline": 2/' 'timeline is 2, not 1'
other 's/"wal_segment_bytes": 1048576/"wal_segment_bytes": 2097152/
	s|_lsn": "[^"]*"|_lsn": "0/10000000"|' \
	"segments' size is 2097152, not 1048576"
other 's/"wal_page_bytes": 8192/"wal_page_bytes": 16384/' \
	"WAL pages' size is 16384, not 8192"
# Its first record follows another one than the last that is there.
chain_restore 1 "$r"
f=$r/data/pg_wal/$(in_set 1 2)
n=$(stat -c %s "$sets/1/logs/$(in_set 1 1)")
cp "$sets/1/logs/$(in_set 1 1)" "$f"
[ "$(stat -c %s "$f")" = "$n" ] || fail "size"
before=$(in_set 1 '$')
head -c "$n" /dev/zero >"$r/data/pg_wal/$before"
! chain_run apply "$r" "$sets/2" && grep -q "^error corrupt: \`$sets/2\`: does not \
go on where the link before it ends: its first record follows one at \
[0-9A-F/]*$" "$tmp/chain.log" || fail "$(log)"
ok "links that are missing, repeated, or of another chain"

# Damage: each is seen by `check` and by `apply`.
damaged() {
	local what=$1
	rm -rf "$sets/4" && cp -a "$sets/2" "$sets/4"
	shift
	"$@" || fail "$what"
	chain_run check "$sets/4" && grep -q '^damaged ' "$tmp/chain.log" ||
		fail "$what: $(log)"
	chain_restore 1 "$r"
	! chain_run apply "$r" "$sets/4" && grep -q '^error corrupt: ' \
		"$tmp/chain.log" || fail "$what, applied: $(log)"
}
s=$(in_set 2 1)
e=$(in_set 2 '$')
[ "$s" != "$e" ] || fail "one segment only"
damaged "a record" sh -c "printf '\\1' | dd of='$sets/4/logs/$s' bs=1 seek=60 \
	conv=notrunc 2>/dev/null"
damaged "a page" sh -c "printf '\\1' | dd of='$sets/4/logs/$s' bs=1 seek=9 \
	conv=notrunc 2>/dev/null"
damaged "a segment that is gone" rm "$sets/4/logs/$e"
damaged "one that is short" truncate -s 1000000 "$sets/4/logs/$e"
damaged "one in another's place" cp "$sets/4/logs/$s" "$sets/4/logs/$e"
damaged "a link" ln -sf "$sets/2/logs/$e" "$sets/4/logs/$e"
damaged "the end" sed -i "s|\"$(lsn_of 2 stop_lsn)\"|\"$(lsn_of 3 stop_lsn)\"|" \
	"$sets/4/backup.json"
damaged "the begin" sed -i "s|\"$(lsn_of 2 start_lsn)\"|\"0/28\"|" \
	"$sets/4/backup.json"
damaged "the description" sed -i 's/"path": "data"/"path": "date"/' \
	"$sets/4/backup.json"
damaged "the system identifier" sed -i "s/$here/$there/" "$sets/4/backup.json"
ok "damaged links"

# What a server was started in is no copy any more.
chain_restore 1 "$r"
chain_start "$r"
chain_end "$r"
! chain_run apply "$r" "$sets/2" && grep -qx 'error corrupt: `global/pg_control`: names a checkpoint: without its backup_label this cluster would start and be wrong' \
	"$tmp/chain.log" || fail "$(log)"
ok "a cluster that was started"

# Recovery from an archive ends on a new timeline; the slot is the same.
base=3
cluster_stop "$c"
cluster_conf "$c" "restore_command = 'false'"
: >"$c/data/recovery.signal" && chown postgres: "$c/data/recovery.signal"
cluster_start "$c"
primary() { [ "$(sql 'SELECT pg_is_in_recovery()')" = f ]; }
wait_for 60 primary || fail "in recovery"
refused "server of \`$c/data\`: is on timeline 2, and session 7 is of timeline 1"
chain_refused pin-lost "server of \`$c/data\`: is not on the timeline of session 7, \
or is another cluster" 'Make a full session of the cluster as it is now.' \
	truncate "$c/data" "$sets/3.note" 7
chain_full "$c"
quiet 'INSERT INTO t VALUES (4)'
chain_add "$c" 1
chain_restore 1 "$r"
rm -f "$r/log"
chain_start "$r"
[ "$(cluster_psql "$r" -c 'SELECT max(i) FROM t')" = 4 ] || fail "timeline 2"
ok "another timeline; and a chain on that"
cluster_stop "$r"

# A role that may do what it needs, and one that may not end a segment.
quiet "CREATE ROLE backup LOGIN REPLICATION; GRANT pg_monitor TO backup;
	GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean) TO backup;
	GRANT EXECUTE ON FUNCTION pg_backup_stop(boolean) TO backup"
source="host=$c/sock port=5432 dbname=postgres user=backup"
"$PGASK" check "$source" >"$tmp/out" || fail "$(cat "$tmp/out")"
chain_refused no-access 'role `backup`: may not run pg_switch_wal()' \
	'Run as a superuser, in the database `postgres`: `GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO "backup";`.' \
	full "$source" "$tmp/spool" "$sets/role"
quiet 'GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO "backup"'
chain_run full "$source" "$tmp/spool" "$sets/role" || fail "$(log)"
chain_run add "$source" "$tmp/spool" "$sets/role1" "$sets/role.note" 1 ||
	fail "$(log)"
chain_run truncate "$source" "$sets/role1.note" 2 || fail "$(log)"
ok "a role needs one grant more, and is told so"
