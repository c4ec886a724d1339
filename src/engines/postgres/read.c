/* SPDX-License-Identifier: MIT */
/*
 * read: bytes of a frozen cluster, proven before they are handed out.
 *
 * A page of a relation is right when its checksum is, or when it is all zeros,
 * and it is not younger than the end of the backup. One that is wrong may have
 * been captured in the middle of a write: that does no harm where the WAL puts it
 * right (covered.h), and is damage everywhere else.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "engines/postgres/instance.h"
#include "engines/postgres/page.h"
#include "engines/postgres/wal_name.h"

#define HINT                                                              \
	"The disk or the memory has damaged it. Check the live database " \
	"(pg_amcheck, pg_checksums), and keep the last good backup."

/* As the server's users know it. */
static const char *name_of(const struct still_pg_object *object)
{
	const char *path = object->file->entry->path;

	return strncmp(path, "data/", 5) == 0 ? path + 5 : path;
}

static bool is_covered(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint32_t block)
{
	return still_pg_covered_has(frozen->covered, &object->where, block);
}

/* ---- a page -------------------------------------------------------------- */

static int too_young(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint32_t block, uint64_t lsn,
    struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0, HINT,
	    "`%s`: block %" PRIu32 ": its LSN " STILL_PG_LSN
	    " is behind the end of the backup, " STILL_PG_LSN,
	    name_of(object), block, STILL_PG_LSN_ARGS(lsn),
	    STILL_PG_LSN_ARGS(frozen->stop_lsn));
}

static int check_page(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint32_t block, void *page,
    struct still_error *err)
{
	uint64_t lsn;

	switch (still_pg_page_look(page, block, frozen->verifies_pages, &lsn)) {
	case STILL_PG_PAGE_ZERO:
		return 0;
	case STILL_PG_PAGE_OK:
		if (lsn <= frozen->stop_lsn ||
		    is_covered(frozen, object, block))
			return 0;
		return too_young(frozen, object, block, lsn, err);
	case STILL_PG_PAGE_BAD_HEADER:
		if (is_covered(frozen, object, block))
			return 0;
		return still_error_set(err, STILL_ERR_CORRUPT, 0, HINT,
		    "`%s`: block %" PRIu32
		    ": its header is that of an empty page, and it is not "
		    "empty",
		    name_of(object), block);
	case STILL_PG_PAGE_BAD_CHECKSUM:
	default:
		if (is_covered(frozen, object, block))
			return 0;
		return still_error_set(err, STILL_ERR_CORRUPT, 0, HINT,
		    "`%s`: block %" PRIu32
		    ": its checksum is wrong, and the WAL does not replace it",
		    name_of(object), block);
	}
}

/* `data` holds whole pages, but for what the file ends with. */
static int check_pages(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint64_t off_bytes, char *data,
    size_t len, struct still_error *err)
{
	uint32_t block = object->first_block +
	    (uint32_t) (off_bytes / STILL_PG_PAGE_BYTES);
	int rc = 0;

	for (; rc == 0 && len >= STILL_PG_PAGE_BYTES; block++) {
		rc = check_page(frozen, object, block, data, err);
		data += STILL_PG_PAGE_BYTES;
		len -= STILL_PG_PAGE_BYTES;
	}
	if (rc < 0 || len == 0 || is_covered(frozen, object, block))
		return rc;
	return still_error_set(err, STILL_ERR_CORRUPT, 0, HINT,
	    "`%s`: block %" PRIu32 ": the file ends in the middle of it",
	    name_of(object), block);
}

/* A whole number of pages around what is wanted. */
static int read_around(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint64_t off_bytes, void *data,
    size_t len, struct still_error *err)
{
	uint64_t size = object->file->extent.size_bytes;
	uint64_t from = off_bytes - off_bytes % STILL_PG_PAGE_BYTES;
	uint64_t to = off_bytes + len + STILL_PG_PAGE_BYTES - 1;
	char *pages;
	int rc;

	to -= to % STILL_PG_PAGE_BYTES;
	if (to > size)
		to = size;
	pages = aligned_alloc(STILL_PG_PAGE_BYTES,
	    (size_t) ((to - from + STILL_PG_PAGE_BYTES - 1) /
		STILL_PG_PAGE_BYTES * STILL_PG_PAGE_BYTES));
	if (!pages)
		return still_error_nomem(err);
	rc = still_pg_captured_read(
	    object->file, from, pages, (size_t) (to - from), err);
	if (rc == 0)
		rc = check_pages(
		    frozen, object, from, pages, (size_t) (to - from), err);
	if (rc == 0)
		memcpy(data, pages + (off_bytes - from), len);
	free(pages);
	return rc;
}

static int read_pages(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint64_t off_bytes, void *data,
    size_t len, struct still_error *err)
{
	uint64_t end = off_bytes + len;
	int rc;

	if (off_bytes % STILL_PG_PAGE_BYTES ||
	    (end % STILL_PG_PAGE_BYTES &&
		end != object->file->extent.size_bytes) ||
	    (uintptr_t) data % STILL_PG_PAGE_ALIGN)
		return read_around(frozen, object, off_bytes, data, len, err);
	rc = still_pg_captured_read(object->file, off_bytes, data, len, err);
	return rc < 0 ? rc
		      : check_pages(frozen, object, off_bytes, data, len, err);
}

int still_pg_read(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint64_t off_bytes, void *data,
    size_t len, struct still_error *err)
{
	switch (object->kind) {
	case STILL_PG_OBJECT_TEXT:
		memcpy(data, object->text + off_bytes, len);
		return 0;
	case STILL_PG_OBJECT_PAGES:
		return read_pages(frozen, object, off_bytes, data, len, err);
	case STILL_PG_OBJECT_FILE:
		return still_pg_captured_read(
		    object->file, off_bytes, data, len, err);
	case STILL_PG_OBJECT_MANIFEST:
	default:
		return still_error_set(err, STILL_ERR_PROTO, 0, NULL,
		    "`backup_manifest`: is made when all else was read");
	}
}
