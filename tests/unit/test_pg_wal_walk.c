/* SPDX-License-Identifier: MIT */
/* The walk over the WAL, on WAL made in memory: what it finds, and that it
 * finds each damage. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sanitized.h"
#include "engines/postgres/wal_name.h"
#include "engines/postgres/wal_walk.h"
#include "tests/lib/pgwal_make.h"
#include "tests/unit/scratch.h"

#define PAGE 1024
#define SEGMENT PGWAL_SEGMENT_BYTES
/* Eight pages before the end of a segment, in the middle of one. */
#define LSN (UINT64_C(7) * SEGMENT - 8 * PAGE + 512)

/* ---- walking ------------------------------------------------------------- */

struct seen {
	uint64_t digest; /* of all that the records say */
	uint64_t n;
	uint64_t lsn; /* of the last */
	uint64_t fail_at;
};

static int see(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err)
{
	struct seen *seen = arg;
	uint64_t words[4] = {record->lsn, record->total_bytes, record->n_blocks,
	    (uint64_t) record->rmgr << 8 | record->info};

	seen->digest = still_hash64_seeded(words, sizeof(words), seen->digest);
	for (uint32_t i = 0; i < record->n_blocks; i++) {
		const struct still_pg_wal_block *b = &record->blocks[i];
		uint32_t block[] = {b->where.tablespace, b->where.database,
		    b->where.relation, b->where.fork, b->block, b->image_bytes,
		    b->replaced};

		seen->digest = still_hash64_seeded(
		    block, sizeof(block), seen->digest);
	}
	seen->lsn = record->lsn;
	if (++seen->n == seen->fail_at)
		return still_error_set(err, STILL_ERR_STALE, 0, NULL, "enough");
	return 0;
}

static struct still_pg_wal_walk walk_of(
    const struct pgwal_make *make, struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	return (struct still_pg_wal_walk){
	    .format = make->format,
	    .start_lsn = make->start,
	    .stop_lsn = make->at,
	    .read = pgwal_make_read,
	    .read_arg = (void *) (uintptr_t) make,
	    .each = see,
	    .each_arg = seen,
	};
}

static struct seen walk_well(const struct pgwal_make *make)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_wal_totals totals;
	struct seen seen;
	struct still_pg_wal_walk walk = walk_of(make, &seen);

	if (still_pg_wal_walk(&walk, &totals, &err) < 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(totals.n_records, seen.n);
	return seen;
}

static void refused(
    const struct still_pg_wal_walk *walk, int code, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = still_pg_wal_walk(walk, NULL, &err);

	assert_string_equal(still_error_msg(&err), message);
	assert_int_equal(rc, code);
	assert_int_equal(err.code, code);
	if (code == STILL_ERR_CORRUPT || code == STILL_ERR_NOTFOUND)
		assert_non_null(err.hint);
	still_error_clear(&err);
}

static void refused_all(
    const struct pgwal_make *make, int code, const char *message)
{
	struct seen seen;
	struct still_pg_wal_walk walk = walk_of(make, &seen);

	refused(&walk, code, message);
}

/* ---- some WAL ------------------------------------------------------------ */

static void make_images(struct pgwal_make *make)
{
	struct pgwal_body body = {.len = 0};
	struct pgwal_block image = {0, 0x10, 1663, 5, 16384, 7, 0, 700, 24, 0,
	    0x01 | (make->format.major < 15 ? 0x04 : 0x02)};
	struct pgwal_block init = {1, 0xe0, 0, 0, 0, 8, 12, 0, 0, 0, 0};

	pgwal_body_block(&body, make->format.major, &image);
	pgwal_body_block(&body, make->format.major, &init);
	pgwal_body_data(&body, 14);
	pgwal_make_record(make, 10, 0, &body);
}

/* Records of all lengths that matter, over two segments, then a switch and a
 * few in the third. */
