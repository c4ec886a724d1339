/* SPDX-License-Identifier: MIT */
/*
 * state: one mount's state, shared by the request handlers (ops), the jobs that
 * requests wait for (gate) and the life of the daemon (daemon).
 *
 * LOCK ORDER: gate.lock and state.lock are never held together; below both lie
 * the session's own locks.
 */
#ifndef FS_STATE_H
#define FS_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/gate.h"
#include "still.h"

struct fs_state {
	/* Set before the first request, then constant. */
	struct still_instance *instance;
	struct still_instance_info info;
	struct still_events *events;
	char *mountpoint;
	int64_t started_at_ns;
	int wake_fd; /* eventfd of the daemon's watch */
	bool direct_io;

	struct fs_gate begin_gate; /* requests that wait for the freeze */
	struct fs_gate seal_gate;  /* requests that wait for the seal */

	pthread_mutex_t lock; /* of what follows */
	/* The present session, or the one that failed last; NULL before the
	 * first. Once `serving`, it stays until the daemon ends. */
	struct still_session *session;
	bool serving;
	uint32_t epoch;
	int64_t backup_time_s; /* of backup/; 0 until somebody looks */
	bool ending;           /* no session begins any more */
};

/* The session that serves, or NULL. Borrowed; valid until the watch and all
 * requests have ended. */
struct still_session *fs_state_serving(struct fs_state *state);

/* The time of backup/, fixed by the first call. */
int64_t fs_state_backup_time(struct fs_state *state);

/* From now on nothing begins, and what is under way gives up. */
void fs_state_cancel(struct fs_state *state);

/* Jobs for the gates: blocking, each in a thread of its own. */
int fs_state_begin(struct fs_state *state, struct still_error *err);
int fs_state_seal(struct fs_state *state, struct still_error *err);

/* The text of a live file as of now. The caller frees it; NULL without
 * memory. Does not block. */
char *fs_state_live_text(struct fs_state *state, int live, size_t *ret_len);

#endif
