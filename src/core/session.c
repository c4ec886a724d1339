/* SPDX-License-Identifier: MIT */
/* session: its life, from new to end; what it serves is in serve.c. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/json.h"
#include "base/sys.h"
#include "core/manifest.h"
#include "core/session.h"
#include "core/spool.h"

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
	pthread_mutex_init(&session->lock, NULL);
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
		still_coverage_release(&session->tracked[i].coverage);
		pthread_mutex_destroy(&session->tracked[i].lock);
	}
	free(session->tracked);
	still_snapshot_release(&session->snapshot);
	free(session->seal);
	still_error_clear(&session->error);
	pthread_mutex_destroy(&session->lock);
	pthread_rwlock_destroy(&session->use);
	free(session);
}

void still_session_cancel(struct still_session *session)
{
	atomic_store(&session->cancel, true);
}

static void observe(
    void *arg, const char *event, const char *object, const char *text)
{
	struct still_session *session = arg;

	still_events_add(session->events, STILL_LEVEL_WARNING, event, "session",
	    session->id, "object", object, "text", text, NULL);
}

/* ---- begin --------------------------------------------------------------- */

/* Files carry the second of the freeze as their time. As long as it lasts, a
 * later session could get the same one with other bytes of the same size, and
 * rsync would see no difference: so nothing is handed out before it is over.
 * (The catalog will know the last session's times, and end this wait.) */
static int wait_for_second(const struct still_session *session,
    int64_t frozen_at_ns, struct still_error *err)
{
	int64_t until_ns = (frozen_at_ns / STILL_NS_PER_S + 1) * STILL_NS_PER_S;
	int64_t end_ns = still_sys_monotonic_ns() + STILL_NS_PER_S;

	while (!atomic_load(&session->cancel) &&
	    still_sys_now_ns() < until_ns &&
	    still_sys_monotonic_ns() < end_ns) {
		int64_t left_ns = until_ns - still_sys_now_ns();

		still_sys_sleep_ns(left_ns < 20000000 ? left_ns : 20000000);
	}
	if (atomic_load(&session->cancel))
		return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
		    "session %s: was stopped before it served", session->id);
	return 0;
}

static int track(struct still_session *session, struct still_error *err)
{
	uint32_t n = session->snapshot.n;

	session->tracked = calloc(n, sizeof(*session->tracked));
	if (!session->tracked)
		return still_error_nomem(err);
	for (uint32_t i = 0; i < n; i++) {
		const struct still_entry *e = &session->snapshot.entries[i];

		still_digest_init(&session->tracked[i].digest,
		    e->seal ? 0 : e->size_bytes, &session->bytes_hashed);
		pthread_mutex_init(&session->tracked[i].lock, NULL);
		if (e->kind == STILL_FILE && e->size_bytes > 0)
			session->files++;
		if (e->kind == STILL_FILE)
			session->bytes += e->size_bytes;
	}
	return 0;
}

static int freeze(struct still_session *session, struct still_builder *builder,
    int64_t *ret_frozen_at_ns, struct still_error *err)
{
	struct still_freeze_request request = {
	    .cancel = &session->cancel,
	    .observer = {observe, session},
	    .spool = {still_spool_open, &session->instance->spool},
	};
	int rc = still_engine_freeze(
	    session->instance->engine, &request, builder, err);

	if (rc < 0)
		return rc;
	*ret_frozen_at_ns = builder->cut.last_ns;
	session->cut = builder->cut;
	session->verified = builder->verified;
	session->databases = (uint32_t) json_array_size(builder->databases);
	pthread_mutex_lock(&session->lock);
	session->frozen_at_ns = *ret_frozen_at_ns;
	if (builder->cut.pinned)
		session->pinned_since_ns = still_sys_monotonic_ns();
	pthread_mutex_unlock(&session->lock);
	return 0;
}

static int build(struct still_session *session,
    const struct still_instance_info *info, int64_t dir_time_s,
    struct still_builder *builder, struct still_error *err)
{
	struct still_manifest manifest = {
	    .session_id = session->id,
	    .kind = "full",
	    .instance = info,
	    .begun_at_ns = session->begun_at_ns,
	    .builder = builder,
	};
	char *text;
	size_t len;
	int rc;

	rc = freeze(session, builder, &manifest.frozen_at_ns, err);
	if (rc < 0)
		return rc;
	text = still_manifest_text(&manifest, &len);
	if (!text)
		return still_error_nomem(err);
	rc = still_builder_finish(builder, text, len,
	    manifest.frozen_at_ns / STILL_NS_PER_S, dir_time_s,
	    &session->snapshot, err);
	if (rc == 0)
		rc = track(session, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < builder->n_damages; i++) {
		const struct still_damage *damage = &builder->damages[i];

		if (damage->unfrozen)
			still_session_note_unfrozen(
			    session, damage->object, &damage->what);
		else
			still_session_note(
			    session, damage->object, &damage->what);
	}
	return 0;
}

static void tell_frozen(struct still_session *session, int64_t freeze_ns)
{
	still_events_add(session->events, STILL_LEVEL_INFO, "session-frozen",
	    "session", session->id, "cut", session->cut.words, "cut_width_ns",
	    still_number(
		(uint64_t) (session->cut.last_ns - session->cut.first_ns))
		.text,
	    "writers_held_ns",
	    still_number((uint64_t) session->cut.held_ns).text, "freeze_ns",
	    still_number((uint64_t) freeze_ns).text, "verified",
	    session->verified, "databases",
	    still_number(session->databases).text, "files",
	    still_number(session->files).text, "bytes",
	    still_number(session->bytes).text, NULL);
}

