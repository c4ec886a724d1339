/* SPDX-License-Identifier: MIT */
/*
 * link: an incremental set of a cluster, one link of a chain.
 *
 *	backup.json            with one element of `databases`:
 *	    path               "data"
 *	    size_bytes         of all segments
 *	    increment          "logs"; null: nothing was written since the base
 *	    log                mode "wal", start_lsn, stop_lsn, timeline
 *	    system_identifier  text
 *	    major              of the server's version: 15
 *	    page_size_bytes    of the data files
 *	    wal_segment_bytes, wal_page_bytes
 *	    data_checksums, databases   as in a full set
 *	logs/SEGMENT           every segment from start_lsn to stop_lsn
 *
 * start_lsn is the begin of a segment, stop_lsn where a record ends; behind it the
 * rest of its segment is empty. Where both are the same there is no segment.
 *
 * What is read of a set is not trusted. It is read with openat(2) alone
 * (core/sandbox.h).
 *
 * Threads: any.
 */
#ifndef POSTGRES_LINK_H
#define POSTGRES_LINK_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/facts.h"
#include "engines/postgres/replay.h"
#include "engines/postgres/wal_page.h"

#define STILL_PG_LOGS "logs/"

struct still_pg_link {
	uint64_t system_identifier;
	int major;
	uint32_t timeline;
	uint64_t start_lsn;
	uint64_t stop_lsn;
	uint32_t segment_bytes;
	uint32_t wal_block_bytes;
	uint32_t block_bytes;
};

/* The element of `databases`. The caller's; NULL without memory. */
json_t *still_pg_link_json(const struct still_pg_link *link,
    const struct still_pg_facts *facts, size_t n_segments);

/* Is this the description (backup.json) of an incremental set? */
bool still_pg_link_is(const json_t *description);

/* What it says of the cluster. CORRUPT: not what it should; UNSUPPORTED: of a
 * version that is not known. */
int still_pg_link_parse(const json_t *description, struct still_pg_link *ret,
    struct still_error *err);

/* What its WAL has on each page. */
struct still_pg_wal_format still_pg_link_format(
    const struct still_pg_link *link);

/* Its segments: numbers from `first`. */
uint64_t still_pg_link_first(const struct still_pg_link *link);
size_t still_pg_link_count(const struct still_pg_link *link);

/* Where a segment lies below `dir` ("logs/", "data/pg_wal/"). */
void still_pg_link_path(const struct still_pg_link *link, const char *dir,
    uint64_t number, char ret_path[64]);

/*
 * Walk over its WAL from `start_lsn` to `stop_lsn`, as the segments lie below
 * `dir` of `dir_fd`; each is whole. `*ret` is what it begins and ends with.
 * CORRUPT: one is missing or not whole, a record is not right, or must not be
 * replayed into a copy.
 */
int still_pg_link_walk(const struct still_pg_link *link, int dir_fd,
    const char *dir, uint64_t start_lsn, uint64_t stop_lsn,
    const atomic_bool *cancel, struct still_pg_replay *ret,
    struct still_error *err);

#endif
