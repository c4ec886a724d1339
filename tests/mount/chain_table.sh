#!/bin/bash
# SPDX-License-Identifier: MIT
# The table of damages to the links of a chain: it is copied and proven intact,
# then damaged in one way. `stillctl verify` must end with 5 and say what the table
# says, all of it and nothing else, and `stillctl restore` must refuse it with the
# first of it, and leave nothing. What whoever changes a link and its sums can do
# is found out by the engine when it restores: `verify` applies nothing.
#
#	ROWS   a regular expression: only the rows whose damage matches
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/damage.sh"

# --- The chain: a.db and sub/b.db change from link to link, c.db comes with the
# first, whole, d.db goes with the second, and quiet.db stays as it is.

sql() { sqlite3 "$src/$1" "$2" >/dev/null || fail "sqlite3 $1: $2"; }
mkdir "$src/sub"
make_db "$src/a.db" 4096 300
make_db "$src/d.db" 4096 20
make_db "$src/quiet.db" 4096 20
make_db "$src/sub/b.db" 1024 100
mkdir "$intact"
ctl 0 backup --state "$state" --chain "$src" "$intact"
sql a.db "UPDATE t SET b = hex(b) WHERE a % 3 = 0"
sql sub/b.db "INSERT INTO t(b) SELECT b FROM t"
make_db "$src/c.db" 4096 50
ctl 0 backup --state "$state" -i "$src" "$intact"
sql a.db "DELETE FROM t WHERE a > 200; INSERT INTO t(b) SELECT b FROM t"
sql sub/b.db "UPDATE t SET b = 1 WHERE a < 50"
sql c.db "UPDATE t SET b = 2 WHERE a < 9"
rm "$src"/d.db*
ctl 0 backup --state "$state" -i "$src" "$intact"
l2=incremental/000002
l3=incremental/000003
json=$set/$l3/backup.json
list=$set/$l3/verify/XXH128SUMS

# --- Damages. They run in the directory of the chain.

