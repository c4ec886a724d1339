/* SPDX-License-Identifier: MIT */
/*
 * own_session: a session of this process as the origin of a backup.
 *
 * A thread of its own does what a daemon does for a mount: it has the snapshot
 * kept each second, also while all others wait for a disk, and passes on that
 * nobody waits any more. It begins before the freeze and ends after the outcome.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bell.h"
#include "base/sys.h"
#include "core/session.h"
#include "still_set.h"

#define LOOK_NS (STILL_NS_PER_S / 10)

struct still_own_session {
	struct still_instance *instance; /* borrowed, as is the next */
	struct still_events *events;
	enum still_session_kind kind;
	struct still_commit_options commit;
	struct still_session *session;      /* owned; NULL before begin */
	struct still_session_status status; /* id and so on, once it is begun */

	pthread_t thread;
	bool running;
	struct still_bell bell;
	const atomic_bool *cancel; /* borrowed */
	atomic_bool beginning;     /* there is a session to look at */
	atomic_bool serving;
	atomic_bool deciding; /* to commit: nobody stops it any more */
	atomic_bool ended;

	pthread_mutex_t lock; /* of what follows */
	struct still_error lost;
};

/* ---- the keeper ---------------------------------------------------------- */

static void keep(struct still_own_session *own)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = still_session_keep(own->session, &err);

	if (rc == STILL_ERR_LOST) {
		pthread_mutex_lock(&own->lock);
		if (!own->lost.code)
			still_error_copy(&own->lost, &err);
		pthread_mutex_unlock(&own->lock);
	}
	still_error_clear(&err);
}

static void *run(void *arg)
{
	struct still_own_session *own = arg;
	int64_t kept_ns = still_sys_monotonic_ns();

	while (!atomic_load(&own->ended)) {
		still_bell_wait(&own->bell, LOOK_NS);
		if (atomic_load(own->cancel) && !atomic_load(&own->deciding))
			still_session_cancel(own->session);
		if (!atomic_load(&own->serving) ||
		    still_sys_monotonic_ns() - kept_ns < STILL_NS_PER_S)
			continue;
		keep(own);
		kept_ns = still_sys_monotonic_ns();
	}
	return NULL;
}

static int start_keeper(struct still_own_session *own, struct still_error *err)
{
	int rc = still_sys_thread_start(&own->thread, run, own);

	if (rc != 0)
		return still_error_sys(err, rc, NULL, "starting a thread");
	own->running = true;
	return 0;
}

static void stop_keeper(struct still_own_session *own)
{
	atomic_store(&own->ended, true);
	still_bell_ring(&own->bell);
	if (own->running)
		pthread_join(own->thread, NULL);
	own->running = false;
}

/* ---- the origin ---------------------------------------------------------- */

static int own_begin(
    void *arg, const atomic_bool *cancel, struct still_error *err)
{
	struct still_own_session *own = arg;
	int rc;

	own->session = still_session_new(own->instance, own->events);
	if (!own->session)
		return still_error_nomem(err);
	atomic_store(&own->beginning, true);
	own->cancel = cancel;
	rc = start_keeper(own, err);
	if (rc == 0)
		rc = still_session_begin(own->session, own->kind,
		    still_sys_now_ns() / STILL_NS_PER_S, err);
	if (rc == 0)
		atomic_store(&own->serving, true);
	else
		stop_keeper(own);
	still_session_status(own->session, &own->status);
	return rc;
}

static void own_captured(
    void *arg, uint64_t *ret_done_bytes, uint64_t *ret_bytes)
{
	struct still_own_session *own = arg;

	*ret_done_bytes = *ret_bytes = 0;
	if (!atomic_load(&own->beginning))
		return;
	*ret_done_bytes = atomic_load(&own->session->captured_bytes);
	*ret_bytes = atomic_load(&own->session->capture_bytes);
}

static const char *own_name(void *arg)
{
	struct still_own_session *own = arg;

	return own->status.id;
}

static const struct still_entry *own_entries(void *arg, uint32_t *ret_n)
{
	struct still_own_session *own = arg;

	return still_session_entries(own->session, ret_n);
}

static ssize_t own_read(void *arg, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	struct still_own_session *own = arg;
	ssize_t n = still_session_read(
	    own->session, index, off_bytes, data, len, err);
	int rc;

	if (n != STILL_ERR_AGAIN)
		return n;
	rc = still_session_seal(own->session, err);
	if (rc < 0)
		return rc;
	return still_session_read(
	    own->session, index, off_bytes, data, len, err);
}

static int own_check(void *arg, struct still_error *err)
{
	struct still_own_session *own = arg;
	int rc;

	pthread_mutex_lock(&own->lock);
	rc = own->lost.code;
	if (rc < 0 && err)
		still_error_copy(err, &own->lost);
	pthread_mutex_unlock(&own->lock);
	return rc;
}

static int own_commit(void *arg, struct still_error *err)
{
	struct still_own_session *own = arg;
	int rc;

	atomic_store(&own->deciding, true);
	rc = still_session_commit(own->session, &own->commit, NULL, err);
	/* It would serve on, for another try. */
	if (rc < 0)
		still_session_end(own->session, STILL_END_ABORT);
	stop_keeper(own);
	return rc;
}

static void own_abort(void *arg)
{
	struct still_own_session *own = arg;

	still_session_end(own->session, STILL_END_ABORT);
	stop_keeper(own);
}

/* ---- the whole of it ----------------------------------------------------- */

struct still_own_session *still_own_session_new(struct still_instance *instance,
    struct still_events *events, enum still_session_kind kind,
    const struct still_commit_options *commit, struct still_origin *ret_origin)
{
	struct still_own_session *own = calloc(1, sizeof(*own));

	if (!own)
		return NULL;
	own->instance = instance;
	own->events = events;
	own->kind = kind;
	if (commit)
		own->commit = *commit;
	pthread_mutex_init(&own->lock, NULL);
	still_bell_init(&own->bell);
	*ret_origin = (struct still_origin){
	    .begin = own_begin,
	    .captured = own_captured,
	    .session = own_name,
	    .entries = own_entries,
	    .read = own_read,
	    .check = own_check,
	    .commit = own_commit,
	    .abort = own_abort,
	    .arg = own,
	};
	return own;
}

void still_own_session_status(
    struct still_own_session *own, struct still_session_status *ret)
{
	if (own->session)
		still_session_status(own->session, ret);
	else
		*ret = (struct still_session_status){.state = STILL_IDLE};
}

void still_own_session_free(struct still_own_session *own)
{
	if (!own)
		return;
	if (own->session)
		still_session_end(own->session, STILL_END_ABORT);
	stop_keeper(own);
	still_session_free(own->session);
	still_session_status_clear(&own->status);
	still_error_clear(&own->lost);
	still_bell_release(&own->bell);
	pthread_mutex_destroy(&own->lock);
	free(own);
}
