/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/gate.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "fs/errno.h"
#include "fs/state.h"

void fs_gate_init(struct fs_gate *gate, struct fs_state *state,
    fs_gate_job_fn *job, fs_gate_repeat_fn *repeat)
{
	memset(gate, 0, sizeof(*gate));
	gate->state = state;
	gate->job = job;
	gate->repeat = repeat;
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->ended, NULL);
}

static void free_call(struct fs_call *call)
{
	free(call->name);
	free(call);
}

/* From libfuse, with the request's lock held: find and mark, no more. */
static void interrupted(fuse_req_t req, void *data)
{
	struct fs_gate *gate = data;

	pthread_mutex_lock(&gate->lock);
	for (struct fs_call *call = gate->parked; call; call = call->next)
		if (call->req == req) {
			call->interrupted = true;
			eventfd_write(gate->state->wake_fd, 1);
		}
	pthread_mutex_unlock(&gate->lock);
}

/* Take the whole list, oldest first. Under the lock. */
static struct fs_call *take_all(struct fs_gate *gate)
{
	struct fs_call *calls = gate->parked;

	gate->parked = NULL;
	return calls;
}

static void answer_all(
    struct fs_call *calls, int sys_errno, fs_gate_repeat_fn *repeat)
{
	while (calls) {
		struct fs_call *call = calls;

		calls = call->next;
		fuse_req_interrupt_func(call->req, NULL, NULL);
		if (sys_errno)
			fuse_reply_err(call->req, sys_errno);
		else
			repeat(call);
		free_call(call);
	}
}

static void *run(void *arg)
{
	struct fs_gate *gate = arg;
	struct still_error err = STILL_ERROR_INIT;
	int rc = gate->job(gate->state, &err);
	struct fs_call *calls;

	pthread_mutex_lock(&gate->lock);
	calls = take_all(gate);
	gate->running = false;
	pthread_mutex_unlock(&gate->lock);
	answer_all(calls, rc < 0 ? fs_job_errno(rc) : 0, gate->repeat);
	still_error_clear(&err);
	pthread_mutex_lock(&gate->lock);
	gate->threads--;
	pthread_cond_broadcast(&gate->ended);
	pthread_mutex_unlock(&gate->lock);
	return NULL;
}

/* Under the lock. 0 or an errno. A former job may still be answering. */
static int start(struct fs_gate *gate)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	if (gate->running)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, run, gate);
	pthread_attr_destroy(&attr);
	if (rc == 0) {
		gate->running = true;
		gate->threads++;
	}
	return rc;
}

static void append(struct fs_gate *gate, struct fs_call *call)
{
	struct fs_call **end = &gate->parked;

	while (*end)
		end = &(*end)->next;
	*end = call;
}

void fs_gate_park(struct fs_gate *gate, const struct fs_call *given)
{
	struct fs_call *call = malloc(sizeof(*call));
	fuse_req_t req = given->req;
	int sys_errno = 0;

	if (!call) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*call = *given;
	call->next = NULL;
	call->interrupted = false;
	call->name = given->name ? strdup(given->name) : NULL;
	if (given->name && !call->name)
		sys_errno = ENOMEM;
	/* Registered before the request can be answered by anybody else; an
	 * interrupt that comes before it is parked is seen below. */
	fuse_req_interrupt_func(req, interrupted, gate);
	pthread_mutex_lock(&gate->lock);
	if (!sys_errno && gate->stopped)
		sys_errno = ESHUTDOWN;
	if (!sys_errno && fuse_req_interrupted(req))
		sys_errno = EINTR;
	if (!sys_errno)
		sys_errno = start(gate);
	if (!sys_errno)
		append(gate, call);
	pthread_mutex_unlock(&gate->lock);
	if (sys_errno) {
		fuse_req_interrupt_func(req, NULL, NULL);
		fuse_reply_err(req, sys_errno);
		free_call(call);
	}
}

bool fs_gate_busy(struct fs_gate *gate)
{
	bool busy;

	pthread_mutex_lock(&gate->lock);
	busy = gate->running || gate->parked;
	pthread_mutex_unlock(&gate->lock);
	return busy;
}

void fs_gate_reap(struct fs_gate *gate)
{
	struct fs_call *reaped = NULL;
	struct fs_call **link;

	pthread_mutex_lock(&gate->lock);
	link = &gate->parked;
	while (*link) {
		struct fs_call *call = *link;

		if (call->interrupted) {
			*link = call->next;
			call->next = reaped;
			reaped = call;
		} else {
			link = &call->next;
		}
	}
	pthread_mutex_unlock(&gate->lock);
	answer_all(reaped, EINTR, gate->repeat);
}

void fs_gate_stop(struct fs_gate *gate)
{
	struct fs_call *calls;

	pthread_mutex_lock(&gate->lock);
	gate->stopped = true;
	while (gate->threads > 0)
		pthread_cond_wait(&gate->ended, &gate->lock);
	calls = take_all(gate);
	pthread_mutex_unlock(&gate->lock);
	answer_all(calls, ESHUTDOWN, gate->repeat);
}
