/* SPDX-License-Identifier: MIT */
/*
 * hop: a second read lock beside the pin's, and the change from one to the
 * other. What must be saved between is tick.h's business.
 *
 * The lock is one of the wal-index's read slots, taken by hand, as SQLite takes
 * it for a transaction (walTryBeginRead), through the carrier:
 *  - Slot 0, "the database file alone", where the whole log is in the file. No
 *    checkpoint gets anything done under it, but the log may begin anew.
 *  - Slots 1..4 have a mark: no checkpoint gets beyond it. One that stands at
 *    the newest commit is shared, or a free one is set to it.
 *  - An older mark, newer than the pin's own, where none of these is to be had.
 * A lock counts only if after it was taken the header is still the one that was
 * read before: a commit between the two may have been seen, and our lock not, by
 * a checkpoint that now waits for its turn to write. (pin.h, rule 5)
 * Where commits leave no gap, the writers are held off for one try.
 *
 * THE WAITER. A checkpoint that must have it all (FULL, RESTART, TRUNCATE) takes
 * the CKPT slot and the WRITE slot first, then waits, in its busy handler, for
 * each read slot with an older mark in turn; then, to begin the log anew, for
 * slots 1 to 4 at once. Both locks by one process of others: nothing else holds
 * them together and stands still.
 *
 * Threads: the governor's, and between two calls nobody else's.
 */
#ifndef SQLITE_HOP_H
#define SQLITE_HOP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "engines/sqlite/pin.h"

/* Before the first hop: a connection that carries slots, and a descriptor for
 * the question who waits. Errors as sqlite_handle_open(). */
int sqlite_hop_prepare(
    struct sqlite_pin *pin, int root_fd, struct still_error *err);

/* Take a lock beside the pin's, at the newest commit; not in slot `avoid` (-1:
 * any will do). False: not to be had now. Does not wait. */
bool sqlite_hop_take(
    struct sqlite_pin *pin, int avoid, struct sqlite_hold *ret);

/* Give it back; the pin stays where it is. */
void sqlite_hop_drop(struct sqlite_pin *pin, const struct sqlite_hold *hold);

/* Let the pin's own lock go, and let this one be the pin. */
void sqlite_hop_finish(struct sqlite_pin *pin, const struct sqlite_hold *hold);

/* The process in a checkpoint that holds the writers up, or 0. One that this
 * process may not know by number is -1. */
pid_t sqlite_hop_waiter(const struct sqlite_pin *pin);

#endif
