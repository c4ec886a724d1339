/* SPDX-License-Identifier: MIT */
/*
 * wal_pages: the pages that a walk over the WAL (wal_walk.h) comes to, read in
 * pieces, each of them looked at; and how damage is told of.
 *
 * Threads: as the walk.
 */
#ifndef POSTGRES_WAL_PAGES_H
#define POSTGRES_WAL_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "engines/postgres/wal_name.h"
#include "engines/postgres/wal_page.h"
#include "engines/postgres/wal_walk.h"

struct still_pg_wal_pages {
	const struct still_pg_wal_walk *walk;
	const struct still_pg_wal_format *format; /* the walk's */
	struct still_error *err;                  /* of all that fails */
	uint64_t stop; /* in the form that a record's end has */

	/* What was read: whole pages of one segment. */
	uint8_t *buffer; /* owned */
	uint64_t buffer_lsn;
	size_t buffer_bytes;

	/* The page that was last looked at. */
	const uint8_t *page; /* in the buffer */
	uint64_t page_lsn;
	struct still_pg_wal_page head;
};

/* NOMEM. All but `stop` is borrowed. */
int still_pg_wal_pages_init(struct still_pg_wal_pages *pages,
    const struct still_pg_wal_walk *walk, uint64_t stop,
    struct still_error *err);
void still_pg_wal_pages_release(struct still_pg_wal_pages *pages);

/* Look at the page that begins at `lsn`, before `stop`. CORRUPT, NOTFOUND (its
 * segment is missing), CANCELLED, or what the walk's `read` fails with. */
int still_pg_wal_turn(struct still_pg_wal_pages *pages, uint64_t lsn);

/* The name of the segment that `lsn` lies in. */
void still_pg_wal_name_at(const struct still_pg_wal_pages *pages, uint64_t lsn,
    char ret_name[STILL_PG_WAL_NAME_CHARS + 1]);

/* Fails with CORRUPT: the `kind` of thing at `lsn`, in its segment, `fmt`. */
__attribute__((format(printf, 4, 5))) int still_pg_wal_damaged(
    struct still_pg_wal_pages *pages, const char *kind, uint64_t lsn,
    const char *fmt, ...);

#endif
