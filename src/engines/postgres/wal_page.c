/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/wal_page.h"

#include <string.h>

#include "engines/postgres/versions.h"
#include "engines/postgres/wal_name.h"

/* As it lies on disk; both parts are packed by nature. */
struct page_head {
	uint16_t magic;
	uint16_t flags;
	uint32_t timeline;
	uint64_t lsn;
	uint32_t rest_bytes;
	uint32_t nothing;
};

struct long_part {
	uint64_t system_identifier;
	uint32_t segment_bytes;
	uint32_t page_bytes;
};

_Static_assert(sizeof(struct page_head) == STILL_PG_WAL_PAGE_HEAD_BYTES &&
	sizeof(struct page_head) + sizeof(struct long_part) ==
	    STILL_PG_WAL_LONG_HEAD_BYTES,
    "as on disk");

static bool power_between(uint64_t n, uint64_t low, uint64_t high)
{
	return n >= low && n <= high && (n & (n - 1)) == 0;
}

const char *still_pg_wal_format_check(const struct still_pg_wal_format *format)
{
	if (!still_pg_version((int) format->major))
		return "is of a version other than 13 to 17";
	if (!still_pg_wal_segment_bytes_valid(format->segment_bytes))
		return "has segments of an impossible size";
	if (!power_between(format->page_bytes, 1024, 65536))
		return "has pages of an impossible size";
	if (!power_between(format->block_bytes, 1024, 32768))
		return "has images of blocks of an impossible size";
	if (format->timeline == 0)
		return "has no timeline";
	return NULL;
}

static const char *check_long(
    const struct long_part *part, const struct still_pg_wal_format *format)
{
	if (part->system_identifier != format->system_identifier)
		return "belongs to another server";
	if (part->segment_bytes != format->segment_bytes)
		return "names another size of segments";
	if (part->page_bytes != format->page_bytes)
		return "names another size of pages";
	return NULL;
}

static const char *check_head(const struct page_head *head,
    const struct still_pg_wal_format *format, uint64_t lsn)
{
	bool begins = lsn % format->segment_bytes == 0;

	if (head->magic == 0 && head->flags == 0 && head->lsn == 0)
		return "was never written";
	if (head->magic != format->page_magic)
		return "has the magic of no page of this version";
	if (head->flags & ~STILL_PG_WAL_PAGE_FLAGS)
		return "has flags that nobody knows";
	if (((head->flags & STILL_PG_WAL_PAGE_LONG) != 0) != begins)
		return begins ? "has no long header"
			      : "has a long header within its segment";
	/* A segment that is used again still holds what it held before. */
	if (head->lsn != lsn)
		return "holds another part of the WAL";
	if (head->timeline != format->timeline)
		return "belongs to another timeline";
	return NULL;
}

const char *still_pg_wal_page_parse(const void *bytes, size_t len,
    const struct still_pg_wal_format *format, uint64_t lsn,
    struct still_pg_wal_page *ret)
{
	uint32_t head_bytes = still_pg_wal_head_bytes(format, lsn);
	struct page_head head;
	struct long_part part;
	const char *wrong;

	if (len < head_bytes)
		return "ends within its header";
	memcpy(&head, bytes, sizeof(head));
	wrong = check_head(&head, format, lsn);
	if (wrong)
		return wrong;
	if (head_bytes == STILL_PG_WAL_LONG_HEAD_BYTES) {
		memcpy(&part, (const uint8_t *) bytes + sizeof(head),
		    sizeof(part));
		wrong = check_long(&part, format);
		if (wrong)
			return wrong;
	}
	ret->flags = head.flags;
	ret->head_bytes = head_bytes;
	ret->rest_bytes = head.rest_bytes;
	return NULL;
}
