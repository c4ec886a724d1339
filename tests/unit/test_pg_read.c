/* SPDX-License-Identifier: MIT */
/* What is handed out of a captured relation, and what never is: torn pages that
 * the WAL replaces, and others. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/instance.h"
#include "engines/postgres/page.h"
#include "tests/unit/scratch.h"

#define PAGE STILL_PG_PAGE_BYTES
#define N_PAGES 20
#define FIRST 131072 /* the relation's second file */
#define STOP UINT64_C(0x500000000)

struct fixture {
	uint64_t seed;
	size_t len;
	/* What the file was captured as. */
	_Alignas(PAGE) uint8_t file[N_PAGES * PAGE];
	struct still_pg_container *container;
	struct still_pg_entry entry;
	struct still_pg_captured captured;
	struct still_pg_frozen frozen;
	struct still_pg_object object;
	struct still_error err;
};

static uint8_t *page_of(struct fixture *f, unsigned i)
{
	return f->file + (size_t) i * PAGE;
}

static void put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* As page.h says: LSN, checksum, flags, where free space begins and ends. */
static void make_page(
    struct fixture *f, uint8_t *page, unsigned i, uint64_t lsn)
{
	uint32_t halves[2] = {(uint32_t) (lsn >> 32), (uint32_t) lsn};

	for (size_t k = 0; k < PAGE; k += 8) {
		uint64_t value = scratch_random(&f->seed);

		memcpy(page + k, &value, 8);
	}
	memcpy(page, halves, sizeof(halves));
	put16(page + 10, 0);
	put16(page + 12, 100);
	put16(page + 14, 4000);
	put16(page + 8, still_pg_page_checksum(page, FIRST + i));
}

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(PAGE, sizeof(*f));

	if (!f)
		return -1;
	memset(f, 0, sizeof(*f));
	f->seed = scratch_seed();
	f->len = sizeof(f->file);
	for (unsigned i = 0; i < N_PAGES; i++)
		make_page(f, page_of(f, i), i, STOP - i);
	f->frozen.covered = still_pg_covered_new();
	assert_non_null(f->frozen.covered);
	f->frozen.verifies_pages = true;
	f->frozen.stop_lsn = STOP;
	f->entry.path = (char *) "data/base/5/16384.1";
	f->captured.entry = &f->entry;
	f->object = (struct still_pg_object){
	    .kind = STILL_PG_OBJECT_PAGES,
	    .file = &f->captured,
	    .where = {1663, 5, 16384, STILL_PG_FORK_MAIN},
	    .first_block = FIRST,
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_pg_container_free(f->container);
	still_pg_covered_free(f->frozen.covered);
	still_error_clear(&f->err);
	free(f);
	return 0;
}

static bool go_on(void *arg, uint64_t bytes)
{
	(void) arg;
	(void) bytes;
	return true;
}

/* `file` is captured as it is. */
static void capture(struct fixture *f)
{
	const struct still_pg_capturing how = {
	    .tick = go_on,
	    .buffer = aligned_alloc(
		STILL_PG_COPY_ALIGN_BYTES, STILL_PG_COPY_PIECE_BYTES),
	};
	int source = memfd_create("source", MFD_CLOEXEC);
	int fd = memfd_create("container", MFD_CLOEXEC);

	assert_true(source >= 0 && fd >= 0 && how.buffer);
	assert_int_equal(still_sys_pwrite(source, f->file, f->len, 0), 0);
	assert_int_equal(still_pg_container_new(fd, false, &f->container), 0);
	assert_int_equal(still_pg_container_copy(f->container, source, f->len,
			     &how, &f->captured.extent),
	    0);
	assert_int_equal(f->captured.extent.size_bytes, f->len);
	close(source);
	free(how.buffer);
}

static int get(struct fixture *f, uint64_t off, void *data, size_t len)
{
	still_error_clear(&f->err);
	return still_pg_read(&f->frozen, &f->object, off, data, len, &f->err);
}

static void is_read(struct fixture *f, size_t off, size_t len, size_t shift)
{
	uint8_t *data = aligned_alloc(PAGE, sizeof(f->file) + PAGE);

	assert_non_null(data);
	if (get(f, off, data + shift, len) < 0)
		fail_msg("%s", still_error_msg(&f->err));
	assert_memory_equal(data + shift, f->file + off, len);
	free(data);
}

static void is_refused(
    struct fixture *f, size_t off, size_t len, const char *message)
{
	uint8_t *data = aligned_alloc(PAGE, sizeof(f->file));

	assert_non_null(data);
	if (len > f->len - off)
		len = f->len - off;
	assert_int_equal(get(f, off, data, len), STILL_ERR_CORRUPT);
	assert_string_equal(still_error_msg(&f->err), message);
	free(data);
}

static void cover(
    struct fixture *f, const struct still_pg_locator *where, uint32_t block)
{
	assert_int_equal(
	    still_pg_covered_add(f->frozen.covered, where, block, &f->err), 0);
}

/* Page `bad` is refused wherever it is touched, and no other one is. */
static void only_is_refused(
    struct fixture *f, unsigned bad, const char *message)
{
	for (unsigned i = 0; i < N_PAGES; i++)
		if (i != bad)
			is_read(f, (size_t) i * PAGE, PAGE, 0);
	is_refused(f, (size_t) bad * PAGE, PAGE, message);
	is_refused(f, (size_t) bad * PAGE + 5000, 1, message);
	is_refused(f, 0, f->len, message);
	is_refused(f, (size_t) bad * PAGE - 1, 2, message);
	is_read(f, 0, (size_t) bad * PAGE, 0);
	if (bad + 1 < N_PAGES)
		is_read(f, (size_t) (bad + 1) * PAGE,
		    f->len - (size_t) (bad + 1) * PAGE, 0);
}

