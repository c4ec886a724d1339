/* SPDX-License-Identifier: MIT */
/*
 * session: one backup, from begin to end. The contract is in still.h.
 *
 * LOCK ORDER
 *	use (read: readers, seal, keep; write: end) -> sealer
 *	    -> a file's digest -> the catalog's -> lock
 * `use` keeps the snapshot and the engine's objects alive under readers; `lock`
 * guards what changes while serving and is never held across a call that may
 * block. A file's coverage is guarded by its own lock, a leaf but for the event
 * log's: the events of one file are told in their order.
 *
 * WHAT A READ MAY SAY. A session begins whole and can only get worse: doomed
 * (damage was found: the damaged range is EIO, the seal is EIO, the rest stays
 * readable) or lost (the moment is no longer protected: everything is EIO).
 * Neither is ever taken back.
 */
#ifndef STILL_CORE_SESSION_H
#define STILL_CORE_SESSION_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/catalog.h"
#include "core/lineage.h"
#include "core/coverage.h"
#include "core/digest.h"
#include "core/instance.h"
#include "core/snapshot.h"

/* What is known of one file while it is served. */
struct still_tracked {
	struct still_digest digest;
	pthread_mutex_t lock; /* of what follows */
	struct still_coverage coverage;
	bool whole;
	struct still_pages pages; /* of the digest; until they are kept */
	char *text; /* owned; of a closing file of the engine, once it is made;
		       under the session's lock */
};

/* Damage is told once per place, and only so often. */
#define STILL_REPORTS_MAX 256

/* "incremental/000042/" */
#define STILL_SESSION_PLACE_BYTES 40

struct still_session {
	struct still_instance *instance; /* borrowed */
	struct still_events *events;     /* borrowed */
	char id[40];                     /* constant */
	atomic_bool cancel;
	pthread_rwlock_t use;
	pthread_mutex_t sealer; /* held for the pass for the seal */

	/* Set by begin before the state is SERVING, then constant. */
	struct still_snapshot snapshot;
	struct still_tracked *tracked; /* one per entry */
	struct still_cut cut;
	const char *verified;
	uint32_t databases;
	uint32_t files;
	uint64_t bytes;
	struct still_lock hold;      /* of the instance, until the end */
	struct still_ground *ground; /* owned; the base; NULL: none */
	struct still_summed *summed; /* owned; the engine's, until kept */
	size_t n_summed;
	char place[STILL_SESSION_PLACE_BYTES]; /* INCREMENTAL */
	bool sums_failed; /* some of pages cannot be had, which is told */
	uint64_t number;  /* 0: not in the catalog */
	bool freezing;    /* the engine was asked to: it is to be thawed */

	atomic_uint_fast64_t bytes_hashed;
	atomic_uint_fast64_t captured_bytes; /* of a freeze under way */
	atomic_uint_fast64_t
	    capture_bytes; /* of what it captures; 0: nothing */

	pthread_mutex_t lock; /* of all that follows */
	enum still_state state;
	enum still_outcome outcome;
	enum still_session_kind kind;
	int64_t begun_at_ns;
	int64_t frozen_at_ns;
	int64_t ended_at_ns;
	int64_t frozen_mono_ns; /* CLOCK_MONOTONIC; 0 before the freeze */
	bool pinned;            /* as the freeze said; false from the end on */
	bool looked;            /* `held` was told: */
	struct still_held held; /* as of the last look */
	bool complete_told;
	bool doomed;     /* no seal, for one of two reasons: */
	bool corrupt;    /* damage was found */
	bool incomplete; /* a database is not frozen */
	uint32_t n_unfrozen;
	bool lost;
	bool sealing;
	char *seal; /* owned; the text, once it is made */
	bool seal_served;
	uint32_t files_whole;
	uint32_t files_known; /* and not whole */
	uint64_t bytes_served;
	bool committing;
	bool forced;    /* committed though damage was found */
	bool elsewhere; /* somebody else truncates */
	char chain[STILL_SESSION_ID_BYTES]; /* "": it is in none */
	uint32_t link;
	struct still_error error; /* the first that mattered */
	uint32_t n_damaged;
	uint64_t
	    reports[STILL_REPORTS_MAX]; /* hashes of messages already told */
	uint32_t n_reports;
};

/* Remember and tell a failure: CORRUPT dooms, LOST loses, others are told.
 * `path` may be NULL. Any thread. */
void still_session_note(struct still_session *session, const char *path,
    const struct still_error *what);

/* Remember and tell that `path` is not frozen. */
void still_session_note_unfrozen(struct still_session *session,
    const char *path, const struct still_error *why);

/* Sums of pages cannot be had, or not be kept: told, once. */
void still_session_note_sums(
    struct still_session *session, const struct still_error *why);

/* May anything be read? STALE or LOST if not. Under `use`. */
int still_session_check(struct still_session *session, struct still_error *err);

/* Would it be COPIED if it ended now? Under the lock. */
bool still_session_covered(const struct still_session *session);

/* A file of a session, as a still_fill_fn knows it. */
struct still_fill {
	struct still_session *session;
	uint32_t index;
};

/* Verified bytes of a file, whatever its source; tells every failure. A
 * still_fill_fn over a struct still_fill; under `use`. */
int still_session_fill(void *arg, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err);

/* Of a doomed session, to be committed all the same: read all that can be read,
 * and have what is known of it on record. 0 also when there is damage. */
int still_session_salvage(
    struct still_session *session, struct still_error *err);

/* Ask the engine whether the moment is kept. Under `use`. */
int still_session_keep_held(
    struct still_session *session, struct still_error *err);

/* Why a doomed session has no seal. Under the lock. */
int still_session_doomed_error(
    struct still_session *session, struct still_error *err);

#endif
