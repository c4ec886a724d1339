/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "tests/unit/scratch.h"

static void assert_hex(struct still_hash128 hash, const char *want)
{
	char hex[STILL_HASH128_HEX_CHARS + 1];

	still_hash128_hex(hash, hex);
	assert_string_equal(hex, want);
}

/* As `xxhsum -H128` prints them: one for each branch of the algorithm. */
static void vectors(void **state)
{
	static const struct {
		size_t len;
		const char *hex;
	} counted[] = {
	    {240, "65b5be86da5540e7c92b68e16f83bbb6"},
	    {100000, "077f8d86a61f4d7439cf9d035d60ad58"},
	};
	uint8_t *bytes = calloc(1, 100000);

	(void) state;
	assert_non_null(bytes);
	assert_hex(still_hash128("", 0), "99aa06d3014798d86001c324468d497f");
	assert_hex(still_hash128("a", 1), "a96faf705af16834e6c632b61e964e1f");
	assert_hex(still_hash128("abc", 3), "06b05ab6733a618578af5f94892f3950");
	assert_hex(
	    still_hash128(bytes, 1000), "3fb94aea6d09b97224c1ea6074dd588c");
	for (size_t i = 0; i < 100000; i++)
		bytes[i] = (uint8_t) i;
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++)
		assert_hex(
		    still_hash128(bytes, counted[i].len), counted[i].hex);
	free(bytes);
	/* As `xxhsum -H3` does. */
	assert_true(still_hash64("abc", 3) == UINT64_C(0x78af5f94892f3950));
}

static void hex(void **state)
{
	struct still_hash128 hash;

	(void) state;
	for (size_t i = 0; i < sizeof(hash.bytes); i++)
		hash.bytes[i] = (uint8_t) (i * 0x11);
	assert_hex(hash, "00112233445566778899aabbccddeeff");
}

static void running(void **state)
{
	uint64_t random = scratch_seed();
	uint8_t *bytes = malloc(50000);

	(void) state;
	assert_non_null(bytes);
	for (size_t i = 0; i < 50000; i++)
		bytes[i] = (uint8_t) scratch_random(&random);
	for (int round = 0; round < 50; round++) {
		size_t len = (size_t) scratch_below(&random, 50001);
		struct still_hash_state *hash = still_hash_new();
		struct still_hash128 got;
		struct still_hash128 want = still_hash128(bytes, len);
		size_t done = 0;

		assert_non_null(hash);
		while (done < len) {
			size_t n = (size_t) scratch_below(&random, 3000);

			if (n > len - done)
				n = len - done;
			still_hash_update(hash, bytes + done, n);
			done += n;
		}
		got = still_hash_digest(hash);
		assert_memory_equal(got.bytes, want.bytes, 16);
		/* To look at it does not end it. */
		still_hash_update(hash, "x", 1);
		got = still_hash_digest(hash);
		assert_memory_not_equal(got.bytes, want.bytes, 16);
		still_hash_free(hash);
	}
	still_hash_free(NULL);
	free(bytes);
}

static void running_64(void **state)
{
	struct still_hash64_state *hash = still_hash64_new();
	uint64_t random = scratch_seed();
	uint8_t bytes[5000];

	(void) state;
	assert_non_null(hash);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t) scratch_random(&random);
	for (int round = 0; round < 200; round++) {
		size_t len = (size_t) scratch_below(&random, sizeof(bytes) + 1);
		size_t done = 0;

		still_hash64_reset(hash);
		while (done < len) {
			size_t n = (size_t) scratch_below(&random, 700);

			if (n > len - done)
				n = len - done;
			still_hash64_update(hash, bytes + done, n);
			done += n;
		}
		assert_true(
		    still_hash64_digest(hash) == still_hash64(bytes, len));
	}
	still_hash64_free(hash);
	still_hash64_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vectors),
	    cmocka_unit_test(hex),
	    cmocka_unit_test(running),
	    cmocka_unit_test(running_64),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