static void make_some(struct pgwal_make *make, unsigned major)
{
	pgwal_make_init(make, major, PAGE, 4, LSN);
	for (uint32_t i = 0;
	     make->at % SEGMENT != 0 && make->at / SEGMENT == LSN / SEGMENT;
	     i++) {
		pgwal_make_plain(make, 24);
		make_images(make);
		pgwal_make_plain(make, 27 + i * 37 % 900);
		if (i == 2)
			pgwal_make_plain(make, 3 * PAGE);
	}
	pgwal_make_plain(make, 2500);
	make_images(make);
	pgwal_make_switch(make);
	make_images(make);
	pgwal_make_plain(make, 5000);
	make_images(make);
}

static void all_is_found(void **state)
{
	(void) state;
	for (unsigned major = 13; major <= 17; major++) {
		struct still_error err = STILL_ERROR_INIT;
		struct still_pg_wal_totals totals;
		struct pgwal_make make;
		struct seen seen;
		struct still_pg_wal_walk walk;
		uint64_t last;

		pgwal_make_init(&make, major, PAGE, 2, LSN);
		pgwal_make_plain(&make, 24);
		make_images(&make);
		pgwal_make_plain(&make, 4000);
		last = pgwal_make_plain(&make, 100);
		walk = walk_of(&make, &seen);
		assert_int_equal(still_pg_wal_walk(&walk, &totals, &err), 0);
		assert_int_equal(totals.n_records, 4);
		assert_int_equal(totals.n_images, 1);
		assert_int_equal(totals.image_bytes, 700);
		/* 24 of its own; two blocks with 25 and 8 of headers; data. */
		assert_int_equal(totals.record_bytes,
		    24 + (24 + 25 + 8 + 2 + 700 + 12 + 14) + 4000 + 100);
		assert_int_equal(seen.lsn, last);
		pgwal_make_release(&make);
	}
}

/* A record that ends at each place around the end of a page, one whose head is
 * cut at each place, and both at the end of a segment. */
static void every_fit(void **state)
{
	(void) state;
	for (int end = 0; end < 2; end++)
		for (uint32_t left = 8; left <= 256; left += 8)
			for (uint32_t total = 24; total < 300;
			     total += total == 24 ? 8 : 5) {
				struct pgwal_make make;
				uint64_t lsn = UINT64_C(7) * SEGMENT;

				lsn -= (end ? 0 : 5 * PAGE) + left;
				pgwal_make_init(&make, 15, PAGE, 2, lsn);
				pgwal_make_plain(&make, total);
				pgwal_make_plain(&make, 40);
				assert_int_equal(walk_well(&make).n, 2);
				pgwal_make_release(&make);
			}
}

/* Longer than segments. Its memory is bounded all the same. */
static void long_record(void **state)
{
	struct pgwal_make make;

	(void) state;
	pgwal_make_init(&make, 16, 8192, 5, LSN);
	pgwal_make_plain(&make, 3 * SEGMENT + 20000);
	pgwal_make_plain(&make, 50);
	assert_int_equal(walk_well(&make).n, 2);
	*pgwal_make_at(&make, LSN + 2 * SEGMENT) ^= 1;
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FE200 fails its "
	    "checksum; it ends in `pg_wal/00000003000000000000000A`");
	pgwal_make_release(&make);
}

/* ---- where it begins and ends -------------------------------------------- */

static void both_forms(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_wal_walk walk;
	struct pgwal_make make;
	struct seen seen;

	(void) state;
	/* From the beginning of a segment to that of a page. */
	pgwal_make_init(&make, 15, PAGE, 2, UINT64_C(7) * SEGMENT);
	assert_int_equal(make.at % PAGE, 40);
	pgwal_make_plain(&make, 500);
	pgwal_make_plain(&make, PAGE - 40 - 504);
	assert_int_equal(make.at % PAGE, 0);
	for (int start = 0; start < 2; start++)
		for (int stop = 0; stop < 2; stop++) {
			walk = walk_of(&make, &seen);
			walk.start_lsn = make.start - (start ? 40 : 0);
			walk.stop_lsn = make.at + (stop ? 24 : 0);
			assert_int_equal(
			    still_pg_wal_walk(&walk, NULL, &err), 0);
			assert_int_equal(seen.n, 2);
		}
	/* Nothing is also something. */
	walk = walk_of(&make, &seen);
	walk.stop_lsn = walk.start_lsn;
	assert_int_equal(still_pg_wal_walk(&walk, NULL, &err), 0);
	assert_int_equal(seen.n, 0);
	pgwal_make_release(&make);
}

