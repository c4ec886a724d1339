/* SPDX-License-Identifier: MIT */
/*
 * reader: a database for SQLite whose bytes a function reads.
 *
 * SQLite opens files by their names, beside others that it looks for, and locks
 * them. Here it is given one file that does not change, through a file system of
 * its kind: nothing else can be opened, nothing is locked or written. The
 * connection is defensive, its schema not trusted, its CHECK constraints not
 * evaluated; and it gives up when it is told to.
 *
 * Threads: one.
 */
#ifndef SQLITE_READER_H
#define SQLITE_READER_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sqlite_reader {
	/* All set by the caller. `read` fills all of `data`, or fails. */
	int (*read)(void *arg, uint64_t off_bytes, void *data, size_t len,
	    struct still_error *err);
	void *arg;
	uint64_t bytes;            /* how long the file is */
	const atomic_bool *cancel; /* raised: SQLITE_INTERRUPT */

	struct still_error failure; /* the first of `read` */
	sqlite3_vfs vfs;
	char name[40]; /* of the file system */
};

/* Open a connection. Returns SQLite's code; whatever it is, close it. `reader`
 * stays where it is until then. */
int sqlite_reader_open(struct sqlite_reader *reader, sqlite3 **ret);

/* Make it careful. Returns SQLite's code; it may have read the file. */
int sqlite_reader_prepare(struct sqlite_reader *reader, sqlite3 *conn);

void sqlite_reader_close(struct sqlite_reader *reader, sqlite3 *conn);

#endif
