/* SPDX-License-Identifier: MIT */
/*
 * index: block 0 of a wal-index as it lies in shared memory, where writers and
 * checkpointers of other processes change it while we look. Its layout is in
 * format.h.
 *
 * Threads: any; nothing blocks.
 */
#ifndef SQLITE_INDEX_H
#define SQLITE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "engines/sqlite/format.h"

/* A whole header, or false when a writer is at it (or died at it). */
bool sqlite_index_read(
    const volatile uint32_t *index, struct sqlite_index_header *ret);

/* nBackfill: frames known to be in the database file. */
uint32_t sqlite_index_backfill(const volatile uint32_t *index);

uint32_t sqlite_index_mark(const volatile uint32_t *index, int slot);

/* Only under the slot's exclusive lock. */
void sqlite_index_set_mark(volatile uint32_t *index, int slot, uint32_t mark);

#endif
