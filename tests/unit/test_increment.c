/* SPDX-License-Identifier: MIT */
/*
 * Increments: what stock SQLite makes of the older image and the increment is the
 * newer image, byte for byte; and whatever is done to one is seen.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/spool.h"
#include "engines/sqlite/increment.h"
#include "tests/unit/scratch.h"

static uint64_t seed;

struct image {
	uint8_t *bytes; /* owned */
	size_t size;
};

struct fixture {
	char *dir;
	char live[PATH_MAX];
	char copy[PATH_MAX];
	char file[PATH_MAX]; /* the increment, beside the copy */
	uint64_t random;
	struct still_spool_dir dir_spool;
	struct still_spool spool;
	uint32_t page_size;
	struct image base;
	struct image image;
};

/* ---- databases ----------------------------------------------------------- */

static void sql(const char *path, const char *fmt, ...)
{
	sqlite3 *conn;
	char *error = NULL;
	char *text;
	va_list args;

	va_start(args, fmt);
	text = sqlite3_vmprintf(fmt, args);
	va_end(args);
	assert_int_equal(sqlite3_open(path, &conn), SQLITE_OK);
	if (sqlite3_exec(conn, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s: %s", text, error);
	sqlite3_free(text);
	assert_int_equal(sqlite3_close(conn), SQLITE_OK);
}

static struct image load(const char *path)
{
	FILE *file = fopen(path, "re");
	struct image image;
	struct stat st;

	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	image.size = (size_t) st.st_size;
	image.bytes = malloc(image.size + 1);
	assert_int_equal(fread(image.bytes, 1, image.size, file), image.size);
	fclose(file);
	return image;
}

/* One change of the live database; its close folds the log into it. */
static void change(struct fixture *f)
{
	unsigned n = 1 + (unsigned) scratch_below(&f->random, 300);
	unsigned kind = (unsigned) scratch_below(&f->random, 8);

	switch (kind) {
	case 0:
		sql(f->live, "DELETE FROM t WHERE a %% %u = 0", 2 + n % 5);
		break;
	case 1:
		sql(f->live, "DELETE FROM t WHERE a %% 9 > 0; VACUUM");
		break;
	case 2:
		sql(f->live, "CREATE TABLE IF NOT EXISTS u%u(a, b)", n % 7);
		break;
	case 3:
		sql(f->live, "DROP TABLE IF EXISTS u%u", n % 7);
		break;
	case 4:
		sql(f->live, "UPDATE t SET b = randomblob(50) WHERE a < %u", n);
		break;
	default:
		sql(f->live,
		    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1"
		    " FROM c WHERE i < %u) INSERT INTO t(b)"
		    " SELECT randomblob(%u) FROM c",
		    n, 1 + n * 3);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	snprintf(f->live, sizeof(f->live), "%s/live.db", f->dir);
	snprintf(f->copy, sizeof(f->copy), "%s/copy.db", f->dir);
	snprintf(f->file, sizeof(f->file), "%s/copy.db-wal", f->dir);
	f->random = seed;
	still_spool_init(&f->dir_spool, f->dir, NULL);
	f->spool = still_spool_of(&f->dir_spool);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(atomic_load(&f->dir_spool.used_bytes), 0);
	still_spool_release(&f->dir_spool);
	free(f->base.bytes);
	free(f->image.bytes);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static void new_database(struct fixture *f, uint32_t page_size)
{
	f->page_size = page_size;
	unlink(f->live);
	sql(f->live,
	    "PRAGMA page_size=%u; PRAGMA journal_mode=WAL;"
	    "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
	    "INSERT INTO t(b) VALUES(randomblob(3000))",
	    page_size);
}

/* ---- increments ---------------------------------------------------------- */

static bool is_different(const struct fixture *f, size_t off)
{
	return off >= f->base.size ||
	    memcmp(f->base.bytes + off, f->image.bytes + off, f->page_size) !=
	    0;
}

/* From the base to the image; nothing where they are the same. */
static bool make(struct fixture *f, struct sqlite_increment *ret)
{
	struct sqlite_increment_target target = {
	    .rel = "live.db",
	    .page_size_bytes = f->page_size,
	    .n_pages = (uint32_t) (f->image.size / f->page_size),
	};
	uint64_t salts = scratch_random(&f->random);
	struct still_error err = STILL_ERROR_INIT;

	if (f->base.size == f->image.size &&
	    memcmp(f->base.bytes, f->image.bytes, f->base.size) == 0)
		return false;
	if (sqlite_increment_begin(
		ret, &target, (const uint8_t *) &salts, &f->spool, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	for (size_t off = 0; off < f->image.size; off += f->page_size)
		if (is_different(f, off))
			assert_int_equal(
			    sqlite_increment_add(ret,
				(uint32_t) (off / f->page_size) + 1,
				f->image.bytes + off, &err),
			    0);
	if (ret->page_number == 0)
		assert_int_equal(
		    sqlite_increment_add(ret, 1, f->image.bytes, &err), 0);
	assert_int_equal(sqlite_increment_end(ret, &err), 0);
	return true;
}

/* Its bytes, read in pieces of any size. */
static void store(struct fixture *f, const struct sqlite_increment *increment)
{
	uint8_t *bytes = malloc(increment->size_bytes);
	size_t at = 0;

	while (at < increment->size_bytes) {
		size_t len = 1 + scratch_below(&f->random, 100000);

		if (len > increment->size_bytes - at)
			len = increment->size_bytes - at;
		assert_int_equal(
		    sqlite_increment_read(increment, at, bytes + at, len, NULL),
		    0);
		at += len;
	}
	scratch_write(f->file, bytes, at);
	free(bytes);
}

/* Open, checkpoint, close, as by hand. */
static void replay(struct fixture *f)
{
	struct image got;

	sql(f->copy, "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(access(f->file, F_OK), -1);
	got = load(f->copy);
	assert_int_equal(got.size, f->image.size);
	assert_memory_equal(got.bytes, f->image.bytes, got.size);
	free(got.bytes);
}

static void chains(void **state)
{
	static const uint32_t sizes[] = {512, 1024, 4096, 8192, 65536};
	struct fixture *f = *state;
	struct sqlite_increment increment;
	unsigned n = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		new_database(f, sizes[i]);
		free(f->base.bytes);
		f->base = load(f->live);
		scratch_write(f->copy, f->base.bytes, f->base.size);
		for (int link = 0; link < 12; link++) {
			change(f);
			free(f->image.bytes);
			f->image = load(f->live);
			if (make(f, &increment)) {
				n++;
				store(f, &increment);
				sqlite_increment_release(&increment);
				replay(f);
			}
			free(f->base.bytes);
			f->base = f->image;
			f->image.bytes = NULL;
		}
	}
	assert_true(n > 30);
}

/* The copy is shorter; nothing else is different. */
static void only_shorter(void **state)
{
	struct fixture *f = *state;
	struct sqlite_increment increment;

	new_database(f, 4096);
	f->image = load(f->live);
	f->base.size = f->image.size + 2 * f->page_size;
	f->base.bytes = calloc(1, f->base.size);
	memcpy(f->base.bytes, f->image.bytes, f->image.size);
	scratch_write(f->copy, f->base.bytes, f->base.size);
	assert_true(make(f, &increment));
	assert_int_equal(increment.n_frames, 1);
	store(f, &increment);
	sqlite_increment_release(&increment);
	replay(f);
}

/* ---- what is done to them ------------------------------------------------ */

static int count(
    void *arg, uint32_t page, const uint8_t *data, struct still_error *err)
{
	unsigned *n = arg;

	(void) page;
	(void) data;
	(void) err;
	++*n;
	return 0;
}

static int walk(const struct fixture *f, unsigned *ret_n,
    struct sqlite_increment_target *ret, struct still_error *err)
{
	int fd = open(f->file, O_RDONLY | O_CLOEXEC);
	int rc;

	assert_true(fd >= 0);
	*ret_n = 0;
	rc = sqlite_increment_walk(fd, "logs/a", NULL, count, ret_n, ret, err);
	close(fd);
	return rc;
}

static void refused(const struct fixture *f, unsigned frame, const char *what)
{
	struct still_error err = STILL_ERROR_INIT;
	char want[100];
	struct sqlite_increment_target target;
	unsigned n;

	assert_int_equal(walk(f, &n, &target, &err), STILL_ERR_CORRUPT);
	snprintf(want, sizeof(want), "`logs/a`: frame %u: %s", frame,
	    what ? what : "");
	if (what)
		assert_string_equal(still_error_msg(&err), want);
	still_error_clear(&err);
}

static void with_byte(
    const struct fixture *f, const struct image *whole, size_t at)
{
	whole->bytes[at] ^= 0x10;
	scratch_write(f->file, whole->bytes, whole->size);
	refused(f, 0, NULL);
	whole->bytes[at] ^= 0x10;
}

static void damages(void **state)
{
	struct fixture *f = *state;
	struct sqlite_increment increment;
	struct sqlite_increment_target target;
	struct image whole;
	size_t frame;
	unsigned n;

	new_database(f, 1024);
	f->base = load(f->live);
	sql(f->live, "INSERT INTO t(b) VALUES(randomblob(9000))");
	f->image = load(f->live);
	assert_true(make(f, &increment));
	store(f, &increment);
	whole = load(f->file);
	assert_int_equal(walk(f, &n, &target, NULL), 0);
	assert_int_equal(n, increment.n_frames);
	assert_int_equal(target.n_pages, f->image.size / f->page_size);
	assert_int_equal(target.page_size_bytes, 1024);
	sqlite_increment_release(&increment);

	for (size_t at = 0; at < whole.size; at++)
		with_byte(f, &whole, at);
	frame = SQLITE_FRAME_HEADER_BYTES + f->page_size;
	scratch_write(f->file, whole.bytes, whole.size - frame);
	refused(f, n - 1, "is the last, and no commit");
	scratch_write(f->file, whole.bytes, whole.size - 1);
	refused(f, n, "the file ends in it");
	scratch_write(f->file, whole.bytes, SQLITE_WAL_HEADER_BYTES);
	refused(f, 0, "is the last, and no commit");
	scratch_write(f->file, whole.bytes, 0);
	refused(f, 0, "the file ends in it");
	free(whole.bytes);
}

/* ---- no room ------------------------------------------------------------- */

static int full(
    void *arg, const char *what, uint64_t bytes, struct still_error *err)
{
	(void) arg;
	(void) bytes;
	assert_string_equal(what, "live.db");
	return still_error_set(err, STILL_ERR_NOSPACE, 0, NULL, "spool: full");
}

static void no_room(void **state)
{
	struct fixture *f = *state;
	struct sqlite_increment_target target = {"live.db", 65536, 9};
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_increment increment;
	uint8_t page[65536] = {1};
	int rc;

	f->spool.take = full;
	rc = sqlite_increment_begin(&increment, &target, page, &f->spool, &err);
	for (uint32_t i = 1; rc == 0 && i <= 9; i++)
		rc = sqlite_increment_add(&increment, i, page, &err);
	assert_int_equal(rc, STILL_ERR_NOSPACE);
	still_error_clear(&err);
	sqlite_increment_release(&increment);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(chains),
	    TEST(only_shorter),
	    TEST(damages),
	    TEST(no_room),
	};

	scratch_watchdog();
	seed = scratch_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
