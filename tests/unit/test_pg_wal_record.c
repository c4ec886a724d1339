/* SPDX-License-Identifier: MIT */
/* Pages and records of the WAL, each rule broken. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engines/postgres/wal_record.h"
#include "tests/lib/pgwal_make.h"
#include "tests/unit/scratch.h"

#define LSN (UINT64_C(5) * PGWAL_SEGMENT_BYTES)

static struct still_pg_wal_format format_of(unsigned major)
{
	struct pgwal_make make;

	pgwal_make_init(&make, major, 8192, 1, LSN);
	pgwal_make_release(&make);
	return make.format;
}

/* ---- pages --------------------------------------------------------------- */

static void page_table(void **state)
{
	static const struct {
		uint64_t lsn;
		size_t at;
		uint8_t change; /* xor */
		const char *wrong;
	} table[] = {
	    {LSN, 0, 0, NULL},
	    {LSN, 0, 3, "has the magic of no page of this version"},
	    {LSN, 1, 1, "has the magic of no page of this version"},
	    {LSN, 2, 0x10, "has flags that nobody knows"},
	    {LSN, 3, 0x80, "has flags that nobody knows"},
	    {LSN, 2, 0x04, NULL},
	    {LSN, 2, 0x02, "has no long header"},
	    {LSN, 4, 1, "belongs to another timeline"},
	    {LSN, 8, 1, "holds another part of the WAL"},
	    {LSN, 15, 1, "holds another part of the WAL"},
	    {LSN, 16, 1, NULL},
	    {LSN, 24, 1, "belongs to another server"},
	    {LSN, 31, 1, "belongs to another server"},
	    {LSN, 34, 1, "names another size of segments"},
	    {LSN, 37, 1, "names another size of pages"},
	    {LSN + 8192, 0, 0, NULL},
	    {LSN + 8192, 2, 0x02, "has a long header within its segment"},
	    {LSN + 8192, 24, 1, NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct still_pg_wal_page page;
		struct pgwal_make make;
		const char *wrong;
		uint8_t *bytes;

		pgwal_make_init(&make, 15, 8192, 1, table[i].lsn);
		bytes = pgwal_make_at(&make, table[i].lsn);
		bytes[table[i].at] ^= table[i].change;
		wrong = still_pg_wal_page_parse(
		    bytes, 8192, &make.format, table[i].lsn, &page);
		if (table[i].wrong)
			assert_string_equal(wrong, table[i].wrong);
		else
			assert_null(wrong);
		pgwal_make_release(&make);
	}
}

static void page_of_each_version(void **state)
{
	(void) state;
	for (unsigned made = 13; made <= 17; made++)
		for (unsigned read = 13; read <= 17; read++) {
			struct still_pg_wal_format format = format_of(read);
			struct still_pg_wal_page page;
			struct pgwal_make make;

			pgwal_make_init(&make, made, 8192, 1, LSN);
			assert_int_equal(
			    still_pg_wal_page_parse(pgwal_make_at(&make, LSN),
				8192, &format, LSN, &page) == NULL,
			    made == read);
			pgwal_make_release(&make);
		}
}

static void page_cut_off(void **state)
{
	struct still_pg_wal_page page;
	struct pgwal_make make;

	(void) state;
	pgwal_make_init(&make, 17, 8192, 1, LSN);
	for (size_t len = 0; len <= 41; len++) {
		/* Memory of its own, so that ASan sees each byte too many. */
		uint8_t *bytes = malloc(len ? len : 1);
		const char *wrong;

		assert_non_null(bytes);
		memcpy(bytes, make.bytes, len);
		wrong = still_pg_wal_page_parse(
		    bytes, len, &make.format, LSN, &page);
		if (len < 40)
			assert_string_equal(wrong, "ends within its header");
		else
			assert_null(wrong);
		free(bytes);
	}
	memset(make.bytes, 0, 8192);
	assert_string_equal(
	    still_pg_wal_page_parse(make.bytes, 8192, &make.format, LSN, &page),
	    "was never written");
	pgwal_make_release(&make);
}

static void impossible_formats(void **state)
{
	struct still_pg_wal_format good = format_of(15);
	struct still_pg_wal_format bad[] = {
	    good, good, good, good, good, good, good, good, good};

	(void) state;
	assert_null(still_pg_wal_format_check(&good));
	bad[0].major = 12;
	bad[1].major = 18;
	bad[2].segment_bytes = 3 << 20;
	bad[3].segment_bytes = 0;
	bad[4].page_bytes = 0;
	bad[5].page_bytes = 12288;
	bad[6].block_bytes = 65536;
	bad[7].block_bytes = 512;
	bad[8].timeline = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(still_pg_wal_format_check(&bad[i]));
}

/* ---- records ------------------------------------------------------------- */

/* Parse a body of `extra` bytes more, or fewer, than it announces. */
static const char *parse(const struct pgwal_body *body, unsigned major,
    long extra, struct still_pg_wal_record *ret)
{
	struct still_pg_wal_format format = format_of(major);
	size_t len = (size_t) ((long) (body->len + body->n_payload) + extra);
	uint8_t *bytes = calloc(1, len ? len : 1);
	const char *wrong;

	assert_non_null(bytes);
	memcpy(bytes, body->bytes, body->len < len ? body->len : len);
	memset(ret, 0xa5, sizeof(*ret));
	ret->total_bytes = (uint32_t) len + 24;
	wrong = still_pg_wal_record_body(bytes, len, &format, ret);
	free(bytes);
	return wrong;
}

/* An image as one version or the other has it. */
#define HOLE 0x01

struct one {
	unsigned major;
	struct pgwal_block block;
	long extra;
	const char *wrong;
	bool replaced;
};

#define REL 1663, 5, 16384

/* clang-format off */
static const struct one blocks[] = {
    /* no image */
    {15, {0, 0x00, REL, 7, 0, 0, 0, 0, 0}, 0, NULL, false},
    {15, {0, 0x20, REL, 7, 9, 0, 0, 0, 0}, 0, NULL, false},
    {15, {0, 0x40, REL, 7, 0, 0, 0, 0, 0}, 0, NULL, true},
    {13, {0, 0x60, REL, 7, 1, 0, 0, 0, 0}, 0, NULL, true},
    {15, {32, 0x02, REL, 7, 0, 0, 0, 0, 0}, 0, NULL, false},
    {15, {0, 0x20, REL, 7, 0, 0, 0, 0, 0}, 0,
	"has a block that contradicts its flags", false},
    {15, {0, 0x00, REL, 7, 9, 0, 0, 0, 0}, 0,
	"has a block that contradicts its flags", false},
    {15, {0, 0x80, REL, 7, 0, 0, 0, 0, 0}, 0,
	"has no relation to repeat", false},
    /* from 15, 0x02 applies and 0x04, 0x08, 0x10 compress */
    {15, {0, 0x10, REL, 7, 0, 8192, 0, 0, 0x02}, 0, NULL, true},
    {15, {0, 0x10, REL, 7, 0, 8192, 0, 0, 0x00}, 0, NULL, false},
    {15, {0, 0x50, REL, 7, 0, 8192, 0, 0, 0x00}, 0, NULL, true},
    {17, {0, 0x30, REL, 7, 5, 300, 24, 0, HOLE | 0x02}, 0, NULL, true},
    {15, {0, 0x10, REL, 7, 0, 300, 24, 99, HOLE | 0x06}, 0, NULL, true},
    {16, {0, 0x10, REL, 7, 0, 300, 24, 99, HOLE | 0x0a}, 0, NULL, true},
    {15, {0, 0x10, REL, 7, 0, 300, 24, 99, HOLE | 0x12}, 0, NULL, true},
    {15, {0, 0x10, REL, 7, 0, 300, 24, 99, HOLE | 0x04}, 0, NULL, false},
    {15, {0, 0x10, REL, 7, 0, 300, 0, 0, 0x06}, 0, NULL, true},
    /* up to 14, 0x02 compresses and 0x04 applies */
    {14, {0, 0x10, REL, 7, 0, 8192, 0, 0, 0x04}, 0, NULL, true},
    {13, {0, 0x10, REL, 7, 0, 8192, 0, 0, 0x00}, 0, NULL, false},
    {14, {0, 0x10, REL, 7, 0, 300, 24, 99, HOLE | 0x02}, 0, NULL, false},
    {13, {0, 0x10, REL, 7, 0, 300, 24, 99, HOLE | 0x06}, 0, NULL, true},
    {14, {0, 0x10, REL, 7, 0, 300, 24, 0, HOLE | 0x04}, 0, NULL, true},
    /* images that cannot be */
    {15, {0, 0x10, REL, 7, 0, 0, 24, 0, HOLE | 0x02}, 0,
	"has an image of an impossible length", false},
    {15, {0, 0x10, REL, 7, 0, 8193, 0, 0, 0x02}, 0,
	"has an image of an impossible length", false},
    {15, {0, 0x10, REL, 7, 0, 65535, 0, 0, HOLE | 0x02}, 0,
	"has an image of an impossible length", false},
    {15, {0, 0x10, REL, 7, 0, 8192, 24, 0, HOLE | 0x02}, 0,
	"has an image with an impossible hole", false},
    {15, {0, 0x10, REL, 7, 0, 300, 0, 0, HOLE | 0x02}, 0,
	"has an image with an impossible hole", false},
    {15, {0, 0x10, REL, 7, 0, 300, 24, 0, HOLE | 0x06}, 0,
	"has an image with an impossible hole", false},
    {15, {0, 0x10, REL, 7, 0, 8192, 24, 0, 0x02}, 0,
	"has an image with a hole that it denies", false},
    {15, {0, 0x10, REL, 7, 0, 300, 400, 0, HOLE | 0x02}, 0,
	"has an image whose hole leaves the page", false},
    {15, {0, 0x10, REL, 7, 0, 300, 4096, 4097, HOLE | 0x06}, 0,
	"has an image whose hole leaves the page", false},
    {15, {0, 0x10, REL, 7, 0, 300, 0, 0, 0x02}, 0,
	"has an image of another length than a page", false},
    {15, {0, 0x10, REL, 7, 0, 8192, 0, 0, 0x06}, 0,
	"has an image of another length than a page", false},
    /* lengths that do not add up */
    {15, {0, 0x20, REL, 7, 9, 0, 0, 0, 0}, 1,
	"has blocks out of their order", false},
    {15, {0, 0x20, REL, 7, 9, 0, 0, 0, 0}, -1,
	"is not as long as its headers say", false},
    {15, {0, 0x00, REL, 7, 0, 0, 0, 0, 0}, -1,
	"has headers that it is too short for", false},
    {15, {33, 0x00, REL, 7, 0, 0, 0, 0, 0}, 0,
	"has a header of an unknown kind", false},
};
/* clang-format on */

static void block_table(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		const struct one *one = &blocks[i];
		struct pgwal_body body = {.len = 0};
		struct still_pg_wal_record record;
		const char *wrong;

		pgwal_body_block(&body, one->major, &one->block);
		wrong = parse(&body, one->major, one->extra, &record);
		if (one->wrong ? !wrong || strcmp(wrong, one->wrong) != 0
			       : wrong != NULL)
			fail_msg("line %zu: %s, not %s", i,
			    wrong ? wrong : "nothing",
			    one->wrong ? one->wrong : "nothing");
		if (wrong)
			continue;
		assert_int_equal(record.n_blocks, 1);
		assert_int_equal(record.blocks[0].replaced, one->replaced);
		assert_int_equal(record.blocks[0].block, 7);
		assert_int_equal(record.blocks[0].where.tablespace, 1663);
		assert_int_equal(record.blocks[0].where.database, 5);
		assert_int_equal(record.blocks[0].where.relation, 16384);
		assert_int_equal(
		    record.blocks[0].where.fork, one->block.flags & 15);
		assert_int_equal(
		    record.blocks[0].image_bytes, one->block.image_bytes);
	}
}

