/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/cancel.h"

#include <time.h>

#include "base/sys.h"

/* Owns the request. */
static void *run(void *arg)
{
	PGcancel *request = arg;
	char text[256];

	(void) !PQcancel(request, text, sizeof(text));
	PQfreeCancel(request);
	return NULL;
}

bool still_pg_cancel_send(PGconn *pg, struct still_pg_cancel *ret)
{
	PGcancel *request = PQgetCancel(pg);

	if (!request)
		return false;
	if (still_sys_thread_start(&ret->thread, run, request) == 0)
		return true;
	PQfreeCancel(request);
	return false;
}

bool still_pg_cancel_end(struct still_pg_cancel *cancel, int64_t end_ns)
{
	const struct timespec end = {
	    .tv_sec = end_ns / STILL_NS_PER_S,
	    .tv_nsec = end_ns % STILL_NS_PER_S,
	};

	if (pthread_clockjoin_np(cancel->thread, NULL, CLOCK_MONOTONIC, &end) ==
	    0)
		return true;
	pthread_detach(cancel->thread);
	return false;
}
