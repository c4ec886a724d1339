/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/job.h"

#include <string.h>

#include "fs/state.h"

void fs_jobs_init(struct fs_jobs *jobs, struct fs_state *state)
{
	memset(jobs, 0, sizeof(*jobs));
	jobs->state = state;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->idle, NULL);
}

static struct fs_job *place_of(struct fs_jobs *jobs, uint64_t number)
{
	return &jobs->jobs[number % FS_JOBS_KEPT];
}

static int commit(
    struct fs_state *state, struct fs_job *job, struct still_error *err)
{
	struct still_commit_options options = {
	    .truncate = job->flags & STILL_CONTROL_TRUNCATE,
	    .dry_run = job->flags & STILL_CONTROL_DRY_RUN,
	    .elsewhere = job->flags & STILL_CONTROL_ELSEWHERE,
	    .force = job->flags & STILL_CONTROL_FORCE,
	};

	return fs_state_commit(
	    state, job->session, &options, &job->truncation, err);
}

/* job->session: the one that was there when the job was asked for. */
static int work(
    struct fs_state *state, struct fs_job *job, struct still_error *err)
{
	switch (job->kind) {
	case FS_JOB_BEGIN:
		return fs_state_begin_kind(state,
		    job->flags & STILL_CONTROL_INCREMENTAL ? STILL_INCREMENTAL
			: job->flags & STILL_CONTROL_COPY  ? STILL_COPY
							   : STILL_FULL,
		    err);
	case FS_JOB_COMMIT:
		return commit(state, job, err);
	case FS_JOB_ABORT:
		return fs_state_abort(state, job->session, err);
	case FS_JOB_EXPIRE:
		return fs_state_expire(state, err);
	}
	return STILL_ERR_FAILED;
}

static void *run(void *arg)
{
	struct fs_jobs *jobs = arg;

	pthread_mutex_lock(&jobs->lock);
	while (jobs->running) {
		struct fs_job *job = place_of(jobs, jobs->running);
		struct still_error err = STILL_ERROR_INIT;
		struct fs_job own = {.kind = job->kind, .flags = job->flags};
		int code;

		memcpy(own.session, job->session, sizeof(own.session));
		pthread_mutex_unlock(&jobs->lock);
		code = work(jobs->state, &own, &err);
		if (own.kind == FS_JOB_BEGIN)
			fs_state_name(jobs->state, own.session);
		pthread_mutex_lock(&jobs->lock);
		job->state = STILL_JOB_DONE;
		job->code = code;
		still_error_copy(&job->err, &err);
		job->truncation = own.truncation;
		memcpy(job->session, own.session, sizeof(own.session));
		still_error_clear(&err);
		jobs->running = jobs->waiting;
		jobs->waiting = 0;
	}
	pthread_cond_broadcast(&jobs->idle);
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* Under the lock. */
static uint64_t add(struct fs_jobs *jobs, enum fs_job_kind kind, uint32_t flags,
    const char *session)
{
	struct fs_job *job = place_of(jobs, ++jobs->last);

	fs_job_release(job);
	*job = (struct fs_job){
	    .number = jobs->last,
	    .kind = kind,
	    .flags = flags,
	    .state = STILL_JOB_RUNNING,
	};
	memcpy(job->session, session, sizeof(job->session));
	return jobs->last;
}

/* Under the lock. */
static int start_thread(struct fs_jobs *jobs, enum fs_job_kind kind,
    uint32_t flags, const char *session, uint64_t *ret_number,
    struct still_error *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, run, jobs);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return still_error_sys(err, rc, NULL, "starting a thread");
	jobs->running = *ret_number = add(jobs, kind, flags, session);
	return 0;
}

/* Under the lock. */
static bool is_same(struct fs_jobs *jobs, uint64_t number,
    enum fs_job_kind kind, uint32_t flags, const char *session)
{
	const struct fs_job *job = place_of(jobs, number);

	return number && job->kind == kind && job->flags == flags &&
	    (kind == FS_JOB_COMMIT || kind == FS_JOB_ABORT) &&
	    strcmp(job->session, session) == 0;
}

