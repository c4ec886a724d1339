/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/digest.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

/* The largest gap that is waited for, or read, for the sake of the bytes behind
 * it: a few of the kernel's largest requests. */
#define GAP_MAX_BYTES (4 * 1024 * 1024)
/* What is digested while it is still near the core. */
#define PIECE_BYTES (256 * 1024)

static void settle(struct still_digest *digest, struct still_hash128 value)
{
	digest->value = value;
	digest->crc = still_crc32c_end(digest->crc);
	digest->done = true;
	still_hash_free(digest->state);
	digest->state = NULL;
	still_hash64_free(digest->page);
	digest->page = NULL;
}

void still_digest_init(struct still_digest *digest, uint64_t size_bytes,
    bool with_crc, atomic_uint_fast64_t *total)
{
	memset(digest, 0, sizeof(*digest));
	pthread_mutex_init(&digest->lock, NULL);
	pthread_cond_init(&digest->ended, NULL);
	digest->size_bytes = size_bytes;
	digest->with_crc = with_crc;
	digest->crc = STILL_CRC32C_INIT;
	digest->total = total;
	if (size_bytes == 0)
		settle(digest, still_hash128("", 0));
}

void still_digest_want_pages(
    struct still_digest *digest, uint32_t page_bytes, uint64_t *sums)
{
	digest->page_bytes = page_bytes;
	digest->sums = sums;
}

/* A page that ends elsewhere than these bytes do takes a state. */
static int prepare_pages(struct still_digest *digest, size_t len)
{
	uint64_t end_bytes = digest->frontier_bytes + len;

	if (digest->page_bytes == 0 || digest->page ||
	    end_bytes == digest->size_bytes ||
	    end_bytes % digest->page_bytes == 0)
		return 0;
	digest->page = still_hash64_new();
	return digest->page ? 0 : STILL_ERR_NOMEM;
}

/* The sums of the pages that `data`, at the frontier, is of. */
static void sum_pages(struct still_digest *digest, const char *data, size_t len)
{
	uint64_t at_bytes = digest->frontier_bytes;

	while (len > 0) {
		uint64_t number = at_bytes / digest->page_bytes;
		size_t from = (size_t) (at_bytes % digest->page_bytes);
		size_t n = digest->page_bytes - from;
		bool ends;

		if (n > len)
			n = len;
		ends = from + n == digest->page_bytes ||
		    at_bytes + n == digest->size_bytes;
		if (from == 0 && ends) {
			digest->sums[number] = still_hash64(data, n);
		} else {
			if (from == 0)
				still_hash64_reset(digest->page);
			still_hash64_update(digest->page, data, n);
			if (ends)
				digest->sums[number] = still_hash64_digest(
				    digest->page);
		}
		at_bytes += n;
		data += n;
		len -= n;
	}
}

/* `data` is at the frontier. Without memory nothing is digested, and the pass
 * tries again. */
static int advance(struct still_digest *digest, const void *data, size_t len)
{
	if (prepare_pages(digest, len) < 0)
		return STILL_ERR_NOMEM;
	/* Most files are small. */
	if (len == digest->size_bytes) {
		if (digest->page_bytes)
			sum_pages(digest, data, len);
		if (digest->with_crc)
			digest->crc = still_crc32c(digest->crc, data, len);
		digest->frontier_bytes = len;
		atomic_fetch_add(digest->total, len);
		settle(digest, still_hash128(data, len));
		return 0;
	}
	if (!digest->state) {
		digest->state = still_hash_new();
		if (!digest->state)
			return STILL_ERR_NOMEM;
	}
	still_hash_update(digest->state, data, len);
	if (digest->page_bytes)
		sum_pages(digest, data, len);
	if (digest->with_crc)
		digest->crc = still_crc32c(digest->crc, data, len);
	digest->frontier_bytes += len;
	atomic_fetch_add(digest->total, len);
	if (digest->frontier_bytes == digest->size_bytes)
		settle(digest, still_hash_digest(digest->state));
	return 0;
}

/* One piece of what lies before the target. */
static int fill_piece(struct still_digest *digest, uint64_t target_bytes,
    still_fill_fn *fill, void *arg, struct still_error *err)
{
	uint64_t len = target_bytes - digest->frontier_bytes;
	void *piece;
	int rc;

	if (len > PIECE_BYTES)
		len = PIECE_BYTES;
	piece = malloc((size_t) len);
	if (!piece)
		return still_error_nomem(err);
	rc = fill(arg, digest->frontier_bytes, piece, (size_t) len, err);
	if (rc == 0 && advance(digest, piece, (size_t) len) < 0)
		rc = still_error_nomem(err);
	free(piece);
	return rc;
}

