/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/trust.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_ours(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

bool still_trusts_name(int dirfd, const char *name)
{
	struct stat dir;
	struct stat st;

	if (fstat(dirfd, &dir) != 0 || !is_ours(dir.st_uid))
		return false;
	if (!(dir.st_mode & (S_IWGRP | S_IWOTH)))
		return true;
	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is_ours(st.st_uid);
}
