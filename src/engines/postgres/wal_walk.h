/* SPDX-License-Identifier: MIT */
/*
 * wal_walk: every record of the WAL from one LSN to another, proven.
 *
 * What is proven of the bytes in [start, stop):
 *  1. each page has the header that belongs there (wal_page.h): version,
 *     server, timeline, and its own LSN, so that no page is one of an older
 *     use of its file;
 *  2. a record begins at `start`, each record begins where the one before
 *     ended, and names that one; a record ends at `stop`;
 *  3. a record that goes on over pages has, on each, the length left that its
 *     beginning says;
 *  4. the CRC of each record is right, and its headers (wal_record.h) account
 *     for all of its length.
 * Behind the record that switches to a new segment nothing is read up to the
 * end of its segment.
 *
 * A record that a crash cut off is passed over where the server says so: the
 * page where it should go on begins with a record that names it.
 *
 * A position where a page begins and the position behind that page's header
 * are the same place. START WAL LOCATION is the latter, what pg_backup_stop
 * returns is the former; both are taken for both.
 *
 * The walk reads forward, each byte once, in pieces of
 * STILL_PG_WAL_PIECE_BYTES, and nothing behind the page that holds the last
 * byte before `stop`. Its memory does not depend on the lengths that it meets.
 *
 * Threads: each walk is its own. Blocks on `read`.
 */
#ifndef POSTGRES_WAL_WALK_H
#define POSTGRES_WAL_WALK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "engines/postgres/wal_page.h"
#include "engines/postgres/wal_record.h"

#define STILL_PG_WAL_PIECE_BYTES (256 * 1024)

/*
 * Read `len` bytes at `off_bytes` of a segment. Returns how many there were,
 * fewer than `len` only where the file ends; STILL_ERR_NOTFOUND, with or
 * without detail, when there is no such segment; any other code with detail.
 */
typedef ssize_t still_pg_wal_read_fn(void *arg, uint64_t segment,
    uint32_t off_bytes, void *data, size_t len, struct still_error *err);

/* Called for each record, in order, once it is proven. The record is borrowed
 * for the call. A negative code, with detail, ends the walk. */
typedef int still_pg_wal_record_fn(void *arg,
    const struct still_pg_wal_record *record, struct still_error *err);

struct still_pg_wal_walk {
	struct still_pg_wal_format format;
	uint64_t start_lsn; /* where a record begins */
	uint64_t stop_lsn;  /* where one ends */
	still_pg_wal_read_fn *read;
	void *read_arg;
	still_pg_wal_record_fn *each; /* may be NULL */
	void *each_arg;
	const atomic_bool *cancel; /* may be NULL; looked at before each read */
	bool *over; /* may be NULL; set where CORRUPT is that a record, which
		       begins before `stop`, goes on behind it */
};

/* What was proven. */
struct still_pg_wal_totals {
	uint64_t n_records;
	uint64_t record_bytes; /* with their images, without page headers */
	uint64_t n_images;     /* also such as are not to be applied */
	uint64_t image_bytes;
};

/*
 * Walk. INVALID for a format or a range that cannot be; NOTFOUND when a segment
 * is missing; CORRUPT, naming the segment, the LSN and what is wrong, when any
 * of the rules does not hold, also when the WAL ends before `stop`; CANCELLED;
 * NOMEM; and what `read` and `each` return. `ret` may be NULL.
 */
int still_pg_wal_walk(const struct still_pg_wal_walk *walk,
    struct still_pg_wal_totals *ret, struct still_error *err);

#endif
