#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual pages: well-formed, and complete against the program.
set -u
: "${STILLFS:?}" "${MANDIR:?}"
fail() {
	echo "not ok - $*"
	exit 1
}

if command -v mandoc >/dev/null; then
	for page in "$MANDIR"/*.[1-8]; do
		# Pages of ours that are not installed here are no mistake.
		mandoc -Tlint -Wwarning "$page" >/tmp/stillfs-lint.$$ ||
			{ cat /tmp/stillfs-lint.$$; rm /tmp/stillfs-lint.$$; fail "$page"; }
		rm -f /tmp/stillfs-lint.$$
	done
	echo "ok - mandoc finds nothing wrong"
elif [ "${STILL_CI:-0}" = 1 ]; then
	fail "cannot skip in CI: no mandoc"
else
	echo "skip - no mandoc"
fi
"$STILLFS" --help | sed -n '/^options/,$p' | sed -n 's/^  \([a-z_]*\).*/\1/p' |
	while read -r name; do
		grep -qE "^\.It (Cm|Fl|Ic) .*$name" "$MANDIR/stillfs.1" ||
			fail "stillfs(1) does not describe $name"
	done || exit 1
echo "ok - stillfs(1) has every option"
for word in COPIED unread partial corrupt incomplete forced 'pin lost' 'not frozen'; do
	grep -q "$word" "$MANDIR/stillfs.1" || fail "stillfs(1) lacks '$word'"
done
echo "ok - stillfs(1) has every outcome"