/* Under the lock: something is at work. An abort ends it; and an end that nobody
 * asked for is in nobody's way. */
static int join_work(struct fs_jobs *jobs, enum fs_job_kind kind,
    uint32_t flags, const char *session, uint64_t *ret_number,
    struct still_error *err)
{
	bool waits = kind == FS_JOB_ABORT ||
	    place_of(jobs, jobs->running)->kind == FS_JOB_EXPIRE;

	if (is_same(jobs, jobs->running, kind, flags, session)) {
		*ret_number = jobs->running;
		return 0;
	}
	if (is_same(jobs, jobs->waiting, kind, flags, session)) {
		*ret_number = jobs->waiting;
		return 0;
	}
	if (jobs->waiting || !waits || kind == FS_JOB_EXPIRE)
		return still_error_set(err, STILL_ERR_BUSY, 0,
		    "Wait for it, or abort the session.",
		    "session: another request for it is being carried out");
	*ret_number = jobs->waiting = add(jobs, kind, flags, session);
	return 0;
}

static int not_that(
    const char *wanted, const char *present, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_PROTO, 0,
	    "`stillctl list` tells how it ended.",
	    "session `%s`: is not the present one%s%s%s", wanted,
	    *present ? ", which is `" : "", present, *present ? "`" : "");
}

int fs_jobs_start(struct fs_jobs *jobs, enum fs_job_kind kind, uint32_t flags,
    const char *wanted, uint64_t *ret_number, struct still_error *err)
{
	char session[STILL_SESSION_ID_BYTES];
	int rc;

	/* Whoever asks means this one, whatever comes until it is carried
	 * out. */
	fs_state_name(jobs->state, session);
	if (wanted && *wanted && strcmp(wanted, session) != 0)
		return not_that(wanted, session, err);
	if (kind == FS_JOB_ABORT)
		fs_state_give_up(jobs->state, session);
	pthread_mutex_lock(&jobs->lock);
	if (jobs->stopped)
		rc = still_error_set(
		    err, STILL_ERR_CANCELLED, 0, NULL, "the daemon is ending");
	else if (jobs->running)
		rc = join_work(jobs, kind, flags, session, ret_number, err);
	else
		rc = start_thread(jobs, kind, flags, session, ret_number, err);
	pthread_mutex_unlock(&jobs->lock);
	return rc;
}

bool fs_jobs_busy(struct fs_jobs *jobs)
{
	bool busy;

	pthread_mutex_lock(&jobs->lock);
	busy = jobs->running != 0;
	pthread_mutex_unlock(&jobs->lock);
	return busy;
}

void fs_job_release(struct fs_job *job)
{
	still_error_clear(&job->err);
	still_truncation_clear(&job->truncation);
}

bool fs_jobs_look(struct fs_jobs *jobs, uint64_t number, struct fs_job *ret)
{
	const struct fs_job *job = place_of(jobs, number);
	bool known;

	pthread_mutex_lock(&jobs->lock);
	known = number && job->number == number;
	if (known) {
		*ret = *job;
		ret->err = (struct still_error) STILL_ERROR_INIT;
		still_error_copy(&ret->err, &job->err);
		ret->truncation.error = (struct still_error) STILL_ERROR_INIT;
		still_error_copy(
		    &ret->truncation.error, &job->truncation.error);
	}
	pthread_mutex_unlock(&jobs->lock);
	return known;
}

void fs_jobs_close(struct fs_jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->stopped = true;
	pthread_mutex_unlock(&jobs->lock);
}

void fs_jobs_stop(struct fs_jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->stopped = true;
	while (jobs->running)
		pthread_cond_wait(&jobs->idle, &jobs->lock);
	pthread_mutex_unlock(&jobs->lock);
}

void fs_jobs_release(struct fs_jobs *jobs)
{
	for (size_t i = 0; i < FS_JOBS_KEPT; i++)
		fs_job_release(&jobs->jobs[i]);
	pthread_mutex_destroy(&jobs->lock);
	pthread_cond_destroy(&jobs->idle);
}
