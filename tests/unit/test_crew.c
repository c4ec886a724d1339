/* SPDX-License-Identifier: MIT */
/* core/crew: each job once, in several threads, until one fails. */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/crew.h"
#include "tests/unit/scratch.h"

#define JOBS 5000

struct jobs {
	struct still_ticker ticker;
	struct still_task task;
	atomic_bool cancel;
	atomic_uint times[JOBS];
	atomic_uint done;
	unsigned wait_for; /* so many at the same time */
	atomic_uint at_once;
	size_t fails; /* with this one; JOBS: none */
	size_t cancels;
};

static int setup(void **state)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));

	jobs->task.cancel = &jobs->cancel;
	jobs->fails = JOBS;
	jobs->cancels = JOBS;
	still_ticker_begin(&jobs->ticker, &jobs->task);
	*state = jobs;
	return 0;
}

static int teardown(void **state)
{
	struct jobs *jobs = *state;

	still_ticker_end(&jobs->ticker);
	free(jobs);
	return 0;
}

static int job(void *arg, size_t i, struct still_error *err)
{
	struct jobs *jobs = arg;

	atomic_fetch_add(&jobs->times[i], 1);
	atomic_fetch_add(&jobs->at_once, 1);
	while (atomic_load(&jobs->at_once) < jobs->wait_for)
		sched_yield();
	if (i == jobs->cancels)
		atomic_store(&jobs->cancel, true);
	if (i == jobs->fails || i == jobs->fails + 1)
		return still_error_set(
		    err, STILL_ERR_IO, 0, NULL, "job %zu: failed", i);
	atomic_fetch_add(&jobs->done, 1);
	return 0;
}

static void each_once(void **state)
{
	struct jobs *jobs = *state;

	assert_int_equal(
	    still_crew_run(&jobs->ticker, 4, JOBS, job, jobs, NULL), 0);
	for (size_t i = 0; i < JOBS; i++)
		assert_int_equal(jobs->times[i], 1);
	assert_int_equal(
	    still_crew_run(&jobs->ticker, 0, 3, job, jobs, NULL), 0);
	assert_int_equal(jobs->times[2], 2);
	assert_int_equal(jobs->times[3], 1);
}

static void none(void **state)
{
	struct jobs *jobs = *state;

	assert_int_equal(
	    still_crew_run(&jobs->ticker, 4, 0, job, jobs, NULL), 0);
	assert_int_equal(jobs->done, 0);
}

/* It ends only if there are as many threads as were asked for. */
static void at_once(void **state)
{
	struct jobs *jobs = *state;

	jobs->wait_for = 6;
	assert_int_equal(
	    still_crew_run(&jobs->ticker, 6, 6, job, jobs, NULL), 0);
	assert_int_equal(jobs->done, 6);
}

static void the_first_failure_counts(void **state)
{
	struct jobs *jobs = *state;
	struct still_error err = STILL_ERROR_INIT;

	jobs->fails = 10;
	assert_int_equal(
	    still_crew_run(&jobs->ticker, 1, JOBS, job, jobs, &err),
	    STILL_ERR_IO);
	assert_string_equal(still_error_msg(&err), "job 10: failed");
	assert_int_equal(jobs->done, 10);
	assert_int_equal(jobs->times[11], 0);
	assert_true(still_ticker_stopped(&jobs->ticker));
	still_error_clear(&err);
}

static void failures_in_threads(void **state)
{
	struct jobs *jobs = *state;
	struct still_error err = STILL_ERROR_INIT;

	jobs->fails = 10;
	assert_int_equal(
	    still_crew_run(&jobs->ticker, 4, JOBS, job, jobs, &err),
	    STILL_ERR_IO);
	assert_true(jobs->done < JOBS - 1);
	assert_memory_equal(still_error_msg(&err), "job 1", 5);
	still_error_clear(&err);
}

static void cancelled(void **state)
{
	struct jobs *jobs = *state;
	struct still_error err = STILL_ERROR_INIT;

	jobs->cancels = 7;
	/* It may fail of it, and that says nothing. */
	jobs->fails = 7;
	assert_int_equal(
	    still_crew_run(&jobs->ticker, 1, JOBS, job, jobs, &err),
	    STILL_ERR_CANCELLED);
	assert_string_equal(still_error_msg(&err), "it was stopped");
	assert_int_equal(jobs->done, 7);
	still_error_clear(&err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(each_once),
	    TEST(none),
	    TEST(at_once),
	    TEST(the_first_failure_counts),
	    TEST(failures_in_threads),
	    TEST(cancelled),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
