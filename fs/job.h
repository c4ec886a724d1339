/* SPDX-License-Identifier: MIT */
/*
 * job: what a client asked for and then polls: begin, commit, abort; and the end
 * of a session that is lost, or has been quiet for too long, which nobody asked
 * for.
 *
 * One job is at work at a time, in a thread of its own, and one may wait behind
 * it: an abort, or anything behind an end that nobody asked for. A commit or an
 * abort is about the session that was there when it was asked for, and about no
 * later one. Results are remembered for the last few.
 *
 * Threads: any. LOCK ORDER: jobs.lock is a leaf; it is not held while a job is
 * at work.
 */
#ifndef FS_JOB_H
#define FS_JOB_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "control.h"

struct fs_state;

enum fs_job_kind {
	FS_JOB_BEGIN,
	FS_JOB_COMMIT,
	FS_JOB_ABORT,
	FS_JOB_EXPIRE
};

struct fs_job {
	uint64_t number; /* 0: none */
	enum fs_job_kind kind;
	uint32_t flags; /* enum still_control_flag */
	enum still_job_state state;
	int code; /* once it is done */
	struct still_error err;
	struct still_truncation truncation;   /* of a commit */
	char session[STILL_SESSION_ID_BYTES]; /* that it was about */
};

#define FS_JOBS_KEPT 16

struct fs_jobs {
	struct fs_state *state;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct fs_job jobs[FS_JOBS_KEPT]; /* a ring, by number */
	uint64_t last;                    /* number */
	uint64_t running;                 /* number; 0: none */
	uint64_t waiting;                 /* likewise */
	bool stopped;
};

void fs_jobs_init(struct fs_jobs *jobs, struct fs_state *state);

/*
 * Start one, for the session `wanted`; NULL or "" for whichever is there. A
 * commit and an abort are the same job as one for the same session, with the same
 * flags, that is at work or waits. PROTO: another session is there. BUSY: another job is at work.
 * CANCELLED: the daemon is ending. `*ret_number` is for fs_jobs_look().
 */
int fs_jobs_start(struct fs_jobs *jobs, enum fs_job_kind kind, uint32_t flags,
    const char *wanted, uint64_t *ret_number, struct still_error *err);

/* Is one at work? */
bool fs_jobs_busy(struct fs_jobs *jobs);

/* What is known of a job; false when it is not, or not any more. `ret` is
 * released with fs_job_release(). */
bool fs_jobs_look(struct fs_jobs *jobs, uint64_t number, struct fs_job *ret);

void fs_job_release(struct fs_job *job);

/* Nothing is started any more; what is at work goes on, and what waits. */
void fs_jobs_close(struct fs_jobs *jobs);

/* Likewise, and wait for it; it must be told to give up by other means. */
void fs_jobs_stop(struct fs_jobs *jobs);

void fs_jobs_release(struct fs_jobs *jobs);

#endif
