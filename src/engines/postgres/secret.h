/* SPDX-License-Identifier: MIT */
/*
 * secret: does a connection string hold one? Judged before libpq reads it, so
 * that also what libpq does not understand is recognised, and so that nothing
 * of it comes into a message. Wrong alarms are accepted where the string can be
 * written in another way. Pure; any thread.
 */
#ifndef POSTGRES_SECRET_H
#define POSTGRES_SECRET_H

#include <stdbool.h>

#include "base/error.h"

/* Does it begin with postgresql:// or postgres://? */
bool still_pg_is_uri(const char *source);

/*
 * Is there anything like a password in it: in a URI a colon somewhere before an
 * `@` (user:password@, also when a slash or an `@` in the password leads libpq
 * astray); in any form the word "password" before a `=`, whatever its case and
 * also percent-encoded. True as well when it cannot be told for want of memory.
 */
bool still_pg_holds_secret(const char *source);

/* Is the value of this keyword of libpq one? `dispchar` is libpq's own word on
 * it. */
bool still_pg_is_secret(const char *keyword, const char *dispchar);

/* INVALID, with a hint that names the other ways. */
int still_pg_refuse_secret(struct still_error *err);

#endif
