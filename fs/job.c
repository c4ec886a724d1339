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

/* `session`: the one that was there when the job was asked for. */
static int work(struct fs_state *state, enum fs_job_kind kind,
    const char *session, struct still_error *err)
{
	switch (kind) {
	case FS_JOB_BEGIN:
		return fs_state_begin_kind(state, STILL_FULL, err);
	case FS_JOB_BEGIN_COPY:
		return fs_state_begin_kind(state, STILL_COPY, err);
	case FS_JOB_COMMIT:
		return fs_state_commit(state, session, err);
	case FS_JOB_ABORT:
		return fs_state_abort(state, session, err);
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
		char session[STILL_SESSION_ID_BYTES];
		enum fs_job_kind kind = job->kind;
		int code;

		memcpy(session, job->session, sizeof(session));
		pthread_mutex_unlock(&jobs->lock);
		code = work(jobs->state, kind, session, &err);
		if (kind == FS_JOB_BEGIN || kind == FS_JOB_BEGIN_COPY)
			fs_state_name(jobs->state, session);
		pthread_mutex_lock(&jobs->lock);
		job->state = STILL_JOB_DONE;
		job->code = code;
		still_error_copy(&job->err, &err);
		memcpy(job->session, session, sizeof(session));
		still_error_clear(&err);
		jobs->running = jobs->waiting;
		jobs->waiting = 0;
	}
	pthread_cond_broadcast(&jobs->idle);
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* Under the lock. */
static uint64_t add(
    struct fs_jobs *jobs, enum fs_job_kind kind, const char *session)
{
	struct fs_job *job = place_of(jobs, ++jobs->last);

	still_error_clear(&job->err);
	*job = (struct fs_job){
	    .number = jobs->last,
	    .kind = kind,
	    .state = STILL_JOB_RUNNING,
	};
	memcpy(job->session, session, sizeof(job->session));
	return jobs->last;
}

/* Under the lock. */
static int start_thread(struct fs_jobs *jobs, enum fs_job_kind kind,
    const char *session, uint64_t *ret_number, struct still_error *err)
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
	jobs->running = *ret_number = add(jobs, kind, session);
	return 0;
}

/* Under the lock. */
static bool is_same(struct fs_jobs *jobs, uint64_t number,
    enum fs_job_kind kind, const char *session)
{
	const struct fs_job *job = place_of(jobs, number);

	return number && job->kind == kind &&
	    (kind == FS_JOB_COMMIT || kind == FS_JOB_ABORT) &&
	    strcmp(job->session, session) == 0;
}

/* Under the lock: something is at work. An abort ends it; and an end that nobody
 * asked for is in nobody's way. */
static int join_work(struct fs_jobs *jobs, enum fs_job_kind kind,
    const char *session, uint64_t *ret_number, struct still_error *err)
{
	bool waits = kind == FS_JOB_ABORT ||
	    place_of(jobs, jobs->running)->kind == FS_JOB_EXPIRE;

	if (is_same(jobs, jobs->running, kind, session)) {
		*ret_number = jobs->running;
		return 0;
	}
	if (is_same(jobs, jobs->waiting, kind, session)) {
		*ret_number = jobs->waiting;
		return 0;
	}
	if (jobs->waiting || !waits || kind == FS_JOB_EXPIRE)
		return still_error_set(err, STILL_ERR_BUSY, 0,
		    "Wait for it, or abort the session.",
		    "session: another request for it is being carried out");
	*ret_number = jobs->waiting = add(jobs, kind, session);
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

int fs_jobs_start(struct fs_jobs *jobs, enum fs_job_kind kind,
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
		rc = join_work(jobs, kind, session, ret_number, err);
	else
		rc = start_thread(jobs, kind, session, ret_number, err);
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
		still_error_clear(&jobs->jobs[i].err);
	pthread_mutex_destroy(&jobs->lock);
	pthread_cond_destroy(&jobs->idle);
}
