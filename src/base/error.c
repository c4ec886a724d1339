/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 5, 0))) static void set_v(struct still_error *err,
    int code, int sys_errno, const char *hint, const char *fmt, va_list ap)
{
	char *msg = NULL;
	char *copy = NULL;

	if (!err)
		return;
	/* Format before releasing: an argument may be the old message. */
	if (vasprintf(&msg, fmt, ap) < 0)
		msg = NULL;
	if (hint)
		copy = strdup(hint);
	still_error_clear(err);
	err->code = code;
	err->sys_errno = sys_errno;
	err->msg = msg;
	err->hint = copy;
}

int still_error_set(struct still_error *err, int code, int sys_errno,
    const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_v(err, code, sys_errno, hint, fmt, ap);
	va_end(ap);
	return code;
}

static int code_of_errno(int sys_errno)
{
	switch (sys_errno) {
	case ENOENT:
	case ENOTDIR:
		return STILL_ERR_NOTFOUND;
	case EACCES:
	case EPERM:
		return STILL_ERR_ACCESS;
	case EINVAL:
	case ENAMETOOLONG:
		return STILL_ERR_INVALID;
	case EBUSY:
		return STILL_ERR_BUSY;
	case EAGAIN:
		return STILL_ERR_AGAIN;
	case ENOMEM:
		return STILL_ERR_NOMEM;
	case ENOSPC:
	case EDQUOT:
		return STILL_ERR_NOSPACE;
	default:
		return STILL_ERR_IO;
	}
}

int still_error_sys(struct still_error *err, int sys_errno, const char *hint,
    const char *fmt, ...)
{
	int code = code_of_errno(sys_errno);
	char *head = NULL;
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	if (vasprintf(&head, fmt, ap) < 0)
		head = NULL;
	va_end(ap);
	still_error_set(err, code, sys_errno, hint, "%s: %s",
	    head ? head : "system call", strerror(sys_errno));
	free(head);
	return code;
}

int still_error_nomem(struct still_error *err)
{
	if (err) {
		still_error_clear(err);
		err->code = STILL_ERR_NOMEM;
		err->sys_errno = ENOMEM;
	}
	return STILL_ERR_NOMEM;
}

const char *still_error_msg(const struct still_error *err)
{
	if (err && err->msg)
		return err->msg;
	if (err && err->code == 0)
		return "no error";
	return "out of memory";
}

void still_error_clear(struct still_error *err)
{
	if (!err)
		return;
	free(err->msg);
	free(err->hint);
	memset(err, 0, sizeof(*err));
}

void still_error_copy(struct still_error *to, const struct still_error *from)
{
	char *msg = from->msg ? strdup(from->msg) : NULL;
	char *hint = from->hint ? strdup(from->hint) : NULL;

	still_error_clear(to);
	to->code = from->code;
	to->sys_errno = from->sys_errno;
	to->msg = msg;
	to->hint = hint;
}

const char *still_error_word(int code)
{
	switch (code) {
	case STILL_ERR_NOTFOUND:
		return "not-found";
	case STILL_ERR_INVALID:
		return "invalid";
	case STILL_ERR_BUSY:
		return "busy";
	case STILL_ERR_AGAIN:
		return "try-again";
	case STILL_ERR_ACCESS:
		return "no-access";
	case STILL_ERR_CORRUPT:
		return "corrupt";
	case STILL_ERR_LOST:
		return "pin-lost";
	case STILL_ERR_UNSUPPORTED:
		return "unsupported";
	case STILL_ERR_IO:
		return "io";
	case STILL_ERR_NOMEM:
		return "no-memory";
	case STILL_ERR_CANCELLED:
		return "cancelled";
	case STILL_ERR_STALE:
		return "stale";
	case STILL_ERR_NOSPACE:
		return "no-space";
	case STILL_ERR_PROTO:
		return "no-session";
	case STILL_ERR_BASE:
		return "no-base";
	case STILL_ERR_ABSENT:
		return "not-running";
	case STILL_ERR_STOPPING:
		return "stopping";
	default:
		return "failed";
	}
}

int still_error_errno(int code)
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
	case STILL_ERR_ABSENT:
		return ENXIO;
	case STILL_ERR_CANCELLED:
	case STILL_ERR_STOPPING:
		return ESHUTDOWN;
	case STILL_ERR_STALE:
		return ESTALE;
	default: /* CORRUPT, LOST, IO, FAILED: the byte is not provably right */
		return EIO;
	}
}
