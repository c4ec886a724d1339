/* SPDX-License-Identifier: MIT */
/*
 * private: our own copy of a database with a rollback journal.
 *
 * A reader of such a database stops its writers, so its lock is held for a copy
 * and no longer. All that can be done before is done before:
 *
 *  prepare  a nameless file. Either the file system can share the blocks
 *           (FICLONE) and that pays, which is tried. Or the file gets blocks
 *           of its own, or the session is refused before a lock is taken, and
 *           the database is copied once, unlocked, to have it in memory, and a
 *           part of it once more, to know how fast that is. What comes of it is `stall_ns`, an
 *           estimate of how long the lock will be held.
 *  take     under the lock: the clone, or the copy, with a deadline.
 *
 * Each read is proven by digests of what was read under the lock (pieces.h). A
 * clone writes nothing, and has none.
 *
 * A clone costs 25 to 50 microseconds for each extent of the file, and leaves
 * the application's later writes to fragment it. So it is made of large files of
 * few extents only.
 *
 * Threads: one at a time until it is taken, then constant and read by any.
 */
#ifndef SQLITE_PRIVATE_H
#define SQLITE_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/pieces.h"

struct sqlite_private {
	int fd; /* of the copy; -1 */
	bool clone;
	bool no_spool;         /* preparing failed, and not for this database */
	int64_t stall_ns;      /* estimated, then measured */
	uint64_t size_bytes;   /* of the copy */
	struct stat source_st; /* of the database, under the lock */
	struct sqlite_pieces pieces; /* of it; a clone has none */
	struct still_spool spool;    /* which it lies in */
	uint64_t taken_bytes;        /* of its room */
};

#define SQLITE_PRIVATE_INIT \
	{                   \
		.fd = -1    \
	}

/* `source_fd` is the database; `rel` names it in messages. NOSPACE, IO, NOMEM,
 * CANCELLED. Reads and writes as much as the database holds. */
int sqlite_private_prepare(struct sqlite_private *private, int source_fd,
    const char *rel, const struct still_spool *spool, const atomic_bool *cancel,
    struct still_error *err);

/* Once all are prepared: write to the disk what a clone would have to, under
 * the lock. A copy needs nothing. */
void sqlite_private_flush(const struct sqlite_private *private, int source_fd);

/* The database is locked: copy what it holds now. AGAIN when `deadline_ns`
 * (CLOCK_MONOTONIC) is over first. */
int sqlite_private_take(struct sqlite_private *private, int source_fd,
    const char *rel, int64_t deadline_ns, const atomic_bool *cancel,
    struct still_error *err);

/* Bytes of the copy that was taken, fewer where it ends: how many, or CORRUPT
 * where they are not what was copied, IO. Any thread. */
ssize_t sqlite_private_read(const struct sqlite_private *private,
    const char *rel, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err);

/* Gives its room back. Accepts what was initialised only. */
void sqlite_private_release(struct sqlite_private *private);

#endif
