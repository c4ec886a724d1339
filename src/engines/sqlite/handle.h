/* SPDX-License-Identifier: MIT */
/*
 * handle: one connection of ours to somebody's database.
 *
 * It is read-only, never checkpoints when it closes, runs no statement that
 * reads the schema, and waits for a lock only as long as the freeze may.
 *
 * Threads: one at a time.
 */
#ifndef SQLITE_HANDLE_H
#define SQLITE_HANDLE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

/* What a handle is opened on. It stays where it is as long as the handle. */
struct sqlite_target {
	const char *rel;           /* borrowed; for messages */
	char *path;                /* owned by the pin; absolute */
	struct stat st;            /* of our own descriptor on it */
	const atomic_bool *cancel; /* borrowed; valid during the freeze */
	int busy_ms; /* how long SQLite may wait for a lock; 0: not at all */
};

enum sqlite_log {
	SQLITE_LOG_WAL,
	SQLITE_LOG_ROLLBACK
};

struct sqlite_handle {
	sqlite3 *conn;
	sqlite3_file *file;  /* SQLite's handle of the database; NULL: closed */
	bool in_transaction; /* SQLite holds a read lock for it */
	enum sqlite_log log; /* as of the last transaction */
};

/* Before the first use of SQLite in this process: make connections small. Any
 * thread, any number of times. */
void sqlite_handle_init(void);

/* Open, and let a first read open the log and map the wal-index; no lock is
 * held afterwards. Close the handle on failure too. Errors as
 * sqlite_pin_take(). */
int sqlite_handle_open(struct sqlite_handle *handle,
    const struct sqlite_target *target, struct still_error *err);

/* As sqlite_handle_open(), of a connection that can checkpoint. It writes
 * nothing by itself, never recovers nor rolls back more than every reader does,
 * and never checkpoints when it closes. */
int sqlite_handle_open_writable(struct sqlite_handle *handle,
    const struct sqlite_target *target, struct still_error *err);

/* Take a read lock, and learn the journal mode, which is certain only now. End
 * the transaction on failure too. */
int sqlite_handle_begin(struct sqlite_handle *handle,
    const struct sqlite_target *target, struct still_error *err);
void sqlite_handle_end(struct sqlite_handle *handle);

/* Accepts a zeroed handle. */
void sqlite_handle_close(struct sqlite_handle *handle);

#endif
