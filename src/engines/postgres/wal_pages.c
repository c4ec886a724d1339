/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/wal_pages.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char damage_hint[] =
    "The WAL is damaged, on the disk or in memory: look into the server's log, "
    "check the disk, then begin a new backup.";

/* ---- what is said -------------------------------------------------------- */

void still_pg_wal_name_at(const struct still_pg_wal_pages *pages, uint64_t lsn,
    char ret_name[STILL_PG_WAL_NAME_CHARS + 1])
{
	struct still_pg_wal_segment segment = {
	    pages->format->timeline, lsn / pages->format->segment_bytes};

	still_pg_wal_name(&segment, pages->format->segment_bytes, ret_name);
}

int still_pg_wal_damaged(struct still_pg_wal_pages *pages, const char *kind,
    uint64_t lsn, const char *fmt, ...)
{
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	still_pg_wal_name_at(pages, lsn, name);
	return still_error_set(pages->err, STILL_ERR_CORRUPT, 0, damage_hint,
	    "`pg_wal/%s`: %s at " STILL_PG_LSN " %s", name, kind,
	    STILL_PG_LSN_ARGS(lsn), text);
}

static int missing(struct still_pg_wal_pages *pages, uint64_t lsn)
{
	char name[STILL_PG_WAL_NAME_CHARS + 1];

	still_pg_wal_name_at(pages, lsn, name);
	return still_error_set(pages->err, STILL_ERR_NOTFOUND, 0,
	    "Without it the copy cannot be recovered; begin a new backup.",
	    "`pg_wal/%s` is missing: the backup needs the WAL from " STILL_PG_LSN
	    " to " STILL_PG_LSN,
	    name, STILL_PG_LSN_ARGS(pages->walk->start_lsn),
	    STILL_PG_LSN_ARGS(pages->walk->stop_lsn));
}

/* ---- pages --------------------------------------------------------------- */

/* Read whole pages from `lsn` on: as many as the piece, the segment and the
 * part that is wanted have. */
static int fill(struct still_pg_wal_pages *pages, uint64_t lsn)
{
	uint32_t page_bytes = pages->format->page_bytes;
	uint64_t off = lsn % pages->format->segment_bytes;
	uint64_t wanted = pages->stop - lsn;
	size_t len = STILL_PG_WAL_PIECE_BYTES;
	ssize_t n;

	if (pages->walk->cancel && atomic_load(pages->walk->cancel))
		return still_error_set(pages->err, STILL_ERR_CANCELLED, 0, NULL,
		    "the check of the WAL was cancelled");
	/* All of these are made of whole pages. */
	if (wanted < len)
		len = wanted + -wanted % page_bytes;
	if (len > pages->format->segment_bytes - off)
		len = pages->format->segment_bytes - off;
	pages->buffer_bytes = 0;
	n = pages->walk->read(pages->walk->read_arg,
	    lsn / pages->format->segment_bytes, (uint32_t) off, pages->buffer,
	    len, pages->err);
	if (n == STILL_ERR_NOTFOUND)
		return missing(pages, lsn);
	if (n < 0)
		return (int) n;
	if ((size_t) n < page_bytes)
		return still_pg_wal_damaged(pages, "page", lsn,
		    "is not there: the file ends at byte %" PRIu64,
		    off + (uint64_t) n);
	pages->buffer_lsn = lsn;
	pages->buffer_bytes = (size_t) n - (size_t) n % page_bytes;
	return 0;
}

int still_pg_wal_turn(struct still_pg_wal_pages *pages, uint64_t lsn)
{
	const char *wrong;
	int rc;

	if (lsn < pages->buffer_lsn ||
	    lsn >= pages->buffer_lsn + pages->buffer_bytes) {
		rc = fill(pages, lsn);
		if (rc < 0)
			return rc;
	}
	pages->page = pages->buffer + (lsn - pages->buffer_lsn);
	pages->page_lsn = lsn;
	wrong = still_pg_wal_page_parse(pages->page, pages->format->page_bytes,
	    pages->format, lsn, &pages->head);
	return wrong ? still_pg_wal_damaged(pages, "page", lsn, "%s", wrong)
		     : 0;
}

/* ---- its life ------------------------------------------------------------ */

int still_pg_wal_pages_init(struct still_pg_wal_pages *pages,
    const struct still_pg_wal_walk *walk, uint64_t stop,
    struct still_error *err)
{
	*pages = (struct still_pg_wal_pages){
	    .walk = walk,
	    .format = &walk->format,
	    .err = err,
	    .stop = stop,
	    .buffer = malloc(STILL_PG_WAL_PIECE_BYTES),
	};
	return pages->buffer ? 0 : still_error_nomem(err);
}

void still_pg_wal_pages_release(struct still_pg_wal_pages *pages)
{
	free(pages->buffer);
}
