/* SPDX-License-Identifier: MIT */
/*
 * session: one backup, from begin to end. The contract is in still.h.
 *
 * LOCK ORDER
 *	use (read: readers, seal, keep; write: end) -> a file's digest -> lock
 * `use` keeps the snapshot and the engine's objects alive under readers; `lock`
 * guards what changes while serving and is never held across a call that may
 * block. A file's coverage is guarded by its own lock, a leaf.
 *
 * WHAT A READ MAY SAY. A session begins whole and can only get worse: doomed
 * (damage was found: the damaged range is EIO, the seal is EIO, the rest stays
 * readable) or lost (the moment is no longer protected: everything is EIO).
 * Neither is ever taken back.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/sys.h"
#include "core/coverage.h"
#include "core/digest.h"
#include "core/instance.h"
#include "core/manifest.h"
#include "core/snapshot.h"

/* What is known of one file while it is served. */
struct tracked {
	struct still_digest digest;
	pthread_mutex_t lock; /* of what follows */
	struct still_coverage coverage;
	bool whole;
};

/* Damage is told once per place, and only so often. */
#define REPORTS_MAX 256

struct still_session {
	struct still_instance *instance; /* borrowed */
	struct still_events *events;     /* borrowed */
	char id[40];                     /* constant */
	atomic_bool cancel;
	pthread_rwlock_t use;

	/* Set by begin before the state is SERVING, then constant. */
	struct still_snapshot snapshot;
	struct tracked *tracked; /* one per entry */
	const char *cut;
	int64_t cut_width_ns;
	const char *verified;
	uint32_t databases;
	uint32_t files;
	uint64_t bytes;

	atomic_uint_fast64_t bytes_hashed;

	pthread_mutex_t lock; /* of all that follows */
	enum still_state state;
	enum still_outcome outcome;
	int64_t begun_at_ns;
	int64_t frozen_at_ns;
	int64_t pinned_since_ns; /* CLOCK_MONOTONIC; 0: nothing is held */
	bool doomed;
	bool lost;
	bool sealing;
	char *seal; /* owned; the text, once it is made */
	bool seal_served;
	uint32_t files_whole;
	uint64_t bytes_served;
	struct still_error error; /* the first that mattered */
	uint32_t n_damaged;
	uint64_t reports[REPORTS_MAX]; /* hashes of messages already told */
	uint32_t n_reports;
};

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
	still_session_end(session, false);
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

/* ---- trouble ------------------------------------------------------------- */

/* Is this the first time that this message is told? Under the lock. */
static bool first_report(struct still_session *session, const char *msg)
{
	uint64_t hash = still_hash64(msg, strlen(msg));

	for (uint32_t i = 0; i < session->n_reports; i++)
		if (session->reports[i] == hash)
			return false;
	if (session->n_reports == REPORTS_MAX)
		return false;
	session->reports[session->n_reports++] = hash;
	return true;
}

/* The first failure is remembered, but what spoils the session stands above
 * what may pass. */
static bool spoils(int code)
{
	return code == STILL_ERR_CORRUPT || code == STILL_ERR_LOST;
}

static bool matters_more(int code, int than)
{
	return than == 0 || (spoils(code) && !spoils(than));
}

