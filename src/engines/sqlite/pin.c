/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/sqlite/discover.h"

#define OPTIMISTIC_TRIES 50
#define BUSY_TIMEOUT_MS 2000
#define BUSY_WAIT_MS 5
#define BACKOFF_FIRST_NS 50000
#define BACKOFF_LAST_NS (3200 * 1000)

enum verdict {
	FROZEN,
	MOVED
};

/* ---- the wal-index ---------------------------------------------------- */

static uint32_t index_load(const struct sqlite_pin *pin, size_t byte_offset)
{
	return __atomic_load_n(pin->index + byte_offset / 4, __ATOMIC_ACQUIRE);
}

static void index_copy_header(
    const struct sqlite_pin *pin, int copy, struct sqlite_index_header *ret)
{
	uint32_t words[sizeof(*ret) / 4];

	for (size_t i = 0; i < sizeof(*ret) / 4; i++)
		words[i] = __atomic_load_n(
		    pin->index + (size_t) copy * sizeof(*ret) / 4 + i,
		    __ATOMIC_RELAXED);
	memcpy(ret, words, sizeof(*ret));
}

/* A whole header, or false when a writer is at it. Writers write copy 1 first,
 * so copy 0 is read first. */
static bool index_header(
    const struct sqlite_pin *pin, struct sqlite_index_header *ret)
{
	struct sqlite_index_header second;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	index_copy_header(pin, 0, ret);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	index_copy_header(pin, 1, &second);
	return memcmp(ret, &second, sizeof(second)) == 0 &&
	    sqlite_index_header_valid(ret);
}

static bool header_is_still(const struct sqlite_pin *pin)
{
	struct sqlite_index_header now;

	return index_header(pin, &now) &&
	    memcmp(&now, &pin->header, sizeof(now)) == 0;
}

static uint32_t read_mark(const struct sqlite_pin *pin, int slot)
{
	return index_load(
	    pin, offsetof(struct sqlite_index, read_mark) + 4 * (size_t) slot);
}

static int shm_lock(struct sqlite_pin *pin, int which, int flags)
{
	sqlite3_file *file = pin->carrier.file;

	return file->pMethods->xShmLock(file, which, 1, flags);
}

static bool lock_slot(struct sqlite_pin *pin, int slot, int mode)
{
	return shm_lock(pin, SQLITE_LOCK_READ(slot), SQLITE_SHM_LOCK | mode) ==
	    SQLITE_OK;
}

static void unlock_slot(struct sqlite_pin *pin, int slot, int mode)
{
	shm_lock(pin, SQLITE_LOCK_READ(slot), SQLITE_SHM_UNLOCK | mode);
}

/* ---- SQLite's errors, in our words ------------------------------------- */

static int sqlite_failed(const struct sqlite_pin *pin, sqlite3 *conn, int rc,
    struct still_error *err)
{
	const char *rel = pin->rel;
	const char *text = conn ? sqlite3_errmsg(conn) : sqlite3_errstr(rc);

	if (rc == SQLITE_READONLY_ROLLBACK)
		return still_error_set(err, STILL_ERR_AGAIN, 0,
		    "Let its application open it once; stillfs never rolls "
		    "back somebody else's transaction.",
		    "database `%s`: needs recovery by its application (hot "
		    "journal)",
		    rel);
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
		 * that has another one. */
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

/* ---- opening ----------------------------------------------------------- */

/* SQLite's own timeout could not be given up when the freeze is. */
static int wait_for_lock(void *arg, int n_waits)
{
	const struct sqlite_pin *pin = arg;

	if (atomic_load(pin->cancel) || n_waits * BUSY_WAIT_MS >= pin->busy_ms)
		return 0;
	still_sys_sleep_ns(BUSY_WAIT_MS * INT64_C(1000000));
	return 1;
}

static int open_handle(struct sqlite_pin *pin, struct sqlite_handle *handle,
    struct still_error *err)
{
	sqlite3 *conn = NULL;
	int moved = 0;
	struct stat st;
	int rc;

