#!/bin/bash
# SPDX-License-Identifier: MIT
# What the shells complete of stillctl, tried in the shells.
. "$(dirname "$0")/../lib/mount.sh"

"$STILLCTL" completion bash >"$tmp/bash" || fail "no script for bash"
"$STILLCTL" completion zsh >"$tmp/_stillctl" || fail "no script for zsh"
bash -n "$tmp/bash" || fail "bash does not understand its script"

make_db "$src/app.db" 4096 5
odd="$tmp/a b\\c"
mkdir "$odd" "$tmp/dir"
"$STILLFS" "$src" "$odd" || fail mount
start_fs "$src"

# complete_bash WORD...: what bash offers for the last word, sorted.
complete_bash() {
	bash --norc -c '. "$1"; shift; COMP_WORDS=(stillctl "$@")
		COMP_CWORD=$#; complete -p stillctl >/dev/null || exit 1
		_stillctl; printf "%s\n" "${COMPREPLY[@]}"' bash "$tmp/bash" "$@" \
		2>"$tmp/bash.err" | LC_ALL=C sort
	[ -s "$tmp/bash.err" ] && { cat "$tmp/bash.err"; fail "bash complains"; }
}
offers() {
	local want=$1 got
	shift
	got=$(complete_bash "$@")
	[ "$got" = "$(tr ' ' '\n' <<<"$want")" ] || fail "$*: '$got', not '$want'"
}
offers '--help --version abort backup begin check commit list restore status truncate umount verify' ''
offers 'check commit' c
offers 'status' st
offers '--copy --help --incremental --json --quiet --state' begin -
offers '--all' list --a
offers '--good' list --all --g
offers '--force --freeze --freeze-ms' check --f
offers '--spool --spool-max' check --sp
offers '' check --spool-max ''
offers 'basic full quick' check --verify ''
offers 'full' check --verify = f
offers 'quick' check --verify = q
offers '' list --limit ''
offers "$tmp/dir" list --state "$tmp/d"
offers "$tmp/dir" list --state = "$tmp/d"
offers "$mnt" begin "$mnt"
got=$(complete_bash umount "$tmp/a")
[ "$(sort -u <<<"$got")" = "$odd" ] || fail "a mount of an odd name: $got"
got=$(complete_bash check "$src/a")
[ "$got" = "$src/app.db" ] || fail "a source: $got"
complete_bash status '' | grep -qxF "$mnt" || fail "no mountpoint"
ok "bash completes verbs, options, values, mountpoints and sources"

if ! command -v zsh >/dev/null; then
	[ "${STILL_CI:-0}" = 1 ] && fail "cannot skip in CI: no zsh"
	echo "# no zsh"
else
	zsh -n "$tmp/_stillctl" || fail "zsh does not understand its script"
	# A shell at a terminal of its own; what its completion adds is told by
	# the widget, word by word.
	cat >"$tmp/zsh.sh" <<'END_OF_ZSH'
zmodload zsh/zpty
fpath=($tmp $fpath)
zpty z zsh -f -i
zpty -w z "PS1=; PROMPT=; stty -echo; fpath=($tmp \$fpath)
autoload -U compinit; compinit -u -D
compadd() {
	local -a found; local -i i
	builtin compadd -O found \"\$@\"
	for i in {1..\$#found}; do print -r -- \"offer:\$found[i]:\" >>$tmp/zsh.out; done
	builtin compadd \"\$@\"
}
bindkey '^I' complete-word; LISTMAX=10000
print -r -- ready >>$tmp/zsh.out"
for i in {1..200}; do grep -qs ready $tmp/zsh.out && break; sleep 0.1; done
zpty -w -n z "stillctl $1"$'\t'
for i in {1..50}; do
	sleep 0.1
	grep -qs offer: $tmp/zsh.out && (( i > 8 )) && break
done
zpty -d z
END_OF_ZSH
	export tmp
	zsh_offers() {
		local line=$1 word
		shift
		: >"$tmp/zsh.out"
		timeout 60 zsh -f "$tmp/zsh.sh" "$line" >"$tmp/zsh.log" 2>&1
		for word; do
			grep -qF "offer:$word:" "$tmp/zsh.out" || {
				cat "$tmp/zsh.out" "$tmp/zsh.log"
				fail "zsh: '$line' does not offer $word"
			}
		done
	}
	zsh_offers '' status umount check
	zsh_offers 'begin --' --copy --json --state
	zsh_offers 'check --verify=' basic quick full
	zsh_offers "umount $tmp/m" "$mnt"
	ok "zsh completes verbs, options, values and mountpoints"
fi

"$STILLCTL" umount -q "$odd" || fail "umount $odd"
ctl 0 umount "$mnt"
wait_fs
grep -q ' session-' "$log" && fail "completion has begun a session"
ok "completion begins no session"
