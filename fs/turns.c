/* SPDX-License-Identifier: MIT */
/*
 * turns: how sessions follow one another: begin, commit, abort, expire, end.
 * Whoever changes which session is shown has the turn.
 */
#include "config.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "fs/state.h"
#include "fs/tree.h"

void fs_state_recall(struct fs_state *state)
{
	struct still_record_filter filter = {
	    .source = state->info.source, .committed = true, .limit = 1};
	struct still_record *committed = NULL;
	struct still_record *good = NULL;
	struct still_record *link = NULL;
	size_t n_committed = 0;
	size_t n_good = 0;
	size_t n_links = 0;

	/* What cannot be had now is told as before. */
	if (still_catalog_list(
		state->catalog, &filter, &committed, &n_committed, NULL) < 0)
		return;
	filter.incremental = true;
	if (still_catalog_list(state->catalog, &filter, &link, &n_links, NULL) <
	    0)
		goto out;
	filter.incremental = false;
	filter.committed = false;
	filter.good = true;
	if (still_catalog_list(state->catalog, &filter, &good, &n_good, NULL) <
	    0)
		goto out;
	pthread_mutex_lock(&state->lock);
	still_records_free(
	    state->last_committed, state->last_committed != NULL);
	still_records_free(state->last_good, state->last_good != NULL);
	still_records_free(
	    state->last_incremental, state->last_incremental != NULL);
	state->last_committed = committed;
	state->last_good = good;
	state->last_incremental = link;
	pthread_mutex_unlock(&state->lock);
	return;
out:
	still_records_free(link, n_links);
	still_records_free(committed, n_committed);
}

void fs_state_cancel(struct fs_state *state)
{
	/* Under the lock, because a session may be replaced. */
	pthread_mutex_lock(&state->lock);
	state->ending = true;
	if (state->shown)
		still_session_cancel(state->shown->session);
	pthread_mutex_unlock(&state->lock);
}

void fs_state_give_up(struct fs_state *state, const char *id)
{
	struct still_session_status status;

	pthread_mutex_lock(&state->lock);
	if (state->shown) {
		still_session_status(state->shown->session, &status);
		still_session_status_clear(&status);
		if (strcmp(status.id, id) == 0 && status.state != STILL_ENDED) {
			if (status.state == STILL_PREPARING)
				memcpy(state->given_up, status.id,
				    sizeof(state->given_up));
			still_session_cancel(state->shown->session);
		}
	}
	pthread_mutex_unlock(&state->lock);
}

/* ---- begin --------------------------------------------------------------- */

/* Put a new session in the place of the last one. */
static struct still_session *replace(
    struct fs_state *state, enum still_session_kind kind)
{
	struct fs_shown *shown = calloc(1, sizeof(*shown));
	struct fs_shown *last;

	if (!shown)
		return NULL;
	shown->session = still_session_new(state->instance, state->events);
	if (!shown->session) {
		free(shown);
		return NULL;
	}
	/* Somebody may be at the last one: one user more, who gives it back. */
	last = fs_state_get_any(state);
	pthread_mutex_lock(&state->lock);
	shown->epoch = state->epoch;
	shown->kind = kind;
	state->shown = shown;
	if (state->ending)
		still_session_cancel(shown->session);
	pthread_mutex_unlock(&state->lock);
	fs_state_put(state, last);
	return shown->session;
}

static bool is_ending(struct fs_state *state)
{
	bool ending;

	pthread_mutex_lock(&state->lock);
	ending = state->ending;
	pthread_mutex_unlock(&state->lock);
	return ending;
}

/* Under the lock: the last session that served a byte, as its client knows it.
 * Committed unread is a verdict too. */
static void remember(
    struct fs_state *state, const struct still_session_status *status)
{
	if (status->bytes_served == 0 && status->outcome != STILL_COMMITTED)
		return;
	memcpy(state->last_served, status->id, sizeof(status->id));
	state->last_served_outcome = status->outcome;
	still_outcome_text(status, state->last_served_text);
}

