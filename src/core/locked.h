/* SPDX-License-Identifier: MIT */
/*
 * locked: which files of a directory has a process locked, by /proc/locks. To
 * ask the files themselves would mean to open them, and to close one drops the
 * locks that this process has on it.
 *
 *	N: KIND ADVISORY|MANDATORY READ|WRITE PID MAJOR:MINOR:INODE FROM TO
 *
 * MAJOR and MINOR are hexadecimal; PID is -1 where the lock belongs to an open
 * file (OFD). "->" behind the number stands before one that only waits. Some
 * file systems (btrfs, overlayfs) tell stat(2) another device; there the inode
 * counts alone. Processes of other PID namespaces are not in the list.
 *
 * Threads: any.
 */
#ifndef STILL_CORE_LOCKED_H
#define STILL_CORE_LOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct still_lock_line {
	dev_t dev;
	ino_t ino;
	pid_t pid; /* -1: not known */
};

/* The locks of the moment in which it was filled. */
struct still_locked {
	struct still_lock_line *lines; /* owned */
	size_t n;
};

/* Without /proc, or memory, it is empty. */
void still_locked_init(struct still_locked *locked);
void still_locked_release(struct still_locked *locked);

/* Has a process locked the file `name` in `dirfd`? Links are not followed.
 * `*ret_pid` is -1 where it is not known which one. */
bool still_locked_file(const struct still_locked *locked, int dirfd,
    const char *name, pid_t *ret_pid);

/* The same for all below `dirfd`, up to STILL_LOCKED_DEPTH directories deep. The
 * path of the first that is found, below it; owned by the caller. NULL: none. */
#define STILL_LOCKED_DEPTH 32
char *still_locked_below(
    const struct still_locked *locked, int dirfd, pid_t *ret_pid);

#endif
