/* SPDX-License-Identifier: MIT */
/*
 * stamp: what the catalog knows of files.
 *
 * Tools compare times to find out what they have already. So a path shows the
 * time that it showed last exactly as long as its identity is the same; any
 * change of it moves the time by a second at least, because rsync compares whole
 * seconds, and never back.
 *
 * An incremental session shows its files where no other does: no tool has them,
 * and none has seen their times.
 *
 * A path that has not been shown for a day is forgotten: comes it back, it gets
 * the time of that moment, which is later than any that it had.
 */
#include "config.h"

#include "core/stamp.h"

#include <string.h>

#include "core/store.h"

#define DAY_S 86400

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* ---- before the session is shown ----------------------------------------- */

/* The two questions that each entry asks. */
struct lookup {
	sqlite3_stmt *shown; /* a path as it was shown last */
	sqlite3_stmt *good;  /* a file of the last good session */
};

static int prepare(struct still_catalog *catalog, int64_t instance_id,
    struct lookup *ret, struct still_error *err)
{
	int64_t last_good = 0;
	int rc;

	memset(ret, 0, sizeof(*ret));
	rc = still_store_number(catalog, &last_good, err,
	    "SELECT max(seq) FROM session WHERE instance=?1"
	    " AND outcome IN (?2,?3) AND kind<>'incremental'",
	    "iii", instance_id, (int64_t) STILL_COMMITTED,
	    (int64_t) STILL_COPIED);
	if (rc == 0)
		rc = still_store_prepare(catalog,
		    "SELECT identity, time_s FROM path"
		    " WHERE instance=?1 AND path=?2",
		    &ret->shown, err);
	if (rc == 0)
		rc = still_store_prepare(catalog,
		    "SELECT identity, xxh128 FROM file"
		    " WHERE session=?1 AND path=?2 AND size_bytes=?3",
		    &ret->good, err);
	if (rc < 0)
		return rc;
	sqlite3_bind_int64(ret->shown, 1, instance_id);
	sqlite3_bind_int64(ret->good, 1, last_good);
	return 0;
}

static void finalize(struct lookup *lookup)
{
	sqlite3_finalize(lookup->shown);
	sqlite3_finalize(lookup->good);
}

static int stamp_one(struct still_catalog *catalog, struct lookup *lookup,
    const char *identity, int64_t now_s, struct still_entry *entry,
    struct still_error *err)
{
	sqlite3_stmt *stmt = lookup->shown;
	int64_t last_s;
	int rc;

	still_store_bind_bytes(stmt, 2, entry->path);
	rc = still_store_step(catalog, stmt, err);
	if (rc == 0)
		entry->time_s = now_s;
	if (rc > 0) {
		last_s = sqlite3_column_int64(stmt, 1);
		if (same(identity, (const char *) sqlite3_column_text(stmt, 0)))
			entry->time_s = last_s;
		else
			entry->time_s = now_s > last_s ? now_s : last_s + 1;
	}
	sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

static int know_one(struct still_catalog *catalog, struct lookup *lookup,
    const char *identity, const struct still_entry *entry, bool *ret_known,
    struct still_hash128 *ret_digest, struct still_error *err)
{
	sqlite3_stmt *stmt = lookup->good;
	int rc;

