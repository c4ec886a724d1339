/* SPDX-License-Identifier: MIT */
/*
 * frames: a run of frames of a live log, read in order and proven.
 *
 * For each frame f:
 *  1. its salts are the wal-index's;
 *  2. the running checksum, continued over it, is the one stored in it. The
 *     checksum is continued from what frame f-1 *stores*, or, should that fail,
 *     from what was *computed* for f-1: so one damaged frame does not make its
 *     successors look damaged, and no damage outside the range matters;
 *  3. a frame that fails is read again, a few times, then it is damaged.
 *  4. The checksum VFS puts its sum into a page after the log's checksum was
 *     made of it, so on disk the two never agree. Where pages may have such
 *     sums, a frame that fails 2 is proven by 1, by its page's sum, which must
 *     not be zeros, and by the wal-index naming the same page for it.
 *
 * The frames must be kept from being overwritten: by a pin, at or behind the
 * first of them.
 *
 * Threads: each walk is its own.
 */
#ifndef SQLITE_FRAMES_H
#define SQLITE_FRAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/pin.h"

struct sqlite_frame {
	uint32_t number;
	struct sqlite_frame_header header; /* zeros where it is not there */
	const uint8_t *bytes;  /* header and page; NULL: the file ends before */
	const char *wrong;     /* NULL: it is proven. Static */
	bool by_page_sum;      /* by rule 4 only */
	const char *log_wrong; /* what is wrong with the log's own header, on
				  which frame 1 rests. Static; NULL */
};

/* Called for each frame, in order; a negative code ends the walk. */
typedef int sqlite_frame_fn(
    void *arg, const struct sqlite_frame *frame, struct still_error *err);

struct sqlite_frames {
	struct sqlite_pin *pin;           /* whose log */
	struct sqlite_index_header index; /* as of which it is read */
	uint32_t first;                   /* up to index.max_frame */
	uint32_t page_size_bytes;
	bool page_sums; /* rule 4 applies */
	const struct still_observer *observer;
	const atomic_bool *cancel;
	sqlite_frame_fn *each;
	void *arg;
};

/* Walk. CANCELLED, IO, NOMEM, and what `each` returns. Reads the log. */
int sqlite_frames_walk(
    const struct sqlite_frames *frames, struct still_error *err);

/* How often a read that fails its check is repeated, and the first pause. */
#define SQLITE_REREADS 3
#define SQLITE_REREAD_PAUSE_NS (2 * 1000 * 1000)

#endif
