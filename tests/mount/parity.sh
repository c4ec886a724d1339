#!/bin/bash
# SPDX-License-Identifier: MIT
# The tables that say what shows something: doc/parity.md, for both engines, and
# doc/postgres-rules.md. Each row has its tests, and each test that is named is
# one that is run.
set -u
: "${TOP:?}"
. "$(dirname "$0")/../lib/say.sh"

# shown CELL: what a cell names are tests; how many, in $named.
shown() {
	local test source
	case $1 in
	later | -) return ;;
	'') fail "nothing shows it: $row" ;;
	esac
	for test in ${1//\`/}; do
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
}

# table PAGE COLUMNS TESTED ROWS NAMED: each row has so many columns, of which the
# last TESTED name tests; there are so many rows and names at least.
table() {
	local page=$1 columns=$2 tested=$3 rows row cells i
	rows=$(grep '^|' "$TOP/doc/$page" | grep -vE '^\| (ESE|rule|---) ')
	[ "$(wc -l <<<"$rows")" -ge "$4" ] || fail "$page: $(wc -l <<<"$rows") rows"
	named=0
	while IFS= read -r row; do
		[ "$(tr -cd '|' <<<"$row" | wc -c)" = $((columns + 1)) ] ||
			fail "not $columns columns: $row"
		IFS='|' read -ra cells <<<"${row#|}"
		for ((i = columns - tested; i < columns; i++)); do
			shown "$(sed 's/^ *//; s/ *$//' <<<"${cells[i]}")"
		done
	done <<<"$rows"
	[ $named -ge "$5" ] || fail "$page: only $named tests"
	echo "ok - $page: $(wc -l <<<"$rows") rows, which name tests $named times"
	for word in later -; do
		echo "ok - $page: $(grep -c "| $word |" <<<"$rows") rows say '$word'"
	done
}

table parity.md 4 2 55 160
table postgres-rules.md 3 1 50 80

# A row of one engine's is not one of the other's: what tests PostgreSQL has pg in
# its name, or asks no engine at all.
while IFS='|' read -r _ ese _ sqlite _; do
	[[ $sqlite != */pg_* ]] || fail "PostgreSQL's test for SQLite: $ese"
done < <(grep '^|' "$TOP/doc/parity.md")
echo "ok - what tests PostgreSQL shows nothing of SQLite"
