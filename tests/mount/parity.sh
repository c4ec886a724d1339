#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of doc/parity.md: each row says what shows it, and each test that is
# named there is one that is run.
set -u
: "${TOP:?}"
page=$TOP/doc/parity.md
fail() {
	echo "not ok - $*"
	exit 1
}

# The rows, but for heads and lines.
rows=$(grep '^|' "$page" | grep -vE '^\| (ESE|---) ')
[ "$(wc -l <<<"$rows")" -ge 55 ] || fail "rows: $(wc -l <<<"$rows")"
named=0
while IFS= read -r row; do
	[ "$(tr -cd '|' <<<"$row" | wc -c)" = 4 ] || fail "not three columns: $row"
	shown=${row% |}
	shown=${shown##*| }
	case $shown in
	later | -) continue ;;
	esac
	for test in ${shown//\`/}; do
		named=$((named + 1))
		case $test in
		tests/*/*.sh) source=$TOP/$test ;;
		tests/*/*) source=$TOP/$test.c ;;
		*) fail "neither a test nor \`later\`: $row" ;;
		esac
		[ -e "$source" ] || fail "there is no $test"
		grep -qE "^[[:space:]]$test( \\\\)?\$" "$TOP/tests/Makemodule.am" \
			"$TOP/tests/unit.am" || fail "$test is not run"
	done
done <<<"$rows"
[ $named -ge 60 ] || fail "only $named tests"
echo "ok - $(wc -l <<<"$rows") rows, which name tests $named times"
for word in later -; do
	echo "ok - $(grep -c "| $word |\$" <<<"$rows") rows say '$word'"
done
