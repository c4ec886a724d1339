/* SPDX-License-Identifier: MIT */
/*
 * walmap: which frame of the log holds which page of the snapshot, and a digest
 * of each, taken when the frame's own checksum was proven.
 *
 * The frames (backfill, max_frame] are read once, after the pin is taken, and
 * proven (frames.h).
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
#include "engines/sqlite/frames.h"

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

#endif