/* Only what is needed is read: nothing of the segment behind the stop. */
static void stops_there(void **state)
{
	struct pgwal_make make;
	uint64_t at;

	(void) state;
	/* A stop where a segment ends. */
	pgwal_make_init(&make, 15, PAGE, 2, UINT64_C(7) * SEGMENT - 2 * PAGE);
	pgwal_make_plain(&make, 500);
	at = make.at;
	pgwal_make_plain(&make, (uint32_t) (7 * SEGMENT - at) - 24);
	assert_int_equal(make.at % SEGMENT, 0);
	make.missing_segment = 1;
	assert_int_equal(walk_well(&make).n, 2);
	pgwal_make_release(&make);

	/* A stop behind a switch, as pg_switch_wal() tells it and as the
	 * beginning of the next segment; also where the switch ends with its
	 * page, and where its head is cut. */
	for (uint32_t total = 40; total <= 504; total += 8) {
		pgwal_make_init(&make, 15, PAGE, 2, LSN);
		pgwal_make_plain(&make, total);
		pgwal_make_switch(&make);
		make.missing_segment = 1;
		assert_int_equal(walk_well(&make).n, 2);
		make.at = make.previous + 24;
		if (make.at / PAGE != make.previous / PAGE)
			make.at += 24;
		assert_int_equal(walk_well(&make).n, 2);
		/* And no further than the file needs to be. */
		make.segment_lens[0] = (make.at - 24 + PAGE - 1) / PAGE * PAGE %
		    SEGMENT;
		assert_int_equal(walk_well(&make).n, 2);
		make.segment_lens[0]--;
		refused_all(&make, STILL_ERR_CORRUPT,
		    make.segment_lens[0] < SEGMENT - 7 * PAGE
			? "`pg_wal/000000030000000000000006`: page at 0/6FE000 "
			  "is not there: the file ends at byte 1041407"
			: "`pg_wal/000000030000000000000006`: page at 0/6FE400 "
			  "is not there: the file ends at byte 1042431");
		pgwal_make_release(&make);
	}
}

static void wrong_places(void **state)
{
	struct still_pg_wal_walk walk;
	struct pgwal_make make;
	struct seen seen;
	uint64_t second;

	(void) state;
	pgwal_make_init(&make, 15, PAGE, 2, LSN);
	pgwal_make_plain(&make, 100);
	second = pgwal_make_plain(&make, 2000);
	pgwal_make_plain(&make, 100);

	walk = walk_of(&make, &seen);
	walk.stop_lsn -= 8;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FEA68 does not "
	    "end at 0/6FEAC8, where the backup stopped");
	walk.stop_lsn += 16;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FEAD0 is not "
	    "there: the WAL ends before 0/6FEAD8, where the backup stopped");
	walk.stop_lsn = LSN + 700;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FE268 goes on "
	    "behind 0/6FE4BC, where the backup stopped");
	walk.stop_lsn = LSN + 4 * PAGE;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FEAD0 is not "
	    "there: the WAL ends before 0/6FF200, where the backup stopped");

	/* In the middle of a record, on its first page and on a later one;
	 * behind its end; in the header of a page. */
	walk = walk_of(&make, &seen);
	walk.start_lsn = second + 56;
	walk.stop_lsn = make.at;
	assert_int_equal(
	    still_pg_wal_walk(&walk, NULL, NULL), STILL_ERR_CORRUPT);
	walk.start_lsn = LSN / PAGE * PAGE + PAGE + 24;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: page at 0/6FE400 goes on with "
	    "a record that does not go on");
	walk.start_lsn += 40;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: page at 0/6FE400 has no record "
	    "that begins at 0/6FE440");
	walk.start_lsn = LSN / PAGE * PAGE + PAGE + 16;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: page at 0/6FE400 has no record "
	    "that begins at 0/6FE410");

	/* Behind the rest of a record it may begin. */
	walk.start_lsn = make.previous;
	assert_int_equal(still_pg_wal_walk(&walk, NULL, NULL), 0);
	pgwal_make_release(&make);
}

