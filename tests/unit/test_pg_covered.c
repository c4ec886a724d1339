/* SPDX-License-Identifier: MIT */
/* The set of covered blocks, against bits in a plain array. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/covered.h"
#include "tests/unit/scratch.h"

#define FORKS 300
#define BLOCKS 700

static struct still_pg_locator locator(uint32_t i)
{
	/* Alike in all but one number, each time another one. */
	return (struct still_pg_locator){
	    .tablespace = 1663 + i % 3,
	    .database = 5 + i / 3 % 5,
	    .relation = 16384 + i / 60,
	    .fork = i / 15 % 4,
	};
}

static void against_an_array(void **state)
{
	struct still_pg_covered *covered = still_pg_covered_new();
	uint8_t *array = calloc(FORKS, BLOCKS);
	uint64_t seed = scratch_seed();
	uint64_t n = 0;

	(void) state;
	assert_non_null(covered);
	assert_non_null(array);
	for (int i = 0; i < 100000; i++) {
		uint32_t f = (uint32_t) scratch_below(&seed, FORKS);
		uint32_t b = (uint32_t) scratch_below(&seed, BLOCKS);
		struct still_pg_locator where = locator(f);

		n += array[f * BLOCKS + b] == 0;
		array[f * BLOCKS + b] = 1;
		assert_int_equal(
		    still_pg_covered_add(covered, &where, b, NULL), 0);
	}
	assert_int_equal(still_pg_covered_count(covered), n);
	for (uint32_t f = 0; f < FORKS; f++)
		for (uint32_t b = 0; b < BLOCKS; b++) {
			struct still_pg_locator where = locator(f);

			assert_int_equal(
			    still_pg_covered_has(covered, &where, b),
			    array[f * BLOCKS + b]);
		}
	free(array);
	still_pg_covered_free(covered);
}

static void empty_and_extremes(void **state)
{
	struct still_pg_locator where = {
	    UINT32_MAX, UINT32_MAX, UINT32_MAX, 15};
	struct still_pg_locator zero = {0, 0, 0, 0};
	struct still_pg_covered *covered = still_pg_covered_new();

	(void) state;
	assert_non_null(covered);
	assert_false(still_pg_covered_has(covered, &zero, 0));
	assert_false(still_pg_covered_has(covered, &where, UINT32_MAX));
	assert_int_equal(still_pg_covered_count(covered), 0);
	assert_int_equal(
	    still_pg_covered_add(covered, &where, UINT32_MAX, NULL), 0);
	assert_int_equal(still_pg_covered_add(covered, &zero, 0, NULL), 0);
	assert_true(still_pg_covered_has(covered, &where, UINT32_MAX));
	assert_false(still_pg_covered_has(covered, &where, UINT32_MAX - 1));
	assert_false(still_pg_covered_has(covered, &where, 63));
	assert_true(still_pg_covered_has(covered, &zero, 0));
	assert_false(still_pg_covered_has(covered, &zero, 64));
	still_pg_covered_free(covered);
	still_pg_covered_free(NULL);
}

/* What the header says of memory. */
static void memory(void **state)
{
	struct still_pg_locator where = locator(0);
	struct still_pg_covered *covered = still_pg_covered_new();
	size_t fixed;

	(void) state;
	assert_non_null(covered);
	fixed = still_pg_covered_bytes(covered);
	/* Each alone in its 64. */
	for (uint32_t i = 1; i <= 300000; i++) {
		assert_int_equal(
		    still_pg_covered_add(covered, &where, i * 64, NULL), 0);
		assert_true(still_pg_covered_bytes(covered) <=
		    fixed + (uint64_t) i * 43);
	}
	still_pg_covered_free(covered);

	/* 8 GiB of one relation, all of it: 1 TiB would be 128 times that. */
	covered = still_pg_covered_new();
	assert_non_null(covered);
	for (uint32_t i = 0; i < 1u << 20; i++)
		assert_int_equal(
		    still_pg_covered_add(covered, &where, i, NULL), 0);
	assert_int_equal(still_pg_covered_count(covered), 1u << 20);
	assert_true(still_pg_covered_bytes(covered) * 128 < 91 * 1000 * 1000);
	still_pg_covered_free(covered);

	/* Forks with one block each. */
	covered = still_pg_covered_new();
	assert_non_null(covered);
	for (uint32_t i = 1; i <= 100000; i++) {
		where.relation = i;
		assert_int_equal(
		    still_pg_covered_add(covered, &where, 3, NULL), 0);
		assert_true(still_pg_covered_bytes(covered) <=
		    fixed + (uint64_t) i * (43 + 64));
	}
	still_pg_covered_free(covered);
}

static void records(void **state)
{
	struct still_pg_wal_record record = {
	    .n_blocks = 3,
	    .blocks = {{{1663, 5, 1, 0}, 10, 0, true},
		{{1663, 5, 1, 0}, 11, 8192, false},
		{{1663, 5, 1, 2}, 12, 100, true}},
	};
	struct still_pg_covered *covered = still_pg_covered_new();

	(void) state;
	assert_non_null(covered);
	assert_int_equal(still_pg_covered_record(covered, &record, NULL), 0);
	assert_int_equal(still_pg_covered_count(covered), 2);
	assert_true(still_pg_covered_has(covered, &record.blocks[0].where, 10));
	assert_false(
	    still_pg_covered_has(covered, &record.blocks[0].where, 11));
	assert_false(
	    still_pg_covered_has(covered, &record.blocks[0].where, 12));
	assert_true(still_pg_covered_has(covered, &record.blocks[2].where, 12));
	still_pg_covered_free(covered);
}

/* CREATE DATABASE by copying files: database, tablespace, and whence. */
static void whole_databases(void **state)
{
	static const uint32_t data[4] = {16400, 1663, 1, 1664};
	struct still_pg_locator in = {1663, 16400, 2619, 0};
	struct still_pg_locator elsewhere = {1664, 16400, 2619, 0};
	struct still_pg_locator source = {1664, 1, 2619, 0};
	struct still_pg_wal_record record = {
	    .rmgr = STILL_PG_RM_DATABASE,
	    .data = (const uint8_t *) data,
	    .data_bytes = sizeof(data),
	};
	struct still_pg_covered *covered = still_pg_covered_new();

	(void) state;
	assert_non_null(covered);
	/* Others of the same manager, and one that is too short. */
	record.info = 0x10;
	assert_int_equal(still_pg_covered_record(covered, &record, NULL), 0);
	record.info = STILL_PG_DATABASE_COPY;
	record.data_bytes = 7;
	assert_int_equal(still_pg_covered_record(covered, &record, NULL), 0);
	record.rmgr = 10;
	record.data_bytes = sizeof(data);
	assert_int_equal(still_pg_covered_record(covered, &record, NULL), 0);
	assert_false(still_pg_covered_has(covered, &in, 0));
	record.rmgr = STILL_PG_RM_DATABASE;
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    still_pg_covered_record(covered, &record, NULL), 0);
	assert_true(still_pg_covered_has(covered, &in, 0));
	assert_true(still_pg_covered_has(covered, &in, UINT32_MAX));
	assert_false(still_pg_covered_has(covered, &elsewhere, 0));
	assert_false(still_pg_covered_has(covered, &source, 0));
	assert_int_equal(still_pg_covered_count(covered), 0);
	still_pg_covered_free(covered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(against_an_array),
	    cmocka_unit_test(empty_and_extremes),
	    cmocka_unit_test(memory),
	    cmocka_unit_test(records),
	    cmocka_unit_test(whole_databases),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
