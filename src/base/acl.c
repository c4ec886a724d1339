/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/acl.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/sys.h"

#define ACCESS_LIST "system.posix_acl_access"
#define DEFAULT_LIST "system.posix_acl_default"

#define LIST_VERSION 2
#define HEAD_BYTES 4
#define ENTRY_BYTES 8

enum tag {
	TAG_NAMED_USER = 2,
	TAG_GROUP = 4,
	TAG_NAMED_GROUP = 8,
	TAG_MASK = 16,
};

/* ---- what it grants ------------------------------------------------------ */

struct granted {
	uint32_t group;
	uint32_t named; /* that all who are named have */
	uint32_t mask;
	bool is_naming; /* anybody */
};

static struct granted read_entries(const unsigned char *at, size_t n)
{
	struct granted granted = {.group = 7, .named = 7, .mask = 7};

	for (; n > 0; n--, at += ENTRY_BYTES) {
		uint16_t tag;
		uint16_t rights;

		memcpy(&tag, at, sizeof(tag));
		memcpy(&rights, at + sizeof(tag), sizeof(rights));
		tag = le16toh(tag);
		rights = le16toh(rights);
		if (tag == TAG_GROUP)
			granted.group = rights;
		else if (tag == TAG_MASK)
			granted.mask = rights;
		if (tag == TAG_NAMED_USER || tag == TAG_NAMED_GROUP) {
			granted.named &= rights;
			granted.is_naming = true;
		}
	}
	return granted;
}

/* Whatever the list may say. */
static uint32_t without_group(uint32_t mode)
{
	return mode & (~(uint32_t) S_IRWXG | (mode & S_IRWXO) << 3);
}

uint32_t still_acl_limit_by(const void *list, size_t len, uint32_t mode)
{
	struct granted granted;
	uint32_t version;
	uint32_t group;
	uint32_t others;

	if (len < HEAD_BYTES || (len - HEAD_BYTES) % ENTRY_BYTES != 0)
		return without_group(mode);
	memcpy(&version, list, sizeof(version));
	if (le32toh(version) != LIST_VERSION)
		return without_group(mode);
	granted = read_entries((const unsigned char *) list + HEAD_BYTES,
	    (len - HEAD_BYTES) / ENTRY_BYTES);
	/* The mask is for whoever is named, and says nothing about others. */
	others = granted.is_naming ? granted.named & granted.mask : 7;
	group = granted.group & granted.mask & others;
	return mode & (~(uint32_t) 077 | group << 3 | others);
}

/* The length of the list, or -errno. A descriptor of O_PATH has to be gone
 * through by name. */
static ssize_t get(int fd, const char *name, void *list, size_t size)
{
	char path[32];
	ssize_t n = fgetxattr(fd, name, list, size);

	if (n < 0 && errno == EBADF) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = getxattr(path, name, list, size);
	}
	return n < 0 ? -errno : n;
}

static bool is_none(ssize_t rc)
{
	return rc == -ENODATA || rc == -EOPNOTSUPP || rc == -ENOSYS;
}

uint32_t still_acl_limit(int fd, uint32_t mode)
{
	void *list = malloc(XATTR_SIZE_MAX);
	ssize_t n = list ? get(fd, ACCESS_LIST, list, XATTR_SIZE_MAX) : -ENOMEM;

	if (n >= 0)
		mode = still_acl_limit_by(list, (size_t) n, mode);
	else if (!is_none(n))
		mode = without_group(mode);
	free(list);
	return mode;
}

uint32_t still_acl_limit_at(int dirfd, const char *path, uint32_t mode)
{
	int fd = still_sys_open_beneath(dirfd, path, O_PATH);

	if (fd < 0)
		return without_group(mode);
	mode = still_acl_limit(fd, mode);
	close(fd);
	return mode;
}

/* ---- without it ---------------------------------------------------------- */

int still_acl_remove(int fd)
{
	static const char *const names[] = {ACCESS_LIST, DEFAULT_LIST};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		/* What has none may not even know how to remove one. */
		if (fgetxattr(fd, names[i], NULL, 0) >= 0 &&
		    fremovexattr(fd, names[i]) != 0 && errno != ENODATA)
			return -errno;
	return 0;
}
