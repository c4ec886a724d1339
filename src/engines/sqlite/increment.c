/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/increment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

/* ---- writing ------------------------------------------------------------- */

static int take(
    struct sqlite_increment *increment, size_t bytes, struct still_error *err)
{
	int rc = increment->spool->take(
	    increment->spool->arg, increment->target.rel, bytes, err);

	if (rc == 0)
		increment->taken_bytes += bytes;
	return rc;
}

/* Room for the digests of as many pieces again. */
static int grow_pieces(struct sqlite_increment *increment, uint64_t end_bytes,
    struct still_error *err)
{
	uint64_t bytes = increment->pieces.size_bytes;

	if (end_bytes <= bytes)
		return 0;
	return sqlite_pieces_init(
	    &increment->pieces, increment->fd, 2 * end_bytes, err);
}

/* Write what is gathered: a piece, or the last one, which may be shorter. */
static int flush(struct sqlite_increment *increment, struct still_error *err)
{
	size_t len = increment->piece_bytes;
	int rc = take(increment, len, err);

	if (rc == 0)
		rc = grow_pieces(increment, increment->size_bytes + len, err);
	if (rc < 0)
		return rc;
	sqlite_pieces_note(
	    &increment->pieces, increment->size_bytes, increment->piece, len);
	rc = still_sys_pwrite(
	    increment->fd, increment->piece, len, increment->size_bytes);
	if (rc < 0)
		return still_error_sys(err, -rc, SQLITE_PIECES_IO_HINT,
		    "increment of `%s`", increment->target.rel);
	increment->size_bytes += len;
	increment->piece_bytes = 0;
	return 0;
}

