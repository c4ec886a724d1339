/* SPDX-License-Identifier: MIT */
/*
 * rmtree: removes a directory with all that is in it.
 *
 * No symbolic link is followed, and nothing outside is reached, even if somebody
 * moves directories about meanwhile. What is mounted somewhere in it is outside,
 * also when it comes from the same file system. One directory is open at a time,
 * so that a tree may be of any depth.
 */
#ifndef STILL_BASE_RMTREE_H
#define STILL_BASE_RMTREE_H

/* Remove `name` in the directory `dirfd`: a directory, or anything else that has
 * a name. 0, also when there is none, or -errno; some of it may be gone then.
 * -EBUSY: something is mounted there or in it; all of it is there still, unless
 * that was mounted meanwhile. Directories of ours that nobody may write to are
 * no obstacle. Blocks on the disk. */
int still_rmtree(int dirfd, const char *name);

#endif
