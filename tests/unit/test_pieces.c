/* SPDX-License-Identifier: MIT */
/* Pieces: what was noted is what is read, or nothing is. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/sqlite/pieces.h"
#include "tests/unit/scratch.h"

#define PIECE SQLITE_PIECE_BYTES
#define MAX_BYTES (5 * PIECE + 77)

/* The sanitizers end a program that asks for too much, if nobody says so. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

struct fixture {
	char *dir;
	unsigned n_fds;
	int fd;
	uint64_t random;
	uint8_t *want; /* MAX_BYTES of what the file is to hold */
	uint8_t *got;
	struct sqlite_pieces pieces;
};

static uint64_t seed;

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->fd = open(
	    scratch_path(f->dir, "a"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	f->random = seed;
	f->want = malloc(MAX_BYTES);
	f->got = malloc(MAX_BYTES);
	*state = f;
	return f->fd >= 0 && f->want && f->got ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	sqlite_pieces_release(&f->pieces);
	assert_null(f->pieces.digests);
	sqlite_pieces_release(&f->pieces);
	/* The descriptor is not theirs. */
	assert_int_equal(close(f->fd), 0);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f->want);
	free(f->got);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void init(struct fixture *f, uint64_t size)
{
	assert_int_equal(sqlite_pieces_init(&f->pieces, f->fd, size, NULL), 0);
}

static void put(struct fixture *f, size_t off, size_t len)
{
	assert_int_equal(pwrite(f->fd, f->want + off, len, (off_t) off), len);
}

/* A file of `size` random bytes, all of them noted. */
static void fill(struct fixture *f, size_t size)
{
	assert_true(size <= MAX_BYTES);
	for (size_t i = 0; i < size; i++)
		f->want[i] = (uint8_t) scratch_random(&f->random);
	init(f, size);
	assert_int_equal(ftruncate(f->fd, (off_t) size), 0);
	put(f, 0, size);
	sqlite_pieces_note(&f->pieces, 0, f->want, size);
}

static void reads(struct fixture *f, size_t off, size_t len)
{
	struct still_error err = STILL_ERROR_INIT;

	memset(f->got, 0xa5, len);
	if (sqlite_pieces_read(&f->pieces, "a.db", off, f->got, len, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_memory_equal(f->got, f->want + off, len);
}

static void read_fails(struct fixture *f, size_t off, size_t len, int code,
    const char *words, const char *hint)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(
	    sqlite_pieces_read(&f->pieces, "a.db", off, f->got, len, &err),
	    code);
	assert_int_equal(err.code, code);
	assert_string_equal(still_error_msg(&err), words);
	assert_string_equal(err.hint, hint);
	still_error_clear(&err);
}

static void is_lost(
    struct fixture *f, size_t off, size_t len, size_t from, size_t to)
{
	char words[128];

	snprintf(words, sizeof(words),
	    "private copy of `a.db`: changed since it was made (bytes %zu to "
	    "%zu)",
	    from, to);
	read_fails(f, off, len, STILL_ERR_CORRUPT, words,
	    "The disk of `spool` failed, or has less room than it says; see "
	    "the kernel log. The live database is not harmed.");
}

/* ---- the tests ----------------------------------------------------------- */

static void counts(void **state)
{
	static const struct {
		uint64_t size;
		uint64_t n;
		size_t last;
	} table[] = {
	    {0, 0, 0},
	    {1, 1, 1},
	    {PIECE - 1, 1, PIECE - 1},
	    {PIECE, 1, PIECE},
	    {PIECE + 1, 2, 1},
	    {UINT64_C(1) << 40, UINT64_C(1) << 24, PIECE},
	    {(UINT64_C(1) << 40) + 512, (UINT64_C(1) << 24) + 1, 512},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct sqlite_pieces pieces = {.size_bytes = table[i].size};

		assert_true(sqlite_pieces_count(&pieces) == table[i].n);
		if (table[i].n > 0)
			assert_int_equal(
			    sqlite_pieces_len(&pieces, table[i].n - 1),
			    table[i].last);
		if (table[i].n > 1)
			assert_int_equal(sqlite_pieces_len(&pieces, 0), PIECE);
	}
}

static void every_range(void **state)
{
	static const size_t sizes[] = {
	    1, 512, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, MAX_BYTES};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];

		fill(f, size);
		reads(f, 0, size);
		for (int n = 0; n < 200; n++) {
			size_t off = (size_t) scratch_below(&f->random, size);

			reads(f, off,
			    1 + (size_t) scratch_below(&f->random, size - off));
		}
		/* Of each piece the first and the last byte, and two bytes over
		 * each border. */
		for (size_t at = 0; at < size; at += PIECE) {
			reads(f, at, 1);
			if (at > 0)
				reads(f, at - 1, 2);
		}
		reads(f, size - 1, 1);
	}
}

static void empty(void **state)
{
	struct fixture *f = *state;

	init(f, 0);
	assert_non_null(f->pieces.digests);
	assert_int_equal(sqlite_pieces_count(&f->pieces), 0);
	sqlite_pieces_note(&f->pieces, 0, "", 0);
	assert_int_equal(
	    sqlite_pieces_read(&f->pieces, "a.db", 0, f->got, 0, NULL), 0);
}

