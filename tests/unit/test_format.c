/* SPDX-License-Identifier: MIT */
/* The formats of SQLite, against bytes that SQLite wrote and a second
 * implementation of its checksum. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <string.h>

#include "engines/sqlite/format.h"
#include "tests/unit/scratch.h"

static void put4(uint8_t *p, uint32_t value)
{
	value = htobe32(value);
	memcpy(p, &value, 4);
}

/* Page 1 of a WAL database of 512-byte pages, as SQLite 3.40 wrote it. */
static void page_one(uint8_t page[512])
{
	static const char cell[] = "\x1f\x01\x06\x17\x0f\x0f\x01\x2ftablett\x02"
				   "CREATE TABLE t(x)";
	static const uint8_t tree[] = {
	    0x0d, 0, 0, 0, 1, 0x01, 0xdf, 0, 0x01, 0xdf};

	memset(page, 0, 512);
	memcpy(page, "SQLite format 3", 16);
	put4(page + 16, 0x02000202);
	put4(page + 20, 0x00402020);
	put4(page + 24, 2);
	put4(page + 28, 2);
	put4(page + 40, 1);
	put4(page + 44, 4);
	put4(page + 56, 1);
	put4(page + 92, 2);
	put4(page + 96, 3040001);
	memcpy(page + 100, tree, sizeof(tree));
	memcpy(page + 512 - (sizeof(cell) - 1), cell, sizeof(cell) - 1);
}

/* The same database's log: header, and the header of frame 1. */
static const uint8_t wal_header[SQLITE_WAL_HEADER_BYTES] = {0x37, 0x7f, 0x06,
    0x82, 0x00, 0x2d, 0xe2, 0x18, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x78, 0x1d, 0x6f, 0x3c, 0x2b, 0xaf, 0xfc, 0x43, 0xe8, 0x7b,
    0x13, 0xf8, 0x71, 0x7d, 0xf4};
static const uint8_t frame_one[SQLITE_FRAME_HEADER_BYTES] = {0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x78, 0x1d, 0x6f, 0x3c, 0x2b, 0xaf,
    0xfc, 0xae, 0xe0, 0x8f, 0x35, 0x2c, 0xd5, 0x48, 0xce};

/* And its wal-index header, written on a little-endian machine. */
static const uint8_t index_header[48] = {0x18, 0xe2, 0x2d, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x02, 0x03, 0x00,
    0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x3e, 0x04, 0x9b, 0xc1, 0xcd, 0xe5,
    0x97, 0xed, 0x00, 0x78, 0x1d, 0x6f, 0x3c, 0x2b, 0xaf, 0xfc, 0xb0, 0x6d,
    0x03, 0xf6, 0x11, 0x0f, 0xa9, 0xaf};

/* ---- the database header ------------------------------------------------- */

static void header_of_sqlite(void **state)
{
	struct sqlite_header header;
	uint8_t page[512];

	(void) state;
	page_one(page);
	assert_null(sqlite_header_parse(page, &header));
	assert_int_equal(header.page_size_bytes, 512);
	assert_int_equal(header.write_version, 2);
	assert_int_equal(header.read_version, 2);
	assert_int_equal(header.reserved_bytes, 0);
	assert_int_equal(header.change_counter, 2);
	assert_int_equal(header.n_pages, 2);
}

static void header_page_sizes(void **state)
{
	struct sqlite_header header;
	uint8_t page[512];

	(void) state;
	page_one(page);
	for (uint32_t size = 512; size <= 32768; size *= 2) {
		page[16] = (uint8_t) (size >> 8);
		page[17] = (uint8_t) size;
		assert_null(sqlite_header_parse(page, &header));
		assert_int_equal(header.page_size_bytes, size);
	}
	/* 65536 does not fit into its field. */
	page[16] = 0;
	page[17] = 1;
	assert_null(sqlite_header_parse(page, &header));
	assert_int_equal(header.page_size_bytes, 65536);
}

static void header_big_endian_numbers(void **state)
{
	struct sqlite_header header;
	uint8_t page[512];

	(void) state;
	page_one(page);
	page[20] = 8;
	put4(page + 24, 0x81020304);
	put4(page + 28, 0xf1020305);
	put4(page + 92, 0x81020304);
	assert_null(sqlite_header_parse(page, &header));
	assert_int_equal(header.reserved_bytes, 8);
	assert_int_equal(header.change_counter, 0x81020304);
	assert_int_equal(header.n_pages, 0xf1020305);
}

