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
 * Threads: constant once initialised; open from one at a time.
 */
#ifndef STILL_CORE_SPOOL_H
#define STILL_CORE_SPOOL_H

#include "engines/engine.h"

struct still_spool_dir {
	char *path; /* owned; NULL: the default */
};

/* Resolve and look at `path`, which may be NULL. NOTFOUND, ACCESS, INVALID,
 * UNSUPPORTED (its file system has no files without a name). */
int still_spool_init(
    struct still_spool_dir *dir, const char *path, struct still_error *err);
void still_spool_release(struct still_spool_dir *dir);

/* The `open` of a struct still_spool over a struct still_spool_dir. */
int still_spool_open(void *arg, const char *what, uint64_t bytes, int *ret_fd,
    struct still_error *err);

#endif
