/* SPDX-License-Identifier: MIT */
/*
 * refusal: what a server or libpq says, as one of our errors. Pure; any thread.
 *
 * The code comes from the SQLSTATE, never from the words, which are in the
 * server's language. For a connection that is refused libpq 13 to 17 tells the
 * SQLSTATE only in the text of its verbose form:
 *
 *	connection to server on socket "/x/.s.PGSQL.5432" failed: FATAL:  28000: \
 *	role "backup" does not exist
 *	LOCATION:  InitializeSessionUserId, miscinit.c:747
 *
 * `LOCATION` is the last line of it, in whatever language.
 */
#ifndef POSTGRES_REFUSAL_H
#define POSTGRES_REFUSAL_H

#include <stdbool.h>

#include "base/error.h"
#include "engines/postgres/conn.h"

#define STILL_PG_REASON_MAX 512

/* Take the words and the SQLSTATE ("" where there is none) out of a message of
 * libpq: one line without control characters, cut if need be. */
void still_pg_refusal_reason(
    const char *message, char text[STILL_PG_REASON_MAX], char state[6]);

/* A connection was refused, or not made: NOTFOUND, ACCESS, AGAIN, ABSENT, FAILED.
 * `no_password`: for want of a password, which libpq tells without SQLSTATE. */
int still_pg_refusal_connect(const char *message, bool no_password,
    const struct still_pg_conn *conn, const char *shown, char state[6],
    struct still_error *err);

/* A statement was refused: ACCESS, AGAIN, CANCELLED, LOST, FAILED. */
int still_pg_refusal_statement(const char *state, const char *text,
    const char *doing, const char *shown, struct still_error *err);

/* UNSUPPORTED. */
int still_pg_refuse_pooler(const char *shown, struct still_error *err);

#endif
