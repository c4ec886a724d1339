/* SPDX-License-Identifier: MIT */
/*
 * conn: from what the user names as SOURCE to the parameters of a connection.
 *
 * A source of this engine is one of
 *
 *	/var/lib/postgresql/15/main         a PGDATA: a directory with PG_VERSION
 *	                                    and global/pg_control
 *	postgresql://[user@][host][:port][/db][?key=value&...]
 *	                                    a URI of libpq; also postgres://
 *	host=/run/postgresql user=backup    a connection string of libpq: the first
 *	                                    word is a keyword of libpq and `=`
 *	service=NAME                        the same; libpq reads the service file
 *
 * Of a PGDATA, port and socket directory stand in its postmaster.pid, and the
 * database is "postgres"; PGHOST, PGPORT and PGDATABASE do not count then. In
 * the others, what is left out is libpq's affair (PGHOST, PGUSER ...), but for
 * the database, which is "postgres" instead of the role's name: which one it is
 * does not matter for a backup.
 *
 * No secret. A password in SOURCE would be read by everybody who lists the
 * processes or the mounts. It is refused in every form (userinfo, query part,
 * keyword, percent-encoded, misspelled strings that seem to hold one); so are
 * the other secrets of libpq (sslpassword). Neither a message nor `shown` ever
 * holds a part of SOURCE that can be one: of a string that libpq does not
 * understand nothing is repeated at all.
 *
 * Root. `peer` authentication compares the role with the user of the process
 * that calls connect(2), so root as such is let in by no usual cluster. Where
 * we are root and SOURCE names no role, we connect as somebody else: the thread
 * takes the effective uid of the owner while libpq connects (session.h), and
 * the role has the owner's name. The owner is that of PGDATA, or for a socket,
 * that of the socket. It is the same when SOURCE names that very role. Any other
 * role (user=, PGUSER, service=), and one with a `passfile`, is asked for by root
 * itself, as by libpq's own programs.
 */
#ifndef POSTGRES_CONN_H
#define POSTGRES_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

enum still_pg_form {
	STILL_PG_FORM_NONE, /* no source of this engine */
	STILL_PG_FORM_DATA, /* a PGDATA */
	STILL_PG_FORM_URI,
	STILL_PG_FORM_CONNINFO
};

#define STILL_PG_PARAMS_MAX 64

struct still_pg_conn {
	enum still_pg_form form;
	char *shown;  /* SOURCE for messages and lists; no secret in it */
	char *pgdata; /* resolved; NULL: the server will tell */
	/* For PQconnectStartParams(), with expand_dbname 0; NULLs at the end.
	 * The keywords are static, or libpq's. */
	const char *keyword[STILL_PG_PARAMS_MAX + 1];
	char *value[STILL_PG_PARAMS_MAX + 1];
	size_t n;
	bool any_database; /* "template1" will do as well */
	uid_t uid; /* whose effective uid to take while connecting; (uid_t) -1:
		      none */
};

/* Which form `source` has. Looks at the file system; never fails. What exists
 * as a file is no connection string. */
enum still_pg_form still_pg_form(const char *source);

/*
 * Fill `*ret`, which the caller releases. INVALID (not understood; holds a
 * secret; asks for a replication connection), NOTFOUND (no PGDATA), ABSENT (it
 * is not running), AGAIN (starting), STOPPING, ACCESS, UNSUPPORTED, NOMEM. Reads the disk and the user
 * database; does not connect. Not beside setenv(3).
 */
int still_pg_conn_resolve(
    const char *source, struct still_pg_conn *ret, struct still_error *err);

/* The value of a parameter, or NULL. Borrowed. */
const char *still_pg_conn_get(
    const struct still_pg_conn *conn, const char *keyword);

/* Replace or add a parameter; `keyword` is static. NOMEM. */
int still_pg_conn_set(
    struct still_pg_conn *conn, const char *keyword, const char *value);

void still_pg_conn_release(struct still_pg_conn *conn);

#endif
