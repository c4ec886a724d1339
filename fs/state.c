/* SPDX-License-Identifier: MIT */
/* state: what is shown, and for how long; the jobs are in turns.c. */
#include "config.h"

#include "fs/state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "fs/tree.h"

void fs_state_init(struct fs_state *state)
{
	pthread_mutex_init(&state->turn, NULL);
	pthread_mutex_init(&state->lock, NULL);
	fs_readers_init(&state->readers);
	fs_jobs_init(&state->jobs, state);
	state->epoch = 1;
	state->started_at_ns = still_sys_now_ns();
}

static void free_shown(struct fs_shown *shown)
{
	if (!shown)
		return;
	still_session_free(shown->session);
	free(shown);
}

void fs_state_release(struct fs_state *state)
{
	free_shown(state->shown);
	fs_jobs_release(&state->jobs);
	still_records_free(
	    state->last_committed, state->last_committed != NULL);
	still_records_free(state->last_good, state->last_good != NULL);
	still_records_free(
	    state->last_incremental, state->last_incremental != NULL);
}

/* ---- who looks at what --------------------------------------------------- */

static struct fs_shown *get(struct fs_state *state, bool serving)
{
	struct fs_shown *shown = NULL;

	pthread_mutex_lock(&state->lock);
	if (state->serving || !serving)
		shown = state->shown;
	if (shown)
		shown->n_users++;
	pthread_mutex_unlock(&state->lock);
	return shown;
}

struct fs_shown *fs_state_get(struct fs_state *state)
{
	return get(state, true);
}

struct fs_shown *fs_state_get_any(struct fs_state *state)
{
	return get(state, false);
}

void fs_state_put(struct fs_state *state, struct fs_shown *shown)
{
	bool last;

	if (!shown)
		return;
	pthread_mutex_lock(&state->lock);
	last = --shown->n_users == 0 && shown != state->shown;
	pthread_mutex_unlock(&state->lock);
	if (last)
		free_shown(shown);
}

void fs_state_name(struct fs_state *state, char ret[STILL_SESSION_ID_BYTES])
{
	struct fs_shown *shown = fs_state_get_any(state);
	struct still_session_status status;

	ret[0] = '\0';
	if (!shown)
		return;
	still_session_status(shown->session, &status);
	memcpy(ret, status.id, sizeof(status.id));
	still_session_status_clear(&status);
	fs_state_put(state, shown);
}

uint32_t fs_state_epoch(struct fs_state *state)
{
	uint32_t epoch;

	pthread_mutex_lock(&state->lock);
	epoch = state->epoch;
	pthread_mutex_unlock(&state->lock);
	return epoch;
}

bool fs_state_is_fresh(struct fs_state *state)
{
	bool fresh;

	pthread_mutex_lock(&state->lock);
	fresh = !state->had_session;
	pthread_mutex_unlock(&state->lock);
	return fresh;
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

void fs_state_touch(struct fs_state *state)
{
	atomic_store(&state->last_request_ns, still_sys_monotonic_ns());
}

/* ---- live files ---------------------------------------------------------- */

/* Under the lock. */
static void fill_status(
    const struct fs_state *state, struct still_mount_status *mount)
{
	const struct still_session_status *session = mount->session;

	mount->mountpoint = state->mountpoint;
	mount->state_dir = still_catalog_dir(state->catalog);
	mount->started_at_ns = state->started_at_ns;
	mount->pid = getpid();
	mount->instance = &state->info;
	mount->last_committed = state->last_committed;
	mount->last_good = state->last_good;
	mount->last_incremental = state->last_incremental;
	mount->totals = state->totals;
	/* What has ended is in the totals already. */
	if (session && session->state != STILL_ENDED) {
		mount->totals.bytes_served += session->bytes_served;
		mount->totals.bytes_verified += session->bytes_hashed;
		mount->totals.damages += session->n_damaged;
		mount->totals.pin_moves += session->pin_moves;
		mount->totals.let_by += session->let_by;
	}
	mount->quiet_ns = still_sys_monotonic_ns() -
	    atomic_load(&state->last_request_ns);
	mount->lease_ns = state->lease_ns;
	mount->stall_ns = state->stall_ns;
}

char *fs_state_live_text(struct fs_state *state, int live, size_t *ret_len)
{
	struct still_session_status session;
	struct still_mount_status mount = {0};
	struct still_volumes volumes;
	char *text;

	if (live == FS_LIVE_EVENTS)
		return still_events_text(state->events, ret_len);
	still_instance_volumes(state->instance, &volumes);
	mount.volumes = &volumes;
	/* Rendered under the lock, because sessions and records come and go. */
	pthread_mutex_lock(&state->lock);
	if (state->shown) {
		still_session_status(state->shown->session, &session);
		mount.session = &session;
	}
	fill_status(state, &mount);
	text = live == FS_LIVE_STATUS ? still_status_text(&mount, ret_len)
	    : live == FS_LIVE_METRICS ? still_metrics_text(&mount, ret_len)
				      : still_status_json(&mount, ret_len);
	pthread_mutex_unlock(&state->lock);
	if (mount.session)
		still_session_status_clear(&session);
	still_volumes_release(&volumes);
	return text;
}
