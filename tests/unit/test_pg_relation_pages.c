/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/layout.h"
#include "engines/postgres/page.h"
#include "engines/postgres/relation_pages.h"
#include "tests/unit/scratch.h"

#define PATH "data/base/5/1259"
#define NAME "`base/5/1259`: "
#define PAGES 4
#define STOP UINT64_C(0x100002000)

struct file {
	struct still_pg_covered *covered;
	struct still_pg_proof proof;
	struct still_pg_locator where;
	uint32_t first; /* block */
	char *data;
};

static void seal(struct file *file, uint32_t i)
{
	char *page = file->data + i * STILL_PG_PAGE_BYTES;
	uint16_t sum = still_pg_page_checksum(page, file->first + i);

	memcpy(page + 8, &sum, sizeof(sum));
}

static void set_lsn(struct file *file, uint32_t i, uint64_t lsn)
{
	uint32_t halves[2] = {(uint32_t) (lsn >> 32), (uint32_t) lsn};

	memcpy(file->data + i * STILL_PG_PAGE_BYTES, halves, sizeof(halves));
	seal(file, i);
}

static int setup(void **state)
{
	struct file *file = calloc(1, sizeof(*file));
	struct still_pg_relation relation = {.relfilenode = 1259};
	uint16_t upper = 8000;

	assert_non_null(file);
	file->first = 131072;
	file->covered = still_pg_covered_new();
	file->data = aligned_alloc(
	    STILL_PG_PAGE_BYTES, PAGES * STILL_PG_PAGE_BYTES);
	assert_non_null(file->covered);
	assert_non_null(file->data);
	file->proof = (struct still_pg_proof){file->covered, STOP, true};
	file->where = still_pg_locate(PATH, &relation);
	for (uint32_t i = 0; i < PAGES; i++) {
		char *page = file->data + i * STILL_PG_PAGE_BYTES;

		memset(page, 'a' + (int) i, STILL_PG_PAGE_BYTES);
		memcpy(page + 14, &upper, sizeof(upper));
		set_lsn(file, i, STOP - i);
	}
	*state = file;
	return 0;
}

static int teardown(void **state)
{
	struct file *file = *state;

	still_pg_covered_free(file->covered);
	free(file->data);
	free(file);
	return 0;
}

/* NULL: all is well; else what it says. */
static void says(struct file *file, size_t len, const char *text)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = still_pg_check_pages(&file->proof, PATH, &file->where,
	    file->first, file->data, len, &err);

	assert_int_equal(rc, text ? STILL_ERR_CORRUPT : 0);
	if (text)
		assert_string_equal(still_error_msg(&err), text);
	still_error_clear(&err);
}

static void cover(struct file *file, uint32_t block)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(
	    still_pg_covered_add(file->covered, &file->where, block, &err), 0);
}

#define ALL ((size_t) PAGES * STILL_PG_PAGE_BYTES)

static void right(void **state)
{
	struct file *file = *state;

	says(file, ALL, NULL);
	says(file, 0, NULL);
	memset(file->data + STILL_PG_PAGE_BYTES, 0, STILL_PG_PAGE_BYTES);
	says(file, ALL, NULL);
}

/* A torn page is what the WAL replaces, in that block and no other. */
static void torn(void **state)
{
	struct file *file = *state;

	file->data[2 * STILL_PG_PAGE_BYTES + 5000] ^= 1;
	says(file, ALL,
	    NAME "block 131074: its checksum is wrong, and the WAL does not "
		 "replace it");
	says(file, 2 * STILL_PG_PAGE_BYTES, NULL);
	cover(file, 2);
	cover(file, 131073);
	cover(file, 131075);
	says(file, ALL,
	    NAME "block 131074: its checksum is wrong, and the WAL does not "
		 "replace it");
	cover(file, 131074);
	says(file, ALL, NULL);
	file->where.fork = 1;
	says(file, ALL,
	    NAME "block 131074: its checksum is wrong, and the WAL does not "
		 "replace it");
}

static void young(void **state)
{
	struct file *file = *state;

	set_lsn(file, 3, STOP + 1);
	says(file, ALL,
	    NAME "block 131075: its LSN 1/2001 is behind the end of the "
		 "backup, 1/2000");
	cover(file, 131075);
	says(file, ALL, NULL);
}

