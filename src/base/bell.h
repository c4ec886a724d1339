/* SPDX-License-Identifier: MIT */
/*
 * bell: a thread sleeps, and others wake it before its time.
 *
 * Threads: one that waits; any that ring.
 */
#ifndef STILL_BASE_BELL_H
#define STILL_BASE_BELL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct still_bell {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool rung;
};

void still_bell_init(struct still_bell *bell);
void still_bell_release(struct still_bell *bell);

/* Wake who waits, or who waits next. */
void still_bell_ring(struct still_bell *bell);

/* For so long, or until it is rung. */
void still_bell_wait(struct still_bell *bell, int64_t ns);

#endif