	/* Named, so that no default VFS of the environment slips in between
	 * our descriptors and SQLite's. */
	rc = sqlite3_open_v2(pin->path, &conn,
	    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, "unix");
	handle->conn = conn;
	if (rc != SQLITE_OK)
		return sqlite_failed(pin, conn, rc, err);
	sqlite3_extended_result_codes(conn, 1);
	sqlite3_db_config(conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(conn, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
	sqlite3_busy_handler(conn, wait_for_lock, pin);
	sqlite3_wal_autocheckpoint(conn, 0);
	rc = sqlite3_exec(conn, "PRAGMA mmap_size=0", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_file_control(
		    conn, "main", SQLITE_FCNTL_FILE_POINTER, &handle->file);
	if (rc == SQLITE_OK)
		rc = sqlite3_file_control(
		    conn, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	if (rc != SQLITE_OK)
		return sqlite_failed(pin, conn, rc, err);
	/* Our descriptor and SQLite's must be the same file: SQLite's is the
	 * one at the path (it has not moved), and so is ours. */
	if (moved || stat(pin->path, &st) != 0 ||
	    st.st_ino != pin->db_st.st_ino || st.st_dev != pin->db_st.st_dev)
		return still_error_set(err, STILL_ERR_AGAIN, 0,
		    "Somebody put another file in its place; try again.",
		    "database `%s`: was replaced while it was opened",
		    pin->rel);
	return 0;
}

static void end_transaction(struct sqlite_handle *handle)
{
	if (handle->in_transaction)
		sqlite3_exec(handle->conn, "ROLLBACK", NULL, NULL, NULL);
	handle->in_transaction = false;
}

static void close_handle(struct sqlite_handle *handle)
{
	end_transaction(handle);
	sqlite3_close(handle->conn);
	memset(handle, 0, sizeof(*handle));
}

static int begin(const struct sqlite_pin *pin, struct sqlite_handle *handle,
    struct still_error *err)
{
	sqlite3_file *log = NULL;
	int rc;

	/* user_version is in page 1: read without parsing the schema. A BEGIN
	 * that succeeds is ours to end even if the read behind it fails. */
	handle->in_transaction = true;
	rc = sqlite3_exec(
	    handle->conn, "BEGIN; PRAGMA user_version", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return sqlite_failed(pin, handle->conn, rc, err);
	/* The mode is certain only inside the transaction. */
	rc = sqlite3_file_control(
	    handle->conn, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (rc != SQLITE_OK)
		return sqlite_failed(pin, handle->conn, rc, err);
	if (!log || !log->pMethods)
		return sqlite_error_rollback(err, pin->rel);
	return 0;
}

/* Open a handle, and let a first read open the log and map the index. */
static int open_prepared(struct sqlite_pin *pin, struct sqlite_handle *handle,
    struct still_error *err)
{
	int rc = open_handle(pin, handle, err);

	if (rc == 0)
		rc = begin(pin, handle, err);
	end_transaction(handle);
	return rc;
}

static int sidecar_stat(
    int root_fd, const char *rel, const char *suffix, struct stat *ret)
{
	char path[4096 + 8];

	if (strlen(rel) > 4096)
		return -ENAMETOOLONG;
	stpcpy(stpcpy(path, rel), suffix);
	return fstatat(root_fd, path, ret, AT_SYMLINK_NOFOLLOW) == 0 ? 0
								     : -errno;
}

/* A -shm that we may only read is mapped all the same, and says so. */
static bool maps(int rc, void volatile *block)
{
	return (rc == SQLITE_OK || rc == SQLITE_READONLY) && block;
}

static int map_index(
    struct sqlite_pin *pin, int root_fd, struct still_error *err)
{
	sqlite3_file *file = pin->reader.file;
	void volatile *block = NULL;
	int rc;

	rc = file->pMethods->xShmMap(
	    file, 0, SQLITE_INDEX_BLOCK_BYTES, 0, &block);
	if (!maps(rc, block))
		return still_error_set(err, STILL_ERR_ACCESS, EACCES,
		    "The user who runs stillfs must be able to write the -shm "
		    "file, or an application must have the database open.",
		    "database `%s`: its wal-index cannot be shared", pin->rel);
	pin->index = block;
	rc = sidecar_stat(root_fd, pin->rel, "-shm", &pin->shm_st);
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s-shm`", pin->rel);
	return 0;
}

/* ---- freezing ---------------------------------------------------------- */

/* Lock `slot` and keep it if rule 5 holds: mark `mark`, header unmoved. */
static enum verdict settle(struct sqlite_pin *pin, int slot, uint32_t mark)
{
	if (!lock_slot(pin, slot, SQLITE_SHM_SHARED))
		return MOVED;
	if (read_mark(pin, slot) == mark && header_is_still(pin)) {
		pin->slot = slot;
		pin->slot_mark = mark;
		return FROZEN;
	}
	unlock_slot(pin, slot, SQLITE_SHM_SHARED);
	return MOVED;
}

/* Set a mark in a slot that nobody uses. A -shm that we may not write refuses
 * the exclusive lock, so it is never written. */
static bool set_mark(struct sqlite_pin *pin, int slot, uint32_t mark)
{
	if (!lock_slot(pin, slot, SQLITE_SHM_EXCLUSIVE))
		return false;
	__atomic_store_n(
	    pin->index + (offsetof(struct sqlite_index, read_mark) / 4) + slot,
	    mark, __ATOMIC_SEQ_CST);
	unlock_slot(pin, slot, SQLITE_SHM_EXCLUSIVE);
	return true;
}

/* Rules 5 and 6. FROZEN with slot == -1: no slot is to be had, lock 0 stays. */
static enum verdict take_slot(struct sqlite_pin *pin)
{
	const uint32_t want = pin->header.max_frame;
	uint32_t best_mark = 0;
	int best = -1;

	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++)
		if (read_mark(pin, slot) == want &&
		    settle(pin, slot, want) == FROZEN)
			return FROZEN;
	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++)
		if (set_mark(pin, slot, want) &&
		    settle(pin, slot, want) == FROZEN)
			return FROZEN;
	if (!header_is_still(pin))
		return MOVED;
	for (int slot = 1; slot < SQLITE_INDEX_READERS; slot++) {
		uint32_t mark = read_mark(pin, slot);

		if (mark <= want && mark >= best_mark) {
			best = slot;
			best_mark = mark;
		}
	}
	if (best >= 0 && settle(pin, best, best_mark) == FROZEN)
		return FROZEN;
	return header_is_still(pin) ? FROZEN : MOVED;
}

static int promote(
    struct sqlite_pin *pin, enum verdict *ret_verdict, struct still_error *err)
{
	int rc = 0;

	if (!pin->carrier.file)
		rc = open_prepared(pin, &pin->carrier, err);
	if (rc == 0)
		*ret_verdict = take_slot(pin);
	return rc;
}

/* Steps 1-6, once. */
static int attempt(
    struct sqlite_pin *pin, enum verdict *ret_verdict, struct still_error *err)
{
	struct sqlite_index_header before;
	bool whole = index_header(pin, &before);
	int rc = begin(pin, &pin->reader, err);

	pin->tries++;
	*ret_verdict = MOVED;
	if (rc < 0)
		return rc;
	pin->backfill = index_load(
	    pin, offsetof(struct sqlite_index, backfill));
	pin->frozen_at_ns = still_sys_now_ns();
	if (whole && index_header(pin, &pin->header) &&
	    memcmp(&before, &pin->header, sizeof(before)) == 0 &&
	    pin->backfill <= pin->header.max_frame) {
		*ret_verdict = FROZEN;
		if (pin->backfill == pin->header.max_frame)
			rc = promote(pin, ret_verdict, err);
	}
	if (rc < 0 || *ret_verdict == MOVED || pin->slot >= 0)
		end_transaction(&pin->reader);
	return rc;
}

/* Hold the writers off for one attempt; they wait in their busy handlers. */
static int attempt_alone(
    struct sqlite_pin *pin, enum verdict *ret_verdict, struct still_error *err)
{
	int rc = 0;

	*ret_verdict = MOVED;
	if (!pin->carrier.file)
		rc = open_prepared(pin, &pin->carrier, err);
	if (rc < 0 ||
	    shm_lock(pin, SQLITE_LOCK_WRITE,
		SQLITE_SHM_LOCK | SQLITE_SHM_SHARED) != SQLITE_OK)
		return rc;
	rc = attempt(pin, ret_verdict, err);
	shm_lock(pin, SQLITE_LOCK_WRITE, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
	return rc;
}

static int freeze(struct sqlite_pin *pin,
    const struct sqlite_pin_request *request, struct still_error *err)
{
	int64_t deadline_ns = still_sys_monotonic_ns() + request->limit_ns;
	int64_t backoff_ns = BACKOFF_FIRST_NS;
	enum verdict verdict = MOVED;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && verdict == MOVED; i++) {
		if (atomic_load(request->cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "database `%s`: the freeze was stopped",
			    pin->rel);
		if (i < OPTIMISTIC_TRIES) {
			rc = attempt(pin, &verdict, err);
			continue;
		}
		rc = attempt_alone(pin, &verdict, err);
		if (rc < 0 || verdict == FROZEN)
			break;
		if (still_sys_monotonic_ns() > deadline_ns)
			return still_error_set(err, STILL_ERR_BUSY, 0,
			    "Raise `freeze_ms`, or begin when fewer writers "
			    "are at work.",
			    "database `%s`: no quiet moment within %lld ms",
			    pin->rel,
			    (long long) (request->limit_ns / 1000000));
		still_sys_sleep_ns(backoff_ns);
		if (backoff_ns < BACKOFF_LAST_NS)
			backoff_ns *= 2;
	}
	return rc;
}

/* SQLite has the log open and our lock keeps it from being removed or
 * replaced, so the file at its path is the one that it uses. */
static int open_log(
    struct sqlite_pin *pin, int root_fd, struct still_error *err)
{
	char *rel = NULL;
	int rc;

	if (asprintf(&rel, "%s-wal", pin->rel) < 0)
		return still_error_nomem(err);
	rc = sqlite_file_open(root_fd, rel, &pin->wal, &pin->wal_st, err);
	free(rel);
	return rc;
}

/* What would do harm, or lead astray, if SQLite were let at it. */
static int check_before_open(
    const struct sqlite_pin *pin, int root_fd, struct still_error *err)
{
	const sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
	struct stat st;

	/* SQLite finds the wal-index of an inode by the first name it was
	 * opened with, so two names would share the wrong one. */
	if (sqlite_file_shared(pin->db))
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "One database must have one name; remove the other link.",
		    "database `%s`: is the same file as another one", pin->rel);
	/* SQLite removes the log of an empty database. */
	if (pin->db_st.st_size == 0)
		return still_error_set(err, STILL_ERR_AGAIN, 0, NULL,
		    "database `%s`: became empty while it was opened",
		    pin->rel);
	if (vfs &&
	    strlen(pin->path) + sizeof("-journal") > (size_t) vfs->mxPathname)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Use a shorter way to it, such as a bind mount.",
		    "database `%s`: its path is longer than SQLite can open "
		    "(%d bytes)",
		    pin->rel, vfs->mxPathname);
	/* Who opens an idle database makes the sidecars, and they are his. */
	if (geteuid() != 0 && geteuid() != pin->db_st.st_uid &&
	    (sidecar_stat(root_fd, pin->rel, "-wal", &st) < 0 ||
		sidecar_stat(root_fd, pin->rel, "-shm", &st) < 0))
		return still_error_set(err, STILL_ERR_ACCESS, EACCES,
		    "Opening it would leave -wal and -shm files that its owner "
		    "cannot write; run stillfs as its owner or as root, or "
		    "while an application has it open.",
		    "database `%s`: nobody has it open, and it belongs to "
		    "another user",
		    pin->rel);
	return 0;
}

int sqlite_pin_take(struct sqlite_pin *pin,
    const struct sqlite_pin_request *request, struct still_error *err)
{
	int rc;

	memset(pin, 0, sizeof(*pin));
	pin->slot = -1;
	pin->rel = request->rel;
	pin->cancel = request->cancel;
	pin->busy_ms = BUSY_TIMEOUT_MS;
	if (request->limit_ns < BUSY_TIMEOUT_MS * INT64_C(1000000))
		pin->busy_ms = (int) (request->limit_ns / 1000000);
	pin->path = still_path_join(request->root, request->rel);
	if (!pin->path)
		return still_error_nomem(err);
	rc = sqlite_file_open(
	    request->root_fd, request->rel, &pin->db, &pin->db_st, err);
	if (rc == 0)
		rc = check_before_open(pin, request->root_fd, err);
	if (rc == 0)
		rc = open_prepared(pin, &pin->reader, err);
	if (rc == 0)
		rc = map_index(pin, request->root_fd, err);
	if (rc == 0)
		rc = freeze(pin, request, err);
	if (rc == 0)
		rc = open_log(pin, request->root_fd, err);
	if (rc < 0)
		sqlite_pin_release(pin);
	/* Only one of the two carries the pin. */
	else if (pin->slot >= 0)
		close_handle(&pin->reader);
	else
		close_handle(&pin->carrier);
	return rc;
}

uint32_t sqlite_pin_index_page(struct sqlite_pin *pin, uint32_t frame)
{
	sqlite3_file *file = pin->slot >= 0 ? pin->carrier.file
					    : pin->reader.file;
	void volatile *data = NULL;
	size_t word;
	int block;
	int rc;

	sqlite_index_locate(frame, &block, &word);
	rc = file->pMethods->xShmMap(
	    file, block, SQLITE_INDEX_BLOCK_BYTES, 0, &data);
	if (!maps(rc, data))
		return 0;
	return __atomic_load_n(
	    (volatile uint32_t *) data + word, __ATOMIC_ACQUIRE);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

int sqlite_pin_check(
    const struct sqlite_pin *pin, int root_fd, struct still_error *err)
{
	const char *why = NULL;
	struct sqlite_index_header now;
	struct stat st;

	/* Who opens the database anew after its sidecars were replaced shares
	 * no lock with us. */
	if (sidecar_stat(root_fd, pin->rel, "-shm", &st) < 0 ||
	    !same_file(&st, &pin->shm_st))
		why = "its -shm file was removed or replaced";
	else if (sidecar_stat(root_fd, pin->rel, "-wal", &st) < 0 ||
	    !same_file(&st, &pin->wal_st))
		why = "its -wal file was removed or replaced";
	else if (pin->slot >= 0 && read_mark(pin, pin->slot) != pin->slot_mark)
		why = "its read mark was overwritten";
	/* An empty log gets its salts with its first frame, and read lock 0
	 * lets a log that is whole in the file be restarted. */
	else if ((pin->slot >= 0 || pin->backfill < pin->header.max_frame) &&
	    pin->header.max_frame > 0 && index_header(pin, &now) &&
	    memcmp(now.salts, pin->header.salts, sizeof(now.salts)) != 0)
		why = "its log was restarted";
	if (!why)
		return 0;
	return still_error_set(err, STILL_ERR_LOST, 0,
	    "The live database is not harmed by stillfs; end this session and "
	    "begin another.",
	    "database `%s`: the snapshot is no longer protected, %s", pin->rel,
	    why);
}

void sqlite_pin_release(struct sqlite_pin *pin)
{
	/* SQLite forgets the locks of a connection that closes while another
	 * one shares the file, so ours are given back by hand. */
	if (pin->slot >= 0 && pin->carrier.file)
		unlock_slot(pin, pin->slot, SQLITE_SHM_SHARED);
	close_handle(&pin->carrier);
	close_handle(&pin->reader);
	sqlite_file_close(pin->wal);
	sqlite_file_close(pin->db);
	free(pin->path);
	memset(pin, 0, sizeof(*pin));
	pin->slot = -1;
}
