/* SPDX-License-Identifier: MIT */
/*
 * trust: may what lies under a name of ours be taken for ours, and be emptied?
 *
 * What a process of ours has left is known by its name alone, and the owner of
 * the directory can give that name to a directory of root's that lies there. So
 * in a directory of another user nothing is taken. Where others may write to a
 * directory of ours, what is theirs is not taken either. Elsewhere nobody but us
 * can have put it there, and its owner tells nothing: a set has its source's.
 *
 * Threads: any.
 */
#ifndef STILL_CORE_TRUST_H
#define STILL_CORE_TRUST_H

#include <stdbool.h>

/* `name` in the open directory; false also where it cannot be looked at. */
bool still_trusts_name(int dirfd, const char *name);

#endif