static void impossible_ranges(void **state)
{
	struct still_pg_wal_walk walk;
	struct pgwal_make make;
	struct seen seen;

	(void) state;
	make_some(&make, 15);
	walk = walk_of(&make, &seen);
	walk.start_lsn = make.at;
	walk.stop_lsn = LSN;
	refused(&walk, STILL_ERR_INVALID,
	    "there is no WAL from 0/801A70 to 0/6FE200");
	walk = walk_of(&make, &seen);
	walk.start_lsn = 0;
	refused(
	    &walk, STILL_ERR_INVALID, "there is no WAL from 0/0 to 0/801A70");
	walk.start_lsn = LSN + 4;
	refused(&walk, STILL_ERR_INVALID,
	    "there is no WAL from 0/6FE204 to 0/801A70");
	walk.start_lsn = LSN;
	walk.stop_lsn = UINT64_MAX;
	refused(&walk, STILL_ERR_INVALID,
	    "there is no WAL from 0/6FE200 to FFFFFFFF/FFFFFFFF");
	walk.format.page_bytes = 1000;
	refused(&walk, STILL_ERR_INVALID,
	    "the WAL has pages of an impossible size");
	pgwal_make_release(&make);
}

/* ---- damage -------------------------------------------------------------- */

static void missing_segments(void **state)
{
	struct pgwal_make make;

	(void) state;
	make_some(&make, 15);
	make.missing_segment = 1;
	refused_all(&make, STILL_ERR_NOTFOUND,
	    "`pg_wal/000000030000000000000007` is missing: the backup needs "
	    "the WAL from 0/6FE200 to 0/801A70");
	make.missing_segment = 0;
	refused_all(&make, STILL_ERR_NOTFOUND,
	    "`pg_wal/000000030000000000000006` is missing: the backup needs "
	    "the WAL from 0/6FE200 to 0/801A70");
	pgwal_make_release(&make);
}

/* Two files that changed places; one of an older use. */
static void wrong_segments(void **state)
{
	struct pgwal_make make;

	(void) state;
	make_some(&make, 15);
	memcpy(make.bytes + 2 * SEGMENT, make.bytes + SEGMENT, SEGMENT);
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000008`: page at 0/800000 holds another "
	    "part of the WAL");
	memset(make.bytes + 2 * SEGMENT, 0, SEGMENT);
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000008`: page at 0/800000 was never "
	    "written");
	pgwal_make_release(&make);
}

struct hit {
	int32_t at; /* from the second record on */
	uint8_t change;
	bool right_crc; /* the CRC is made anew afterwards */
	const char *says;
};