/* Remember and tell a failure: CORRUPT dooms, LOST loses, others are told. */
static void note_failure(struct still_session *session, const char *path,
    const struct still_error *what)
{
	const char *event = "read-error";
	bool tell;

	pthread_mutex_lock(&session->lock);
	if (what->code == STILL_ERR_CORRUPT) {
		session->doomed = true;
		event = "damage";
	} else if (what->code == STILL_ERR_LOST) {
		session->lost = true;
		event = "pin-lost";
	}
	if (matters_more(what->code, session->error.code))
		still_error_copy(&session->error, what);
	tell = first_report(session, still_error_msg(what));
	if (tell && what->code == STILL_ERR_CORRUPT)
		session->n_damaged++;
	pthread_mutex_unlock(&session->lock);
	if (tell)
		still_events_add(session->events, STILL_LEVEL_ERROR, event,
		    "session", session->id, "path", path, "error",
		    still_error_msg(what), "hint", what->hint, NULL);
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
	};
	int rc = still_engine_freeze(
	    session->instance->engine, &request, builder, err);

	if (rc < 0)
		return rc;
	*ret_frozen_at_ns = builder->cut_last_ns;
	session->cut = builder->cut;
	session->cut_width_ns = builder->cut_last_ns - builder->cut_first_ns;
	session->verified = builder->verified;
	session->databases = (uint32_t) json_array_size(builder->databases);
	pthread_mutex_lock(&session->lock);
	session->frozen_at_ns = *ret_frozen_at_ns;
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
	for (size_t i = 0; i < builder->n_damages; i++)
		note_failure(session, builder->damages[i].object,
		    &builder->damages[i].what);
	return 0;
}

static void tell_frozen(struct still_session *session, int64_t freeze_ns)
{
	still_events_add(session->events, STILL_LEVEL_INFO, "session-frozen",
	    "session", session->id, "cut", session->cut, "cut_width_ns",
	    still_number((uint64_t) session->cut_width_ns).text, "freeze_ns",
	    still_number((uint64_t) freeze_ns).text, "verified",
	    session->verified, "databases",
	    still_number(session->databases).text, "files",
	    still_number(session->files).text, "bytes",
	    still_number(session->bytes).text, NULL);
}

int still_session_begin(
    struct still_session *session, int64_t dir_time_s, struct still_error *err)
{
	struct still_instance_info info;
	struct still_builder builder;
	int64_t start_ns = still_sys_monotonic_ns();
	int rc;

	still_instance_describe(session->instance, &info);
	pthread_mutex_lock(&session->lock);
	session->state = STILL_PREPARING;
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
	still_session_end(session, false);
	return rc;
}

/* ---- serving ------------------------------------------------------------- */

const struct still_entry *still_session_entries(
    const struct still_session *session, uint32_t *ret_n)
{
	*ret_n = session->snapshot.n;
	return session->snapshot.entries;
}

uint32_t still_session_find(
    const struct still_session *session, uint32_t parent, const char *name)
{
	return still_snapshot_find(&session->snapshot, parent, name);
}

/* May anything be read? Under `use`. */
static int check_serving(struct still_session *session, struct still_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&session->lock);
	if (session->state != STILL_SERVING)
		rc = still_error_set(err, STILL_ERR_STALE, 0, NULL,
		    "session %s: is over", session->id);
	else if (session->lost)
		rc = still_error_set(err, STILL_ERR_LOST, 0, NULL,
		    "session %s: its snapshot is no longer protected",
		    session->id);
	pthread_mutex_unlock(&session->lock);
	return rc;
}

struct fill {
	struct still_session *session;
	uint32_t index;
};

/* Verified bytes of a file, whatever its source; tells every failure. */
static int read_source(void *arg, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err)
{
	struct fill *fill = arg;
	struct still_session *session = fill->session;
	const struct still_source *source =
	    &session->snapshot.sources[fill->index];
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	if (source->kind == STILL_SOURCE_MEMORY) {
		memcpy(data, source->memory + off_bytes, len);
		return 0;
	}
	rc = still_engine_read(session->instance->engine, source->object,
	    off_bytes, data, len, &own);
	if (rc < 0) {
		note_failure(
		    session, session->snapshot.entries[fill->index].path, &own);
		if (err)
			still_error_copy(err, &own);
		still_error_clear(&own);
	}
	return rc;
}

