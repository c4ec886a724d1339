/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/saved.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "engines/sqlite/bits.h"

/* Room is taken in these: the spool looks at the disk each time. */
#define LUMP_BYTES (UINT64_C(1) << 20)

static int write_failed(
    const struct sqlite_saved *saved, int sys_errno, struct still_error *err)
{
	return still_error_sys(err, sys_errno,
	    "What a snapshot still needs of its database is kept in the "
	    "directory that `spool` names.",
	    "private copy of `%s`", saved->rel);
}

/* ---- pages and pieces ---------------------------------------------------- */

/* The page size divides a piece: none lies in two. */
static uint64_t piece_of(const struct sqlite_saved *saved, uint32_t page)
{
	return sqlite_saved_off(saved, page) / SQLITE_PIECE_BYTES;
}

static uint32_t first_page(const struct sqlite_saved *saved, uint64_t index)
{
	return (uint32_t) (index *
		   (SQLITE_PIECE_BYTES / saved->page_size_bytes)) +
	    1;
}

static uint32_t pages_in(const struct sqlite_saved *saved, uint64_t index)
{
	return (uint32_t) (sqlite_pieces_len(&saved->pieces, index) /
	    saved->page_size_bytes);
}

/* ---- marks --------------------------------------------------------------- */

/* Under the lock, so that one of two who set the last marks of a piece counts
 * it, and so that nothing is spoilt that is saved. */
static void mark_page(struct sqlite_saved *saved, uint32_t page)
{
	uint64_t index = piece_of(saved, page);

	if (!sqlite_bits_set(saved->page_marks, page - 1) &&
	    sqlite_saved_has_piece(saved, index))
		atomic_fetch_add(&saved->n_pieces_done, 1);
}

bool sqlite_saved_has(const struct sqlite_saved *saved, uint32_t page)
{
	if (saved->fd < 0)
		return false;
	assert(page >= 1 && page <= saved->n_pages);
	return sqlite_bits_has(saved->page_marks, page - 1);
}

uint32_t sqlite_saved_run(
    const struct sqlite_saved *saved, uint32_t page, uint32_t max)
{
	if (saved->fd < 0)
		return max;
	assert(page >= 1 && page <= saved->n_pages);
	if (max > saved->n_pages - page + 1)
		max = saved->n_pages - page + 1;
	return (uint32_t) sqlite_bits_run(saved->page_marks, page - 1, max);
}

bool sqlite_saved_has_piece(const struct sqlite_saved *saved, uint64_t index)
{
	uint32_t first;
	uint32_t n;

	if (saved->fd < 0)
		return false;
	assert(index < sqlite_pieces_count(&saved->pieces));
	first = first_page(saved, index);
	n = pages_in(saved, index);
	return sqlite_saved_has(saved, first) &&
	    sqlite_saved_run(saved, first, n) == n;
}

/* ---- opening ------------------------------------------------------------- */

/* All zeros, and no memory of it is used before it is written to: nor more than
 * what is, where the system likes its pages huge. */
static _Atomic uint64_t *map_digests(uint32_t n_pages)
{
	size_t len = (size_t) n_pages * sizeof(uint64_t);
	void *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	(void) madvise(map, len, MADV_NOHUGEPAGE);
	return map;
}

static int build(struct sqlite_saved *saved, struct still_error *err)
{
	uint64_t size = (uint64_t) saved->n_pages * saved->page_size_bytes;
	int rc = sqlite_pieces_init(&saved->pieces, saved->fd, size, err);

	if (rc < 0)
		return rc;
	saved->piece_marks = sqlite_bits_new(
	    sqlite_pieces_count(&saved->pieces));
	saved->page_marks = sqlite_bits_new(saved->n_pages);
	saved->page_digests = map_digests(saved->n_pages);
	if (!saved->piece_marks || !saved->page_marks || !saved->page_digests)
		return still_error_nomem(err);
	if (ftruncate(saved->fd, (off_t) size) != 0)
		return write_failed(saved, errno, err);
	return 0;
}

int sqlite_saved_open(struct sqlite_saved *saved, const char *rel,
    uint32_t page_size_bytes, uint32_t n_pages, const struct still_spool *spool,
    struct still_error *err)
{
	int rc;

	assert(n_pages > 0 && SQLITE_PIECE_BYTES % page_size_bytes == 0);
	*saved = (struct sqlite_saved){
	    .fd = -1,
	    .rel = rel,
	    .page_size_bytes = page_size_bytes,
	    .n_pages = n_pages,
	    .spool = spool,
	};
	rc = spool->open(spool->arg, rel, 0, &saved->fd, err);
	if (rc < 0)
		return rc;
	pthread_mutex_init(&saved->lock, NULL);
	pthread_rwlock_init(&saved->writing, NULL);
	rc = build(saved, err);
	if (rc < 0)
		sqlite_saved_release(saved);
	return rc;
}

/* ---- room ---------------------------------------------------------------- */

static uint64_t at_most(uint64_t bytes, uint64_t max_bytes)
{
	return bytes < max_bytes ? bytes : max_bytes;
}

