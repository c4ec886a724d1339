/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/bell.h"

#include <errno.h>
#include <time.h>

#include "base/sys.h"

void still_bell_init(struct still_bell *bell)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&bell->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&bell->cond, &attr);
	pthread_condattr_destroy(&attr);
	bell->rung = false;
}

void still_bell_release(struct still_bell *bell)
{
	pthread_cond_destroy(&bell->cond);
	pthread_mutex_destroy(&bell->lock);
}

void still_bell_ring(struct still_bell *bell)
{
	pthread_mutex_lock(&bell->lock);
	bell->rung = true;
	pthread_cond_broadcast(&bell->cond);
	pthread_mutex_unlock(&bell->lock);
}

void still_bell_wait(struct still_bell *bell, int64_t ns)
{
	int64_t until_ns = still_sys_monotonic_ns() + ns;
	struct timespec until = {
	    .tv_sec = until_ns / STILL_NS_PER_S,
	    .tv_nsec = until_ns % STILL_NS_PER_S,
	};
	int rc = 0;

	pthread_mutex_lock(&bell->lock);
	while (!bell->rung && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&bell->cond, &bell->lock, &until);
	bell->rung = false;
	pthread_mutex_unlock(&bell->lock);
}
