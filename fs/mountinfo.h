/* SPDX-License-Identifier: MIT */
/*
 * mountinfo: this process's view of what is mounted (/proc/self/mountinfo, see
 * proc(5)). Every call reads the file anew. Any thread.
 */
#ifndef FS_MOUNTINFO_H
#define FS_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct fs_mounted {
	dev_t dev;       /* st_dev of what lies in it */
	char fstype[64]; /* "fuse.stillfs" */
};

/* The mount that is on top at `path` (absolute, resolved). Returns 0, or
 * STILL_ERR_NOTFOUND when nothing is mounted exactly there. */
int fs_mountinfo_at(
    const char *path, struct fs_mounted *ret, struct still_error *err);

/* Is a file system with this device mounted anywhere? True when that cannot be
 * found out. */
bool fs_mountinfo_has(dev_t dev);

#endif
