/* SPDX-License-Identifier: MIT */
/*
 * pin: what keeps one WAL-mode database readable as of one commit.
 *
 * THE IDEA. While a reader holds a read mark M of the wal-index, a checkpointer
 * writes only pages with a frame <= M into the database file, and nobody
 * restarts the log. So page p as of commit M is its newest frame in
 * (nBackfill, M], or, where there is none, what stands in the database file.
 *
 * THE OPTIMISTIC FREEZE, repeated until it succeeds:
 *  1. h1 = the wal-index header, whole.
 *  2. BEGIN and a read: SQLite takes a read lock.
 *  3. b = nBackfill; then h2 = the header again.
 *  4. h1 == h2: the transaction sees commit M = h2.mxFrame. Otherwise a commit
 *     fell in between, and M, the size and the checksum may be of different
 *     moments: roll back, again.
 * Where commits leave no gap, the writers are held off for the length of steps
 * 1-4 by a SHARED lock on the WRITE slot, which works on a read-only handle.
 *
 * PROMOTION. With b == M SQLite takes read lock 0, which means "the database
 * file alone". It protects the image, but keeps every checkpointer from its
 * work, and an application that checkpoints after each commit crawls. So a
 * read mark with the value M is found, or set, in slots 1..4 and locked, while
 * lock 0 is still held; then the transaction ends and the slot is the pin. The
 * slot is locked through a connection of its own, the carrier: SQLite counts
 * locks per connection, and if the transaction happens to hold that very slot,
 * its end would take ours with it.
 *  5. A slot counts only if, *after* it is locked, its mark is M and the header
 *     is still h2 to the byte. A header that moved means that a checkpointer
 *     may have chosen its limit beyond M before our lock was there to be seen.
 *  6. A slot with an older mark of the same log protects too; it is taken when
 *     no slot can be had with M. Without any, lock 0 stays the pin.
 *
 * Connections are opened for one snapshot, read-only, never checkpoint on
 * close, and live as long as the pin.
 *
 * Threads: one at a time, except sqlite_pin_check(), which may run beside
 * readers of the image.
 */
#ifndef SQLITE_PIN_H
#define SQLITE_PIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "engines/sqlite/files.h"
#include "engines/sqlite/format.h"
#include "engines/sqlite/handle.h"

struct sqlite_pin {
	struct sqlite_target target; /* its path is owned */

	struct sqlite_file *db; /* held from before the connection is opened
				    until after it is closed */
	struct sqlite_file *wal;
	struct stat wal_st;
	struct stat shm_st;

	struct sqlite_handle reader;  /* its transaction is the pin, unless
					 a slot is; closed then */
	struct sqlite_handle carrier; /* locks a slot; opened when needed */
	volatile uint32_t *index;     /* block 0 of the wal-index, mapped */
	int slot;                     /* the read slot locked by us, or -1 */
	uint32_t slot_mark;           /* its mark */
	int64_t frozen_at_ns;         /* CLOCK_REALTIME of the moment */
	unsigned tries;               /* of the optimistic freeze */

	struct sqlite_index_header header; /* h2; constant once frozen */
	uint32_t backfill;                 /* b */
};

struct sqlite_pin_request {
	int root_fd;      /* the source's directory */
	const char *root; /* and its path */
	const char *rel;
	const atomic_bool *cancel;
	int64_t limit_ns; /* for the whole of the freeze */
};

/*
 * Open the database and freeze it. On success the caller owns the pin and ends
 * it with sqlite_pin_release(); on failure nothing is held. BUSY: an exclusive
 * holder, or no quiet moment within the limit. AGAIN: it needs recovery by its
 * application. ACCESS, UNSUPPORTED, NOTFOUND, CANCELLED, IO. Blocks up to
 * limit_ns.
 */
int sqlite_pin_take(struct sqlite_pin *pin,
    const struct sqlite_pin_request *request, struct still_error *err);

/* The page number that the wal-index has for `frame`, or 0 when it cannot be
 * read. Only frames in (backfill, max_frame]. */
uint32_t sqlite_pin_index_page(struct sqlite_pin *pin, uint32_t frame);

/* 0 while the pin protects its moment, else STILL_ERR_LOST. Takes no lock and
 * opens nothing. */
int sqlite_pin_check(
    const struct sqlite_pin *pin, int root_fd, struct still_error *err);

/* Let everything go, in the order that the locks need. Accepts a zeroed or
 * half-built pin. */
void sqlite_pin_release(struct sqlite_pin *pin);

#endif