# Whoever has changed link LINK makes its list anew.
reseal() { # [LINK]
	(cd "${1:-$l3}" && sed 's/^.\{34\}//' verify/XXH128SUMS | tr '\n' '\0' |
		xargs -0 xxhsum -H128 2>/dev/null | tr -d '\\' >sums &&
		mv sums verify/XXH128SUMS) || fail "reseal"
}
# edit CODE: of the last link's description, as d; b are its databases, by path.
edit() {
	python3 - "$json" "$1" <<-'EOF'
		import json, sys
		d = json.load(open(sys.argv[1]))
		b = {x["path"][5:]: x for x in d["databases"]}
		exec(sys.argv[2])
		json.dump(d, open(sys.argv[1], "w"), indent=2)
	EOF
	# shellcheck disable=SC2181
	[ $? = 0 ] || fail "cannot edit: $1"
}
# longer BYTES: the log of a.db, for who believes the description.
longer() {
	edit "d[\"data_bytes\"] += $1; b[\"a.db\"][\"increment_bytes\"] += $1"
}
# wal FILE CODE: change the frames of a log: h is its header, f a list of [page,
# commit, content]; it gets right checksums again, and w() writes it as it is.
wal() {
	python3 - "$@" <<-'EOF'
		import struct, sys
		raw = open(sys.argv[1], "rb").read()
		h = list(struct.unpack(">8I", raw[:32]))
		size = h[2]
		f = []
		for at in range(32, len(raw), 24 + size):
		    page, commit = struct.unpack(">2I", raw[at:at + 8])
		    f.append([page, commit, raw[at + 24:at + 24 + size], None])
		salts = raw[16:24]
		exec(sys.argv[2])
		big = h[0] & 1
		def add(s, data):
		    words = struct.unpack((">" if big else "<") + "%dI" % (len(data) // 4), data)
		    a, b = s
		    for i in range(0, len(words), 2):
		        a = (a + words[i] + b) & 0xffffffff
		        b = (b + words[i + 1] + a) & 0xffffffff
		    return a, b
		head = struct.pack(">6I", *h[:6])
		s = add((0, 0), head)
		out = head + struct.pack(">2I", *s)
		for page, commit, content, own in f:
		    two = struct.pack(">2I", page, commit)
		    s = add(add(s, two), content)
		    out += two + (own or out[16:24]) + struct.pack(">2I", *s) + content
		open(sys.argv[1], "wb").write(out)
	EOF
	# shellcheck disable=SC2181
	[ $? = 0 ] || fail "cannot write: $2"
}

# --- Rows.

last=$set/$l3
# refused STATUS TEXT: nothing is restored, for this reason.
refused() {
	ctl "$1" restore --create "$set" "$tmp/out"
	[ ! -e "$tmp/out" ] || fail "$2: something was restored"
	text=$(head -n 1 "$tmp/ctl.err")
	[[ $text = "stillctl: $2" || $text == "stillctl: $2, and "[0-9]*" more" ]] ||
		fail "restore says: $text, and not: $2"
}
# damage DAMAGE: a fresh chain, and what the row does to it.
damage() {
	[[ $1 =~ ${ROWS:-} ]] || return 1
	fresh
	(cd "$set" && eval "$1") || fail "cannot: $1"
	rows=$((rows + 1))
}
# in_link DAMAGE TEXT...: flaws of the last link, which say what is wrong with it.
in_link() {
	local damage=$1 text
	damage "$1" || return 0
	shift
	verify 5
	for text; do
		printf '`%s/%s\n' "$l3" "${text#?}"
	done | cmp -s - "$tmp/flaws" ||
		{ cat "$tmp/flaws"; fail "$damage: flaws, and not: $*"; }
	case $1 in
	*"its content is not what was backed up")
		text=${1%%\`:*}
		refused 5 "\`$last/${text#?}\`: is damaged: ${1#*\`: }"
		;;
	*) refused 5 "\`$last\`: is not whole: $1" ;;
	esac
	ok "$damage: $1"
}
# between DAMAGE STATUS TEXT: what one link says does not go with another one; with
# that STATUS nothing is restored.
between() {
	damage "$1" || return 0
	ctl 5 verify "$set"
	[ "$(grep '^damaged: ' "$tmp/ctl.out")" = "damaged:   $3" ] ||
		{ cat "$tmp/ctl.out"; fail "$1: flaws, and not: $3"; }
	refused "$2" "$3"
	ok "$1: $3"
}
# applied DAMAGE TEXT: what only the engine finds.
applied() {
	damage "$1; reseal" || return 0
	refused 5 "$2"
	ok "$1: $2"
}
fresh
intact
ctl 0 restore --create "$set" "$tmp/whole"
rm -r "$tmp/whole"
desc='`backup.json`:'
length=$(stat -c %s "$intact/$l3/logs/a.db-wal")
sub=$(stat -c %s "$intact/$l3/logs/sub/b.db-wal")
sized() { echo "\`logs/a.db-wal\`: has $((length + $1)) bytes, and backup.json says $length"; }

# Content.
log=$l3/logs/a.db-wal
in_link 'flip $log 0' "$(other logs/a.db-wal)"
in_link 'flip $log 5000' "$(other logs/a.db-wal)"
in_link 'wal $log "f[0][2] = bytes(size)"' "$(other logs/a.db-wal)"
in_link 'truncate -s -1 $log' "$(sized -1)"
in_link 'truncate -s -4120 $log' "$(sized -4120)"
in_link 'printf x >>$log' "$(sized 1)"
in_link 'swap $log $l3/logs/sub/b.db-wal' "$(sized $((sub - length)))" \
	"\`logs/sub/b.db-wal\`: has $length bytes, and backup.json says $sub"

# What is there.
in_link 'rm $log' "$(missing logs/a.db-wal)"
in_link 'rm -r $l3/logs' "$(missing logs/a.db-wal)" "$(missing logs/c.db-wal)" \
	"$(missing logs/sub/b.db-wal)"
in_link 'touch $l3/logs/quiet.db-wal' "$(extra logs/quiet.db-wal)"
in_link 'mkdir $l3/data; cp $l2/data/c.db $l3/data' "$(extra data/c.db)"
in_link 'touch $l3/note' "$(extra note)"
in_link 'ln -sf ../../000002/logs/a.db-wal $log' \
	'`logs/a.db-wal`: is a symbolic link, and no file'
in_link 'rm -r $l3/logs; ln -s ../000002/logs $l3/logs' \
	'`logs`: is a symbolic link, and no file' "$(missing logs/a.db-wal)" \
	"$(missing logs/c.db-wal)" "$(missing logs/sub/b.db-wal)"
in_link 'rm $log; mkfifo $log' '`logs/a.db-wal`: is a FIFO, and no file'
in_link 'rm -r $l3/verify' \
	'`verify/XXH128SUMS`: is missing: the copy was not finished, or is not of one session'
in_link 'rm $l3/backup.json' "$desc is missing"

# What a link says of itself.
in_link 'edit "d[\"number\"] = -1"; reseal' "$desc \`number\` is not a count"
in_link 'edit "d[\"base\"] = []"; edit "d[\"databases\"] = []"; reseal' \
	"$desc \`base\` is neither null nor an object"
in_link 'edit "d[\"base\"] = None; d[\"databases\"] = []"; reseal' \
	"$desc \`kind\` is \`incremental\`, and it builds on nothing"
in_link 'edit "d[\"base\"][\"number\"] = \"2\""; reseal' \
	"$desc \`base.number\` is not a count"
in_link 'edit "d[\"base\"][\"xxh128\"] = \"abc\""; reseal' \
	"$desc \`base.xxh128\` is not the XXH128 of a file"
in_link 'edit "d[\"chain\"] = None"; reseal' "$desc \`chain\` is not an object"
in_link 'edit "d[\"chain\"][\"link\"] = 0"; reseal' \
	"$desc \`chain.link\` is not that of a set of its kind"
in_link 'edit "d[\"kind\"] = \"full\""; reseal' \
	"$desc \`kind\` is \`full\`, and it builds on another"
in_link 'edit "del d[\"dropped\"]"; reseal' "$desc \`dropped\` is not an array"
in_link 'edit "d[\"dropped\"] = 7"; reseal' "$desc \`dropped\` is not an array"
for path in ../x data/../../x /etc/passwd data//x; do
	in_link "edit \"d[\\\"dropped\\\"] = [{\\\"path\\\": \\\"$path\\\"}]\"; reseal" \
		"$desc dropped 1: \`path\` is no path in a set"
done
in_link 'edit "d[\"dropped\"].append(7)"; reseal' \
	"$desc dropped 2: \`path\` is no path in a set"
for path in ../../000002/logs/a.db-wal /etc/passwd logs//a.db-wal; do
	in_link "edit \"b[\\\"a.db\\\"][\\\"increment\\\"] = \\\"$path\\\"\"; reseal" \
		"$desc database \`data/a.db\`: \`increment\` is no path in a set"
done
in_link 'edit "b[\"a.db\"][\"increment\"] = \"logs/none\""; reseal' \
	'`logs/none`: is in backup.json, and not in verify/XXH128SUMS'
in_link 'edit "del b[\"a.db\"][\"increment\"]"; reseal' "$(missing data/a.db)"
in_link 'edit "b[\"a.db\"][\"path\"] = \"../a.db\""; reseal' \
	"$desc database 1: \`path\` is no path in a set"
in_link 'edit "b[\"a.db\"][\"path\"] = \"data/quiet.db\""; reseal' \
	"$desc names \`data/quiet.db\` twice"
in_link 'edit "b[\"a.db\"][\"frozen\"] = False"; reseal' \
	'`data/a.db`: was not frozen: this set has no backup of it'

# What it says of its base.
session() { sed -n 's/^  "session": "\(.*\)",$/\1/p' "$intact/$1/backup.json"; }
list_sum() { xxhsum -H128 <"$intact/$1/verify/XXH128SUMS" | cut -d' ' -f1; }
disagree="\`$last\`: its \`backup.json\` does not agree with that of \`$set/$l2\`, on which it builds"
between 'rm -r $l2' 1 \
	"\`$last\`: builds on session $(session $l2), number 2, a link of its chain, which is missing"
between 'swap $l2 $l3' 1 "\`$set/$l2\`: stands before \`$last\`, on which it builds"
between 'mv $l2 incremental/000009' 1 \
	"\`$last\`: stands before \`$set/incremental/000009\`, on which it builds"
between 'cp -r $l3 incremental/000004' 1 \
	"\`$set/incremental/000004\`: is named twice: \`$last\` is session $(session $l3), too"
between 'edit "d[\"base\"][\"xxh128\"] = \"0\" * 32"; reseal' 1 \
	"\`$set/$l2\`: is not what \`$last\` builds on: the XXH128 of its \`verify/XXH128SUMS\` is $(list_sum $l2), and was 00000000000000000000000000000000"
between 'edit "d[\"base\"][\"session\"] = d[\"chain\"][\"full\"]"; reseal' 1 \
	"\`$last\`: builds on \`$set/full\`, and so does \`$set/$l2\`"
between 'edit "d[\"session\"] = d[\"base\"][\"session\"]"; reseal' 1 \
	"\`$last\`: is named twice: \`$set/$l2\` is session $(session $l2), too"
between 'edit "d[\"base\"][\"number\"] = 7"; reseal' 5 "$disagree"
between 'edit "d[\"number\"] = 2"; reseal' 5 "$disagree"
between 'edit "d[\"chain\"][\"link\"] = 5"; reseal' 5 "$disagree"
between 'edit "d[\"chain\"][\"full\"] = \"x\""; reseal' 5 "$disagree"
between 'edit "d[\"engine\"] = \"postgres\""; reseal' 5 "$disagree"
between 'edit "d[\"source\"] = \"/x\""; reseal' 5 "$disagree"

# What only the engine finds.
set_3="set \`$last\`:"
foreign="$set_3 does not belong to what is there: \`data"
frame='`logs/a.db-wal`: frame'
no_log='`logs/a.db-wal`: is no log of SQLite:'
n=$((($(stat -c %s "$intact/$log") - 32) / 4120))
not_it="\`logs/a.db-wal\`: is not the increment of \`data/a.db\` that backup.json of set \`$last\` says"
applied 'flip $log 0' "$no_log wrong magic"
applied 'flip $log 17' "$no_log checksum mismatch"
applied 'wal $log "h[1] += 1"' "$no_log unknown version"
applied 'wal $log "h[2] = 777"' "$no_log impossible page size"
applied 'flip $log 5000' "$frame 2: its checksum does not match"
applied 'wal $log "f[0][3] = bytes(8)"' "$frame 1: is of another log"
applied 'wal $log "f[-1][0] = 4000000000"' \
	"$frame $n: its page lies behind the end of the database"
applied 'wal $log "f[0][0] = 0"' "$frame 1: its page is not behind the one before it"
applied 'wal $log "f[0], f[1] = f[1], f[0]"' \
	"$frame 2: its page is not behind the one before it"
applied 'wal $log "f[0][1] = 9"' "$frame 2: follows the commit"
applied 'wal $log "f[-1][1] = 0"' "$frame $n: is the last, and no commit"
applied 'wal $log "f[-1][1] += 5"' "$not_it"
applied 'wal $log "f[-1][1] = 2**32 - 1"' "$not_it"
applied 'wal $log "f[0][2] = bytes(size)"' \
	"$foreign/a.db\` does not become what was backed up"
applied 'longer -4120; truncate -s -4120 $log' \
	"$frame $((n - 1)): is the last, and no commit"
applied 'longer -9; truncate -s -9 $log' "$frame $n: the file ends in it"
applied 'longer +1; printf x >>$log' "$frame $((n + 1)): the file ends in it"
applied 'longer +4120; wal $log "f.insert(1, f[0])"' \
	"$frame 2: its page is not behind the one before it"
applied 'longer -4120; wal $log "del f[0]"' \
	"$foreign/a.db\` does not become what was backed up"
applied 'edit "b[\"a.db\"][\"increment\"] = None"' \
	"$foreign/a.db\` has another length"
applied 'edit "x = b[\"a.db\"]; x[\"increment\"] = \"backup.json\"; del x[\"increment_bytes\"]"' \
	"$set_3 backup.json: an increment is not in logs/"
applied 'edit "x = b[\"a.db\"]; x[\"increment\"] = \"logs/sub/b.db-wal\"; del x[\"increment_bytes\"]"' \
	"${not_it/logs\/a.db/logs\/sub\/b.db}"
applied 'edit "b[\"a.db\"][\"path\"] = \"data/z.db\""' "$foreign/z.db\` is missing"
applied 'edit "b[\"a.db\"][\"path\"] = \"data/quiet.db/x\""' \
	"$foreign/quiet.db/x\` is missing"
applied 'edit "b[\"a.db\"][\"path\"] = \"logs/x\""' \
	"$set_3 backup.json: a database is not in data/"
for key in pages page_size_bytes size_bytes; do
	applied "edit \"b[\\\"a.db\\\"][\\\"$key\\\"] = 7\"" \
		"$set_3 backup.json: a database has no length"
done
applied 'edit "x = b[\"a.db\"]; x[\"size_bytes\"] = 4096; x[\"pages\"] = 1"' "$not_it"
applied 'edit "x = b[\"a.db\"]; x[\"pages\"] *= 8; x[\"page_size_bytes\"] = 512"' \
	"$foreign/a.db\` has pages of another size"
applied 'edit "del b[\"a.db\"][\"pages_xxh128\"]"' \
	"$set_3 backup.json: a database has no \`pages_xxh128\`"
applied 'edit "b[\"a.db\"][\"pages_xxh128\"] = \"0\" * 32"' \
	"$foreign/a.db\` does not become what was backed up"
applied 'edit "b[\"quiet.db\"][\"pages_xxh128\"] = \"0\" * 32"' \
	"$foreign/quiet.db\` is not what was backed up"
applied 'edit "d[\"dropped\"] = [{\"path\": \"data/a.db\"}]"' \
	"$foreign/a.db\` is missing"
applied 'edit "d[\"dropped\"] = [{\"path\": \"backup.json\"}]"' \
	"$set_3 backup.json: something is dropped that is not in data/"
ok "$rows damages"
[ -n "${ROWS:-}" ] || [ "$rows" -ge 85 ] || fail "the table was not run"

# --- What is no chain.

fresh
rm -r "$set/full"
ctl 1 verify "$set"
ctl_complains "\`$set/full\`: "
refused 1 "\`$set/full\`: No such file or directory"
for name in 3 note 0000003; do
	fresh
	touch "$set/incremental/$name"
	ctl 1 verify "$set"
	refused 1 "\`$set/incremental/$name\`: is not the name of an incremental set"
done
fresh
mv "$set/incremental" "$set/x"
ln -s x "$set/incremental"
ctl 1 verify "$set"
refused 1 "\`$set/incremental\`: Too many levels of symbolic links"
ok "what is in the place of a chain is named"
