/* SPDX-License-Identifier: MIT */
/*
 * complete: the rest of the images brought into the spool, in the background, so
 * that nothing need be held in the databases any longer.
 *
 * The smallest first: their pins are gone soonest. An image of up to 64 MiB is
 * copied as fast as it goes. A bigger one at 128 MiB a second, which leaves the
 * application's disk time to breathe, or faster where its log grows: what is
 * left is to be done before half of the limit for the logs is used up. What was
 * written of a bigger one is handed on to the disk all along, and waited for: a
 * heap of it would be written at once when the application syncs its log.
 *
 * Room for an image is taken, with its blocks, before it is begun. Where there is
 * none the image stays governed; every 5 s it is tried again.
 *
 * Threads: one of its own; start and stop by one, the rest from any.
 */
#ifndef SQLITE_COMPLETE_H
#define SQLITE_COMPLETE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bell.h"
#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/image.h"

struct sqlite_completion {
	struct sqlite_image **images; /* borrowed; put in order by it */
	size_t n;
	const struct still_observer *observer;
	uint64_t log_limit_bytes; /* 0: none */
	/* By how much the logs are longer than at the freeze. */
	atomic_uint_fast64_t *grown_bytes;
	const atomic_bool *cancel; /* as in governor.h */
	/* An image is complete: nobody will read it from the database any more,
	 * once its readers are drained. */
	void (*done)(void *arg, struct sqlite_image *image);
	void *arg;

	atomic_bool stop;
	struct still_bell bell; /* for the stop */
	pthread_t thread;
	uint64_t total_bytes;
	atomic_uint_fast64_t copied_bytes;
	atomic_bool full; /* of some image there is no room for the rest */
};

/* The fields above `stop` are set. Stop it after success only. NOMEM, IO. */
int sqlite_completion_start(
    struct sqlite_completion *completion, struct still_error *err);

/* Within a piece. */
void sqlite_completion_stop(struct sqlite_completion *completion);

#endif
