/* SPDX-License-Identifier: MIT */
/*
 * connstr: a SOURCE that is a connection string of libpq instead of a path, as
 * far as everybody must know who handles one: no part of a file name is to be
 * looked for in it, and no secret in it may be repeated.
 *
 *	postgresql://[user@][host][:port][/db][?key=value&...]    also postgres://
 *	keyword=value keyword=value ...
 *
 * What exists as a file is no connection string. What begins with `/` or `.` is
 * a path, whatever follows.
 *
 * Threads: any.
 */
#ifndef STILL_BASE_CONNSTR_H
#define STILL_BASE_CONNSTR_H

#include <stdbool.h>

#include "base/error.h"

/* "postgresql://" or "postgres://" and whatever follows. */
bool still_connstr_is_uri(const char *source);

/* Is it a connection string, by its form? Looks at the file system. */
bool still_connstr_is(const char *source);

/* Does it seem to hold a secret: userinfo with a password, "password=" in any
 * spelling, also percent-encoded? Of strings that are misspelled it is rather
 * said too often: nobody may read a password because of a slash too few. */
bool still_connstr_holds_secret(const char *source);

/* INVALID, with a hint that names what to do instead; no part of the string. */
int still_connstr_refuse_secret(struct still_error *err);

#endif
