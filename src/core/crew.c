/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/crew.h"

#include <sched.h>

#include "base/sys.h"

struct crew {
	struct still_ticker *ticker;
	still_crew_fn *job;
	void *arg;
	size_t n;
	atomic_size_t next;
	pthread_mutex_t lock; /* of what follows */
	int rc;               /* the first failure */
	struct still_error err;
};

static void *work(void *arg)
{
	struct crew *crew = arg;

	while (!still_ticker_stopped(crew->ticker)) {
		struct still_error err = STILL_ERROR_INIT;
		size_t i = atomic_fetch_add(&crew->next, 1);
		int rc;

		if (i >= crew->n)
			break;
		rc = crew->job(crew->arg, i, &err);
		if (rc < 0) {
			pthread_mutex_lock(&crew->lock);
			if (crew->rc == 0) {
				crew->rc = rc;
				still_error_copy(&crew->err, &err);
			}
			pthread_mutex_unlock(&crew->lock);
			still_ticker_stop(crew->ticker);
		}
		still_error_clear(&err);
	}
	return NULL;
}

static unsigned processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
							     : 1;

	return n > 0 ? (unsigned) n : 1;
}

static int result(struct crew *crew, struct still_error *err)
{
	if (crew->rc == 0)
		return still_ticker_check(crew->ticker, err);
	/* What was stopped by its caller may well fail of it. */
	if (still_ticker_check(crew->ticker, err) < 0)
		return STILL_ERR_CANCELLED;
	if (err)
		still_error_copy(err, &crew->err);
	return crew->rc;
}

int still_crew_run(struct still_ticker *ticker, unsigned n_threads, size_t n,
    still_crew_fn *job, void *arg, struct still_error *err)
{
	struct crew crew = {.ticker = ticker, .job = job, .arg = arg, .n = n};
	pthread_t threads[STILL_CREW_MAX];
	unsigned n_more = 0;
	int rc;

	if (n_threads == 0)
		n_threads = processors();
	if (n_threads > STILL_CREW_MAX)
		n_threads = STILL_CREW_MAX;
	pthread_mutex_init(&crew.lock, NULL);
	while (n_more + 1 < n_threads && n_more + 1 < n &&
	    still_sys_thread_start(&threads[n_more], work, &crew) == 0)
		n_more++;
	work(&crew);
	while (n_more > 0)
		pthread_join(threads[--n_more], NULL);
	rc = result(&crew, err);
	still_error_clear(&crew.err);
	pthread_mutex_destroy(&crew.lock);
	return rc;
}
