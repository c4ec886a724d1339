# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What tables of damages to a set share. A test sources this behind mount.sh,
# makes a set in $intact, and has rows: for each a fresh copy in $set is damaged
# in one way, and then `stillctl verify` must end with 5 and say what the row
# says, all of it and nothing else, for people and in JSON.
#
#	ROWS   a regular expression: only the rows whose damage matches

intact=$tmp/intact
set=$tmp/set
list=$set/verify/XXH128SUMS
json=$set/backup.json

# --- What verify says.

# verify STATUS [OPTION...]: of $set; its flaws stand in $tmp/flaws, as people
# and as programs get them.
verify() {
	local status=$1
	shift
	ctl "$status" verify "$@" "$set"
	sed -n 's/^damaged:   //p' "$tmp/ctl.out" >"$tmp/flaws"
	ctl "$status" verify --json "$@" "$set"
	tail -n 1 "$tmp/ctl.out" | python3 -c '
import json, sys
o = json.load(sys.stdin)
assert o["event"] == "done" and o["ok"] == (not o["flaws"])
assert o["flaws_total"] == len(o["flaws"])
for f in o["flaws"]:
    assert f["code"] in ("corrupt", "io", "no-access", "unsupported"), f
    assert f.get("path", f.get("encoded_path")), f
    print(f["text"])' >"$tmp/flaws.json" || fail "the JSON is wrong"
	cmp "$tmp/flaws" "$tmp/flaws.json" || fail "the JSON says something else"
}
fresh() {
	rm -rf "$set"
	cp -a "$intact" "$set"
}
intact() {
	verify 0
	[ ! -s "$tmp/flaws" ] || fail "flaws of what is whole: $(cat "$tmp/flaws")"
}

# row DAMAGE TEXT...: the flaws, in the order of their paths; one that ends in *
# stands for whatever follows.
rows=0
row() {
	local damage=$1 text got i=0
	shift
	[[ $damage =~ ${ROWS:-} ]] || return 0
	fresh
	[ "$rows" = 0 ] || verify 0 --quick
	[ "$rows" != 0 ] || intact
	(cd "$set" && eval "$damage") || fail "cannot: $damage"
	verify 5
	mapfile -t got <"$tmp/flaws"
	[ ${#got[@]} = $# ] ||
		{ cat "$tmp/flaws"; fail "$damage: ${#got[@]} flaws, not $#"; }
	for text; do
		# shellcheck disable=SC2053
		[ "${got[i]}" = "$text" ] ||
			[[ $text == *'*' && ${got[i]} == "${text%'*'}"* ]] ||
			fail "$damage: it says: ${got[i]}, and not: $text"
		i=$((i + 1))
	done
	ok "$damage: $1"
	rows=$((rows + 1))
}

# --- Damages. They run in the set.

flip() { # FILE OFFSET
	python3 - "$@" <<-'END'
		import sys
		with open(sys.argv[1], 'r+b') as f:
		    f.seek(int(sys.argv[2]))
		    byte = f.read(1)[0]
		    f.seek(int(sys.argv[2]))
		    f.write(bytes([byte ^ 1]))
	END
}
swap() {
	mv "$1" between && mv "$2" "$1" && mv between "$2"
}
edit_list() { sed -i "$1" "$list"; }
add_line() { printf '%s  %s\n' 00112233445566778899aabbccddeeff "$1" >>"$list"; }
edit_json() { sed -i "$1" "$json"; }
# Whoever changes a file and its sum, too, is found out by the engine only.
reseal() {
	sed 's/^.\{34\}//' "$list" | tr '\n' '\0' | xargs -0 xxhsum -H128 2>/dev/null |
		tr -d '\\' >sums
	mv sums "$list"
	(xxhsum -c verify/XXH128SUMS) >/dev/null 2>&1 || fail "reseal"
}

# --- What is said of them.

other() { printf '`%s`: its content is not what was backed up' "$1"; }
missing() { printf '`%s`: is missing' "$1"; }
extra() { printf '`%s`: is not in verify/XXH128SUMS: it was not backed up' "$1"; }
