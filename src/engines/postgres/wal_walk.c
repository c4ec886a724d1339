/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/wal_walk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "engines/postgres/wal_name.h"
#include "engines/postgres/wal_pages.h"

#define HEAD_BYTES ((uint32_t) STILL_PG_WAL_RECORD_HEAD_BYTES)
#define KEPT_BYTES \
	(STILL_PG_WAL_RECORD_HEAD_BYTES + STILL_PG_WAL_HEADERS_MAX_BYTES)

/* What the CRC covers of a record's head. */
#define HEAD_CRC_BYTES 20

#define RECORD_ALIGN UINT32_C(8)

struct walker {
	struct still_pg_wal_pages pages;

	uint64_t at;              /* where the next record begins */
	uint64_t previous_lsn;    /* of the last record; 0 before the first */
	uint64_t overwritten_lsn; /* cut off by a crash, not yet confirmed; 0 */

	/* The record at hand, where it goes over several pages. */
	uint8_t kept[KEPT_BYTES]; /* its first bytes */
	uint32_t got;             /* how much of it was seen */
	uint32_t crc;             /* running, over its body */

	struct still_pg_wal_record record;
	struct still_pg_wal_totals totals;
};

/* ---- records ------------------------------------------------------------- */

static int check_chain(struct walker *w)
{
	struct still_pg_wal_record *record = &w->record;

	/* The length was looked at by whoever was led here by it. */
	if (w->previous_lsn == 0 ? record->previous_lsn >= record->lsn
				 : record->previous_lsn != w->previous_lsn)
		return still_pg_wal_damaged(&w->pages, "record", record->lsn,
		    "names " STILL_PG_LSN
		    " as the one before, which is %s" STILL_PG_LSN,
		    STILL_PG_LSN_ARGS(record->previous_lsn),
		    w->previous_lsn == 0 ? "not before " : "",
		    STILL_PG_LSN_ARGS(
			w->previous_lsn ? w->previous_lsn : record->lsn));
	return 0;
}

/* A record was cut off: does this one say so? */
static int check_overwrites(struct walker *w)
{
	struct still_pg_wal_record *record = &w->record;
	uint64_t named;

	if (w->overwritten_lsn == 0)
		return 0;
	if (!still_pg_wal_record_is(
		record, STILL_PG_RM_XLOG, STILL_PG_XLOG_OVERWRITES) ||
	    !record->data || record->data_bytes < sizeof(named))
		return still_pg_wal_damaged(&w->pages, "record", record->lsn,
		    "does not say that the one at " STILL_PG_LSN " was lost",
		    STILL_PG_LSN_ARGS(w->overwritten_lsn));
	memcpy(&named, record->data, sizeof(named));
	if (named != w->overwritten_lsn)
		return still_pg_wal_damaged(&w->pages, "record", record->lsn,
		    "says that the one at " STILL_PG_LSN
		    " was lost, which is the one at " STILL_PG_LSN,
		    STILL_PG_LSN_ARGS(named),
		    STILL_PG_LSN_ARGS(w->overwritten_lsn));
	w->overwritten_lsn = 0;
	return 0;
}

static int bad_crc(struct walker *w)
{
	char begins[STILL_PG_WAL_NAME_CHARS + 1];
	char ends[STILL_PG_WAL_NAME_CHARS + 1];

	still_pg_wal_name_at(&w->pages, w->record.lsn, begins);
	still_pg_wal_name_at(&w->pages, w->pages.page_lsn, ends);
	if (strcmp(begins, ends) == 0)
		return still_pg_wal_damaged(
		    &w->pages, "record", w->record.lsn, "fails its checksum");
	return still_pg_wal_damaged(&w->pages, "record", w->record.lsn,
	    "fails its checksum; it ends in `pg_wal/%s`", ends);
}

static void count(struct walker *w)
{
	w->totals.n_records++;
	w->totals.record_bytes += w->record.total_bytes;
	for (uint32_t i = 0; i < w->record.n_blocks; i++) {
		w->totals.n_images += w->record.blocks[i].image_bytes != 0;
		w->totals.image_bytes += w->record.blocks[i].image_bytes;
	}
}

/* The whole record was seen; it begins with the `len` bytes at `bytes`, and its
 * body's CRC is `crc`. */
static int finish(
    struct walker *w, const uint8_t *bytes, size_t len, uint32_t crc)
{
	const char *wrong;
	int rc;

	crc = still_crc32c_end(still_crc32c(crc, bytes, HEAD_CRC_BYTES));
	if (crc != w->record.crc)
		return bad_crc(w);
	wrong = still_pg_wal_record_body(
	    bytes + HEAD_BYTES, len - HEAD_BYTES, w->pages.format, &w->record);
	if (wrong)
		return still_pg_wal_damaged(
		    &w->pages, "record", w->record.lsn, "%s", wrong);
	rc = check_overwrites(w);
	if (rc < 0)
		return rc;
	count(w);
	w->previous_lsn = w->record.lsn;
	return w->pages.walk->each
	    ? w->pages.walk->each(
		  w->pages.walk->each_arg, &w->record, w->pages.err)
	    : 0;
}

