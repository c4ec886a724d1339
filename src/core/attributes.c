/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/attributes.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static int give_owner_and_mode(int fd, const struct stat *like)
{
	mode_t mode = like->st_mode & 07777;

	if (fchown(fd, like->st_uid, like->st_gid) != 0) {
		if (geteuid() == 0 || errno != EPERM)
			return -errno;
		mode &= 0777;
	}
	/* Behind the owner: to change him takes bits away. */
	return fchmod(fd, mode) == 0 ? 0 : -errno;
}

int still_attributes_give(int fd, const struct stat *like)
{
	struct timespec times[2] = {like->st_atim, like->st_mtim};
	int rc = give_owner_and_mode(fd, like);

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
	rc = copy_all(fd, from);
	return rc == 0 ? give_owner_and_mode(fd, &like) : rc;
}
