/* SPDX-License-Identifier: MIT */
/* Saved pages: what was saved is what is read, whoever saves and reads; and
 * room is given back on every way out. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/spool.h"
#include "engines/sqlite/saved.h"
#include "tests/unit/scratch.h"

#define PIECE SQLITE_PIECE_BYTES
#define MIB ((size_t) 1024 * 1024)

static const char lost_hint[] =
    "The disk of `spool` failed, or has less room than it says; see the kernel "
    "log. The live database is not harmed.";

struct fixture {
	char *dir;
	unsigned n_fds;
	uint64_t random;
	struct still_spool_dir dir_spool;
	struct still_spool real;
	struct still_spool spool; /* the real one, unless a test says so */
	unsigned n_takes;
	bool always_room; /* take and say yes, whatever the disk has */
	int refuse_after; /* that many takes are let through; -1: all */
	uint32_t page_size;
	uint32_t n_pages;
	size_t size;
	uint8_t *image; /* what the image is */
	uint8_t *got;
	struct sqlite_saved saved;
};

static uint64_t seed;

/* ---- a spool that can be told to refuse ---------------------------------- */

static int spool_open(void *arg, const char *what, uint64_t bytes, int *ret_fd,
    struct still_error *err)
{
	struct fixture *f = arg;

	assert_string_equal(what, "a.db");
	return f->real.open(f->real.arg, what, bytes, ret_fd, err);
}

static int spool_take(
    void *arg, const char *what, uint64_t bytes, struct still_error *err)
{
	struct fixture *f = arg;

	assert_string_equal(what, "a.db");
	assert_true(bytes > 0);
	if (f->refuse_after == 0)
		return still_error_set(
		    err, STILL_ERR_NOSPACE, 0, "Make room.", "spool: is full");
	if (f->refuse_after > 0)
		f->refuse_after--;
	f->n_takes++;
	if (f->always_room) {
		atomic_fetch_add(&f->dir_spool.used_bytes, bytes);
		return 0;
	}
	return f->real.take(f->real.arg, what, bytes, err);
}

static void spool_give(void *arg, uint64_t bytes)
{
	struct fixture *f = arg;

	assert_true(bytes <= atomic_load(&f->dir_spool.used_bytes));
	f->real.give(f->real.arg, bytes);
}

static uint64_t used(struct fixture *f)
{
	return atomic_load(&f->dir_spool.used_bytes);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->random = seed;
	f->refuse_after = -1;
	f->dir_spool.path = f->dir;
	f->real = still_spool_of(&f->dir_spool);
	f->spool = (struct still_spool){
	    .open = spool_open,
	    .take = spool_take,
	    .give = spool_give,
	    .arg = f,
	};
	f->saved = (struct sqlite_saved) SQLITE_SAVED_INIT;
	*state = f;
	return 0;
}

