/* SPDX-License-Identifier: MIT */
/* Node numbers and attributes. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/hash.h"
#include "fs/tree.h"
#include "tests/unit/scratch.h"

static const struct still_instance_info info = {
    .dir_mode = 07777,
    .uid = 11,
    .gid = 22,
};

static void nodes(void **state)
{
	static const uint32_t epochs[] = {1, 2, 77, UINT32_MAX};
	static const uint32_t indexes[] = {0, 1, 12345, UINT32_MAX};

	(void) state;
	for (size_t e = 0; e < 4; e++)
		for (size_t i = 0; i < 4; i++) {
			uint64_t node = fs_node_of(epochs[e], indexes[i]);

			assert_true(fs_node_is_entry(node));
			assert_false(fs_node_is_live(node));
			assert_int_equal(fs_node_epoch(node), epochs[e]);
			assert_int_equal(fs_node_index(node), indexes[i]);
		}
	assert_true(fs_node_of(1, 0) != fs_node_of(2, 0));
	assert_false(fs_node_is_entry(FS_NODE_ROOT));
	assert_false(fs_node_is_live(FS_NODE_ROOT));
	assert_false(fs_node_is_live(0));
	for (int live = 0; live < FS_LIVE_COUNT; live++) {
		uint64_t node = FS_NODE_LIVE_FIRST + (uint64_t) live;

		assert_true(fs_node_is_live(node));
		assert_false(fs_node_is_entry(node));
	}
	assert_false(fs_node_is_live(FS_NODE_LIVE_FIRST + FS_LIVE_COUNT));
}

static void live_names(void **state)
{
	(void) state;
	assert_int_equal(FS_LIVE_COUNT, 4);
	assert_string_equal(fs_live_name(FS_LIVE_METRICS), "metrics");
	assert_string_equal(fs_live_name(FS_LIVE_STATUS), "status");
	assert_string_equal(fs_live_name(FS_LIVE_STATUS_JSON), "status.json");
	assert_string_equal(fs_live_name(FS_LIVE_EVENTS), "events");
}

static void assert_common(const struct stat *st, int64_t time_s)
{
	assert_int_equal(st->st_uid, 11);
	assert_int_equal(st->st_gid, 22);
	assert_true(st->st_mtim.tv_sec == time_s);
	assert_true(st->st_ctim.tv_sec == time_s);
	assert_true(st->st_atim.tv_sec == time_s);
	assert_int_equal(st->st_mtim.tv_nsec, 0);
	assert_int_equal(st->st_mode & 0022, 0);
}

static void root(void **state)
{
	struct stat st;

	(void) state;
	memset(&st, 0xff, sizeof(st));
	fs_stat_root(&info, 1234, false, &st);
	assert_common(&st, 1234);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(st.st_ino, 1);
	/* ".", its name above, and backup's ".." */
	assert_int_equal(st.st_nlink, 3);
	fs_stat_root(&info, 1234, true, &st);
	assert_int_equal(st.st_nlink, 4);
}

static void links(void **state)
{
	char name[FS_LINK_NAME_BYTES];
	struct stat backup;
	struct stat st;

	(void) state;
	memset(&st, 0xff, sizeof(st));
	fs_stat_links(&info, 77, &st);
	assert_common(&st, 77);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	/* The session in it is counted before it is there. */
	assert_int_equal(st.st_nlink, 3);
	fs_stat_backup(&info, 77, &backup);
	assert_true(st.st_ino != backup.st_ino);
	assert_int_equal(st.st_ino >> 62, 0);
	fs_link_name(42, name);
	assert_string_equal(name, "000042");
	fs_link_name(UINT64_MAX, name);
	assert_string_equal(name, "18446744073709551615");
	assert_true(fs_node_is_top(fs_node_of(7, FS_INDEX_BACKUP)));
	assert_true(fs_node_is_top(fs_node_of(7, FS_INDEX_LINKS)));
	assert_false(fs_node_is_top(fs_node_of(7, FS_INDEX_LINK)));
}