/* Everything that one record can have. */
static void full_body(struct pgwal_body *body, unsigned major)
{
	uint8_t origin[3] = {253, 1, 0};
	uint8_t top[5] = {252, 1, 2, 3, 4};
	uint8_t info =
	    0x07; /* hole, compressed, to be applied: in all versions */

	for (uint8_t id = 0; id <= 32; id++) {
		struct pgwal_block block = {id, 0x30, 1663, 5, 16384u + id,
		    1000u + id, 3, 100, 24, 200, info};

		pgwal_body_block(body, major, &block);
	}
	pgwal_body_add(body, origin, 3);
	if (major >= 14)
		pgwal_body_add(body, top, 5);
	pgwal_body_data(body, 300);
}

static void everything_at_once(void **state)
{
	(void) state;
	for (unsigned major = 13; major <= 17; major++) {
		struct pgwal_body body = {.len = 0};
		struct still_pg_wal_record record;

		full_body(&body, major);
		assert_true(body.len <= STILL_PG_WAL_HEADERS_MAX_BYTES);
		assert_null(parse(&body, major, 0, &record));
		assert_int_equal(record.n_blocks, 33);
		assert_int_equal(record.data_bytes, 300);
		for (uint32_t i = 0; i < 33; i++) {
			assert_int_equal(
			    record.blocks[i].where.relation, 16384 + i);
			assert_int_equal(record.blocks[i].block, 1000 + i);
			assert_true(record.blocks[i].replaced);
		}
	}
}

