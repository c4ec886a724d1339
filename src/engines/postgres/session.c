/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/cancel.h"
#include "engines/postgres/refusal.h"

#define LOOK_MS 50
#define MS INT64_C(1000000)
/* How long a server may take to obey a cancel request. */
#define OBEY_NS (5 * STILL_NS_PER_S)
#define SETUP_LIMIT_NS (30 * STILL_NS_PER_S)

struct still_pg_session {
	PGconn *pg;
	const atomic_bool *cancel; /* may be NULL */
	char *shown;               /* owned */
	char state[6];             /* SQLSTATE */
	int version;               /* libpq forgets both with the connection */
	int pid;
	bool gone;
};

/* ---- waiting ------------------------------------------------------------- */

enum wake {
	WAKE_READY,
	WAKE_CANCEL,
	WAKE_LATE
};

static bool cancelled(const struct still_pg_session *session)
{
	return session->cancel &&
	    atomic_load_explicit(session->cancel, memory_order_relaxed);
}

/* Until the socket is ready for `events`, the flag is raised, or `end_ns` (0:
 * never) has come. An error of the socket counts as ready: libpq finds it. */
static enum wake wait_socket(const struct still_pg_session *session,
    short events, int64_t end_ns, bool heed)
{
	struct pollfd poll_fd = {PQsocket(session->pg), events, 0};

	for (;;) {
		int64_t left_ms = LOOK_MS;

		if (heed && cancelled(session))
			return WAKE_CANCEL;
		if (end_ns) {
			int64_t left = end_ns - still_sys_monotonic_ns();

			if (left <= 0)
				return WAKE_LATE;
			if (left / MS + 1 < left_ms)
				left_ms = left / MS + 1;
		}
		if (poll(&poll_fd, 1, (int) left_ms) != 0 && errno != EINTR)
			return WAKE_READY;
		if (poll_fd.revents)
			return WAKE_READY;
	}
}

static int64_t deadline(int64_t limit_ns)
{
	return limit_ns ? still_sys_monotonic_ns() + limit_ns : 0;
}

static int say_cancelled(
    const struct still_pg_session *session, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
	    "server of `%s`: cancelled", session->shown);
}

static int say_late(const struct still_pg_session *session, const char *doing,
    int64_t limit_ns, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_AGAIN, 0,
	    "Look into the server's log, and at pg_stat_activity, for what "
	    "keeps it busy; then try again.",
	    "server of `%s`: no answer within %.1f s, trying to %s",
	    session->shown, (double) limit_ns / STILL_NS_PER_S, doing);
}

/* ---- connecting ---------------------------------------------------------- */

static void drop_notice(void *arg, const PGresult *result)
{
	(void) arg;
	(void) result;
}

/* Of this thread alone; nothing for (uid_t) -1. */
static int take_uid(uid_t uid)
{
	if (uid == (uid_t) -1)
		return 0;
	return (int) syscall(SYS_setresuid, -1, uid, -1);
}

static void take_root_back(uid_t uid)
{
	/* It was ours a moment ago, and the real uid still is. To go on as
	 * another than we think we are would be worse than to end. */
	if (uid != (uid_t) -1 && syscall(SYS_setresuid, -1, 0, -1) != 0)
		abort();
}

