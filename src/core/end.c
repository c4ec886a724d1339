/* SPDX-License-Identifier: MIT */
/* end: a session on its way to its outcome. The outcome is on record before
 * anything is let go, and before anybody is told. */
#include "config.h"

#include <string.h>

#include "base/sys.h"
#include "core/account.h"
#include "core/commit.h"
#include "core/session.h"
#include "core/truncate.h"

/* How a session may end: as its caller says, or by a commit. */
struct verdict {
	enum still_end how;
	bool commit;
	struct still_commit_options options; /* of the commit */
	struct still_truncation
	    *truncation; /* is filled if that is asked for */
};

bool still_session_covered(const struct still_session *session)
{
	return session->state == STILL_SERVING && session->seal_served &&
	    session->files_whole + session->files_known == session->files;
}

/* Under the lock. What went wrong is more than what was not read. */
static enum still_outcome settle(
    const struct still_session *session, const struct verdict *verdict)
{
	if (session->state != STILL_SERVING)
		return session->begun_at_ns ? STILL_ABORTED_FREEZE
					    : STILL_NO_OUTCOME;
	if (session->corrupt && !(verdict->commit && verdict->options.force))
		return STILL_ABORTED_CORRUPT;
	if (session->lost)
		return STILL_ABORTED_LOST;
	if (session->incomplete)
		return STILL_ABORTED_INCOMPLETE;
	if (verdict->commit)
		return STILL_COMMITTED;
	if (verdict->how == STILL_END_ABORT)
		return STILL_ABORTED_CALLER;
	if (verdict->how == STILL_END_FORCED)
		return STILL_ABORTED_FORCED;
	if (session->bytes_served == 0)
		return STILL_ABORTED_UNREAD;
	return still_session_covered(session) ? STILL_COPIED
					      : STILL_ABORTED_PARTIAL;
}

static void tell_end(struct still_session *session)
{
	struct still_session_status status;
	char text[STILL_OUTCOME_TEXT_BYTES];

	still_session_status(session, &status);
	still_outcome_text(&status, text);
	still_events_add(session->events,
	    still_outcome_is_good(status.outcome) ? STILL_LEVEL_INFO
						  : STILL_LEVEL_WARNING,
	    "session-end", "session", session->id, "outcome", text, "files",
	    still_number(status.files).text, "files_whole",
	    still_number(status.files_whole).text, "bytes",
	    still_number(status.bytes).text, "bytes_served",
	    still_number(status.bytes_served).text, "error",
	    status.error.code ? still_error_msg(&status.error) : NULL, NULL);
	still_session_status_clear(&status);
}

static bool is_forced(
    const struct still_session *session, enum still_outcome outcome)
{
	return outcome == STILL_COMMITTED && session->corrupt;
}

/* The row of a session that is not there any more. 0 also when there is none. */
static int record(struct still_session *session, enum still_outcome outcome,
    const struct verdict *verdict, struct still_error *err)
{
	struct still_session_status status;
	int rc;

	if (!session->number)
		return 0;
	still_session_status(session, &status);
	status.outcome = outcome;
	status.ended_at_ns = still_sys_now_ns();
	status.forced = is_forced(session, outcome);
	status.elsewhere = outcome == STILL_COMMITTED &&
	    verdict->options.elsewhere;
	rc = still_catalog_end(session->instance->catalog, &status, err);
	still_session_status_clear(&status);
	return rc;
}

/* ---- what is let go ------------------------------------------------------- */

static void tell_truncation(
    struct still_session *session, const struct still_truncation *truncation)
{
	const struct still_error *error = &truncation->error;

	if (error->code)
		still_events_add(session->events, STILL_LEVEL_WARNING,
		    "truncation-failed", "session", session->id, "error",
		    still_error_msg(error), "hint", error->hint, NULL);
	else
		still_events_add(session->events, STILL_LEVEL_INFO, "truncated",
		    "session", session->id, "range",
		    truncation->range[0] ? truncation->range : NULL, "bytes",
		    still_number(truncation->bytes).text, "sessions",
		    still_number(truncation->sessions).text, NULL);
}

/* The commit is durable, the engine is thawed, and nobody else begins yet. */
static void truncate_logs(
    struct still_session *session, struct still_truncation *ret)
{
	if (session->number)
		still_truncate_locked(session->instance,
		    session->hold.instance_id, NULL, false, ret, &ret->error);
	tell_truncation(session, ret);
}