static void same_relation(void **state)
{
	struct pgwal_block first = {0, 0x01, 1663, 5, 77, 1, 0, 0, 0, 0, 0};
	struct pgwal_block second = {2, 0xc2, 0, 0, 0, 9, 0, 0, 0, 0, 0};
	struct pgwal_body body = {.len = 0};
	struct still_pg_wal_record record;

	(void) state;
	pgwal_body_block(&body, 15, &first);
	pgwal_body_block(&body, 15, &second);
	assert_null(parse(&body, 15, 0, &record));
	assert_int_equal(record.n_blocks, 2);
	assert_int_equal(record.blocks[1].where.relation, 77);
	assert_int_equal(record.blocks[1].where.fork, 2);
	assert_int_equal(record.blocks[1].block, 9);
	assert_false(record.blocks[0].replaced);
	assert_true(record.blocks[1].replaced);

	memset(&body, 0, sizeof(body));
	first.id = 2;
	pgwal_body_block(&body, 15, &first);
	pgwal_body_block(&body, 15, &second);
	assert_string_equal(
	    parse(&body, 15, 0, &record), "has blocks out of their order");
}

static void main_data(void **state)
{
	static const uint32_t lens[] = {1, 255, 256, 70000};
	static const uint8_t top[5] = {252, 1, 2, 3, 4};
	struct still_pg_wal_record record;
	struct pgwal_body body;

	(void) state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		memset(&body, 0, sizeof(body));
		pgwal_body_data(&body, lens[i]);
		assert_null(parse(&body, 15, 0, &record));
		assert_int_equal(record.data_bytes, lens[i]);
		assert_non_null(record.data);
		assert_string_equal(parse(&body, 15, 1, &record),
		    "is not as long as its headers say");
		assert_string_equal(parse(&body, 15, -1, &record),
		    "is not as long as its headers say");
	}
	/* A length near 2^32 is not added up to something small. */
	memset(&body, 0, sizeof(body));
	pgwal_body_add(&body, "\xfe\xff\xff\xff\xff", 5);
	assert_string_equal(
	    parse(&body, 15, 4, &record), "is not as long as its headers say");
	/* The transaction of the top level came with 14. */
	memset(&body, 0, sizeof(body));
	pgwal_body_add(&body, top, 5);
	assert_null(parse(&body, 14, 0, &record));
	assert_string_equal(
	    parse(&body, 13, 0, &record), "has a header of an unknown kind");
	/* Nothing at all, as in a switch. */
	memset(&body, 0, sizeof(body));
	assert_null(parse(&body, 15, 0, &record));
	assert_int_equal(record.n_blocks, 0);
}

