/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/errno.h"

#include <errno.h>

#include "base/error.h"

int fs_job_errno(int code)
{
	int sys_errno = still_error_errno(code);

	return sys_errno == ENOENT ? ENXIO : sys_errno;
}
