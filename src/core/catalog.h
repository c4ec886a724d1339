/* SPDX-License-Identifier: MIT */
/*
 * catalog: what is remembered of sessions. What programs may ask of it is in
 * still.h; here is what a session tells it.
 *
 * THE STATE DIRECTORY, 0700 and ours:
 *
 *	catalog.db     the store, a SQLite database of ours
 *	locks/HEX      one per instance; HEX is the XXH128 of ENGINE:SOURCE
 *	spool/         see core/spool.h
 *	pages/         see core/pages.h
 *
 * THE LOCK. Who has a session of an instance holds an OFD write lock on the
 * first byte of its file in locks/, from before the session is recorded until
 * after its end is. It dies with its process. The file's text says who holds
 * it, for others' messages: "pid PID ID PLACE\n". Two instances of which one
 * lies in the other share databases: the lock of one is refused while the other
 * is held, whoever came first.
 *
 * THE STORE. Rollback journal, synchronous=EXTRA: what a function here has
 * answered with 0 is there after a power failure.
 *
 *	instance  engine, source (bytes)
 *	session   one row per session that ever began; see struct still_record
 *	file      per session, path: size, identity, time, XXH128; kept for the
 *	          present session, the last good and the last committed one
 *	          that are not incremental
 *	path      per instance, path: identity and time as shown last, but in an
 *	          incremental session, whose paths are in no other
 *
 * A session's row is PREPARING, SERVING or ENDED. A row that is not ENDED while
 * nobody holds its instance's lock is ABORTED(crash): who takes the lock next
 * writes that down before anything else; its end has no time. A row's id, number
 * and begin never change; an outcome changes only from COPIED to COMMITTED.
 *
 * Threads: any; one lock inside, held for the length of a transaction.
 */
#ifndef STILL_CORE_CATALOG_H
#define STILL_CORE_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "core/snapshot.h"
#include "still.h"

/* An instance that is ours alone. */
struct still_lock {
	int fd;              /* -1: not held */
	int64_t instance_id; /* its row */
};

#define STILL_LOCK_INIT \
	{               \
		-1, 0   \
	}

/*
 * Take the lock of the instance `source` (resolved path) of `engine`, and settle
 * what a dead process left. BUSY: a session has it, or has one that lies in it
 * or in which it lies; the message names pid and place. `id` and `place` (may
 * be NULL) are what others will be told. Does not wait for the holder.
 */
int still_catalog_lock(struct still_catalog *catalog, const char *engine,
    const char *source, const char *id, const char *place,
    struct still_lock *ret, struct still_error *err);

/* Accepts a lock that is not held. */
void still_catalog_unlock(struct still_lock *lock);

/* INVALID when `source` lies in the state directory or the other way round. */
int still_catalog_check_source(const struct still_catalog *catalog,
    const char *source, struct still_error *err);

/* All below: with the lock held, by its holder. */

struct still_link;

struct still_catalog_begin {
	const char *id;
	enum still_session_kind kind;
	const char *place; /* or NULL */
	int64_t begun_at_ns;
	const struct still_link *base; /* INCREMENTAL: core/lineage.h */
};

/* A new session, PREPARING. `*ret_number` counts the instance's from 1. Of an
 * instance the last 1000 sessions are remembered, the last good and the last
 * committed one, and the chain that the next incremental one would go on. */
int still_catalog_begin(struct still_catalog *catalog,
    const struct still_lock *lock, const struct still_catalog_begin *begin,
    uint64_t *ret_number, struct still_error *err);

/*
 * Give every entry but entry 0 its time: that of `path` where the identity is
 * the same, else the greater of `now_s` and the last one plus a second. Where
 * the identity is that of the last good session, whose digest is known:
 * snapshot->known[i] becomes true and snapshot->known_digests[i] that digest. Not
 * for an incremental session. Reads only.
 */
int still_catalog_stamp(struct still_catalog *catalog,
    const struct still_lock *lock, int64_t now_s,
    struct still_snapshot *snapshot, struct still_error *err);

/* What is shown from now on: PREPARING -> SERVING, with its files and the times
 * that they have. PROTO when the session is not PREPARING. What was not shown
 * for a day is forgotten. */
struct still_catalog_frozen {
	const char *id;
	enum still_session_kind kind;
	int64_t frozen_at_ns;
	const char *verified;
	const char *cut;       /* words */
	const char *databases; /* `databases` of backup.json, JSON text */
	const char *note;      /* the engine's, JSON text; NULL: none */
	uint32_t n_databases;
	uint32_t n_files;
	uint64_t n_bytes;
	const struct still_snapshot *snapshot;
};
int still_catalog_frozen(struct still_catalog *catalog,
    const struct still_lock *lock, const struct still_catalog_frozen *frozen,
    struct still_error *err);

/* The digests of all files, one per entry of the snapshot (of directories and
 * of the seal: not looked at), and that of the seal's text. Before the seal is
 * handed out. PROTO when the session is not SERVING. */
int still_catalog_sealed(struct still_catalog *catalog, const char *id,
    const struct still_snapshot *snapshot, const struct still_hash128 *digests,
    const struct still_hash128 *seal, struct still_error *err);

/* Of a damaged session, which has no seal and may be committed all the same:
 * those digests that there are. `have` tells of each entry. */
int still_catalog_digested(struct still_catalog *catalog, const char *id,
    const struct still_snapshot *snapshot, const struct still_hash128 *digests,
    const bool *have, struct still_error *err);

/* NOTFOUND: there is no session `id`. */
int still_catalog_no_session(
    struct still_catalog *catalog, const char *id, struct still_error *err);

/* SERVING or PREPARING -> ENDED with status->outcome; the counts are those of
 * `status`. COMMITTED is stamped with the same time as the end. Rows of files
 * that nobody will ask for any more go. PROTO for COPIED and COMMITTED when the
 * digests were not recorded, unless the commit is forced. Asked again, because the answer was lost: 0 when
 * the outcome is the same, PROTO when not. */
int still_catalog_end(struct still_catalog *catalog,
    const struct still_session_status *status, struct still_error *err);

/* For the sake of session `id`, which is COMMITTED, `range` of the logs was
 * released; NULL: nothing of them. */
int still_catalog_truncated(struct still_catalog *catalog, const char *id,
    const char *range, struct still_error *err);

#endif
