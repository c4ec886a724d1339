#!/bin/bash
# SPDX-License-Identifier: MIT
# The option direct_io: the same bytes, past the page cache, where that pays.
. "$(dirname "$0")/../lib/mount.sh"

make_db "$src/big.db" 4096 30000
make_db "$src/small.db" 512 100
open_app "$src/big.db"
app "UPDATE t SET b=hex(randomblob(50)) WHERE a%3=0;"
[ "$(stat -c %s "$src/big.db")" -gt 2000000 ] || fail "big.db is not big"
small=$mnt/backup/data/small.db
big=$mnt/backup/data/big.db
block_of() { stat -c %o "$1"; }

# cached FILE: how many of its pages the kernel has in its cache.
cached() {
	python3 - "$1" <<-'EOF2'
		import ctypes, mmap, os, sys
		libc = ctypes.CDLL(None, use_errno=True)
		libc.mmap.restype = ctypes.c_void_p
		libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t,
		    ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
		libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t,
		    ctypes.c_char_p]
		fd = os.open(sys.argv[1], os.O_RDONLY)
		size = os.fstat(fd).st_size
		at = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_PRIVATE, fd, 0)
		vec = ctypes.create_string_buffer((size + 4095) // 4096)
		assert at not in (None, ctypes.c_void_p(-1).value)
		assert libc.mincore(at, size, vec) == 0
		print(sum(b & 1 for b in vec.raw))
	EOF2
}

start_fs
ahead=/sys/class/bdi/$(mountpoint -d "$mnt")/read_ahead_kb
if [ -w "$ahead" ]; then
	[ "$(cat "$ahead")" = 1024 ] || fail "read_ahead_kb is $(cat "$ahead")"
	ok "the kernel reads 1 MiB ahead"
fi
cp -r "$mnt/backup" "$tmp/through" || fail "cp through the page cache"
[ "$(block_of "$big") $(block_of "$small")" = "4096 4096" ] ||
	fail "block sizes without the option"
[ "$(cached "$big")" -gt 0 ] || fail "nothing is cached without the option"
"$PEEK" mmap "$big" "$tmp/through/data/big.db" || fail "mmap without the option"
stop_fs COPIED
ok "without the option, files are in the page cache and can be mapped"

start_fs "$src" -o direct_io
cp -r "$mnt/backup" "$tmp/past" || fail "cp past the page cache"
[ "$(cached "$big")" = 0 ] || fail "a big file is cached"
[ "$(cached "$small")" -gt 0 ] || fail "a small file is not cached"
for d in through past; do
	check_set "$tmp/$d"
done
diff -r "$tmp/through/data" "$tmp/past/data" || fail "the copies differ"
ok "a copy past the page cache is the same, and its sums are right"

[ "$(block_of "$big")" = 1048576 ] || fail "block size of a big file"
[ "$(block_of "$small")" = 4096 ] || fail "block size of a small file"
ok "1 MiB is advised for big files only"

"$PEEK" pread "$big" "$tmp/past/data/big.db" $RANDOM 500 || fail "random preads"
for size in 512 10240 131072 3000000; do
	dd if="$big" bs=$size status=none | cmp - "$tmp/past/data/big.db" ||
		fail "reads of $size bytes"
done
tail -c 1 "$big" | cmp - <(tail -c 1 "$tmp/past/data/big.db") || fail "the end"
[ "$(sqlite3 "file:$big?immutable=1" 'SELECT count(*) FROM t')" = 30000 ] ||
	fail "sqlite3 in place"
ok "reads of any size and order are right"

"$PEEK" mmap "$big" "$tmp/past/data/big.db" 2>"$tmp/err" &&
	fail "a shared mapping of a big file"
grep -q 'No such device' "$tmp/err" || fail "not ENODEV: $(cat "$tmp/err")"
"$PEEK" mmap "$small" "$tmp/past/data/small.db" || fail "mmap of a small file"
ok "a shared mapping is refused for big files only"
close_app
stop_fs COPIED
ok "the session is COPIED"
