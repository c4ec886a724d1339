/* SPDX-License-Identifier: MIT */
/*
 * guard: what is looked at before SQLite is let at a database, because SQLite
 * would do harm there, wait for ever, or be led astray.
 *
 * Threads: any.
 */
#ifndef SQLITE_GUARD_H
#define SQLITE_GUARD_H

#include <sys/stat.h>

#include "base/error.h"
#include "engines/sqlite/files.h"
#include "engines/sqlite/handle.h"

/* lstat(2) of `rel` with `suffix`, below `root_fd`; 0 or -errno. */
int sqlite_sidecar_stat(
    int root_fd, const char *rel, const char *suffix, struct stat *ret);

/* UNSUPPORTED, AGAIN or ACCESS, or 0. `db` is referenced by the caller. */
int sqlite_guard_check(const struct sqlite_target *target,
    const struct sqlite_file *db, int root_fd, struct still_error *err);

#endif
