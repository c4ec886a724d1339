# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# How the tests that are scripts say what they find, and wait for what they expect.
#
# STILL_CI=1: what cannot be tested here is a failure, not a skip.

ok() { echo "ok - $*"; }
fail() {
	echo "not ok - $*"
	exit 1
}
skip() {
	[ "${STILL_CI:-0}" = 1 ] && fail "cannot skip in CI: $*"
	echo "skip - $*"
	exit 77
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}
