/* SPDX-License-Identifier: MIT */
/*
 * governor_thread: what a governor does between its start and its stop, and what
 * the one who asks shares with it. The rules are in governor.h.
 */
#ifndef SQLITE_GOVERNOR_THREAD_H
#define SQLITE_GOVERNOR_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bell.h"
#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/complete.h"
#include "engines/sqlite/governor.h"
#include "engines/sqlite/watch.h"

struct sqlite_governor {
	struct sqlite_governor_request request;
	struct still_attach_options options;
	struct still_observer observer;
	struct sqlite_watch *watches; /* owned; those that are pinned */
	size_t n;
	int64_t begun_ns;
	bool ticked; /* there was work to do in this round, beside looking */
	bool waited; /* somebody waited, in this round */
	atomic_bool stop;
	atomic_uint_fast64_t grown_bytes;

	struct sqlite_completion completion;
	struct sqlite_image **to_copy; /* owned; the completion's */
	size_t n_to_copy;
	bool completing;

	pthread_t thread;
	struct still_bell
	    bell; /* for the stop, a copy that is complete, a loss */
	pthread_mutex_t
	    lock; /* of the pins' holds while they change, and of: */
	struct still_error lost; /* why the snapshot is; code 0: it is not */
	uint64_t n_moves;
	uint64_t n_let_by;
	uint32_t n_pinned;
};

/* The thread: looks at all pins until the stop is raised, they are all let go, or
 * the snapshot is lost. `governor` is a struct sqlite_governor. */
void *sqlite_governor_run(void *governor);

/* Remember why the snapshot is lost, and let every read fail from now on. The
 * thread lets all pins go. Any thread. */
void sqlite_governor_lose(
    struct sqlite_governor *governor, const struct still_error *why);

#endif
