/* SPDX-License-Identifier: MIT */
/*
 * session: one connection to a PostgreSQL server, on which nothing waits for
 * ever.
 *
 * libpq is used in its non-blocking form: this side waits in poll(2), at most
 * until the limit of the call, and looks at the cancel flag twenty times a
 * second. A statement that is given up is cancelled in the server (cancel.h), and
 * the connection is closed if the server does not obey within 5 s.
 * What may block for longer than the limit is the resolver, for a host that is
 * given by a name.
 *
 * The session has its own settings, whatever the role's are: no timeouts,
 * search_path = pg_catalog, client_min_messages = warning. What the server says
 * beside its results (NOTICE, WARNING) is dropped and never printed.
 *
 * Through a pooler there is no session: statements may reach different backends,
 * and the backup would end with any of them. A pooler is recognised by this:
 * the process that answers is not the one that the connection was opened with.
 *
 * Root connects as the owner (conn.h): while libpq connects, the calling thread,
 * and no other, has the owner's effective uid (setresuid(2) itself; glibc's
 * function changes all threads). The kernel remembers the uid of connect(2) for
 * `peer`, so the rest of the life of the connection needs none of this. As with
 * every change of the effective uid the process makes no core dump from then
 * on. libpq reads ~/.pgpass of $HOME with the owner's rights then: a password
 * file for root's own connections must be named by `passfile` with a `user`.
 *
 * Threads: one at a time.
 */
#ifndef POSTGRES_SESSION_H
#define POSTGRES_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "engines/postgres/conn.h"

struct still_pg_session;

/*
 * Connect. `cancel` (may be NULL) is looked at for as long as the session
 * lives; so it must live as long. NOTFOUND (no such database), ACCESS (not let
 * in), ABSENT (nobody listens), AGAIN (starting, stopping, too many connections, no
 * answer within `limit_ns`), UNSUPPORTED (a pooler), CANCELLED, NOMEM, FAILED.
 */
int still_pg_session_open(const struct still_pg_conn *conn,
    const atomic_bool *cancel, int64_t limit_ns, struct still_pg_session **ret,
    struct still_error *err);

/* Whatever was under way in the server ends with it. Does not wait. NULL is
 * accepted. */
void still_pg_session_close(struct still_pg_session *session);

/* A result: texts, NULL for SQL's NULL. */
struct still_pg_rows {
	size_t n;
	size_t n_columns;
	void *result; /* owned */
};

/*
 * Run one statement, with parameters $1 ... as text (`n_args` may be 0).
 * `limit_ns` 0: until it is done. `doing` says in messages what it is good for
 * ("look at the settings"). Fails with
 *	LOST         the connection is gone; every later call says so too
 *	CANCELLED    the flag
 *	AGAIN        no answer in time; the server is stopping, or has no more of
 *	             something
 *	ACCESS       the role may not
 *	FAILED       any other word of the server; still_pg_session_state() has
 *	             its code
 *	NOMEM
 * After LOST, CANCELLED and AGAIN the statement has no effect in the server, or
 * its effect ends with the session.
 */
int still_pg_session_query(struct still_pg_session *session, const char *doing,
    const char *sql, const char *const *args, size_t n_args, int64_t limit_ns,
    struct still_pg_rows *ret, struct still_error *err);

/* Borrowed from `rows`. */
const char *still_pg_rows_get(
    const struct still_pg_rows *rows, size_t row, size_t column);
void still_pg_rows_release(struct still_pg_rows *rows);

/* SQLSTATE of the last failure, "" where there is none. Borrowed. */
const char *still_pg_session_state(const struct still_pg_session *session);

/* Is the connection still there? Does not block, asks nobody: it sees what the
 * server has sent, or that it is gone. LOST. */
int still_pg_session_alive(
    struct still_pg_session *session, struct still_error *err);

/* PG_VERSION_NUM of the server: 150020. */
int still_pg_session_version(const struct still_pg_session *session);

/* Its process in the server. */
int still_pg_session_pid(const struct still_pg_session *session);

/* Does the server run on this host: by a socket in the file system, or by an
 * address that is our own? A container of this host passes. */
bool still_pg_session_is_local(const struct still_pg_session *session);

/* Which role, borrowed. */
const char *still_pg_session_user(const struct still_pg_session *session);

#endif
