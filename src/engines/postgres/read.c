/* SPDX-License-Identifier: MIT */
/*
 * read: bytes of a frozen cluster, proven before they are handed out: pages of
 * relations as relation_pages.h says, all else when it was frozen.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/instance.h"
#include "engines/postgres/page.h"
#include "engines/postgres/relation_pages.h"

/* `data` holds whole pages, but for what the file ends with. */
static int check_pages(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint64_t off_bytes, void *data,
    size_t len, struct still_error *err)
{
	struct still_pg_proof proof = {
	    .covered = frozen->covered,
	    .stop_lsn = frozen->stop_lsn,
	    .checksums = frozen->verifies_pages,
	};

	return still_pg_check_pages(&proof, object->file->entry->path,
	    &object->where,
	    object->first_block + (uint32_t) (off_bytes / STILL_PG_PAGE_BYTES),
	    data, len, err);
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
	case STILL_PG_OBJECT_SEGMENT:
		return still_pg_served_read(&frozen->increment->served,
		    object->segment, off_bytes, data, len, err);
	case STILL_PG_OBJECT_MANIFEST:
	default:
		return still_error_set(err, STILL_ERR_PROTO, 0, NULL,
		    "`backup_manifest`: is made when all else was read");
	}
}
