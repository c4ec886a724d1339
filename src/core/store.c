/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/statedir.h"

#define BUSY_WAIT_MS 2

/* A number that is 0 has not happened yet, or is not known. */
static const char schema[] =
    "CREATE TABLE instance("
    " id INTEGER PRIMARY KEY,"
    " engine TEXT NOT NULL,"
    " source BLOB NOT NULL,"
    " UNIQUE(engine, source)"
    ") STRICT;"
    "CREATE TABLE session("
    " seq INTEGER PRIMARY KEY," /* rises over all instances */
    " id TEXT NOT NULL UNIQUE,"
    " instance INTEGER NOT NULL,"
    " number INTEGER NOT NULL," /* rises by 1 within an instance */
    " kind TEXT NOT NULL,"      /* full, copy, incremental */
    " place BLOB,"
    " state TEXT NOT NULL," /* preparing, serving, ended */
    " outcome INTEGER NOT NULL DEFAULT 0,"
    " outcome_text TEXT NOT NULL DEFAULT 'none',"
    " begun_at_ns INTEGER NOT NULL,"
    " frozen_at_ns INTEGER NOT NULL DEFAULT 0,"
    " sealed INTEGER NOT NULL DEFAULT 0," /* all digests are there */
    " ended_at_ns INTEGER NOT NULL DEFAULT 0,"
    " committed_at_ns INTEGER NOT NULL DEFAULT 0,"
    " databases INTEGER NOT NULL DEFAULT 0,"
    " databases_json TEXT,"
    " files INTEGER NOT NULL DEFAULT 0,"
    " files_whole INTEGER NOT NULL DEFAULT 0,"
    " files_known INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0,"
    " bytes_served INTEGER NOT NULL DEFAULT 0,"
    " n_damaged INTEGER NOT NULL DEFAULT 0,"
    " verified TEXT,"
    " cut TEXT,"
    " error BLOB,"
    " hint BLOB,"
    " seal_xxh128 BLOB," /* of verify/XXH128SUMS */
    " base TEXT,"        /* id of the session that it builds on */
    " chain TEXT,"       /* id of the full one of its chain; NULL: in none */
    " link INTEGER NOT NULL DEFAULT 0,"
    " note TEXT," /* the engine's, JSON */
    " forced INTEGER NOT NULL DEFAULT 0,"
    " truncated INTEGER NOT NULL DEFAULT 0," /* by us: 1, elsewhere: 2 */
    " truncated_range BLOB,"
    " UNIQUE(instance, number)"
    ") STRICT;"
    "CREATE TABLE file("
    " session INTEGER NOT NULL," /* its seq */
    " path BLOB NOT NULL,"
    " size_bytes INTEGER NOT NULL,"
    " identity TEXT,"
    " time_s INTEGER NOT NULL,"
    " xxh128 BLOB,"
    " PRIMARY KEY(session, path)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE path("
    " instance INTEGER NOT NULL,"
    " path BLOB NOT NULL,"
    " identity TEXT,"
    " time_s INTEGER NOT NULL,"
    " shown_at_s INTEGER NOT NULL,"
    " PRIMARY KEY(instance, path)"
    ") STRICT, WITHOUT ROWID;";

/* From version 1, which knew no chains. Nothing can build on its sessions: what
 * their seals were, nobody knows. */
static const char from_1[] =
    "ALTER TABLE session ADD COLUMN seal_xxh128 BLOB;"
    "ALTER TABLE session ADD COLUMN base TEXT;"
    "ALTER TABLE session ADD COLUMN chain TEXT;"
    "ALTER TABLE session ADD COLUMN link INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE session ADD COLUMN note TEXT;"
    "ALTER TABLE session ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE session ADD COLUMN truncated INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE session ADD COLUMN truncated_range BLOB;"
    "UPDATE session SET chain=id WHERE kind='full';";

static const char damaged_hint[] =
    "Move it away (`mv`), and stillfs begins a new one. What is lost is the "
    "list of past sessions and what is known of their files: the next backup "
    "reads everything. No database and no copy is harmed.";

/* ---- errors -------------------------------------------------------------- */

int still_store_damaged(
    struct still_catalog *catalog, const char *what, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0, damaged_hint,
	    "catalog `%s`: %s", catalog->file, what);
}

int still_store_failed(
    struct still_catalog *catalog, int rc, struct still_error *err)
{
	const char *text = sqlite3_errstr(rc);
	int sys_errno = sqlite3_system_errno(catalog->conn);