static void live(void **state)
{
	struct still_instance_info closed = info;
	struct stat st[FS_LIVE_COUNT];

	(void) state;
	memset(st, 0xff, sizeof(st));
	closed.dir_mode = 0700;
	for (int i = 0; i < FS_LIVE_COUNT; i++) {
		fs_stat_live(&info, (enum fs_live) i, 99, &st[i]);
		assert_common(&st[i], 99);
		assert_int_equal(st[i].st_mode, S_IFREG | 0444);
		assert_int_equal(st[i].st_nlink, 1);
		assert_int_equal(st[i].st_size, 0);
		for (int k = 0; k < i; k++)
			assert_true(st[i].st_ino != st[k].st_ino);
		assert_true(st[i].st_ino != 1);
		assert_int_equal(st[i].st_ino >> 62, 0);
	}
	/* Who may not look into the source may not read about it. */
	fs_stat_live(&closed, FS_LIVE_STATUS, 99, &st[0]);
	assert_int_equal(st[0].st_mode, S_IFREG | 0400);
}

static void entries(void **state)
{
	struct still_entry file = {
	    .kind = STILL_FILE,
	    .mode = 0640,
	    .uid = 11,
	    .gid = 22,
	    .size_bytes = 5000000001,
	    .time_s = 1700000000,
	    .ino = UINT64_C(1) << 62 | 5,
	};
	struct still_entry dir = {
	    .kind = STILL_DIR,
	    .mode = 0750,
	    .uid = 11,
	    .gid = 22,
	    .n_children = 9,
	    .n_subdirs = 4,
	    .time_s = 5,
	    .ino = 7,
	};
	struct stat st;

	(void) state;
	memset(&st, 0xff, sizeof(st));
	fs_stat_entry(&file, false, &st);
	assert_common(&st, 1700000000);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_nlink, 1);
	assert_true(st.st_size == 5000000001);
	assert_true(st.st_blocks == 9765626);
	assert_true(st.st_ino == file.ino);

	memset(&st, 0xff, sizeof(st));
	fs_stat_entry(&dir, false, &st);
	assert_common(&st, 5);
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
	assert_int_equal(st.st_nlink, 2 + 4);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(st.st_ino, 7);
}

/* backup/ looks the same before its session and, but for its time, in it. */
static void backup(void **state)
{
	struct still_entry entry = {
	    .kind = STILL_DIR,
	    .mode = 0755,
	    .uid = 11,
	    .gid = 22,
	    .n_subdirs = 2,
	    .time_s = 7,
	    .ino = still_hash64("", 0) >> 2,
	};
	struct stat before;
	struct stat in;

	(void) state;
	fs_stat_backup(&info, 7, &before);
	fs_stat_entry(&entry, true, &in);
	assert_common(&before, 7);
	assert_memory_equal(&before, &in, sizeof(in));
}

/* Past the page cache go big files that are wanted so, and the seal. */
static void direct(void **state)
{
	static const struct {
		struct still_entry entry;
		bool never;
		bool wanted;
		blksize_t block_bytes;
	} table[] = {
	    {{.kind = STILL_FILE, .size_bytes = 1048575}, false, false, 4096},
	    {{.kind = STILL_FILE, .size_bytes = 1048576}, false, true, 1048576},
	    {{.kind = STILL_FILE, .size_bytes = 60, .seal = true}, true, true,
		4096},
	    {{.kind = STILL_FILE, .size_bytes = 2000000, .seal = true}, true,
		true, 1048576},
	    {{.kind = STILL_DIR, .size_bytes = 1048576}, false, false, 4096},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct still_entry *entry = &table[i].entry;
		struct stat st;

		assert_int_equal(
		    fs_entry_is_direct(entry, false), table[i].never);
		assert_int_equal(
		    fs_entry_is_direct(entry, true), table[i].wanted);
		fs_stat_entry(entry, true, &st);
		assert_int_equal(st.st_blksize, table[i].block_bytes);
		fs_stat_entry(entry, false, &st);
		assert_true(st.st_blksize == 4096 || entry->seal);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nodes),
	    cmocka_unit_test(live_names),
	    cmocka_unit_test(root),
	    cmocka_unit_test(links),
	    cmocka_unit_test(live),
	    cmocka_unit_test(entries),
	    cmocka_unit_test(direct),
	    cmocka_unit_test(backup),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
