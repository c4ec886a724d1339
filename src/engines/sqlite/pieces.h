/* SPDX-License-Identifier: MIT */
/*
 * pieces: a file of ours on somebody's disk, read back in pieces that are
 * proven.
 *
 * A disk that cannot keep what it took (it fails, or is thinner than it says)
 * tells nobody who does not sync, and gives zeros for it later. To sync would
 * take as long as the disk does. So a digest of each 64 KiB is kept in memory,
 * made of what was written, and each read is compared with it: 128 KiB of
 * digests for a GiB.
 *
 * Threads: pieces may be noted by any at once, the same one with the same bytes
 * only; a piece may be read by any number once it was noted, which the caller
 * tells them.
 */
#ifndef SQLITE_PIECES_H
#define SQLITE_PIECES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SQLITE_PIECE_BYTES ((size_t) 64 * 1024)

/* What to do about a copy that cannot be read, or is not what was written. */
#define SQLITE_PIECES_IO_HINT "The disk of `spool` failed; see the kernel log."
#define SQLITE_PIECES_LOST_HINT                                           \
	"The disk of `spool` failed, or has less room than it says; see " \
	"the kernel log. The live database is not harmed."

struct sqlite_pieces {
	int fd;                    /* borrowed */
	uint64_t size_bytes;       /* of the file; the last piece ends there */
	_Atomic uint64_t *digests; /* owned; one per piece */
};

/* For a file of `size_bytes`. `pieces` is zeroed, or was initialised with
 * another size: it keeps the digests, also on failure. NOMEM. */
int sqlite_pieces_init(struct sqlite_pieces *pieces, int fd,
    uint64_t size_bytes, struct still_error *err);

static inline uint64_t sqlite_pieces_count(const struct sqlite_pieces *pieces)
{
	return (pieces->size_bytes + SQLITE_PIECE_BYTES - 1) /
	    SQLITE_PIECE_BYTES;
}

/* Bytes of piece `index`. */
size_t sqlite_pieces_len(const struct sqlite_pieces *pieces, uint64_t index);

/* Note what the pieces in [off, off + len) are to hold; `off` is where a piece
 * begins, and the range ends where one does, or the file. The data are not
 * looked at otherwise, and nothing is written. */
void sqlite_pieces_note(struct sqlite_pieces *pieces, uint64_t off_bytes,
    const void *data, size_t len);

/* Read [off, off + len) of what was noted, inside the file. CORRUPT where it is
 * not what was noted, IO; `rel` is the database that it is a copy of. */
int sqlite_pieces_read(const struct sqlite_pieces *pieces, const char *rel,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err);

/* Accepts a zeroed one. Does not close the descriptor. */
void sqlite_pieces_release(struct sqlite_pieces *pieces);

#endif
