/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/acl.h"
#include "base/sys.h"

static bool may_pass(int sys_errno)
{
	return sys_errno == EPERM || sys_errno == EINVAL ||
	    sys_errno == EOPNOTSUPP || sys_errno == ENOSYS;
}

/* Both, or the group alone, which a member may give. 0 or -errno of the first;
 * `*ret_mode` is made to fit what came of it. */
static int give_owner(int fd, uid_t uid, gid_t gid, mode_t *ret_mode)
{
	mode_t mode = *ret_mode;
	mode_t both = mode >> 3 & mode & S_IRWXO;
	struct stat st;
	int rc = 0;

	if (fchown(fd, uid, gid) != 0) {
		rc = -errno;
		/* It may have that group already. */
		if (fchown(fd, (uid_t) -1, gid) != 0 && !may_pass(errno))
			return -errno;
	}
	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_uid != uid || st.st_gid != gid)
		*ret_mode = mode &= 0777;
	if (st.st_gid != gid)
		*ret_mode = (mode & S_IRWXU) | both << 3 | both;
	return rc;
}

static int give_owner_and_mode(int fd, const struct stat *like)
{
	mode_t mode = like->st_mode & 07777;
	int rc = give_owner(fd, like->st_uid, like->st_gid, &mode);

	if (rc < 0 && (geteuid() == 0 || rc != -EPERM))
		return rc;
	/* Behind the owner: to change him takes bits away. */
	return fchmod(fd, mode) == 0 ? 0 : -errno;
}

int still_attributes_set_link(int dirfd, const struct still_entry *entry)
{
	struct timespec time = {.tv_sec = entry->time_s};
	struct timespec times[2] = {time, time};

	if (fchownat(dirfd, entry->path, entry->uid, entry->gid,
		AT_SYMLINK_NOFOLLOW) != 0 &&
	    !may_pass(errno))
		return -errno;
	if (utimensat(dirfd, entry->path, times, AT_SYMLINK_NOFOLLOW) != 0 &&
	    !may_pass(errno))
		return -errno;
	return 0;
}

int still_attributes_set(int fd, uid_t uid, gid_t gid, mode_t mode)
{
	/* To set a mode would open what the list grants. */
	int rc = still_acl_remove(fd);

	if (rc == 0)
		rc = give_owner(fd, uid, gid, &mode);
	if (rc < 0 && !may_pass(-rc))
		return rc;
	return fchmod(fd, mode) == 0 || may_pass(errno) ? 0 : -errno;
}

int still_attributes_give(int fd, int from)
{
	struct timespec times[2];
	struct stat like;
	int rc = still_sys_fstat(from, &like);

	if (rc == 0)
		rc = still_acl_remove(fd);
	if (rc < 0)
		return rc;
	like.st_mode = still_acl_limit(from, like.st_mode);
	rc = give_owner_and_mode(fd, &like);
	times[0] = like.st_atim;
	times[1] = like.st_mtim;
	if (rc == 0 && futimens(fd, times) != 0)
		rc = -errno;
	return rc;
}

/* ---- extended attributes ------------------------------------------------- */

static int copy_one(int fd, int from, const char *name)
{
	char *value = malloc(XATTR_SIZE_MAX);
	ssize_t n;
	int rc = 0;

	if (!value)
		return -ENOMEM;
	n = fgetxattr(from, name, value, XATTR_SIZE_MAX);
	if (n < 0 || fsetxattr(fd, name, value, (size_t) n, 0) != 0)
		rc = -errno;
	free(value);
	return rc;
}

static int copy_all(int fd, int from)
{
	char *names = malloc(XATTR_LIST_MAX);
	ssize_t n;
	int rc = 0;

	if (!names)
		return -ENOMEM;
	n = flistxattr(from, names, XATTR_LIST_MAX);
	/* There are none where there cannot be any. */
	if (n < 0 && errno != ENOTSUP)
		rc = -errno;
	for (ssize_t i = 0; rc == 0 && i < n;
	     i += (ssize_t) strlen(names + i) + 1)
		rc = copy_one(fd, from, names + i);
	free(names);
	return rc;
}

int still_attributes_take_over(int fd, int from)
{
	struct stat like;
	int rc;

	if (fstat(from, &like) != 0)
		return -errno;
	rc = still_acl_remove(fd);
	if (rc == 0)
		rc = copy_all(fd, from);
	return rc == 0 ? give_owner_and_mode(fd, &like) : rc;
}
