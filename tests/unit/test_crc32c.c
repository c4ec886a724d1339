/* SPDX-License-Identifier: MIT */
/* The fast CRC-32C against vectors of others, and against the definition. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#if defined(__x86_64__)
#	include <cpuid.h>
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/crc32c.h"
#include "tests/unit/scratch.h"

static uint32_t whole(const void *data, size_t len)
{
	return still_crc32c_end(still_crc32c(STILL_CRC32C_INIT, data, len));
}

/* One bit after the other, from the polynomial. */
static uint32_t reference(uint32_t crc, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

/* RFC 3720, appendix B.4, and the check value of every catalogue. */
static void vectors(void **state)
{
	uint8_t bytes[32];

	(void) state;
	assert_int_equal(whole("", 0), 0);
	assert_int_equal(whole(NULL, 0), 0);
	assert_int_equal(whole("123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(whole(bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(whole(bytes, 32), 0x62a8ab43);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t) i;
	assert_int_equal(whole(bytes, 32), 0x46dd794e);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t) (31 - i);
	assert_int_equal(whole(bytes, 32), 0x113fdb5c);
}

/* Every length, at any alignment, in a buffer that ends where the data ends. */
static void lengths(void **state)
{
	uint64_t random = scratch_seed();

	(void) state;
	for (size_t len = 0; len < 2100; len++) {
		size_t skip = (size_t) scratch_below(&random, 16);
		uint32_t seed = (uint32_t) scratch_random(&random);
		uint8_t *bytes = malloc(skip + len + (skip + len == 0));

		assert_non_null(bytes);
		for (size_t i = 0; i < skip + len; i++)
			bytes[i] = (uint8_t) scratch_random(&random);
		if (still_crc32c(seed, bytes + skip, len) !=
		    reference(seed, bytes + skip, len))
			fail_msg("%zu bytes from %zu", len, skip);
		free(bytes);
	}
}

static void pieces(void **state)
{
	static uint8_t bytes[70000];
	uint64_t random = scratch_seed();
	uint32_t want;

	(void) state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t) scratch_random(&random);
	want = reference(STILL_CRC32C_INIT, bytes, sizeof(bytes));
	for (int run = 0; run < 100; run++) {
		uint32_t crc = STILL_CRC32C_INIT;
		size_t done = 0;

		while (done < sizeof(bytes)) {
			size_t n = (size_t) scratch_below(&random, 3000);

			if (n > sizeof(bytes) - done)
				n = sizeof(bytes) - done;
			crc = still_crc32c(crc, bytes + done, n);
			done += n;
		}
		assert_int_equal(crc, want);
	}
}

/* More than the library can count: 2 GiB and a little, of which no page
 * exists. */
static void huge(void **state)
{
	size_t len = ((size_t) 1 << 31) + 12345;
	uint8_t *zeros = mmap(NULL, len, PROT_READ,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint32_t want = STILL_CRC32C_INIT;

	(void) state;
	assert_true(zeros != MAP_FAILED);
	for (size_t done = 0; done < len;) {
		size_t n = len - done < 1 << 20 ? len - done : 1 << 20;

		want = still_crc32c(want, zeros, n);
		done += n;
	}
	assert_int_equal(still_crc32c(STILL_CRC32C_INIT, zeros, len), want);
	munmap(zeros, len);
}

/* The processor itself says which of its registers are in use. */
static void leaves_vectors_clean(void **state)
{
#if defined(__x86_64__)
	static const uint8_t bytes[8192];
	unsigned eax = 0, ebx, ecx, edx;

	(void) state;
	if (!__builtin_cpu_supports("avx") ||
	    !__get_cpuid_count(0xd, 1, &eax, &ebx, &ecx, &edx) || !(eax & 4))
		skip();
	still_crc32c(STILL_CRC32C_INIT, bytes, sizeof(bytes));
	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(1));
	assert_int_equal(eax & 4, 0);
#else
	(void) state;
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vectors),
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(pieces),
	    cmocka_unit_test(huge),
	    cmocka_unit_test(leaves_vectors_clean),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
