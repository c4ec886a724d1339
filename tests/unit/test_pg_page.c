/* SPDX-License-Identifier: MIT */
/* Pages, against a checksum written from the text of the algorithm;
 * tests/engine/pg_formats.sh has those that a server wrote. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/page.h"
#include "tests/unit/scratch.h"

#define LEN ((size_t) STILL_PG_PAGE_BYTES)
#define SUM_AT 8
#define UPPER_AT 14

static const uint32_t offsets[32] = {0x5b1f36e9, 0xb8525960, 0x02ab50aa,
    0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c, 0xf8d4474f,
    0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a,
    0x0b1c9cdb, 0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979,
    0xcca6c0b2, 0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6,
    0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756};

static uint32_t mix(uint32_t sum, uint32_t value)
{
	sum ^= value;
	return sum * 16777619 ^ sum >> 17;
}

/* One column after the other, as nobody would compute it. */
static uint16_t reference(const uint8_t *page, uint32_t block)
{
	uint32_t result = 0;

	for (size_t column = 0; column < 32; column++) {
		uint32_t sum = offsets[column];

		for (size_t at = column * 4; at < LEN; at += 128) {
			uint32_t word;

			memcpy(&word, page + at, 4);
			if (at == SUM_AT)
				word &= 0xffff0000;
			sum = mix(sum, word);
		}
		result ^= mix(mix(sum, 0), 0);
	}
	return (uint16_t) ((result ^ block) % 65535 + 1);
}

static uint8_t *page_of(uint64_t *random)
{
	uint8_t *page = malloc(LEN);

	assert_non_null(page);
	for (size_t i = 0; i < LEN; i++)
		page[i] = (uint8_t) scratch_random(random);
	page[UPPER_AT] |= 1;
	return page;
}

static void set_sum(uint8_t *page, uint32_t block)
{
	uint16_t sum = still_pg_page_checksum(page, block);

	memcpy(page + SUM_AT, &sum, sizeof(sum));
}

static enum still_pg_page_verdict look(uint8_t *page, uint32_t block)
{
	uint64_t lsn;

	return still_pg_page_look(page, block, true, &lsn);
}

static void every_way(void **state)
{
	uint64_t random = scratch_seed();
	uint8_t *before = malloc(LEN);

	(void) state;
	for (int run = 0; run < 300; run++) {
		uint8_t *page = page_of(&random);
		uint32_t block = (uint32_t) scratch_random(&random);
		uint16_t want = reference(page, block);

		memcpy(before, page, LEN);
		assert_int_equal(still_pg_page_checksum(page, block), want);
		for (int way = 0; way < STILL_PG_PAGE_WAYS; way++)
			if (still_pg_page_has((enum still_pg_page_way) way))
				assert_int_equal(
				    still_pg_page_checksum_by(
					(enum still_pg_page_way) way, page,
					block),
				    want);
		assert_memory_equal(page, before, LEN);
		free(page);
	}
	assert_true(still_pg_page_has(STILL_PG_PAGE_PLAIN));
	assert_false(still_pg_page_has(STILL_PG_PAGE_WAYS));
	free(before);
}

static void verdicts(void **state)
{
	uint64_t random = scratch_seed();
	uint8_t *page = page_of(&random);
	uint64_t lsn;

	(void) state;
	set_sum(page, 131072 + 5);
	assert_int_equal(look(page, 131072 + 5), STILL_PG_PAGE_OK);
	/* A page of another place. */
	assert_int_equal(look(page, 5), STILL_PG_PAGE_BAD_CHECKSUM);
	assert_int_equal(
	    still_pg_page_look(page, 5, false, &lsn), STILL_PG_PAGE_OK);
	/* Free space that ends at 0 hides what the page holds. */
	memset(page + UPPER_AT, 0, 2);
	assert_int_equal(look(page, 5), STILL_PG_PAGE_BAD_HEADER);
	assert_int_equal(
	    still_pg_page_look(page, 5, false, &lsn), STILL_PG_PAGE_BAD_HEADER);
	free(page);
}

static void zeros(void **state)
{
	uint8_t *page = calloc(1, LEN);
	uint64_t lsn = 7;

	(void) state;
	assert_int_equal(
	    still_pg_page_look(page, 9, true, &lsn), STILL_PG_PAGE_ZERO);
	assert_true(lsn == 0);
	for (size_t bit = 0; bit < LEN * 8; bit++) {
		enum still_pg_page_verdict verdict;

		page[bit / 8] = (uint8_t) (1 << bit % 8);
		verdict = still_pg_page_look(page, 9, false, &lsn);
		page[bit / 8] = 0;
		if (bit / 8 == UPPER_AT || bit / 8 == UPPER_AT + 1)
			assert_int_equal(verdict, STILL_PG_PAGE_OK);
		else
			assert_int_equal(verdict, STILL_PG_PAGE_BAD_HEADER);
	}
	free(page);
}

/* Sixteen bits see every single bit of a page. */
static void any_flipped_bit(void **state)
{
	uint64_t random = scratch_seed();
	uint8_t *page = page_of(&random);
	uint32_t seen = 0;

	(void) state;
	set_sum(page, 77);
	for (size_t bit = 0; bit < LEN * 8; bit++) {
		page[bit / 8] ^= (uint8_t) (1 << bit % 8);
		seen += look(page, 77) != STILL_PG_PAGE_OK;
		page[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	/* One in 65535 is missed by chance. */
	assert_in_range(seen, LEN * 8 - 16, LEN * 8);
	assert_int_equal(look(page, 77), STILL_PG_PAGE_OK);
	free(page);
}

static void lsn_has_its_high_half_first(void **state)
{
	uint64_t random = scratch_seed();
	uint8_t *page = page_of(&random);
	const uint32_t halves[2] = {0x00000003, 0xaabbccdd};
	uint64_t lsn;

	(void) state;
	memcpy(page, halves, sizeof(halves));
	still_pg_page_look(page, 0, false, &lsn);
	assert_true(lsn == UINT64_C(0x3aabbccdd));
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_way),
	    cmocka_unit_test(verdicts),
	    cmocka_unit_test(zeros),
	    cmocka_unit_test(any_flipped_bit),
	    cmocka_unit_test(lsn_has_its_high_half_first),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
