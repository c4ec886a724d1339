/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/rescue.h"

#include <stdlib.h>

#include "engines/sqlite/points.h"

static uint32_t pages_per_piece(const struct sqlite_image *image)
{
	return (uint32_t) (SQLITE_PIECE_BYTES / image->page_size_bytes);
}

static uint64_t piece_of(const struct sqlite_image *image, uint32_t page)
{
	return (page - 1) / pages_per_piece(image);
}

static int check_cancel(const struct sqlite_image *image,
    const atomic_bool *cancel, struct still_error *err)
{
	if (!atomic_load(cancel))
		return 0;
	return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
	    "database `%s`: saving its pages was stopped", image->rel);
}

/* ---- one ----------------------------------------------------------------- */

#ifdef STILL_TEST_POINTS
static bool is_dropped(void)
{
	static atomic_uint n;

	return SQLITE_FAULT(SQLITE_FAULT_DROP_PAGE) &&
	    atomic_fetch_add(&n, 1) % 1000 == 999;
}
#else
#	define is_dropped() false
#endif

static int save_page(
    struct sqlite_image *image, uint32_t page, struct still_error *err)
{
	const uint32_t size = image->page_size_bytes;
	uint8_t bytes[SQLITE_PAGE_SIZE_MAX];
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	if (sqlite_saved_has(&image->saved, page) || is_dropped())
		return 0;
	rc = sqlite_image_read(
	    image, (uint64_t) (page - 1) * size, bytes, size, &own);
	if (rc == 0)
		rc = sqlite_saved_page(&image->saved, page, bytes, &own);
	else if (rc == STILL_ERR_CORRUPT)
		rc = sqlite_saved_spoil(&image->saved, page, &own, err);
	if (rc < 0 && err && !err->code)
		still_error_copy(err, &own);
	still_error_clear(&own);
	if (rc == 0)
		SQLITE_POINT(SQLITE_POINT_PAGE_SAVED, image);
	return rc;
}

/* Page by page, because one of them is damaged. */
static int save_piece_slowly(
    struct sqlite_image *image, uint64_t index, struct still_error *err)
{
	uint32_t page = (uint32_t) index * pages_per_piece(image) + 1;
	uint32_t end = page + pages_per_piece(image);
	int rc = 0;

	for (; rc == 0 && page < end && page <= image->n_pages; page++)
		rc = save_page(image, page, err);
	return rc;
}

int sqlite_rescue_piece(
    struct sqlite_image *image, uint64_t index, struct still_error *err)
{
	uint8_t bytes[SQLITE_PIECE_BYTES];
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	if (sqlite_saved_has_piece(&image->saved, index))
		return 0;
	rc = sqlite_image_read(image, index * SQLITE_PIECE_BYTES, bytes,
	    sqlite_pieces_len(&image->saved.pieces, index), &own);
	if (rc == 0) {
		SQLITE_POINT(SQLITE_POINT_PIECE_READ, image);
		rc = sqlite_saved_piece(&image->saved, index, bytes, &own);
	} else if (rc == STILL_ERR_CORRUPT) {
		still_error_clear(&own);
		rc = save_piece_slowly(image, index, &own);
	}
	if (rc < 0 && err)
		still_error_copy(err, &own);
	still_error_clear(&own);
	return rc;
}

/* ---- many ---------------------------------------------------------------- */

static int compare_pages(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *) a;
	uint32_t y = *(const uint32_t *) b;

	return x < y ? -1 : x > y;
}

/* Of sorted pages, all those of the piece of the first; repeated ones once. */
static size_t group(const struct sqlite_image *image, const uint32_t *pages,
    size_t n, uint32_t *ret_distinct)
{
	uint64_t piece = piece_of(image, pages[0]);
	size_t i = 1;

	*ret_distinct = 1;
	for (; i < n && piece_of(image, pages[i]) == piece; i++)
		*ret_distinct += pages[i] != pages[i - 1];
	return i;
}

int sqlite_rescue_pages(struct sqlite_image *image, uint32_t *pages, size_t n,
    const atomic_bool *cancel, struct still_error *err)
{
	int rc = 0;

	if (n)
		qsort(pages, n, sizeof(*pages), compare_pages);
	while (rc == 0 && n > 0) {
		uint32_t distinct;
		size_t in_piece = group(image, pages, n, &distinct);

		rc = check_cancel(image, cancel, err);
		/* The controls count pages. */
		if (rc == 0 && distinct * 2 >= pages_per_piece(image) &&
		    !SQLITE_FAULT(SQLITE_FAULT_DROP_PAGE))
			rc = sqlite_rescue_piece(
			    image, piece_of(image, pages[0]), err);
		else
			for (size_t i = 0; rc == 0 && i < in_piece; i++)
				rc = save_page(image, pages[i], err);
		pages += in_piece;
		n -= in_piece;
	}
	return rc;
}

int sqlite_rescue_tail(struct sqlite_image *image, uint32_t first,
    const atomic_bool *cancel, struct still_error *err)
{
	const uint32_t per_piece = pages_per_piece(image);
	uint32_t page = first;
	int rc = 0;

	while (rc == 0 && page <= image->n_pages) {
		rc = check_cancel(image, cancel, err);
		if (rc < 0)
			break;
		if ((page - 1) % per_piece == 0) {
			rc = sqlite_rescue_piece(
			    image, piece_of(image, page), err);
			if (image->n_pages - page < per_piece)
				break;
			page += per_piece;
		} else {
			rc = save_page(image, page, err);
			page++;
		}
	}
	return rc;
}
