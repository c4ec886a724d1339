/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/errno.h"

#include <errno.h>

#include "base/error.h"

int fs_errno(int code)
{
	switch (code) {
	case STILL_ERR_NOTFOUND:
		return ENOENT;
	case STILL_ERR_INVALID:
		return EINVAL;
	case STILL_ERR_BUSY:
		return EBUSY;
	case STILL_ERR_AGAIN:
		return EAGAIN;
	case STILL_ERR_ACCESS:
		return EACCES;
	case STILL_ERR_UNSUPPORTED:
		return EOPNOTSUPP;
	case STILL_ERR_NOSPACE:
		return ENOSPC;
	case STILL_ERR_NOMEM:
		return ENOMEM;
	case STILL_ERR_PROTO:
		return EPROTO;
	case STILL_ERR_BASE:
		return ENODATA;
	case STILL_ERR_CANCELLED:
		return ESHUTDOWN;
	case STILL_ERR_STALE:
		return ESTALE;
	default: /* CORRUPT, LOST, IO, FAILED: the byte is not provably right */
		return EIO;
	}
}

int fs_job_errno(int code)
{
	int sys_errno = fs_errno(code);

	return sys_errno == ENOENT ? EIO : sys_errno;
}
