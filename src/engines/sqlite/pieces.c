/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/pieces.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"

int sqlite_pieces_init(struct sqlite_pieces *pieces, int fd,
    uint64_t size_bytes, struct still_error *err)
{
	const struct sqlite_pieces sized = {.size_bytes = size_bytes};
	/* One more, so that an empty file has an array, too. */
	uint64_t n_digests = sqlite_pieces_count(&sized) + 1;
	_Atomic uint64_t *digests = realloc(
	    pieces->digests, n_digests * sizeof(*digests));

	if (!digests)
		return still_error_nomem(err);
	pieces->digests = digests;
	pieces->fd = fd;
	pieces->size_bytes = size_bytes;
	return 0;
}

size_t sqlite_pieces_len(const struct sqlite_pieces *pieces, uint64_t index)
{
	uint64_t left = pieces->size_bytes - index * SQLITE_PIECE_BYTES;

	return left < SQLITE_PIECE_BYTES ? (size_t) left : SQLITE_PIECE_BYTES;
}

/* What orders a digest before whoever reads it is the caller's mark: here
 * nothing is torn, and no more is needed. */
void sqlite_pieces_note(struct sqlite_pieces *pieces, uint64_t off_bytes,
    const void *data, size_t len)
{
	_Atomic uint64_t *digest = pieces->digests +
	    off_bytes / SQLITE_PIECE_BYTES;
	const uint8_t *from = data;

	while (len > 0) {
		size_t part = len < SQLITE_PIECE_BYTES ? len
						       : SQLITE_PIECE_BYTES;

		atomic_store_explicit(
		    digest++, still_hash64(from, part), memory_order_relaxed);
		from += part;
		len -= part;
	}
}

/* The whole of piece `index`, into `data`. */
static int read_piece(const struct sqlite_pieces *pieces, const char *rel,
    uint64_t index, void *data, struct still_error *err)
{
	uint64_t off = index * SQLITE_PIECE_BYTES;
	size_t len = sqlite_pieces_len(pieces, index);
	ssize_t n = still_sys_pread(pieces->fd, data, len, off);

	if (n < 0)
		return still_error_sys(err, (int) -n, SQLITE_PIECES_IO_HINT,
		    "private copy of `%s`", rel);
	if ((size_t) n == len &&
	    still_hash64(data, len) ==
		atomic_load_explicit(
		    &pieces->digests[index], memory_order_relaxed))
		return 0;
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    SQLITE_PIECES_LOST_HINT,
	    "private copy of `%s`: changed since it was made (bytes %llu to "
	    "%llu)",
	    rel, (unsigned long long) off, (unsigned long long) (off + len));
}

int sqlite_pieces_read(const struct sqlite_pieces *pieces, const char *rel,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	uint8_t scratch[SQLITE_PIECE_BYTES];
	uint8_t *to = data;
	int rc = 0;

	while (rc == 0 && len > 0) {
		uint64_t index = off_bytes / SQLITE_PIECE_BYTES;
		size_t from = (size_t) (off_bytes % SQLITE_PIECE_BYTES);
		size_t piece = sqlite_pieces_len(pieces, index);
		size_t part = piece - from < len ? piece - from : len;
		bool whole = part == piece;

		rc = read_piece(pieces, rel, index, whole ? to : scratch, err);
		if (rc == 0 && !whole)
			memcpy(to, scratch + from, part);
		off_bytes += part;
		to += part;
		len -= part;
	}
	return rc;
}

void sqlite_pieces_release(struct sqlite_pieces *pieces)
{
	free(pieces->digests);
	*pieces = (struct sqlite_pieces){0};
}