	still_store_bind_bytes(stmt, 2, entry->path);
	sqlite3_bind_int64(stmt, 3, (int64_t) entry->size_bytes);
	rc = still_store_step(catalog, stmt, err);
	if (rc > 0 &&
	    same(identity, (const char *) sqlite3_column_text(stmt, 0)) &&
	    sqlite3_column_bytes(stmt, 1) == sizeof(ret_digest->bytes)) {
		memcpy(ret_digest->bytes, sqlite3_column_blob(stmt, 1),
		    sizeof(ret_digest->bytes));
		*ret_known = true;
	}
	sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

int still_catalog_stamp(struct still_catalog *catalog,
    const struct still_lock *lock, int64_t now_s,
    struct still_snapshot *snapshot, struct still_error *err)
{
	struct lookup lookup;
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = prepare(catalog, lock->instance_id, &lookup, err);
	for (uint32_t i = 1; rc == 0 && i < snapshot->n; i++) {
		struct still_entry *entry = &snapshot->entries[i];
		const char *identity = snapshot->identities[i];

		rc = stamp_one(catalog, &lookup, identity, now_s, entry, err);
		if (rc == 0 && entry->kind == STILL_FILE && identity)
			rc = know_one(catalog, &lookup, identity, entry,
			    &snapshot->known[i], &snapshot->known_digests[i],
			    err);
	}
	finalize(&lookup);
	return still_store_finish(catalog, rc, err);
}

/* ---- while it is shown --------------------------------------------------- */

/* The seq of a session that is in `state`. PROTO when it is not. */
static int find_session(struct still_catalog *catalog, const char *id,
    const char *state, int64_t *ret, struct still_error *err)
{
	int rc = still_store_number(catalog, ret, err,
	    "SELECT seq FROM session WHERE id=?1 AND state=?2", "tt", id,
	    state);

	if (rc == 0 && *ret == 0)
		return still_error_set(err, STILL_ERR_PROTO, 0, NULL,
		    "session `%s`: is not %s in the catalog `%s`", id, state,
		    catalog->file);
	return rc;
}

static int write_session(struct still_catalog *catalog,
    const struct still_catalog_frozen *frozen, struct still_error *err)
{
	return still_store_run(catalog, err,
	    "UPDATE session SET state='serving', frozen_at_ns=?2, verified=?3,"
	    " cut=?4, databases_json=?5, databases=?6, files=?7, bytes=?8,"
	    " note=?9 WHERE id=?1",
	    "titttiiit", frozen->id, frozen->frozen_at_ns, frozen->verified,
	    frozen->cut, frozen->databases, (int64_t) frozen->n_databases,
	    (int64_t) frozen->n_files, (int64_t) frozen->n_bytes, frozen->note);
}

static int write_paths(struct still_catalog *catalog, int64_t instance_id,
    int64_t now_s, const struct still_snapshot *snapshot,
    struct still_error *err)
{
	sqlite3_stmt *stmt;
	int rc = still_store_prepare(catalog,
	    "INSERT OR REPLACE INTO path(instance,path,identity,time_s,"
	    "shown_at_s) VALUES(?1,?2,?3,?4,?5)",
	    &stmt, err);

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, instance_id);
	sqlite3_bind_int64(stmt, 5, now_s);
	for (uint32_t i = 1; rc == 0 && i < snapshot->n; i++) {
		still_store_bind_bytes(stmt, 2, snapshot->entries[i].path);
		sqlite3_bind_text(
		    stmt, 3, snapshot->identities[i], -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 4, snapshot->entries[i].time_s);
		rc = still_store_step(catalog, stmt, err);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	/* Those of this snapshot were all shown now. */
	if (rc == 0)
		rc = still_store_run(catalog, err,
		    "DELETE FROM path WHERE instance=?1"
		    " AND max(shown_at_s,time_s)<?2",
		    "ii", instance_id, now_s - DAY_S);
	return rc;
}

static int write_files(struct still_catalog *catalog, int64_t seq,
    const struct still_snapshot *snapshot, struct still_error *err)
{
	sqlite3_stmt *stmt;
	int rc = still_store_prepare(catalog,
	    "INSERT INTO file(session,path,size_bytes,identity,time_s)"
	    " VALUES(?1,?2,?3,?4,?5)",
	    &stmt, err);

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, seq);
	for (uint32_t i = 1; rc == 0 && i < snapshot->n; i++) {
		const struct still_entry *entry = &snapshot->entries[i];

		if (entry->kind != STILL_FILE)
			continue;
		still_store_bind_bytes(stmt, 2, entry->path);
		sqlite3_bind_int64(stmt, 3, (int64_t) entry->size_bytes);
		sqlite3_bind_text(
		    stmt, 4, snapshot->identities[i], -1, SQLITE_STATIC);
		sqlite3_bind_int64(stmt, 5, entry->time_s);
		rc = still_store_step(catalog, stmt, err);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return rc;
}

int still_catalog_frozen(struct still_catalog *catalog,
    const struct still_lock *lock, const struct still_catalog_frozen *frozen,
    struct still_error *err)
{
	int64_t now_s = frozen->frozen_at_ns / INT64_C(1000000000);
	int64_t seq = 0;
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	rc = find_session(catalog, frozen->id, "preparing", &seq, err);
	if (rc == 0)
		rc = write_session(catalog, frozen, err);
	if (rc == 0)
		rc = write_files(catalog, seq, frozen->snapshot, err);
	if (rc == 0 && frozen->kind != STILL_INCREMENTAL)
		rc = write_paths(
		    catalog, lock->instance_id, now_s, frozen->snapshot, err);
	return still_store_finish(catalog, rc, err);
}

/* `have` NULL: of all. */
static int write_digests(struct still_catalog *catalog, int64_t seq,
    const struct still_snapshot *snapshot, const struct still_hash128 *digests,
    const bool *have, struct still_error *err)
{
	sqlite3_stmt *stmt;
	int rc = still_store_prepare(catalog,
	    "UPDATE file SET xxh128=?3 WHERE session=?1 AND path=?2", &stmt,
	    err);

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, seq);
	for (uint32_t i = 1; rc == 0 && i < snapshot->n; i++) {
		const struct still_entry *entry = &snapshot->entries[i];

		if (entry->kind != STILL_FILE || entry->seal ||
		    (have && !have[i]))
			continue;
		still_store_bind_bytes(stmt, 2, entry->path);
		sqlite3_bind_blob(stmt, 3, digests[i].bytes,
		    sizeof(digests[i].bytes), SQLITE_STATIC);
		rc = still_store_step(catalog, stmt, err);
		if (rc == 0 && sqlite3_changes(catalog->conn) != 1)
			rc = still_store_damaged(
			    catalog, "misses a file of the session", err);
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return rc;
}

static int write_seal(struct still_catalog *catalog, int64_t seq,
    const struct still_hash128 *seal, struct still_error *err)
{
	sqlite3_stmt *stmt;
	int rc = still_store_prepare(catalog,
	    "UPDATE session SET sealed=1, seal_xxh128=?2 WHERE seq=?1", &stmt,
	    err);

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(stmt, 1, seq);
	sqlite3_bind_blob(
	    stmt, 2, seal->bytes, sizeof(seal->bytes), SQLITE_STATIC);
	rc = still_store_step(catalog, stmt, err);
	sqlite3_finalize(stmt);
	return rc;
}

int still_catalog_sealed(struct still_catalog *catalog, const char *id,
    const struct still_snapshot *snapshot, const struct still_hash128 *digests,
    const struct still_hash128 *seal, struct still_error *err)
{
	int64_t seq = 0;
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	rc = find_session(catalog, id, "serving", &seq, err);
	if (rc == 0)
		rc = write_digests(catalog, seq, snapshot, digests, NULL, err);
	if (rc == 0)
		rc = write_seal(catalog, seq, seal, err);
	return still_store_finish(catalog, rc, err);
}

int still_catalog_digested(struct still_catalog *catalog, const char *id,
    const struct still_snapshot *snapshot, const struct still_hash128 *digests,
    const bool *have, struct still_error *err)
{
	int64_t seq = 0;
	int rc = still_store_begin(catalog, true, err);

	if (rc < 0)
		return rc;
	rc = find_session(catalog, id, "serving", &seq, err);
	if (rc == 0)
		rc = write_digests(catalog, seq, snapshot, digests, have, err);
	return still_store_finish(catalog, rc, err);
}

/* ---- afterwards ---------------------------------------------------------- */

int still_stamp_forget(
    struct still_catalog *catalog, int64_t instance_id, struct still_error *err)
{
	return still_store_run(catalog, err,
	    "DELETE FROM file WHERE session IN"
	    " (SELECT seq FROM session WHERE instance=?1 AND state='ended'"
	    " EXCEPT SELECT max(seq) FROM session"
	    "  WHERE instance=?1 AND outcome IN (?2,?3) AND kind<>'incremental'"
	    " EXCEPT SELECT max(seq) FROM session"
	    "  WHERE instance=?1 AND outcome=?2 AND kind<>'incremental')",
	    "iii", instance_id, (int64_t) STILL_COMMITTED,
	    (int64_t) STILL_COPIED);
}
