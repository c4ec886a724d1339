#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual pages: well-formed, and complete against the program.
set -u
: "${STILLFS:?}" "${MANDIR:?}" "${METRICS:?}" "${TOP:?}"
. "$(dirname "$0")/../lib/say.sh"

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
		grep -qE "^\.It Cm $name( |\$)" "$MANDIR/stillfs.1" ||
			fail "stillfs(1) does not describe $name"
	done || exit 1
echo "ok - stillfs(1) has every option"
# Each outcome by its own name, in the list of outcomes.
told=$("$METRICS" --print |
	sed -n 's/^stillfs_sessions_total{.*outcome="\(.*\)".*/\1/p' | sort)
listed=$(sed -n '/^\.Ss Outcomes/,/^\.Ss Errors/p' "$MANDIR/stillfs.1" |
	sed -n 's/^\.It Li "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' |
	sed 's/(partial: .*)/(partial)/' | sort)
[ -n "$told" ] && [ "$told" = "$listed" ] ||
	fail "outcomes: the program has $told, stillfs(1) has $listed"
echo "ok - stillfs(1) has every outcome"
# The names of events that stand in the sources as they are.
names=$(cat "$TOP"/src/core/*.c "$TOP"/fs/*.c | tr -s '\n\t ' ' ' |
	grep -oE 'still_events_add\([^;"]*STILL_LEVEL_[A-Z]*, "[a-z-]*"' |
	sed 's/.*"\(.*\)"/\1/' | sort -u)
[ "$(echo "$names" | wc -l)" -ge 10 ] || fail "no events in the sources"
for name in $names; do
	grep -q "^\.It Cm $name Pq" "$MANDIR/stillfs-events.5" ||
		fail "stillfs-events(5) does not describe $name"
done
echo "ok - stillfs-events(5) has the events"