int still_session_begin(struct still_session *session,
    enum still_session_kind kind, int64_t dir_time_s, struct still_error *err)
{
	struct still_instance_info info;
	struct still_builder builder;
	int64_t start_ns = still_sys_monotonic_ns();
	int rc;

	still_instance_describe(session->instance, &info);
	pthread_mutex_lock(&session->lock);
	session->state = STILL_PREPARING;
	session->kind = kind;
	session->begun_at_ns = still_sys_now_ns();
	pthread_mutex_unlock(&session->lock);
	still_events_add(session->events, STILL_LEVEL_INFO, "session-begin",
	    "session", session->id, "kind", "full", "source", info.source,
	    NULL);

	rc = still_builder_init(
	    &builder, info.dir_mode, info.uid, info.gid, err);
	if (rc == 0) {
		rc = build(session, &info, dir_time_s, &builder, err);
		if (rc == 0)
			tell_frozen(
			    session, still_sys_monotonic_ns() - start_ns);
		still_builder_release(&builder);
	}
	if (rc == 0)
		rc = wait_for_second(session, session->frozen_at_ns, err);
	if (rc == 0) {
		pthread_mutex_lock(&session->lock);
		session->state = STILL_SERVING;
		pthread_mutex_unlock(&session->lock);
		return 0;
	}
	still_events_add(session->events, STILL_LEVEL_ERROR, "freeze-failed",
	    "session", session->id, "error", still_error_msg(err), "hint",
	    err->hint, NULL);
	pthread_mutex_lock(&session->lock);
	if (!session->error.code)
		still_error_copy(&session->error, err);
	pthread_mutex_unlock(&session->lock);
	still_session_end(session, STILL_END_DONE);
	return rc;
}

/* ---- end ----------------------------------------------------------------- */

/* Under the lock. What went wrong is more than what was not read. */
static enum still_outcome settle(
    const struct still_session *session, enum still_end how)
{
	if (session->state != STILL_SERVING)
		return session->begun_at_ns ? STILL_ABORTED_FREEZE
					    : STILL_NO_OUTCOME;
	if (session->corrupt)
		return STILL_ABORTED_CORRUPT;
	if (session->lost)
		return STILL_ABORTED_LOST;
	if (session->incomplete)
		return STILL_ABORTED_INCOMPLETE;
	if (how == STILL_END_ABORT)
		return STILL_ABORTED_CALLER;
	if (how == STILL_END_FORCED)
		return STILL_ABORTED_FORCED;
	if (session->bytes_served == 0)
		return STILL_ABORTED_UNREAD;
	if (session->files_whole < session->files || !session->seal_served)
		return STILL_ABORTED_PARTIAL;
	return STILL_COPIED;
}

static void tell_end(struct still_session *session)
{
	struct still_session_status status;
	char text[STILL_OUTCOME_TEXT_BYTES];

	still_session_status(session, &status);
	still_outcome_text(&status, text);
	still_events_add(session->events,
	    status.outcome == STILL_COPIED ? STILL_LEVEL_INFO
					   : STILL_LEVEL_WARNING,
	    "session-end", "session", session->id, "outcome", text, "files",
	    still_number(status.files).text, "files_whole",
	    still_number(status.files_whole).text, "bytes",
	    still_number(status.bytes).text, "bytes_served",
	    still_number(status.bytes_served).text, "error",
	    status.error.code ? still_error_msg(&status.error) : NULL, NULL);
	still_session_status_clear(&status);
}

enum still_outcome still_session_end(
    struct still_session *session, enum still_end how)
{
	enum still_outcome outcome;
	bool begun;

	still_session_cancel(session);
	pthread_rwlock_wrlock(&session->use);
	/* The moment must have been kept to the end, not to the last tick. */
	if (still_session_check(session, NULL) == 0)
		still_session_keep_held(session, NULL);
	pthread_mutex_lock(&session->lock);
	begun = session->state != STILL_ENDED && session->begun_at_ns;
	if (session->state != STILL_ENDED) {
		session->outcome = settle(session, how);
		session->state = STILL_ENDED;
	}
	outcome = session->outcome;
	pthread_mutex_unlock(&session->lock);
	if (begun) {
		still_engine_thaw(session->instance->engine);
		pthread_mutex_lock(&session->lock);
		session->pinned_since_ns = 0;
		pthread_mutex_unlock(&session->lock);
		tell_end(session);
	}
	pthread_rwlock_unlock(&session->use);
	return outcome;
}

/* ---- status -------------------------------------------------------------- */

void still_session_status(
    struct still_session *session, struct still_session_status *ret)
{
	memset(ret, 0, sizeof(*ret));
	pthread_mutex_lock(&session->lock);
	memcpy(ret->id, session->id, sizeof(ret->id));
	ret->state = session->state;
	ret->outcome = session->outcome;
	ret->kind = session->kind;
	ret->begun_at_ns = session->begun_at_ns;
	ret->frozen_at_ns = session->frozen_at_ns;
	if (session->pinned_since_ns)
		ret->pin_age_ns = still_sys_monotonic_ns() -
		    session->pinned_since_ns;
	/* Set before the state was SERVING, and constant since. */
	if (session->state == STILL_SERVING || session->state == STILL_ENDED) {
		ret->cut = session->cut.words;
		ret->cut_width_ns = session->cut.last_ns -
		    session->cut.first_ns;
		ret->writers_held_ns = session->cut.held_ns;
		ret->verified = session->verified;
		ret->databases = session->databases;
		ret->files = session->files;
		ret->bytes = session->bytes;
	}
	ret->files_whole = session->files_whole;
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
