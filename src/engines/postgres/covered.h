/* SPDX-License-Identifier: MIT */
/*
 * covered: the blocks whose content in a copy does not matter, because replay
 * of the WAL puts other bytes there without looking at it.
 *
 * A block is covered when a record of the WAL
 *  1. holds an image of it that is to be applied, or makes it anew (`replaced`
 *     in wal_record.h); or
 *  2. makes its whole database by copying files: replay removes that folder
 *     and copies again (CREATE DATABASE, up to 14; later with STRATEGY
 *     FILE_COPY; ALTER DATABASE ... SET TABLESPACE).
 * A page of such a block may be torn in the copy. Any other page must not be.
 *
 * Memory: 64 neighbouring blocks share 16 bytes, in a table that is between 3/8
 * and 3/4 full; while it grows, the old one is there too. So a block that lies
 * alone costs at most 43 bytes, 64 while growing; and all blocks of a database
 * of 1 TiB, 90 MB. A fork of a relation costs at most 43 bytes more.
 *
 * Threads: filled by one, then constant; look-ups from any.
 */
#ifndef POSTGRES_COVERED_H
#define POSTGRES_COVERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/wal_record.h"

struct still_pg_covered;

/* NULL without memory. */
struct still_pg_covered *still_pg_covered_new(void);
void still_pg_covered_free(struct still_pg_covered *covered);

/* Add one block; 0 or NOMEM. */
int still_pg_covered_add(struct still_pg_covered *covered,
    const struct still_pg_locator *where, uint32_t block,
    struct still_error *err);

/* Add what one record covers; `arg` is the set. A still_pg_wal_record_fn. */
int still_pg_covered_record(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err);

bool still_pg_covered_has(const struct still_pg_covered *covered,
    const struct still_pg_locator *where, uint32_t block);

/* How many blocks were added, by rule 1; and what the set takes in memory. */
uint64_t still_pg_covered_count(const struct still_pg_covered *covered);
size_t still_pg_covered_bytes(const struct still_pg_covered *covered);

#endif
