/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/state.h"

#include <unistd.h>

#include "base/sys.h"
#include "fs/tree.h"

struct still_session *fs_state_serving(struct fs_state *state)
{
	struct still_session *session;

	pthread_mutex_lock(&state->lock);
	session = state->serving ? state->session : NULL;
	pthread_mutex_unlock(&state->lock);
	return session;
}

int64_t fs_state_backup_time(struct fs_state *state)
{
	int64_t time_s;

	pthread_mutex_lock(&state->lock);
	if (state->backup_time_s == 0)
		state->backup_time_s = still_sys_now_ns() / STILL_NS_PER_S;
	time_s = state->backup_time_s;
	pthread_mutex_unlock(&state->lock);
	return time_s;
}

void fs_state_cancel(struct fs_state *state)
{
	/* Under the lock, because a failed session may be replaced. */
	pthread_mutex_lock(&state->lock);
	state->ending = true;
	if (state->session)
		still_session_cancel(state->session);
	pthread_mutex_unlock(&state->lock);
}

int fs_state_begin(struct fs_state *state, struct still_error *err)
{
	int64_t time_s = fs_state_backup_time(state);
	struct still_session *session;
	struct still_session *failed;
	int rc;

	/* Only this job makes sessions, and there is one such job at a time. */
	if (fs_state_serving(state))
		return 0;
	session = still_session_new(state->instance, state->events);
	if (!session)
		return still_error_nomem(err);
	pthread_mutex_lock(&state->lock);
	failed = state->session;
	state->session = session;
	if (state->ending)
		still_session_cancel(session);
	pthread_mutex_unlock(&state->lock);
	still_session_free(failed);
	rc = still_session_begin(session, STILL_FULL, time_s, err);
	if (rc == 0) {
		pthread_mutex_lock(&state->lock);
		state->serving = true;
		pthread_mutex_unlock(&state->lock);
	}
	return rc;
}

int fs_state_seal(struct fs_state *state, struct still_error *err)
{
	return still_session_seal(fs_state_serving(state), err);
}

char *fs_state_live_text(struct fs_state *state, int live, size_t *ret_len)
{
	struct still_session_status session;
	struct still_mount_status mount = {
	    .mountpoint = state->mountpoint,
	    .started_at_ns = state->started_at_ns,
	    .pid = getpid(),
	    .instance = &state->info,
	};
	bool has_session;
	char *text;

	if (live == FS_LIVE_EVENTS)
		return still_events_text(state->events, ret_len);
	/* Under the lock, because a failed session may be replaced. */
	pthread_mutex_lock(&state->lock);
	has_session = state->session != NULL;
	if (has_session)
		still_session_status(state->session, &session);
	pthread_mutex_unlock(&state->lock);
	if (has_session)
		mount.session = &session;
	text = live == FS_LIVE_STATUS ? still_status_text(&mount, ret_len)
				      : still_status_json(&mount, ret_len);
	if (has_session)
		still_session_status_clear(&session);
	return text;
}
