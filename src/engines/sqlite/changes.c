/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/changes.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "engines/sqlite/bits.h"
#include "engines/sqlite/frames.h"
#include "engines/sqlite/image.h"

/* ---- the same file ------------------------------------------------------- */

static bool is_same_file(
    const struct sqlite_facts *base, const struct sqlite_facts *now)
{
	return base->settled && base->max_frame == 0 && now->max_frame == 0 &&
	    base->rollback == now->rollback &&
	    base->page_checksums == now->page_checksums &&
	    base->page_size_bytes == now->page_size_bytes &&
	    base->n_pages == now->n_pages &&
	    base->change_counter == now->change_counter &&
	    sqlite_facts_same_file(base, now);
}

/* ---- the same log -------------------------------------------------------- */

static uint64_t walk_of(
    const struct sqlite_facts *base, const struct sqlite_facts *now)
{
	return (uint64_t) (now->max_frame - base->backfill) *
	    (SQLITE_FRAME_HEADER_BYTES + (uint64_t) now->page_size_bytes);
}

/* Rule 1. */
static bool may_be_same_log(
    const struct sqlite_facts *base, const struct sqlite_facts *now)
{
	if (base->rollback || now->rollback || base->page_checksums ||
	    now->page_checksums ||
	    base->page_size_bytes != now->page_size_bytes ||
	    base->st.st_dev != now->st.st_dev ||
	    base->st.st_ino != now->st.st_ino ||
	    memcmp(base->salts, now->salts, sizeof(now->salts)) != 0)
		return false;
	return base->max_frame > 0 && now->max_frame >= base->max_frame &&
	    base->backfill <= base->max_frame;
}

/* Rule 2. */
static bool is_same_frame(
    const struct sqlite_image *image, const struct sqlite_facts *base)
{
	uint8_t bytes[SQLITE_FRAME_HEADER_BYTES];
	struct sqlite_frame_header header;

	if (still_sys_pread(sqlite_file_fd(image->pin.wal), bytes,
		sizeof(bytes),
		sqlite_frame_offset(base->max_frame, image->page_size_bytes)) !=
	    sizeof(bytes))
		return false;
	sqlite_frame_header_parse(bytes, &header);
	return header.n_pages_commit == base->n_pages &&
	    memcmp(header.salts, base->salts, sizeof(header.salts)) == 0 &&
	    sqlite_checksum_equal(header.checksum, base->frame_checksum);
}

struct walk {
	const struct sqlite_facts *base;
	struct sqlite_changes *changes;
	uint32_t n_pages;     /* of the image */
	uint32_t least_pages; /* the smallest end that a commit left */
	bool wrong;           /* a frame was not proven */
	struct sqlite_frame_header last;
};

static void mark(
    struct sqlite_changes *changes, uint32_t n_pages, uint32_t page)
{
	if (page <= n_pages && !sqlite_bits_set(changes->may, page - 1))
		changes->n_may++;
}

static int note_frame(
    void *arg, const struct sqlite_frame *frame, struct still_error *err)
{
	struct walk *walk = arg;
	const struct sqlite_frame_header *header = &frame->header;

	if (frame->wrong) {
		walk->wrong = true;
		return still_error_set(
		    err, STILL_ERR_CORRUPT, 0, NULL, "%s", frame->wrong);
	}
	walk->last = *header;
	if (header->n_pages_commit &&
	    header->n_pages_commit < walk->least_pages)
		walk->least_pages = header->n_pages_commit;
	if (frame->number > walk->base->max_frame)
		mark(walk->changes, walk->n_pages, header->page);
	return 0;
}

/* Rule 3. 0 and not `*ret_proven`: nothing is known. */
static int walk_log(struct sqlite_image *image, struct walk *walk,
    const atomic_bool *cancel, bool *ret_proven, struct still_error *err)
{
	const struct sqlite_index_header *index = &image->pin.header;
	struct sqlite_frames frames = {
	    .pin = &image->pin,
	    .index = *index,
	    .first = walk->base->backfill + 1,
	    .page_size_bytes = image->page_size_bytes,
	    .observer = &image->observer,
	    .cancel = cancel,
	    .each = note_frame,
	    .arg = walk,
	};
	struct still_error own = STILL_ERROR_INIT;
	int rc = 0;

	*ret_proven = frames.first > index->max_frame
	    ? walk->base->n_pages == index->n_pages
	    : (rc = sqlite_frames_walk(&frames, &own)) == 0 &&
		sqlite_checksum_equal(
		    walk->last.checksum, index->frame_checksum) &&
		walk->last.n_pages_commit == index->n_pages;
	if (rc == STILL_ERR_CANCELLED || rc == STILL_ERR_NOMEM) {
		if (err)
			still_error_copy(err, &own);
	} else {
		rc = 0;
	}
	still_error_clear(&own);
	return rc;
}

/* All rules; `changes` has its bits. */
static int walk(struct sqlite_image *image, const struct sqlite_facts *base,
    const atomic_bool *cancel, struct sqlite_changes *changes,
    struct still_error *err)
{
	struct walk walk = {
	    .base = base,
	    .changes = changes,
	    .n_pages = image->n_pages,
	    .least_pages = base->n_pages < image->n_pages ? base->n_pages
							  : image->n_pages,
	};
	int rc;

	if (!is_same_frame(image, base))
		return 0;
	rc = walk_log(image, &walk, cancel, &changes->known, err);
	/* Rule 5. */
	for (uint32_t page = image->n_pages;
	     rc == 0 && changes->known && page > walk.least_pages; page--)
		mark(changes, image->n_pages, page);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

int sqlite_changes_find(struct sqlite_image *image,
    const struct sqlite_facts *base, uint64_t walk_bytes,
    const atomic_bool *cancel, struct sqlite_changes *ret,
    struct still_error *err)
{
	struct sqlite_changes changes = SQLITE_CHANGES_INIT;
	const struct sqlite_facts *now = &image->facts;
	int rc = 0;

	if (is_same_file(base, now)) {
		changes.known = true;
	} else if (image->header.reserved_bytes != SQLITE_PAGE_SUM_BYTES &&
	    may_be_same_log(base, now) && walk_of(base, now) <= walk_bytes) {
		changes.may = sqlite_bits_new(image->n_pages);
		if (!changes.may)
			return still_error_nomem(err);
		rc = walk(image, base, cancel, &changes, err);
	}
	if (!changes.known) {
		sqlite_changes_release(&changes);
		changes.n_may = image->n_pages;
	}
	if (rc == 0)
		*ret = changes;
	return rc;
}

bool sqlite_changes_may(const struct sqlite_changes *changes, uint32_t page)
{
	if (!changes->known)
		return true;
	return changes->may && sqlite_bits_has(changes->may, page - 1);
}

uint32_t sqlite_changes_run(
    const struct sqlite_changes *changes, uint32_t page, uint32_t max)
{
	if (!changes->known || !changes->may)
		return max;
	return (uint32_t) sqlite_bits_run(changes->may, page - 1, max);
}

void sqlite_changes_release(struct sqlite_changes *changes)
{
	free((void *) changes->may);
	*changes = (struct sqlite_changes) SQLITE_CHANGES_INIT;
}
