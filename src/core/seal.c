/* SPDX-License-Identifier: MIT */
/* seal: verify/XXH128SUMS, made when every byte under it was verified while the
 * moment was protected; and before it the engine's closing files, which are under
 * it, too. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "core/manifest.h"
#include "core/session.h"

bool still_session_sealed(struct still_session *session)
{
	bool sealed;

	pthread_mutex_lock(&session->lock);
	sealed = session->seal || session->doomed || session->lost ||
	    session->state == STILL_ENDED;
	pthread_mutex_unlock(&session->lock);
	return sealed;
}

/* Remember what is held; and tell, once, when nothing will be any more. */
static void take_held(
    struct still_session *session, const struct still_held *held)
{
	char seconds[32];
	int64_t span_ns;
	bool tell;

	pthread_mutex_lock(&session->lock);
	session->held = *held;
	session->looked = true;
	tell = !session->complete_told && held->copy_bytes > 0 &&
	    held->copied_bytes >= held->copy_bytes;
	session->complete_told |= tell;
	span_ns = still_sys_monotonic_ns() - session->frozen_mono_ns;
	pthread_mutex_unlock(&session->lock);
	if (!tell)
		return;
	snprintf(seconds, sizeof(seconds), "%.3f",
	    (double) span_ns / STILL_NS_PER_S);
	still_events_add(session->events, STILL_LEVEL_INFO, "snapshot-complete",
	    "session", session->id, "bytes",
	    still_number(held->copied_bytes).text, "seconds", seconds, NULL);
}

int still_session_keep_held(
    struct still_session *session, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	struct still_held held = {0};
	int rc = still_engine_keep(session->instance->engine, &held, &own);

	if (rc < 0) {
		still_session_note(session, NULL, &own);
		if (err)
			still_error_copy(err, &own);
		still_error_clear(&own);
		return rc;
	}
	take_held(session, &held);
	return 0;
}

/* What has the identity that it had in the last good session has its bytes too,
 * or they have changed though nobody wrote them. */
static int compare_known(struct still_session *session, uint32_t index,
    const struct still_hash128 *digest, struct still_error *err)
{
	const struct still_snapshot *snapshot = &session->snapshot;
	struct still_error own = STILL_ERROR_INIT;
	const char *path = snapshot->entries[index].path;

	if (!snapshot->known[index] ||
	    memcmp(digest, &snapshot->known_digests[index], sizeof(*digest)) ==
		0)
		return 0;
	still_error_set(&own, STILL_ERR_CORRUPT, 0,
	    "The disk, the memory or a program that hides its writes has "
	    "changed it. Check the live database, and keep the last good copy.",
	    "`%s`: its content has changed since the last good session, though "
	    "nothing shows a write",
	    path);
	still_session_note(session, path, &own);
	if (err)
		still_error_copy(err, &own);
	still_error_clear(&own);
	return STILL_ERR_CORRUPT;
}

/* The digest of every file, and then the text over them. */
static int digest_all(struct still_session *session,
    struct still_hash128 **ret_digests, struct still_error *err)
{
	struct still_snapshot *snapshot = &session->snapshot;
	struct still_hash128 *digests = calloc(snapshot->n, sizeof(*digests));
	int rc = 0;

	if (!digests)
		return still_error_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < snapshot->n; i++) {
		struct still_fill fill = {session, i};

		if (snapshot->entries[i].kind != STILL_FILE ||
		    snapshot->entries[i].closing)
			continue;
		rc = still_digest_complete(&session->tracked[i].digest,
		    still_session_fill, &fill, &session->cancel, err);
		if (rc == 0)
			digests[i] = session->tracked[i].digest.value;
		if (rc == 0)
			rc = compare_known(session, i, &digests[i], err);
	}
	if (rc == 0)
		*ret_digests = digests;
	else
		free(digests);
	return rc;
}

/* ---- the engine's closing files ------------------------------------------ */

