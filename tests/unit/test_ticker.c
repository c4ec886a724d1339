/* SPDX-License-Identifier: MIT */
/* The ticker: each phase is told, a slow listener holds nothing up, and a task
 * is stopped by its caller or by a failure. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "core/ticker.h"

#define HEARD_MAX 64

struct listener {
	sem_t told;    /* a call has begun */
	sem_t release; /* and may end */
	bool slow;
	unsigned n;
	struct still_progress heard[HEARD_MAX];
	char paths[HEARD_MAX][32];
};

static void listen_to(void *arg, const struct still_progress *progress)
{
	struct listener *listener = arg;

	if (listener->n < HEARD_MAX) {
		listener->heard[listener->n] = *progress;
		snprintf(listener->paths[listener->n],
		    sizeof(listener->paths[0]), "%s", progress->path);
		listener->n++;
	}
	sem_post(&listener->told);
	if (listener->slow)
		sem_wait(&listener->release);
}

static void listener_init(struct listener *listener)
{
	memset(listener, 0, sizeof(*listener));
	sem_init(&listener->told, 0, 0);
	sem_init(&listener->release, 0, 0);
}

static void each_phase_is_told(void **state)
{
	struct listener listener;
	struct still_task task = {
	    .progress = listen_to, .progress_arg = &listener};
	struct still_ticker ticker;
	unsigned seen = 0;

	(void) state;
	listener_init(&listener);
	still_ticker_begin(&ticker, &task);
	for (int i = 0; i < STILL_PHASE_COUNT; i++) {
		still_ticker_phase(
		    &ticker, (enum still_phase) i, 3, 100 + (uint64_t) i);
		still_ticker_file(&ticker, "data/a.db");
		still_ticker_count(&ticker, 2, 70);
	}
	still_ticker_end(&ticker);
	/* How each of them ended, in their order. */
	for (unsigned i = 0; i < listener.n; i++) {
		const struct still_progress *p = &listener.heard[i];

		if ((unsigned) p->phase == seen && p->bytes_done == 70) {
			assert_int_equal(p->files, 3);
			assert_int_equal(p->files_done, 2);
			assert_int_equal(p->bytes, 100 + seen);
			seen++;
		}
	}
	assert_int_equal(seen, STILL_PHASE_COUNT);
	assert_string_equal(listener.paths[listener.n - 1], "data/a.db");
}

/* All of the work is done while one call is under way. */
static void slow_listener(void **state)
{
	struct listener listener;
	struct still_task task = {
	    .progress = listen_to, .progress_arg = &listener};
	struct still_ticker ticker;

	(void) state;
	listener_init(&listener);
	listener.slow = true;
	still_ticker_begin(&ticker, &task);
	still_ticker_phase(&ticker, STILL_PHASE_COPYING, 1000, 1000);
	sem_wait(&listener.told);
	for (int i = 0; i < 1000; i++) {
		still_ticker_file(&ticker, "data/b.db");
		still_ticker_count(&ticker, 1, 1);
	}
	for (int i = 0; i < 100; i++)
		still_ticker_phase(&ticker, STILL_PHASE_SYNCING, 0, 0);
	assert_int_equal(listener.n, 1);
	/* Who is in the middle of listening is not waited for. */
	assert_false(still_ticker_hold(&ticker));
	for (int i = 0; i < HEARD_MAX; i++)
		sem_post(&listener.release);
	still_ticker_end(&ticker);
	assert_true(listener.n > 1);
}

/* Held, it tells nothing, however often it is asked to. */
static void held(void **state)
{
	struct listener listener;
	struct still_task task = {
	    .progress = listen_to, .progress_arg = &listener};
	struct still_ticker ticker;
	unsigned before;

	(void) state;
	listener_init(&listener);
	still_ticker_begin(&ticker, &task);
	still_ticker_phase(&ticker, STILL_PHASE_COPYING, 1, 1);
	sem_wait(&listener.told);
	while (!still_ticker_hold(&ticker))
		;
	before = listener.n;
	for (int i = 0; i < 100; i++)
		still_ticker_phase(&ticker, STILL_PHASE_SYNCING, 0, 0);
	assert_int_equal(listener.n, before);
	still_ticker_let_go(&ticker);
	still_ticker_end(&ticker);
	assert_true(listener.n > before);
}

static void stopped(void **state)
{
	atomic_bool cancel = false;
	struct still_task task = {.cancel = &cancel};
	struct still_error err = STILL_ERROR_INIT;
	struct still_ticker ticker;

	(void) state;
	still_ticker_begin(&ticker, &task);
	assert_false(still_ticker_stopped(&ticker));
	assert_int_equal(still_ticker_check(&ticker, &err), 0);
	/* A failure stops the others, but is no cancel. */
	still_ticker_stop(&ticker);
	assert_true(still_ticker_stopped(&ticker));
	assert_int_equal(still_ticker_check(&ticker, &err), 0);
	atomic_store(&cancel, true);
	assert_int_equal(
	    still_ticker_check(&ticker, &err), STILL_ERR_CANCELLED);
	still_error_clear(&err);
	still_ticker_end(&ticker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_phase_is_told),
	    cmocka_unit_test(slow_listener),
	    cmocka_unit_test(held),
	    cmocka_unit_test(stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
