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
 * SEVERAL DATABASES. To read their headers one after another gives no common
 * moment, however often it is repeated. With the WRITE slot of each held SHARED
 * at once there is no commit under way in any of them, and the moment is one
 * (cut.h). Held so, a header cannot move, and steps 1-4 shrink to taking a read
 * slot (5, 6); only where no slot is to be had, a transaction is begun.
 *
 * ROLLBACK JOURNAL. A database that is not in WAL mode has no pin that could be
 * kept: its readers stop its writers. Its transaction is begun in the cut and
 * ended when its private copy is made (private.h).
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
#include "engines/sqlite/slots.h"

/* A read lock, and the commit that it stands at. */
struct sqlite_hold {
	int slot;      /* the read slot locked by us; -1: the reader's
			  transaction is the lock */
	uint32_t mark; /* of a slot but 0, which has none */
	struct sqlite_index_header header;
	uint32_t backfill;
};

/* Has all of the log been in the database file when it was taken? */
static inline bool sqlite_hold_is_full(const struct sqlite_hold *hold)
{
	return hold->backfill == hold->header.max_frame;
}

/* May the log begin anew under it? Read lock 0 lets it. */
static inline bool sqlite_hold_lets_restart(const struct sqlite_hold *hold)
{
	return hold->slot == 0 || (hold->slot < 0 && sqlite_hold_is_full(hold));
}

struct sqlite_pin {
	struct sqlite_target target; /* its path is owned */
	enum sqlite_log log;         /* as of the opening */

	struct sqlite_file *db; /* held from before the connection is opened
				    until after it is closed */
	struct sqlite_file *wal;
	struct sqlite_file *shm; /* NULL until sqlite_hop_prepare() */
	struct stat wal_st;
	struct stat shm_st;

	struct sqlite_handle reader;  /* its transaction is the pin, unless
					 a slot is */
	struct sqlite_handle carrier; /* locks a slot where the reader has a
					 transaction meanwhile */
	volatile uint32_t *index;     /* block 0 of the wal-index, mapped */
	bool index_read_only;         /* no mark can be set in it */
	int64_t frozen_at_ns;         /* CLOCK_REALTIME of the moment */
	unsigned tries;               /* of the optimistic freeze */

	/* The moment; constant once frozen. */
	struct sqlite_index_header header; /* h2 */
	uint32_t backfill;                 /* b */

	struct sqlite_hold hold; /* where the pin stands by now (hop.h) */
};

struct sqlite_pin_request {
	int root_fd;      /* the source's directory */
	const char *root; /* and its path */
	const char *rel;
	const atomic_bool *cancel;
	int64_t limit_ns; /* how long an exclusive holder is waited for, up to
			     some seconds */
};

/*
 * Open the database and learn its journal mode; hold no moment yet. On success
 * the caller ends the pin with sqlite_pin_release(); on failure nothing is
 * held. BUSY: an exclusive holder. AGAIN: it needs recovery by its application.
 * NOTFOUND: another look at the directory will help. CORRUPT: SQLite itself
 * refuses it. ACCESS, UNSUPPORTED, CANCELLED, IO.
 */
int sqlite_pin_open(struct sqlite_pin *pin,
    const struct sqlite_pin_request *request, struct still_error *err);

/* WAL mode: freeze it, for itself. BUSY: no quiet moment within `limit_ns`. On
 * failure the pin holds no moment. */
int sqlite_pin_take(struct sqlite_pin *pin, int64_t limit_ns,
    const atomic_bool *cancel, struct still_error *err);

/* WAL mode: hold its writers off; false when one is at work. Does not wait. */
bool sqlite_pin_hold(struct sqlite_pin *pin);
void sqlite_pin_let_go(struct sqlite_pin *pin);

/* Between hold and let_go: freeze it. Not `*ret_fixed`: something must be
 * mended first; let go, and call sqlite_pin_refresh(). Does not wait. */
int sqlite_pin_fix(
    struct sqlite_pin *pin, bool *ret_fixed, struct still_error *err);

/* Undo a fix. */
void sqlite_pin_drop(struct sqlite_pin *pin);

/* Let SQLite look at the database again, and recover the wal-index where a
 * writer died. */
int sqlite_pin_refresh(struct sqlite_pin *pin, struct still_error *err);

/* NOTFOUND: the journal mode is not the one that was seen at the opening. */
int sqlite_pin_switched(const struct sqlite_pin *pin, struct still_error *err);

/* The read slots, for the connection whose locks on them are ours. */
struct sqlite_slots sqlite_pin_slots(const struct sqlite_pin *pin);

/* The page number that the wal-index has for `frame`, or 0 when it cannot be
 * read. Only frames in (backfill, max_frame]. */
uint32_t sqlite_pin_index_page(struct sqlite_pin *pin, uint32_t frame);

/* 0 while the pin protects its moment, with the length that its log has by now;
 * else STILL_ERR_LOST. Takes no lock and opens nothing. */
int sqlite_pin_check(const struct sqlite_pin *pin, int root_fd,
    uint64_t *ret_log_bytes, struct still_error *err);

/* Let everything go, in the order that the locks need; what it says of its
 * moment stays. Accepts a half-built pin, and one that is released. */
void sqlite_pin_release(struct sqlite_pin *pin);

#endif
