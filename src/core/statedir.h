/* SPDX-License-Identifier: MIT */
/*
 * statedir: the directory where we keep what must outlive us: /var/lib/stillfs
 * for root, $XDG_STATE_HOME/stillfs (or ~/.local/state/stillfs) for others.
 * What is in it says which databases exist and when they were copied, so nobody
 * else may read it; who could write to it could make us believe anything.
 *
 * Threads: any. Every call may block on the disk.
 */
#ifndef STILL_CORE_STATEDIR_H
#define STILL_CORE_STATEDIR_H

#include <stdbool.h>

#include "base/error.h"

/* The default one, which need not exist; with `name` (may be NULL) a file in
 * it. NULL without memory, or where there is no home. The caller frees it. */
char *still_statedir_default(const char *name);

/* Make `path` and whatever is missing above it, for us alone, and have it on
 * disk. What exists is left as it is. 0 or -errno. */
int still_statedir_make(const char *path);

/* Where `path`, NULL for the default one, is or would be made: resolved as far
 * as it exists. On success `*ret` belongs to the caller, who frees it. */
int still_statedir_resolve(
    const char *path, char **ret, struct still_error *err);

/*
 * Resolve `path`, NULL for the default one, and look at it; with `create` it is
 * made when it is missing. On success `*ret_path` belongs to the caller, who
 * frees it, and `*ret_fd`, who closes it. NOTFOUND; ACCESS when it belongs to
 * another user; INVALID when others may read or write it, or when it is no
 * directory.
 */
int still_statedir_open(const char *path, bool create, char **ret_path,
    int *ret_fd, struct still_error *err);

/* Fill `err`: `what` (a word) at `path`, which is in a state directory, cannot
 * be had. */
int still_statedir_failed(
    int sys_errno, const char *what, const char *path, struct still_error *err);

#endif
