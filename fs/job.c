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

static int work(
    struct fs_state *state, enum fs_job_kind kind, struct still_error *err)
{
	switch (kind) {
	case FS_JOB_BEGIN:
		return fs_state_begin_kind(state, STILL_FULL, err);
	case FS_JOB_BEGIN_COPY:
		return fs_state_begin_kind(state, STILL_COPY, err);
	case FS_JOB_COMMIT:
		return fs_state_commit(state, err);
	case FS_JOB_ABORT:
		return fs_state_abort(state, err);
	case FS_JOB_EXPIRE:
		return fs_state_expire(state, err);
	}
	return STILL_ERR_FAILED;
}

/* Whose session it was, for those who ask when there is another already. */
static void name_session(
    struct fs_state *state, char session[STILL_SESSION_ID_BYTES])
{
	struct fs_shown *shown = fs_state_get_any(state);
	struct still_session_status status;

	session[0] = '\0';
	if (!shown)
		return;
	still_session_status(shown->session, &status);
	memcpy(session, status.id, sizeof(status.id));
	still_session_status_clear(&status);
	fs_state_put(state, shown);
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

		pthread_mutex_unlock(&jobs->lock);
		name_session(jobs->state, session);
		code = work(jobs->state, kind, &err);
		if (kind == FS_JOB_BEGIN || kind == FS_JOB_BEGIN_COPY)
			name_session(jobs->state, session);
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
static uint64_t add(struct fs_jobs *jobs, enum fs_job_kind kind)
{
	struct fs_job *job = place_of(jobs, ++jobs->last);

	still_error_clear(&job->err);
	*job = (struct fs_job){
	    .number = jobs->last,
	    .kind = kind,
	    .state = STILL_JOB_RUNNING,
	};
	return jobs->last;
}

/* Under the lock. */
static int start_thread(struct fs_jobs *jobs, enum fs_job_kind kind,
    uint64_t *ret_number, struct still_error *err)
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
	jobs->running = *ret_number = add(jobs, kind);
	return 0;
}

/* Under the lock: something is at work. */
static int join_work(struct fs_jobs *jobs, enum fs_job_kind kind,
    uint64_t *ret_number, struct still_error *err)
{
	const struct fs_job *running = place_of(jobs, jobs->running);

	if (kind == running->kind &&
	    (kind == FS_JOB_COMMIT || kind == FS_JOB_ABORT)) {
		*ret_number = jobs->running;
		return 0;
	}
	if (kind != FS_JOB_ABORT)
		return still_error_set(err, STILL_ERR_BUSY, 0,
		    "Wait for it, or abort the session.",
		    "session: another request for it is being carried out");
	if (!jobs->waiting)
		jobs->waiting = add(jobs, kind);
	*ret_number = jobs->waiting;
	return 0;
}

int fs_jobs_start(struct fs_jobs *jobs, enum fs_job_kind kind,
    uint64_t *ret_number, struct still_error *err)
{
	int rc;

	/* Before it can be done, or it might hit the next session. */
	if (kind == FS_JOB_ABORT)
		fs_state_give_up(jobs->state);
	pthread_mutex_lock(&jobs->lock);
	if (jobs->stopped)
		rc = still_error_set(
		    err, STILL_ERR_CANCELLED, 0, NULL, "the daemon is ending");
	else if (jobs->running)
		rc = join_work(jobs, kind, ret_number, err);
	else
		rc = start_thread(jobs, kind, ret_number, err);
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