static int begin_connect(struct still_pg_session *session,
    const struct still_pg_conn *conn, struct still_error *err)
{
	if (take_uid(conn->uid) != 0)
		return still_error_sys(err, errno,
		    "Name the role in the source (user=...) to connect as the "
		    "user who runs stillfs.",
		    "taking the effective uid %u of the cluster's owner",
		    (unsigned) conn->uid);
	session->pg = PQconnectStartParams(
	    conn->keyword, (const char *const *) conn->value, 0);
	take_root_back(conn->uid);
	if (!session->pg)
		return still_error_nomem(err);
	/* The only way to learn the SQLSTATE of a refusal. */
	PQsetErrorVerbosity(session->pg, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(session->pg, drop_notice, NULL);
	return 0;
}

static PostgresPollingStatusType step(
    struct still_pg_session *session, const struct still_pg_conn *conn)
{
	PostgresPollingStatusType status;

	/* Another address may be tried: that is another connect(2). */
	if (take_uid(conn->uid) != 0)
		return PGRES_POLLING_FAILED;
	status = PQconnectPoll(session->pg);
	take_root_back(conn->uid);
	return status;
}

static int connect_server(struct still_pg_session *session,
    const struct still_pg_conn *conn, int64_t limit_ns, struct still_error *err)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	int64_t end_ns = deadline(limit_ns);
	int rc = begin_connect(session, conn, err);

	if (rc < 0)
		return rc;
	if (PQstatus(session->pg) == CONNECTION_BAD)
		status = PGRES_POLLING_FAILED;
	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
		enum wake wake = wait_socket(session,
		    status == PGRES_POLLING_READING ? POLLIN : POLLOUT, end_ns,
		    true);

		if (wake == WAKE_CANCEL)
			return say_cancelled(session, err);
		if (wake == WAKE_LATE)
			return say_late(session, "connect", limit_ns, err);
		status = step(session, conn);
	}
	if (status == PGRES_POLLING_OK) {
		session->version = PQserverVersion(session->pg);
		session->pid = PQbackendPID(session->pg);
		return 0;
	}
	return still_pg_refusal_connect(PQerrorMessage(session->pg),
	    PQconnectionNeedsPassword(session->pg), conn, session->shown,
	    session->state, err);
}

/* ---- a statement --------------------------------------------------------- */

static int say_lost(struct still_pg_session *session, const char *doing,
    struct still_error *err)
{
	char text[STILL_PG_REASON_MAX];

	session->gone = true;
	still_pg_refusal_reason(
	    PQerrorMessage(session->pg), text, session->state);
	return still_error_set(err, STILL_ERR_LOST, 0,
	    "The server itself ends what a lost connection had begun, the "
	    "backup and its slot: nothing is left there to clean up. See the "
	    "server's log, then try again.",
	    "server of `%s`: the connection was lost, trying to %s%s%s",
	    session->shown, doing, *text ? ": " : "", text);
}

/* Send what is left and read what is there; 1: the result is complete. */
static int pump(struct still_pg_session *session, int64_t end_ns, bool heed,
    enum wake *ret_wake)
{
	while (!PQconsumeInput(session->pg) ? 0 : PQisBusy(session->pg)) {
		int unsent = PQflush(session->pg);

		if (unsent < 0)
			break;
		*ret_wake = wait_socket(session,
		    (short) (unsent ? POLLIN | POLLOUT : POLLIN), end_ns, heed);
		if (*ret_wake != WAKE_READY)
			return 0;
	}
	return 1;
}

/* True: there is nothing left of the statement. */
static bool drain(struct still_pg_session *session, int64_t end_ns)
{
	enum wake wake;

	while (pump(session, end_ns, false, &wake)) {
		PGresult *result = PQgetResult(session->pg);

		if (!result)
			return true;
		PQclear(result);
		if (PQstatus(session->pg) == CONNECTION_BAD)
			break;
	}
	return false;
}

/* The statement ends, or the connection does. */
static void give_up(struct still_pg_session *session)
{
	int64_t end_ns = still_sys_monotonic_ns() + OBEY_NS;
	struct still_pg_cancel cancel;
	bool drained;

	session->gone = true;
	if (!still_pg_cancel_send(session->pg, &cancel))
		return;
	drained = drain(session, end_ns);
	session->gone = !still_pg_cancel_end(&cancel, end_ns) || !drained;
}

static int say_refused(struct still_pg_session *session, const char *doing,
    const PGresult *result, struct still_error *err)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	int rc;

	if (!state || !text || PQstatus(session->pg) == CONNECTION_BAD)
		return say_lost(session, doing, err);
	snprintf(session->state, sizeof(session->state), "%s", state);
	rc = still_pg_refusal_statement(
	    session->state, text, doing, session->shown, err);
	session->gone = rc == STILL_ERR_LOST;
	return rc;
}