static void forget(struct fixture *f)
{
	still_sys_fault = NULL;
	sqlite_saved_release(&f->saved);
	assert_int_equal(f->saved.fd, -1);
	sqlite_saved_release(&f->saved);
	assert_int_equal(used(f), 0);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	free(f->image);
	free(f->got);
	f->image = NULL;
	f->got = NULL;
	f->n_takes = 0;
	f->refuse_after = -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	forget(f);
	umount2(scratch_path(f->dir, "small"), MNT_DETACH);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void open_saved(struct fixture *f, uint32_t page_size, uint32_t n_pages)
{
	struct still_error err = STILL_ERROR_INIT;

	forget(f);
	f->page_size = page_size;
	f->n_pages = n_pages;
	f->size = (size_t) page_size * n_pages;
	f->image = malloc(f->size + 8);
	f->got = malloc(f->size);
	assert_non_null(f->image);
	assert_non_null(f->got);
	for (size_t i = 0; i < f->size; i += 8) {
		uint64_t word = scratch_random(&f->random);

		memcpy(f->image + i, &word, 8);
	}
	if (sqlite_saved_open(
		&f->saved, "a.db", page_size, n_pages, &f->spool, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	/* The file has its size, and no room was taken for it. */
	assert_int_equal(used(f), 0);
	assert_int_equal(lseek(f->saved.fd, 0, SEEK_END), f->size);
}

static const uint8_t *page_at(struct fixture *f, uint32_t page)
{
	return f->image + (size_t) (page - 1) * f->page_size;
}

static uint64_t n_pieces(struct fixture *f)
{
	return (f->size + PIECE - 1) / PIECE;
}

static size_t piece_len(struct fixture *f, uint64_t index)
{
	size_t left = f->size - (size_t) index * PIECE;

	return left < PIECE ? left : PIECE;
}

static int try_page(struct fixture *f, uint32_t page, struct still_error *err)
{
	return sqlite_saved_page(&f->saved, page, page_at(f, page), err);
}

static int try_piece(struct fixture *f, uint64_t index, struct still_error *err)
{
	return sqlite_saved_piece(
	    &f->saved, index, f->image + index * PIECE, err);
}

static void save_page(struct fixture *f, uint32_t page)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_page(f, page, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(sqlite_saved_has(&f->saved, page));
}

static void save_piece(struct fixture *f, uint64_t index)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_piece(f, index, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(sqlite_saved_has_piece(&f->saved, index));
}

static void spoil(struct fixture *f, uint32_t page, const char *msg)
{
	struct still_error why = STILL_ERROR_INIT;

	still_error_set(&why, STILL_ERR_CORRUPT, EILSEQ, "Restore it.",
	    "page %u of `a.db`: %s", page, msg);
	assert_int_equal(sqlite_saved_spoil(&f->saved, page, &why, NULL), 0);
	assert_true(sqlite_saved_has(&f->saved, page));
	/* It is a copy. */
	still_error_clear(&why);
}

static void reads(struct fixture *f, size_t off, size_t len)
{
	struct still_error err = STILL_ERROR_INIT;

	memset(f->got, 0xa5, len);
	if (sqlite_saved_read(&f->saved, off, f->got, len, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_memory_equal(f->got, f->image + off, len);
}

static void reads_page(struct fixture *f, uint32_t page)
{
	reads(f, (size_t) (page - 1) * f->page_size, f->page_size);
}

static void read_fails(struct fixture *f, size_t off, size_t len, int code,
    const char *words, const char *hint)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(
	    sqlite_saved_read(&f->saved, off, f->got, len, &err), code);
	assert_int_equal(err.code, code);
	assert_string_equal(still_error_msg(&err), words);
	assert_string_equal(err.hint, hint);
	still_error_clear(&err);
	/* Nor without anybody who asks why. */
	assert_int_equal(
	    sqlite_saved_read(&f->saved, off, f->got, len, NULL), code);
}

static void page_is_lost(struct fixture *f, uint32_t page)
{
	char words[128];

	snprintf(words, sizeof(words),
	    "page %u of `a.db`: its copy in the spool changed since it was "
	    "saved",
	    page);
	read_fails(f, (size_t) (page - 1) * f->page_size, f->page_size,
	    STILL_ERR_CORRUPT, words, lost_hint);
}

static void is_spoilt(struct fixture *f, uint32_t page, const char *msg)
{
	struct still_error err = STILL_ERROR_INIT;
	size_t off = (size_t) (page - 1) * f->page_size;
	char words[128];

	snprintf(words, sizeof(words), "page %u of `a.db`: %s", page, msg);
	read_fails(
	    f, off, f->page_size, STILL_ERR_CORRUPT, words, "Restore it.");
	read_fails(f, off + 1, 1, STILL_ERR_CORRUPT, words, "Restore it.");
	assert_int_equal(sqlite_saved_read(&f->saved, off, f->got, 1, &err),
	    STILL_ERR_CORRUPT);
	assert_int_equal(err.sys_errno, EILSEQ);
	still_error_clear(&err);
}

static const struct {
	uint32_t page_size;
	uint32_t n_pages;
} shapes[] = {
    {512, 1},
    {512, 63},
    {512, 64},
    {512, 65},
    {512, 128},
    {512, 129},
    {512, 700},
    {4096, 1},
    {4096, 16},
    {4096, 17},
    {4096, 200},
    {32768, 3},
    {65536, 1},
    {65536, 66},
};

#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void open_shape(struct fixture *f, size_t i)
{
	open_saved(f, shapes[i].page_size, shapes[i].n_pages);
}

/* ---- what is here -------------------------------------------------------- */

static void not_open(void **state)
{
	struct sqlite_saved saved = SQLITE_SAVED_INIT;

	(void) state;
	assert_false(sqlite_saved_has(&saved, 7));
	assert_false(sqlite_saved_has_piece(&saved, 7));
	assert_int_equal(sqlite_saved_run(&saved, 7, 100), 100);
	assert_int_equal(sqlite_saved_bytes(&saved), 0);
	sqlite_saved_release(&saved);
	sqlite_saved_release(&saved);
}

/* The model: one bool for each page. */
static void check_marks(struct fixture *f, const bool *here)
{
	const uint32_t ppp = (uint32_t) (PIECE / f->page_size);
	uint64_t done = 0;

	for (uint32_t page = 1; page <= f->n_pages; page++) {
		uint32_t run = 1;
		uint32_t max = 1 +
		    (uint32_t) scratch_below(&f->random, f->n_pages);

		assert_int_equal(sqlite_saved_has(&f->saved, page), here[page]);
		while (
		    page + run <= f->n_pages && here[page + run] == here[page])
			run++;
		assert_int_equal(
		    sqlite_saved_run(&f->saved, page, UINT32_MAX), run);
		assert_int_equal(sqlite_saved_run(&f->saved, page, max),
		    run < max ? run : max);
		assert_int_equal(sqlite_saved_run(&f->saved, page, 1), 1);
		assert_int_equal(sqlite_saved_run(&f->saved, page, 0), 0);
	}
	for (uint64_t i = 0; i < n_pieces(f); i++) {
		bool all = true;

		for (uint32_t page = (uint32_t) i * ppp + 1;
		     page <= (i + 1) * ppp && page <= f->n_pages; page++)
			all = all && here[page];
		assert_int_equal(sqlite_saved_has_piece(&f->saved, i), all);
		done += all;
	}
	assert_int_equal(atomic_load(&f->saved.n_pieces_done), done);
}

/* Pages in any order, then the pieces: after each step it is known what is
 * here, and what is here is read. */
static void pages_then_pieces(void **state)
{
	struct fixture *f = *state;

	for (size_t s = 0; s < N_SHAPES; s++) {
		bool here[800] = {false};

		open_shape(f, s);
		check_marks(f, here);
		for (uint32_t i = 0; i < f->n_pages / 2 + 1; i++) {
			uint32_t page = 1 +
			    (uint32_t) scratch_below(&f->random, f->n_pages);

			save_page(f, page);
			here[page] = true;
			reads_page(f, page);
			if (i % 16 == 0)
				check_marks(f, here);
		}
		check_marks(f, here);
		for (uint64_t i = 0; i < n_pieces(f); i++) {
			const uint32_t ppp = (uint32_t) (PIECE / f->page_size);

			save_piece(f, i);
			for (uint32_t p = 0; p < ppp; p++)
				if (i * ppp + p < f->n_pages)
					here[i * ppp + p + 1] = true;
			check_marks(f, here);
			reads(f, (size_t) i * PIECE, piece_len(f, i));
		}
		reads(f, 0, f->size);
		assert_int_equal(sqlite_saved_bytes(&f->saved), f->size);
	}
}

/* It is the image: who opens the file finds it, byte for byte. */
static void complete(void **state)
{
	struct fixture *f = *state;

	for (size_t s = 0; s < N_SHAPES; s++) {
		open_shape(f, s);
		for (uint32_t page = 1; page <= f->n_pages; page += 3)
			save_page(f, page);
		for (uint64_t i = n_pieces(f); i-- > 0;)
			save_piece(f, i);
		assert_int_equal(
		    pread(f->saved.fd, f->got, f->size, 0), f->size);
		assert_memory_equal(f->got, f->image, f->size);
		assert_int_equal(lseek(f->saved.fd, 0, SEEK_END), f->size);
	}
}

/* Ranges that begin and end anywhere, over pages and pieces. */
static void any_range(void **state)
{
	struct fixture *f = *state;

	for (size_t s = 0; s < N_SHAPES; s++) {
		open_shape(f, s);
		for (uint64_t i = 0; i < n_pieces(f); i += 2)
			save_piece(f, i);
		for (uint32_t page = 1; page <= f->n_pages; page++)
			save_page(f, page);
		for (int n = 0; n < 300; n++) {
			size_t off = (size_t) scratch_below(
			    &f->random, f->size);
			size_t left = f->size - off;

			if (n % 2)
				left = left < 700 ? left : 700;
			reads(f, off,
			    1 + (size_t) scratch_below(&f->random, left));
		}
		reads(f, f->size - 1, 1);
		assert_int_equal(
		    sqlite_saved_read(&f->saved, f->size, f->got, 0, NULL), 0);
	}
}

/* What was not saved is never taken for zeros of the image. */
static void not_saved(void **state)
{
	struct fixture *f = *state;

	open_saved(f, 4096, 40);
	save_page(f, 3);
	page_is_lost(f, 2);
	page_is_lost(f, 40);
}

static unsigned n_writes;

static int count_writes(enum still_sys_call call)
{
	n_writes += call == STILL_SYS_PWRITE;
	return 0;
}

/* What is here is not written again. */
static void saved_again(void **state)
{
	struct fixture *f = *state;

	open_saved(f, 4096, 40);
	save_page(f, 5);
	save_piece(f, 1);
	n_writes = 0;
	still_sys_fault = count_writes;
	save_page(f, 5);
	save_page(f, 20); /* in the piece */
	save_piece(f, 1);
	assert_int_equal(n_writes, 0);
	assert_int_equal(sqlite_saved_bytes(&f->saved), 17 * 4096);
	/* A piece is written whole, and counts what was not there. */
	save_piece(f, 0);
	assert_int_equal(n_writes, 1);
	assert_int_equal(sqlite_saved_bytes(&f->saved), 32 * 4096);
}

/* ---- pages that cannot be had -------------------------------------------- */

static void spoilt(void **state)
{
	struct fixture *f = *state;

	for (size_t s = 0; s < N_SHAPES; s++) {
		uint32_t last;

		open_shape(f, s);
		last = f->n_pages;
		spoil(f, last, "bad sum");
		is_spoilt(f, last, "bad sum");
		assert_int_equal(used(f), 0);
		/* The first word counts, and it is nobody's page any more. */
		spoil(f, last, "other words");
		assert_int_equal(try_page(f, last, NULL), 0);
		is_spoilt(f, last, "bad sum");
		/* Its piece is saved but for it. */
		assert_int_equal(try_piece(f, n_pieces(f) - 1, NULL), 0);
		is_spoilt(f, last, "bad sum");
		assert_true(sqlite_saved_has_piece(&f->saved, n_pieces(f) - 1));
		assert_int_equal(atomic_load(&f->saved.n_pieces_done), 1);
		if (last > 1) {
			save_page(f, last - 1);
			reads_page(f, last - 1);
			/* A range fails where it comes to it. */
			assert_int_equal(
			    sqlite_saved_read(&f->saved,
				(uint64_t) (last - 2) * f->page_size, f->got,
				2 * f->page_size, NULL),
			    STILL_ERR_CORRUPT);
		}
	}
}

/* Who has the page already does not lose it. */
static void spoilt_too_late(void **state)
{
	struct fixture *f = *state;

	open_saved(f, 4096, 40);
	save_page(f, 5);
	save_piece(f, 1);
	spoil(f, 5, "bad sum");
	spoil(f, 20, "bad sum");
	reads_page(f, 5);
	reads_page(f, 20);
	assert_int_equal(f->saved.n_bad, 0);
}

static struct fixture *spoiler;

static int spoil_page_3(enum still_sys_call call)
{
	if (call == STILL_SYS_PWRITE && !sqlite_saved_has(&spoiler->saved, 3))
		spoil(spoiler, 3, "bad sum");
	return 0;
}

/* While it is being written: whose mark comes first, counts. */
static void spoilt_meanwhile(void **state)
{
	struct fixture *f = *state;

	spoiler = f;
	open_saved(f, 4096, 40);
	still_sys_fault = spoil_page_3;
	assert_int_equal(try_page(f, 3, NULL), 0);
	is_spoilt(f, 3, "bad sum");
	open_saved(f, 4096, 40);
	still_sys_fault = spoil_page_3;
	assert_int_equal(try_piece(f, 0, NULL), 0);
	is_spoilt(f, 3, "bad sum");
	for (uint32_t page = 1; page <= 16; page++)
		if (page != 3)
			reads_page(f, page);
	assert_int_equal(atomic_load(&f->saved.n_pieces_done), 1);
}

static void many_spoilt(void **state)
{
	struct fixture *f = *state;
	char msg[32];

	open_saved(f, 512, 700);
	for (uint32_t page = 700; page > 0; page -= 7) {
		snprintf(msg, sizeof(msg), "broken %u", page);
		spoil(f, page, msg);
	}
	for (uint64_t i = 0; i < n_pieces(f); i++)
		save_piece(f, i);
	for (uint32_t page = 1; page <= 700; page++) {
		snprintf(msg, sizeof(msg), "broken %u", page);
		if (page % 7 == 0)
			is_spoilt(f, page, msg);
		else
			reads_page(f, page);
	}
	assert_int_equal(atomic_load(&f->saved.n_pieces_done), n_pieces(f));
}

/* ---- a disk that loses what it took -------------------------------------- */

static void flip(struct fixture *f, size_t off)
{
	uint8_t byte = f->image[off] ^
	    (uint8_t) (1 << scratch_below(&f->random, 8));

	assert_int_equal(pwrite(f->saved.fd, &byte, 1, (off_t) off), 1);
}

static void lost_pages(void **state)
{
	struct fixture *f = *state;

	for (size_t s = 0; s < N_SHAPES; s++) {
		uint32_t page;

		open_shape(f, s);
		for (page = 1; page <= f->n_pages; page++)
			save_page(f, page);
		page = 1 + (uint32_t) scratch_below(&f->random, f->n_pages);
		flip(f,
		    (size_t) (page - 1) * f->page_size +
			(size_t) scratch_below(&f->random, f->page_size));
		page_is_lost(f, page);
		assert_int_equal(
		    sqlite_saved_read(&f->saved, 0, f->got, f->size, NULL),
		    STILL_ERR_CORRUPT);
		if (page > 1)
			reads(f, 0, (size_t) (page - 1) * f->page_size);
		if (page < f->n_pages)
			reads(f, (size_t) page * f->page_size,
			    (size_t) (f->n_pages - page) * f->page_size);
		/* All of it, as from a disk that is thinner than it says. */
		assert_int_equal(ftruncate(f->saved.fd, 0), 0);
		assert_int_equal(ftruncate(f->saved.fd, (off_t) f->size), 0);
		page_is_lost(f, page);
		/* Or as of a file that ends. */
		assert_int_equal(ftruncate(f->saved.fd, 100), 0);
		page_is_lost(f, page);
	}
}

static void lost_pieces(void **state)
{
	struct fixture *f = *state;

	for (size_t s = 0; s < N_SHAPES; s++) {
		char words[128];
		size_t at;
		size_t from;
		size_t to;

		open_shape(f, s);
		for (uint64_t i = 0; i < n_pieces(f); i++)
			save_piece(f, i);
		at = (size_t) scratch_below(&f->random, f->size);
		from = at / PIECE * PIECE;
		to = from + piece_len(f, at / PIECE);
		flip(f, at);
		snprintf(words, sizeof(words),
		    "private copy of `a.db`: changed since it was made (bytes "
		    "%zu to %zu)",
		    from, to);
		read_fails(f, at, 1, STILL_ERR_CORRUPT, words, lost_hint);
		read_fails(f, 0, f->size, STILL_ERR_CORRUPT, words, lost_hint);
		if (from > 0)
			reads(f, 0, from);
		if (to < f->size)
			reads(f, to, f->size - to);
	}
}

/* ---- calls that fail ----------------------------------------------------- */

static struct {
	enum still_sys_call call;
	int n_good; /* that many succeed first, then one does not */
	int sys_errno;
} fault;

static int fail_one(enum still_sys_call call)
{
	return call == fault.call && fault.n_good-- == 0 ? fault.sys_errno : 0;
}

static void set_fault(enum still_sys_call call, int n_good, int sys_errno)
{
	fault.call = call;
	fault.n_good = n_good;
	fault.sys_errno = sys_errno;
	still_sys_fault = fail_one;
}

static const struct {
	int sys_errno;
	int code;
	const char *words;
} write_errors[] = {
    {EIO, STILL_ERR_IO, "private copy of `a.db`: Input/output error"},
    {ENOSPC, STILL_ERR_NOSPACE,
	"private copy of `a.db`: No space left on device"},
    {EDQUOT, STILL_ERR_NOSPACE, "private copy of `a.db`: Disk quota exceeded"},
};

/* Ten pages, and the pieces: as many writes, each of which fails once. */
static void each_write_fails(void **state)
{
	struct fixture *f = *state;

	for (int n = 0; n < 3 * 14; n++) {
		struct still_error err = STILL_ERROR_INIT;
		unsigned n_failed = 0;
		int e = n % 3;

		open_saved(f, 4096, 50);
		set_fault(STILL_SYS_PWRITE, n / 3, write_errors[e].sys_errno);
		for (uint32_t i = 0; i < 14; i++) {
			uint32_t page = i * 4 + 1;
			int rc = i < 10 ? try_page(f, page, &err)
					: try_piece(f, i - 10, &err);

			if (rc == 0)
				continue;
			n_failed++;
			assert_int_equal(i, n / 3);
			assert_int_equal(rc, write_errors[e].code);
			assert_string_equal(
			    still_error_msg(&err), write_errors[e].words);
			assert_non_null(strstr(err.hint, "`spool`"));
			still_error_clear(&err);
			/* It is not here, until it is tried again. */
			if (i < 10) {
				assert_false(sqlite_saved_has(&f->saved, page));
				save_page(f, page);
				reads_page(f, page);
			} else {
				assert_false(
				    sqlite_saved_has_piece(&f->saved, i - 10));
				save_piece(f, i - 10);
			}
		}
		assert_int_equal(n_failed, 1);
		reads(f, 0, f->size);
		assert_true(sqlite_saved_bytes(&f->saved) <= f->size);
	}
}

static void each_read_fails(void **state)
{
	struct fixture *f = *state;

	open_saved(f, 4096, 50);
	for (uint32_t page = 1; page <= 16; page++)
		save_page(f, page);
	for (uint64_t i = 1; i < n_pieces(f); i++)
		save_piece(f, i);
	/* 16 pages, 3 pieces. */
	for (int n = 0; n < 19; n++) {
		struct still_error err = STILL_ERROR_INIT;

		set_fault(STILL_SYS_PREAD, n, EIO);
		assert_int_equal(sqlite_saved_read(
				     &f->saved, 10, f->got, f->size - 20, &err),
		    STILL_ERR_IO);
		assert_string_equal(still_error_msg(&err),
		    "private copy of `a.db`: Input/output error");
		assert_string_equal(err.hint,
		    "The disk of `spool` failed; see the kernel log.");
		still_error_clear(&err);
		reads(f, 0, f->size);
	}
	set_fault(STILL_SYS_PREAD, 19, EIO);
	reads(f, 10, f->size - 20);
	assert_int_equal(fault.n_good, 0);
}

static void no_such_spool(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	f->dir_spool.path = strdup(scratch_path(f->dir, "none"));
	assert_int_equal(
	    sqlite_saved_open(&f->saved, "a.db", 4096, 10, &f->spool, &err),
	    STILL_ERR_NOTFOUND);
	assert_non_null(strstr(still_error_msg(&err), "none`: No such file"));
	still_error_clear(&err);
	assert_int_equal(f->saved.fd, -1);
	assert_int_equal(used(f), 0);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	free(f->dir_spool.path);
	f->dir_spool.path = f->dir;
}

/* ---- room ---------------------------------------------------------------- */

/* A MiB at a time, no more than there is to save. */
static void room_in_lumps(void **state)
{
	struct fixture *f = *state;

	open_saved(f, 4096, 2 * 256 + 10);
	for (uint32_t page = 1; page <= f->n_pages; page++) {
		uint64_t lumps = ((uint64_t) page + 255) / 256 * MIB;

		save_page(f, page);
		assert_int_equal(used(f), lumps < f->size ? lumps : f->size);
		assert_int_equal(
		    sqlite_saved_bytes(&f->saved), (uint64_t) page * 4096);
	}
	assert_int_equal(f->n_takes, 3);
	assert_int_equal(sqlite_saved_reserve(&f->saved, NULL), 0);
	assert_int_equal(f->n_takes, 3);
}

/* Each take refused in its turn: what is here stays, and what is not can be
 * saved when there is room. */
static void each_take_refused(void **state)
{
	struct fixture *f = *state;

	for (int n = 0; n < 5; n++) {
		struct still_error err = STILL_ERROR_INIT;
		uint64_t i = 0;

		open_saved(f, 4096, 5 * 256);
		f->refuse_after = n;
		while (try_piece(f, i, &err) == 0)
			i++;
		assert_int_equal(i, n * 16);
		assert_int_equal(err.code, STILL_ERR_NOSPACE);
		assert_string_equal(still_error_msg(&err), "spool: is full");
		assert_string_equal(err.hint, "Make room.");
		still_error_clear(&err);
		assert_false(sqlite_saved_has_piece(&f->saved, i));
		assert_int_equal(used(f), n * MIB);
		assert_int_equal(sqlite_saved_bytes(&f->saved), n * MIB);
		assert_int_equal(
		    try_page(f, f->n_pages, NULL), STILL_ERR_NOSPACE);
		assert_int_equal(
		    sqlite_saved_reserve(&f->saved, NULL), STILL_ERR_NOSPACE);
		assert_int_equal(used(f), n * MIB);
		if (n > 0)
			reads(f, 0, n * MIB);
		f->refuse_after = -1;
		for (; i < n_pieces(f); i++)
			save_piece(f, i);
		reads(f, 0, f->size);
	}
}

static void spool_max(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	f->dir_spool.max_bytes = 2 * MIB;
	open_saved(f, 4096, 3 * 256);
	for (uint32_t page = 1; page <= 512; page++)
		save_page(f, page);
	assert_int_equal(try_page(f, 513, &err), STILL_ERR_NOSPACE);
	assert_string_equal(still_error_msg(&err),
	    "spool: a private copy of `a.db` takes 1048576 bytes, 2097152 are "
	    "taken already, and `spool_max` allows 2097152");
	assert_string_equal(err.hint, "Raise `spool_max`.");
	still_error_clear(&err);
	assert_false(sqlite_saved_has(&f->saved, 513));
	assert_int_equal(
	    sqlite_saved_reserve(&f->saved, NULL), STILL_ERR_NOSPACE);
	assert_int_equal(used(f), 2 * MIB);
	reads(f, 0, 2 * MIB);
	forget(f);
	f->dir_spool.max_bytes = 0;
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t) st.st_blocks * 512;
}

/* All room, once, and blocks; nothing is asked for after that. */
static void reserved(void **state)
{
	struct fixture *f = *state;

	for (size_t s = 0; s < N_SHAPES; s++) {
		open_shape(f, s);
		save_page(f, 1);
		assert_int_equal(sqlite_saved_reserve(&f->saved, NULL), 0);
		assert_true(f->saved.reserved);
		assert_int_equal(used(f), f->size);
		assert_true(blocks_of(f->saved.fd) >= f->size);
		reads_page(f, 1);
		f->refuse_after = 0;
		assert_int_equal(sqlite_saved_reserve(&f->saved, NULL), 0);
		for (uint64_t i = 0; i < n_pieces(f); i++)
			save_piece(f, i);
		reads(f, 0, f->size);
		assert_int_equal(used(f), f->size);
	}
}

/* The disk is asked for blocks and says what it can. */
static void reserve_fails(void **state)
{
	static const int full[] = {ENOSPC, EDQUOT};
	static const int cannot[] = {EOPNOTSUPP, ENOSYS, EIO};
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	for (size_t i = 0; i < 2; i++) {
		open_saved(f, 4096, 1000);
		save_page(f, 1);
		set_fault(STILL_SYS_ALLOCATE, 0, full[i]);
		assert_int_equal(
		    sqlite_saved_reserve(&f->saved, &err), STILL_ERR_NOSPACE);
		assert_string_equal(still_error_msg(&err),
		    "spool: a private copy of `a.db` takes 4096000 bytes, and "
		    "there are no blocks for them");
		assert_int_equal(err.sys_errno, full[i]);
		assert_non_null(strstr(err.hint, "spool="));
		still_error_clear(&err);
		assert_false(f->saved.reserved);
		assert_int_equal(used(f), MIB);
		reads_page(f, 1);
		/* And another time. */
		assert_int_equal(sqlite_saved_reserve(&f->saved, NULL), 0);
		assert_int_equal(used(f), f->size);
		reads_page(f, 1);
	}
	for (size_t i = 0; i < 3; i++) {
		open_saved(f, 4096, 1000);
		set_fault(STILL_SYS_ALLOCATE, 0, cannot[i]);
		assert_int_equal(sqlite_saved_reserve(&f->saved, NULL), 0);
		assert_true(f->saved.reserved);
		assert_int_equal(used(f), f->size);
		save_piece(f, 3);
	}
}

static struct fixture *saver;

static int save_and_fail(enum still_sys_call call)
{
	if (call != STILL_SYS_ALLOCATE)
		return 0;
	for (uint32_t page = 1; page <= 300; page++)
		save_page(saver, page);
	return ENOSPC;
}

/* Room that was used while the disk looked for blocks is not given back. */
static void saved_while_reserving(void **state)
{
	struct fixture *f = *state;

	open_saved(f, 4096, 1000);
	saver = f;
	still_sys_fault = save_and_fail;
	assert_int_equal(
	    sqlite_saved_reserve(&f->saved, NULL), STILL_ERR_NOSPACE);
	still_sys_fault = NULL;
	assert_true(used(f) >= 300 * 4096);
	assert_true(used(f) < f->size);
	reads(f, 0, 300 * 4096);
	for (uint64_t i = 0; i < n_pieces(f); i++)
		save_piece(f, i);
	reads(f, 0, f->size);
}

static void mount_small(struct fixture *f, const char *type, const char *with)
{
	const char *path = scratch_path(f->dir, "small");

	assert_int_equal(mkdir(path, 0700), 0);
	if (mount("small", path, type, 0, with) != 0)
		skip();
	f->dir_spool.path = strdup(path);
}

static void leave_small(struct fixture *f)
{
	forget(f);
	free(f->dir_spool.path);
	f->dir_spool.path = f->dir;
}

/* The spool says that there is room, and somebody else had it first. */
static void disk_full(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	uint64_t i = 0;

	mount_small(f, "tmpfs", "size=1m,mode=700");
	f->always_room = true;
	open_saved(f, 4096, 1024);
	save_page(f, 1024);
	while (try_piece(f, i, &err) == 0)
		i++;
	/* 256 pages less one fill 15 pieces. */
	assert_int_equal(i, 15);
	assert_int_equal(err.code, STILL_ERR_NOSPACE);
	assert_string_equal(still_error_msg(&err),
	    "private copy of `a.db`: No space left on device");
	still_error_clear(&err);
	assert_false(sqlite_saved_has_piece(&f->saved, i));
	reads(f, 0, i * PIECE);
	reads_page(f, 1024);
	assert_int_equal(
	    sqlite_saved_reserve(&f->saved, NULL), STILL_ERR_NOSPACE);
	reads(f, 0, i * PIECE);
	reads_page(f, 1024);
	leave_small(f);
}

/* ext4 keeps the blocks that it found before there were no more. */
static void blocks_given_back(void **state)
{
	struct fixture *f = *state;
	char command[PATH_MAX + 128];
	const char *file = scratch_path(f->dir, "disk");
	const char *path = scratch_path(f->dir, "small");
	uint64_t before;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(command, sizeof(command),
	    "truncate -s 16M %s && mkfs.ext4 -q -m 0 %s && "
	    "mount -o loop %s %s 2>/dev/null",
	    file, file, file, path);
	if (system(command) != 0)
		skip();
	f->dir_spool.path = strdup(path);
	f->always_room = true;
	open_saved(f, 4096, 8192);
	for (uint32_t page = 1; page <= 300; page += 2)
		save_page(f, page);
	before = blocks_of(f->saved.fd);
	assert_true(before >= 150 * 4096);
	assert_int_equal(
	    sqlite_saved_reserve(&f->saved, NULL), STILL_ERR_NOSPACE);
	/* But for what the file system needs to know where they are. */
	assert_true(blocks_of(f->saved.fd) <= before + 65536);
	assert_int_equal(used(f), MIB);
	for (uint32_t page = 1; page <= 300; page += 2)
		reads_page(f, page);
	leave_small(f);
}

/* The same of a spool that knows: it stops before the disk does. */
static void disk_nearly_full(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	uint64_t i = 0;

	mount_small(f, "tmpfs", "size=4m,mode=700");
	open_saved(f, 4096, 2048);
	assert_int_equal(
	    sqlite_saved_reserve(&f->saved, NULL), STILL_ERR_NOSPACE);
	assert_int_equal(used(f), 0);
	while (try_piece(f, i, &err) == 0)
		i++;
	assert_int_equal(err.code, STILL_ERR_NOSPACE);
	assert_non_null(strstr(still_error_msg(&err),
	    "a private copy of `a.db` takes 1048576 bytes, and "));
	still_error_clear(&err);
	/* Three lumps; a fourth would leave less than the spare tenth. */
	assert_int_equal(used(f), 3 * MIB);
	assert_int_equal(i, 48);
	reads(f, 0, 3 * MIB);
	leave_small(f);
}

/* ---- threads ------------------------------------------------------------- */

struct crowd {
	struct fixture *f;
	pthread_barrier_t start;
	atomic_uint n_working;  /* of those that save */
	atomic_uint n_bad;      /* what must not happen */
	atomic_uint n_compared; /* by readers */
	bool with_spoilers;
};

struct member {
	struct crowd *crowd;
	uint64_t random;
	pthread_t thread;
};

static void fault_of(struct crowd *crowd, bool bad)
{
	if (bad)
		atomic_fetch_add(&crowd->n_bad, 1);
}

/* All pages, each thread in an order of its own, every other one as pieces. */
static void *save_all(void *arg)
{
	struct member *m = arg;
	struct fixture *f = m->crowd->f;
	uint32_t stride = f->n_pages - 1 -
	    (uint32_t) scratch_below(&m->random, 7);
	uint32_t page = (uint32_t) scratch_below(&m->random, f->n_pages);

	while (f->n_pages % stride == 0)
		stride--;
	pthread_barrier_wait(&m->crowd->start);
	for (uint32_t i = 0; i < 3 * f->n_pages; i++) {
		page = (page + stride) % f->n_pages;
		fault_of(m->crowd, try_page(f, page + 1, NULL) != 0);
		fault_of(m->crowd, !sqlite_saved_has(&f->saved, page + 1));
		if (scratch_below(&m->random, 24) == 0)
			fault_of(m->crowd,
			    try_piece(f, scratch_below(&m->random, n_pieces(f)),
				NULL) != 0);
	}
	for (uint64_t i = 0; i < n_pieces(f); i++)
		fault_of(m->crowd, try_piece(f, i, NULL) != 0);
	atomic_fetch_sub(&m->crowd->n_working, 1);
	return NULL;
}

/* Every ninth page is had by some and not by others. */
static void *spoil_some(void *arg)
{
	struct member *m = arg;
	struct fixture *f = m->crowd->f;
	struct still_error why = STILL_ERROR_INIT;

	still_error_set(&why, STILL_ERR_LOST, 0, NULL, "nobody has it");
	pthread_barrier_wait(&m->crowd->start);
	for (uint32_t page = 9; page <= f->n_pages; page += 9)
		fault_of(m->crowd,
		    sqlite_saved_spoil(&f->saved, page, &why, NULL) != 0);
	still_error_clear(&why);
	atomic_fetch_sub(&m->crowd->n_working, 1);
	return NULL;
}

/* A run of pages that are here is what it should be; but for those that were
 * spoilt, which are so for good. */
static void read_some(struct member *m, uint8_t *got, bool *gone)
{
	struct fixture *f = m->crowd->f;
	uint32_t page = 1 + (uint32_t) scratch_below(&m->random, f->n_pages);
	uint32_t n =
	    m->crowd->with_spoilers ? 1 : sqlite_saved_run(&f->saved, page, 40);
	size_t off = (size_t) (page - 1) * f->page_size;
	size_t len = n * f->page_size;
	size_t cut = (size_t) scratch_below(&m->random, f->page_size);
	int rc;

	if (!sqlite_saved_has(&f->saved, page)) {
		fault_of(m->crowd, gone[page]);
		return;
	}
	/* The run may have been of pages that were not here then. */
	if (sqlite_saved_run(&f->saved, page, n) < n)
		len = f->page_size;
	rc = sqlite_saved_read(&f->saved, off + cut, got, len - cut, NULL);
	if (rc == STILL_ERR_LOST && m->crowd->with_spoilers && page % 9 == 0) {
		gone[page] = true;
		return;
	}
	fault_of(m->crowd, gone[page]);
	fault_of(m->crowd, rc != 0);
	fault_of(m->crowd,
	    rc == 0 && memcmp(got, f->image + off + cut, len - cut) != 0);
	atomic_fetch_add(&m->crowd->n_compared, 1);
}

static void *read_all(void *arg)
{
	struct member *m = arg;
	struct fixture *f = m->crowd->f;
	uint8_t *got = malloc(f->size);
	bool *gone = calloc(f->n_pages + 1, sizeof(*gone));

	pthread_barrier_wait(&m->crowd->start);
	while (got && gone && atomic_load(&m->crowd->n_working) > 0)
		read_some(m, got, gone);
	for (int i = 0; got && gone && i < 1000; i++)
		read_some(m, got, gone);
	fault_of(m->crowd, !got || !gone);
	free(got);
	free(gone);
	return NULL;
}

static void meet(struct fixture *f, bool with_spoilers)
{
	void *(*const roles[])(void *) = {save_all, save_all, save_all,
	    read_all, read_all, with_spoilers ? spoil_some : save_all};
	const unsigned n = sizeof(roles) / sizeof(roles[0]);
	struct crowd crowd = {.f = f, .with_spoilers = with_spoilers};
	struct member members[sizeof(roles) / sizeof(roles[0])];

	atomic_init(&crowd.n_working, n - 2);
	pthread_barrier_init(&crowd.start, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		members[i].crowd = &crowd;
		members[i].random = scratch_random(&f->random);
		assert_int_equal(pthread_create(&members[i].thread, NULL,
				     roles[i], &members[i]),
		    0);
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(members[i].thread, NULL), 0);
	pthread_barrier_destroy(&crowd.start);
	assert_int_equal(atomic_load(&crowd.n_bad), 0);
	assert_true(atomic_load(&crowd.n_compared) > 0);
	assert_int_equal(atomic_load(&f->saved.n_pieces_done), n_pieces(f));
	assert_int_equal(
	    sqlite_saved_run(&f->saved, 1, UINT32_MAX), f->n_pages);
	assert_true(sqlite_saved_bytes(&f->saved) <= f->size);
	assert_true(used(f) <= f->size);
}

static void threads(void **state)
{
	static const size_t which[] = {6, 10, 13};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		open_shape(f, which[i]);
		meet(f, false);
		reads(f, 0, f->size);
		assert_int_equal(sqlite_saved_bytes(&f->saved), f->size);
	}
}

static void threads_and_spoilt(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 5; i++) {
		open_saved(f, 512, 700);
		meet(f, true);
		for (uint32_t page = 1; page <= f->n_pages; page++)
			if (page % 9 != 0)
				reads_page(f, page);
	}
}

static int fail_blocks(enum still_sys_call call)
{
	return call == STILL_SYS_ALLOCATE ? ENOSPC : 0;
}

static void *reserve_often(void *arg)
{
	struct member *m = arg;

	pthread_barrier_wait(&m->crowd->start);
	while (atomic_load(&m->crowd->n_working) > 0)
		fault_of(m->crowd,
		    sqlite_saved_reserve(&m->crowd->f->saved, NULL) !=
			STILL_ERR_NOSPACE);
	return NULL;
}

/* Blocks are given back again and again; none of a page that is being saved. */
static void threads_and_no_blocks(void **state)
{
	struct fixture *f = *state;
	struct crowd crowd = {.f = f};
	struct member members[3] = {{.crowd = &crowd, .random = 1},
	    {.crowd = &crowd, .random = 2}, {.crowd = &crowd, .random = 3}};

	open_saved(f, 512, 700);
	still_sys_fault = fail_blocks;
	atomic_init(&crowd.n_working, 2);
	pthread_barrier_init(&crowd.start, NULL, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    pthread_create(&members[i].thread, NULL,
			i < 2 ? save_all : reserve_often, &members[i]),
		    0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(members[i].thread, NULL), 0);
	pthread_barrier_destroy(&crowd.start);
	assert_int_equal(atomic_load(&crowd.n_bad), 0);
	reads(f, 0, f->size);
	assert_int_equal(used(f), f->size);
}

/* ---- memory -------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#	define SHADOWED 1
#elif defined(__has_feature)
#	if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#		define SHADOWED 1
#	endif
#endif

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %llu", &pages), 1);
	fclose(file);
	return pages * (uint64_t) sysconf(_SC_PAGESIZE);
}

/* A TiB: what is not saved costs nothing. */
static void large(void **state)
{
	const uint32_t n_pages = UINT32_C(1) << 28;
	static const uint32_t some[] = {1, 77777, UINT32_C(1) << 28};
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	uint64_t before = resident_bytes();
	uint8_t page[4096];
	uint8_t got[4096];

	if (sqlite_saved_open(
		&f->saved, "a.db", 4096, n_pages, &f->spool, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	for (size_t i = 0; i < 3; i++) {
		memset(page, (int) i + 1, sizeof(page));
		assert_int_equal(
		    sqlite_saved_page(&f->saved, some[i], page, NULL), 0);
		assert_int_equal(
		    sqlite_saved_read(&f->saved,
			(uint64_t) (some[i] - 1) * 4096, got, 4096, NULL),
		    0);
		assert_memory_equal(got, page, 4096);
		assert_false(sqlite_saved_has_piece(
		    &f->saved, (uint64_t) (some[i] - 1) / 16));
	}
	assert_int_equal(used(f), MIB);
#ifndef SHADOWED
	assert_true(resident_bytes() - before < 4 * MIB);
#else
	(void) before;
#endif
	assert_int_equal(sqlite_saved_run(&f->saved, 2, UINT32_MAX), 77777 - 2);
	assert_int_equal(
	    sqlite_saved_run(&f->saved, 77778, UINT32_MAX), n_pages - 77778);
	assert_true(blocks_of(f->saved.fd) <= MIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(not_open),
	    TEST(pages_then_pieces),
	    TEST(complete),
	    TEST(any_range),
	    TEST(not_saved),
	    TEST(saved_again),
	    TEST(spoilt),
	    TEST(spoilt_too_late),
	    TEST(spoilt_meanwhile),
	    TEST(many_spoilt),
	    TEST(lost_pages),
	    TEST(lost_pieces),
	    TEST(each_write_fails),
	    TEST(each_read_fails),
	    TEST(no_such_spool),
	    TEST(room_in_lumps),
	    TEST(each_take_refused),
	    TEST(spool_max),
	    TEST(reserved),
	    TEST(reserve_fails),
	    TEST(saved_while_reserving),
	    TEST(disk_full),
	    TEST(blocks_given_back),
	    TEST(disk_nearly_full),
	    TEST(threads),
	    TEST(threads_and_spoilt),
	    TEST(threads_and_no_blocks),
	    TEST(large),
	};

	scratch_watchdog();
	seed = scratch_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