/* Cut at every length, and with headers only: never read behind the end. */
static void cut_off(void **state)
{
	struct still_pg_wal_format format = format_of(15);
	struct pgwal_body body = {.len = 0};
	struct still_pg_wal_record record;

	(void) state;
	full_body(&body, 15);
	/* A few shorter ones add up by chance, before the last header. */
	for (long len = 0; len < (long) (body.len + body.n_payload); len++) {
		long extra = len - (long) (body.len + body.n_payload);

		if (!parse(&body, 15, extra, &record))
			assert_int_equal(record.data_bytes, 0);
	}
	for (size_t len = 0; len <= body.len; len++) {
		uint8_t *bytes = malloc(len ? len : 1);
		const char *wrong;

		assert_non_null(bytes);
		memcpy(bytes, body.bytes, len);
		record.total_bytes =
		    (uint32_t) (24 + body.len + body.n_payload);
		wrong = still_pg_wal_record_body(bytes, len, &format, &record);
		assert_int_equal(wrong == NULL, len == body.len);
		if (!wrong)
			assert_null(record.data);
		free(bytes);
	}
	for (uint32_t total = 0; total < 24; total++) {
		record.total_bytes = total;
		assert_string_equal(still_pg_wal_record_body(
					body.bytes, body.len, &format, &record),
		    "is shorter than its header");
	}
}

/* Random headers: whatever is taken, adds up. */
static void noise(void **state)
{
	struct still_pg_wal_format format = format_of(15);
	uint64_t seed = scratch_seed();
	unsigned taken = 0;

	(void) state;
	for (int i = 0; i < 200000; i++) {
		size_t len = scratch_below(&seed, 80);
		uint8_t *bytes = malloc(len ? len : 1);
		struct still_pg_wal_record record;

		assert_non_null(bytes);
		format.major = 13 + (unsigned) scratch_below(&seed, 5);
		for (size_t k = 0; k < len; k++)
			bytes[k] = (uint8_t) scratch_below(
			    &seed, scratch_below(&seed, 2) ? 256 : 3);
		if (len > 0 && scratch_below(&seed, 2))
			bytes[0] = (uint8_t) (252 + scratch_below(&seed, 4));
		record.total_bytes = (uint32_t) len + 24;
		if (!still_pg_wal_record_body(bytes, len, &format, &record)) {
			assert_true(record.n_blocks <= 33);
			assert_true(record.data_bytes <= len);
			assert_true(record.data >= bytes &&
			    record.data + record.data_bytes <= bytes + len);
			taken++;
		}
		free(bytes);
	}
	assert_true(taken > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(page_table),
	    cmocka_unit_test(page_of_each_version),
	    cmocka_unit_test(page_cut_off),
	    cmocka_unit_test(impossible_formats),
	    cmocka_unit_test(block_table),
	    cmocka_unit_test(everything_at_once),
	    cmocka_unit_test(same_relation),
	    cmocka_unit_test(main_data),
	    cmocka_unit_test(cut_off),
	    cmocka_unit_test(noise),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