/* All results of the statement; the last good one is kept. */
static int collect(struct still_pg_session *session, const char *doing,
    int64_t limit_ns, PGresult **ret, struct still_error *err)
{
	int64_t end_ns = deadline(limit_ns);
	PGresult *kept = NULL;
	int rc = 0;

	for (;;) {
		enum wake wake = WAKE_READY;
		PGresult *result;
		ExecStatusType status;

		if (!pump(session, end_ns, true, &wake)) {
			PQclear(kept);
			give_up(session);
			return wake == WAKE_CANCEL
			    ? say_cancelled(session, err)
			    : say_late(session, doing, limit_ns, err);
		}
		result = PQgetResult(session->pg);
		if (!result)
			break;
		status = PQresultStatus(result);
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK &&
		    rc == 0)
			rc = say_refused(session, doing, result, err);
		PQclear(kept);
		kept = result;
		/* Of a COPY there would be results without end. */
		if (session->gone || PQstatus(session->pg) == CONNECTION_BAD)
			break;
	}
	if (rc == 0 && (!kept || PQstatus(session->pg) == CONNECTION_BAD))
		rc = say_lost(session, doing, err);
	if (rc < 0)
		PQclear(kept);
	else
		*ret = kept;
	return rc;
}

int still_pg_session_query(struct still_pg_session *session, const char *doing,
    const char *sql, const char *const *args, size_t n_args, int64_t limit_ns,
    struct still_pg_rows *ret, struct still_error *err)
{
	PGresult *result = NULL;
	int rc;

	session->state[0] = '\0';
	if (session->gone)
		return say_lost(session, doing, err);
	if (cancelled(session))
		return say_cancelled(session, err);
	if (!PQsendQueryParams(
		session->pg, sql, (int) n_args, NULL, args, NULL, NULL, 0))
		return say_lost(session, doing, err);
	rc = collect(session, doing, limit_ns, &result, err);
	if (rc < 0)
		return rc;
	ret->n = (size_t) PQntuples(result);
	ret->n_columns = (size_t) PQnfields(result);
	ret->result = result;
	return 0;
}

const char *still_pg_rows_get(
    const struct still_pg_rows *rows, size_t row, size_t column)
{
	if (row >= rows->n || column >= rows->n_columns ||
	    PQgetisnull(rows->result, (int) row, (int) column))
		return NULL;
	return PQgetvalue(rows->result, (int) row, (int) column);
}

void still_pg_rows_release(struct still_pg_rows *rows)
{
	PQclear(rows->result);
	*rows = (struct still_pg_rows){0};
}

/* ---- the session --------------------------------------------------------- */

/* set_config() of a setting that the server does not have would fail: the
 * younger ones are asked for. */
static int settle(struct still_pg_session *session, struct still_error *err)
{
	static const char sql[] =
	    "SELECT pg_catalog.pg_backend_pid(), "
	    "pg_catalog.count(pg_catalog.set_config(s.name, v.value, false)) "
	    "FROM (VALUES ('statement_timeout', '0'), ('lock_timeout', '0'), "
	    "('idle_in_transaction_session_timeout', '0'), "
	    "('idle_session_timeout', '0'), ('transaction_timeout', '0'), "
	    "('client_min_messages', 'warning'), "
	    "('search_path', 'pg_catalog')) AS v(name, value) "
	    "JOIN pg_catalog.pg_settings AS s ON s.name = v.name";
	struct still_pg_rows rows;
	const char *name = PQparameterStatus(session->pg, "server_version");
	const char *pid;
	int rc;

	/* The console of pgbouncer, "1.18.0/bouncer", knows no SELECT. */
	if (name && strstr(name, "bouncer"))
		return still_pg_refuse_pooler(session->shown, err);
	rc = still_pg_session_query(session, "settle the session", sql, NULL, 0,
	    SETUP_LIMIT_NS, &rows, err);
	if (rc < 0)
		return rc;
	pid = still_pg_rows_get(&rows, 0, 0);
	if (!pid || atoi(pid) != session->pid)
		rc = still_pg_refuse_pooler(session->shown, err);
	still_pg_rows_release(&rows);
	return rc;
}

