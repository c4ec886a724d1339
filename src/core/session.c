/* SPDX-License-Identifier: MIT */
/* session: what it is and tells; begin.c, serve.c, seal.c and end.c are its life. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/sys.h"
#include "core/session.h"

static void make_id(struct still_session *session)
{
	time_t now = (time_t) (still_sys_now_ns() / STILL_NS_PER_S);
	uint32_t tail = 0;
	char stamp[24];
	struct tm tm;

	if (getrandom(&tail, sizeof(tail), 0) != sizeof(tail))
		tail = (uint32_t) still_sys_monotonic_ns();
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(session->id, sizeof(session->id), "%s-%08x", stamp, tail);
}

struct still_session *still_session_new(
    struct still_instance *instance, struct still_events *events)
{
	struct still_session *session = calloc(1, sizeof(*session));
	pthread_rwlockattr_t attr;

	if (!session)
		return NULL;
	session->instance = instance;
	session->events = events;
	/* Readers that never pause must not keep the session from ending. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(
	    &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&session->use, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&session->sealer, NULL);
	pthread_mutex_init(&session->lock, NULL);
	session->hold = (struct still_lock) STILL_LOCK_INIT;
	make_id(session);
	return session;
}

void still_session_free(struct still_session *session)
{
	if (!session)
		return;
	still_session_end(session, STILL_END_DONE);
	for (uint32_t i = 0; session->tracked && i < session->snapshot.n; i++) {
		still_digest_release(&session->tracked[i].digest);
		still_pages_release(&session->tracked[i].pages);
		free(session->tracked[i].text);
		still_coverage_release(&session->tracked[i].coverage);
		pthread_mutex_destroy(&session->tracked[i].lock);
	}
	free(session->tracked);
	still_summed_free(session->summed, session->n_summed);
	still_ground_free(session->ground);
	still_snapshot_release(&session->snapshot);
	free(session->seal);
	still_error_clear(&session->error);
	pthread_mutex_destroy(&session->lock);
	pthread_mutex_destroy(&session->sealer);
	pthread_rwlock_destroy(&session->use);
	free(session);
}

void still_session_cancel(struct still_session *session)
{
	atomic_store(&session->cancel, true);
}

/* ---- status -------------------------------------------------------------- */

/* Under the lock. */
static void fill_held(
    struct still_session *session, struct still_session_status *ret)
{
	const struct still_held *held = &session->held;

	ret->pin = session->instance->pin;
	ret->wal_max_bytes = session->instance->wal_max_bytes;
	ret->spool_bytes = atomic_load(&session->instance->spool.used_bytes);
	ret->pin_moves = held->n_moves;
	ret->let_by = held->n_let_by;
	ret->copy_bytes = held->copy_bytes;
	ret->copied_bytes = held->copied_bytes;
	ret->pages_compared = held->n_compared;
	ret->log_kept_bytes = held->kept_bytes;
	if (!session->pinned)
		return;
	if (!session->looked) {
		ret->n_pinned = 1;
		ret->pin_age_ns = still_sys_monotonic_ns() -
		    session->frozen_mono_ns;
		return;
	}
	ret->n_pinned = held->n_pinned;
	ret->pin_age_ns = held->pin_ns;
	ret->log_held_bytes = held->log_bytes;
	ret->spool_full = held->spool_full;
}

void still_session_status(
    struct still_session *session, struct still_session_status *ret)
{
	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&session->lock);
	memcpy(ret->id, session->id, sizeof(ret->id));
	ret->state = session->state;
	ret->outcome = session->outcome;
	ret->kind = session->kind;
	ret->number = session->number;
	if (session->kind == STILL_INCREMENTAL && session->number)
		memcpy(ret->base, still_ground_link(session->ground)->id,
		    sizeof(ret->base));
	memcpy(ret->chain, session->chain, sizeof(ret->chain));
	ret->link = session->link;
	ret->forced = session->forced;
	ret->elsewhere = session->elsewhere;
	ret->begun_at_ns = session->begun_at_ns;
	ret->frozen_at_ns = session->frozen_at_ns;
	ret->ended_at_ns = session->ended_at_ns;
	fill_held(session, ret);
	/* Set before the state was SERVING, and constant since. */
	if (session->state == STILL_SERVING || session->state == STILL_ENDED) {
		ret->cut = session->cut.words;
		ret->cut_width_ns = session->cut.last_ns -
		    session->cut.first_ns;
		ret->writers_held_ns = session->cut.held_ns;
		ret->freeze = session->cut.way;
		ret->verified = session->verified;
		ret->databases = session->databases;
		ret->files = session->files;
		ret->bytes = session->bytes;
	}
	ret->capture_bytes = atomic_load(&session->capture_bytes);
	ret->captured_bytes = atomic_load(&session->captured_bytes);
	ret->files_whole = session->files_whole;
	ret->files_known = session->files_known;
	ret->covered = still_session_covered(session);
	ret->lost = session->lost;
	ret->committing = session->committing;
	ret->bytes_served = session->bytes_served;
	ret->bytes_hashed = atomic_load(&session->bytes_hashed);
	ret->sealing = session->sealing;
	ret->sealed = session->seal && !session->doomed && !session->lost;
	ret->seal_served = session->seal_served;
	ret->n_damaged = session->n_damaged;
	ret->n_unfrozen = session->n_unfrozen;
	still_error_copy(&ret->error, &session->error);
	pthread_mutex_unlock(&session->lock);
}

void still_session_status_clear(struct still_session_status *status)
{
	still_error_clear(&status->error);
}