/* Of the sums of pages what nobody needs from now on. That it stays is no harm:
 * the next session tries again. */
static void forget_sums(struct still_session *session)
{
	uint32_t n_forgotten;

	if (session->hold.fd >= 0)
		still_lineage_forget(session->instance->catalog,
		    session->hold.instance_id, NULL, false, &n_forgotten, NULL);
}

static void let_go(struct still_session *session, enum still_outcome outcome,
    const struct verdict *verdict)
{
	pthread_mutex_lock(&session->lock);
	session->outcome = outcome;
	session->forced = is_forced(session, outcome);
	session->elsewhere = outcome == STILL_COMMITTED &&
	    verdict->options.elsewhere;
	session->state = STILL_ENDED;
	session->ended_at_ns = still_sys_now_ns();
	pthread_mutex_unlock(&session->lock);
	if (session->freezing)
		still_engine_thaw(session->instance->engine);
	if (outcome == STILL_COMMITTED && verdict->options.truncate)
		truncate_logs(session, verdict->truncation);
	forget_sums(session);
	still_catalog_unlock(&session->hold);
	pthread_mutex_lock(&session->lock);
	session->pinned = false;
	pthread_mutex_unlock(&session->lock);
	still_account_short(session);
	tell_end(session);
}

/* What cannot be recorded did not happen: nobody will find that copy in the
 * catalog, and the row will be taken for that of a crash. */
static enum still_outcome unrecorded(struct still_session *session,
    enum still_outcome outcome, const struct still_error *why)
{
	still_events_add(session->events, STILL_LEVEL_ERROR, "catalog-failed",
	    "session", session->id, "error", still_error_msg(why), "hint",
	    why->hint, NULL);
	return outcome == STILL_COPIED ? STILL_ABORTED_UNRECORDED : outcome;
}

/* Does it serve on when its end cannot be recorded? A commit can be asked for
 * again; and a copy that is whole is not given up for want of patience. */
static bool may_wait(
    const struct verdict *verdict, enum still_outcome outcome, int code)
{
	return outcome == STILL_COMMITTED ||
	    (outcome == STILL_COPIED && code == STILL_ERR_BUSY &&
		verdict->how == STILL_END_QUIET);
}

/* 0 when it is over now. */
static int finish(struct still_session *session, const struct verdict *verdict,
    struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	enum still_outcome outcome;
	bool begun;
	int rc = 0;

	pthread_rwlock_wrlock(&session->use);
	/* The moment must have been kept to the end, not to the last tick. */
	if (still_session_check(session, NULL) == 0)
		still_session_keep_held(session, NULL);
	pthread_mutex_lock(&session->lock);
	begun = session->state != STILL_ENDED && session->begun_at_ns;
	outcome = settle(session, verdict);
	if (session->state != STILL_ENDED && !begun)
		session->state = STILL_ENDED;
	pthread_mutex_unlock(&session->lock);
	if (begun) {
		rc = record(session, outcome, verdict, &own);
		if (rc < 0 && may_wait(verdict, outcome, rc)) {
			if (err)
				still_error_copy(err, &own);
		} else {
			if (rc < 0)
				outcome = unrecorded(session, outcome, &own);
			let_go(session, outcome, verdict);
			rc = 0;
		}
	}
	pthread_rwlock_unlock(&session->use);
	still_error_clear(&own);
	return rc;
}

static enum still_outcome outcome_of(struct still_session *session)
{
	enum still_outcome outcome;

	pthread_mutex_lock(&session->lock);
	outcome = session->outcome;
	pthread_mutex_unlock(&session->lock);
	return outcome;
}

enum still_outcome still_session_end(
    struct still_session *session, enum still_end how)
{
	still_session_cancel(session);
	finish(session, &(struct verdict){.how = how}, NULL);
	return outcome_of(session);
}

/* ---- commit -------------------------------------------------------------- */

static void set_committing(struct still_session *session, bool committing)
{
	pthread_mutex_lock(&session->lock);
	session->committing = committing;
	pthread_mutex_unlock(&session->lock);
}

/* Why it ended otherwise than its client wanted. */
static int spoilt(struct still_session *session, struct still_error *err)
{
	int code = STILL_ERR_CORRUPT;

	pthread_mutex_lock(&session->lock);
	if (session->outcome == STILL_ABORTED_LOST)
		code = STILL_ERR_LOST;
	if (err)
		still_error_copy(err, &session->error);
	pthread_mutex_unlock(&session->lock);
	if (err)
		err->code = code;
	return code;
}

