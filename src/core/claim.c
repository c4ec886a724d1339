/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/claim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/path.h"
#include "core/holder.h"
#include "core/stamp.h"
#include "core/statedir.h"
#include "core/store.h"

/* ---- locks --------------------------------------------------------------- */

/* Of a file in locks/. */
struct lock_name {
	char hex[STILL_HASH128_HEX_CHARS + 1];
};

static int name_lock(const char *engine, const char *source,
    struct lock_name *ret, struct still_error *err)
{
	char *key = NULL;
	int len = asprintf(&key, "%s:%s", engine, source);

	if (len < 0)
		return still_error_nomem(err);
	still_hash128_hex(still_hash128(key, (size_t) len), ret->hex);
	free(key);
	return 0;
}

static int look_at_lock(struct still_catalog *catalog, const char *engine,
    const char *source, struct still_holder *ret, struct still_error *err)
{
	struct lock_name name;
	int rc;

	if (catalog->locks_fd < 0)
		return 0;
	rc = name_lock(engine, source, &name, err);
	if (rc < 0)
		return rc;
	return still_holder_look(catalog->locks_fd, name.hex, ret, err);
}

int still_claim_is_alive(struct still_catalog *catalog, const char *engine,
    const char *source, const char *id, struct still_error *err)
{
	struct still_holder holder;
	int rc = look_at_lock(catalog, engine, source, &holder, err);

	if (rc <= 0)
		return rc;
	/* The lock may be somebody else's by now. */
	rc = strcmp(holder.id, id) == 0;
	still_holder_clear(&holder);
	return rc;
}

int still_claim_take(struct still_catalog *catalog, const char *engine,
    const char *source, const char *id, const char *place, int *ret_fd,
    struct still_error *err)
{
	struct still_holder holder = {0};
	struct lock_name name;
	int rc;

	if (catalog->locks_fd < 0)
		return still_statedir_failed(
		    ENOENT, "directory of locks in", catalog->dir, err);
	rc = name_lock(engine, source, &name, err);
	if (rc == 0)
		rc = still_holder_take(
		    catalog->locks_fd, name.hex, id, place, ret_fd, err);
	if (rc != STILL_ERR_BUSY)
		return rc;
	/* It may be gone by now: then nobody knows who it was. */
	still_holder_look(catalog->locks_fd, name.hex, &holder, NULL);
	rc = still_holder_busy(&holder, source, source, err);
	still_holder_clear(&holder);
	return rc;
}

/* ---- neighbours ---------------------------------------------------------- */

/* BUSY when somebody has the instance of `engine` and `source`. */
static int check_free(struct still_catalog *catalog, const char *engine,
    const char *source, const char *wanted, struct still_error *err)
{
	struct still_holder holder;
	int rc = look_at_lock(catalog, engine, source, &holder, err);

	if (rc <= 0)
		return rc;
	rc = still_holder_busy(&holder, source, wanted, err);
	still_holder_clear(&holder);
	return rc;
}

/* The instance in the statement's row, if it shares databases with `source`. */
static int check_neighbour(struct still_catalog *catalog, sqlite3_stmt *stmt,
    const char *source, struct still_error *err)
{
	char *engine = NULL;
	char *other = NULL;
	int rc = 0;

	if (!still_store_column(stmt, 0, &engine) ||
	    !still_store_column(stmt, 1, &other))
		rc = still_error_nomem(err);
	else if (still_path_is_in(other, source) ||
	    still_path_is_in(source, other))
		rc = check_free(catalog, engine, other, source, err);
	free(engine);
	free(other);
	return rc;
}

/* Asked after the own lock was taken, which was after the own row was written:
 * of two who come at the same time at least one sees the other. */
static int check_neighbours(struct still_catalog *catalog, const char *source,
    int64_t instance_id, struct still_error *err)
{
	sqlite3_stmt *stmt;
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = still_store_prepare(catalog,
	    "SELECT engine, source FROM instance WHERE id<>?1", &stmt, err);
	if (rc < 0)
		return still_store_finish(catalog, rc, err);
	sqlite3_bind_int64(stmt, 1, instance_id);
	while ((rc = still_store_step(catalog, stmt, err)) > 0) {
		rc = check_neighbour(catalog, stmt, source, err);
		if (rc < 0)
			break;
	}
	sqlite3_finalize(stmt);
	return still_store_finish(catalog, rc, err);
}

/* ---- an instance of ours --------------------------------------------------- */

/* Its row, made if it is missing. */
static int find_instance(struct still_catalog *catalog, const char *engine,
    const char *source, int64_t *ret, struct still_error *err)
{
	static const char find[] = "SELECT id FROM instance"
				   " WHERE engine=?1 AND source=?2";
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = still_store_number(catalog, ret, err, find, "tb", engine, source);
	rc = still_store_finish(catalog, rc, err);
	if (rc < 0 || *ret)
		return rc;
	rc = still_store_begin(catalog, true, err);
	if (rc < 0)
		return rc;
	/* Somebody else may have been quicker. */
	rc = still_store_run(catalog, err,
	    "INSERT OR IGNORE INTO instance(engine,source) VALUES(?1,?2)", "tb",
	    engine, source);
	if (rc == 0)
		rc = still_store_number(
		    catalog, ret, err, find, "tb", engine, source);
	return still_store_finish(catalog, rc, err);
}

/* When it died nobody knows, so its end has no time. */
static int settle(
    struct still_catalog *catalog, int64_t instance_id, struct still_error *err)
{
	struct still_session_status crashed = {.outcome = STILL_ABORTED_CRASH};
	char text[STILL_OUTCOME_TEXT_BYTES];
	int64_t n = 0;
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = still_store_number(catalog, &n, err,
	    "SELECT count(*) FROM session"
	    " WHERE instance=?1 AND state<>'ended'",
	    "i", instance_id);
	rc = still_store_finish(catalog, rc, err);
	if (rc < 0 || n == 0)
		return rc;
	rc = still_store_begin(catalog, true, err);
	if (rc < 0)
		return rc;
	still_outcome_text(&crashed, text);
	rc = still_store_run(catalog, err,
	    "UPDATE session SET state='ended', outcome=?2, outcome_text=?3"
	    " WHERE instance=?1 AND state<>'ended'",
	    "iit", instance_id, (int64_t) STILL_ABORTED_CRASH, text);
	if (rc == 0)
		rc = still_stamp_forget(catalog, instance_id, err);
	return still_store_finish(catalog, rc, err);
}

int still_catalog_lock(struct still_catalog *catalog, const char *engine,
    const char *source, const char *id, const char *place,
    struct still_lock *ret, struct still_error *err)
{
	struct still_lock lock = STILL_LOCK_INIT;
	int rc = find_instance(catalog, engine, source, &lock.instance_id, err);

	if (rc == 0)
		rc = still_claim_take(
		    catalog, engine, source, id, place, &lock.fd, err);
	if (rc == 0)
		rc = check_neighbours(catalog, source, lock.instance_id, err);
	if (rc == 0)
		rc = settle(catalog, lock.instance_id, err);
	if (rc < 0)
		still_catalog_unlock(&lock);
	else
		*ret = lock;
	return rc;
}

void still_catalog_unlock(struct still_lock *lock)
{
	if (lock->fd >= 0)
		still_holder_release(lock->fd);
	lock->fd = -1;
}