/* Under the lock: what will be asked about a session that is over. */
static void account(struct fs_state *state, struct still_session *session)
{
	struct still_session_status status;

	still_session_status(session, &status);
	state->totals.bytes_served += status.bytes_served;
	state->totals.bytes_verified += status.bytes_hashed;
	state->totals.damages += status.n_damaged;
	state->totals.pin_moves += status.pin_moves;
	state->totals.let_by += status.let_by;
	state->totals.sessions[status.outcome]++;
	remember(state, &status);
	still_session_status_clear(&status);
}

/* Under the lock. */
static void show(struct fs_state *state)
{
	struct still_session_status status;

	still_session_status(state->shown->session, &status);
	state->shown->number = status.number;
	still_session_status_clear(&status);
	state->serving = true;
}

/* With the turn. */
static int begin(struct fs_state *state, enum still_session_kind kind,
    struct still_error *err)
{
	int64_t time_s = fs_state_backup_time(state);
	struct still_session *session;
	int rc;

	if (is_ending(state))
		return still_error_set(
		    err, STILL_ERR_CANCELLED, 0, NULL, "the daemon is ending");
	session = replace(state, kind);
	if (!session)
		return still_error_nomem(err);
	rc = still_session_begin(session, kind, time_s, err);
	fs_state_touch(state);
	pthread_mutex_lock(&state->lock);
	if (rc == 0)
		show(state);
	else
		account(state, session);
	pthread_mutex_unlock(&state->lock);
	return rc;
}

static bool is_serving(struct fs_state *state)
{
	struct fs_shown *shown = fs_state_get(state);

	fs_state_put(state, shown);
	return shown != NULL;
}

/* Who waits for a session that its client gives up is told so. When the daemon
 * ends, that is why: whoever waits for a lock then gives up, and calls it busy. */
static int tell_waiting(struct fs_state *state, int rc, struct still_error *err)
{
	bool ending = is_ending(state);

	if (ending && (rc == STILL_ERR_BUSY || rc == STILL_ERR_AGAIN))
		return still_error_set(
		    err, STILL_ERR_CANCELLED, 0, NULL, "the daemon is ending");
	if (rc != STILL_ERR_CANCELLED || ending)
		return rc;
	return still_error_set(err, STILL_ERR_LOST, 0, NULL,
	    "mount `%s`: the session was given up", state->mountpoint);
}

/* Where one serves already, whoever waited finds out whether it is his. */
static int begin_waiting(struct fs_state *state, enum still_session_kind kind,
    struct still_error *err)
{
	int rc = 0;

	pthread_mutex_lock(&state->turn);
	if (!is_serving(state))
		rc = begin(state, kind, err);
	pthread_mutex_unlock(&state->turn);
	return tell_waiting(state, rc, err);
}

int fs_state_begin(struct fs_state *state, struct still_error *err)
{
	return begin_waiting(state, STILL_FULL, err);
}

int fs_state_begin_link(struct fs_state *state, struct still_error *err)
{
	return begin_waiting(state, STILL_INCREMENTAL, err);
}

int fs_state_begin_kind(struct fs_state *state, enum still_session_kind kind,
    struct still_error *err)
{
	int rc;

	pthread_mutex_lock(&state->turn);
	if (kind == STILL_INCREMENTAL && !state->incremental)
		rc = still_error_set(err, STILL_ERR_INVALID, 0,
		    "Mount with `-o incremental`, before the full session on "
		    "which it is to build.",
		    "mount `%s`: is not mounted for incremental sessions",
		    state->mountpoint);
	else if (is_serving(state))
		rc = still_error_set(err, STILL_ERR_BUSY, 0,
		    "Commit it, abort it, or wait until it ends.",
		    "mount `%s`: has a session already", state->mountpoint);
	else
		rc = begin(state, kind, err);
	pthread_mutex_unlock(&state->turn);
	return rc;
}

