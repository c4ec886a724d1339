#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016
# A cluster by each of its names, through stillfs, mount(8), fstab and stillctl;
# and a password in any of them: refused at once, and repeated nowhere.
. "$(dirname "$0")/../lib/system.sh"
. "$(dirname "$0")/../lib/cluster.sh"

c=${tmp:?}/c
cluster_new "$c"
cluster_start "$c"
cluster_psql "$c" -c "CREATE ROLE app LOGIN REPLICATION PASSWORD 'verrueckt'" \
	-c "GRANT pg_monitor TO app" \
	-c "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean),
		pg_backup_stop(boolean) TO app" || fail "role"
cluster_hba "$c" 'local all app scram-sha-256' 'local all all trust'
(umask 077 && echo '*:*:*:app:verrueckt' >"$tmp/pass")
printf '[shop]\nhost=%s\nport=5432\nuser=postgres\ndbname=postgres\n' \
	"$c/sock" >"$tmp/services"
export PGSERVICEFILE=$tmp/services
ln -s "$c/data" "$tmp/link"

# ---- every name ----------------------------------------------------------------
uri=postgresql://postgres@${c//\//%2F}%2Fsock:5432/postgres
sources=("$c/data" "$tmp/link" "$uri" "${uri/postgresql:/postgres:}"
	"postgresql:///?host=$c/sock&user=postgres" "host=$c/sock user=postgres"
	"service=shop" "host=$c/sock user=app passfile=$tmp/pass")
# In the mount table stands the data directory, whatever was named.
named() {
	[ "$(findmnt -no SOURCE,FSTYPE "$mnt" | tr -s ' ')" = \
		"$c/data fuse.stillfs" ] || fail "$1: $(findmnt -n "$mnt")"
	grep -q '"engine": "postgres"' "$mnt/status.json" || fail "$1: engine"
	grep -qF "\"source\": \"$c/data\"" "$mnt/status.json" || fail "$1: source"
}
for source in "${sources[@]}"; do
	start_fs "$source"
	named "$source"
	[ -s "$mnt/backup/data/PG_VERSION" ] || fail "$source: no tree"
	stop_fs 'ABORTED(unread)'
	ok "stillfs $source"
