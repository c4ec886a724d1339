/* SPDX-License-Identifier: MIT */
/*
 * attributes: what a file or directory has beside its content, given to another.
 *
 * An owner can be given by root alone. For anybody else what he makes is his,
 * and nothing is left of a mode that would lend his rights to others (setuid,
 * setgid); that is no failure.
 *
 * Threads: any.
 */
#ifndef STILL_CORE_ATTRIBUTES_H
#define STILL_CORE_ATTRIBUTES_H

#include <sys/stat.h>

/* Owner, mode and time of modification. 0 or -errno. */
int still_attributes_give(int fd, const struct stat *like);

/* Owner, mode, and whatever stands in extended attributes, such as lists of
 * access, from the directory `from`. 0 or -errno. */
int still_attributes_take_over(int fd, int from);

#endif
