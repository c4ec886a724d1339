/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/handle.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/sys.h"

#define BUSY_WAIT_MS 5
#define HOT_TRIES 4
#define HOT_PAUSE_NS (3 * 1000 * 1000)

/* Is what we were to open still what lies at its path? */
static bool is_in_place(const struct sqlite_target *target)
{
	struct stat st;

	return stat(target->path, &st) == 0 && st.st_ino == target->st.st_ino &&
	    st.st_dev == target->st.st_dev;
}

static int sqlite_failed(const struct sqlite_target *target, sqlite3 *conn,
    int rc, struct still_error *err)
{
	const char *rel = target->rel;
	const char *text = conn ? sqlite3_errmsg(conn) : sqlite3_errstr(rc);

	if (rc == SQLITE_READONLY_ROLLBACK)
		return still_error_set(err, STILL_ERR_AGAIN, 0,
		    "Let its application open it once; stillfs never rolls "
		    "back somebody else's transaction.",
		    "database `%s`: needs recovery by its application (hot "
		    "journal)",
		    rel);
	if ((rc & 0xff) == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_IOERR) {
		int sys_errno = conn ? sqlite3_system_errno(conn) : 0;

		if (sys_errno == EMFILE || sys_errno == ENFILE)
			return still_error_set(err, STILL_ERR_IO, sys_errno,
			    "Raise the hard limit (ulimit -Hn, LimitNOFILE=), "
			    "or name fewer databases.",
			    "database `%s`: too many open files", rel);
		/* Removed since it was found, log and all; or only its log is
		 * missing, and cannot be made. */
		if (sys_errno == ENOENT && !is_in_place(target))
			return still_error_set(err, STILL_ERR_NOTFOUND,
			    sys_errno, NULL,
			    "database `%s`: was removed while it was opened",
			    rel);
	}
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return still_error_set(err, STILL_ERR_BUSY, 0,
		    "An application with locking_mode=EXCLUSIVE shares its "
		    "database with nobody; otherwise try again.",
		    "database `%s`: is locked by its application", rel);
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return still_error_set(err, STILL_ERR_ACCESS, EACCES,
		    "The user who runs stillfs must be able to read the "
		    "database and its -wal, and to write its -shm file (or "
		    "the directory, while nobody has the database open).",
		    "database `%s`: cannot be opened (%s)", rel, text);
	case SQLITE_NOTADB:
		/* Discovery saw a good header in the file, so it is the log
		 * that has another one, or the file has changed since. */
		return still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "Check the database with `PRAGMA integrity_check`.",
		    "page 1 of `%s`: has no valid header", rel);
	case SQLITE_CORRUPT:
		return still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "Check the database with `PRAGMA integrity_check`; its "
		    "file may be shorter than its header says.",
		    "database `%s`: is malformed", rel);
	case SQLITE_NOMEM:
		return still_error_nomem(err);
	default:
		return still_error_set(
		    err, STILL_ERR_IO, 0, NULL, "database `%s`: %s", rel, text);
	}
}

/* SQLite's own timeout could not be given up when the freeze is. */
static int wait_for_lock(void *arg, int n_waits)
{
	const struct sqlite_target *target = arg;

	if (atomic_load(target->cancel) ||
	    n_waits * BUSY_WAIT_MS >= target->busy_ms)
		return 0;
	still_sys_sleep_ns(BUSY_WAIT_MS * INT64_C(1000000));
	return 1;
}

/* Thousands of connections that read one page each: without this a fresh one
 * takes 100 KiB, for pages and small objects that it will never have. Of no
 * effect, and no harm, when the process has used SQLite before. */
static void be_frugal(void)
{
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
}

void sqlite_handle_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, be_frugal);
}

