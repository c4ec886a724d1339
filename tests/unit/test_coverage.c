/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/coverage.h"
#include "tests/unit/scratch.h"

/* ---- steps --------------------------------------------------------------- */

static void table(void **state)
{
	static const struct {
		uint64_t from;
		uint64_t to;
		uint64_t fresh;
		size_t n;      /* ranges then */
		uint64_t size; /* of the largest file that is whole then */
	} steps[] = {
	    {10, 20, 10, 1, 0},
	    {10, 20, 0, 1, 0},
	    {12, 15, 0, 1, 0},
	    {5, 5, 0, 1, 0}, /* nothing */
	    {6, 5, 0, 1, 0}, /* less than nothing */
	    {30, 40, 10, 2, 0},
	    {20, 25, 5, 2, 0}, /* touches from behind */
	    {28, 30, 2, 2, 0}, /* touches from before */
	    {25, 28, 3, 1, 0}, /* closes the hole */
	    {50, 60, 10, 2, 0},
	    {70, 80, 10, 3, 0},
	    {90, 91, 1, 4, 0},
	    {35, 75, 20, 2, 0}, /* swallows one, and parts of two */
	    {0, 5, 5, 3, 5},
	    {4, 11, 5, 2, 80},
	    {0, 100, 19, 1, 100},
	    {200, 201, 1, 2, 100},
	    {UINT64_MAX - 1, UINT64_MAX, 1, 3, 100},
	};
	struct still_coverage coverage = {0};
	uint64_t total = 0;

	(void) state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (still_coverage_add(&coverage, steps[i].from, steps[i].to) !=
			steps[i].fresh ||
		    coverage.n != steps[i].n)
			fail_msg("step %zu", i);
		total += steps[i].fresh;
		assert_true(still_coverage_bytes(&coverage) == total);
		assert_true(still_coverage_whole(&coverage, steps[i].size));
		assert_false(
		    still_coverage_whole(&coverage, steps[i].size + 1));
	}
	still_coverage_release(&coverage);
	assert_int_equal(coverage.n, 0);
	still_coverage_release(&coverage);
}

static void empty(void **state)
{
	struct still_coverage coverage = {0};

	(void) state;
	assert_int_equal(still_coverage_bytes(&coverage), 0);
	assert_true(still_coverage_whole(&coverage, 0));
	assert_false(still_coverage_whole(&coverage, 1));
	still_coverage_release(&coverage);
}

/* ---- against a bitmap ---------------------------------------------------- */

#define MODEL_BYTES 8192

struct model {
	uint8_t served[MODEL_BYTES];
	uint64_t total; /* what still_coverage_add() said, summed */
};

static uint64_t mark(struct model *model, uint64_t from, uint64_t to)
{
	uint64_t fresh = 0;

	for (; from < to; from++) {
		fresh += !model->served[from];
		model->served[from] = 1;
	}
	return fresh;
}

/* The list keeps its own rules, tells of nothing that was not served, and adds
 * up to what it said. Returns the bytes in it. */
static uint64_t check(
    const struct still_coverage *coverage, const struct model *model)
{
	uint64_t listed = 0;

	assert_true(coverage->n <= STILL_COVERAGE_RANGES_MAX);
	for (size_t i = 0; i < coverage->n; i++) {
		const struct still_range *r = &coverage->ranges[i];

		assert_true(r->from_bytes < r->to_bytes);
		if (i > 0)
			assert_true(r[-1].to_bytes < r->from_bytes);
		for (uint64_t b = r->from_bytes; b < r->to_bytes; b++)
			assert_true(model->served[b]);
		listed += r->to_bytes - r->from_bytes;
	}
	assert_true(listed == model->total);
	return listed;
}

static void random_ranges(void **state)
{
	uint64_t random = scratch_seed();

	(void) state;
	for (int round = 0; round < 60; round++) {
		struct still_coverage coverage = {0};
		struct model model = {.total = 0};
		uint64_t longest = 1 + scratch_below(&random, 100);
		uint64_t size = 200 + scratch_below(&random, 1800);
		uint64_t whole = 0;

		for (int i = 0; i < 400; i++) {
			uint64_t from = scratch_below(&random, size);
			uint64_t to = from + scratch_below(&random, longest);
			uint64_t fresh;

			if (to > size)
				to = size;
			fresh = still_coverage_add(&coverage, from, to);
			model.total += fresh;
			assert_true(fresh == mark(&model, from, to));
		}
		check(&coverage, &model);
		while (whole < size && model.served[whole])
			whole++;
		assert_true(still_coverage_whole(&coverage, whole));
		assert_false(still_coverage_whole(&coverage, whole + 1));
		still_coverage_release(&coverage);
	}
}

/* ---- more holes than it can hold ----------------------------------------- */

static void bounded(void **state)
{
	struct still_coverage coverage = {0};

	(void) state;
	for (uint64_t i = 0; i < STILL_COVERAGE_RANGES_MAX; i++)
		assert_int_equal(
		    still_coverage_add(&coverage, 2 * i + 1, 2 * i + 2), 1);
	assert_int_equal(coverage.n, STILL_COVERAGE_RANGES_MAX);
	/* Forgotten, and said so. */
	assert_int_equal(still_coverage_add(&coverage, 10000, 20000), 0);
	assert_int_equal(coverage.n, STILL_COVERAGE_RANGES_MAX);
	/* What joins a range needs no room. */
	assert_int_equal(still_coverage_add(&coverage, 0, 1), 1);
	assert_int_equal(still_coverage_add(&coverage, 2, 3), 1);
	assert_int_equal(coverage.n, STILL_COVERAGE_RANGES_MAX - 1);
	assert_int_equal(still_coverage_add(&coverage, 10000, 20000), 10000);
	/* Who reads it all over is whole in the end. */
	assert_int_equal(still_coverage_add(&coverage, 0, 30000),
	    30000 - 10000 - STILL_COVERAGE_RANGES_MAX - 2);
	assert_true(still_coverage_whole(&coverage, 30000));
	still_coverage_release(&coverage);
}

/* A reader that leaves so many holes is under-reported, never over-reported. */
static void random_bytes_beyond_the_bound(void **state)
{
	uint64_t random = scratch_seed();

	(void) state;
	for (int round = 0; round < 5; round++) {
		struct still_coverage coverage = {0};
		struct model model = {.total = 0};
		uint64_t served = 0;

		for (int i = 0; i < 4000; i++) {
			uint64_t from = scratch_below(&random, MODEL_BYTES);
			uint64_t fresh = still_coverage_add(
			    &coverage, from, from + 1);

			model.total += fresh;
			/* A byte that was forgotten may be told later, so only
			 * the sum is bounded. */
			served += mark(&model, from, from + 1);
			assert_true(model.total <= served);
		}
		/* The bound was reached, or this proves nothing. */
		assert_true(check(&coverage, &model) < served);
		assert_false(still_coverage_whole(&coverage, MODEL_BYTES));
		still_coverage_release(&coverage);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table),
	    cmocka_unit_test(empty),
	    cmocka_unit_test(random_ranges),
	    cmocka_unit_test(bounded),
	    cmocka_unit_test(random_bytes_beyond_the_bound),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
