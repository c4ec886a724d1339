/* SPDX-License-Identifier: MIT */
/*
 * identity: a text that is another one whenever the bytes of an image may be.
 *
 * An image is what the database file and the log hold as of one commit. What
 * tells two of them apart:
 *
 *  1. With frames in the log (M > 0): salts, M and the running checksum of frame
 *     M name the commit. The salts are random and new whenever the log begins
 *     anew; each commit ends with a higher M.
 *  2. The file's times, size and place. Whoever writes to a file sets its mtime
 *     and ctime before its data, and ctime is nobody's to choose. They are all
 *     there is where M is 0: a log that was removed or cut has taken its salts
 *     with it. A checkpoint changes them too, and not the bytes: then the same
 *     bytes are read once more.
 *  3. The change counter, which each commit with a rollback journal raises.
 *  4. Whether sums of the checksum VFS are put right in pages of the log.
 *
 * The file is looked at while nobody can change what the image shows: while the
 * pin is held, or under the lock of the copy.
 *
 * RULES
 *  5. Racy. A file's times are those of a clock that stands for a tick, on some
 *     file systems for 2 s. What is written in the same one leaves no trace
 *     there. So where mtime or ctime is not older than that, or in the future,
 *     the identity names the moment of the freeze, and is never met again.
 *  6. Another boot is another identity. After a power failure a file may have
 *     lost its last times, but not its data: fdatasync(2), which SQLite uses,
 *     does not write times, and a file system may be mounted `lazytime`. And
 *     device numbers are only as good as the boot that gave them.
 *  7. What is damaged or not frozen has none; nor has a source that was forced:
 *     a network file system has the times of another machine's clock, late.
 *
 * SQLite writes databases with write(2). A build with SQLITE_MMAP_READWRITE, an
 * experiment that nobody ships, would write through a map, and a map sets times
 * now and then only.
 *
 * Threads: any.
 */
#ifndef SQLITE_IDENTITY_H
#define SQLITE_IDENTITY_H

#include <stdbool.h>

#include "engines/sqlite/facts.h"
#include "engines/sqlite/image.h"

#define SQLITE_IDENTITY_BYTES (STILL_IDENTITY_MAX_BYTES + 1)

/* The text. Pure. */
void sqlite_identity_write(
    const struct sqlite_facts *facts, char out[SQLITE_IDENTITY_BYTES]);

/* What that of a frozen image is made of; false: it has none, for it is damaged
 * or not frozen. While its pin is held. */
bool sqlite_identity_facts(
    const struct sqlite_image *image, struct sqlite_facts *ret);

/* That of a frozen image; false: it has none. While its pin is held. */
bool sqlite_identity_of(
    const struct sqlite_image *image, char out[SQLITE_IDENTITY_BYTES]);

#endif
