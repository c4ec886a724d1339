/* SPDX-License-Identifier: MIT */
/* Reading what is saved, and the proof of it. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"
#include "engines/sqlite/bits.h"
#include "engines/sqlite/saved.h"

/* 0, or why it cannot be had. */
static int check_spoilt(
    struct sqlite_saved *saved, uint32_t page, struct still_error *err)
{
	int rc = 0;

	if (!atomic_load(&saved->any_bad))
		return 0;
	pthread_mutex_lock(&saved->lock);
	for (size_t i = 0; rc == 0 && i < saved->n_bad; i++) {
		if (saved->bad[i].page != page)
			continue;
		rc = saved->bad[i].why.code;
		if (err)
			still_error_copy(err, &saved->bad[i].why);
	}
	pthread_mutex_unlock(&saved->lock);
	return rc;
}

/* The whole page, into `data`. */
static int read_page(struct sqlite_saved *saved, uint32_t page, void *data,
    struct still_error *err)
{
	const size_t len = saved->page_size_bytes;
	int rc = check_spoilt(saved, page, err);
	ssize_t n;

	if (rc < 0)
		return rc;
	n = still_sys_pread(
	    saved->fd, data, len, sqlite_saved_off(saved, page));
	if (n < 0)
		return still_error_sys(err, (int) -n, SQLITE_PIECES_IO_HINT,
		    "private copy of `%s`", saved->rel);
	if ((size_t) n == len &&
	    still_hash64(data, len) ==
		atomic_load_explicit(
		    &saved->page_digests[page - 1], memory_order_relaxed))
		return 0;
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    SQLITE_PIECES_LOST_HINT,
	    "page %u of `%s`: its copy in the spool changed since it was saved",
	    page, saved->rel);
}

/* [off, off + len), which lies in one page. */
static int read_in_page(struct sqlite_saved *saved, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	uint8_t scratch[SQLITE_PIECE_BYTES];
	uint32_t page = (uint32_t) (off_bytes / saved->page_size_bytes) + 1;
	int rc;

	if (len == saved->page_size_bytes)
		return read_page(saved, page, data, err);
	rc = read_page(saved, page, scratch, err);
	if (rc == 0)
		memcpy(data, scratch + off_bytes % saved->page_size_bytes, len);
	return rc;
}

int sqlite_saved_read(struct sqlite_saved *saved, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	uint8_t *to = data;
	int rc = 0;

	assert(off_bytes <= saved->pieces.size_bytes &&
	    len <= saved->pieces.size_bytes - off_bytes);
	while (rc == 0 && len > 0) {
		bool piece = sqlite_bits_has(
		    saved->piece_marks, off_bytes / SQLITE_PIECE_BYTES);
		size_t unit = piece ? SQLITE_PIECE_BYTES
				    : saved->page_size_bytes;
		size_t left = unit - (size_t) (off_bytes % unit);
		size_t part = len < left ? len : left;

		rc = piece ? sqlite_pieces_read(&saved->pieces, saved->rel,
				 off_bytes, to, part, err)
			   : read_in_page(saved, off_bytes, to, part, err);
		off_bytes += part;
		to += part;
		len -= part;
	}
	return rc;
}
