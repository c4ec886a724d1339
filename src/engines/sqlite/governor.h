/* SPDX-License-Identifier: MIT */
/*
 * governor: a snapshot of any age without a pin of any age.
 *
 * A pin that stands for as long as a backup runs is an outage. A checkpoint of
 * the application that wants the whole log (FULL, RESTART, TRUNCATE) waits for
 * the pin, holding the write lock, and all writers wait behind it; one that does
 * not wait (PASSIVE) never gets as far as to let the log begin anew, which then
 * grows by all that is written.
 *
 * THE HOP (tick.h). The pin A stands at commit a. A pin B is taken at the
 * newest commit b; what was committed in (a, b] is about to be written into the
 * database file, so those pages are saved first, as of the image; then A goes.
 * Whatever the checkpointers do, a page that was not saved stands in the
 * database file, or in a frame of the log, as it was at the freeze. What a hop
 * costs is a look at the log written since the last, and a copy of the pages in
 * it that the image has and that were not saved before.
 *
 * WHEN. Every 2 ms, or each ms while somebody waits (more rarely where that
 * would be a twentieth of a core), each pinned database is looked at, in memory.
 * SQLite asks again 1, 3, 8, 18 and 33 ms after it met a lock, so who is found
 * 3 ms later has to wait for 10 ms more. Its pin hops
 *  1. when somebody waits: another process holds the WRITE and the CKPT byte of
 *     the wal-index and commits nothing, that is, it is in a checkpoint that
 *     holds writers up. It waits for a slot, each in its turn; where our new
 *     mark landed in the one that it waits for, the pin is moved to another;
 *  2. when the whole log is in the file and the pin is not read lock 0, which
 *     alone lets the log begin anew;
 *  3. when it is read lock 0 and has been overtaken for 20 ms: under that lock
 *     the application's own checkpoints get nothing done, at a high price;
 *  4. when 1 MiB was logged since, so that no hop takes long;
 *  5. when it is older than the limit (`pin_ms=`) and has been overtaken.
 *
 * COMPLETION (complete.h). An application that checkpoints PASSIVE only, as
 * SQLite does by itself, never restarts its log while any mark trails by one
 * commit. So beside the hops the rest of the image is copied into the spool; when
 * it is whole, pin and connections are let go for good.
 *
 * An image with a link (link.h) is not copied: it is let go as soon as its increment
 * is made.
 *
 * THE LIMIT. The logs of all databases together may be `log_limit_bytes` longer
 * than they were at the freeze. Beyond, pins are let go and the snapshot is
 * lost; the same where a pin has failed, and where a checkpoint has waited for
 * a second while its pin could not be moved (a full spool, a failing disk, a
 * -shm that we may only read).
 *
 * Under `hold` there is no governor thread but for the limit.
 *
 * Threads: start and stop by one; held and check from any. The governor's own
 * two threads are the only ones that touch a pin between start and stop.
 */
#ifndef SQLITE_GOVERNOR_H
#define SQLITE_GOVERNOR_H

#include <stddef.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/image.h"

struct sqlite_governor;

struct sqlite_governor_request {
	struct sqlite_image *images; /* frozen and settled; borrowed */
	size_t n_images;
	int root_fd;                                /* the source's directory */
	const struct still_attach_options *options; /* borrowed */
	const struct still_observer *observer;      /* borrowed */
	atomic_bool *lost;         /* raised when the snapshot is; borrowed */
	const atomic_bool *cancel; /* raised when it will soon be over, and no
				      copy is worth going on; borrowed; NULL */
};

/* Begin. On success the caller ends it with sqlite_governor_stop(), before any
 * image is released. NOMEM, IO. */
int sqlite_governor_start(const struct sqlite_governor_request *request,
    struct sqlite_governor **ret, struct still_error *err);

/* Nothing of the image is read any more: let its pin go, and what was saved of it,
 * some time soon. 0 if the pin has held until now; else LOST, with what it is. */
int sqlite_governor_let_go(struct sqlite_governor *governor,
    struct sqlite_image *image, struct still_error *err);

/* As still_keep_fn. */
int sqlite_governor_keep(struct sqlite_governor *governor,
    struct still_held *ret_held, struct still_error *err);

/* Within a tick, or one piece of a copy. The images keep what pins they have.
 * Accepts NULL. */
void sqlite_governor_stop(struct sqlite_governor *governor);

#endif