	/* Nobody would find what is written there from now on. */
	if (rc == SQLITE_READONLY_DBMOVED)
		return still_error_set(err, STILL_ERR_IO, 0,
		    "Unmount, and mount again.",
		    "catalog `%s`: was moved, removed or replaced while it was "
		    "open",
		    catalog->file);
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return still_error_set(err, STILL_ERR_BUSY, EBUSY,
		    "Try again; `fuser -v` on the file tells who has it.",
		    "catalog `%s`: another process has been writing to it for "
		    "%g seconds",
		    catalog->file, catalog->busy_ms / 1000.0);
	/* Our own words are right, so it is the schema that is not. */
	case SQLITE_ERROR:
		return still_store_damaged(
		    catalog, sqlite3_errmsg(catalog->conn), err);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return still_store_damaged(catalog, text, err);
	case SQLITE_FULL:
		return still_error_set(err, STILL_ERR_NOSPACE, ENOSPC,
		    "Make room there, or name another directory with `state=`.",
		    "catalog `%s`: the disk is full", catalog->file);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return still_error_set(err, STILL_ERR_ACCESS,
		    sys_errno ? sys_errno : EACCES,
		    "The user who runs stillfs must be able to write to the "
		    "state directory; or name another one with `state=`.",
		    "catalog `%s`: cannot be opened or written to (%s)",
		    catalog->file, text);
	case SQLITE_NOMEM:
		return still_error_nomem(err);
	default:
		return still_error_set(err, STILL_ERR_IO, sys_errno,
		    "Look into the system's log for errors of the disk.",
		    "catalog `%s`: %s", catalog->file,
		    sqlite3_extended_errcode(catalog->conn) == rc
			? sqlite3_errmsg(catalog->conn)
			: text);
	}
}

/* ---- statements ---------------------------------------------------------- */

int still_store_prepare(struct still_catalog *catalog, const char *sql,
    sqlite3_stmt **ret, struct still_error *err)
{
	int rc = sqlite3_prepare_v2(catalog->conn, sql, -1, ret, NULL);

	return rc == SQLITE_OK ? 0 : still_store_failed(catalog, rc, err);
}

int still_store_step(
    struct still_catalog *catalog, sqlite3_stmt *stmt, struct still_error *err)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	return still_store_failed(catalog, rc, err);
}

void still_store_bind_bytes(sqlite3_stmt *stmt, int i, const char *text)
{
	if (text)
		sqlite3_bind_blob(
		    stmt, i, text, (int) strlen(text), SQLITE_STATIC);
	else
		sqlite3_bind_null(stmt, i);
}

bool still_store_column(sqlite3_stmt *stmt, int i, char **ret)
{
	const void *data;
	size_t len;

	*ret = NULL;
	if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
		return true;
	data = sqlite3_column_blob(stmt, i);
	len = (size_t) sqlite3_column_bytes(stmt, i);
	*ret = len == 0 ? strdup("") : data ? strndup(data, len) : NULL;
	return *ret;
}

static int bind_all(sqlite3_stmt *stmt, const char *types, va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; rc == SQLITE_OK && types[i - 1]; i++) {
		const char *text;

		if (types[i - 1] == 'i') {
			rc = sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
			continue;
		}
		text = va_arg(ap, const char *);
		if (types[i - 1] == 't')
			rc = sqlite3_bind_text(
			    stmt, i, text, -1, SQLITE_STATIC);
		else
			still_store_bind_bytes(stmt, i, text);
	}
	return rc;
}

/* A statement with its arguments, before its first step. */
static int prepare_v(struct still_catalog *catalog, sqlite3_stmt **ret,
    struct still_error *err, const char *sql, const char *types, va_list ap)
{
	int rc = still_store_prepare(catalog, sql, ret, err);
	int sqlite_rc;

	if (rc < 0)
		return rc;
	sqlite_rc = bind_all(*ret, types, ap);
	if (sqlite_rc == SQLITE_OK)
		return 0;
	sqlite3_finalize(*ret);
	return still_store_failed(catalog, sqlite_rc, err);
}

int still_store_run(struct still_catalog *catalog, struct still_error *err,
    const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = prepare_v(catalog, &stmt, err, sql, types, ap);
	va_end(ap);
	if (rc < 0)
		return rc;
	while (rc = still_store_step(catalog, stmt, err), rc > 0)
		;
	sqlite3_finalize(stmt);
	return rc;
}