/* ---- a record over several pages ----------------------------------------- */

/* The next `len` bytes of the record. */
static void feed(struct walker *w, const uint8_t *bytes, uint32_t len)
{
	uint32_t head = w->got < HEAD_BYTES ? HEAD_BYTES - w->got : 0;

	if (w->got < KEPT_BYTES) {
		uint32_t room = (uint32_t) KEPT_BYTES - w->got;

		memcpy(w->kept + w->got, bytes, len < room ? len : room);
	}
	if (len > head)
		w->crc = still_crc32c(w->crc, bytes + head, len - head);
	w->got += len;
}

/* Go to the page on which the record goes on, and see that it does. Sets
 * `overwritten_lsn` where the record was cut off instead. */
static int go_on(struct walker *w, uint32_t total_bytes)
{
	uint64_t next = w->pages.page_lsn + w->pages.format->page_bytes;
	uint64_t lsn = w->record.lsn;
	int rc;

	if (next >= w->pages.stop && w->pages.walk->over)
		*w->pages.walk->over = true;
	if (next >= w->pages.stop)
		return still_pg_wal_damaged(&w->pages, "record", lsn,
		    "goes on behind " STILL_PG_LSN ", where the backup stopped",
		    STILL_PG_LSN_ARGS(w->pages.walk->stop_lsn));
	rc = still_pg_wal_turn(&w->pages, next);
	if (rc < 0)
		return rc;
	if (w->pages.head.flags & STILL_PG_WAL_PAGE_OVERWRITES) {
		w->overwritten_lsn = lsn;
		return 0;
	}
	if (!(w->pages.head.flags & STILL_PG_WAL_PAGE_GOES_ON))
		return still_pg_wal_damaged(&w->pages, "page", next,
		    "does not go on with the record at " STILL_PG_LSN,
		    STILL_PG_LSN_ARGS(lsn));
	if (w->pages.head.rest_bytes != total_bytes - w->got)
		return still_pg_wal_damaged(&w->pages, "page", next,
		    "has %" PRIu32 " bytes left of the record at " STILL_PG_LSN
		    ", which has %" PRIu32,
		    w->pages.head.rest_bytes, STILL_PG_LSN_ARGS(lsn),
		    total_bytes - w->got);
	return 0;
}

/* The record's first page is at hand. */
static int gather(struct walker *w, const uint8_t *bytes, uint32_t total_bytes)
{
	uint32_t page_bytes = w->pages.format->page_bytes;
	bool headed = false;
	int rc;

	w->got = 0;
	w->crc = STILL_CRC32C_INIT;
	feed(w, bytes, page_bytes - (uint32_t) (w->record.lsn % page_bytes));
	for (;;) {
		uint32_t n;

		if (!headed && w->got >= HEAD_BYTES) {
			headed = true;
			still_pg_wal_record_head(w->kept, &w->record);
			rc = check_chain(w);
			if (rc < 0)
				return rc;
		}
		if (w->got == total_bytes)
			break;
		rc = go_on(w, total_bytes);
		if (rc < 0)
			return rc;
		if (w->overwritten_lsn == w->record.lsn) {
			w->at = w->pages.page_lsn;
			return 0;
		}
		n = page_bytes - w->pages.head.head_bytes;
		if (n > total_bytes - w->got)
			n = total_bytes - w->got;
		feed(w, w->pages.page + w->pages.head.head_bytes, n);
		w->at = w->pages.page_lsn + w->pages.head.head_bytes + n;
	}
	return finish(
	    w, w->kept, w->got < KEPT_BYTES ? w->got : KEPT_BYTES, w->crc);
}

/* ---- the walk ------------------------------------------------------------ */

/* A record that lies within its page. */
static int within(struct walker *w, const uint8_t *bytes, uint32_t total_bytes)
{
	int rc;

	still_pg_wal_record_head(bytes, &w->record);
	rc = check_chain(w);
	if (rc < 0)
		return rc;
	w->at += total_bytes;
	return finish(w, bytes, total_bytes,
	    still_crc32c(STILL_CRC32C_INIT, bytes + HEAD_BYTES,
		total_bytes - HEAD_BYTES));
}

/* Where a record begins at or behind `at`: never between pages, nor in the
 * middle of what goes on from the page before. */
static int begin(struct walker *w)
{
	uint64_t off = w->at % w->pages.format->page_bytes;
	int rc;

	if (off != 0)
		return 0;
	rc = still_pg_wal_turn(&w->pages, w->at);
	if (rc < 0)
		return rc;
	if (w->pages.head.flags & STILL_PG_WAL_PAGE_GOES_ON)
		return still_pg_wal_damaged(&w->pages, "page",
		    w->pages.page_lsn,
		    "goes on with a record that does not go on");
	w->at += w->pages.head.head_bytes;
	return 0;
}

