/* SPDX-License-Identifier: MIT */
/*
 * crew: some threads that share out the jobs of one task, until all are done,
 * one fails, or the task is stopped.
 */
#ifndef STILL_CORE_CREW_H
#define STILL_CORE_CREW_H

#include <stddef.h>

#include "base/error.h"
#include "core/ticker.h"

#define STILL_CREW_MAX 32

/* Job `i`. 0, or a failure, which ends all of it. A long one looks at
 * still_ticker_stopped() now and then, and returns 0 when it is. */
typedef int still_crew_fn(void *arg, size_t i, struct still_error *err);

/*
 * Call `job` for 0 ... n - 1, which are begun in this order, in up to `n_threads`
 * threads (0: as many as there are processors). The caller's is one of them;
 * where no other can be had it does all. 0 when all are done; the first failure
 * (the ticker is stopped then); CANCELLED. Blocks until the last thread is
 * through.
 */
int still_crew_run(struct still_ticker *ticker, unsigned n_threads, size_t n,
    still_crew_fn *job, void *arg, struct still_error *err);

#endif
