/* SPDX-License-Identifier: MIT */
/*
 * increment: the pages in which an image differs from an older one of the same
 * database, as a log that any SQLite replays.
 *
 * THE FILE is a log as format.h has it, and nothing else:
 *  1. a header, with the page size of both images and salts of its own;
 *  2. a frame for each page that is different, by ascending number;
 *  3. the last frame is a commit, the only one: it has the image's number of
 *     pages. There is at least one frame: where only the number of pages is
 *     different, page 1 stands there as it is.
 *  4. Each page behind the end of the older image is in it, for the older one
 *     has nothing to show for it. But for the page of the lock bytes, which is in
 *     no log.
 *
 * Put beside the older image as NAME-wal, with nothing called NAME-shm, it is what
 * SQLite recovers when the database is opened, and the next checkpoint makes of
 * both the newer image, byte for byte. Beside any other image it does as much
 * without complaint: whoever puts it there must know which one it is.
 * https://www.sqlite.org/walformat.html (section 4)
 *
 * An increment is written to the spool, page by page, and read back in pieces
 * that are proven (pieces.h).
 *
 * Threads: written by one; sqlite_increment_read() from any number at once.
 */
#ifndef SQLITE_INCREMENT_H
#define SQLITE_INCREMENT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/format.h"
#include "engines/sqlite/pieces.h"

/* What becomes of an image. */
struct sqlite_increment_target {
	const char *rel; /* the database; borrowed */
	uint32_t page_size_bytes;
	uint32_t n_pages;
};

struct sqlite_increment {
	int fd; /* -1: not begun */
	struct sqlite_increment_target target;
	const struct still_spool *spool; /* borrowed */
	struct sqlite_pieces pieces;
	uint64_t size_bytes;  /* of the file, once it is ended */
	uint64_t taken_bytes; /* from the spool */
	uint32_t n_frames;

	/* While it is written. */
	uint8_t salts[8];
	struct sqlite_checksum sum; /* of the last frame that is made */
	uint8_t *page;              /* owned; the page that is to come */
	uint32_t page_number;       /* 0: none yet */
	uint8_t *piece;             /* owned; bytes that are not written yet */
	size_t piece_bytes;
};

#define SQLITE_INCREMENT_INIT \
	{                     \
		.fd = -1      \
	}

/* An empty one. `salts` are any that no log of the database had before. NOSPACE,
 * NOMEM, IO. It is to be released in every case. */
int sqlite_increment_begin(struct sqlite_increment *increment,
    const struct sqlite_increment_target *target, const uint8_t salts[8],
    const struct still_spool *spool, struct still_error *err);

/* The next page that is different; its number rises from call to call. */
int sqlite_increment_add(struct sqlite_increment *increment, uint32_t page,
    const void *data, struct still_error *err);

/* There are no more; there was one. From here on it can be read. */
int sqlite_increment_end(
    struct sqlite_increment *increment, struct still_error *err);

/* Bytes [off, off + len), inside the file. CORRUPT, IO. */
int sqlite_increment_read(const struct sqlite_increment *increment,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err);

/* Gives its room back. Accepts what was initialised only. */
void sqlite_increment_release(struct sqlite_increment *increment);

/* ---- one that lies somewhere --------------------------------------------- */

/* Called for each page, in order; a negative code ends the walk. */
typedef int sqlite_increment_fn(
    void *arg, uint32_t page, const uint8_t *data, struct still_error *err);

/*
 * Read and prove the file `fd`, which messages call `path`: rules 1 to 3, every
 * checksum, and that it ends with its last frame. `ret` gets the size of a page and
 * the number of pages; `each` may have been called for pages of a file that is
 * then found to be damaged. CORRUPT, IO, NOMEM, CANCELLED, and what `each`
 * returns.
 */
int sqlite_increment_walk(int fd, const char *path, const atomic_bool *cancel,
    sqlite_increment_fn *each, void *arg, struct sqlite_increment_target *ret,
    struct still_error *err);

#endif