/* One byte of a record; of which the message is exact. */
static void damage_table(void **state)
{
	static const struct hit table[] = {
	    {0, 1, false, "record at 0/6FE268 fails its checksum"},
	    {8, 8, false,
		"record at 0/6FE268 names 0/6FE208 as the one before, which "
		"is 0/6FE200"},
	    {16, 1, false, "record at 0/6FE268 fails its checksum"},
	    {20, 1, false, "record at 0/6FE268 fails its checksum"},
	    {60, 1, false, "record at 0/6FE268 fails its checksum"},
	    {119, 0x80, false, "record at 0/6FE268 fails its checksum"},
	    {0, 120 ^ 12, false,
		"record at 0/6FE268 is 12 bytes long, which is shorter than "
		"its head"},
	    {0, 120, false,
		"record at 0/6FE268 is not there: the WAL ends before "
		"0/6FE318, where the backup stopped"},
	    {24, 1, true,
		"record at 0/6FE268 is not as long as its headers "
		"say"},
	    {25, 1, true,
		"record at 0/6FE268 is not as long as its headers say"},
	    {24, 0xff ^ 200, true,
		"record at 0/6FE268 has a header of an unknown kind"},
	    {1, 8, false,
		"record at 0/6FE268 goes on behind 0/6FE318, where the backup "
		"stopped"},
	    {-0x68, 2, false, "record at 0/6FE200 fails its checksum"},
	    {-0x268 + 4, 1, false,
		"page at 0/6FE000 belongs to another timeline"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct pgwal_make make;
		char message[300];
		uint64_t second;

		pgwal_make_init(&make, 15, PAGE, 1, LSN);
		pgwal_make_plain(&make, 100);
		second = pgwal_make_plain(&make, 120);
		pgwal_make_plain(&make, 56);
		walk_well(&make);
		*pgwal_make_at(&make, second + (uint64_t) table[i].at) ^=
		    table[i].change;
		if (table[i].right_crc)
			pgwal_make_crc(&make, second);
		snprintf(message, sizeof(message),
		    "`pg_wal/000000030000000000000006`: %s", table[i].says);
		refused_all(&make, STILL_ERR_CORRUPT, message);
		pgwal_make_release(&make);
	}
}

/* What a page says of the record that goes on there. */
static void going_on(void **state)
{
	struct pgwal_make make;
	uint64_t page = LSN / PAGE * PAGE + PAGE;

	(void) state;
	pgwal_make_init(&make, 15, PAGE, 2, LSN);
	pgwal_make_plain(&make, 100);
	pgwal_make_plain(&make, 2000);
	*pgwal_make_at(&make, page + 2) ^= 1;
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: page at 0/6FE400 does not go "
	    "on with the record at 0/6FE268");
	*pgwal_make_at(&make, page + 2) ^= 1;
	*pgwal_make_at(&make, page + 16) ^= 1;
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: page at 0/6FE400 has 1593 "
	    "bytes left of the record at 0/6FE268, which has 1592");
	pgwal_make_release(&make);
}

/* What is cut off by the end of the walk is told from other damage. */
static void going_over(void **state)
{
	struct pgwal_make make;
	struct seen seen;
	struct still_pg_wal_walk walk;
	bool over = false;
	uint64_t last;

	(void) state;
	pgwal_make_init(&make, 15, PAGE, 2, LSN);
	pgwal_make_plain(&make, 100);
	last = pgwal_make_plain(&make, 2000);
	walk = walk_of(&make, &seen);
	walk.over = &over;
	assert_int_equal(still_pg_wal_walk(&walk, NULL, NULL), 0);
	assert_false(over);
	/* At the end of the first of its pages, and of the second. */
	walk.stop_lsn = LSN / PAGE * PAGE + PAGE;
	refused(&walk, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FE268 goes on "
	    "behind 0/6FE400, where the backup stopped");
	assert_true(over);
	over = false;
	walk.stop_lsn += PAGE;
	assert_int_equal(
	    still_pg_wal_walk(&walk, NULL, NULL), STILL_ERR_CORRUPT);
	assert_true(over);
	over = false;
	walk.stop_lsn = make.at;
	*pgwal_make_at(&make, last + 100) ^= 1;
	assert_int_equal(
	    still_pg_wal_walk(&walk, NULL, NULL), STILL_ERR_CORRUPT);
	assert_false(over);
	pgwal_make_release(&make);
}

/* Every bit of every byte: an error, or what was found before. Under a
 * sanitizer, where each costs thirty times as much, one bit in three. */
