/* SPDX-License-Identifier: MIT */
/* Bytes of an image: pages from the file, pages from the log, and the page of
 * the lock bytes. The image is made by hand; freezing is the contract's. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "engines/sqlite/image.h"
#include "tests/unit/scratch.h"

#define PAGE 512
#define N_PAGES 40

struct fixture {
	char *dir;
	int dirfd;
	struct sqlite_image image;
	uint8_t want[N_PAGES * PAGE];
	atomic_bool lost;
	unsigned n_warnings;
};

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	struct fixture *f = arg;

	(void) text;
	assert_string_equal(event, "transient-read");
	assert_string_equal(object, "a.db");
	f->n_warnings++;
}

static void write_at(struct fixture *f, const char *name, uint64_t off_bytes,
    const void *data, size_t len)
{
	int fd = open(scratch_path(f->dir, name), O_WRONLY | O_CREAT, 0644);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, (off_t) off_bytes), len);
	close(fd);
}

static uint64_t frame_at(uint32_t frame)
{
	return sqlite_frame_offset(frame, PAGE) + SQLITE_FRAME_HEADER_BYTES;
}

/* Pages of a random file, every third and the last overlaid by frames whose
 * order is not theirs. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	/* Frame headers are holes in this log. */
	static const uint8_t no_header[SQLITE_FRAME_HEADER_BYTES];
	uint64_t random = 4711;
	uint32_t frame = 1;

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(f->want); i++)
		f->want[i] = (uint8_t) scratch_random(&random);
	write_at(f, "a.db", 0, f->want, sizeof(f->want));
	f->image.map.entries = calloc(N_PAGES, sizeof(*f->image.map.entries));
	for (uint32_t page = 1; page <= N_PAGES; page++) {
		uint8_t *bytes = f->want + (page - 1) * PAGE;

		if (page % 3 != 0 && page != N_PAGES)
			continue;
		for (size_t i = 0; i < PAGE; i++)
			bytes[i] = (uint8_t) scratch_random(&random);
		f->image.map.entries[f->image.map.n++] =
		    (struct sqlite_walmap_entry){
			.page = page,
			.frame = N_PAGES - frame,
			.digest = sqlite_frame_digest(no_header, bytes, PAGE),
		    };
		write_at(f, "a.db-wal", frame_at(N_PAGES - frame), bytes, PAGE);
		frame++;
	}
	f->image.rel = strdup("a.db");
	f->image.pin.hold.slot = -1;
	f->image.private.fd = -1;
	f->image.saved.fd = -1;
	f->image.page_size_bytes = PAGE;
	f->image.n_pages = N_PAGES;
	f->image.observer = (struct still_observer){.warn = warn, .arg = f};
	f->image.lost = &f->lost;
	*state = f;
	return sqlite_file_open(
		   f->dirfd, "a.db", &f->image.pin.db, NULL, NULL) ||
	    sqlite_file_open(
		f->dirfd, "a.db-wal", &f->image.pin.wal, NULL, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	sqlite_image_release(&f->image);
	close(f->dirfd);
	scratch_remove(f->dir);
	free(f);
	return sqlite_files_open_count() == 0 ? 0 : -1;
}

