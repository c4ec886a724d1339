/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/gate.h"

#include <pthread.h>
#include <time.h>

#include "tests/engine/moment.h"

#define PATIENCE_S 30

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Guarded by the lock. */
static struct gate {
	bool closed;
	bool somebody;  /* stands there */
	unsigned left;  /* who may pass before it */
	unsigned times; /* that it was closed */
	unsigned count; /* who came */
} gates[SQLITE_POINT_COUNT];

static _Thread_local bool is_reader;

static void at_point(enum sqlite_point point, const struct sqlite_image *image)
{
	struct gate *gate = &gates[point];

	(void) image;
	if (point == SQLITE_POINT_LOOKED_UP && !is_reader)
		return;
	pthread_mutex_lock(&lock);
	gate->count++;
	pthread_cond_broadcast(&changed);
	if (gate->closed && gate->left > 0) {
		gate->left--;
	} else if (gate->closed) {
		unsigned mine = gate->times;

		gate->somebody = true;
		while (gate->closed && gate->times == mine)
			pthread_cond_wait(&changed, &lock);
	}
	pthread_mutex_unlock(&lock);
}

void gate_reset(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < SQLITE_POINT_COUNT; i++) {
		gates[i].closed = false;
		gates[i].count = 0;
	}
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	sqlite_fault = SQLITE_FAULT_NONE;
	sqlite_point_hook = at_point;
}

void gate_close(enum sqlite_point point, unsigned skip)
{
	pthread_mutex_lock(&lock);
	gates[point].left = skip;
	gates[point].closed = true;
	gates[point].somebody = false;
	gates[point].times++;
	pthread_mutex_unlock(&lock);
}

void gate_is_reader(void)
{
	is_reader = true;
}

/* With the lock. */
static void wait_for_change(const struct timespec *until, const char *what)
{
	if (pthread_cond_timedwait(&changed, &lock, until) != 0)
		moment_die(what, "nobody came there");
}

static struct timespec patience(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	return until;
}

void gate_wait(enum sqlite_point point)
{
	struct timespec until = patience();

	pthread_mutex_lock(&lock);
	while (!gates[point].somebody)
		wait_for_change(&until, "gate");
	pthread_mutex_unlock(&lock);
}

void gate_open(enum sqlite_point point)
{
	pthread_mutex_lock(&lock);
	gates[point].closed = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

unsigned gate_count(enum sqlite_point point)
{
	unsigned count;

	pthread_mutex_lock(&lock);
	count = gates[point].count;
	pthread_mutex_unlock(&lock);
	return count;
}

void gate_wait_count(enum sqlite_point point, unsigned count)
{
	struct timespec until = patience();

	pthread_mutex_lock(&lock);
	while (gates[point].count <= count)
		wait_for_change(&until, "point");
	pthread_mutex_unlock(&lock);
}
