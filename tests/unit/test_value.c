/* SPDX-License-Identifier: MIT */
/* What stands behind an option. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/value.h"

#define K (UINT64_C(1) << 10)
#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)
#define T (UINT64_C(1) << 40)

static void size_is(const char *text, uint64_t want)
{
	struct still_error err = STILL_ERROR_INIT;
	uint64_t got = ~want;

	if (still_value_size("x", text, 0, UINT64_MAX, &got, &err) != 0)
		fail_msg("`%s`: %s", text, still_error_msg(&err));
	if (got != want)
		fail_msg("`%s` is %llu", text, (unsigned long long) got);
	assert_int_equal(err.code, 0);
}

/* INVALID with exactly this message, and nothing is set. */
static void size_fails(
    const char *text, uint64_t min, uint64_t max, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	uint64_t got = 4711;

	assert_int_equal(still_value_size("x", text, min, max, &got, &err),
	    STILL_ERR_INVALID);
	assert_string_equal(still_error_msg(&err), message);
	assert_int_equal(got, 4711);
	still_error_clear(&err);
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
	} table[] = {
	    {"0", 0},
	    {"1", 1},
	    {"007", 7},
	    {"1023", 1023},
	    {"1K", K},
	    {"1KiB", K},
	    {"3M", 3 * M},
	    {"3MiB", 3 * M},
	    {"1536M", 1536 * M},
	    {"2G", 2 * G},
	    {"2GiB", 2 * G},
	    {"5T", 5 * T},
	    {"5TiB", 5 * T},
	    {"0T", 0},
	    {"0000000000000000000000000000000001K", K},
	    {"18446744073709551615", UINT64_MAX},
	    {"18014398509481983K", UINT64_MAX - K + 1},
	    {"16777215T", UINT64_MAX - T + 1},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		size_is(table[i].text, table[i].want);
}

static void no_sizes(void **state)
{
	static const char *const table[] = {"", "K", "MiB", "x", "1x", "-1",
	    "+1", " 1", "1 ", "1 K", "1k", "1m", "1KB", "1B", "1Ki", "1KiBs",
	    "1KK", "1K1", "1.5G", "1e3", "0x10", "1P", "\xd9\xa1",
	    "99999999999999999999x"};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char message[96];

		snprintf(message, sizeof(message),
		    "option `x`: `%s` is not a size", table[i]);
		size_fails(table[i], 0, UINT64_MAX, message);
	}
}

/* The last that fit into 64 bits are among the sizes above. */
static void too_large(void **state)
{
	static const char *const table[] = {"18446744073709551616",
	    "18446744073709551620", "184467440737095516150",
	    "100000000000000000000000000000000", "18014398509481984K",
	    "17592186044416M", "17179869184G", "16777216T", "16777217T",
	    "18446744073709551615T"};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char message[128];

		snprintf(message, sizeof(message),
		    "option `x`: %s is out of range, it takes 0 to "
		    "18446744073709551615 bytes",
		    table[i]);
		size_fails(table[i], 0, UINT64_MAX, message);
	}
}

static void ranges(void **state)
{
	uint64_t got = 0;

	(void) state;
	assert_int_equal(still_value_size("x", "1K", 1024, M, &got, NULL), 0);
	assert_int_equal(got, 1024);
	assert_int_equal(still_value_size("x", "1M", 1024, M, &got, NULL), 0);
	assert_int_equal(got, M);
	size_fails("1023", 1024, M,
	    "option `x`: 1023 is out of range, it takes 1024 to 1048576 bytes");
	size_fails("1025K", 1024, M,
	    "option `x`: 1025K is out of range, it takes 1024 to 1048576 "
	    "bytes");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(no_sizes),
	    cmocka_unit_test(too_large),
	    cmocka_unit_test(ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