static void headless(void **state)
{
	struct file *file = *state;

	memset(file->data + 14, 0, 2);
	says(file, ALL,
	    NAME "block 131072: its header is that of an empty page, and it "
		 "is not empty");
	cover(file, 131072);
	says(file, ALL, NULL);
}

static void cut(void **state)
{
	struct file *file = *state;

	says(file, ALL - 1,
	    NAME "block 131075: the file ends in the middle of it");
	cover(file, 131075);
	says(file, ALL - 1, NULL);
}

static void without_checksums(void **state)
{
	struct file *file = *state;

	file->proof.checksums = false;
	file->data[5000] ^= 1;
	says(file, ALL, NULL);
	memset(file->data + 14, 0, 2);
	says(file, ALL,
	    NAME "block 131072: its header is that of an empty page, and it "
		 "is not empty");
}

static void located(void **state)
{
	static const struct {
		const char *path;
		uint32_t tablespace, database;
		const char *known_as;
	} rows[] = {
	    {"data/base/5/1259", 1663, 5, "base/5/1259"},
	    {"data/global/1259", 1664, 0, "global/1259"},
	    {"tablespaces/4294967295/PG_15_202209061/16384/1259", 4294967295u,
		16384, "tablespaces/4294967295/PG_15_202209061/16384/1259"},
	};
	struct still_pg_relation relation = {
	    .relfilenode = 1259, .segment = 3, .fork = STILL_PG_FORK_VM};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct still_pg_locator where = still_pg_locate(
		    rows[i].path, &relation);

		assert_int_equal(where.tablespace, rows[i].tablespace);
		assert_int_equal(where.database, rows[i].database);
		assert_int_equal(where.relation, 1259);
		assert_int_equal(where.fork, 2);
		assert_string_equal(
		    still_pg_known_as(rows[i].path), rows[i].known_as);
	}
}

/* What lies where, and is called what: there and back. */
static void named(void **state)
{
	static const struct {
		const char *path, *name, *below;
		enum still_pg_top top;
	} rows[] = {
	    {"data/base/5/1259", "base/5/1259", "base/5/1259",
		STILL_PG_TOP_DATA},
	    {"data/pg_walk", "pg_walk", "pg_walk", STILL_PG_TOP_DATA},
	    {"data/pg_wal/0001.history", NULL, "pg_wal/0001.history",
		STILL_PG_TOP_DATA},
	    {"data/backup_manifest", NULL, "backup_manifest",
		STILL_PG_TOP_DATA},
	    {"data/base/backup_manifest", "base/backup_manifest",
		"base/backup_manifest", STILL_PG_TOP_DATA},
	    {"tablespaces/16384/PG_15_1/5/1", "pg_tblspc/16384/PG_15_1/5/1",
		"PG_15_1/5/1", STILL_PG_TOP_SPACE},
	    {"tablespaces/16384", "pg_tblspc/16384", NULL, STILL_PG_TOP_SPACE},
	    {"backup.json", NULL, NULL, STILL_PG_TOP_SPACE},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[PATH_MAX];
		char back[PATH_MAX];
		enum still_pg_top top;
		const char *name = still_pg_to_manifest(rows[i].path, out);
		const char *below = still_pg_below_top(rows[i].path, &top);

		assert_int_equal(!name, !rows[i].name);
		assert_int_equal(!below, !rows[i].below);
		if (below) {
			assert_string_equal(below, rows[i].below);
			assert_int_equal(top, rows[i].top);
		}
		if (!name)
			continue;
		assert_string_equal(name, rows[i].name);
		assert_true(still_pg_from_manifest(name, back));
		assert_string_equal(back, rows[i].path);
	}
}

/* A name that has no room with what stands before it. */
static void too_long(void **state)
{
	char name[PATH_MAX];
	char out[PATH_MAX];

	(void) state;
	memset(name, 'x', sizeof(name));
	name[PATH_MAX - 5] = '\0';
	assert_false(still_pg_from_manifest(name, out));
	name[PATH_MAX - 6] = '\0';
	assert_true(still_pg_from_manifest(name, out));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(right),
	    TEST(torn),
	    TEST(young),
	    TEST(headless),
	    TEST(cut),
	    TEST(without_checksums),
	    TEST(located),
	    TEST(named),
	    TEST(too_long),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
