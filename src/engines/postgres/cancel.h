/* SPDX-License-Identifier: MIT */
/*
 * cancel: a cancel request to a server, made so that its asker can walk away.
 *
 * libpq makes a connection for it and waits until the server closes that, and
 * knows no limit: a postmaster that is stopped, or a host that is gone, would hold
 * up whoever asks. So a thread of its own asks. Where that is not done in time it
 * is left to itself, and ends with the connection, or with the process.
 *
 * Threads: one at a time.
 */
#ifndef POSTGRES_CANCEL_H
#define POSTGRES_CANCEL_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct still_pg_cancel {
	pthread_t thread;
};

/* Ask the server of `pg` to end what it does for it. False: that cannot even be
 * asked. Does not wait. */
bool still_pg_cancel_send(PGconn *pg, struct still_pg_cancel *ret);

/* Is it delivered by `end_ns`, of still_sys_monotonic_ns()? Waits until then. If
 * it is not, it may hit a later statement of the same connection. Ends the use of
 * `cancel`. */
bool still_pg_cancel_end(struct still_pg_cancel *cancel, int64_t end_ns);

#endif
