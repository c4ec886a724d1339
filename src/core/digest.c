/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/digest.h"

#include <stdlib.h>
#include <string.h>

/* The largest gap that is read for the sake of the bytes behind it: a few of
 * the kernel's read-ahead windows. */
#define GAP_MAX_BYTES (1024 * 1024)
#define PIECE_BYTES (1024 * 1024)

void still_digest_init(struct still_digest *digest, uint64_t size_bytes,
    atomic_uint_fast64_t *total)
{
	memset(digest, 0, sizeof(*digest));
	pthread_mutex_init(&digest->lock, NULL);
	digest->size_bytes = size_bytes;
	digest->total = total;
	if (size_bytes == 0) {
		digest->value = still_hash128("", 0);
		digest->done = true;
	}
}

/* `data` is at the frontier. Without memory nothing is digested, and the pass
 * tries again. */
static int advance(struct still_digest *digest, const void *data, size_t len)
{
	if (!digest->state) {
		digest->state = still_hash_new();
		if (!digest->state)
			return STILL_ERR_NOMEM;
	}
	still_hash_update(digest->state, data, len);
	digest->frontier_bytes += len;
	atomic_fetch_add(digest->total, len);
	if (digest->frontier_bytes == digest->size_bytes) {
		digest->value = still_hash_digest(digest->state);
		digest->done = true;
		still_hash_free(digest->state);
		digest->state = NULL;
	}
	return 0;
}

static int fill_to(struct still_digest *digest, uint64_t target_bytes,
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

void still_digest_feed(struct still_digest *digest, uint64_t off_bytes,
    const void *data, size_t len, still_fill_fn *fill, void *arg)
{
	uint64_t end = off_bytes + len;

	pthread_mutex_lock(&digest->lock);
	if (!digest->done && off_bytes > digest->frontier_bytes &&
	    off_bytes - digest->frontier_bytes <= GAP_MAX_BYTES)
		fill_to(digest, off_bytes, fill, arg, NULL);
	if (!digest->done && off_bytes <= digest->frontier_bytes &&
	    end > digest->frontier_bytes) {
		uint64_t skip = digest->frontier_bytes - off_bytes;

		advance(
		    digest, (const char *) data + skip, len - (size_t) skip);
	}
	pthread_mutex_unlock(&digest->lock);
}

int still_digest_complete(struct still_digest *digest, still_fill_fn *fill,
    void *arg, const atomic_bool *cancel, struct still_error *err)
{
	bool done = false;
	int rc = 0;

	while (rc == 0 && !done) {
		if (atomic_load(cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "the pass for the seal was stopped");
		/* The lock is given up between pieces, so that readers of the
		 * same file go on. */
		pthread_mutex_lock(&digest->lock);
		if (!digest->done)
			rc = fill_to(
			    digest, digest->size_bytes, fill, arg, err);
		done = digest->done;
		pthread_mutex_unlock(&digest->lock);
	}
	return rc;
}

void still_digest_release(struct still_digest *digest)
{
	still_hash_free(digest->state);
	pthread_mutex_destroy(&digest->lock);
}