int fs_state_seal(struct fs_state *state, struct still_error *err)
{
	struct fs_shown *shown = fs_state_get(state);
	int rc;

	if (!shown)
		return still_error_set(err, STILL_ERR_STALE, 0, NULL,
		    "mount `%s`: the session is over", state->mountpoint);
	rc = still_session_seal(shown->session, err);
	fs_state_put(state, shown);
	return tell_waiting(state, rc, err);
}

/* ---- the end ------------------------------------------------------------- */

/* What the kernel has of a session that is over: its names, so that paths lead
 * to us again, and its bytes, so that who has a file open learns of it. Not from
 * a handler, and without a lock: the kernel may ask us meanwhile. */
static void forget_in_kernel(
    struct fs_state *state, const struct fs_shown *shown)
{
	const struct still_entry *entries;
	uint32_t n;

	if (!state->fuse)
		return;
	fuse_lowlevel_notify_inval_entry(
	    state->fuse, FS_NODE_ROOT, FS_BACKUP, strlen(FS_BACKUP));
	if (state->incremental)
		fuse_lowlevel_notify_inval_entry(
		    state->fuse, FS_NODE_ROOT, FS_LINKS, strlen(FS_LINKS));
	entries = still_session_entries(shown->session, &n);
	for (uint32_t i = 0; i < n; i++)
		if (entries[i].kind == STILL_FILE && entries[i].size_bytes)
			fuse_lowlevel_notify_inval_inode(
			    state->fuse, fs_node_of(shown->epoch, i), 0, 0);
}

/* With the turn, and a user of `shown`: its session has ended. */
static void retire(struct fs_state *state, const struct fs_shown *shown)
{
	pthread_mutex_lock(&state->lock);
	state->serving = false;
	state->had_session = true;
	state->epoch++;
	state->backup_time_s = 0;
	account(state, shown->session);
	pthread_mutex_unlock(&state->lock);
	forget_in_kernel(state, shown);
	fs_state_recall(state);
}

static bool has_ended(struct still_session *session)
{
	struct still_session_status status;
	bool ended;

	still_session_status(session, &status);
	ended = status.state == STILL_ENDED;
	still_session_status_clear(&status);
	return ended;
}

/* With the turn: is it still the present session, or the last one? */
static bool is_shown(struct fs_state *state, const char *id)
{
	char shown[STILL_SESSION_ID_BYTES];

	fs_state_name(state, shown);
	return shown[0] && strcmp(shown, id) == 0;
}

/* With the turn. What was copied may still be committed. */
static int commit_last(struct fs_state *state,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	struct fs_shown *shown = fs_state_get_any(state);
	struct still_session_status status;
	int rc = still_session_commit(shown->session, options, ret, err);

	if (rc == 0 && !options->dry_run) {
		still_session_status(shown->session, &status);
		pthread_mutex_lock(&state->lock);
		remember(state, &status);
		pthread_mutex_unlock(&state->lock);
		still_session_status_clear(&status);
		fs_state_recall(state);
	}
	fs_state_put(state, shown);
	return rc;
}

/* With the turn. */
static int commit(struct fs_state *state,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	struct fs_shown *shown = fs_state_get(state);
	int rc;

	if (!shown)
		return commit_last(state, options, ret, err);
	rc = still_session_commit(shown->session, options, ret, err);
	if (has_ended(shown->session))
		retire(state, shown);
	fs_state_put(state, shown);
	return rc;
}

int fs_state_commit(struct fs_state *state, const char *id,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err)
{
	int rc;

	pthread_mutex_lock(&state->turn);
	if (is_shown(state, id))
		rc = commit(state, options, ret, err);
	else if (id[0])
		rc = still_error_set(err, STILL_ERR_PROTO, 0,
		    "Look at the new one before you ask again.",
		    "session %s: is over, and another has begun", id);
	else
		rc = still_error_set(err, STILL_ERR_PROTO, 0,
		    "Copy backup/ first, or `stillctl begin` a session.",
		    "mount `%s`: there is no session to commit",
		    state->mountpoint);
	pthread_mutex_unlock(&state->turn);
	return rc;
}

