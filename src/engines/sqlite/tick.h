/* SPDX-License-Identifier: MIT */
/*
 * tick: one step of a pin, from an old commit to the newest.
 *
 *  1. B is taken beside A (hop.h).
 *  2. from = the frame after A's last, where the log is still A's; otherwise it
 *     began anew since, which A allowed only if it stood on read lock 0: frame 1.
 *  3. The frames from..b are read and proven (frames.h). Their pages, as far as
 *     the image has them and they are not saved, are about to be overwritten;
 *     so is every page behind the *smallest* end of the database that any
 *     commit among them left: a checkpoint cuts the file there, and what grows
 *     again need not be written (free pages are not).
 *  4. They are saved, as of the image, from wherever they are under A.
 *  5. Was the whole log in the file when B was taken, no page needs the log any
 *     more: what was written since the freeze is saved, and of the others the
 *     newest frame is the image's, and in the file. (That frame f was passed by
 *     nBackfill alone would not prove it: a checkpoint skips frames that it
 *     knows newer ones of, behind its limit.)
 *  6. Readers that looked before the marks were set are waited for (drain).
 *  7. A goes; B is the pin.
 *
 * Where any of it fails B goes and A stays, and nothing has changed but that
 * more is saved. A page that is damaged is not saved, but remembered as such:
 * nobody will get anything else for it.
 *
 * Threads: the governor's.
 */
#ifndef SQLITE_TICK_H
#define SQLITE_TICK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "engines/sqlite/hop.h"
#include "engines/sqlite/image.h"

struct sqlite_tick {
	struct sqlite_image *image;
	const struct still_observer *observer;
	const atomic_bool *cancel;
	int avoid;             /* the slot not to land in; -1: any will do */
	pthread_mutex_t *lock; /* held while the pin changes */
};

/*
 * Make one; `*ret_moved`: the pin stands anew. Not, without failing: no lock was
 * to be had. NOSPACE (spool), IO, CORRUPT (of the log's new frames), CANCELLED,
 * NOMEM: to be tried again. LOST: the log was overwritten under the pin.
 */
int sqlite_tick(
    const struct sqlite_tick *tick, bool *ret_moved, struct still_error *err);

#endif