/* Before `bytes` are written. They stay counted when that fails: some of them
 * may have been. */
static int take_room(
    struct sqlite_saved *saved, uint64_t bytes, struct still_error *err)
{
	const uint64_t size = saved->pieces.size_bytes;
	const struct still_spool *spool = saved->spool;
	uint64_t written;
	int rc = 0;

	pthread_mutex_lock(&saved->lock);
	written = at_most(saved->written_bytes + bytes, size);
	if (written > saved->taken_bytes) {
		uint64_t lump = at_most(LUMP_BYTES, size - saved->taken_bytes);

		rc = spool->take(spool->arg, saved->rel, lump, err);
		if (rc == 0)
			saved->taken_bytes += lump;
	}
	if (rc == 0)
		saved->written_bytes = written;
	pthread_mutex_unlock(&saved->lock);
	return rc;
}

/* Nobody writes. A file system that runs out of blocks keeps those that it had
 * found by then, and these are the application's: give back all that hold
 * nothing. Where that fails they stay with us until the end. */
static void give_blocks_back(struct sqlite_saved *saved)
{
	uint32_t page = 1;

	for (uint64_t left = saved->n_pages; left > 0;) {
		uint32_t n = sqlite_saved_run(saved, page, (uint32_t) left);

		if (!sqlite_saved_has(saved, page))
			(void) fallocate(saved->fd,
			    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t) sqlite_saved_off(saved, page),
			    (off_t) n * saved->page_size_bytes);
		page += n;
		left -= n;
	}
}

/* All was taken, `before_bytes` of it earlier, and there are no blocks for it.
 * Who saved meanwhile used room that was not taken for it. */
static int no_blocks(struct sqlite_saved *saved, uint64_t before_bytes,
    int sys_errno, struct still_error *err)
{
	const uint64_t size = saved->pieces.size_bytes;
	const struct still_spool *spool = saved->spool;
	uint64_t keep;

	pthread_rwlock_wrlock(&saved->writing);
	give_blocks_back(saved);
	pthread_mutex_lock(&saved->lock);
	keep = saved->written_bytes > before_bytes ? saved->written_bytes
						   : before_bytes;
	saved->taken_bytes = keep;
	pthread_mutex_unlock(&saved->lock);
	spool->give(spool->arg, size - keep);
	pthread_rwlock_unlock(&saved->writing);
	return still_error_set(err, STILL_ERR_NOSPACE, sys_errno,
	    "Make room there, or name another directory with `spool=`.",
	    "spool: a private copy of `%s` takes %llu bytes, and there are no "
	    "blocks for them",
	    saved->rel, (unsigned long long) size);
}

int sqlite_saved_reserve(struct sqlite_saved *saved, struct still_error *err)
{
	const uint64_t size = saved->pieces.size_bytes;
	const struct still_spool *spool = saved->spool;
	uint64_t before;
	int rc = 0;

	pthread_mutex_lock(&saved->lock);
	before = saved->taken_bytes;
	if (before < size)
		rc = spool->take(spool->arg, saved->rel, size - before, err);
	if (rc == 0)
		saved->taken_bytes = size;
	pthread_mutex_unlock(&saved->lock);
	if (rc < 0 || saved->reserved)
		return rc;
	rc = still_sys_allocate(saved->fd, size);
	if (rc == -ENOSPC || rc == -EDQUOT)
		return no_blocks(saved, before, -rc, err);
	/* Another failure: it cannot promise blocks, and was asked for room. */
	pthread_mutex_lock(&saved->lock);
	saved->reserved = true;
	pthread_mutex_unlock(&saved->lock);
	return 0;
}

/* ---- saving -------------------------------------------------------------- */

static int save_page(struct sqlite_saved *saved, uint32_t page,
    const void *data, struct still_error *err)
{
	const size_t len = saved->page_size_bytes;
	int rc = take_room(saved, len, err);

	if (rc < 0)
		return rc;
	rc = still_sys_pwrite(
	    saved->fd, data, len, sqlite_saved_off(saved, page));
	if (rc < 0)
		return write_failed(saved, -rc, err);
	atomic_store_explicit(&saved->page_digests[page - 1],
	    still_hash64(data, len), memory_order_relaxed);
	pthread_mutex_lock(&saved->lock);
	mark_page(saved, page);
	pthread_mutex_unlock(&saved->lock);
	return 0;
}

int sqlite_saved_page(struct sqlite_saved *saved, uint32_t page,
    const void *data, struct still_error *err)
{
	int rc;

	if (sqlite_saved_has(saved, page))
		return 0;
	pthread_rwlock_rdlock(&saved->writing);
	rc = save_page(saved, page, data, err);
	pthread_rwlock_unlock(&saved->writing);
	return rc;
}

/* Under the lock. */
static bool is_spoilt(
    const struct sqlite_saved *saved, uint32_t first, uint32_t n)
{
	for (size_t i = 0; i < saved->n_bad; i++) {
		uint32_t page = saved->bad[i].page;

		if (page >= first && page - first < n)
			return true;
	}
	return false;
}

