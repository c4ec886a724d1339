# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tests of a mount's place in the system share: a mount namespace of their
# own, where /usr/local/bin has our programs, /var/lib is empty and /run is
# nobody's. Sourced instead of mount.sh, before anything else.
#
# Environment: STILLCTL, TOP (the sources), and that of mount.sh.
[ -n "${STILL_NS:-}" ] || [ "$(id -u)" != 0 ] ||
	STILL_NS=1 exec unshare -m bash "$0" "$@"
: "${STILLCTL:?}" "${TOP:?}"
stillfs_program=$(realpath "$STILLFS")
. "$(dirname "${BASH_SOURCE[0]}")/mount.sh"

mkdir "$tmp/bin"
ln -s "$stillfs_program" "$tmp/bin/stillfs"
ln -s "$(realpath "$STILLCTL")" "$tmp/bin/stillctl"
mount --bind "$tmp/bin" /usr/local/bin || fail "no mount namespace"
mount -t tmpfs none /var/lib || fail "no tmpfs"
mount -t tmpfs none /run || fail "no tmpfs"
export PATH=/usr/local/bin:$PATH

# outcome_of MOUNTPOINT [N]: of the newest session there, or the Nth before it.
outcome_of() {
	stillctl list --json "$1" | python3 -c '
import json, sys
print(json.load(sys.stdin)[int(sys.argv[1])]["outcome"])' "${2:-0}"
}
# ended MOUNTPOINT OUTCOME: its newest session has it.
ended() {
	local got
	got=$(outcome_of "$1") || fail "stillctl list $1"
	[ "$got" = "$2" ] || fail "the outcome at $1 is '$got', not '$2'"
}
# Until the databases of the source are older than the two seconds in which their
# times are not believed.
settled() {
	wait_for 10 eval '[ $(($(date +%s) - $(stat -c %Z "$src"/*.db |
		sort -n | tail -n 1))) -gt 2 ]' || fail "the databases are not left alone"
}
daemon_at() { pgrep -f "^[^ ]*stillfs [^ ]* $1 "; }
# away MOUNTPOINT: no mount and no daemon, soon.
away() { wait_for 5 is_away "$1" || fail "$1 is still served"; }
is_away() { ! stillfs_at "$1" && ! daemon_at "$1"; }
stillfs_at() { grep -q " $1 .* - fuse.stillfs " /proc/self/mountinfo; }

# An ordinary user, and a home of his own, which the user database knows:
# mount(8) does not pass HOME on.
user=nobody
mkdir "$tmp/home"
chown $user "$tmp/home"
sed "s|^\($user:.*:\)[^:]*\(:[^:]*\)\$|\1$tmp/home\2|" /etc/passwd >"$tmp/passwd"
mount --bind "$tmp/passwd" /etc/passwd || fail "no user database"
[ "$(getent passwd $user | cut -d: -f6)" = "$tmp/home" ] || fail "no home"
as_user() {
	setpriv --reuid=$user --regid=nogroup --clear-groups env \
		-u XDG_STATE_HOME HOME="$tmp/home" PATH="$PATH" "$@"
}