/* Old versions of SQLite leave a size behind that is not true any more. */
static void header_size_out_of_date(void **state)
{
	struct sqlite_header header;
	uint8_t page[512];

	(void) state;
	page_one(page);
	put4(page + 92, 1);
	assert_null(sqlite_header_parse(page, &header));
	assert_int_equal(header.change_counter, 2);
	assert_int_equal(header.n_pages, 0);
}

static void header_versions(void **state)
{
	struct sqlite_header header;
	uint8_t page[512];

	(void) state;
	page_one(page);
	page[18] = page[19] = 1;
	assert_null(sqlite_header_parse(page, &header));
	assert_int_equal(header.read_version, 1);
	/* A newer writer's file can be read as long as it says so. */
	page[18] = 3;
	page[19] = 2;
	assert_null(sqlite_header_parse(page, &header));
	assert_int_equal(header.write_version, 3);
}

static void header_rejections(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *message;
	} table[] = {
	    {0, 's', "magic"},
	    {14, '4', "magic"},
	    {15, ' ', "magic"},
	    {16, 0, "page size"}, /* 0 */
	    {16, 1, "page size"}, /* 256 */
	    {16, 3, "page size"}, /* 768 */
	    {17, 1, "page size"}, /* 513 */
	    {21, 63, "payload fractions"},
	    {22, 33, "payload fractions"},
	    {23, 0, "payload fractions"},
	    {19, 0, "read version"},
	    {19, 3, "read version"},
	    {19, 255, "read version"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sqlite_header header;
		const char *wrong;
		uint8_t page[512];

		page_one(page);
		assert_null(sqlite_header_parse(page, &header));
		page[table[i].at] = table[i].value;
		wrong = sqlite_header_parse(page, &header);
		assert_non_null(wrong);
		assert_non_null(strstr(wrong, table[i].message));
	}
}

static void page_sizes(void **state)
{
	size_t n = 0;

	(void) state;
	for (uint32_t size = 0; size <= 200000; size++)
		n += sqlite_page_size_valid(size);
	assert_int_equal(n, 8);
	for (uint32_t size = 512; size <= 65536; size *= 2)
		assert_true(sqlite_page_size_valid(size));
	assert_false(sqlite_page_size_valid(UINT32_C(1) << 31));
}

static void magic(void **state)
{
	uint8_t bytes[16];

	(void) state;
	memcpy(bytes, "SQLite format 3", 16);
	assert_true(sqlite_header_has_magic(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		assert_false(sqlite_header_has_magic(bytes));
		bytes[i] ^= 1;
	}
}

/* ---- checksums ----------------------------------------------------------- */

/* The text of the specification, one byte after the other. */
static struct sqlite_checksum reference(struct sqlite_checksum sum,
    bool big_endian, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += 4) {
		uint32_t x = 0;

		for (size_t k = 0; k < 4; k++)
			x |= (uint32_t) data[i + k]
			    << (big_endian ? 24 - 8 * k : 8 * k);
		if (i % 8 == 0)
			sum.s0 += x + sum.s1;
		else
			sum.s1 += x + sum.s0;
	}
	return sum;
}

/* ---- the log ------------------------------------------------------------- */

static void wal_header_of_sqlite(void **state)
{
	struct sqlite_wal_header header;

	(void) state;
	assert_null(sqlite_wal_header_parse(wal_header, &header));
	assert_false(header.big_endian);
	assert_int_equal(header.page_size_bytes, 512);
	assert_memory_equal(header.salts, wal_header + 16, 8);
	assert_int_equal(header.checksum.s0, 0x43e87b13);
	assert_int_equal(header.checksum.s1, 0xf8717df4);
}

