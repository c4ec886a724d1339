/* SPDX-License-Identifier: MIT */
/*
 * Bytes as WAL, in four ways that the first of them chooses: as the body of one
 * record, with a right CRC; as changes of good WAL; as pages; as the end of a
 * record that good WAL begins. Whatever comes, the walk ends, reads nothing
 * that is not there, and tells of no block outside of a record's room for them.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/covered.h"
#include "engines/postgres/wal_walk.h"
#include "tests/lib/pgwal_make.h"

#define PAGE 1024
#define LSN (UINT64_C(7) * PGWAL_SEGMENT_BYTES - 3 * PAGE + 512)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int each(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err)
{
	if (record->n_blocks > STILL_PG_WAL_BLOCKS_MAX)
		abort();
	return still_pg_covered_record(arg, record, err);
}

static void as_body(struct pgwal_make *make, const uint8_t *data, size_t len)
{
	struct pgwal_body body = {.len = 0};

	pgwal_body_add(
	    &body, data, len < sizeof(body.bytes) ? len : sizeof(body.bytes));
	pgwal_make_record(make, 10, 0, &body);
	pgwal_make_plain(make, 60);
}

/* Three bytes each: where, and what to change there. */
static void as_changes(struct pgwal_make *make, const uint8_t *data, size_t len)
{
	pgwal_make_plain(make, 60);
	pgwal_make_plain(make, 3 * PAGE);
	pgwal_make_switch(make);
	pgwal_make_plain(make, 500);
	for (; len >= 3; data += 3, len -= 3) {
		uint64_t at = (uint64_t) data[0] << 8 | data[1];

		*pgwal_make_at(make, LSN / PAGE * PAGE + at % (5 * PAGE)) ^=
		    data[2];
	}
}

static void as_pages(struct pgwal_make *make, const uint8_t *data, size_t len)
{
	size_t room = 6 * PAGE;

	memcpy(pgwal_make_at(make, LSN), data, len < room ? len : room);
	make->at = LSN + (len + 7) / 8 * 8 % room;
}

static void as_rest(struct pgwal_make *make, const uint8_t *data, size_t len)
{
	size_t room = 4 * PAGE;

	pgwal_make_plain(make, 3 * PAGE);
	memcpy(pgwal_make_at(make, LSN / PAGE * PAGE + PAGE), data,
	    len < room ? len : room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const ways[])(struct pgwal_make *, const uint8_t *,
	    size_t) = {as_body, as_changes, as_pages, as_rest};
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_covered *covered;
	struct still_pg_wal_walk walk;
	struct pgwal_make make;

	if (len < 1)
		return 0;
	covered = still_pg_covered_new();
	if (!covered)
		abort();
	pgwal_make_init(&make, 13 + data[0] / 4 % 5, PAGE, 3, LSN);
	ways[data[0] % 4](&make, data + 1, len - 1);
	walk = (struct still_pg_wal_walk){
	    .format = make.format,
	    .start_lsn = make.start,
	    .stop_lsn = make.at,
	    .read = pgwal_make_read,
	    .read_arg = &make,
	    .each = each,
	    .each_arg = covered,
	};
	still_pg_wal_walk(&walk, NULL, &err);
	still_error_clear(&err);
	still_pg_covered_free(covered);
	pgwal_make_release(&make);
	return 0;
}