/* It is written, and its digest noted. Not where a page was spoilt. */
static bool mark_piece(struct sqlite_saved *saved, uint64_t index)
{
	uint32_t first = first_page(saved, index);
	uint32_t n = pages_in(saved, index);
	bool whole;

	pthread_mutex_lock(&saved->lock);
	whole = !is_spoilt(saved, first, n);
	if (whole) {
		/* First: where a page's mark comes from it, its digest does,
		 * too. */
		sqlite_bits_set(saved->piece_marks, index);
		for (uint32_t i = 0; i < n; i++)
			mark_page(saved, first + i);
	}
	pthread_mutex_unlock(&saved->lock);
	return whole;
}

static uint32_t n_missing(const struct sqlite_saved *saved, uint64_t index)
{
	uint32_t first = first_page(saved, index);
	uint32_t n = 0;

	for (uint32_t i = 0; i < pages_in(saved, index); i++)
		n += !sqlite_saved_has(saved, first + i);
	return n;
}

static int save_piece(struct sqlite_saved *saved, uint64_t index,
    const void *data, bool *ret_marked, struct still_error *err)
{
	const uint64_t off = index * SQLITE_PIECE_BYTES;
	const size_t len = sqlite_pieces_len(&saved->pieces, index);
	int rc = take_room(saved,
	    (uint64_t) n_missing(saved, index) * saved->page_size_bytes, err);

	if (rc < 0)
		return rc;
	rc = still_sys_pwrite(saved->fd, data, len, off);
	if (rc < 0)
		return write_failed(saved, -rc, err);
	sqlite_pieces_note(&saved->pieces, off, data, len);
	*ret_marked = mark_piece(saved, index);
	return 0;
}

static bool has_spoilt(struct sqlite_saved *saved, uint64_t index)
{
	bool spoilt;

	if (!atomic_load(&saved->any_bad))
		return false;
	pthread_mutex_lock(&saved->lock);
	spoilt = is_spoilt(
	    saved, first_page(saved, index), pages_in(saved, index));
	pthread_mutex_unlock(&saved->lock);
	return spoilt;
}

int sqlite_saved_piece(struct sqlite_saved *saved, uint64_t index,
    const void *data, struct still_error *err)
{
	const uint8_t *from = data;
	uint32_t first = first_page(saved, index);
	bool marked = false;
	int rc = 0;

	if (sqlite_bits_has(saved->piece_marks, index))
		return 0;
	if (!has_spoilt(saved, index)) {
		pthread_rwlock_rdlock(&saved->writing);
		rc = save_piece(saved, index, data, &marked, err);
		pthread_rwlock_unlock(&saved->writing);
	}
	if (rc < 0 || marked)
		return rc;
	for (uint32_t i = 0; rc == 0 && i < pages_in(saved, index); i++)
		rc = sqlite_saved_page(saved, first + i,
		    from + (size_t) i * saved->page_size_bytes, err);
	return rc;
}

int sqlite_saved_spoil(struct sqlite_saved *saved, uint32_t page,
    const struct still_error *why, struct still_error *err)
{
	struct sqlite_saved_bad *bad;
	int rc = 0;

	pthread_mutex_lock(&saved->lock);
	if (!sqlite_saved_has(saved, page)) {
		bad = realloc(saved->bad, (saved->n_bad + 1) * sizeof(*bad));
		if (bad) {
			saved->bad = bad;
			bad += saved->n_bad++;
			*bad = (struct sqlite_saved_bad){.page = page};
			still_error_copy(&bad->why, why);
			/* Before the mark: who sees that asks this. */
			atomic_store(&saved->any_bad, true);
			mark_page(saved, page);
		} else {
			rc = still_error_nomem(err);
		}
	}
	pthread_mutex_unlock(&saved->lock);
	return rc;
}

uint64_t sqlite_saved_bytes(struct sqlite_saved *saved)
{
	uint64_t bytes;

	if (saved->fd < 0)
		return 0;
	pthread_mutex_lock(&saved->lock);
	bytes = saved->written_bytes;
	pthread_mutex_unlock(&saved->lock);
	return bytes;
}

/* ---- the end ------------------------------------------------------------- */

void sqlite_saved_release(struct sqlite_saved *saved)
{
	if (saved->fd < 0)
		return;
	close(saved->fd);
	saved->spool->give(saved->spool->arg, saved->taken_bytes);
	if (saved->page_digests)
		munmap((void *) saved->page_digests,
		    (size_t) saved->n_pages * sizeof(uint64_t));
	sqlite_pieces_release(&saved->pieces);
	free(saved->piece_marks);
	free(saved->page_marks);
	for (size_t i = 0; i < saved->n_bad; i++)
		still_error_clear(&saved->bad[i].why);
	free(saved->bad);
	pthread_rwlock_destroy(&saved->writing);
	pthread_mutex_destroy(&saved->lock);
	*saved = (struct sqlite_saved) SQLITE_SAVED_INIT;
}