static void reads(struct fixture *f, uint64_t off_bytes, size_t len)
{
	struct still_error err = STILL_ERROR_INIT;
	uint8_t *got = malloc(len);

	assert_non_null(got);
	if (sqlite_image_read(&f->image, off_bytes, got, len, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_memory_equal(got, f->want + off_bytes, len);
	free(got);
}

static void fails(struct fixture *f, uint64_t off_bytes, size_t len, int code,
    const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	uint8_t *got = malloc(len);

	assert_non_null(got);
	assert_int_equal(
	    sqlite_image_read(&f->image, off_bytes, got, len, &err), code);
	if (!strstr(still_error_msg(&err), message))
		fail_msg("\"%s\" does not say \"%s\"", still_error_msg(&err),
		    message);
	still_error_clear(&err);
	free(got);
}

/* ---- what is right ------------------------------------------------------- */

static void whole(void **state)
{
	struct fixture *f = *state;

	reads(f, 0, sizeof(f->want));
	for (uint32_t page = 0; page < N_PAGES; page++)
		reads(f, page * PAGE, PAGE);
	assert_int_equal(f->n_warnings, 0);
}

static void parts(void **state)
{
	struct fixture *f = *state;
	uint64_t random = scratch_seed();

	for (int i = 0; i < 2000; i++) {
		size_t off = (size_t) scratch_below(&random, sizeof(f->want));
		size_t max = sizeof(f->want) - off;

		if (i % 2 && max > 2 * PAGE)
			max = 2 * PAGE;
		reads(f, off, 1 + (size_t) scratch_below(&random, max));
	}
}

static void without_a_log(void **state)
{
	struct fixture *f = *state;

	f->image.map.n = 0;
	write_at(f, "a.db", 0, f->want, sizeof(f->want));
	reads(f, 0, sizeof(f->want));
	reads(f, 700, 3000);
}

/* ---- damage -------------------------------------------------------------- */

static void damaged_frame(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->image.map.entries[1].page, 6);
	f->image.map.entries[1].damaged = 1;
	fails(f, 5 * PAGE, PAGE, STILL_ERR_CORRUPT,
	    "page 6 of `a.db`: its log frame is damaged");
	fails(f, 5 * PAGE + 100, 1, STILL_ERR_CORRUPT, "page 6 of `a.db`");
	fails(f, 0, sizeof(f->want), STILL_ERR_CORRUPT, "page 6 of `a.db`");
	fails(f, 5 * PAGE - 1, 2, STILL_ERR_CORRUPT, "page 6 of `a.db`");
	/* And no other. */
	reads(f, 0, 5 * PAGE);
	reads(f, 6 * PAGE, sizeof(f->want) - 6 * PAGE);
}

static void unknown_page_damaged(void **state)
{
	struct fixture *f = *state;

	f->image.map.all_damaged = true;
	for (uint32_t page = 0; page < N_PAGES; page++) {
		char message[64];

		snprintf(
		    message, sizeof(message), "page %u of `a.db`", page + 1);
		fails(f, page * PAGE, 1, STILL_ERR_CORRUPT, message);
	}
}

/* One bit in the log, after the freeze. */
static void log_changes(void **state)
{
	struct fixture *f = *state;
	const struct sqlite_walmap_entry *entry = &f->image.map.entries[2];
	uint8_t byte = f->want[8 * PAGE + 77] ^ 1;

	assert_int_equal(entry->page, 9);
	write_at(f, "a.db-wal", frame_at(entry->frame) + 77, &byte, 1);
	fails(f, 8 * PAGE, PAGE, STILL_ERR_CORRUPT,
	    "of `a.db-wal`: changed since the freeze (page 9)");
	/* Where a part of the page is asked for that is right, too. */
	fails(f, 8 * PAGE + 200, 10, STILL_ERR_CORRUPT, "changed since");
	reads(f, 9 * PAGE, PAGE);
}

static void log_is_cut(void **state)
{
	struct fixture *f = *state;

	/* Page 3 has the last frame. */
	assert_int_equal(truncate(scratch_path(f->dir, "a.db-wal"),
			     (off_t) frame_at(N_PAGES - 1) + 100),
	    0);
	fails(f, 2 * PAGE, 1, STILL_ERR_CORRUPT, "(page 3)");
	reads(f, 3 * PAGE, sizeof(f->want) - 3 * PAGE);
}

static void file_is_cut(void **state)
{
	struct fixture *f = *state;

	/* In the middle of page 38; 39 and 40 are in the log. */
	assert_int_equal(
	    truncate(scratch_path(f->dir, "a.db"), 37 * PAGE + 10), 0);
	reads(f, 0, 37 * PAGE + 10);
	fails(f, 37 * PAGE + 9, 2, STILL_ERR_CORRUPT,
	    "page 38 of `a.db`: the database file ends before it");
	fails(f, 37 * PAGE + 300, 1, STILL_ERR_CORRUPT, "page 38 of `a.db`");
	reads(f, 38 * PAGE, 2 * PAGE);
	/* One that is not even begun. */
	assert_int_equal(truncate(scratch_path(f->dir, "a.db"), 36 * PAGE), 0);
	fails(f, 30 * PAGE, sizeof(f->want) - 30 * PAGE, STILL_ERR_CORRUPT,
	    "page 37 of `a.db`");
}

static unsigned n_preads_to_fail;

static int fail_some(enum still_sys_call call)
{
	if (call != STILL_SYS_PREAD || n_preads_to_fail == 0)
		return 0;
	n_preads_to_fail--;
	return EIO;
}

static void disk_fails(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = fail_some;
	n_preads_to_fail = 1;
	fails(f, 0, PAGE, STILL_ERR_IO, "page 1 of `a.db`: Input/output error");
	/* The log is read again, and what was right then is told. */
	n_preads_to_fail = 2;
	reads(f, 2 * PAGE, PAGE);
	assert_int_equal(f->n_warnings, 1);
	n_preads_to_fail = 100;
	fails(f, 2 * PAGE, PAGE, STILL_ERR_IO, "of `a.db-wal`");
}

static void pin_is_lost(void **state)
{
	struct fixture *f = *state;

	atomic_store(&f->lost, true);
	fails(f, 0, 10, STILL_ERR_LOST, "no longer protected");
}

/* ---- the lock bytes ------------------------------------------------------ */

static void image_reads(
    struct fixture *f, uint64_t off_bytes, size_t len, size_t n_zeros_from)
{
	uint8_t got[3 * 4096];

	assert_true(len <= sizeof(got));
	memset(got, 0xee, sizeof(got));
	assert_int_equal(
	    sqlite_image_read(&f->image, off_bytes, got, len, NULL), 0);
	for (size_t i = n_zeros_from; i < len; i++)
		assert_int_equal(got[i], 0);
}

/* Nobody writes the page at 2^30, so a file may end before it: zeros, as for
 * every reader of the format. Only that page. */
static void lock_page(void **state)
{
	struct fixture *f = *state;
	const uint64_t at = SQLITE_LOCK_BYTE;

	f->image.page_size_bytes = 4096;
	f->image.n_pages = (uint32_t) (at / 4096) + 3;
	f->image.map.n = 0;
	/* Sparse: it takes no room. */
	assert_int_equal(truncate(scratch_path(f->dir, "a.db"), (off_t) at), 0);
	write_at(f, "a.db", at - 4096, "last", 4);
	image_reads(f, at - 4096, 4096, 4);
	image_reads(f, at, 4096, 0);
	image_reads(f, at + 100, 1, 0);
	image_reads(f, at - 4096, 8192, 4096);
	fails(f, at + 4096, 1, STILL_ERR_CORRUPT, "page 262146 of `a.db`");
	fails(f, at, 4097, STILL_ERR_CORRUPT, "page 262146 of `a.db`");
	fails(
	    f, at - 4096, 3 * 4096, STILL_ERR_CORRUPT, "page 262146 of `a.db`");
	/* A page before it is none of the kind. */
	assert_int_equal(
	    truncate(scratch_path(f->dir, "a.db"), (off_t) at - 4096), 0);
	fails(f, at - 4096, 8192, STILL_ERR_CORRUPT, "page 262144 of `a.db`");
}

/* ---- pages with sums ----------------------------------------------------- */

static void put_sum(uint8_t *page, uint32_t page_size)
{
	struct sqlite_checksum sum = {0, 0};
	uint32_t words[2];

	sum = sqlite_checksum_add(sum, false, page, page_size - sizeof(words));
	words[0] = htole32(sum.s0);
	words[1] = htole32(sum.s1);
	memcpy(page + page_size - sizeof(words), words, sizeof(words));
}

/* All from the file, and each with its sum. */
static void sum_all(struct fixture *f)
{
	f->image.map.n = 0;
	f->image.page_checksums = true;
	for (uint32_t page = 0; page < N_PAGES; page++)
		put_sum(f->want + page * PAGE, PAGE);
	write_at(f, "a.db", 0, f->want, sizeof(f->want));
}

static struct {
	struct fixture *fixture;
	unsigned n_reads;
	unsigned right_at;
	uint8_t byte;
} in_flight;

/* Page 7 gets right while it is read for the n-th time. */
static int get_right(enum still_sys_call call)
{
	if (call == STILL_SYS_PREAD &&
	    in_flight.n_reads++ == in_flight.right_at)
		write_at(in_flight.fixture, "a.db", 6 * PAGE + 40,
		    &in_flight.byte, 1);
	return 0;
}

static void right_when_read_again(void **state)
{
	struct fixture *f = *state;
	uint8_t bad;

	sum_all(f);
	bad = f->want[6 * PAGE + 40] ^ 1;
	in_flight.fixture = f;
	in_flight.byte = f->want[6 * PAGE + 40];
	still_sys_fault = get_right;
	for (unsigned i = 1; i <= SQLITE_REREADS; i++) {
		write_at(f, "a.db", 6 * PAGE + 40, &bad, 1);
		in_flight.n_reads = 0;
		in_flight.right_at = i;
		reads(f, 5 * PAGE, 3 * PAGE);
		assert_int_equal(f->n_warnings, 2 * i - 1);
		/* A part of it is as good as the whole, and no better. */
		write_at(f, "a.db", 6 * PAGE + 40, &bad, 1);
		in_flight.n_reads = 0;
		reads(f, 6 * PAGE + 10, 9);
		assert_int_equal(f->n_warnings, 2 * i);
	}
	/* Not for ever. */
	write_at(f, "a.db", 6 * PAGE + 40, &bad, 1);
	in_flight.n_reads = 0;
	in_flight.right_at = SQLITE_REREADS + 1;
	fails(f, 6 * PAGE, PAGE, STILL_ERR_CORRUPT,
	    "page 7 of `a.db`: its checksum (of the checksum VFS) does not "
	    "match");
}

/* The page with the lock bytes is nobody's, so it has no sum. */
static void lock_page_has_no_sum(void **state)
{
	struct fixture *f = *state;
	const uint64_t at = SQLITE_LOCK_BYTE;
	uint8_t pages[3 * 4096];
	uint8_t got[sizeof(pages)];

	memset(pages, 0x5a, sizeof(pages));
	put_sum(pages, 4096);
	put_sum(pages + 8192, 4096);
	f->image.map.n = 0;
	f->image.page_checksums = true;
	f->image.page_size_bytes = 4096;
	f->image.n_pages = (uint32_t) (at / 4096) + 2;
	write_at(f, "a.db", at - 4096, pages, sizeof(pages));
	assert_int_equal(
	    sqlite_image_read(&f->image, at - 4096, got, sizeof(got), NULL), 0);
	assert_memory_equal(got, pages, sizeof(got));
	assert_int_equal(sqlite_image_read(&f->image, at + 5, got, 7, NULL), 0);
	/* Those beside it do. */
	write_at(f, "a.db", at - 96, "x", 1);
	fails(f, at - 4096, 8192, STILL_ERR_CORRUPT,
	    "page 262144 of `a.db`: its checksum");
	write_at(f, "a.db", at + 4096 + 96, "x", 1);
	fails(
	    f, at, 8192, STILL_ERR_CORRUPT, "page 262146 of `a.db`: its check");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(whole),
	    TEST(parts),
	    TEST(without_a_log),
	    TEST(damaged_frame),
	    TEST(unknown_page_damaged),
	    TEST(log_changes),
	    TEST(log_is_cut),
	    TEST(file_is_cut),
	    TEST(disk_fails),
	    TEST(pin_is_lost),
	    TEST(lock_page),
	    TEST(right_when_read_again),
	    TEST(lock_page_has_no_sum),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
