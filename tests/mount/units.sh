#!/bin/bash
# SPDX-License-Identifier: MIT
# The units in examples/systemd. systemd finds nothing wrong with them, and the
# commands of the services, taken from the files, make a committed backup; when
# one of them fails, the session is given up, and older copies stay.
#
# There is no systemd here to run them. What it would do is done by run_unit: in
# order, with its rules for quotes, `$$`, `%`, with no new privileges, with the
# capabilities of the unit, and where ProtectSystem= and ReadWritePaths= say so
# with file systems that are read-only.
. "$(dirname "$0")/../lib/system.sh"

units=$TOP/examples/systemd
for tool in systemd-analyze rsync restic xxhsum; do
	command -v $tool >/dev/null || skip "no $tool"
done

# It tells of unknown words on standard error, with status 0.
verified() {
	systemd-analyze verify --man=no "$1" >"$tmp/out" 2>&1 && [ ! -s "$tmp/out" ]
}
for unit in "$units"/*; do
	verified "$unit" || fail "$unit: $(cat "$tmp/out")"
done
for word in Nice=high ProtectSytem=strict; do
	sed "s/^Nice=.*/$word/" "$units/stillfs-backup@.service" \
		>"$tmp/stillfs-bad@.service"
	verified "$tmp/stillfs-bad@.service" && fail "$word passes"
done
ok "systemd finds nothing wrong with the units, and would"

# Places: /mnt/NAME, /srv, /etc/restic are ours.
mkdir -p "$tmp/m/shop" "$tmp/srv/copies/shop" "$tmp/srv/restic" \
	"$tmp/etc/restic" "$tmp/run" "$tmp/cache"
mnt=$tmp/m/shop
copies=$tmp/srv/copies/shop
cat >"$tmp/etc/restic/shop" <<-END
	RESTIC_REPOSITORY=$tmp/srv/restic
	RESTIC_PASSWORD=test
END

# commands UNIT: `KEY COMMAND` for each command, in the order of the file, and
# other settings as KEY VALUE. The command is quoted for a shell.
commands() {
	python3 - "$1" "$tmp" <<'END'
import re, shlex, sys

unit, tmp = sys.argv[1:]
specifiers = {"i": "shop", "t": tmp + "/run", "C": tmp + "/cache", "%": "%"}

def expand(text):
    text = re.sub("%(.)", lambda m: specifiers[m.group(1)], text)
    # What stands for an environment variable is not used in these units.
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", text), text
    return text.replace("$$", "$")

for line in open(unit):
    line = line.rstrip("\n")
    assert not line.endswith("\\"), line
    if not line or line[0] in "#[":
        continue
    key, value = line.split("=", 1)
    value = expand(value)
    for place in "/mnt/shop", "/srv/", "/etc/restic/":
        to = tmp + ("/m/shop" if place == "/mnt/shop" else place)
        value = re.sub("(?<![a-z])" + place, to, value)
    if key.startswith("Exec"):
        assert value[0] not in "-@:+!|", value
        value = shlex.join(shlex.split(value))
    print(key, value)
END
}
setting() { sed -n "s/^$1 //p" "$tmp/commands"; }

