/* SPDX-License-Identifier: MIT */
/*
 * mounts: where a directory lies among what is mounted, as this process sees it
 * (/proc/self/mountinfo, see proc(5)). Two paths that have nothing in common may
 * stand for the same directory; here they are told apart.
 *
 * Every call reads the table anew. Any thread.
 */
#ifndef STILL_BASE_MOUNTS_H
#define STILL_BASE_MOUNTS_H

#include <stdbool.h>

/* Is something mounted below the directory `fd`, at any depth? False, too, when
 * that cannot be found out. */
bool still_mounts_below(int fd);

/* Is the directory `path` the same as `dir`, or does it lie in it, by its own
 * path or by way of what is mounted somewhere? Both absolute and resolved. False,
 * too, when that cannot be found out. */
bool still_mounts_is_in(const char *path, const char *dir);

#endif