int still_store_number(struct still_catalog *catalog, int64_t *ret,
    struct still_error *err, const char *sql, const char *types, ...)
{
	sqlite3_stmt *stmt;
	va_list ap;
	int rc;

	va_start(ap, types);
	rc = prepare_v(catalog, &stmt, err, sql, types, ap);
	va_end(ap);
	if (rc < 0)
		return rc;
	rc = still_store_step(catalog, stmt, err);
	if (rc >= 0)
		*ret = rc > 0 ? sqlite3_column_int64(stmt, 0) : 0;
	sqlite3_finalize(stmt);
	return rc < 0 ? rc : 0;
}

/* ---- transactions -------------------------------------------------------- */

static int exec(
    struct still_catalog *catalog, const char *sql, struct still_error *err)
{
	int rc = sqlite3_exec(catalog->conn, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : still_store_failed(catalog, rc, err);
}

int still_store_begin(
    struct still_catalog *catalog, bool write, struct still_error *err)
{
	int rc;

	pthread_mutex_lock(&catalog->lock);
	rc = exec(catalog, write ? "BEGIN IMMEDIATE" : "BEGIN", err);
	if (rc < 0)
		pthread_mutex_unlock(&catalog->lock);
	return rc;
}

int still_store_finish(
    struct still_catalog *catalog, int rc, struct still_error *err)
{
	if (rc == 0)
		rc = exec(catalog, "COMMIT", err);
	/* After some errors SQLite has done so itself. */
	if (rc < 0 && !sqlite3_get_autocommit(catalog->conn))
		sqlite3_exec(catalog->conn, "ROLLBACK", NULL, NULL, NULL);
	pthread_mutex_unlock(&catalog->lock);
	return rc;
}

/* ---- opening ------------------------------------------------------------- */

/* The engine of that name opens thousands of connections, and asks for the same
 * before its first one; after ours it would be too late. */
static void be_frugal(void)
{
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
}

/* SQLite's own handler sleeps for up to 100 ms at a time: beside two who write
 * without a pause, a reader might not find the gap. */
static int wait_for_lock(void *arg, int n_waits)
{
	const struct still_catalog *catalog = arg;

	if (n_waits * BUSY_WAIT_MS >= catalog->busy_ms)
		return 0;
	still_sys_sleep_ns(BUSY_WAIT_MS * INT64_C(1000000));
	return 1;
}

static int connect_store(
    struct still_catalog *catalog, bool create, struct still_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int rc;

	pthread_once(&once, be_frugal);
	catalog->busy_ms = STILL_STORE_BUSY_MS;
	/* In the default VFS, so that a test can put its own there. */
	rc = sqlite3_open_v2(catalog->file, &catalog->conn,
	    SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0) |
		SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_NOFOLLOW,
	    NULL);
	if (rc != SQLITE_OK)
		return still_store_failed(catalog, rc, err);
	sqlite3_extended_result_codes(catalog->conn, 1);
	sqlite3_busy_handler(catalog->conn, wait_for_lock, catalog);
	sqlite3_db_config(catalog->conn, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(
	    catalog->conn, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return exec(catalog,
	    "PRAGMA journal_mode=DELETE;"
	    "PRAGMA synchronous=EXTRA;"
	    "PRAGMA cache_spill=OFF;"
	    "PRAGMA cell_size_check=ON;"
	    "PRAGMA mmap_size=0",
	    err);
}

/* Of what was written there. */
struct marks {
	int64_t application_id;
	int64_t version;
	int64_t tables;
};

static int read_marks(
    struct still_catalog *catalog, struct marks *ret, struct still_error *err)
{
	int rc = still_store_number(
	    catalog, &ret->application_id, err, "PRAGMA application_id", "");

	if (rc == 0)
		rc = still_store_number(
		    catalog, &ret->version, err, "PRAGMA user_version", "");
	if (rc == 0)
		rc = still_store_number(catalog, &ret->tables, err,
		    "SELECT count(*) FROM sqlite_schema", "");
	return rc;
}

/* In one transaction: somebody else may be making it. */
static int look(
    struct still_catalog *catalog, struct marks *ret, struct still_error *err)
{
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = read_marks(catalog, ret, err);
	return still_store_finish(catalog, rc, err);
}

static bool is_new(const struct marks *marks)
{
	return marks->application_id == 0 && marks->version == 0 &&
	    marks->tables == 0;
}

static int check_marks(struct still_catalog *catalog, const struct marks *marks,
    struct still_error *err)
{
	if (marks->application_id != STILL_STORE_APPLICATION_ID)
		return still_store_damaged(
		    catalog, "is a database, but no catalog of stillfs", err);
	if (marks->version > STILL_STORE_VERSION)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Use that version, or name another directory with "
		    "`state=`.",
		    "catalog `%s`: was written by a newer stillfs (format "
		    "%lld)",
		    catalog->file, (long long) marks->version);
	if (marks->version != STILL_STORE_VERSION)
		return still_store_damaged(
		    catalog, "has a format that never was", err);
	return 0;
}

static int mark(struct still_catalog *catalog, struct still_error *err)
{
	char sql[96];

	sqlite3_snprintf(sizeof(sql), sql,
	    "PRAGMA application_id=%d; PRAGMA user_version=%d",
	    STILL_STORE_APPLICATION_ID, STILL_STORE_VERSION);
	return exec(catalog, sql, err);
}

static bool is_from_1(const struct marks *marks)
{
	return marks->application_id == STILL_STORE_APPLICATION_ID &&
	    marks->version == 1;
}

/* Whoever has it open goes on: what it knows of is still there. */
static int bring_forward(struct still_catalog *catalog, struct still_error *err)
{
	struct marks marks;
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	rc = read_marks(catalog, &marks, err);
	if (rc == 0 && is_from_1(&marks)) {
		rc = exec(catalog, from_1, err);
		if (rc == 0)
			rc = mark(catalog, err);
	}
	return still_store_finish(catalog, rc, err);
}

/* Somebody else may make it at the same time: under the write lock the first
 * one does. */
static int make_tables(struct still_catalog *catalog, struct still_error *err)
{
	struct marks marks;
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	rc = read_marks(catalog, &marks, err);
	if (rc == 0 && is_new(&marks))
		rc = exec(catalog, schema, err);
	if (rc == 0 && is_new(&marks))
		rc = mark(catalog, err);
	rc = still_store_finish(catalog, rc, err);
	/* Journals get the mode of their database. */
	if (rc == 0 && fchmodat(catalog->dirfd, STILL_STORE_NAME, 0600, 0) != 0)
		rc = still_statedir_failed(
		    errno, "catalog", catalog->file, err);
	return rc;
}

static int check_file(
    struct still_catalog *catalog, bool create, struct still_error *err)
{
	struct stat st;