done
[ "$(stillctl list --state "$state" --json "$c/data" | grep -c '"id"')" = \
	${#sources[@]} ] || fail "they are not one source"
ok "all are one source in the catalog"

start_fs "$c/data"
[ -s "$mnt/backup/data/PG_VERSION" ] || fail "no tree"
ctl 4 backup --create --state "$state" "$uri" "$tmp/second"
ctl_complains "source \`$c/data\`: has a session at \`$mnt\`"
[ ! -e "$tmp/second" ] || fail "something is stored"
cat "$mnt/backup/data/PG_VERSION" >/dev/null || fail "the first was disturbed"
ctl 0 abort "$mnt"
stop_fs 'ABORTED(by caller)'
ok "a second session by another name: busy, and the first goes on"

# ---- by whom -------------------------------------------------------------------

# The owner needs nobody's help. Programs are where that user may enter.
mkdir -m 700 "$tmp/own" "$tmp/own/spool" "$tmp/own/mnt"
chown -R postgres: "$tmp/own"
install -m 755 "${program:?}" "$tmp/owners-stillfs"
install -m 755 "$STILLCTL" "$tmp/owners-stillctl"
owner() (cd / && exec runuser -u postgres -- "$@" 7>&- 8>&- </dev/null)
owner "$tmp/owners-stillctl" backup --create --state "$tmp/own/state" \
	--spool "$tmp/own/spool" "$c/data" "$tmp/own/set" >"$tmp/out" 2>&1 ||
	fail "$(cat "$tmp/out")"
grep -q 'verified; COMMITTED' "$tmp/out" || fail "$(cat "$tmp/out")"
[ -z "$(find "$tmp/own" ! -user postgres)" ] || fail "files of others"
ctl 0 verify "$tmp/own/set"
if owner test -w /dev/fuse; then
	owner "$tmp/owners-stillfs" "$c/data" "$tmp/own/mnt" \
		-o "state=$tmp/own/state,spool=$tmp/own/spool" || fail "the owner's mount"
	[ "$(owner cat "$tmp/own/mnt/backup/data/PG_VERSION")" = \
		"$(cat "$c/data/PG_VERSION")" ] || fail "the owner reads nothing"
	owner fusermount3 -u "$tmp/own/mnt" || fail "fusermount3"
	away "$tmp/own/mnt"
fi
ok "the owner backs up, and mounts"

# Whoever may not look into the cluster may not look into the mount.
start_fs "$c/data" -o allow_other
ls "$mnt/backup/data" >"$tmp/out" || fail "root may not"
cat "$mnt/backup/backup.json" >"$tmp/out" || fail "root may not"
for path in "" /backup /backup/backup.json /backup/data/PG_VERSION /status \
	/status.json /metrics /events; do
	setpriv --reuid=65534 --regid=65534 --clear-groups cat "$mnt$path" \
		>"$tmp/out" 2>"$tmp/err" && fail "nobody reads $path"
	[ ! -s "$tmp/out" ] && grep -q 'Permission denied' "$tmp/err" ||
		fail "$path: $(cat "$tmp/out" "$tmp/err")"
done
ctl 0 abort "$mnt"
stop_fs 'ABORTED(by caller)'
ok "with allow_other nobody sees what only the owner may"

# As it stands in the background: where we are matters to no name.
(cd "$c" && stillfs data "$mnt") || fail "relative"
named relative
umount "$mnt"
away "$mnt"
ok "a relative PGDATA"

# By mount(8), and by fstab, where a blank is \040.
for source in "${sources[@]}"; do
	mount -t fuse.stillfs "$source" "$mnt" || fail "mount -t $source"
	named "mount $source"
	umount "$mnt"
	away "$mnt"
	echo "${source// /\\040} $mnt fuse.stillfs noauto 0 0" >"$tmp/fstab"
	mount -T "$tmp/fstab" "$mnt" || fail "fstab: $source"
	named "fstab: $source"
	# What fstab says is known as a name of the mount.
	for name in "$mnt" "$c/data" "$source"; do
		STILLCTL_FSTAB=$tmp/fstab ctl 0 status "$name"
		ctl_says 'state:     idle'
	done
	umount "$mnt"
	away "$mnt"
	ok "mount and fstab: $source"
done

# The only instance of fstab is meant where none is named. What else was mounted
# when this namespace was made is none here.
findmnt -t fuse.stillfs -rno TARGET | while read -r other; do
	umount -l "$other"
done
echo "service=shop $mnt fuse.stillfs noauto 0 0" >"$tmp/fstab"
mkdir "$tmp/dest"
STILLCTL_FSTAB=$tmp/fstab ctl 0 backup "$tmp/dest"
ctl_says COMMITTED
grep -qF '"source": "'"$c/data"'"' "$tmp/dest/full/backup.json" ||
	fail "backup.json: source"
for source in "$c/data" "host=$c/sock user=app passfile=$tmp/pass" "$uri"; do
	rm -rf "$tmp/dest"
	ctl 0 backup --create "$source" "$tmp/dest"
	ctl_says COMMITTED
	# The next list is of no session.
	ctl 0 check "$source"
	ctl_says "source:    $c/data (postgres 15" 'a backup would succeed'
done
ok "stillctl backup and check"

# ---- none of its names ---------------------------------------------------------
make_db "$src/app.db" 4096 10
# refused TEXT COMMAND...
refused() {
	local text=$1 status=0
	shift
	timeout 60 "$@" >"$tmp/out" 2>&1 || status=$?
	[ "$status" = 1 ] || fail "$*: status $status: $(cat "$tmp/out")"
	grep -qF -- "$text" "$tmp/out" || fail "$*: $(cat "$tmp/out")"
}
refused "source \`$src\`: is neither a PGDATA nor a connection string" \
	stillfs -o engine=postgres "$src" "$mnt"
refused "source \`$src/app.db\`: is neither a PGDATA nor" \
	stillctl check --engine postgres "$src/app.db"
refused "source \`$c/data\`: " stillfs -o engine=sqlite "$c/data" "$mnt"
refused 'source: no engine knows this kind of source' \
	stillfs -o engine=sqlite service=shop "$mnt"
refused 'source: no engine knows this kind of source' \
	stillfs "hots=$c/sock pw=geheim" "$mnt"
refused 'source: no engine knows this kind of source' \
	stillfs "mysql://localhost/" "$mnt"
refused 'engine `postgre`: is not one of: ' \
	stillfs -o engine=postgre "$c/data" "$mnt"
refused 'definition of service "shup" not found' stillfs service=shup "$mnt"
ok "another engine's source, and nobody's"

# ---- secrets -------------------------------------------------------------------
secrets=(
	"postgresql://postgres:geheim@localhost/" "postgres://:geheim@/"
	"postgresql:/postgres:geheim@localhost" "postgresql://h/?password=geheim"
	"postgresql://h/?pass%77ord=%67eheim" "postgresql://h/?sslpassword=geheim"
	"host=$c/sock password=geheim" "host=h password = 'geheim'"
	"service=shop password=geheim" "password=geheim"
	"hots=x password=geheim" "mysql://root:geheim@localhost/"
)
silent() {
	! grep -qa heim "$tmp/out" || fail "$*: repeats it: $(cat "$tmp/out")"
}
# secret WANT-STATUS COMMAND...
secret() {
	local want=$1 status=0
	shift
	timeout 60 "$@" >"$tmp/out" 2>&1 || status=$?
	silent "$@"
	[ "$status" = "$want" ] || fail "$*: $status: $(cat "$tmp/out")"
	grep -qF 'there is a password or another secret in it' "$tmp/out" ||
		fail "$*: $(cat "$tmp/out")"
	for word in passfile= service= peer; do
		grep -qF "$word" "$tmp/out" || fail "$*: does not name $word"
	done
}
for source in "${secrets[@]}"; do
	secret 2 stillfs "$source" "$mnt"
	secret 2 stillfs -f "$source" "$mnt"
	secret 2 stillfs -o engine=postgres "$source" "$mnt"
	# One that was torn at its blanks, and stands where it does not belong.
	secret 2 stillfs "$mnt" "$source"
	secret 2 stillfs "$c/data" "$mnt" "$source"
	for verb in check status begin commit abort umount list verify; do
		secret 2 stillctl $verb "$source"
		secret 2 stillctl $verb --json "$source"
	done
	secret 2 stillctl "$source"
	secret 2 stillctl backup "$source" "$tmp/dest"
	secret 2 stillctl backup --json "$source" "$tmp/dest"
	secret 2 stillctl backup "$tmp/dest" "$source"
	secret 2 stillctl restore "$source" "$tmp/dest"
	# What mount.fuse3(8) makes of our status is its own affair.
	timeout 60 mount -t fuse.stillfs "$source" "$mnt" >"$tmp/out" 2>&1 &&
		fail "mount -t $source"
	silent "mount -t $source"
	# In fstab it is too late, but we need not repeat it.
	echo "${source// /\\040} $mnt fuse.stillfs noauto 0 0" >"$tmp/fstab"
	mount -T "$tmp/fstab" "$mnt" >"$tmp/out" 2>&1 && fail "fstab $source"
	silent "fstab $source"
	for verb in check status list begin umount "backup $tmp/dest"; do
		# shellcheck disable=SC2086
		STILLCTL_FSTAB=$tmp/fstab stillctl $verb >"$tmp/out" 2>&1
		silent "with fstab: $verb"
		# shellcheck disable=SC2086
		STILLCTL_FSTAB=$tmp/fstab stillctl $verb --json >"$tmp/out" 2>&1
		silent "with fstab: $verb --json"
	done
done
[ -z "$(findmnt -n "$mnt")" ] || fail "something is mounted"
ok "a secret in any of them: exit 2, and not repeated"

# A password that is where it may be is repeated neither.
rm -rf "$tmp/dest"
start_fs "host=$c/sock user=app passfile=$tmp/pass" -o spool="$tmp"
ls "$mnt/backup" >"$tmp/out"
ctl 0 abort "$mnt"
ctl 0 backup --create "$mnt" "$tmp/dest"
cat "$mnt/status" "$mnt/status.json" "$mnt/metrics" "$mnt/events" "$log" \
	/proc/self/mountinfo "/proc/$fs_pid/cmdline" "$tmp/ctl.out" \
	"$tmp/ctl.err" "$tmp/dest/full/backup.json" >"$tmp/out"
umount "$mnt" || fail umount
wait_fs
cat "$state"/* /var/lib/stillfs/* >>"$tmp/out" 2>/dev/null
grep -qa COMMITTED "$tmp/out" || fail "nothing was looked at"
! grep -qaE 'verrueckt|heim' "$tmp/out" || fail "a secret stands somewhere"
# A directory may be called as it likes.
mkdir "$src/password=x"
make_db "$src/password=x/a:b@c.db" 4096 10
ctl 0 check "$src/password=x"
(cd "$src" && ctl 0 check "password=x")
start_fs "$src/password=x"
[ -s "$mnt/backup/data/a:b@c.db" ] || fail "no file"
umount "$mnt" || fail umount
wait_fs
ok "nor is one that is where it may be; a path is no password"
