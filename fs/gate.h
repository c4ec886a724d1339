/* SPDX-License-Identifier: MIT */
/*
 * gate: requests that must wait for a long job, and hold no thread meanwhile.
 *
 * The first request that comes to a closed gate starts the job in a thread of
 * its own; it and all that follow are parked. When the job is done, each is
 * handled anew (the handler finds the way open now), or answered with the job's
 * error, after which the next request starts the job again.
 *
 * A parked request can be interrupted: libfuse calls us with a lock of the
 * request held, so the call only marks it, and the daemon's watch answers EINTR
 * from fs_gate_reap(). The job goes on.
 *
 * LOCK ORDER: libfuse's request lock -> gate.lock -> libfuse's session lock.
 */
#ifndef FS_GATE_H
#define FS_GATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct fuse_req;
struct fs_state;

enum fs_call_op {
	FS_CALL_LOOKUP,
	FS_CALL_OPENDIR,
	FS_CALL_READDIR,
	FS_CALL_READDIRPLUS,
	FS_CALL_READ
};

/* What is needed to handle a request again. */
struct fs_call {
	enum fs_call_op op;
	struct fuse_req *req;
	uint64_t node;
	char *name; /* LOOKUP: owned by the gate once parked */
	size_t size;
	off_t off;
	bool interrupted;
	struct fs_call *next;
};

typedef int fs_gate_job_fn(struct fs_state *state, struct still_error *err);

/* Handle a parked request again, when the way is open. */
typedef void fs_gate_repeat_fn(const struct fs_call *call);

struct fs_gate {
	struct fs_state *state;
	fs_gate_job_fn *job;
	fs_gate_repeat_fn *repeat;
	pthread_mutex_t lock; /* of what follows */
	struct fs_call *parked;
	bool running; /* the job is at work: parked calls will be answered */
	unsigned threads; /* job threads that have not ended */
	pthread_cond_t ended;
	bool stopped;
};

void fs_gate_init(struct fs_gate *gate, struct fs_state *state,
    fs_gate_job_fn *job, fs_gate_repeat_fn *repeat);

/* Park the request; `call` is copied, its name too. Answers it itself when that
 * cannot be done. */
void fs_gate_park(struct fs_gate *gate, const struct fs_call *call);

/* Does a request wait? */
bool fs_gate_busy(struct fs_gate *gate);

/* Answer what was interrupted. */
void fs_gate_reap(struct fs_gate *gate);

/* The job must be told to give up by other means; then this waits for it,
 * answers ESHUTDOWN to all that is parked, and to all that comes later. */
void fs_gate_stop(struct fs_gate *gate);

#endif
