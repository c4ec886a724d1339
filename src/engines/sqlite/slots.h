/* SPDX-License-Identifier: MIT */
/*
 * slots: the read slots of a wal-index, locked by hand.
 *
 * The connection that locks one must be the one that lets it go: for another of
 * the same process SQLite does nothing, and says that it went well. `file` is
 * that connection's.
 *
 * A lock counts only if afterwards the slot's mark and the wal-index's header
 * are what they were when it was chosen (pin.h, rule 5).
 *
 * Threads: any, one at a time for a connection. Nothing blocks.
 */
#ifndef SQLITE_SLOTS_H
#define SQLITE_SLOTS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "engines/sqlite/format.h"

struct sqlite_slots {
	sqlite3_file *file;       /* whose locks they are */
	volatile uint32_t *index; /* block 0 of the wal-index */
};

/* Is the header still `header`, to the byte? */
bool sqlite_slots_header_is(
    const struct sqlite_slots *slots, const struct sqlite_index_header *header);

/* Lock slot `slot` SHARED, and keep it if its mark is `mark` (of slot 0, which
 * has none, 0) and the header `header`. */
bool sqlite_slots_take(const struct sqlite_slots *slots, int slot,
    uint32_t mark, const struct sqlite_index_header *header);

void sqlite_slots_let_go(const struct sqlite_slots *slots, int slot);

/* Set the mark of a slot that nobody uses. A -shm that we may not write refuses
 * the exclusive lock, so it is never written. */
bool sqlite_slots_set_mark(
    const struct sqlite_slots *slots, int slot, uint32_t mark);

/* The WRITE slot, SHARED: writers are held off. */
bool sqlite_slots_hold_writers(const struct sqlite_slots *slots);
void sqlite_slots_let_writers_go(const struct sqlite_slots *slots);

#endif