static int append(struct sqlite_increment *increment, const void *data,
    size_t len, struct still_error *err)
{
	const uint8_t *from = data;

	while (len > 0) {
		size_t room = SQLITE_PIECE_BYTES - increment->piece_bytes;
		size_t part = len < room ? len : room;

		memcpy(increment->piece + increment->piece_bytes, from, part);
		increment->piece_bytes += part;
		from += part;
		len -= part;
		if (increment->piece_bytes == SQLITE_PIECE_BYTES) {
			int rc = flush(increment, err);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int sqlite_increment_begin(struct sqlite_increment *increment,
    const struct sqlite_increment_target *target, const uint8_t salts[8],
    const struct still_spool *spool, struct still_error *err)
{
	uint8_t header[SQLITE_WAL_HEADER_BYTES];
	int rc;

	*increment = (struct sqlite_increment) SQLITE_INCREMENT_INIT;
	increment->target = *target;
	increment->spool = spool;
	memcpy(increment->salts, salts, sizeof(increment->salts));
	increment->page = malloc(target->page_size_bytes);
	increment->piece = malloc(SQLITE_PIECE_BYTES);
	if (!increment->page || !increment->piece)
		return still_error_nomem(err);
	rc = spool->open(spool->arg, target->rel, 0, &increment->fd, err);
	if (rc < 0)
		return rc;
	increment->sum = sqlite_wal_header_write(
	    target->page_size_bytes, salts, header);
	return append(increment, header, sizeof(header), err);
}

/* The page that is waited with: only the last one is a commit. */
static int put_frame(struct sqlite_increment *increment,
    uint32_t n_pages_commit, struct still_error *err)
{
	struct sqlite_frame_header header = {
	    .page = increment->page_number,
	    .n_pages_commit = n_pages_commit,
	};
	uint8_t bytes[SQLITE_FRAME_HEADER_BYTES];
	const uint32_t page_size = increment->target.page_size_bytes;
	int rc;

	memcpy(header.salts, increment->salts, sizeof(header.salts));
	sqlite_frame_header_write(
	    &header, increment->page, page_size, &increment->sum, bytes);
	rc = append(increment, bytes, sizeof(bytes), err);
	if (rc == 0)
		rc = append(increment, increment->page, page_size, err);
	if (rc == 0)
		increment->n_frames++;
	return rc;
}

int sqlite_increment_add(struct sqlite_increment *increment, uint32_t page,
    const void *data, struct still_error *err)
{
	int rc = 0;

	assert(
	    page > increment->page_number && page <= increment->target.n_pages);
	if (increment->page_number)
		rc = put_frame(increment, 0, err);
	increment->page_number = page;
	memcpy(increment->page, data, increment->target.page_size_bytes);
	return rc;
}

int sqlite_increment_end(
    struct sqlite_increment *increment, struct still_error *err)
{
	int rc;

	assert(increment->page_number > 0);
	rc = put_frame(increment, increment->target.n_pages, err);
	if (rc == 0 && increment->piece_bytes > 0)
		rc = flush(increment, err);
	if (rc == 0)
		rc = sqlite_pieces_init(&increment->pieces, increment->fd,
		    increment->size_bytes, err);
	free(increment->page);
	free(increment->piece);
	increment->page = NULL;
	increment->piece = NULL;
	return rc;
}

int sqlite_increment_read(const struct sqlite_increment *increment,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	return sqlite_pieces_read(&increment->pieces, increment->target.rel,
	    off_bytes, data, len, err);
}

void sqlite_increment_release(struct sqlite_increment *increment)
{
	sqlite_pieces_release(&increment->pieces);
	free(increment->page);
	free(increment->piece);
	if (increment->fd >= 0)
		close(increment->fd);
	if (increment->taken_bytes)
		increment->spool->give(
		    increment->spool->arg, increment->taken_bytes);
	*increment = (struct sqlite_increment) SQLITE_INCREMENT_INIT;
}

/* ---- one that lies somewhere --------------------------------------------- */

struct walk {
	int fd;
	const char *path;
	struct sqlite_wal_header header;
	struct sqlite_checksum sum; /* of the last frame */
	uint64_t off_bytes;         /* of the next one */
	uint64_t size_bytes;
	uint32_t frame; /* its number */
	uint32_t page;  /* of the last one */
	uint32_t n_pages_commit;
	uint8_t *bytes; /* owned; header and page */
};

static int damaged(
    const struct walk *walk, const char *what, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "Take another copy of the set; this one cannot be restored.",
	    "`%s`: frame %u: %s", walk->path, walk->frame, what);
}

static int read_exactly(
    struct walk *walk, void *data, size_t len, struct still_error *err)
{
	ssize_t n = still_sys_pread(walk->fd, data, len, walk->off_bytes);

	if (n < 0)
		return still_error_sys(err, (int) -n, NULL, "`%s`", walk->path);
	if ((size_t) n < len)
		return damaged(walk, "the file ends in it", err);
	walk->off_bytes += len;
	return 0;
}

static int begin_walk(struct walk *walk, struct still_error *err)
{
	uint8_t bytes[SQLITE_WAL_HEADER_BYTES];
	struct stat st;
	const char *wrong;
	int rc = still_sys_fstat(walk->fd, &st);

	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", walk->path);
	walk->size_bytes = (uint64_t) st.st_size;
	rc = read_exactly(walk, bytes, sizeof(bytes), err);
	if (rc < 0)
		return rc;
	wrong = sqlite_wal_header_parse(bytes, &walk->header);
	if (wrong)
		return still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "Take another copy of the set; this one cannot be restored.",
		    "`%s`: is no log of SQLite: %s", walk->path, wrong);
	walk->sum = walk->header.checksum;
	walk->bytes = malloc(
	    SQLITE_FRAME_HEADER_BYTES + (size_t) walk->header.page_size_bytes);
	return walk->bytes ? 0 : still_error_nomem(err);
}

/* NULL, or what is wrong with the frame that was read. */
static const char *prove(
    struct walk *walk, const struct sqlite_frame_header *header)
{
	walk->sum = sqlite_checksum_add(
	    walk->sum, walk->header.big_endian, walk->bytes, 8);
	walk->sum = sqlite_checksum_add(walk->sum, walk->header.big_endian,
	    walk->bytes + SQLITE_FRAME_HEADER_BYTES,
	    walk->header.page_size_bytes);
	if (!sqlite_checksum_equal(walk->sum, header->checksum))
		return "its checksum does not match";
	if (memcmp(header->salts, walk->header.salts, sizeof(header->salts)) !=
	    0)
		return "is of another log";
	if (header->page <= walk->page)
		return "its page is not behind the one before it";
	if (walk->n_pages_commit)
		return "follows the commit";
	if (header->n_pages_commit && header->page > header->n_pages_commit)
		return "its page lies behind the end of the database";
	return NULL;
}

static int walk_frame(struct walk *walk, sqlite_increment_fn *each, void *arg,
    struct still_error *err)
{
	struct sqlite_frame_header header;
	const char *wrong;
	int rc;

	walk->frame++;
	rc = read_exactly(walk, walk->bytes,
	    SQLITE_FRAME_HEADER_BYTES + (size_t) walk->header.page_size_bytes,
	    err);
	if (rc < 0)
		return rc;
	sqlite_frame_header_parse(walk->bytes, &header);
	wrong = prove(walk, &header);
	if (wrong)
		return damaged(walk, wrong, err);
	walk->page = header.page;
	walk->n_pages_commit = header.n_pages_commit;
	return each(
	    arg, header.page, walk->bytes + SQLITE_FRAME_HEADER_BYTES, err);
}

int sqlite_increment_walk(int fd, const char *path, const atomic_bool *cancel,
    sqlite_increment_fn *each, void *arg, struct sqlite_increment_target *ret,
    struct still_error *err)
{
	struct walk walk = {.fd = fd, .path = path};
	int rc = begin_walk(&walk, err);

	while (rc == 0 && walk.off_bytes < walk.size_bytes) {
		if (cancel && atomic_load(cancel))
			rc = still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
			    "`%s`: was not read to its end", path);
		else
			rc = walk_frame(&walk, each, arg, err);
	}
	if (rc == 0 && !walk.n_pages_commit)
		rc = damaged(&walk, "is the last, and no commit", err);
	free(walk.bytes);
	if (rc == 0)
		*ret = (struct sqlite_increment_target){
		    .rel = path,
		    .page_size_bytes = walk.header.page_size_bytes,
		    .n_pages = walk.n_pages_commit,
		};
	return rc;
}
