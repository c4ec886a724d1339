/* SPDX-License-Identifier: MIT */
/*
 * attributes: what a file or directory has beside its content, given to another.
 *
 * An owner can be given by root alone. For anybody else what he makes is his,
 * and nothing is left of a mode that would lend his rights to others (setuid,
 * setgid); that is no failure.
 *
 * Nobody gets at the copy who did not get at the original: where the group cannot
 * be given either, those that it has now, and those that it had, have what both
 * the group and others had. Lists of access are not given (base/acl.h), and
 * nothing has any that it got where it was made.
 *
 * Threads: any.
 */
#ifndef STILL_CORE_ATTRIBUTES_H
#define STILL_CORE_ATTRIBUTES_H

#include <sys/stat.h>

#include "still.h"

/* Owner, group and mode. File systems that know no owners or modes, or will not
 * have them set, are let have their way. 0 or -errno. */
int still_attributes_set(int fd, uid_t uid, gid_t gid, mode_t mode);

/* Owner, group and time of the symbolic link that `entry` is, below `dirfd`; it
 * has no mode of its own. Likewise. */
int still_attributes_set_link(int dirfd, const struct still_entry *entry);

/* Owner, group, mode and time of modification of the open file or directory
 * `from`, which may be of O_PATH. 0 or -errno. */
int still_attributes_give(int fd, int from);

/* Owner, mode, and whatever stands in extended attributes, such as lists of
 * access, from the directory `from`. 0 or -errno. */
int still_attributes_take_over(int fd, int from);

#endif
