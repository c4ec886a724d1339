/* SPDX-License-Identifier: MIT */
/*
 * mounts: what is mounted, as this process sees it (/proc/self/mountinfo, see
 * proc(5)), and where a directory lies among it. Two paths that have nothing in
 * common may stand for the same directory; here they are told apart.
 *
 * Every call reads the table anew, and asks no file system anything unless it
 * says so. Any thread.
 */
#ifndef STILL_BASE_MOUNTS_H
#define STILL_BASE_MOUNTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct still_mounted {
	dev_t dev;       /* st_dev of what lies in it */
	char fstype[64]; /* "fuse.stillfs" */
};

/* The mount that is on top at `path` (absolute, resolved). Returns 0, or
 * STILL_ERR_NOTFOUND when nothing is mounted exactly there. */
int still_mounts_at(
    const char *path, struct still_mounted *ret, struct still_error *err);

/* Where the mount is that `path` (absolute, resolved) lies in, and whether nobody
 * can write to its file system: not only through this mount. 0, NOTFOUND where that
 * is not told, NOMEM. The caller frees `*ret_point`. */
int still_mounts_around(const char *path, char **ret_point, bool *ret_read_only,
    struct still_error *err);

/* Is a file system with this device, and of this type unless that is NULL,
 * mounted anywhere? Returns 1, 0, or -1 when that cannot be found out. */
int still_mounts_have(dev_t dev, const char *fstype);

/* Is something mounted below the directory `fd`, at any depth? False, too, when
 * that cannot be found out. */
bool still_mounts_below(int fd);

/* Is the directory `path` the same as `dir`, or does it lie in it, by its own
 * path or by way of what is mounted somewhere? Both absolute and resolved; where the table
 * leaves it open, both are looked at. False, too, when that cannot be found
 * out. */
bool still_mounts_is_in(const char *path, const char *dir);

#endif