static void every_bit(void **state)
{
	struct pgwal_make make;
	struct seen good;
	uint64_t harmless = 0;
	uint64_t found = 0;
	uint64_t end;

	(void) state;
	make_some(&make, 15);
	/* Nobody needs what lies behind the switch; so it is quicker. */
	make.segment_lens[1] = 6 * PAGE;
	good = walk_well(&make);
	/* All but what lies behind the switch, one page of which is enough. */
	end = (make.at + PAGE - 1) / PAGE * PAGE;
	for (uint64_t lsn = LSN / PAGE * PAGE; lsn < end; lsn++) {
		uint64_t off = lsn % SEGMENT;

		if (lsn / SEGMENT == 7 && off >= 6 * PAGE)
			continue;
		for (unsigned bit = STILL_SANITIZED ? lsn % 3 : 0; bit < 8;
		     bit += STILL_SANITIZED ? 3 : 1) {
			struct still_error err = STILL_ERROR_INIT;
			struct seen seen;
			struct still_pg_wal_walk walk = walk_of(&make, &seen);
			int rc;

			*pgwal_make_at(&make, lsn) ^= (uint8_t) (1u << bit);
			rc = still_pg_wal_walk(&walk, NULL, &err);
			*pgwal_make_at(&make, lsn) ^= (uint8_t) (1u << bit);
			if (rc < 0) {
				found++;
				assert_int_equal(rc, STILL_ERR_CORRUPT);
				assert_non_null(
				    strstr(still_error_msg(&err), "`pg_wal/"));
			} else {
				assert_int_equal(seen.digest, good.digest);
				harmless++;
			}
			still_error_clear(&err);
		}
	}
	/* Gaps between records, unused parts of pages and of headers. */
	print_message(
	    "%" PRIu64 " bits found, %" PRIu64 " of no use\n", found, harmless);
	assert_true(found > 4 * harmless);
	assert_true(harmless > 0);
	pgwal_make_release(&make);
}

/* Files that end at every length: an error, or nothing was missing. */
static void every_length(void **state)
{
	struct pgwal_make make;
	struct seen good;

	(void) state;
	make_some(&make, 15);
	make.segment_lens[1] = 6 * PAGE;
	good = walk_well(&make);
	for (size_t i = 0; i < 3; i++) {
		size_t whole = make.segment_lens[i];
		size_t shortest = SIZE_MAX;
		size_t from = i == 0 ? SEGMENT - 9 * PAGE : 0;

		for (size_t len = from; len <= from + 16 * PAGE; len++) {
			struct seen seen;
			struct still_pg_wal_walk walk = walk_of(&make, &seen);
			int rc;

			if (len > SEGMENT)
				break;
			make.segment_lens[i] = len;
			rc = still_pg_wal_walk(&walk, NULL, NULL);
			if (rc < 0) {
				assert_int_equal(rc, STILL_ERR_CORRUPT);
				assert_int_equal(shortest, SIZE_MAX);
				continue;
			}
			assert_int_equal(seen.digest, good.digest);
			if (shortest == SIZE_MAX)
				shortest = len;
		}
		make.segment_lens[i] = whole;
		/* Up to the end of the page that holds the last byte. */
		assert_int_equal(shortest % PAGE, 0);
		if (i != 1)
			assert_int_equal(shortest,
			    i == 0
				? SEGMENT
				: (make.at % SEGMENT + PAGE - 1) / PAGE * PAGE);
	}
	pgwal_make_release(&make);
}

/* Random bytes put in random places, with the CRC put right now and then. */
static void random_damage(void **state)
{
	uint64_t seed = scratch_seed();
	unsigned refusals = 0;

	(void) state;
	for (int i = 0; i < 3000; i++) {
		unsigned n = 1 + (unsigned) scratch_below(&seed, 8);
		struct pgwal_make make;
		struct seen seen;
		struct still_pg_wal_walk walk;
		uint64_t lsn;

		pgwal_make_init(&make, 13 + (unsigned) i % 5, PAGE, 2, LSN);
		pgwal_make_plain(&make, 60);
		make_images(&make);
		lsn = pgwal_make_plain(&make, 40);
		pgwal_make_plain(
		    &make, 27 + (uint32_t) scratch_below(&seed, 4000));
		walk = walk_of(&make, &seen);
		while (n-- > 0)
			*pgwal_make_at(&make,
			    LSN / PAGE * PAGE +
				scratch_below(&seed, 4 * PAGE)) =
			    (uint8_t) scratch_random(&seed);
		if (i % 2 == 0) {
			/* A body that nobody wrote, and a right CRC. */
			for (int k = 24; k < 40; k++)
				*pgwal_make_at(&make, lsn + (uint64_t) k) =
				    (uint8_t) scratch_random(&seed);
			memcpy(pgwal_make_at(&make, lsn), "\x28\0\0\0", 4);
			pgwal_make_crc(&make, lsn);
		}
		refusals += still_pg_wal_walk(&walk, NULL, NULL) < 0;
		pgwal_make_release(&make);
	}
	assert_true(refusals > 1000);
}