static void frame_of_sqlite(void **state)
{
	struct sqlite_wal_header header;
	struct sqlite_frame_header frame;
	struct sqlite_checksum sum;
	uint8_t page[512];

	(void) state;
	page_one(page);
	assert_null(sqlite_wal_header_parse(wal_header, &header));
	sqlite_frame_header_parse(frame_one, &frame);
	assert_int_equal(frame.page, 1);
	assert_int_equal(frame.n_pages_commit, 0);
	assert_memory_equal(frame.salts, header.salts, 8);
	sum = sqlite_checksum_add(header.checksum, false, frame_one, 8);
	sum = sqlite_checksum_add(sum, false, page, sizeof(page));
	assert_true(sqlite_checksum_equal(sum, frame.checksum));
	page[511] ^= 1;
	sum = sqlite_checksum_add(header.checksum, false, frame_one, 8);
	sum = sqlite_checksum_add(sum, false, page, sizeof(page));
	assert_false(sqlite_checksum_equal(sum, frame.checksum));
}

/* A valid header of our own making. */
static void make_wal_header(
    uint8_t bytes[32], bool big_endian, uint32_t version, uint32_t page_size)
{
	struct sqlite_checksum sum = {0, 0};

	put4(bytes, big_endian ? 0x377f0683 : 0x377f0682);
	put4(bytes + 4, version);
	put4(bytes + 8, page_size);
	put4(bytes + 12, 7);
	memcpy(bytes + 16, "saltSALT", 8);
	sum = reference(sum, big_endian, bytes, 24);
	/* Stored big-endian in either case. */
	put4(bytes + 24, sum.s0);
	put4(bytes + 28, sum.s1);
}

static void wal_header_both_orders(void **state)
{
	(void) state;
	for (int big = 0; big < 2; big++)
		for (uint32_t size = 512; size <= 65536; size *= 2) {
			struct sqlite_wal_header header;
			uint8_t bytes[32];

			make_wal_header(bytes, big, 3007000, size);
			assert_null(sqlite_wal_header_parse(bytes, &header));
			assert_int_equal(header.big_endian, big);
			assert_int_equal(header.page_size_bytes, size);
			assert_memory_equal(header.salts, "saltSALT", 8);
		}
}

static void wal_header_rejections(void **state)
{
	static const uint32_t sizes[] = {0, 1, 256, 511, 513, 768, 131072};
	struct sqlite_wal_header header;
	uint8_t bytes[32];
	const char *wrong;

	(void) state;
	make_wal_header(bytes, false, 3007000, 4096);
	put4(bytes, 0x377f0680);
	wrong = sqlite_wal_header_parse(bytes, &header);
	assert_non_null(wrong);
	assert_string_equal(wrong, "wrong magic");

	make_wal_header(bytes, true, 3007001, 4096);
	wrong = sqlite_wal_header_parse(bytes, &header);
	assert_non_null(wrong);
	assert_string_equal(wrong, "unknown version");

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		make_wal_header(bytes, true, 3007000, sizes[i]);
		wrong = sqlite_wal_header_parse(bytes, &header);
		assert_non_null(wrong);
		assert_string_equal(wrong, "impossible page size");
	}
}

/* Every bit of the header counts, the byte order in the magic too. */
static void wal_header_every_bit(void **state)
{
	(void) state;
	for (size_t bit = 0; bit < 32 * 8; bit++) {
		struct sqlite_wal_header header;
		uint8_t bytes[32];

		make_wal_header(bytes, false, 3007000, 4096);
		assert_null(sqlite_wal_header_parse(bytes, &header));
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		assert_non_null(sqlite_wal_header_parse(bytes, &header));
	}
}

static void frame_header(void **state)
{
	struct sqlite_frame_header frame;
	uint8_t bytes[24];

	(void) state;
	put4(bytes, 0x80000001);
	put4(bytes + 4, 0x90000002);
	memcpy(bytes + 8, "12345678", 8);
	put4(bytes + 16, 0xa0000003);
	put4(bytes + 20, 0xb0000004);
	sqlite_frame_header_parse(bytes, &frame);
	assert_int_equal(frame.page, 0x80000001);
	assert_int_equal(frame.n_pages_commit, 0x90000002);
	assert_memory_equal(frame.salts, "12345678", 8);
	assert_int_equal(frame.checksum.s0, 0xa0000003);
	assert_int_equal(frame.checksum.s1, 0xb0000004);
}

