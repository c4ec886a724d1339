/* SPDX-License-Identifier: MIT */
/*
 * store: catalog.db, the SQLite database behind the catalog; for the catalog's
 * own files only. What its tables hold is in core/catalog.h.
 *
 * RULES
 *  1. Rollback journal, synchronous=EXTRA: a commit has answered when the
 *     removal of its journal is on disk too. With FULL, a power failure could
 *     bring the journal back, and it would take back what was told.
 *  2. Whoever writes begins with BEGIN IMMEDIATE: a transaction that first
 *     reads and then wants to write could not wait for another writer.
 *  3. Nothing is written to the file before the commit (cache_spill=OFF), so
 *     that others can read during a long transaction.
 *  4. Names are any bytes but NUL: BLOBs. So are texts that may contain names.
 *  5. Descriptors of the file are SQLite's alone: to close one of ours would
 *     drop its locks.
 *
 * Threads: any; still_store_begin() takes a lock that still_store_finish()
 * gives back. Statements are used in between only.
 */
#ifndef STILL_CORE_STORE_H
#define STILL_CORE_STORE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/catalog.h"

#define STILL_STORE_NAME "catalog.db"
#define STILL_STORE_APPLICATION_ID 0x5354494c /* "STIL" */
#define STILL_STORE_VERSION 2
/* Of a session, in `truncated`: none, one or both. */
#define STILL_STORE_TRUNCATED 1
#define STILL_STORE_TRUNCATED_ELSEWHERE 2
/* A disk that is busy may take a second and more for each of their syncs. */
#define STILL_STORE_BUSY_MS 5000

struct still_catalog {
	char *dir;    /* owned; resolved */
	char *file;   /* owned; catalog.db in it, for messages too */
	int dirfd;    /* of dir */
	int locks_fd; /* of locks/; -1 where that is missing */
	sqlite3 *conn;
	int busy_ms;          /* how long others are waited for */
	pthread_mutex_t lock; /* held for the length of a transaction */
};

/* Open the store in catalog->dir, and make it if it is new and `create`. Fills
 * `file` and `conn`, which still_store_close() releases in every case. */
int still_store_open(
    struct still_catalog *catalog, bool create, struct still_error *err);
void still_store_close(struct still_catalog *catalog);

/* A transaction: begin, and if that succeeds finish in every case. Finish
 * commits when `rc` is 0, else rolls back and returns `rc`. */
int still_store_begin(
    struct still_catalog *catalog, bool write, struct still_error *err);
int still_store_finish(
    struct still_catalog *catalog, int rc, struct still_error *err);

/* Prepare `sql`; `*ret` is ended with sqlite3_finalize(). */
int still_store_prepare(struct still_catalog *catalog, const char *sql,
    sqlite3_stmt **ret, struct still_error *err);

/*
 * Prepare, bind `types` of the arguments behind it to ?1, ?2 ..., run once,
 * finalize. i: int64_t; t: const char *, text; b: const char *, as a BLOB; NULL
 * for either is NULL.
 */
int still_store_run(struct still_catalog *catalog, struct still_error *err,
    const char *sql, const char *types, ...);

/* The same for a SELECT of one integer; `*ret` is 0 when there is no row, or
 * the integer is NULL. */
int still_store_number(struct still_catalog *catalog, int64_t *ret,
    struct still_error *err, const char *sql, const char *types, ...);

/* One step. 1: a row; 0: done; or a negative code. */
int still_store_step(
    struct still_catalog *catalog, sqlite3_stmt *stmt, struct still_error *err);

/* Bind a string as a BLOB, without copying; NULL is NULL. */
void still_store_bind_bytes(sqlite3_stmt *stmt, int i, const char *text);

/* A BLOB or text as a string; false without memory. NULL stays NULL. The caller
 * frees it. */
bool still_store_column(sqlite3_stmt *stmt, int i, char **ret);

/* What SQLite's last failure on this connection means. */
int still_store_failed(
    struct still_catalog *catalog, int rc, struct still_error *err);

/* The store holds what we never wrote there. */
int still_store_damaged(
    struct still_catalog *catalog, const char *what, struct still_error *err);

#endif
