/* SPDX-License-Identifier: MIT */
/*
 * cut: one moment over all databases of an instance.
 *
 * A transaction over attached databases commits in one after another, and to
 * read their headers one after another, however often, gives no common moment.
 * But whoever commits holds, in every database that he writes, the WRITE slot
 * of its wal-index (WAL mode), or a PENDING or EXCLUSIVE lock (rollback
 * journal), from before any of them shows the commit until after this one does.
 * Hence
 *
 * THE BARRIER. Of every database at once: SHARED on the WRITE slot, or a read
 * transaction. None of these waits; when one is not to be had, all are released,
 * and after a pause (50 to 350 microseconds, then longer) all is tried again.
 * With all held nobody is between two databases, and the moment is one. Then
 *  - each WAL-mode database gets its read slot (pin.h), and its writers go on;
 *  - each rollback-journal database is copied (private.h), and its writers go
 *    on when its copy is made.
 * The width of the cut is the time for which all were held. Writers were held
 * off for that, and for the time that it took to come so far; who has no busy
 * timeout may see SQLITE_BUSY. So one database in WAL mode, alone, is frozen
 * without a barrier.
 *
 * Threads: one.
 */
#ifndef SQLITE_CUT_H
#define SQLITE_CUT_H

#include "engines/sqlite/image.h"

struct sqlite_cut_request {
	const atomic_bool *cancel;
	int64_t limit_ns; /* how long a moment is looked for */
	int64_t stall_ns; /* how long writers may be held off for copies */
};

struct sqlite_cut {
	const char *words; /* "one commit", "one moment"; static */
	int64_t first_ns;  /* CLOCK_REALTIME: all were held ... */
	int64_t last_ns;   /* ... until here */
	int64_t held_ns;   /* the longest that writers were held off at one go,
			      over all tries */
	unsigned tries;
};

/*
 * Freeze the images that were opened and not refused; an image whose database
 * turns out to be one that cannot be frozen is refused meanwhile. BUSY: no
 * common moment within the limit. AGAIN: the copies would hold writers off for
 * longer than allowed. NOTFOUND: another look at the directory will help.
 * CANCELLED, IO, NOMEM. On failure the images hold no moment.
 */
int sqlite_cut_take(struct sqlite_image *images, size_t n,
    const struct sqlite_cut_request *request, struct sqlite_cut *ret,
    struct still_error *err);

#endif