static void frame_offsets(void **state)
{
	(void) state;
	assert_int_equal(sqlite_frame_offset(1, 512), 32);
	assert_int_equal(sqlite_frame_offset(2, 512), 32 + 24 + 512);
	assert_int_equal(sqlite_frame_offset(3, 65536), 32 + 2 * (24 + 65536));
	/* Logs may be longer than 4 GiB. */
	assert_true(sqlite_frame_offset(0x80000000, 65536) ==
	    32 + UINT64_C(0x7fffffff) * (24 + 65536));
}

/* ---- the wal-index ------------------------------------------------------- */

static void index_header_of_sqlite(void **state)
{
	struct sqlite_index_header header;

	(void) state;
	if (BYTE_ORDER != LITTLE_ENDIAN)
		skip();
	memcpy(&header, index_header, sizeof(header));
	assert_true(sqlite_index_header_valid(&header));
	assert_int_equal(sqlite_index_page_size(&header), 512);
	assert_int_equal(header.max_frame, 3);
	assert_int_equal(header.n_pages, 2);
	assert_int_equal(header.big_endian, 0);
	assert_memory_equal(header.salts, wal_header + 16, 8);
	for (size_t bit = 0; bit < 48 * 8; bit++) {
		((uint8_t *) &header)[bit / 8] ^= (uint8_t) (1 << bit % 8);
		assert_false(sqlite_index_header_valid(&header));
		((uint8_t *) &header)[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
}

static void sign_index(struct sqlite_index_header *header)
{
	struct sqlite_checksum sum = {0, 0};

	header->checksum = reference(
	    sum, BYTE_ORDER == BIG_ENDIAN, (const uint8_t *) header, 40);
}

static void index_header_rejections(void **state)
{
	struct sqlite_index_header header = {
	    .version = 3007000, .initialised = 1, .page_size_code = 4096};

	(void) state;
	sign_index(&header);
	assert_true(sqlite_index_header_valid(&header));
	header.version = 3007001;
	sign_index(&header);
	assert_false(sqlite_index_header_valid(&header));
	header.version = 3007000;
	header.initialised = 0;
	sign_index(&header);
	assert_false(sqlite_index_header_valid(&header));
	/* What a -shm holds that was just made. */
	memset(&header, 0, sizeof(header));
	assert_false(sqlite_index_header_valid(&header));
}

static void index_page_size(void **state)
{
	struct sqlite_index_header header = {0};

	(void) state;
	for (uint32_t size = 512; size <= 32768; size *= 2) {
		header.page_size_code = (uint16_t) size;
		assert_int_equal(sqlite_index_page_size(&header), size);
	}
	header.page_size_code = 1;
	assert_int_equal(sqlite_index_page_size(&header), 65536);
}

static void index_locate(void **state)
{
	static const struct {
		uint32_t frame;
		int block;
		size_t word;
	} table[] = {
	    {1, 0, 34},
	    {2, 0, 35},
	    {4062, 0, 34 + 4061},
	    {4063, 1, 0},
	    {4064, 1, 1},
	    {8158, 1, 4095},
	    {8159, 2, 0},
	    {12254, 2, 4095},
	    {12255, 3, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t word = 0;
		int block = -1;

		sqlite_index_locate(table[i].frame, &block, &word);
		assert_int_equal(block, table[i].block);
		assert_int_equal(word, table[i].word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(header_of_sqlite),
	    cmocka_unit_test(header_page_sizes),
	    cmocka_unit_test(header_big_endian_numbers),
	    cmocka_unit_test(header_size_out_of_date),
	    cmocka_unit_test(header_versions),
	    cmocka_unit_test(header_rejections),
	    cmocka_unit_test(page_sizes),
	    cmocka_unit_test(magic),
	    cmocka_unit_test(wal_header_of_sqlite),
	    cmocka_unit_test(frame_of_sqlite),
	    cmocka_unit_test(wal_header_both_orders),
	    cmocka_unit_test(wal_header_rejections),
	    cmocka_unit_test(wal_header_every_bit),
	    cmocka_unit_test(frame_header),
	    cmocka_unit_test(frame_offsets),
	    cmocka_unit_test(index_header_of_sqlite),
	    cmocka_unit_test(index_header_rejections),
	    cmocka_unit_test(index_page_size),
	    cmocka_unit_test(index_locate),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
