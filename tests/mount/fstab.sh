#!/bin/bash
# SPDX-License-Identifier: MIT
# The lines for fstab in doc/mounting.md, as they stand there but for the paths:
# each is mounted by mount(8), copied from, and unmounted. What systemd makes of
# them is asked of its own generator.
. "$(dirname "$0")/../lib/system.sh"

page=$TOP/doc/mounting.md
mkdir "$tmp/m" "$tmp/net" "$tmp/data" "$tmp/data/mnt" "$tmp/data/shared"
make_db "$src/app.db" 4096 50
make_db "$tmp/net/far.db" 4096 50
mkdir "$tmp/data/own"
make_db "$tmp/data/own/own.db" 4096 50
chown -R $user "$tmp/data"
mkdir -m 700 "$tmp/state2" "$tmp/spool2"

# Every line of the page that mount(8) would read, with places of ours.
grep -E '^    [^ ]+ +[^ ]+ +fuse\.stillfs ' "$page" | sed -e 's/^    //' \
	-e "s|/var/lib/shop|$src|g" -e "s|/mnt/shop|$mnt|" \
	-e "s|/net/disk/shop|$tmp/net|" -e "s|/srv/stillfs|$tmp/state2|" \
	-e "s|/srv/spool|$tmp/spool2|" \
	-e "s|/home/ann/data |$tmp/data/own |" \
	-e "s|/home/ann/|$tmp/data/|" >"$tmp/lines"
n=$(wc -l <"$tmp/lines")
[ "$n" -ge 7 ] || fail "only $n lines in $page"
for word in noauto nofail user, _netdev x-systemd.automount \
	x-systemd.idle-timeout= x-systemd.requires-mounts-for= lease= stall= \
	state= spool= spool_max= wal_max=; do
	grep -q -- "$word" "$tmp/lines" || grep -q -- "${word%,} " "$tmp/lines" ||
		fail "no line with $word"
done
grep -qE '/(mnt|home|srv|net)/' "$tmp/lines" && fail "a path was forgotten"

# copied MOUNTPOINT [COMMAND...]: by whom
copied() {
	local where=$1
	shift
	rm -rf "$tmp/home/copy"
	"$@" cp -r "$where/backup" "$tmp/home/copy" || fail "cp from $where"
	check_set "$tmp/home/copy"
}

# In the words of the line, which must all come through to stillfs.
by_root() {
	local mountpoint=$1
	mount -T "$tmp/fstab" "$mountpoint" || fail "mount: $(cat "$tmp/fstab")"
	grep -q " $mountpoint fuse.stillfs ro,nosuid,nodev" /proc/self/mounts ||
		fail "not ro,nosuid,nodev: $(cat "$tmp/fstab")"
	copied "$mountpoint"
	umount "$mountpoint" || fail umount
	away "$mountpoint"
}
by_user() {
	local mountpoint=$1
	# mount(8) takes no other file from an ordinary user.
	mount --bind "$tmp/fstab" /etc/fstab || fail "no fstab"
	as_user mount "$mountpoint" || fail "as a user: $(cat "$tmp/fstab")"
	copied "$mountpoint" as_user
	ls "$mountpoint" >/dev/null 2>&1
	[ $? = "$2" ] || fail "root, in the mount of a user: not $2"
	as_user umount "$mountpoint" || as_user fusermount3 -u "$mountpoint" ||
		fail "umount as a user"
	away "$mountpoint"
	umount /etc/fstab
	[ -d "$tmp/home/.local/state/stillfs" ] || fail "no catalog of the user"
}

# As udev makes it on every installed system; fusermount3 opens it for the user.
fuse_mode=$(stat -c %a /dev/fuse)
chmod 666 /dev/fuse
echo user_allow_other >"$tmp/fuse.conf"
while read -r line; do
	echo "$line" >"$tmp/fstab"
	read -r _ mountpoint _ options _ <<<"$line"
	case ,$options, in
	*,user,*allow_other,*)
		mount --bind "$tmp/fuse.conf" /etc/fuse.conf || fail "fuse.conf"
		by_user "$mountpoint" 0
		umount /etc/fuse.conf
		;;
	*,user,*) by_user "$mountpoint" 2 ;;
	*,state=*)
		by_root "$mountpoint"
		[ -e "$tmp/state2/catalog.db" ] || fail "not in state="
		[ "$(stillctl list --json --state "$tmp/state2" "$mountpoint" |
			grep -c '"COPIED"')" = 1 ] || fail "no COPIED in state="
		;;
	*)
		by_root "$mountpoint"
		ended "$mountpoint" COPIED
		;;
	esac
	ok "$options"
done <"$tmp/lines"
chmod "$fuse_mode" /dev/fuse

# All at once: what is `noauto` stays away, the rest comes.
grep -v ',user' "$tmp/lines" >"$tmp/fstab"
mount -a -T "$tmp/fstab" || fail "mount -a"
n=$(grep -c " $tmp/.* fuse.stillfs " /proc/self/mountinfo)
[ "$n" = 1 ] || fail "mount -a: $n mounts"
umount "$mnt"
away "$mnt"
ok "mount -a mounts what is not noauto"

# systemd. With `nofail`, nothing of the boot requires the mount.
generator=/lib/systemd/system-generators/systemd-fstab-generator
[ -x $generator ] || skip "no systemd"
unit=$(systemd-escape -p --suffix=mount "$mnt")
while read -r line; do
	read -r _ _ _ options _ <<<"$line"
	echo "$line" >"$tmp/fstab"
	rm -rf "$tmp/units"
	mkdir "$tmp/units"
	SYSTEMD_FSTAB=$tmp/fstab $generator "$tmp/units" "$tmp/units" \
		"$tmp/units" || fail "the generator: $line"
	[ -e "$tmp/units/$unit" ] || fail "no unit: $line"
	for name in "$tmp/units"/*mount; do
		systemd-analyze verify --man=no "$name" >"$tmp/out" 2>&1 ||
			fail "$name: $(cat "$tmp/out")"
		[ ! -s "$tmp/out" ] || fail "$name: $(cat "$tmp/out")"
	done
	case $options in
	*x-systemd.automount*)
		grep -qx 'TimeoutIdleSec=30min' "$tmp/units/${unit%mount}automount" ||
			fail "no idle time: $line"
		;;
	*nofail*x-systemd.requires-mounts-for*)
		[ -e "$tmp/units/local-fs.target.wants/$unit" ] ||
			fail "the boot does not mount it: $line"
		grep "^RequiresMountsFor=" "$tmp/units/$unit" | grep -qw "$src" ||
			fail "the source may come later: $(cat "$tmp/units/$unit")"
		;;
	esac
	[ ! -e "$tmp/units/local-fs.target.requires/$unit" ] ||
		fail "the boot hangs on it: $line"
done < <(grep "$mnt" "$tmp/lines")
ok "systemd makes units of the lines, and no boot hangs on one"