/* The first `len` bytes of a read, as far as they are at the frontier. */
static void take(struct still_digest *digest,
    const struct still_digest_read *read, const char *data, size_t len)
{
	uint64_t skip = digest->frontier_bytes - read->from_bytes;

	if (!digest->done && read->from_bytes <= digest->frontier_bytes &&
	    skip < len)
		advance(digest, data + skip, len - (size_t) skip);
}

static bool is_near(
    const struct still_digest *digest, const struct still_digest_read *read)
{
	return !digest->done && read->from_bytes > digest->frontier_bytes &&
	    read->from_bytes - digest->frontier_bytes <= GAP_MAX_BYTES;
}

/* Will somebody else bring the byte at the frontier? */
static bool is_coming(const struct still_digest *digest)
{
	for (const struct still_digest_read *r = digest->reads; r; r = r->next)
		if (r->from_bytes <= digest->frontier_bytes &&
		    r->to_bytes > digest->frontier_bytes)
			return true;
	return false;
}

/* Under the lock. */
static void add_read(struct still_digest *digest,
    struct still_digest_read *read, uint64_t off_bytes, size_t len)
{
	*read = (struct still_digest_read){
	    off_bytes, off_bytes + len, digest->reads};
	digest->reads = read;
}

/* Under the lock. */
static void remove_read(
    struct still_digest *digest, const struct still_digest_read *read)
{
	struct still_digest_read **at = &digest->reads;

	while (*at != read)
		at = &(*at)->next;
	*at = read->next;
	pthread_cond_broadcast(&digest->ended);
}

void still_digest_begin(struct still_digest *digest,
    struct still_digest_read *read, uint64_t off_bytes, size_t len)
{
	pthread_mutex_lock(&digest->lock);
	add_read(digest, read, off_bytes, len);
	pthread_mutex_unlock(&digest->lock);
}

void still_digest_feed(struct still_digest *digest,
    const struct still_digest_read *read, const void *data, size_t len)
{
	pthread_mutex_lock(&digest->lock);
	take(digest, read, data, len);
	pthread_mutex_unlock(&digest->lock);
}

void still_digest_end(struct still_digest *digest,
    struct still_digest_read *read, const void *data, size_t len,
    still_fill_fn *fill, void *arg)
{
	pthread_mutex_lock(&digest->lock);
	while (len > 0 && is_near(digest, read))
		if (is_coming(digest))
			pthread_cond_wait(&digest->ended, &digest->lock);
		else if (fill_piece(digest, read->from_bytes, fill, arg, NULL) <
		    0)
			break;
	take(digest, read, data, len);
	remove_read(digest, read);
	pthread_mutex_unlock(&digest->lock);
}

/* Register a read of the next piece. False when there is none. */
static bool begin_piece(
    struct still_digest *digest, struct still_digest_read *ret)
{
	uint64_t len;
	bool done;

	pthread_mutex_lock(&digest->lock);
	done = digest->done;
	len = digest->size_bytes - digest->frontier_bytes;
	if (!done)
		add_read(digest, ret, digest->frontier_bytes,
		    (size_t) (len < PIECE_BYTES ? len : PIECE_BYTES));
	pthread_mutex_unlock(&digest->lock);
	return !done;
}

/*
 * It is read as a reader reads, without the lock: a pass that gave the lock up
 * only between its pieces would be the next one to get it, time and again, while
 * readers of the same file wait.
 */
static int read_piece(struct still_digest *digest,
    struct still_digest_read *read, still_fill_fn *fill, void *arg,
    struct still_error *err)
{
	size_t len = (size_t) (read->to_bytes - read->from_bytes);
	void *piece = malloc(len);
	int rc = piece ? fill(arg, read->from_bytes, piece, len, err)
		       : still_error_nomem(err);

	pthread_mutex_lock(&digest->lock);
	if (rc == 0)
		take(digest, read, piece, len);
	if (rc == 0 && digest->frontier_bytes < read->to_bytes)
		rc = still_error_nomem(err);
	remove_read(digest, read);
	pthread_mutex_unlock(&digest->lock);
	free(piece);
	return rc;
}

int still_digest_complete(struct still_digest *digest, still_fill_fn *fill,
    void *arg, const atomic_bool *cancel, struct still_error *err)
{
	struct still_digest_read read;
	int rc = 0;

	while (rc == 0) {
		if (atomic_load(cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "the pass for the seal was stopped");
		if (!begin_piece(digest, &read))
			break;
		rc = read_piece(digest, &read, fill, arg, err);
	}
	return rc;
}

void still_digest_release(struct still_digest *digest)
{
	still_hash_free(digest->state);
	still_hash64_free(digest->page);
	pthread_cond_destroy(&digest->ended);
	pthread_mutex_destroy(&digest->lock);
}