/* Behind the record that was just seen. */
static void step(struct walker *w)
{
	uint64_t segment_bytes = w->pages.format->segment_bytes;

	w->at += -w->at % RECORD_ALIGN;
	if (w->at != w->pages.stop && w->overwritten_lsn == 0 &&
	    still_pg_wal_record_is(
		&w->record, STILL_PG_RM_XLOG, STILL_PG_XLOG_SWITCH))
		w->at += -w->at % segment_bytes;
}

static int one_record(struct walker *w)
{
	const uint8_t *bytes;
	uint32_t total_bytes;
	uint64_t off;
	int rc = begin(w);

	if (rc < 0)
		return rc;
	off = w->at % w->pages.format->page_bytes;
	bytes = w->pages.page + off;
	memcpy(&total_bytes, bytes, sizeof(total_bytes));
	w->record.lsn = w->at;
	if (total_bytes == 0)
		return still_pg_wal_damaged(&w->pages, "record", w->at,
		    "is not there: the WAL ends before " STILL_PG_LSN
		    ", where the backup stopped",
		    STILL_PG_LSN_ARGS(w->pages.walk->stop_lsn));
	if (total_bytes < HEAD_BYTES)
		return still_pg_wal_damaged(&w->pages, "record", w->at,
		    "is %" PRIu32 " bytes long, which is shorter than its head",
		    total_bytes);
	if (total_bytes <= w->pages.format->page_bytes - off)
		rc = within(w, bytes, total_bytes);
	else
		rc = gather(w, bytes, total_bytes);
	if (rc == 0)
		step(w);
	return rc;
}

/* The form that the end of a record has: the beginning of a page instead of
 * the place behind its header. */
static uint64_t as_end(const struct still_pg_wal_format *format, uint64_t lsn)
{
	uint64_t off = lsn % format->page_bytes;

	return off == still_pg_wal_head_bytes(format, lsn) ? lsn - off : lsn;
}

/* Come to the start, which may lie in the middle of a page. */
static int enter(struct walker *w)
{
	uint64_t off = w->at % w->pages.format->page_bytes;
	uint64_t free_bytes;
	int rc;

	if (off == 0)
		return 0;
	rc = still_pg_wal_turn(&w->pages, w->at - off);
	if (rc < 0)
		return rc;
	free_bytes = w->pages.head.head_bytes;
	if (w->pages.head.flags & STILL_PG_WAL_PAGE_GOES_ON)
		free_bytes += w->pages.head.rest_bytes;
	if (off < free_bytes)
		return still_pg_wal_damaged(&w->pages, "page",
		    w->pages.page_lsn,
		    "has no record that begins at " STILL_PG_LSN,
		    STILL_PG_LSN_ARGS(w->at));
	return 0;
}

static int run(struct walker *w)
{
	int rc = 0;

	if (w->at < w->pages.stop)
		rc = enter(w);
	while (rc == 0 && w->at < w->pages.stop)
		rc = one_record(w);
	if (rc < 0)
		return rc;
	if (w->at != w->pages.stop || w->overwritten_lsn)
		return still_pg_wal_damaged(&w->pages, "record", w->record.lsn,
		    "does not end at " STILL_PG_LSN
		    ", where the backup stopped",
		    STILL_PG_LSN_ARGS(w->pages.walk->stop_lsn));
	return 0;
}

static int check_range(
    const struct still_pg_wal_walk *walk, struct still_error *err)
{
	const struct still_pg_wal_format *format = &walk->format;
	const char *wrong = still_pg_wal_format_check(format);

	if (wrong)
		return still_error_set(
		    err, STILL_ERR_INVALID, 0, NULL, "the WAL %s", wrong);
	/* The upper half is never reached; sums of positions stay positions. */
	if (walk->start_lsn == 0 || walk->start_lsn % RECORD_ALIGN ||
	    walk->stop_lsn > INT64_MAX ||
	    as_end(format, walk->stop_lsn) < as_end(format, walk->start_lsn))
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "there is no WAL from " STILL_PG_LSN " to " STILL_PG_LSN,
		    STILL_PG_LSN_ARGS(walk->start_lsn),
		    STILL_PG_LSN_ARGS(walk->stop_lsn));
	return 0;
}

int still_pg_wal_walk(const struct still_pg_wal_walk *walk,
    struct still_pg_wal_totals *ret, struct still_error *err)
{
	int rc = check_range(walk, err);
	struct walker *w;

	if (rc < 0)
		return rc;
	w = calloc(1, sizeof(*w));
	if (!w)
		return still_error_nomem(err);
	w->at = as_end(&walk->format, walk->start_lsn);
	rc = still_pg_wal_pages_init(
	    &w->pages, walk, as_end(&walk->format, walk->stop_lsn), err);
	if (rc == 0)
		rc = run(w);
	if (rc == 0 && ret)
		*ret = w->totals;
	still_pg_wal_pages_release(&w->pages);
	free(w);
	return rc;
}