# confined COMMAND: as the unit in $tmp/commands has it.
confined() {
	local caps writable
	caps=$(setting CapabilityBoundingSet | tr 'A-Z ' 'a-z,' |
		sed 's/cap_/+/g')
	writable="$tmp/run $tmp/cache $(setting ReadWritePaths)"
	[ "$(setting ProtectSystem)" = strict ] || fail "not ProtectSystem=strict"
	[ "$(setting NoNewPrivileges)" = yes ] || fail "not NoNewPrivileges="
	unshare -m bash -c '
		mount --rbind "$2" "$2" || exit
		for path in $1; do
			path=${path#-}
			mount --rbind "$path" "$path" || exit
		done
		for path in / /var/lib "$2"; do
			mount -o remount,bind,ro "$path" || exit
		done
		cd /
		shift 2
		exec "$@"' confined "$writable" "$tmp" \
		setpriv --no-new-privs --bounding-set "-all,$caps" \
		bash -c "umask $(setting UMask); $1"
}

# run_unit FILE: its exit status is that of the first command that fails.
run_unit() {
	local key command status=0 run
	commands "$units/$1" >"$tmp/commands" || fail "cannot read $1"
	run=$tmp/run/$(setting RuntimeDirectory)
	mkdir -p "$run"
	: >"$tmp/log.unit"
	(
		set -a
		for key in $(setting EnvironmentFile); do . "$key"; done
		# Of its own, and to write to.
		[ "$(setting PrivateTmp)" = yes ] && TMPDIR=$tmp/run
		for key in $(setting Environment); do eval "$key"; done
		set +a
		while read -r key command; do
			case $key in
			ExecStartPre | ExecStart) ;;
			*) continue ;;
			esac
			echo "+ $command" >&2
			confined "$command" || exit
		done <"$tmp/commands"
	) >>"$tmp/log.unit" 2>&1 </dev/null || status=$?
	while read -r key command; do
		[ "$key" = ExecStopPost ] || continue
		echo "+ $command" >>"$tmp/log.unit"
		confined "$command" >>"$tmp/log.unit" 2>&1 </dev/null ||
			fail "ExecStopPost fails: $(cat "$tmp/log.unit")"
	done <"$tmp/commands"
	rm -rf "$tmp/run"/*
	return $status
}
sessions() { stillctl list --json "$mnt" | grep -c '"outcome"'; }
sets() { find "$copies" -mindepth 1 -maxdepth 1 -name '20*' | sort; }
next_second() {
	local now
	now=$(date +%s)
	wait_for 3 eval '[ "$(date +%s)" != '"$now"' ]' || fail "time stands still"
}

# By the mount unit's own words.
make_db "$src/app.db" 4096 500
make_db "$src/idle.db" 4096 500
settled
commands "$units/mnt-shop.mount" >"$tmp/commands" || fail "the mount unit"
[ "$(setting Where)" = "$mnt" ] || fail "Where=$(setting Where)"
[ "$(setting What)" = /var/lib/shop ] || fail "What=$(setting What)"
setpriv --no-new-privs mount -t "$(setting Type)" -o "$(setting Options)" \
	"$src" "$mnt" || fail "the mount"
[ "$(grep -h '^Where=' "$units"/mnt-shop.* | sort -u | wc -l)" = 1 ] ||
	fail "mount and automount are of two places"
ok "the mount unit's words mount it, with no new privileges"

run_unit stillfs-backup@.service || fail "rsync: $(cat "$tmp/log.unit")"
ended "$mnt" COMMITTED
first=$(sets)
[ "$(echo "$first" | wc -l)" = 1 ] || fail "sets: $first"
check_set "$first"
ok "stillfs-backup@.service: a proven set, COMMITTED"

next_second
sqlite3 "$src/app.db" "UPDATE t SET b='new' WHERE a=1" || fail "the edit"
run_unit stillfs-backup@.service || fail "rsync: $(cat "$tmp/log.unit")"
ended "$mnt" COMMITTED
second=$(sets | tail -n 1)
[ "$(sets | wc -l)" = 2 ] && [ "$second" != "$first" ] || fail "no second set"
check_set "$first"
check_set "$second"
[ "$(sqlite3 "file:$second/data/app.db?immutable=1" \
	"SELECT b FROM t WHERE a=1")" = new ] || fail "not the new state"
[ "$first/data/idle.db" -ef "$second/data/idle.db" ] ||
	fail "what has not changed was copied again"
ok "the next run: another set, unchanged files are links, COMMITTED"

# No room: rsync fails in the middle.
n=$(sessions)
mount -t tmpfs -o size=64k none "$copies" || fail "tmpfs"
run_unit stillfs-backup@.service && fail "a full disk goes unnoticed"
grep -q 'No space left' "$tmp/log.unit" || fail "$(cat "$tmp/log.unit")"
umount "$copies"
ended "$mnt" "ABORTED(by caller)"
[ "$(sessions)" = $((n + 1)) ] || fail "not one session"
check_set "$first"
check_set "$second"
grep -q '^state: *ended' "$mnt/status" || fail "the session lasts"
ok "a copy that fails: ABORTED(by caller), the older sets are whole"

# Somebody else's session is not ours to give up.
ls "$mnt/backup" >/dev/null || fail "ls"
run_unit stillfs-backup@.service && fail "two sessions at once"
grep -q '^state: *serving' "$mnt/status" || fail "the other session was ended"
cp -r "$mnt/backup" "$tmp/other" || fail "the other session is disturbed"
check_set "$tmp/other"
stillctl abort -q "$mnt" || fail "abort"
ok "a run beside somebody else's session fails, and leaves that alone"

RESTIC_PASSWORD=test restic -q -r "$tmp/srv/restic" init >/dev/null ||
	fail "restic init"
for i in 1 2; do
	run_unit stillfs-restic@.service || fail "restic: $(cat "$tmp/log.unit")"
	ended "$mnt" COMMITTED
done
RESTIC_PASSWORD=test restic -q -r "$tmp/srv/restic" restore latest \
	--target "$tmp/restored" || fail "restic restore"
check_set "$tmp/restored$mnt/backup"
ok "stillfs-restic@.service: COMMITTED, and what it stored is a whole set"

n=$(sessions)
mv "$tmp/srv/restic/keys" "$tmp/srv/restic/keys.away"
run_unit stillfs-restic@.service && fail "a broken repository goes unnoticed"
mv "$tmp/srv/restic/keys.away" "$tmp/srv/restic/keys"
ended "$mnt" "ABORTED(by caller)"
[ "$(sessions)" = $((n + 1)) ] || fail "not one session"
ok "restic fails: ABORTED(by caller)"

umount "$mnt" || fail umount
away "$mnt"
ok "the mount ends"
