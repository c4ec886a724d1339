/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/tick.h"

#include <stdlib.h>
#include <string.h>

#include "engines/sqlite/frames.h"
#include "engines/sqlite/points.h"
#include "engines/sqlite/rescue.h"

/* What the commits since A are about to do to the file. */
struct wake {
	struct sqlite_image *image;
	uint32_t *pages; /* owned; unsorted, may repeat */
	size_t n;
	size_t capacity;
	uint32_t least_pages; /* the smallest end that a commit left */
	const char *wrong; /* static; of the first frame that was not proven */
	uint32_t wrong_frame;
};

/* ---- what must be saved -------------------------------------------------- */

static int add_page(struct wake *wake, uint32_t page)
{
	if (wake->n == wake->capacity) {
		size_t capacity = wake->capacity ? 2 * wake->capacity : 256;
		uint32_t *grown = realloc(
		    wake->pages, capacity * sizeof(*grown));

		if (!grown)
			return STILL_ERR_NOMEM;
		wake->pages = grown;
		wake->capacity = capacity;
	}
	wake->pages[wake->n++] = page;
	return 0;
}

static int note_frame(
    void *arg, const struct sqlite_frame *frame, struct still_error *err)
{
	struct wake *wake = arg;
	const struct sqlite_frame_header *header = &frame->header;

	if (frame->wrong) {
		wake->wrong = frame->wrong;
		wake->wrong_frame = frame->number;
		return STILL_ERR_CORRUPT;
	}
	if (header->n_pages_commit &&
	    header->n_pages_commit < wake->least_pages)
		wake->least_pages = header->n_pages_commit;
	if (header->page > wake->image->n_pages ||
	    sqlite_saved_has(&wake->image->saved, header->page))
		return 0;
	return add_page(wake, header->page) < 0 ? still_error_nomem(err) : 0;
}

static bool same_log(
    const struct sqlite_index_header *a, const struct sqlite_index_header *b)
{
	return memcmp(a->salts, b->salts, sizeof(a->salts)) == 0 &&
	    b->max_frame >= a->max_frame;
}

static int restarted(const struct sqlite_image *image, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_LOST, 0,
	    "The live database is not harmed by stillfs; begin another "
	    "session.",
	    "database `%s`: the snapshot is no longer protected, its log was "
	    "restarted",
	    image->rel);
}

/* The first frame that A has not seen. */
static int first_frame(const struct sqlite_image *image,
    const struct sqlite_hold *to, uint32_t *ret, struct still_error *err)
{
	const struct sqlite_hold *from = &image->pin.hold;

	*ret = 1;
	if (same_log(&from->header, &to->header))
		*ret = from->header.max_frame + 1;
	else if (from->header.max_frame > 0 && !sqlite_hold_lets_restart(from))
		return restarted(image, err);
	return 0;
}

static int scan(const struct sqlite_tick *tick, const struct sqlite_hold *to,
    struct wake *wake, struct still_error *err)
{
	struct sqlite_image *image = tick->image;
	struct sqlite_frames frames = {
	    .pin = &image->pin,
	    .index = to->header,
	    .page_size_bytes = image->page_size_bytes,
	    .page_sums = image->page_checksums,
	    .observer = tick->observer,
	    .cancel = tick->cancel,
	    .each = note_frame,
	    .arg = wake,
	};
	int rc = first_frame(image, to, &frames.first, err);

	/* A log that ended is an end too. */
	wake->least_pages = image->n_pages;
	if (to->header.max_frame > 0 && to->header.n_pages < wake->least_pages)
		wake->least_pages = to->header.n_pages;
	if (rc == 0)
		rc = sqlite_frames_walk(&frames, err);
	if (wake->wrong)
		return still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "The live log is damaged; check the database, and its "
		    "disk, before its application restarts.",
		    "log frame %u of `%s-wal`: %s", wake->wrong_frame,
		    image->rel, wake->wrong);
	return rc;
}

/* ---- the step ------------------------------------------------------------ */

static int save(const struct sqlite_tick *tick, const struct wake *wake,
    struct still_error *err)
{
	int rc = sqlite_rescue_pages(
	    tick->image, wake->pages, wake->n, tick->cancel, err);

	if (rc == 0 && !SQLITE_FAULT(SQLITE_FAULT_IGNORE_SHRINK))
		rc = sqlite_rescue_tail(
		    tick->image, wake->least_pages + 1, tick->cancel, err);
	return rc;
}

static void switch_over(
    const struct sqlite_tick *tick, const struct sqlite_hold *to)
{
	struct sqlite_image *image = tick->image;

	if (sqlite_hold_is_full(to))
		atomic_store(&image->flat, true);
	SQLITE_POINT(SQLITE_POINT_SWITCH, image);
	if (!SQLITE_FAULT(SQLITE_FAULT_NO_DRAIN))
		sqlite_image_drain(image);
	pthread_mutex_lock(tick->lock);
	sqlite_hop_finish(&image->pin, to);
	pthread_mutex_unlock(tick->lock);
	SQLITE_POINT(SQLITE_POINT_RELEASED, image);
}

int sqlite_tick(
    const struct sqlite_tick *tick, bool *ret_moved, struct still_error *err)
{
	struct sqlite_image *image = tick->image;
	struct wake wake = {.image = image};
	struct sqlite_hold to;
	int rc;

	*ret_moved = false;
	if (!sqlite_hop_take(&image->pin, tick->avoid, &to))
		return 0;
	SQLITE_POINT(SQLITE_POINT_PIN_TAKEN, image);
	rc = scan(tick, &to, &wake, err);
	SQLITE_POINT(SQLITE_POINT_FRAMES_SCANNED, image);
	if (rc == 0 && SQLITE_FAULT(SQLITE_FAULT_RELEASE_FIRST))
		switch_over(tick, &to);
	if (rc == 0)
		rc = save(tick, &wake, err);
	free(wake.pages);
	if (SQLITE_FAULT(SQLITE_FAULT_RELEASE_FIRST)) {
		*ret_moved = rc == 0;
		return rc;
	}
	if (rc < 0) {
		sqlite_hop_drop(&image->pin, &to);
		return rc;
	}
	switch_over(tick, &to);
	*ret_moved = true;
	return 0;
}
