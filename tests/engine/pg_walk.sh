#!/bin/bash
# SPDX-License-Identifier: MIT
# What is listed of a cluster at rest is what pg_basebackup takes of it: with a
# tablespace, an unlogged table, temporary tables, and things that are not the
# server's.
. "${TOP:?}/tests/lib/cluster.sh"
: "${CAPTURE:?}"

db=$tmp/db
cluster_new "$db"
mkdir "$tmp/space" && chown postgres: "$tmp/space" || fail "tablespace"
cluster_start "$db"
cluster_psql "$db" -c "CREATE TABLESPACE far LOCATION '$tmp/space'" ||
	fail "CREATE TABLESPACE"
cluster_psql "$db" -c "
	CREATE TABLE here AS SELECT g, repeat('x', 100) AS t FROM
		generate_series(1, 20000) g;
	CREATE INDEX ON here (g);
	CREATE TABLE there TABLESPACE far AS SELECT * FROM here;
	CREATE UNLOGGED TABLE volatile AS SELECT * FROM here;
	CREATE INDEX ON volatile (g);
	CREATE UNLOGGED TABLE volatile_there TABLESPACE far AS SELECT * FROM here;
" -c VACUUM || fail "tables"
cluster_psql "$db" -c "CREATE DATABASE other" || fail "CREATE DATABASE"
# A session that keeps temporary tables, in both places.
coproc session { cluster_psql "$db" 2>&1; }
# The shell forgets it as soon as the session is over.
session_pid=$session_PID
echo "CREATE TEMP TABLE t AS SELECT * FROM here;
CREATE TEMP TABLE t_there TABLESPACE far AS SELECT * FROM here;
SELECT 'made';" >&"${session[1]}"
read -r answer <&"${session[0]}"
[ "$answer" = made ] || fail "temporary tables: $answer"
base=$(echo "$db"/data/base/[0-9]* | tr ' ' '\n' | tail -n 1)
compgen -G "$db/data/base/*/t[0-9]*_*" >/dev/null || fail "no temporary files"
compgen -G "$tmp/space/PG_*/*/t[0-9]*_*" >/dev/null || fail "none far away"
compgen -G "$db/data/base/*/*_init" >/dev/null || fail "no unlogged files"

# Things of somebody else's.
data=$db/data
mkdir -p "$data/junk/pg_notify/deep" "$data/base/pgsql_tmp" "$data/log" \
	"$tmp/space/PG_9.6_201608131/1" "$tmp/space/junk"
for f in notes 16384 '*odd* name' .hidden current_logfiles.tmp backup_label.old \
	postgresql.auto.conf.tmp .DS_Store junk/1259 junk/t3_16400 \
	junk/pg_notify/deep/x base/pgsql_tmp/pgsql_tmp1.0 pgsql_tmp.x \
	log/postgresql.log global/pg_internal.init.99 global/99999 \
	global/t3_99999 "base/$(basename "$base")/t9_99999" \
	"base/$(basename "$base")/99999_vm.3" "base/$(basename "$base")/99999.bak" \
	"base/$(basename "$base")/x_init" base/12 pg_wal/junk \
	pg_wal/00000009.history pg_replslot/junk pg_stat_tmp/x pg_subtrans/0BAD; do
	echo "$f" >"$data/$f" || fail "$f"
done
echo x >"$tmp/space/junk/file"
echo x >"$tmp/space/PG_9.6_201608131/1/1"
ln -s /etc/hostname "$data/link"
ln -s /nowhere "$data/dangling"
mkfifo "$data/pipe"
chown -R postgres: "$data" "$tmp/space"
ok "there is a cluster with everything in it"

oid=$(cluster_psql "$db" -c "SELECT oid FROM pg_tablespace WHERE spcname = 'far'")
location=$(cluster_psql "$db" -c "SELECT pg_tablespace_location($oid)")
version=$(cluster_psql "$db" -c "SELECT 'PG_' ||
	current_setting('server_version_num')::int / 10000 || '_' ||
	catalog_version_no FROM pg_control_system()")
[ -d "$tmp/space/$version" ] || fail "the tablespace has no $version"
"$CAPTURE" list "$data" "$version" "$oid=$location" >"$tmp/list" \
	2>"$tmp/warned" || fail "list: $(cat "$tmp/list")"

# pg_basebackup's own: one tar for each tablespace.
mkdir "$tmp/tar" && chown postgres: "$tmp/tar"
cluster_run "$db" pg_basebackup -D "$tmp/tar" -Ft -X none -c fast --no-manifest \
	--no-verify-checksums \
	2>"$tmp/err" || fail "pg_basebackup: $(cat "$tmp/err")"
# Its base.tar holds what it makes itself, and the links of tablespaces.
names() {
	python3 - "$@" <<'PY'
import sys, tarfile
for path, prefix in zip(sys.argv[1::2], sys.argv[2::2]):
    for m in tarfile.open(path):
        name = m.name[2:] if m.name.startswith("./") else m.name
        if m.issym() or name in ("backup_label", "tablespace_map"):
            continue
        print("d" if m.isdir() else "f", prefix + "/" + name)
PY
}
{
	names "$tmp/tar/base.tar" data "$tmp/tar/$oid.tar" "tablespaces/$oid"
	# What it has no entries for.
	echo "d data"
	echo "d tablespaces/$oid"
	# It takes histories with WAL only.
	echo "f data/pg_wal/00000009.history"
} | sort >"$tmp/theirs"
sed 's/^r /f /' "$tmp/list" | sort >"$tmp/ours"
diff "$tmp/theirs" "$tmp/ours" || fail "the lists differ"
[ "$(wc -l <"$tmp/ours")" -gt 900 ] || fail "a short list"
ok "the list is that of pg_basebackup"

# pg_basebackup's WARNINGs name the same as ours.
for name in link dangling pipe; do
	grep -q "special file \"./$name\"" "$db/log" "$tmp/err" ||
		fail "pg_basebackup does not skip $name"
	grep -q "^skipped $name: " "$tmp/warned" || fail "not told of $name"
done
[ "$(wc -l <"$tmp/warned")" = 3 ] || fail "$(cat "$tmp/warned")"
ok "what is skipped is told"

# Files of pages are those whose pages the server itself checks, as far as they
# are its own: all relations that it knows by name and fork.
cluster_psql "$db" -d postgres -c "SELECT pg_relation_filepath(oid) FROM pg_class
	WHERE relkind IN ('r', 'i', 't', 'S', 'm') AND relpersistence = 'p'" |
	sed "s|^pg_tblspc/|tablespaces/|; t; s|^|data/|" | sort >"$tmp/known"
sed -n 's/^r //p' "$tmp/list" | sort >"$tmp/relations"
[ -z "$(comm -23 "$tmp/known" "$tmp/relations")" ] ||
	fail "no relations: $(comm -23 "$tmp/known" "$tmp/relations")"
grep '^r ' "$tmp/list" | grep -v '/[0-9]*\(_fsm\|_vm\|_init\)\?\(\.[0-9]*\)\?$' &&
	fail "files that are no relations"
ok "the relations are known"

exec {session[1]}>&-
wait "$session_pid" 2>/dev/null
echo "1..4"