/* ---- after a crash ------------------------------------------------------- */

static void cut_records(void **state)
{
	(void) state;
	/* Cut at the next page, at a later one, and at a segment's end. */
	for (uint64_t pages = 1; pages <= 9; pages++) {
		struct pgwal_make make;
		uint64_t page = LSN / PAGE * PAGE + pages * PAGE;
		uint64_t first;
		uint64_t cut;
		struct seen seen;

		pgwal_make_init(&make, 15, PAGE, 2, LSN);
		first = pgwal_make_plain(&make, 100);
		cut = pgwal_make_plain(&make, 12 * PAGE);
		pgwal_make_cut(&make, cut, first, page, cut);
		pgwal_make_plain(&make, 3000);
		seen = walk_well(&make);
		assert_int_equal(seen.n, 3);
		pgwal_make_release(&make);
	}
}

static void cut_and_not_told(void **state)
{
	struct pgwal_make make;
	uint64_t first;
	uint64_t cut;
	uint64_t page = LSN / PAGE * PAGE + PAGE;

	(void) state;
	pgwal_make_init(&make, 15, PAGE, 2, LSN);
	first = pgwal_make_plain(&make, 100);
	cut = pgwal_make_plain(&make, 2000);
	pgwal_make_cut(&make, cut, first, page, cut + 8);
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FE418 says that "
	    "the one at 0/6FE270 was lost, which is the one at 0/6FE268");
	/* The page says so, the record is another one. */
	make.at = page + 24;
	make.previous = first;
	pgwal_make_plain(&make, 60);
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FE418 does not "
	    "say that the one at 0/6FE268 was lost");
	/* The stop lies where the cut is. */
	make.at = page + 24;
	refused_all(&make, STILL_ERR_CORRUPT,
	    "`pg_wal/000000030000000000000006`: record at 0/6FE268 goes on "
	    "behind 0/6FE418, where the backup stopped");
	pgwal_make_release(&make);
}

/* ---- the caller ---------------------------------------------------------- */

static ssize_t broken(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	(void) arg;
	(void) segment;
	(void) off_bytes;
	(void) data;
	(void) len;
	return still_error_set(err, STILL_ERR_IO, 5, NULL, "the disk is gone");
}

static void errors_come_through(void **state)
{
	struct still_pg_wal_walk walk;
	atomic_bool cancel = true;
	struct pgwal_make make;
	struct seen seen;

	(void) state;
	make_some(&make, 15);
	walk = walk_of(&make, &seen);
	seen.fail_at = 5;
	refused(&walk, STILL_ERR_STALE, "enough");
	assert_int_equal(seen.n, 5);
	walk = walk_of(&make, &seen);
	walk.cancel = &cancel;
	refused(
	    &walk, STILL_ERR_CANCELLED, "the check of the WAL was cancelled");
	assert_int_equal(seen.n, 0);
	walk = walk_of(&make, &seen);
	walk.read = broken;
	refused(&walk, STILL_ERR_IO, "the disk is gone");
	walk = walk_of(&make, &seen);
	walk.each = NULL;
	assert_int_equal(still_pg_wal_walk(&walk, NULL, NULL), 0);
	pgwal_make_release(&make);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_is_found),
	    cmocka_unit_test(every_fit),
	    cmocka_unit_test(long_record),
	    cmocka_unit_test(both_forms),
	    cmocka_unit_test(stops_there),
	    cmocka_unit_test(wrong_places),
	    cmocka_unit_test(impossible_ranges),
	    cmocka_unit_test(missing_segments),
	    cmocka_unit_test(wrong_segments),
	    cmocka_unit_test(damage_table),
	    cmocka_unit_test(going_on),
	    cmocka_unit_test(going_over),
	    cmocka_unit_test(every_bit),
	    cmocka_unit_test(every_length),
	    cmocka_unit_test(random_damage),
	    cmocka_unit_test(cut_records),
	    cmocka_unit_test(cut_and_not_told),
	    cmocka_unit_test(errors_come_through),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