static void cover(struct still_session *session, uint32_t index,
    uint64_t off_bytes, size_t len)
{
	const struct still_entry *entry = &session->snapshot.entries[index];
	struct tracked *tracked = &session->tracked[index];
	bool now_whole = false;
	uint64_t fresh;

	pthread_mutex_lock(&tracked->lock);
	fresh = still_coverage_add(
	    &tracked->coverage, off_bytes, off_bytes + len);
	if (!tracked->whole &&
	    still_coverage_whole(&tracked->coverage, entry->size_bytes))
		now_whole = tracked->whole = true;
	pthread_mutex_unlock(&tracked->lock);
	if (!fresh && !now_whole)
		return;
	pthread_mutex_lock(&session->lock);
	session->bytes_served += fresh;
	session->files_whole += now_whole;
	if (now_whole && entry->seal)
		session->seal_served = true;
	pthread_mutex_unlock(&session->lock);
}

static int doomed_error(struct still_session *session, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "No checksum list is given out by a session that found damage.",
	    "`" STILL_SEAL_PATH "`: session %s is damaged: %s", session->id,
	    still_error_msg(&session->error));
}

static int read_seal(struct still_session *session, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&session->lock);
	if (session->doomed)
		rc = doomed_error(session, err);
	else if (!session->seal)
		rc = still_error_set(err, STILL_ERR_AGAIN, 0, NULL,
		    "`" STILL_SEAL_PATH "`: is not made yet");
	else
		memcpy(data, session->seal + off_bytes, len);
	pthread_mutex_unlock(&session->lock);
	return rc;
}

static ssize_t read_entry(struct still_session *session, uint32_t index,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	const struct still_entry *entry = &session->snapshot.entries[index];
	struct fill fill = {session, index};
	int rc;

	if (off_bytes >= entry->size_bytes || len == 0)
		return 0;
	if (len > entry->size_bytes - off_bytes)
		len = (size_t) (entry->size_bytes - off_bytes);
	if (entry->seal) {
		rc = read_seal(session, off_bytes, data, len, err);
	} else {
		rc = read_source(&fill, off_bytes, data, len, err);
		if (rc == 0)
			still_digest_feed(&session->tracked[index].digest,
			    off_bytes, data, len, read_source, &fill);
	}
	if (rc < 0)
		return rc;
	cover(session, index, off_bytes, len);
	return (ssize_t) len;
}

ssize_t still_session_read(struct still_session *session, uint32_t index,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	ssize_t rc;

	pthread_rwlock_rdlock(&session->use);
	rc = check_serving(session, err);
	if (rc == 0 &&
	    (index >= session->snapshot.n ||
		session->snapshot.entries[index].kind != STILL_FILE))
		rc = still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "entry %u: is no file", index);
	if (rc == 0)
		rc = read_entry(session, index, off_bytes, data, len, err);
	pthread_rwlock_unlock(&session->use);
	return rc;
}

/* ---- the seal ------------------------------------------------------------ */

bool still_session_sealed(struct still_session *session)
{
	bool sealed;

	pthread_mutex_lock(&session->lock);
	sealed = session->seal || session->doomed || session->lost ||
	    session->state == STILL_ENDED;
	pthread_mutex_unlock(&session->lock);
	return sealed;
}

static int keep_locked(struct still_session *session, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc = still_engine_keep(session->instance->engine, &own);

	if (rc < 0) {
		note_failure(session, NULL, &own);
		if (err)
			still_error_copy(err, &own);
		still_error_clear(&own);
	}
	return rc;
}

/* The digest of every file, and then the text over them. */
static int digest_all(
    struct still_session *session, char **ret_text, struct still_error *err)
{
	struct still_snapshot *snapshot = &session->snapshot;
	struct still_hash128 *digests = calloc(snapshot->n, sizeof(*digests));
	int rc = 0;

	if (!digests)
		return still_error_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < snapshot->n; i++) {
		struct fill fill = {session, i};

		if (snapshot->entries[i].kind != STILL_FILE ||
		    i == snapshot->seal)
			continue;
		rc = still_digest_complete(&session->tracked[i].digest,
		    read_source, &fill, &session->cancel, err);
		if (rc == 0)
			digests[i] = session->tracked[i].digest.value;
	}
	if (rc == 0) {
		*ret_text = still_sums_text(snapshot, digests);
		if (!*ret_text)
			rc = still_error_nomem(err);
	}
	free(digests);
	return rc;
}

