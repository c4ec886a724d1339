#!/bin/bash
# SPDX-License-Identifier: MIT
# By mount(8): -t fuse.stillfs, fstab lines, root and ordinary users; in the
# background, where the parent returns when the mount answers.
#
# mount(8) looks for its helpers in a path of its own and reads /etc/fstab; both
# are put in place in a mount namespace that ends with the test.
[ -n "${STILL_NS:-}" ] || [ "$(id -u)" != 0 ] ||
	STILL_NS=1 exec unshare -m bash "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/app.db" 4096 50
chmod 755 "$src"
bin=$tmp/bin
mkdir "$bin"
ln -s "$(realpath "$program")" "$bin/stillfs"
# The default state directory, of this namespace.
mount -t tmpfs none /var/lib || fail "no tmpfs"
mount --bind "$bin" /usr/local/bin || fail "no mount namespace"
export PATH=/usr/local/bin:$PATH

daemon_of() { pgrep -f "^[^ ]*stillfs $1 "; }
copied() {
	rm -rf "$tmp/copy"
	cp -r "$1/backup" "$tmp/copy" || fail "cp"
	check_set "$tmp/copy"
}

stillfs "$src" "$mnt" || fail "stillfs in the background"
# No waiting: it answers, or the parent lied.
grep -q '^state: *idle' "$mnt/status" || fail "the mount did not answer at once"
pid=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' "$mnt/status.json")
[ "$(ps -o sid= -p "$pid" | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ] ||
	fail "the daemon is in our session"
[ "$(readlink "/proc/$pid/fd/2")" = /dev/null ] || fail "stderr is kept"
[ "$(readlink "/proc/$pid/cwd")" = / ] || fail "the daemon keeps a directory busy"
copied "$mnt"
umount "$mnt"
wait_for 2 gone "$pid" || fail "the daemon is still there"
ok "in the background: mounted when the parent returns, gone after umount"

stillfs "$src" "$mnt" <&- >&- 2>&- || fail "without standard streams"
copied "$mnt"
umount "$mnt"
wait_for 2 eval '! daemon_of "$src"' || fail "the daemon is still there"
ok "standard streams that are closed do no harm"

stillfs "$src" "$mnt" -d >"$tmp/trace" 2>&1 &
trace=$!
wait_for 5 grep -q '^state' "$mnt/status" || fail "-d"
umount "$mnt"
wait $trace || fail "-d: exit status"
grep -q 'opcode: GETATTR' "$tmp/trace" || fail "no trace of requests"
ok "-d stays in the foreground and traces requests"

for i in 1 2 3 4 5 6 7 8 9 10; do
	stillfs "$src" "$mnt" || fail "mount $i"
	grep -q '^state' "$mnt/status" || fail "no answer $i"
	umount "$mnt" || fail "umount $i"
done
ok "ten mounts in a row, each answers at once"

mount -t fuse.stillfs -o ro,noauto,nofail,_netdev,threads=2 "$src" "$mnt" ||
	fail "mount -t fuse.stillfs"
grep " $mnt fuse.stillfs ro,nosuid,nodev" /proc/self/mounts >/dev/null ||
	fail "mount options: $(grep "$mnt" /proc/self/mounts)"
copied "$mnt"
umount "$mnt" || fail "umount"
ok "mount -t fuse.stillfs, as root: ro,nosuid,nodev"
mount -t fuse.stillfs -o rw,suid,dev "$src" "$mnt" || fail "mount -o rw"
grep " $mnt fuse.stillfs ro,nosuid,nodev" /proc/self/mounts >/dev/null ||
	fail "rw,suid,dev was believed"
umount "$mnt"
ok "rw, suid and dev are overridden"
mount -t fuse.stillfs -o wibble "$src" "$mnt" 2>"$tmp/err" && fail "-o wibble"
grep -q 'unknown option `wibble`' "$tmp/err" || fail "mount hides the message"
mount -t fuse.stillfs "$tmp/none" "$mnt" 2>"$tmp/err" && fail "no source"
grep -q 'No such file' "$tmp/err" || fail "mount hides the message"
ok "mount(8) passes refusals on"

user_mnt=$tmp/umnt
mkdir "$user_mnt"
cat >"$tmp/fstab" <<-EOF
	$src $mnt fuse.stillfs ro,noauto,nofail,x-systemd.automount 0 0
	$src $user_mnt fuse.stillfs noauto,user,x-gvfs-hide,state=$tmp/uhome/state 0 0
EOF
mount --bind "$tmp/fstab" /etc/fstab || fail "fstab"
mount "$mnt" || fail "by a line of fstab"
cp -r "$mnt/backup" "$tmp/fcopy" || fail "cp"
umount "$mnt" || fail "umount"
check_set "$tmp/fcopy"
ok "by a line of fstab, as root"

# An ordinary user: his own database, and his fusermount3.
user=nobody
as_user() { setpriv --reuid=$user --regid=nogroup --clear-groups env \
	HOME="$tmp/uhome" PATH="$PATH" "$@"; }
mkdir "$tmp/uhome" && chown $user "$tmp/uhome"
# As udev makes it on every installed system; fusermount3 opens it for the user.
fuse_mode=$(stat -c %a /dev/fuse)
chmod 666 /dev/fuse
mkdir "$tmp/usrc" && make_db "$tmp/usrc/own.db" 4096 50
chown -R $user "$tmp/usrc" "$user_mnt"
as_user stillfs "$tmp/usrc" "$user_mnt" || fail "as a user"
mkdir "$tmp/ucopy" && chown $user "$tmp/ucopy"
as_user cp -r "$user_mnt/backup" "$tmp/ucopy" || fail "cp as a user"
check_set "$tmp/ucopy/backup"
ls "$user_mnt" >/dev/null 2>&1 && fail "another user was let in"
as_user fusermount3 -u "$user_mnt" || fail "fusermount3 -u"
wait_for 2 eval '! daemon_of "$tmp/usrc"' || fail "the daemon is still there"
[ "$(stat -c %U "$tmp/usrc"/* | sort -u)" = $user ] || fail "owners of sidecars"
ok "an ordinary user mounts his own; nobody else gets in, not even root"

sed "s|^$src $user_mnt|$tmp/usrc $user_mnt|" "$tmp/fstab" >"$tmp/fstab2"
cat "$tmp/fstab2" >"$tmp/fstab"
mkdir "$tmp/usercopy" && chown $user "$tmp/usercopy"
as_user mount "$user_mnt" || fail "by fstab, as a user"
as_user cp -r "$user_mnt/backup" "$tmp/usercopy" || fail "cp"
as_user umount "$user_mnt" || as_user fusermount3 -u "$user_mnt" ||
	fail "umount as a user"
check_set "$tmp/usercopy/backup"
ok "by a line of fstab with \`user\`, as an ordinary user"

# Who may only read: while nobody has the database open, sidecars made by him
# would lock its owner out; with an application there, he reads beside it.
chown root "$tmp/usrc" "$tmp/usrc/own.db"
chmod 777 "$tmp/usrc"
chmod 644 "$tmp/usrc/own.db"
sqlite3 "$tmp/usrc/own.db" "SELECT count(*) FROM t" >/dev/null # tidies up
as_user stillfs "$tmp/usrc" "$user_mnt" || fail "as a reader"
as_user ls "$user_mnt/backup" 2>"$tmp/err" && fail "sidecars were made"
grep -qi 'permission denied' "$tmp/err" || fail "no EACCES: $(cat "$tmp/err")"
as_user grep -q 'nobody has it open, and it belongs to another user' \
	"$user_mnt/status" || fail "no reason in status"
[ "$(ls "$tmp/usrc")" = own.db ] || fail "sidecars: $(ls "$tmp/usrc")"
open_app "$tmp/usrc/own.db"
app "INSERT INTO t(b) VALUES('live');"
chmod 644 "$tmp/usrc"/own.db-*
rm -rf "$tmp/usercopy/backup"
as_user cp -r "$user_mnt/backup" "$tmp/usercopy" || {
	as_user cat "$user_mnt/status"
	fail "beside an application"
}
check_set "$tmp/usercopy/backup"
[ "$(sqlite3 "$tmp/usercopy/backup/data/own.db" \
	"SELECT count(*) FROM t WHERE b='live'")" = 1 ] || fail "not the live state"
as_user fusermount3 -u "$user_mnt"
app "INSERT INTO t(b) VALUES('after');"
close_app
ok "a user who may only read: refused on an idle database, served beside its application"
chmod "$fuse_mode" /dev/fuse