/* In any order, and again. */
static void noted_in_parts(void **state)
{
	struct fixture *f = *state;

	fill(f, MAX_BYTES);
	for (size_t i = 0; i < MAX_BYTES; i++)
		f->want[i] ^= 0x40;
	put(f, 3 * PIECE, MAX_BYTES - 3 * PIECE);
	sqlite_pieces_note(
	    &f->pieces, 3 * PIECE, f->want + 3 * PIECE, MAX_BYTES - 3 * PIECE);
	put(f, PIECE, PIECE);
	sqlite_pieces_note(&f->pieces, PIECE, f->want + PIECE, PIECE);
	reads(f, PIECE, PIECE);
	reads(f, 3 * PIECE, MAX_BYTES - 3 * PIECE);
	/* What was not noted again is as it was. */
	for (size_t i = 0; i < MAX_BYTES; i++)
		f->want[i] ^= 0x40;
	reads(f, 0, PIECE);
	reads(f, 2 * PIECE, PIECE);
}

/* The digests that were there are there. */
static void another_size(void **state)
{
	struct fixture *f = *state;

	fill(f, 2 * PIECE + 5);
	init(f, 5 * PIECE);
	reads(f, 0, 2 * PIECE);
	assert_int_equal(f->pieces.size_bytes, 5 * PIECE);
	init(f, 2 * PIECE);
	reads(f, 0, 2 * PIECE);
	init(f, 0);
	init(f, PIECE);
	assert_int_equal(sqlite_pieces_count(&f->pieces), 1);
}

static void no_memory(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	fill(f, 2 * PIECE);
	/* More digests than there are addresses for. */
	assert_int_equal(
	    sqlite_pieces_init(&f->pieces, f->fd, UINT64_C(1) << 63, &err),
	    STILL_ERR_NOMEM);
	assert_string_equal(still_error_msg(&err), "out of memory");
	still_error_clear(&err);
	reads(f, 0, 2 * PIECE);
}

/* Every bit of a byte, in every piece, by whatever range it is asked for. */
static void flipped(void **state)
{
	struct fixture *f = *state;

	fill(f, MAX_BYTES);
	for (size_t piece = 0; piece < 6; piece++) {
		size_t from = piece * PIECE;
		size_t to = piece == 5 ? MAX_BYTES : from + PIECE;
		size_t at = from +
		    (size_t) scratch_below(&f->random, to - from);
		uint8_t bad = f->want[at] ^
		    (uint8_t) (1 << scratch_below(&f->random, 8));

		assert_int_equal(pwrite(f->fd, &bad, 1, (off_t) at), 1);
		is_lost(f, from, to - from, from, to);
		is_lost(f, at, 1, from, to);
		/* Also where the byte is not among those asked for. */
		is_lost(f, at == from ? at + 1 : from, 1, from, to);
		is_lost(f, 0, MAX_BYTES, from, to);
		if (from > 0)
			reads(f, 0, from);
		if (to < MAX_BYTES)
			reads(f, to, MAX_BYTES - to);
		put(f, at, 1);
		reads(f, from, to - from);
	}
}

/* A disk that is thinner than it says. */
static void zeros(void **state)
{
	struct fixture *f = *state;
	uint8_t *block = calloc(1, 4096);

	assert_non_null(block);
	fill(f, MAX_BYTES);
	assert_int_equal(pwrite(f->fd, block, 4096, 2 * PIECE + 8192), 4096);
	is_lost(f, 2 * PIECE, PIECE, 2 * PIECE, 3 * PIECE);
	free(block);
}

/* The file ends before it should. */
static void cut_short(void **state)
{
	struct fixture *f = *state;

	fill(f, MAX_BYTES);
	assert_int_equal(ftruncate(f->fd, MAX_BYTES - 1), 0);
	is_lost(f, 5 * PIECE, 1, 5 * PIECE, MAX_BYTES);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	is_lost(f, 0, MAX_BYTES, 0, PIECE);
}

static int n_good;

static int fail_read(enum still_sys_call call)
{
	return call == STILL_SYS_PREAD && n_good-- <= 0 ? EIO : 0;
}

static void each_read_fails(void **state)
{
	struct fixture *f = *state;

	fill(f, MAX_BYTES);
	for (int n = 0; n < 6; n++) {
		n_good = n;
		still_sys_fault = fail_read;
		read_fails(f, 100, MAX_BYTES - 100, STILL_ERR_IO,
		    "private copy of `a.db`: Input/output error",
		    "The disk of `spool` failed; see the kernel log.");
	}
	n_good = 6;
	reads(f, 100, MAX_BYTES - 100);
	assert_int_equal(n_good, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(counts),
	    TEST(every_range),
	    TEST(empty),
	    TEST(noted_in_parts),
	    TEST(another_size),
	    TEST(no_memory),
	    TEST(flipped),
	    TEST(zeros),
	    TEST(cut_short),
	    TEST(each_read_fails),
	};

	scratch_watchdog();
	seed = scratch_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