/* With the turn. False when it was over already. */
static bool abort_shown(struct fs_state *state)
{
	struct fs_shown *shown = fs_state_get(state);

	if (!shown)
		return false;
	still_session_end(shown->session, STILL_END_ABORT);
	retire(state, shown);
	fs_state_put(state, shown);
	return true;
}

int fs_state_abort(
    struct fs_state *state, const char *id, struct still_error *err)
{
	bool done;

	pthread_mutex_lock(&state->turn);
	done = is_shown(state, id) && abort_shown(state);
	pthread_mutex_lock(&state->lock);
	done |= id[0] && strcmp(state->given_up, id) == 0;
	pthread_mutex_unlock(&state->lock);
	pthread_mutex_unlock(&state->turn);
	if (done)
		return 0;
	return still_error_set(err, STILL_ERR_PROTO, 0, NULL,
	    "mount `%s`: there is no session to abort", state->mountpoint);
}

/* ---- sessions that end by themselves -------------------------------------- */

static int64_t quiet_limit_ns(
    const struct fs_state *state, struct still_session *session)
{
	struct still_session_status status;
	int64_t limit_ns = state->stall_ns;

	still_session_status(session, &status);
	/* Nobody has come, or nobody will, because everything was served. */
	if (status.bytes_served == 0 || status.covered)
		limit_ns = state->lease_ns;
	if (status.sealing || status.committing)
		limit_ns = INT64_MAX;
	/* Nothing more can be had of it, whatever is under way. */
	if (status.lost)
		limit_ns = INT64_MIN;
	still_session_status_clear(&status);
	return limit_ns;
}

static int64_t quiet_ns(const struct fs_state *state)
{
	return still_sys_monotonic_ns() - atomic_load(&state->last_request_ns);
}

bool fs_state_is_expired(struct fs_state *state)
{
	struct fs_shown *shown = fs_state_get(state);
	bool expired = shown &&
	    quiet_ns(state) >= quiet_limit_ns(state, shown->session);

	fs_state_put(state, shown);
	return expired;
}

/* That one is lost has been told. */
static void tell_quiet(struct fs_state *state, struct fs_shown *shown)
{
	struct still_session_status status;

	if (shown->quiet_told)
		return;
	shown->quiet_told = true;
	still_session_status(shown->session, &status);
	if (!status.lost)
		still_events_add(state->events, STILL_LEVEL_INFO,
		    "session-quiet", "session", status.id, "mountpoint",
		    state->mountpoint, NULL);
	still_session_status_clear(&status);
}

/* Nobody waits for this end, so it is tried again at the next tick when another
 * process has the catalog; but nothing is pinned for longer than a dead tool
 * could pin it. */
int fs_state_expire(struct fs_state *state, struct still_error *err)
{
	struct fs_shown *shown = NULL;

	(void) err;
	pthread_mutex_lock(&state->turn);
	if (fs_state_is_expired(state))
		shown = fs_state_get(state);
	if (shown) {
		tell_quiet(state, shown);
		still_session_end(shown->session,
		    quiet_ns(state) < state->stall_ns ? STILL_END_QUIET
						      : STILL_END_DONE);
		if (has_ended(shown->session))
			retire(state, shown);
	}
	fs_state_put(state, shown);
	pthread_mutex_unlock(&state->turn);
	return 0;
}

void fs_state_end(struct fs_state *state, enum still_end how)
{
	struct fs_shown *shown;

	pthread_mutex_lock(&state->turn);
	shown = fs_state_get(state);
	if (shown) {
		still_session_end(shown->session, how);
		pthread_mutex_lock(&state->lock);
		state->serving = false;
		account(state, shown->session);
		pthread_mutex_unlock(&state->lock);
	}
	fs_state_put(state, shown);
	pthread_mutex_unlock(&state->turn);
}
