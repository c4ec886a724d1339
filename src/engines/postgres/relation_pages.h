/* SPDX-License-Identifier: MIT */
/*
 * relation_pages: are the pages of a relation's file right?
 *
 * A page is right when its checksum is, or when it is all zeros, and it is not
 * younger than the end of the backup. One that is wrong may have been captured in
 * the middle of a write: that does no harm where the WAL puts it right
 * (covered.h), and is damage everywhere else.
 *
 * Pure functions; any thread.
 */
#ifndef POSTGRES_RELATION_PAGES_H
#define POSTGRES_RELATION_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/covered.h"
#include "engines/postgres/exclude.h"
#include "engines/postgres/wal_record.h"

/* The WAL between the begin and the end of a backup, as far as pages need it. */
struct still_pg_proof {
	const struct still_pg_covered *covered;
	uint64_t stop_lsn;
	bool checksums; /* the cluster has them */
};

/* Which fork of which relation is it? From the path in backup/ ("data/base/5/1259",
 * "tablespaces/16400/PG_15_202209061/5/1259") and what its name says. */
struct still_pg_locator still_pg_locate(
    const char *path, const struct still_pg_relation *relation);

/*
 * Look at `len` bytes of the file `path` (in backup/), from the beginning of the
 * relation's block `block`. They are whole pages, but for what the file ends with;
 * aligned, and the caller's own (page.h). 0, or CORRUPT, which names file and
 * block.
 */
int still_pg_check_pages(const struct still_pg_proof *proof, const char *path,
    const struct still_pg_locator *where, uint32_t block, void *data,
    size_t len, struct still_error *err);

#endif
