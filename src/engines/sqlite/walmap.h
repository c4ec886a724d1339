/* SPDX-License-Identifier: MIT */
/*
 * walmap: which frame of the log holds which page of the snapshot, and a digest
 * of each, taken when the frame's own checksum was proven.
 *
 * The frames (backfill, max_frame] are scanned once, after the pin is taken.
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
 * The last frame must be a commit, of as many pages as the wal-index says, and
 * end with the wal-index's checksum.
 *
 * A damaged frame damages the page that it holds (unless a newer frame holds it
 * too). Which page that is, is believed only where frame and wal-index agree;
 * otherwise no page of the database can be proven, and all are damaged.
 *
 * Threads: built by one, then constant; look-ups from any.
 */
#ifndef SQLITE_WALMAP_H
#define SQLITE_WALMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/pin.h"

struct sqlite_walmap_entry {
	uint32_t page;
	uint32_t frame : 31;
	uint32_t damaged : 1; /* the page cannot be served */
	uint64_t digest; /* of the whole frame as it was when it was proven */
};

struct sqlite_walmap {
	struct sqlite_walmap_entry *entries; /* owned; by page, one per page */
	uint32_t n;
	bool all_damaged;          /* not even the damaged page is known */
	struct still_error damage; /* the first; code 0 where there is none */
	uint32_t n_damaged;        /* frames */
	uint32_t n_page_sums;      /* looks at frames proven by rule 4 only */
};

/*
 * Scan; `page_sums`: rule 4 applies. Damage is no failure of the call: it stands in `ret->damage`. Fails
 * with IO, NOMEM or CANCELLED. The caller releases `ret` on success. Reads the log.
 */
int sqlite_walmap_build(struct sqlite_pin *pin, uint32_t page_size_bytes,
    bool page_sums, const struct still_observer *observer,
    const atomic_bool *cancel, struct sqlite_walmap *ret,
    struct still_error *err);

/* The digest of a frame: XXH3-64 of the page, seeded with that of the 24 bytes
 * before it. */
uint64_t sqlite_frame_digest(
    const void *header, const void *page, uint32_t page_size_bytes);

/* The first entry whose page is `page` or a later one, or NULL. */
const struct sqlite_walmap_entry *sqlite_walmap_from(
    const struct sqlite_walmap *map, uint32_t page);

void sqlite_walmap_release(struct sqlite_walmap *map);

/* How often a read that fails its check is repeated, and the first pause. */
#define SQLITE_REREADS 3
#define SQLITE_REREAD_PAUSE_NS (2 * 1000 * 1000)

#endif
