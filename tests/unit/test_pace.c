/* SPDX-License-Identifier: MIT */
/* How long a big copy pauses, by a clock and logs that the test makes up. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/sys.h"
#include "engines/sqlite/pace.h"

#define MS INT64_C(1000000)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define PAUSE_MAX_NS (100 * MS)
#define START_NS (INT64_C(7) * STILL_NS_PER_S)

/* Paid for at the pace where nothing presses. */
static int64_t plain_ns(uint64_t bytes)
{
	return (int64_t) ((double) bytes / (double) SQLITE_PACE_BYTES_PER_S *
	    (double) STILL_NS_PER_S);
}

static void near(int64_t got_ns, int64_t want_ns)
{
	if (got_ns < want_ns - 1000 || got_ns > want_ns + 1000)
		fail_msg("%lld ns, and not %lld", (long long) got_ns,
		    (long long) want_ns);
}

/* Copy `bytes`, a MiB at a time, where a MiB takes `busy_ns` and the logs grow
 * by `growth` bytes a second: how long it takes in all. */
static int64_t copy_ns(
    uint64_t bytes, uint64_t limit, int64_t busy_ns, uint64_t growth)
{
	struct sqlite_pace pace = {.limit_bytes = limit};
	int64_t now_ns = START_NS;

	for (uint64_t done = MIB; done <= bytes; done += MIB) {
		uint64_t grown;
		int64_t ns;

		now_ns += busy_ns;
		grown = (uint64_t) ((double) growth *
		    ((double) (now_ns - START_NS) / (double) STILL_NS_PER_S));
		ns = sqlite_pace_pause_ns(
		    &pace, MIB, bytes - done, grown, now_ns);
		assert_in_range(ns, 0, PAUSE_MAX_NS);
		now_ns += ns;
	}
	return now_ns - START_NS;
}

/* ---- nothing presses ----------------------------------------------------- */

/* 128 MiB a second, whatever the logs do. */
static void no_limit(void **state)
{
	int64_t ns = copy_ns(GIB, 0, MS / 10, 0);

	(void) state;
	assert_in_range(ns, plain_ns(GIB) - 10 * MS, plain_ns(GIB) + 10 * MS);
	ns = copy_ns(GIB, 0, MS / 10, GIB);
	assert_in_range(ns, plain_ns(GIB) - 10 * MS, plain_ns(GIB) + 10 * MS);
}

static void idle_log(void **state)
{
	int64_t ns = copy_ns(GIB, GIB, MS / 10, 0);

	(void) state;
	assert_in_range(ns, plain_ns(GIB) - 10 * MS, plain_ns(GIB) + 10 * MS);
}

/* What a log had grown by before says nothing of its speed, and one that began
 * anew has none. */
static void log_grew_before(void **state)
{
	struct sqlite_pace pace = {.limit_bytes = 4 * GIB};
	int64_t now_ns = START_NS;

	(void) state;
	near(sqlite_pace_pause_ns(&pace, MIB, 100 * GIB, GIB, now_ns),
	    plain_ns(MIB));
	/* A quarter of a second pays for 32 MiB. */
	now_ns += 250 * MS;
	near(sqlite_pace_pause_ns(&pace, 33 * MIB, 100 * GIB, GIB, now_ns),
	    plain_ns(2 * MIB));
	now_ns += 250 * MS;
	near(sqlite_pace_pause_ns(&pace, 33 * MIB, 100 * GIB, MIB, now_ns),
	    plain_ns(3 * MIB));
}

/* A growth that does not press slows nothing down either. */
static void log_grows_slowly(void **state)
{
	int64_t ns = copy_ns(GIB, 64 * GIB, MS / 10, 16 * MIB);

	(void) state;
	assert_in_range(ns, plain_ns(GIB) - 10 * MS, plain_ns(GIB) + 10 * MS);
}

/* With a disk that is slower than the pace there are no pauses, but for the
 * first piece, of which nobody knows how long it took. */
static void slow_disk(void **state)
{
	const int64_t busy_ns = 10 * MS * (int64_t) (GIB / MIB);

	(void) state;
	assert_in_range(
	    copy_ns(GIB, 0, 10 * MS, 0), busy_ns, busy_ns + plain_ns(MIB));
}

/* ---- a log that presses -------------------------------------------------- */

/* The rate that is told: what is left, before the other half is used up. */
static void growing_log(void **state)
{
	struct sqlite_pace pace = {.limit_bytes = GIB};
	int64_t now_ns = START_NS;

	(void) state;
	assert_int_equal(sqlite_pace_pause_ns(&pace, 0, 8 * GIB, 0, now_ns), 0);
	/* 128 MiB in a second, so 3 s are left: 8 GiB / 3 s. */
	now_ns += STILL_NS_PER_S;
	near(sqlite_pace_pause_ns(&pace, 3 * GIB, 8 * GIB, 128 * MIB, now_ns),
	    PAUSE_MAX_NS);
	near((int64_t) (pace.debt_bytes / (double) MIB),
	    (int64_t) (3 * 1024 - 8192 / 3));
	/* The same copy is in time by that, and would not be without. */
	assert_true(copy_ns(8 * GIB, GIB, MS / 10, 32 * MIB) <
	    16 * STILL_NS_PER_S + 10 * MS);
	assert_true(
	    copy_ns(8 * GIB, 0, MS / 10, 32 * MIB) > 60 * STILL_NS_PER_S);
}

