/* SPDX-License-Identifier: MIT */
/*
 * state: one mount's state, shared by the request handlers (ops), the jobs that
 * requests and clients wait for (gate, job) and the life of the daemon (daemon).
 *
 * SESSIONS COME AND GO. What is shown at any time is one session, of one epoch;
 * when it ends, the epoch goes on by one, and every node of the former one is
 * stale. A session stays in memory as long as a request is at it, and as the
 * last one until the next begins.
 *
 * BEGINNING. On a fresh mount the first look into backup/ or below it begins a
 * session; one in incremental/ is begun in the same way, and by opening that. As
 * long as one serves, the other directory is busy. Afterwards only who opens backup/ itself, or asks for it by name:
 * otherwise a reader that goes on by path would find itself in another moment.
 *
 * LOCK ORDER: `turn` -> `lock` -> the session's own locks; gate.lock and `lock`
 * are never held together. `turn` is held, by jobs and by the end of the daemon
 * only, while a session is begun, committed or ended.
 */
#ifndef FS_STATE_H
#define FS_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/gate.h"
#include "fs/job.h"
#include "fs/readers.h"
#include "still.h"

struct fuse_session;
struct fs_text;

/* A session with its epoch, as long as anybody looks at it. */
struct fs_shown {
	struct still_session *session; /* owned */
	uint32_t epoch;
	enum still_session_kind kind;
	uint64_t number;  /* once it serves */
	unsigned n_users; /* under the state's lock */
	bool quiet_told;  /* with the turn */
};

struct fs_state {
	/* Set before the first request, then constant. */
	struct still_catalog *catalog;
	struct still_instance *instance;
	struct still_instance_info info;
	struct still_events *events;
	struct fuse_session *fuse; /* for the kernel's caches; NULL: none */
	char *mountpoint;
	int64_t started_at_ns;
	int64_t lease_ns;
	int64_t stall_ns;
	int wake_fd; /* eventfd of the daemon's watch */
	bool direct_io;
	bool incremental; /* there is an incremental/ */

	struct fs_gate begin_gate; /* requests that wait for the freeze */
	struct fs_gate link_gate;  /* likewise, in incremental/ */
	struct fs_gate seal_gate;  /* requests that wait for the seal */
	struct fs_jobs jobs;       /* what clients asked for */
	struct fs_readers readers;

	atomic_int_fast64_t last_request_ns; /* CLOCK_MONOTONIC */

	pthread_mutex_t turn; /* see above */
	pthread_mutex_t lock; /* of what follows */
	/* The present session, or the last one, or the one that failed to
	 * begin; NULL before the first. */
	struct fs_shown *shown;
	bool serving;   /* it is the present one */
	uint32_t epoch; /* of the present session, or of the one to come */
	bool had_session;
	int64_t backup_time_s; /* of backup/; 0 until somebody looks */
	bool ending;           /* no session begins any more */
	struct fs_text *texts; /* of live files that are open (file.c) */
	/* The last session that its client gave up before it served. */
	char given_up[STILL_SESSION_ID_BYTES];
	struct still_totals totals; /* of sessions that have ended */
	/* As of the last look into the catalog; each has at most one. */
	struct still_record *last_committed;
	struct still_record *last_good;
	struct still_record *last_incremental; /* committed */
	/* The last session of this mount that served a byte. */
	char last_served[STILL_SESSION_ID_BYTES];
	enum still_outcome last_served_outcome;
	char last_served_text[STILL_OUTCOME_TEXT_BYTES];
};

void fs_state_init(struct fs_state *state);
void fs_state_release(struct fs_state *state);

/* The session that serves, or NULL; to be given back. */
struct fs_shown *fs_state_get(struct fs_state *state);
/* Likewise, the last one too. */
struct fs_shown *fs_state_get_any(struct fs_state *state);
/* The id of that one; "" while there is none. */
void fs_state_name(struct fs_state *state, char ret[STILL_SESSION_ID_BYTES]);
/* Accepts NULL. */
void fs_state_put(struct fs_state *state, struct fs_shown *shown);

/* The present epoch. */
uint32_t fs_state_epoch(struct fs_state *state);

/* May a look below backup/ begin a session? */
bool fs_state_is_fresh(struct fs_state *state);

/* The time of backup/, fixed by the first call of an epoch. */
int64_t fs_state_backup_time(struct fs_state *state);

/* Somebody asked for something of the session. */
void fs_state_touch(struct fs_state *state);

/* From now on nothing begins, and what is under way gives up. */
void fs_state_cancel(struct fs_state *state);

/* Jobs: blocking, each in a thread of its own; begin and seal are for gates. */
int fs_state_begin(struct fs_state *state, struct still_error *err);
int fs_state_begin_link(struct fs_state *state, struct still_error *err);
int fs_state_seal(struct fs_state *state, struct still_error *err);

/* As a client asks: BUSY when a session is there already. */
int fs_state_begin_kind(struct fs_state *state, enum still_session_kind kind,
    struct still_error *err);
/*
 * Of the session `id`, that of fs_state_name() when it was asked for. PROTO:
 * there is none, or another one by now, which nobody has asked about.
 */
int fs_state_commit(struct fs_state *state, const char *id,
    const struct still_commit_options *options, struct still_truncation *ret,
    struct still_error *err);
int fs_state_abort(
    struct fs_state *state, const char *id, struct still_error *err);
/* Make whatever is under way with it give up, for an abort. */
void fs_state_give_up(struct fs_state *state, const char *id);

/* The session is lost, or has been quiet for too long; does nothing when that is
 * not so (any more). */
int fs_state_expire(struct fs_state *state, struct still_error *err);

/* Is it, or has it? Does not block. */
bool fs_state_is_expired(struct fs_state *state);

/* The daemon ends: settle the outcome of the session, if there is one. */
void fs_state_end(struct fs_state *state, enum still_end how);

/* Look into the catalog for what status and metrics tell. May block. */
void fs_state_recall(struct fs_state *state);

/* The text of a live file as of now. The caller frees it; NULL without
 * memory. Does not block. */
char *fs_state_live_text(struct fs_state *state, int live, size_t *ret_len);

#endif
