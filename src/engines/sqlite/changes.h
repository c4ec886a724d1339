/* SPDX-License-Identifier: MIT */
/*
 * changes: which pages of an image may differ from an older one of the same
 * database, of which the facts were noted (facts.h). All others cannot.
 *
 * THE SAME FILE. Neither image has a frame of a log in it, and the file is what it
 * was: boot, device, inode, length, mtime, ctime, change counter, number of
 * pages. The times were settled when they were noted, so a later write would
 * have left another one. No page can have changed.
 *
 * THE SAME LOG. The older image ends with frame O of a log, of which b0 were in
 * the file; the newer one with frame N, of which b are.
 *  1. Salts, device, inode and page size are equal, and N >= O > 0.
 *  2. Frame O stores the checksum that was noted. Checksums run over all frames
 *     before, so up to O it is the log that it was: a log that was cut off and
 *     continued otherwise, or put back from a copy and continued, ends here.
 *  3. The frames (b0, N] are walked and proven (frames.h), and N is the commit that
 *     the wal-index names. They are overwritten meanwhile where the pin is read
 *     lock 0; then the walk does not end well, and nothing is known.
 *  4. Only checkpoints write to the file, and only pages with a frame, as the
 *     newest frame has them. So what has no frame in (O, N] is what it was: in
 *     the file, in a frame up to O, or written back from there.
 *  5. But a checkpoint also cuts the file, where the commit ends that it sees;
 *     and what is behind that and belongs to the database again later need not
 *     be written (it is free). So every page behind the smallest end of any
 *     commit in (b0, N] may have changed. From b0: a checkpoint that was about to
 *     cut at a commit before O has not raised nBackfill beyond it yet.
 *
 * What somebody who is not SQLite wrote into the file is no change by these rules: it
 * is damage, and seen as such where pages are compared (rot.h).
 *
 * OTHERWISE every page may have changed. So it is, too,
 *  - where either was read through sums of the checksum VFS, or there is room for
 *    them: a page in the log is served with a sum that the file may not have, or
 *    without the one that is made when it is written back;
 *  - where more would have to be walked than is said; and where the log cannot be
 *    read, which is for others to tell.
 *
 * Threads: found by one, while the pin is held and nobody moves it on; then
 * constant.
 */
#ifndef SQLITE_CHANGES_H
#define SQLITE_CHANGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/sqlite/facts.h"

struct sqlite_image;

struct sqlite_changes {
	bool known;            /* not: every page may have changed */
	uint32_t n_may;        /* how many may have */
	_Atomic uint64_t *may; /* owned; bits, from page 1. NULL: none may */
};

#define SQLITE_CHANGES_INIT    \
	{                      \
		false, 0, NULL \
	}

/* `image` is settled, its `facts` are taken. No more than `walk_bytes` of log are
 * read. NOMEM, CANCELLED; on failure there is nothing to release. */
int sqlite_changes_find(struct sqlite_image *image,
    const struct sqlite_facts *base, uint64_t walk_bytes,
    const atomic_bool *cancel, struct sqlite_changes *ret,
    struct still_error *err);

/* May page `page` (from 1) have changed? */
bool sqlite_changes_may(const struct sqlite_changes *changes, uint32_t page);

/* How many pages from `page` on, up to `max` and none behind the end, may have
 * changed, or not, as `page` may. */
uint32_t sqlite_changes_run(
    const struct sqlite_changes *changes, uint32_t page, uint32_t max);

/* Accepts what was initialised only. */
void sqlite_changes_release(struct sqlite_changes *changes);

#endif
