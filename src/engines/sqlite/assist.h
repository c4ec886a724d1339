/* SPDX-License-Identifier: MIT */
/*
 * assist: checkpoints of our own, where the user asked for them (`-o assist`).
 *
 * A pin that trails by one commit keeps a log from beginning anew, and an
 * application whose checkpoints do not wait will never catch it standing still.
 * Where the image cannot be completed in the spool, the log grows. So, when 8 MiB
 * of it are in use:
 *  1. the pin hops, and all up to it is written back (PASSIVE), beside the
 *     application;
 *  2. its writers are held off by a SHARED lock on the WRITE slot; the pin hops,
 *     the little that was committed meanwhile is written back, the pin hops to
 *     read lock 0; the writers go on, and the first of them begins the log anew.
 * Step 2 takes as long as the disk needs to sync: 1 to 13 ms. A writer without a
 * busy timeout may see SQLITE_BUSY.
 *
 * This writes to the application's files, by SQLite's own means, what the
 * application would have written. And it is a second connection that
 * checkpoints, which libraries before 3.51.3 may answer by losing a log that was
 * begun anew in the same moment (the "WAL-reset bug", sqlite.org/wal.html). So
 * it is never done unasked.
 *
 * Threads: the governor's.
 */
#ifndef SQLITE_ASSIST_H
#define SQLITE_ASSIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/sqlite/handle.h"
#include "engines/sqlite/tick.h"

struct sqlite_assist {
	struct sqlite_handle writer; /* open once it was needed */
	int64_t not_before_ns;
	bool given_up; /* it cannot write */
};

/* With `log_bytes` of the log in use, is it time? */
bool sqlite_assist_is_due(
    const struct sqlite_assist *assist, uint64_t log_bytes, int64_t now_ns);

/*
 * Do it, with the pin of `tick`; `*ret_moves`: how often that hopped. 0 also
 * where somebody was in the way; it is due again a little later. ACCESS and
 * others of sqlite_handle_open(): it is given up for good. Others as
 * sqlite_tick().
 */
int sqlite_assist(struct sqlite_assist *assist, const struct sqlite_tick *tick,
    unsigned *ret_moves, struct still_error *err);

/* Before the pin is released. Accepts a zeroed one. */
void sqlite_assist_end(struct sqlite_assist *assist);

/* Does the SQLite in use have the bug? */
bool sqlite_assist_is_risky(void);

#endif
