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
 * A clone costs 25 to 50 microseconds for each extent of the file, and leaves
 * the application's later writes to fragment it. So it is made of large files of
 * few extents only.
 *
 * Threads: one at a time until it is taken, then constant.
 */
#ifndef SQLITE_PRIVATE_H
#define SQLITE_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/engine.h"

struct sqlite_private {
	int fd; /* of the copy; -1 */
	bool clone;
	bool no_spool;       /* preparing failed, and not for this database */
	int64_t stall_ns;    /* estimated, then measured */
	uint64_t size_bytes; /* of the copy */
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

/* The database is locked: copy what it holds now. AGAIN when `deadline_ns`
 * (CLOCK_MONOTONIC) is over first. */
int sqlite_private_take(struct sqlite_private *private, int source_fd,
    const char *rel, int64_t deadline_ns, const atomic_bool *cancel,
    struct still_error *err);

/* Accepts what was initialised only. */
void sqlite_private_release(struct sqlite_private *private);

#endif