	if (fstatat(catalog->dirfd, STILL_STORE_NAME, &st,
		AT_SYMLINK_NOFOLLOW) != 0) {
		if (errno == ENOENT && create)
			return 0;
		return still_statedir_failed(
		    errno, "catalog", catalog->file, err);
	}
	if (!S_ISREG(st.st_mode))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Move it away, or name another directory with `state=`.",
		    "catalog `%s`: is no file", catalog->file);
	return 0;
}

int still_store_open(
    struct still_catalog *catalog, bool create, struct still_error *err)
{
	struct marks marks;
	int rc;

	catalog->file = still_path_join(catalog->dir, STILL_STORE_NAME);
	if (!catalog->file)
		return still_error_nomem(err);
	rc = check_file(catalog, create, err);
	if (rc == 0)
		rc = connect_store(catalog, create, err);
	if (rc == 0)
		rc = look(catalog, &marks, err);
	if (rc == 0 && is_new(&marks)) {
		/* Whoever made the file has not come far. */
		if (!create)
			return still_statedir_failed(
			    ENOENT, "catalog", catalog->file, err);
		rc = make_tables(catalog, err);
		if (rc == 0)
			rc = look(catalog, &marks, err);
	}
	if (rc == 0 && is_from_1(&marks)) {
		rc = bring_forward(catalog, err);
		if (rc == 0)
			rc = look(catalog, &marks, err);
	}
	if (rc == 0)
		rc = check_marks(catalog, &marks, err);
	/* Are all of them there? */
	if (rc == 0)
		rc = still_store_run(catalog, err,
		    "SELECT 1 FROM instance, session, file, path LIMIT 0", "");
	return rc;
}

void still_store_close(struct still_catalog *catalog)
{
	sqlite3_close(catalog->conn);
	free(catalog->file);
	catalog->conn = NULL;
	catalog->file = NULL;
}