static int try_open(const struct still_pg_conn *conn, const atomic_bool *cancel,
    int64_t limit_ns, char state[6], struct still_pg_session **ret,
    struct still_error *err)
{
	struct still_pg_session *session = calloc(1, sizeof(*session));
	int rc;

	if (!session)
		return still_error_nomem(err);
	session->cancel = cancel;
	session->shown = strdup(conn->shown);
	if (!session->shown)
		rc = still_error_nomem(err);
	else
		rc = connect_server(session, conn, limit_ns, err);
	if (rc == 0 && PQsetnonblocking(session->pg, 1) != 0)
		rc = still_error_nomem(err);
	if (rc == 0)
		rc = settle(session, err);
	memcpy(state, session->state, sizeof(session->state));
	if (rc < 0) {
		still_pg_session_close(session);
		return rc;
	}
	*ret = session;
	return 0;
}

/* Somebody may have dropped "postgres"; "template1" nobody drops. */
static int try_template(const struct still_pg_conn *conn,
    const atomic_bool *cancel, int64_t limit_ns, struct still_pg_session **ret)
{
	struct still_pg_conn other = *conn;
	char template1[] = "template1";
	char state[6];

	for (size_t i = 0; i < other.n; i++)
		if (strcmp(other.keyword[i], "dbname") == 0)
			other.value[i] = template1;
	return try_open(&other, cancel, limit_ns, state, ret, NULL);
}

int still_pg_session_open(const struct still_pg_conn *conn,
    const atomic_bool *cancel, int64_t limit_ns, struct still_pg_session **ret,
    struct still_error *err)
{
	char state[6];
	int rc = try_open(conn, cancel, limit_ns, state, ret, err);

	if (rc == STILL_ERR_NOTFOUND && conn->any_database &&
	    strcmp(state, "3D000") == 0 &&
	    try_template(conn, cancel, limit_ns, ret) == 0) {
		still_error_clear(err);
		rc = 0;
	}
	return rc;
}

void still_pg_session_close(struct still_pg_session *session)
{
	if (!session)
		return;
	PQfinish(session->pg);
	free(session->shown);
	free(session);
}

const char *still_pg_session_state(const struct still_pg_session *session)
{
	return session->state;
}

int still_pg_session_alive(
    struct still_pg_session *session, struct still_error *err)
{
	struct pollfd poll_fd = {PQsocket(session->pg), POLLIN, 0};
	bool alive = !session->gone;

	/* Last words of the server first, then the end of the stream. */
	while (alive && poll(&poll_fd, 1, 0) > 0)
		alive = PQconsumeInput(session->pg);
	if (alive && PQstatus(session->pg) == CONNECTION_OK)
		return 0;
	return say_lost(session, "keep the backup open", err);
}

int still_pg_session_version(const struct still_pg_session *session)
{
	return session->version;
}

int still_pg_session_pid(const struct still_pg_session *session)
{
	return session->pid;
}

const char *still_pg_session_user(const struct still_pg_session *session)
{
	return PQuser(session->pg);
}

/* Without the port. */
static bool same_address(
    const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *) a)->sin_addr.s_addr ==
		    ((const struct sockaddr_in *) b)->sin_addr.s_addr;
	return a->ss_family == AF_INET6 &&
	    memcmp(&((const struct sockaddr_in6 *) a)->sin6_addr,
		&((const struct sockaddr_in6 *) b)->sin6_addr,
		sizeof(struct in6_addr)) == 0;
}

bool still_pg_session_is_local(const struct still_pg_session *session)
{
	struct sockaddr_storage near = {0};
	struct sockaddr_storage far = {0};
	socklen_t near_len = sizeof(near);
	socklen_t far_len = sizeof(far);
	int fd = PQsocket(session->pg);

	if (getsockname(fd, (struct sockaddr *) &near, &near_len) != 0 ||
	    getpeername(fd, (struct sockaddr *) &far, &far_len) != 0)
		return false;
	/* To one of its own addresses a host goes from that address; loopback
	 * is one of them. */
	return far.ss_family == AF_UNIX || same_address(&near, &far);
}