static struct still_closed_file *list_closed(
    const struct still_session *session, size_t *ret_n)
{
	const struct still_snapshot *snapshot = &session->snapshot;
	struct still_closed_file *files = calloc(snapshot->n, sizeof(*files));
	size_t n = 0;

	for (uint32_t i = 0; files && i < snapshot->n; i++) {
		const struct still_entry *e = &snapshot->entries[i];

		if (e->kind == STILL_FILE && !e->closing)
			files[n++] = (struct still_closed_file){e->path,
			    e->size_bytes, e->time_s,
			    session->tracked[i].digest.crc};
	}
	*ret_n = n;
	return files;
}

static int close_one(struct still_session *session, uint32_t index,
    const struct still_closed_file *files, size_t n,
    struct still_hash128 *ret_digest, struct still_error *err)
{
	const struct still_entry *entry = &session->snapshot.entries[index];
	char *text = malloc((size_t) entry->size_bytes + 1);
	int rc = text
	    ? still_engine_close(session->instance->engine,
		  session->snapshot.sources[index].object, files, n, text, err)
	    : still_error_nomem(err);

	if (rc < 0) {
		free(text);
		return rc;
	}
	*ret_digest = still_hash128(text, (size_t) entry->size_bytes);
	pthread_mutex_lock(&session->lock);
	free(session->tracked[index].text);
	session->tracked[index].text = text;
	pthread_mutex_unlock(&session->lock);
	return 0;
}

static int close_all(struct still_session *session,
    struct still_hash128 *digests, struct still_error *err)
{
	const struct still_snapshot *snapshot = &session->snapshot;
	struct still_closed_file *files;
	size_t n;
	int rc = 0;

	if (!snapshot->closes)
		return 0;
	files = list_closed(session, &n);
	if (!files)
		return still_error_nomem(err);
	for (uint32_t i = 0; rc == 0 && i < snapshot->n; i++)
		if (snapshot->sources[i].kind == STILL_SOURCE_CLOSING)
			rc = close_one(session, i, files, n, &digests[i], err);
	free(files);
	return rc;
}

/* ---- the sums of pages ---------------------------------------------------- */

/* For later sessions; what cannot be kept, these do without. Then they are let
 * go: nobody fills them any more. */
static bool keep_one(
    struct still_session *session, const char *path, struct still_pages *pages)
{
	struct still_error err = STILL_ERROR_INIT;
	bool kept = pages->fd >= 0;

	if (kept &&
	    still_pages_keep(
		session->instance->catalog, pages, session->id, path, &err) < 0)
		still_session_note_sums(session, &err);
	still_error_clear(&err);
	still_pages_release(pages);
	return kept;
}

static void keep_sums(struct still_session *session)
{
	const struct still_snapshot *snapshot = &session->snapshot;
	struct still_error err = STILL_ERROR_INIT;
	bool kept = false;

	for (uint32_t i = 0; i < snapshot->n; i++)
		if (session->tracked[i].digest.done)
			kept |= keep_one(session, snapshot->entries[i].path,
			    &session->tracked[i].pages);
	for (size_t i = 0; i < session->n_summed; i++)
		kept |= keep_one(session, session->summed[i].path,
		    &session->summed[i].pages);
	if (kept &&
	    still_pages_sync(session->instance->catalog, session->id, &err) < 0)
		still_session_note_sums(session, &err);
	still_error_clear(&err);
}

/* ---- the seal ------------------------------------------------------------ */

/* On record before it is handed out. */
static int record(struct still_session *session,
    const struct still_hash128 *digests, const char *text,
    struct still_error *err)
{
	struct still_hash128 hash = still_hash128(text, strlen(text));

	if (!session->number)
		return 0;
	return still_catalog_sealed(session->instance->catalog, session->id,
	    &session->snapshot, digests, &hash, err);
}