static int open_connection(struct sqlite_handle *handle,
    const struct sqlite_target *target, int access, struct still_error *err)
{
	sqlite3 *conn = NULL;
	int moved = 0;
	int rc;

	/* Named, so that no default VFS of the environment slips in between
	 * our descriptors and SQLite's. */
	rc = sqlite3_open_v2(
	    target->path, &conn, access | SQLITE_OPEN_NOMUTEX, "unix");
	handle->conn = conn;
	if (rc != SQLITE_OK)
		return sqlite_failed(target, conn, rc, err);
	sqlite3_extended_result_codes(conn, 1);
	sqlite3_db_config(conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_busy_handler(conn, wait_for_lock, (void *) target);
	sqlite3_wal_autocheckpoint(conn, 0);
	rc = sqlite3_exec(conn, "PRAGMA mmap_size=0", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_file_control(
		    conn, "main", SQLITE_FCNTL_FILE_POINTER, &handle->file);
	if (rc == SQLITE_OK)
		rc = sqlite3_file_control(
		    conn, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	if (rc != SQLITE_OK)
		return sqlite_failed(target, conn, rc, err);
	/* Our descriptor and SQLite's must be the same file: SQLite's is the
	 * one at the path (it has not moved), and so is ours. */
	if (moved || !is_in_place(target))
		return still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    "Somebody put another file in its place; try again.",
		    "database `%s`: was replaced while it was opened",
		    target->rel);
	return 0;
}

void sqlite_handle_end(struct sqlite_handle *handle)
{
	if (handle->in_transaction)
		sqlite3_exec(handle->conn, "ROLLBACK", NULL, NULL, NULL);
	handle->in_transaction = false;
}

void sqlite_handle_close(struct sqlite_handle *handle)
{
	sqlite_handle_end(handle);
	sqlite3_close(handle->conn);
	memset(handle, 0, sizeof(*handle));
}

int sqlite_handle_begin(struct sqlite_handle *handle,
    const struct sqlite_target *target, struct still_error *err)
{
	sqlite3_file *log = NULL;
	int rc;

	/* user_version is in page 1: read without parsing the schema. A BEGIN
	 * that succeeds is ours to end even if the read behind it fails. */
	handle->in_transaction = true;
	rc = sqlite3_exec(
	    handle->conn, "BEGIN; PRAGMA user_version", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return sqlite_failed(target, handle->conn, rc, err);
	rc = sqlite3_file_control(
	    handle->conn, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (rc != SQLITE_OK)
		return sqlite_failed(target, handle->conn, rc, err);
	handle->log = log && log->pMethods ? SQLITE_LOG_WAL
					   : SQLITE_LOG_ROLLBACK;
	return 0;
}

/* A journal that its writer removed between SQLite's two looks is taken for a
 * hot one (SQLite's ticket 3883). */
static int begin_first(struct sqlite_handle *handle,
    const struct sqlite_target *target, struct still_error *err)
{
	int rc = sqlite_handle_begin(handle, target, err);

	for (int i = 1; rc == STILL_ERR_AGAIN && i < HOT_TRIES; i++) {
		sqlite_handle_end(handle);
		still_error_clear(err);
		still_sys_sleep_ns(HOT_PAUSE_NS);
		rc = sqlite_handle_begin(handle, target, err);
	}
	return rc;
}

static int open_and_read(struct sqlite_handle *handle,
    const struct sqlite_target *target, int access, struct still_error *err)
{
	int rc = open_connection(handle, target, access, err);

	if (rc == 0)
		rc = begin_first(handle, target, err);
	sqlite_handle_end(handle);
	/* What it read is not needed again. */
	if (handle->conn)
		sqlite3_db_release_memory(handle->conn);
	return rc;
}

int sqlite_handle_open(struct sqlite_handle *handle,
    const struct sqlite_target *target, struct still_error *err)
{
	return open_and_read(handle, target, SQLITE_OPEN_READONLY, err);
}

int sqlite_handle_open_writable(struct sqlite_handle *handle,
    const struct sqlite_target *target, struct still_error *err)
{
	int rc = open_and_read(handle, target, SQLITE_OPEN_READWRITE, err);

	/* SQLite opens for reading what it may not write. */
	if (rc == 0 && sqlite3_db_readonly(handle->conn, "main") != 0)
		return still_error_set(err, STILL_ERR_ACCESS, EACCES,
		    "The user who runs stillfs must be able to write the "
		    "database; or leave out `assist`.",
		    "database `%s`: cannot be written, so it cannot be "
		    "checkpointed",
		    target->rel);
	return rc;
}