/* In the first quarter of a second a burst would be taken for the speed. */
static void growth_is_learnt(void **state)
{
	struct sqlite_pace pace = {.limit_bytes = GIB};

	(void) state;
	near(sqlite_pace_pause_ns(&pace, MIB, 64 * GIB, 0, START_NS),
	    plain_ns(MIB));
	near(sqlite_pace_pause_ns(
		 &pace, 32 * MIB, 64 * GIB, 100 * MIB, START_NS + 250 * MS - 1),
	    plain_ns(33 * MIB) - 250 * MS);
	/* 64 GiB at 400 MiB a second, of which 412 are left: without delay. */
	assert_int_equal(sqlite_pace_pause_ns(&pace, 32 * MIB, 64 * GIB,
			     100 * MIB, START_NS + 250 * MS),
	    0);
}

/* From half of the limit on it goes as fast as it can, and owes nothing for it
 * later. */
static void half_is_used_up(void **state)
{
	struct sqlite_pace pace = {.limit_bytes = GIB};
	int64_t now_ns = START_NS;

	(void) state;
	assert_true(sqlite_pace_pause_ns(
			&pace, 64 * MIB, GIB, GIB / 2 - 1, now_ns) > 0);
	assert_true(pace.debt_bytes > 0);
	assert_int_equal(
	    sqlite_pace_pause_ns(&pace, 64 * MIB, GIB, GIB / 2, now_ns), 0);
	assert_true(pace.debt_bytes == 0);
	assert_int_equal(
	    sqlite_pace_pause_ns(&pace, GIB, GIB, 2 * GIB, now_ns), 0);
	/* The log began anew. */
	near(sqlite_pace_pause_ns(&pace, MIB, GIB, 0, now_ns), plain_ns(MIB));
}

/* ---- debt and time ------------------------------------------------------- */

/* What is too short to sleep for is not forgotten. */
static void debt_adds_up(void **state)
{
	struct sqlite_pace pace = {0};
	const uint64_t piece = 64 << 10; /* half a millisecond */
	int64_t ns = 0;

	(void) state;
	assert_int_equal(
	    sqlite_pace_pause_ns(&pace, piece, GIB, 0, START_NS), 0);
	for (uint64_t n = 2; n <= 5; n++) {
		ns = sqlite_pace_pause_ns(&pace, piece, GIB, 0, START_NS);
		if (plain_ns(n * piece) >= MS)
			near(ns, plain_ns(n * piece));
		else
			assert_int_equal(ns, 0);
	}
	/* It slept, and half as long again. */
	near(sqlite_pace_pause_ns(&pace, 4 * piece, GIB, 0, START_NS + ns),
	    plain_ns(4 * piece));
	near(sqlite_pace_pause_ns(&pace, 0, GIB, 0, START_NS + ns + MS / 2),
	    plain_ns(4 * piece) - MS / 2);
}

/* A pause is short, so that a stop and a log that grows are seen; the rest of
 * the debt stays. */
static void pauses_are_short(void **state)
{
	struct sqlite_pace pace = {0};
	int64_t now_ns = START_NS;

	(void) state;
	/* A second's worth. */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(sqlite_pace_pause_ns(&pace,
				     i == 0 ? 128 * MIB : 0, GIB, 0, now_ns),
		    PAUSE_MAX_NS);
		now_ns += PAUSE_MAX_NS;
	}
	assert_int_equal(sqlite_pace_pause_ns(&pace, 0, GIB, 0, now_ns), 0);
}

/* Time that went by unused is nothing that could be spent at once later. */
static void no_credit(void **state)
{
	struct sqlite_pace pace = {0};
	int64_t now_ns = START_NS;

	(void) state;
	near(sqlite_pace_pause_ns(&pace, MIB, GIB, 0, now_ns), plain_ns(MIB));
	now_ns += 100 * STILL_NS_PER_S;
	assert_int_equal(sqlite_pace_pause_ns(&pace, MIB, GIB, 0, now_ns), 0);
	near(sqlite_pace_pause_ns(&pace, 2 * MIB, GIB, 0, now_ns),
	    plain_ns(2 * MIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_limit),
	    cmocka_unit_test(idle_log),
	    cmocka_unit_test(log_grew_before),
	    cmocka_unit_test(log_grows_slowly),
	    cmocka_unit_test(slow_disk),
	    cmocka_unit_test(growing_log),
	    cmocka_unit_test(growth_is_learnt),
	    cmocka_unit_test(half_is_used_up),
	    cmocka_unit_test(debt_adds_up),
	    cmocka_unit_test(pauses_are_short),
	    cmocka_unit_test(no_credit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
