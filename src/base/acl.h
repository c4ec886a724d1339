/* SPDX-License-Identifier: MIT */
/*
 * acl: POSIX access control lists, as far as copies need to know of them.
 *
 * We store owners, groups and modes, and no lists. Where a file has one, the
 * bits for the group in its mode are none of the group: they are the most that
 * the list grants to anybody named in it, or to the group. Copied without the
 * list they would open the file to the whole group.
 *
 * THE LIST is the extended attribute system.posix_acl_access, little endian: a
 * 32-bit version, 2, and for each entry a 16-bit tag, 16 bits of rights (4 read,
 * 2 write, 1 search) and a 32-bit id. Tags: 1 owner, 2 a named user, 4 group, 8 a
 * named group, 16 mask, 32 others.
 *
 * Threads: any.
 */
#ifndef STILL_BASE_ACL_H
#define STILL_BASE_ACL_H

#include <stddef.h>
#include <stdint.h>

/*
 * `mode`, which is that of `fd`, without what a mode alone would grant to more
 * than its list does. The group has what it has by the list, and neither it nor
 * others have what the list denies to one that it names. Without a list it is
 * `mode`; with one that cannot be read the group has no more than others have.
 * `fd` may be one of O_PATH.
 */
uint32_t still_acl_limit(int fd, uint32_t mode);

/* The same of what lies at `path` below `dirfd`; what cannot be opened has a list
 * that cannot be read. */
uint32_t still_acl_limit_at(int dirfd, const char *path, uint32_t mode);

/* As still_acl_limit(), of a list of `len` bytes. */
uint32_t still_acl_limit_by(const void *list, size_t len, uint32_t mode);

/* Take away the lists that a file or a directory has, such as those that it got
 * from the directory in which it was made. 0, also where there is none, or
 * -errno. */
int still_acl_remove(int fd);

#endif
