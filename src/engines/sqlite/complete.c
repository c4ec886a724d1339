/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/complete.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "engines/sqlite/pace.h"
#include "engines/sqlite/points.h"
#include "engines/sqlite/rescue.h"

#define AT_ONCE_MAX_BYTES (UINT64_C(64) << 20)
/* Little, because whoever ends the session waits for it. */
#define FLUSH_BYTES (UINT64_C(2) << 20)
#define RETRY_NS (5 * STILL_NS_PER_S)

/* ---- waiting ------------------------------------------------------------- */

static bool is_stopped(const struct sqlite_completion *completion)
{
	return atomic_load(&completion->stop) ||
	    (completion->cancel && atomic_load(completion->cancel));
}

/* False: it is to stop. */
static bool pause_ns(struct sqlite_completion *completion, int64_t ns)
{
	/* The ring may have ended an earlier pause, and comes once. */
	if (is_stopped(completion))
		return false;
	still_bell_wait(&completion->bell, ns);
	return !is_stopped(completion);
}

/* ---- one image ----------------------------------------------------------- */

/* Of a copy that is not small: let the disk have what it got before the last
 * lump, and begin with the last. */
static void flush(const struct sqlite_image *image, uint64_t end_bytes)
{
	uint64_t lump = end_bytes - end_bytes % FLUSH_BYTES;

	if (lump != end_bytes || lump < FLUSH_BYTES)
		return;
	(void) sync_file_range(image->saved.fd, (off_t) (lump - FLUSH_BYTES),
	    (off_t) FLUSH_BYTES, SYNC_FILE_RANGE_WRITE);
	if (lump >= 2 * FLUSH_BYTES)
		(void) sync_file_range(image->saved.fd,
		    (off_t) (lump - 2 * FLUSH_BYTES), (off_t) FLUSH_BYTES,
		    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			SYNC_FILE_RANGE_WAIT_AFTER);
}

static uint64_t left_bytes(const struct sqlite_completion *completion)
{
	return completion->total_bytes - atomic_load(&completion->copied_bytes);
}

static int stopped(const struct sqlite_image *image, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
	    "database `%s`: its copy was stopped", image->rel);
}

static int copy(struct sqlite_completion *completion,
    struct sqlite_image *image, struct still_error *err)
{
	const uint64_t n = sqlite_pieces_count(&image->saved.pieces);
	const bool paced = sqlite_image_bytes(image) > AT_ONCE_MAX_BYTES;
	struct sqlite_pace pace = {
	    .limit_bytes = completion->log_limit_bytes,
	};
	int rc = 0;

	for (uint64_t i = 0; rc == 0 && i < n; i++) {
		size_t len = sqlite_pieces_len(&image->saved.pieces, i);
		int64_t ns = 0;

		rc = sqlite_rescue_piece(image, i, err);
		if (rc < 0)
			break;
		atomic_fetch_add(&completion->copied_bytes, len);
		if (paced) {
			flush(image, (i + 1) * SQLITE_PIECE_BYTES);
			ns = sqlite_pace_pause_ns(&pace, len,
			    left_bytes(completion),
			    atomic_load(completion->grown_bytes),
			    still_sys_monotonic_ns());
		}
		if (is_stopped(completion) ||
		    (ns > 0 && !pause_ns(completion, ns)))
			rc = stopped(image, err);
	}
	return rc;
}

static int complete_one(struct sqlite_completion *completion,
    struct sqlite_image *image, struct still_error *err)
{
	uint64_t before = atomic_load(&completion->copied_bytes);
	int rc = 0;

	/* Of what cannot be read there is nothing to copy. */
	if (image->n_pages > 0 && !image->map.all_damaged) {
		rc = sqlite_image_prepare_saved(image, err);
		if (rc == 0)
			rc = sqlite_saved_reserve(&image->saved, err);
		if (rc == 0)
			rc = copy(completion, image, err);
	}
	if (rc < 0) {
		atomic_store(&completion->copied_bytes, before);
		return rc;
	}
	atomic_store(
	    &completion->copied_bytes, before + sqlite_image_bytes(image));
	completion->done(completion->arg, image);
	return 0;
}

/* ---- all of them --------------------------------------------------------- */

static int compare_sizes(const void *a, const void *b)
{
	const struct sqlite_image *x = *(struct sqlite_image *const *) a;
	const struct sqlite_image *y = *(struct sqlite_image *const *) b;
	uint64_t m = sqlite_image_bytes(x);
	uint64_t n = sqlite_image_bytes(y);

	return m < n ? -1 : m > n;
}

static void tell(const struct sqlite_completion *completion,
    const struct sqlite_image *image, const struct still_error *what)
{
	completion->observer->warn(completion->observer->arg,
	    what->code == STILL_ERR_NOSPACE ? "spool-full" : "copy-failed",
	    image->rel, still_error_msg(what));
}

/* Once over those that are left; which are moved to the front. */
static size_t pass(struct sqlite_completion *completion, size_t n, bool first)
{
	size_t n_left = 0;
	bool full = false;

	for (size_t i = 0; i < n && !is_stopped(completion); i++) {
		struct sqlite_image *image = completion->images[i];
		struct still_error err = STILL_ERROR_INIT;
		int rc = complete_one(completion, image, &err);

		if (rc < 0)
			completion->images[n_left++] = image;
		full |= rc == STILL_ERR_NOSPACE;
		if (rc < 0 && rc != STILL_ERR_CANCELLED &&
		    rc != STILL_ERR_LOST && first)
			tell(completion, image, &err);
		still_error_clear(&err);
	}
	atomic_store(&completion->full, full);
	return n_left;
}

static void *run(void *arg)
{
	struct sqlite_completion *completion = arg;
	size_t n = completion->n;

	for (bool first = true; n > 0; first = false) {
		n = pass(completion, n, first);
		if (n > 0 && !pause_ns(completion, RETRY_NS))
			break;
	}
	return NULL;
}

int sqlite_completion_start(
    struct sqlite_completion *completion, struct still_error *err)
{
	int rc;

	qsort(completion->images, completion->n, sizeof(*completion->images),
	    compare_sizes);
	completion->total_bytes = 0;
	for (size_t i = 0; i < completion->n; i++)
		completion->total_bytes += sqlite_image_bytes(
		    completion->images[i]);
	atomic_init(&completion->stop, false);
	atomic_init(&completion->copied_bytes, 0);
	atomic_init(&completion->full, false);
	still_bell_init(&completion->bell);
	rc = still_sys_thread_start(&completion->thread, run, completion);
	return rc == 0
	    ? 0
	    : still_error_sys(err, rc, NULL, "a thread that completes images");
}

void sqlite_completion_stop(struct sqlite_completion *completion)
{
	atomic_store(&completion->stop, true);
	still_bell_ring(&completion->bell);
	pthread_join(completion->thread, NULL);
	still_bell_release(&completion->bell);
}
