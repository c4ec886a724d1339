/* SPDX-License-Identifier: MIT */
/*
 * rot: pages that are not what they were, although nothing can have changed them.
 *
 * A plain database has no sums in its pages. But of the last committed session
 * there is a sum of each page as it was served (struct still_base), and of some
 * pages it can be told that nobody wrote them since. When such a page is read
 * from the file and has another sum, then the disk, the memory, or somebody who is
 * not SQLite has changed it: it is damaged, and not served.
 *
 * A false alarm dooms a good backup, so it matters more that there is none than
 * that each bit is seen. Nothing is compared but where all of this holds:
 *
 *  1. The page cannot have changed, by the rules of changes.h; and these are
 *     proven anew at each freeze.
 *  2. It is read from the database file, or from the copy that was made of it
 *     under the lock. A page of the log is proven by the log's own checksums, a
 *     page in the spool by the digest of what was put there; and it was read
 *     through here before it was put there.
 *  3. The database is not one of the checksum VFS, now or then: its pages have
 *     sums of their own.
 *  4. Its source was not forced: of a network file system neither times nor
 *     bytes are those of one moment.
 *  5. It is not the page of the lock bytes, which is nobody's.
 *
 * WHY THIS CANNOT FAIL, by what happens to a database between the two sessions:
 *
 *  - Checkpoints. A page that stood in the log then stands in the file now: the
 *    same bytes, for a checkpoint writes the newest frame, and there is none newer
 *    (a page with a newer one is not compared). A checkpoint under way writes
 *    pages with frames that the image reads from its log. After a crash all
 *    frames are written back once more: the same bytes over the same bytes.
 *  - The log begins anew (RESTART, TRUNCATE, a last close, a change of the journal
 *    mode and back): other salts, nothing is compared. While this session
 *    stands and the pin is on read lock 0, the log may begin anew too: what is
 *    about to be overwritten was saved before the pin moved (tick.h), and what was
 *    found out about the log before that stays true.
 *  - VACUUM, auto_vacuum, incremental_vacuum: every page that moves has a frame;
 *    every page behind the smallest end is left out.
 *  - Grown without a frame (free pages, SQLITE_FCNTL_CHUNK_SIZE): behind the
 *    older end, or the smallest.
 *  - Replaced by rename: another inode. By a file that got the same inode, or in
 *    place, with a new log or none: other salts, another ctime. In place, and the
 *    old log was left beside it: then pages of two databases are mixed, SQLite
 *    serves them so, and to say that it is damaged is right. So it is of whatever
 *    else writes into the file of a database behind SQLite's back.
 *  - Older files put back, log and all, with the same salts: an older log ends
 *    before frame O, or was continued to another checksum there; a newer one
 *    holds what was committed since. Database and log copied one after the other:
 *    what the log has no frame of, no commit of that log has changed.
 *  - Power lost: a log that lost its end ends before O, or has another checksum
 *    there. Times may be lost, though, and data not: they count within one boot.
 *    With `synchronous=OFF` the file may have pages of commits that the log has
 *    lost: a damaged database, told as such.
 *  - Clocks: times that were not settled (2 s and a tick old) at the freeze are
 *    not believed, and a clock that was set back would have to come to the same
 *    nanosecond, over the same change counter.
 *  - The pin is lost while a page is read: what is read then is not the image,
 *    and it is for the caller to ask for the pin before he calls it damaged
 *    (sqlite.c). In flight: it is read again, as a page with a sum is.
 *
 * Which pages were compared is kept, so that who is not alarmed can be told from
 * who did not look.
 *
 * Threads: armed by one, before others read; then constant, but for what is
 * counted.
 */
#ifndef SQLITE_ROT_H
#define SQLITE_ROT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/changes.h"

struct sqlite_image;

struct sqlite_rot {
	const uint64_t *sums; /* borrowed from the base; NULL: not armed */
	uint32_t n;           /* of them */
	struct sqlite_changes changes;
	_Atomic uint64_t *compared; /* owned; bits, from page 1; `n` */
};

/* Compare from now on, where that can be. `image` is settled and its facts are
 * taken; `noted` are those of the base. NOMEM, IO, CANCELLED. */
int sqlite_rot_arm(struct sqlite_image *image, const struct still_base *base,
    const struct sqlite_facts *noted, const atomic_bool *cancel,
    struct still_error *err);

static inline bool sqlite_rot_is_armed(const struct sqlite_rot *rot)
{
	return rot->sums != NULL;
}

/* Is page `page`, whose bytes these are, another one although it cannot be? */
bool sqlite_rot_has(const struct sqlite_rot *rot, uint32_t page,
    const void *data, uint32_t page_size_bytes);

/* How many pages were compared so far, each counted once. Accepts a zeroed one.
 * Any thread. */
uint64_t sqlite_rot_compared(const struct sqlite_rot *rot);

/* Accepts a zeroed one. */
void sqlite_rot_release(struct sqlite_rot *rot);

#endif