static void every_range(struct fixture *f)
{
	for (int i = 0; i < 200; i++) {
		size_t off = scratch_below(&f->seed, f->len);
		size_t len = 1 + scratch_below(&f->seed, f->len - off);

		is_read(f, off, len, scratch_below(&f->seed, 16));
	}
	is_read(f, 0, f->len, 0);
}

/* Two versions of the page; the disk has the first half of the new one. */
static void tear(struct fixture *f, unsigned i)
{
	static uint8_t newer[PAGE];

	make_page(f, newer, i, STOP - 5);
	memcpy(page_of(f, i), newer, PAGE / 2);
}

static void whole_pages_are_read(void **state)
{
	struct fixture *f = *state;

	memset(page_of(f, 4), 0, PAGE);
	capture(f);
	every_range(f);
}

#define TORN                                               \
	"`base/5/16384.1`: block 131079: its checksum is " \
	"wrong, and the WAL does not replace it"

static void a_torn_page_is_refused(void **state)
{
	struct fixture *f = *state;

	tear(f, 7);
	capture(f);
	only_is_refused(f, 7, TORN);
}

static void cover_of_others_does_not_help(void **state)
{
	struct fixture *f = *state;
	struct still_pg_locator others[] = {
	    {1664, 5, 16384, STILL_PG_FORK_MAIN},
	    {1663, 6, 16384, STILL_PG_FORK_MAIN},
	    {1663, 5, 16385, STILL_PG_FORK_MAIN},
	    {1663, 5, 16384, STILL_PG_FORK_FSM},
	};

	tear(f, 7);
	capture(f);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cover(f, &others[i], FIRST + 7);
	cover(f, &f->object.where, FIRST + 6);
	cover(f, &f->object.where, FIRST + 8);
	/* Of the relation's first file. */
	cover(f, &f->object.where, 7);
	only_is_refused(f, 7, TORN);
}

static void a_torn_page_that_is_replaced_is_read(void **state)
{
	struct fixture *f = *state;

	tear(f, 7);
	tear(f, N_PAGES - 1);
	capture(f);
	cover(f, &f->object.where, FIRST + 7);
	cover(f, &f->object.where, FIRST + N_PAGES - 1);
	every_range(f);
}

static void a_page_in_a_wrong_place_is_refused(void **state)
{
	struct fixture *f = *state;

	memcpy(page_of(f, 7), page_of(f, 3), PAGE);
	capture(f);
	only_is_refused(f, 7, TORN);
	/* The same block of the relation's first file is another one. */
	f->object.first_block = 0;
	is_refused(f, PAGE, PAGE,
	    "`base/5/16384.1`: block 1: its checksum is wrong, and the WAL does "
	    "not replace it");
}

static void a_lost_head_is_refused(void **state)
{
	struct fixture *f = *state;

	memset(page_of(f, 7), 0, 512);
	capture(f);
	only_is_refused(f, 7,
	    "`base/5/16384.1`: block 131079: its header is that of an empty "
	    "page, and it is not empty");
	/* Also by who cannot compute a checksum. */
	f->frozen.verifies_pages = false;
	is_refused(f, (size_t) 7 * PAGE, PAGE,
	    "`base/5/16384.1`: block 131079: its header is that of an empty "
	    "page, and it is not empty");
	cover(f, &f->object.where, FIRST + 7);
	every_range(f);
}

static void a_page_from_behind_the_end_is_refused(void **state)
{
	struct fixture *f = *state;

	make_page(f, page_of(f, 3), 3, STOP);
	make_page(f, page_of(f, 7), 7, STOP + 1);
	capture(f);
	only_is_refused(f, 7,
	    "`base/5/16384.1`: block 131079: its LSN 5/1 is behind the end of "
	    "the backup, 5/0");
	f->frozen.verifies_pages = false;
	assert_int_equal(
	    get(f, (size_t) 7 * PAGE, &(uint8_t){0}, 1), STILL_ERR_CORRUPT);
}

static void half_a_page_is_refused(void **state)
{
	struct fixture *f = *state;

	f->len -= 3000;
	capture(f);
	only_is_refused(f, N_PAGES - 1,
	    "`base/5/16384.1`: block 131091: the file ends in the middle of it");
	cover(f, &f->object.where, FIRST + N_PAGES - 1);
	every_range(f);
}

static void without_checksums_little_is_seen(void **state)
{
	struct fixture *f = *state;

	tear(f, 7);
	capture(f);
	f->frozen.verifies_pages = false;
	every_range(f);
}

/* A bit anywhere in a page, one at a time. A checksum of 16 bits meets its like
 * once in 65536 times. */
static void bits_count(void **state)
{
	struct fixture *f = *state;
	unsigned n_missed = 0;
	uint8_t byte;

	for (size_t bit = scratch_below(&f->seed, 13); bit < 8 * PAGE;
	     bit += 13) {
		page_of(f, 7)[bit / 8] ^= (uint8_t) (1 << bit % 8);
		capture(f);
		n_missed += get(f, (size_t) 7 * PAGE, &byte, 1) == 0;
		still_pg_container_free(f->container);
		f->container = NULL;
		page_of(f, 7)[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	assert_true(n_missed <= 4);
}

#define UNIT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    UNIT(whole_pages_are_read),
	    UNIT(a_torn_page_is_refused),
	    UNIT(cover_of_others_does_not_help),
	    UNIT(a_torn_page_that_is_replaced_is_read),
	    UNIT(a_page_in_a_wrong_place_is_refused),
	    UNIT(a_lost_head_is_refused),
	    UNIT(a_page_from_behind_the_end_is_refused),
	    UNIT(half_a_page_is_refused),
	    UNIT(without_checksums_little_is_seen),
	    UNIT(bits_count),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