static int seal(struct still_session *session, struct still_error *err)
{
	char *text = NULL;
	bool doomed;
	int rc;

	pthread_mutex_lock(&session->lock);
	doomed = session->doomed;
	if (doomed)
		doomed_error(session, err);
	pthread_mutex_unlock(&session->lock);
	/* A doomed session has nothing to gain from a pass. */
	if (doomed)
		return STILL_ERR_CORRUPT;
	rc = digest_all(session, &text, err);
	/* All bytes were right when they were read; the moment must also have
	 * been protected until the last of them was. */
	if (rc == 0)
		rc = keep_locked(session, err);
	pthread_mutex_lock(&session->lock);
	if (rc == 0 && session->doomed)
		rc = doomed_error(session, err);
	if (rc == 0) {
		session->seal = text;
		text = NULL;
	}
	pthread_mutex_unlock(&session->lock);
	free(text);
	return rc;
}

static void set_sealing(struct still_session *session, bool sealing)
{
	pthread_mutex_lock(&session->lock);
	session->sealing = sealing;
	pthread_mutex_unlock(&session->lock);
}

int still_session_seal(struct still_session *session, struct still_error *err)
{
	int rc;

	pthread_rwlock_rdlock(&session->use);
	rc = check_serving(session, err);
	if (rc == 0 && !session->seal) {
		set_sealing(session, true);
		rc = seal(session, err);
		set_sealing(session, false);
		if (rc == 0)
			still_events_add(session->events, STILL_LEVEL_INFO,
			    "sealed", "session", session->id, "bytes",
			    still_number(atomic_load(&session->bytes_hashed))
				.text,
			    NULL);
	}
	pthread_rwlock_unlock(&session->use);
	return rc;
}

int still_session_keep(struct still_session *session, struct still_error *err)
{
	int rc;

	pthread_rwlock_rdlock(&session->use);
	rc = check_serving(session, err);
	if (rc == 0)
		rc = keep_locked(session, err);
	pthread_rwlock_unlock(&session->use);
	return rc;
}

/* ---- end ----------------------------------------------------------------- */

/* Under the lock. What went wrong is more than what was not read. */
static enum still_outcome settle(
    const struct still_session *session, bool forced)
{
	if (session->state != STILL_SERVING)
		return session->begun_at_ns ? STILL_ABORTED_FREEZE
					    : STILL_NO_OUTCOME;
	if (session->doomed)
		return STILL_ABORTED_CORRUPT;
	if (session->lost)
		return STILL_ABORTED_LOST;
	if (forced)
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

enum still_outcome still_session_end(struct still_session *session, bool forced)
{
	enum still_outcome outcome;
	bool begun;

	still_session_cancel(session);
	pthread_rwlock_wrlock(&session->use);
	/* The moment must have been kept to the end, not to the last tick. */
	if (check_serving(session, NULL) == 0)
		keep_locked(session, NULL);
	pthread_mutex_lock(&session->lock);
	begun = session->state != STILL_ENDED && session->begun_at_ns;
	if (session->state != STILL_ENDED) {
		session->outcome = settle(session, forced);
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
	ret->begun_at_ns = session->begun_at_ns;
	ret->frozen_at_ns = session->frozen_at_ns;
	if (session->pinned_since_ns)
		ret->pin_age_ns = still_sys_monotonic_ns() -
		    session->pinned_since_ns;
	/* Set before the state was SERVING, and constant since. */
	if (session->state == STILL_SERVING || session->state == STILL_ENDED) {
		ret->cut = session->cut;
		ret->cut_width_ns = session->cut_width_ns;
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
	still_error_copy(&ret->error, &session->error);
	pthread_mutex_unlock(&session->lock);
}

void still_session_status_clear(struct still_session_status *status)
{
	still_error_clear(&status->error);
}
