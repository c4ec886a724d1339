/* SPDX-License-Identifier: MIT */
/*
 * mount_id: the kernel's number of a mount that is given to no other mount, ever
 * (Linux 6.8: statx(2) with STATX_MNT_ID_UNIQUE, statmount(2)). Device numbers,
 * and the mount numbers of /proc/self/mountinfo, go to the next mount as soon as
 * the last one is gone.
 *
 * Nothing here asks the file system that is mounted, or holds it. Any thread.
 */
#ifndef STILL_BASE_MOUNT_ID_H
#define STILL_BASE_MOUNT_ID_H

#include <stdint.h>

/* The mount that is on top at `path`. 0 where the kernel has no such numbers, or
 * does not tell. */
uint64_t still_mount_id_at(const char *path);

/* Is it mounted, where this process sees it? Returns 1, 0, or -1 when that cannot
 * be found out. */
int still_mount_id_is_there(uint64_t id);

#endif
