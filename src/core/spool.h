/* SPDX-License-Identifier: MIT */
/*
 * spool: where copies lie that an engine must make.
 *
 * A directory, and in it files without a name (O_TMPFILE), readable by nobody
 * else: they are gone when the last descriptor is, whatever becomes of the
 * process. A file gets its blocks when it is opened, so that a full disk is met
 * before anything is held up for the copy.
 *
 * The directory is the user's (`spool=`), who may choose one on the file system
 * of the databases so that blocks can be shared; it must not be writable by all,
 * because who fills it up stops backups. Without one it is
 * /var/lib/stillfs/spool for root, $XDG_STATE_HOME/stillfs/spool (or
 * ~/.local/state/...) for others, made when it is first needed, for us alone.
 *
 * ROOM. A copy that is made at once (open) may take what is free. One that
 * grows beside the application (take) leaves the last tenth of the disk, or its
 * last 8 GiB, alone: that is the application's, whose writes must not fail for
 * want of it. All of them together take `max_bytes` at most.
 *
 * Threads: constant once initialised, but for the count; files from any.
 */
#ifndef STILL_CORE_SPOOL_H
#define STILL_CORE_SPOOL_H

#include "engines/engine.h"

struct still_spool_dir {
	char *path;         /* owned; NULL: the default */
	uint64_t max_bytes; /* of all files together; 0: what the disk has, but
			       for its last tenth. Set before the first file */
	atomic_uint_fast64_t used_bytes; /* taken and not given back */
};

/* Resolve and look at `path`, which may be NULL. NOTFOUND, ACCESS, INVALID,
 * UNSUPPORTED (its file system has no files without a name). */
int still_spool_init(
    struct still_spool_dir *dir, const char *path, struct still_error *err);
void still_spool_release(struct still_spool_dir *dir);

/* For an engine: files in `dir`, which outlives it. */
struct still_spool still_spool_of(struct still_spool_dir *dir);

#endif