/* All bytes were right when they were read; the moment must also have been
 * protected until the last of them was. */
static int make_seal(
    struct still_session *session, char **ret, struct still_error *err)
{
	struct still_hash128 *digests = NULL;
	char *text = NULL;
	int rc = digest_all(session, &digests, err);

	if (rc == 0)
		rc = close_all(session, digests, err);
	if (rc == 0)
		rc = still_session_keep_held(session, err);
	if (rc == 0) {
		text = still_sums_text(&session->snapshot, digests);
		if (!text)
			rc = still_error_nomem(err);
	}
	if (rc == 0) {
		keep_sums(session);
		rc = record(session, digests, text, err);
	}
	free(digests);
	if (rc == 0)
		*ret = text;
	else
		free(text);
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
		still_session_doomed_error(session, err);
	pthread_mutex_unlock(&session->lock);
	/* A doomed session has nothing to gain from a pass. */
	if (doomed)
		return STILL_ERR_CORRUPT;
	rc = make_seal(session, &text, err);
	pthread_mutex_lock(&session->lock);
	if (rc == 0 && session->doomed)
		rc = still_session_doomed_error(session, err);
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
	pthread_mutex_lock(&session->sealer);
	rc = still_session_check(session, err);
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
	pthread_mutex_unlock(&session->sealer);
	pthread_rwlock_unlock(&session->use);
	return rc;
}

/* ---- what has none ------------------------------------------------------- */

/* The digest of one file, as far as it goes: damage is told, and no failure. */
static int salvage_one(struct still_session *session, uint32_t index,
    struct still_hash128 *ret_digest, bool *ret_have, struct still_error *err)
{
	struct still_fill fill = {session, index};
	struct still_tracked *tracked = &session->tracked[index];
	int rc = still_digest_complete(
	    &tracked->digest, still_session_fill, &fill, &session->cancel, err);

	if (rc == 0) {
		*ret_digest = tracked->digest.value;
		*ret_have = true;
		rc = compare_known(session, index, ret_digest, err);
	}
	if (rc == STILL_ERR_CORRUPT) {
		still_error_clear(err);
		rc = 0;
	}
	return rc;
}

static int salvage(struct still_session *session, struct still_hash128 *digests,
    bool *have, struct still_error *err)
{
	const struct still_snapshot *snapshot = &session->snapshot;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < snapshot->n; i++)
		if (snapshot->entries[i].kind == STILL_FILE &&
		    !snapshot->entries[i].closing)
			rc = salvage_one(
			    session, i, &digests[i], &have[i], err);
	if (rc == 0)
		rc = still_session_keep_held(session, err);
	if (rc < 0 || !session->number)
		return rc;
	keep_sums(session);
	return still_catalog_digested(session->instance->catalog, session->id,
	    snapshot, digests, have, err);
}

int still_session_salvage(
    struct still_session *session, struct still_error *err)
{
	struct still_hash128 *digests;
	bool *have;
	int rc;

	pthread_rwlock_rdlock(&session->use);
	pthread_mutex_lock(&session->sealer);
	digests = calloc(session->snapshot.n + 1, sizeof(*digests));
	have = calloc(session->snapshot.n + 1, sizeof(*have));
	rc = digests && have ? still_session_check(session, err)
			     : still_error_nomem(err);
	if (rc == 0) {
		set_sealing(session, true);
		rc = salvage(session, digests, have, err);
		set_sealing(session, false);
	}
	free(digests);
	free(have);
	pthread_mutex_unlock(&session->sealer);
	pthread_rwlock_unlock(&session->use);
	return rc;
}

int still_session_keep(struct still_session *session, struct still_error *err)
{
	int rc;

	pthread_rwlock_rdlock(&session->use);
	rc = still_session_check(session, err);
	if (rc == 0)
		rc = still_session_keep_held(session, err);
	pthread_rwlock_unlock(&session->use);
	return rc;
}
