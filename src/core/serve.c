/* SPDX-License-Identifier: MIT */
/* serve: what a session hands out, and the account that it keeps of it. */
#include "config.h"

#include <string.h>

#include "base/hash.h"
#include "core/account.h"
#include "core/session.h"

#define PIECE_BYTES ((size_t) 128 * 1024)

/* Is this the first time that this message is told? Under the lock. */
static bool first_report(struct still_session *session, const char *msg)
{
	uint64_t hash = still_hash64(msg, strlen(msg));

	for (uint32_t i = 0; i < session->n_reports; i++)
		if (session->reports[i] == hash)
			return false;
	if (session->n_reports == STILL_REPORTS_MAX)
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
void still_session_note(struct still_session *session, const char *path,
    const struct still_error *what)
{
	const char *event = "read-error";
	bool tell;

	pthread_mutex_lock(&session->lock);
	if (what->code == STILL_ERR_CORRUPT) {
		session->doomed = session->corrupt = true;
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

void still_session_note_unfrozen(struct still_session *session,
    const char *path, const struct still_error *why)
{
	pthread_mutex_lock(&session->lock);
	session->doomed = session->incomplete = true;
	session->n_unfrozen++;
	pthread_mutex_unlock(&session->lock);
	still_events_add(session->events, STILL_LEVEL_ERROR, "not-frozen",
	    "session", session->id, "path", path, "error", still_error_msg(why),
	    "hint", why->hint, NULL);
	if (why->code == STILL_ERR_CORRUPT) {
		still_session_note(session, path, why);
		return;
	}
	pthread_mutex_lock(&session->lock);
	if (!session->error.code)
		still_error_copy(&session->error, why);
	pthread_mutex_unlock(&session->lock);
}

void still_session_note_sums(
    struct still_session *session, const struct still_error *why)
{
	if (!session->sums_failed)
		still_events_add(session->events, STILL_LEVEL_WARNING,
		    "no-page-sums", "session", session->id, "error",
		    still_error_msg(why), "hint", why->hint, NULL);
	session->sums_failed = true;
}

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
int still_session_check(struct still_session *session, struct still_error *err)
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

/* A read can say that the moment is lost. Why it is, the engine says when it is
 * asked for that. */
static void find_why(struct still_session *session, struct still_error *what)
{
	struct still_error why = STILL_ERROR_INIT;
	struct still_held held;

	if (still_engine_keep(session->instance->engine, &held, &why) ==
	    STILL_ERR_LOST)
		still_error_copy(what, &why);
	still_error_clear(&why);
}

/* Verified bytes of a file, whatever its source; tells every failure. */
int still_session_fill(void *arg, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err)
{
	struct still_fill *fill = arg;
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
	if (rc == STILL_ERR_LOST)
		find_why(session, &own);
	if (rc < 0) {
		still_session_note(
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
	struct still_tracked *tracked = &session->tracked[index];
	bool now_whole = false;
	bool first;
	uint64_t fresh;

	pthread_mutex_lock(&tracked->lock);
	first = tracked->coverage.n == 0;
	fresh = still_coverage_add(
	    &tracked->coverage, off_bytes, off_bytes + len);
	if (!tracked->whole &&
	    still_coverage_whole(&tracked->coverage, entry->size_bytes))
		now_whole = tracked->whole = true;
	if (first && fresh)
		still_account_begin(session, index);
	if (now_whole)
		still_account_whole(session, index);
	pthread_mutex_unlock(&tracked->lock);
	if (!fresh && !now_whole)
		return;
	pthread_mutex_lock(&session->lock);
	session->bytes_served += fresh;
	session->files_whole += now_whole;
	if (now_whole && session->snapshot.known[index])
		session->files_known--;
	if (now_whole && entry->seal)
		session->seal_served = true;
	pthread_mutex_unlock(&session->lock);
}

int still_session_doomed_error(
    struct still_session *session, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "No checksum list is given out by a session that is not whole.",
	    "`" STILL_SEAL_PATH "`: session %s is %s: %s", session->id,
	    session->corrupt ? "damaged" : "incomplete",
	    still_error_msg(&session->error));
}

static int read_closing(struct still_session *session, uint32_t index,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	const struct still_entry *entry = &session->snapshot.entries[index];
	const char *text;
	int rc = 0;

	pthread_mutex_lock(&session->lock);
	if (session->doomed)
		rc = still_session_doomed_error(session, err);
	text = entry->seal ? session->seal : session->tracked[index].text;
	if (rc == 0 && !text)
		rc = still_error_set(err, STILL_ERR_AGAIN, 0, NULL,
		    "`%s`: is not made yet", entry->path);
	if (rc == 0)
		memcpy(data, text + off_bytes, len);
	pthread_mutex_unlock(&session->lock);
	return rc;
}

/* A big request goes piece by piece: verified and digested while it is still
 * near the core. Pieces end where pages do. */
static int read_file(struct still_session *session, uint32_t index,
    uint64_t off_bytes, char *data, size_t len, struct still_error *err)
{
	struct still_digest *digest = &session->tracked[index].digest;
	struct still_fill fill = {session, index};
	struct still_digest_read read;
	size_t done = 0;
	int rc = 0;

	still_digest_begin(digest, &read, off_bytes, len);
	while (rc == 0 && done < len) {
		size_t n = PIECE_BYTES -
		    (size_t) ((off_bytes + done) % PIECE_BYTES);

		if (n > len - done)
			n = len - done;
		rc = still_session_fill(
		    &fill, off_bytes + done, data + done, n, err);
		if (rc == 0)
			done += n;
		if (rc == 0 && done < len)
			still_digest_feed(digest, &read, data, done);
	}
	still_digest_end(digest, &read, data, done, still_session_fill, &fill);
	return rc;
}

static ssize_t read_entry(struct still_session *session, uint32_t index,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	const struct still_entry *entry = &session->snapshot.entries[index];
	int rc;

	if (off_bytes >= entry->size_bytes || len == 0)
		return 0;
	if (len > entry->size_bytes - off_bytes)
		len = (size_t) (entry->size_bytes - off_bytes);
	rc = entry->closing
	    ? read_closing(session, index, off_bytes, data, len, err)
	    : read_file(session, index, off_bytes, data, len, err);
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
	rc = still_session_check(session, err);
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
