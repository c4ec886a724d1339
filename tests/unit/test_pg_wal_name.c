/* SPDX-License-Identifier: MIT */
/* Names of segments and texts of positions. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "engines/postgres/wal_name.h"
#include "tests/unit/scratch.h"

#define MIB (UINT32_C(1) << 20)

/* As PostgreSQL's pg_walfile_name() says. */
static void names_of_the_server(void **state)
{
	static const struct {
		uint32_t timeline;
		uint64_t lsn;
		uint32_t segment_bytes;
		const char *name;
	} table[] = {
	    {1, 0x1000028, 16 * MIB, "000000010000000000000001"},
	    {1, 0xff000000, 16 * MIB, "0000000100000000000000FF"},
	    {1, UINT64_C(0x100000000), 16 * MIB, "000000010000000100000000"},
	    {26, UINT64_C(0xabcdef12ff123456), 16 * MIB,
		"0000001AABCDEF12000000FF"},
	    {1, 0xfff00000, 1 * MIB, "000000010000000000000FFF"},
	    {1, UINT64_C(0x2c0000000), 1024 * MIB, "000000010000000200000003"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct still_pg_wal_segment segment = {
		    table[i].timeline, table[i].lsn / table[i].segment_bytes};
		struct still_pg_wal_segment back;
		char name[STILL_PG_WAL_NAME_CHARS + 1];

		still_pg_wal_name(&segment, table[i].segment_bytes, name);
		assert_string_equal(name, table[i].name);
		assert_true(still_pg_wal_name_parse(
		    name, table[i].segment_bytes, &back));
		assert_int_equal(back.timeline, segment.timeline);
		assert_int_equal(back.number, segment.number);
	}
}

static void names_there_and_back(void **state)
{
	uint64_t seed = scratch_seed();

	(void) state;
	for (int i = 0; i < 20000; i++) {
		uint32_t bytes = MIB << scratch_below(&seed, 11);
		struct still_pg_wal_segment segment = {
		    1 + (uint32_t) scratch_below(&seed, UINT32_MAX),
		    scratch_random(&seed) / bytes};
		struct still_pg_wal_segment back;
		char name[STILL_PG_WAL_NAME_CHARS + 1];

		assert_true(still_pg_wal_segment_bytes_valid(bytes));
		still_pg_wal_name(&segment, bytes, name);
		assert_int_equal(strlen(name), STILL_PG_WAL_NAME_CHARS);
		assert_true(still_pg_wal_name_parse(name, bytes, &back));
		assert_int_equal(back.timeline, segment.timeline);
		assert_int_equal(back.number, segment.number);
	}
}

static void names_of_other_files(void **state)
{
	static const char *const names[] = {"", "00000001", "00000002.history",
	    "00000001000000000000000", "0000000100000000000000011",
	    "000000010000000000000001.partial",
	    "000000010000000000000001.00000028.backup",
	    "00000001000000000000000g", "00000001000000000000000a",
	    "+00000010000000000000001", " 00000010000000000000001",
	    "0x0000010000000000000001",
	    /* timeline 0; a segment that 16 MiB do not have in 4 GiB */
	    "000000000000000000000001", "000000010000000000000100",
	    "archive_status", "xlogtemp.1234"};

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct still_pg_wal_segment segment;

		if (still_pg_wal_name_parse(names[i], 16 * MIB, &segment))
			fail_msg("'%s' was taken", names[i]);
	}
}

static void sizes_of_segments(void **state)
{
	(void) state;
	assert_false(still_pg_wal_segment_bytes_valid(0));
	assert_false(still_pg_wal_segment_bytes_valid(MIB / 2));
	assert_false(still_pg_wal_segment_bytes_valid(3 * MIB));
	assert_false(still_pg_wal_segment_bytes_valid(UINT64_C(2048) * MIB));
	assert_false(still_pg_wal_segment_bytes_valid(UINT64_C(1) << 52));
	assert_true(still_pg_wal_segment_bytes_valid(MIB));
	assert_true(still_pg_wal_segment_bytes_valid(1024 * MIB));
}

static void positions(void **state)
{
	static const char *const wrong[] = {"", "/", "1/", "/1", "1", "1/2/3",
	    "1/2 ", " 1/2", "1/-2", "123456789/0", "0/123456789", "0/0x1",
	    "g/0", "0/g"};
	char text[32];
	uint64_t lsn;

	(void) state;
	assert_true(still_pg_lsn_parse("0/3000028", &lsn));
	assert_int_equal(lsn, 0x3000028);
	assert_true(still_pg_lsn_parse("AB/CDEF0123", &lsn));
	assert_int_equal(lsn, UINT64_C(0xabcdef0123));
	assert_true(still_pg_lsn_parse("ffffffff/ffffffff", &lsn));
	assert_int_equal(lsn, UINT64_MAX);
	snprintf(text, sizeof(text), STILL_PG_LSN,
	    STILL_PG_LSN_ARGS(UINT64_C(0xabcdef0123)));
	assert_string_equal(text, "AB/CDEF0123");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (still_pg_lsn_parse(wrong[i], &lsn))
			fail_msg("'%s' was taken", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_of_the_server),
	    cmocka_unit_test(names_there_and_back),
	    cmocka_unit_test(names_of_other_files),
	    cmocka_unit_test(sizes_of_segments),
	    cmocka_unit_test(positions),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
