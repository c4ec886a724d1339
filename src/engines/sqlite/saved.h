/* SPDX-License-Identifier: MIT */
/*
 * saved: the pages of an image that lie in the spool, because the database is
 * about to lose them, or so that nothing need be held in it any longer.
 *
 * One file without a name, page p at (p - 1) x page size, sparse: once it is
 * complete it is the image. What comes into it:
 *
 *   a page   that is about to be overwritten (tick.h). Its digest (XXH3-64) is
 *            kept, 8 bytes a page, in memory that is used where there are such
 *            pages and nowhere else.
 *   a piece  64 KiB of the image, whatever was saved of it before, when the
 *            image is completed (complete.h). Its digest stands in pieces.h.
 *   nothing  of a page that is damaged: it is known to be had no more, and why.
 *
 * Written first, marked then; a mark is never taken back, and the first one
 * counts: who saves a page that is spoilt, or spoils one that is saved, changes
 * nothing. What is saved twice is saved with the same bytes, so whoever reads
 * meanwhile is right with either. Each read is proven by the digest: CORRUPT
 * where the disk lost it.
 *
 * Room is taken from the spool before it is written, a MiB at a time; or for
 * all of it at once, with its blocks, when it is to be completed. What is
 * written twice by threads that met, and what failed, may be counted twice:
 * never too little is taken, and never more than the image.
 *
 * Threads: opened, reserved and released by one; all else from any, at once.
 */
#ifndef SQLITE_SAVED_H
#define SQLITE_SAVED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/pieces.h"

/* A page that cannot be had. */
struct sqlite_saved_bad {
	uint32_t page;
	struct still_error why;
};

struct sqlite_saved {
	int fd;          /* -1: not open; nothing is saved */
	const char *rel; /* borrowed; of the database */
	uint32_t page_size_bytes;
	uint32_t n_pages;
	const struct still_spool *spool; /* borrowed */

	struct sqlite_pieces pieces;
	_Atomic uint64_t *piece_marks;  /* owned; bits: saved as a piece */
	_Atomic uint64_t *page_marks;   /* owned; bits, from page 1: here, by
					   itself or in a piece, or spoilt */
	_Atomic uint64_t *page_digests; /* owned; mapped, one per page */
	atomic_uint_fast64_t n_pieces_done; /* of which every page is marked */

	pthread_rwlock_t writing; /* shared by who writes; alone is who gives
				     blocks back. Before `lock` */
	pthread_mutex_t lock;   /* of what follows, and of setting page marks */
	uint64_t taken_bytes;   /* from the spool */
	uint64_t written_bytes; /* of these */
	bool reserved;          /* all is taken, with blocks */
	struct sqlite_saved_bad *bad; /* owned */
	size_t n_bad;
	atomic_bool any_bad; /* may be asked without the lock */
};

#define SQLITE_SAVED_INIT \
	{                 \
		.fd = -1  \
	}

/* An empty one for an image of `n_pages`, at least one. NOSPACE, NOMEM, and
 * what the spool says. Nothing to release on failure. */
int sqlite_saved_open(struct sqlite_saved *saved, const char *rel,
    uint32_t page_size_bytes, uint32_t n_pages, const struct still_spool *spool,
    struct still_error *err);

/* Have blocks for all of it now, where the file system can promise them.
 * NOSPACE: there are none, and nothing more is taken than before. May take as
 * long as the disk does; who saves meanwhile waits for a failure to be undone,
 * and for nothing else. */
int sqlite_saved_reserve(struct sqlite_saved *saved, struct still_error *err);

/* Save page `page` (from 1); one that is here costs nothing. NOSPACE, IO. */
int sqlite_saved_page(struct sqlite_saved *saved, uint32_t page,
    const void *data, struct still_error *err);

/* Save piece `index` of the image, whole; where a page of it is spoilt, the
 * others one by one. NOSPACE, IO. */
int sqlite_saved_piece(struct sqlite_saved *saved, uint64_t index,
    const void *data, struct still_error *err);

/* The page cannot be had: each read of it fails with `why`, which is copied.
 * NOMEM. */
int sqlite_saved_spoil(struct sqlite_saved *saved, uint32_t page,
    const struct still_error *why, struct still_error *err);

/* Is it here, or known to be had no more? */
bool sqlite_saved_has(const struct sqlite_saved *saved, uint32_t page);

/* How many pages from `page` on, up to `max` and to the end of the image, are
 * here or are not, as `page` is. */
uint32_t sqlite_saved_run(
    const struct sqlite_saved *saved, uint32_t page, uint32_t max);

/* Bytes [off, off + len) of the image, of pages that are all here. CORRUPT
 * (changed since it was saved, or why it was never to be had), IO. */
int sqlite_saved_read(struct sqlite_saved *saved, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err);

/* Bytes written to the spool by now. */
uint64_t sqlite_saved_bytes(struct sqlite_saved *saved);

/* Is piece `index` here: saved as a piece, or every page of it, or known to be
 * had no more? */
bool sqlite_saved_has_piece(const struct sqlite_saved *saved, uint64_t index);

/* Where a page lies. */
static inline uint64_t sqlite_saved_off(
    const struct sqlite_saved *saved, uint32_t page)
{
	return (uint64_t) (page - 1) * saved->page_size_bytes;
}

/* Gives its room back. Accepts what was initialised only. */
void sqlite_saved_release(struct sqlite_saved *saved);

#endif
