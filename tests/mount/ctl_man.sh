#!/bin/bash
# SPDX-License-Identifier: MIT
# The pages of stillctl against the program: each verb has one, each option of a
# verb is in its page, each option in a page is one, and so are the exit codes.
set -u
: "${STILLCTL:?}" "${MANDIR:?}"
. "$(dirname "$0")/../lib/say.sh"
verbs=$("$STILLCTL" --help | sed -n '/^verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "$(wc -w <<<"$verbs")" = 11 ] || fail "eleven verbs: $verbs"

# "  -n, --limit=N   ..." -> "n limit N"; "- limit" without letter, or value.
of_help() {
	sed -nE 's/^  (-(.),|   ) --([a-z-]+)(=([^ ]+))? .*/\2 \3 \5/p' |
		sed 's/^ /- /; s/ *$//' | sort
}
# ".It Fl h , -help", ".It Fl n Ar n , Fl -limit Ar n", ".It Fl -verify Cm a | b"
# -> the same.
of_page() {
	sed -nE 's/^\.It (Fl ([a-z])( Ar [a-z]+)? , )?(Fl )?-([a-z-]+)( (Ar|Cm) (.*))?$/\2 \5 \8/p' "$1" |
		sed 's/^ /- /; s/ *$//; s/ | /|/g' | sort -u
}
upper() { awk '{if ($3 !~ /\|/) $3 = toupper($3); print}' | sed 's/ *$//'; }

for verb in $verbs; do
	page=$MANDIR/stillctl-$verb.1
	[ -e "$page" ] || fail "no page of $verb"
	help=$("$STILLCTL" "$verb" --help | of_help)
	[ "$(wc -l <<<"$help")" -ge 4 ] || fail "$verb --help: no options"
	diff <(echo "$help") <(of_page "$page" | upper) ||
		fail "$page and stillctl $verb --help differ"
	grep -q "^\.Xr stillctl-$verb 1" "$MANDIR/stillctl.1" ||
		fail "stillctl(1) does not name $verb"
	grep -q "^\.It Cm $verb\$" "$MANDIR/stillctl.1" ||
		fail "stillctl(1) does not list $verb"
	# The line of --help says what the page is called.
	summary=$("$STILLCTL" --help | sed -n "s/^  $verb *//p")
	grep -qxF ".Nd $summary" "$page" || fail "$page is not called: $summary"
	for option in $(sed -nE 's/^\.It .*Fl -([a-z-]+).*/\1/p' "$page"); do
		case $option in help | quiet) continue ;; esac
		grep -qE "^\.Op Fl (-$option|n)( |\$)|^\.Op Fl [a-z]*${option:0:1}[a-z]*\$" \
			"$page" || fail "$page: synopsis lacks $option"
	done
done
ok_pages=$(find "$MANDIR" -name 'stillctl-*.1' | wc -l)
[ "$ok_pages" = 11 ] || fail "a page without a verb"
echo "ok - each option is in its page, and each page's in the program"

for option in help json quiet state; do
	grep -qE "^\.It Fl (. , )?-$option" "$MANDIR/stillctl.1" ||
		fail "stillctl(1) lacks --$option"
done
codes=$("$STILLCTL" --help | tr '\n' ' ' |
	sed 's/.*Exit status: \(.*\)\. See.*/\1/' | grep -oE '[0-9]+' | sort -n)
[ "$codes" = "$(seq 0 6)" ] || fail "exit codes: $codes"
for code in $codes; do
	sed -n '/^\.Sh EXIT STATUS/,/^\.El/p' "$MANDIR/stillctl.1" |
		grep -qx "\.It $code" || fail "stillctl(1) lacks exit $code"
done
for verb in $verbs; do
	for code in $(sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It //p' \
		"$MANDIR/stillctl-$verb.1"); do
		grep -qx "$code" <<<"$codes" || fail "$verb: exit $code"
	done
done
echo "ok - the exit codes are those of the pages"