/* What a commit would release. While it serves, the instance is its own. */
static int try_truncation(struct still_session *session, enum still_state state,
    struct still_truncation *ret, struct still_error *err)
{
	int rc;

	if (!session->number)
		return 0;
	if (state == STILL_ENDED)
		return still_truncate_instance(
		    session->instance, session->id, true, ret, err);
	pthread_rwlock_rdlock(&session->use);
	rc = still_session_check(session, err);
	if (rc == 0)
		rc = still_truncate_locked(session->instance,
		    session->hold.instance_id, session->id, true, ret, err);
	pthread_rwlock_unlock(&session->use);
	return rc;
}

/* On record, as one whose time is over. */
static int record_commit(struct still_session *session,
    const struct still_commit_options *options, struct still_error *err)
{
	struct still_commit_options stamp = {.elsewhere = options->elsewhere};
	int rc = still_catalog_commit(
	    session->instance->catalog, session->id, &stamp, NULL, err);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&session->lock);
	session->outcome = STILL_COMMITTED;
	session->elsewhere = options->elsewhere;
	pthread_mutex_unlock(&session->lock);
	still_events_add(session->events, STILL_LEVEL_INFO, "session-committed",
	    "session", session->id, NULL);
	return 0;
}

/* It was served whole, and its client comes back to say that it has it. */
static int commit_copied(struct still_session *session,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	enum still_outcome outcome = outcome_of(session);
	int rc;

	if (outcome == STILL_COMMITTED)
		return 0;
	/* That end came by itself, and its client may not know of it. */
	if (outcome == STILL_ABORTED_LOST)
		return spoilt(session, err);
	if (outcome != STILL_COPIED || !session->number)
		return still_error_set(err, STILL_ERR_PROTO, 0,
		    "Begin another session, and copy it whole.",
		    "session %s: is over, and was not copied whole",
		    session->id);
	if (options->dry_run)
		return try_truncation(session, STILL_ENDED, ret, err);
	rc = record_commit(session, options, err);
	if (rc < 0 || !options->truncate)
		return rc;
	still_truncate_instance(
	    session->instance, NULL, false, ret, &ret->error);
	tell_truncation(session, ret);
	return 0;
}

/* What is missing altogether, no force brings back. */
static bool is_only_damaged(struct still_session *session)
{
	bool damaged;

	pthread_mutex_lock(&session->lock);
	damaged = session->corrupt && !session->incomplete && !session->lost;
	pthread_mutex_unlock(&session->lock);
	return damaged;
}

/* Read what nobody has read. What spoilt it ends it, too. */
static int read_rest(
    struct still_session *session, bool force, struct still_error *err)
{
	int rc = still_session_seal(session, err);

	if (rc == STILL_ERR_CORRUPT && force && is_only_damaged(session))
		rc = still_session_salvage(session, err);
	return rc == STILL_ERR_CORRUPT || rc == STILL_ERR_LOST ? 0 : rc;
}

static int commit_serving(struct still_session *session,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	struct verdict verdict = {
	    .commit = true, .options = *options, .truncation = ret};
	int rc;

	if (options->dry_run)
		return try_truncation(session, STILL_SERVING, ret, err);
	rc = read_rest(session, options->force, err);
	if (rc == 0)
		rc = finish(session, &verdict, err);
	if (rc < 0)
		return rc;
	if (outcome_of(session) == STILL_COMMITTED) {
		still_error_clear(err);
		return 0;
	}
	return spoilt(session, err);
}

static int commit(struct still_session *session,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	enum still_state state;
	int rc;

	pthread_mutex_lock(&session->lock);
	state = session->state;
	pthread_mutex_unlock(&session->lock);
	if (state == STILL_ENDED)
		return commit_copied(session, options, ret, err);
	if (state != STILL_SERVING)
		return still_error_set(err, STILL_ERR_PROTO, 0,
		    "Begin a session, and copy it.",
		    "session %s: does not serve yet", session->id);
	set_committing(session, true);
	rc = commit_serving(session, options, ret, err);
	set_committing(session, false);
	return rc;
}

int still_session_commit(struct still_session *session,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	static const struct still_commit_options none;
	struct still_truncation own = {0};
	int rc = still_commit_check(options, err);

	if (ret)
		*ret = own;
	if (rc == 0)
		rc = commit(session, options ? options : &none, &own, err);
	still_truncation_hand_over(&own, rc == 0 ? ret : NULL);
	return rc;
}
