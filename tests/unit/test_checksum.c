/* SPDX-License-Identifier: MIT */
/* Every way to the log's checksum gives what the format's own text gives. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engines/sqlite/checksum.h"
#include "tests/unit/scratch.h"

#define LEN_MAX ((size_t) 65536)

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

static void assert_all_equal(struct sqlite_checksum seed, bool big_endian,
    const uint8_t *bytes, size_t len)
{
	struct sqlite_checksum want = reference(seed, big_endian, bytes, len);
	struct sqlite_checksum got = sqlite_checksum_add(
	    seed, big_endian, bytes, len);

	if (!sqlite_checksum_equal(got, want))
		fail_msg(
		    "%zu bytes, %s-endian", len, big_endian ? "big" : "little");
	for (int way = 0; way < SQLITE_CHECKSUM_WAYS; way++) {
		if (!sqlite_checksum_has((enum sqlite_checksum_way) way))
			continue;
		got = sqlite_checksum_add_by((enum sqlite_checksum_way) way,
		    seed, big_endian, bytes, len);
		if (!sqlite_checksum_equal(got, want))
			fail_msg("way %d: %zu bytes, %s-endian", way, len,
			    big_endian ? "big" : "little");
	}
}

/* A buffer of just this size, so that a sanitizer sees who reads beyond it. */
static uint8_t *random_bytes(uint64_t *random, size_t len)
{
	uint8_t *bytes = malloc(len + 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = scratch_random(random);

		memcpy(bytes + i, &word, len - i < 8 ? len - i : 8);
	}
	return bytes;
}

static struct sqlite_checksum random_seed(uint64_t *random)
{
	uint64_t word = scratch_random(random);

	return (struct sqlite_checksum){
	    (uint32_t) word, (uint32_t) (word >> 32)};
}

/* ---- what is there ------------------------------------------------------- */

static void ways(void **state)
{
	(void) state;
	assert_true(sqlite_checksum_has(SQLITE_CHECKSUM_SERIAL));
	assert_true(sqlite_checksum_has(SQLITE_CHECKSUM_VECTOR));
	assert_false(sqlite_checksum_has(SQLITE_CHECKSUM_WAYS));
	print_message("AVX2: %s\n",
	    sqlite_checksum_has(SQLITE_CHECKSUM_AVX2) ? "yes" : "no");
}

/* ---- equality ------------------------------------------------------------ */

/* Every length up to some blocks, and every page size. */
static void lengths(void **state)
{
	uint64_t random = scratch_seed();

	(void) state;
	for (size_t len = 0; len <= LEN_MAX; len += len < 4096 ? 8 : len) {
		uint8_t *bytes = random_bytes(&random, len);

		for (int big = 0; big < 2; big++)
			assert_all_equal(random_seed(&random), big, bytes, len);
		free(bytes);
	}
}

static void random_lengths(void **state)
{
	uint64_t random = scratch_seed();
	uint8_t *bytes = random_bytes(&random, LEN_MAX + 8);

	(void) state;
	for (int round = 0; round < 400; round++) {
		size_t len = 8 * (1 + (size_t) scratch_below(&random, 8192));
		size_t shift = (size_t) scratch_below(&random, 8);

		assert_all_equal(
		    random_seed(&random), round % 2, bytes + shift, len);
	}
	free(bytes);
}

/* Words that carry, and words that do not: a table that is wrong somewhere
 * cannot hide. */
static void single_words(void **state)
{
	static const uint8_t values[] = {0x01, 0x80, 0xff};
	struct sqlite_checksum seed = {0, 0};
	uint8_t bytes[2048];

	(void) state;
	for (size_t v = 0; v < sizeof(values); v++)
		for (size_t at = 0; at < sizeof(bytes); at++) {
			memset(bytes, 0, sizeof(bytes));
			bytes[at] = values[v];
			assert_all_equal(seed, at % 2, bytes, sizeof(bytes));
		}
	memset(bytes, 0xff, sizeof(bytes));
	seed = (struct sqlite_checksum){UINT32_MAX, UINT32_MAX};
	assert_all_equal(seed, false, bytes, sizeof(bytes));
	assert_all_equal(seed, true, bytes, sizeof(bytes));
}

static void in_pieces(void **state)
{
	uint64_t random = scratch_seed();
	uint8_t *bytes = random_bytes(&random, LEN_MAX);

	(void) state;
	for (int round = 0; round < 50; round++) {
		bool big = round % 2;
		struct sqlite_checksum sum = random_seed(&random);
		struct sqlite_checksum want = reference(
		    sum, big, bytes, LEN_MAX);

		for (size_t at = 0; at < LEN_MAX;) {
			size_t len = 8 * (size_t) scratch_below(&random, 1000);

			if (len > LEN_MAX - at)
				len = LEN_MAX - at;
			sum = sqlite_checksum_add(sum, big, bytes + at, len);
			at += len;
		}
		assert_true(sqlite_checksum_equal(sum, want));
		sum.s1 ^= 1;
		assert_false(sqlite_checksum_equal(sum, want));
		sum.s1 ^= 1;
		sum.s0 ^= 1;
		assert_false(sqlite_checksum_equal(sum, want));
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ways),
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(random_lengths),
	    cmocka_unit_test(single_words),
	    cmocka_unit_test(in_pieces),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
