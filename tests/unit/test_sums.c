/* SPDX-License-Identifier: MIT */
/* Pages with sums of their own, as SQLite's checksum VFS writes them, in the
 * file and in the log; and pages that only look like it. The VFS itself is not
 * part of SQLite's library, so its sums are put in by hand, where it puts them:
 * behind the log's back. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines/sqlite/describe.h"
#include "tests/lib/app.h"
#include "tests/lib/frozen.h"
#include "tests/unit/scratch.h"

#define PAGE 1024
#define FRAME (SQLITE_FRAME_HEADER_BYTES + PAGE)

struct fixture {
	char *dir;
	unsigned n_fds;
	struct app *app;
	struct frozen frozen;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	frozen_open(&f->frozen, f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	frozen_close(&f->frozen);
	app_close(f->app);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

/* Eight bytes free in each page. In WAL mode nothing is in the log. */
static void make(struct fixture *f, const char *journal_mode)
{
	char sql[512];

	f->app = app_open(scratch_path(f->dir, "a.db"));
	app_reserve(f->app, SQLITE_PAGE_SUM_BYTES);
	snprintf(sql, sizeof(sql),
	    "PRAGMA page_size = %d; PRAGMA journal_mode = %s;"
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
	    "WHERE n < 50) INSERT INTO t(v) SELECT randomblob(600) FROM c;"
	    "PRAGMA wal_checkpoint(TRUNCATE)",
	    PAGE, journal_mode);
	app_sql(f->app, sql);
}

static int open_part(struct fixture *f, const char *name)
{
	int fd = open(scratch_path(f->dir, name), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* The sum of `page` at its end; other than none, with `salt`. */
static void put_sum(uint8_t page[PAGE], uint32_t salt)
{
	struct sqlite_checksum sum = {0, 0};
	uint32_t words[2];

	sum = sqlite_checksum_add(sum, false, page, PAGE - sizeof(words));
	words[0] = htole32(sum.s0 + salt);
	words[1] = htole32(sum.s1);
	memcpy(page + PAGE - sizeof(words), words, sizeof(words));
}

/* Each page of the file or of the log; how many there are. */
static uint32_t put_sums(
    struct fixture *f, const char *name, off_t from, off_t step, uint32_t salt)
{
	int fd = open_part(f, name);
	uint8_t page[PAGE];
	uint32_t n = 0;

	for (; pread(fd, page, PAGE, from) == PAGE; from += step, n++) {
		put_sum(page, salt);
		assert_int_equal(pwrite(fd, page, PAGE, from), PAGE);
	}
	close(fd);
	return n;
}

static uint32_t sum_file(struct fixture *f, uint32_t salt)
{
	return put_sums(f, "a.db", 0, PAGE, salt);
}

static uint32_t sum_log(struct fixture *f, uint32_t salt)
{
	return put_sums(f, "a.db-wal",
	    SQLITE_WAL_HEADER_BYTES + SQLITE_FRAME_HEADER_BYTES, FRAME, salt);
}

/* Rows in the log, among them rows of pages that the file has, too. */
static void write_log(struct fixture *f)
{
	app_sql(f->app,
	    "UPDATE t SET v = randomblob(600) WHERE id % 5 = 0;"
	    "INSERT INTO t(v) VALUES(randomblob(600))");
}

static void flip(struct fixture *f, const char *name, off_t at, uint8_t bits)
{
	int fd = open_part(f, name);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static off_t frame_at(uint32_t frame)
{
	return (off_t) sqlite_frame_offset(frame, PAGE);
}

static uint32_t page_of_frame(struct fixture *f, uint32_t frame)
{
	uint8_t bytes[SQLITE_FRAME_HEADER_BYTES];
	struct sqlite_frame_header header;
	int fd = open_part(f, "a.db-wal");

	assert_int_equal(
	    pread(fd, bytes, sizeof(bytes), frame_at(frame)), sizeof(bytes));
	close(fd);
	sqlite_frame_header_parse(bytes, &header);
	return header.page;
}

static int read_page(
    struct fixture *f, uint32_t page, uint8_t *out, struct still_error *err)
{
	return sqlite_image_read(
	    &f->frozen.image, (uint64_t) (page - 1) * PAGE, out, PAGE, err);
}

/* Every page can be read but `bad` (0: none), whole, in part, and in company;
 * and that one for this reason. */
static void all_but(struct fixture *f, uint32_t bad, const char *why)
{
	struct sqlite_image *image = &f->frozen.image;
	struct still_error err = STILL_ERROR_INIT;
	uint8_t data[3 * PAGE];
	char words[128];

	snprintf(words, sizeof(words), "page %u of `a.db`: %s", bad, why);
	for (uint32_t page = 1; page <= image->n_pages; page++) {
		uint64_t at = (uint64_t) (page - 1) * PAGE;
		int want = page == bad ? STILL_ERR_CORRUPT : 0;
		int pair = page == bad || page + 1 == bad ? STILL_ERR_CORRUPT
							  : 0;

		assert_int_equal(read_page(f, page, data, &err), want);
		if (want)
			assert_string_equal(still_error_msg(&err), words);
		still_error_clear(&err);
		assert_int_equal(
		    sqlite_image_read(image, at + 100, data, 7, NULL), want);
		if (page < image->n_pages) {
			assert_int_equal(sqlite_image_read(image, at + PAGE - 1,
					     data, 2, NULL),
			    pair);
			assert_int_equal(
			    sqlite_image_read(image, at, data, 2 * PAGE, NULL),
			    pair);
		}
	}
}

/* Any byte of the image, any length, is what a read of whole pages gives. */
static void parts_are_right(struct fixture *f)
{
	size_t size = (size_t) sqlite_image_bytes(&f->frozen.image);
	uint64_t random = scratch_seed();
	uint8_t *all = malloc(size);
	uint8_t *got = malloc(size);

	assert_non_null(all);
	assert_non_null(got);
	for (uint32_t page = 1; page <= f->frozen.image.n_pages; page++)
		assert_int_equal(
		    read_page(f, page, all + (page - 1) * PAGE, NULL), 0);
	for (int i = 0; i < 500; i++) {
		size_t at = (size_t) scratch_below(&random, size);
		size_t max = i % 2 ? size - at : 3 * PAGE;
		size_t len;

		if (max > size - at)
			max = size - at;
		len = 1 + (size_t) scratch_below(&random, max);
		assert_int_equal(
		    sqlite_image_read(&f->frozen.image, at, got, len, NULL), 0);
		assert_memory_equal(got, all + at, len);
	}
	free(all);
	free(got);
}

static void take(struct fixture *f)
{
	frozen_take(&f->frozen, "a.db");
	assert_int_equal(f->frozen.n_warnings, 0);
}

static void is_undamaged(struct fixture *f)
{
	if (f->frozen.image.damage.code)
		fail_msg("%s", still_error_msg(&f->frozen.image.damage));
}

static void is_called(struct fixture *f, const char *words)
{
	assert_string_equal(
	    sqlite_verified_words(sqlite_verified_of(&f->frozen.image)), words);
}

#define BAD_SUM "its checksum (of the checksum VFS) does not match"

/* ---- in the file --------------------------------------------------------- */

static void file_is_good(void **state)
{
	static const char *const modes[] = {"WAL", "DELETE"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		make(f, modes[i]);
		assert_true(sum_file(f, 0) > 20);
		take(f);
		is_undamaged(f);
		assert_true(f->frozen.image.page_checksums);
		is_called(f, i ? "pages" : "pages+logs");
		all_but(f, 0, "");
		parts_are_right(f);
		frozen_release(&f->frozen);
		app_close(f->app);
		unlink(scratch_path(f->dir, "a.db-wal"));
		unlink(scratch_path(f->dir, "a.db-shm"));
		assert_int_equal(unlink(scratch_path(f->dir, "a.db")), 0);
		f->app = NULL;
	}
}

/* One bit, wherever it is: in the content, in what nobody uses, in the sum. */
static void file_page_is_bad(void **state)
{
	static const off_t offsets[] = {0, 3, 500, PAGE - 9, PAGE - 1};
	struct fixture *f = *state;
	uint32_t n;

	make(f, "WAL");
	n = sum_file(f, 0);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint32_t page = 2 + (uint32_t) i * 4;
		off_t at = (off_t) (page - 1) * PAGE + offsets[i];

		assert_true(page < n);
		flip(f, "a.db", at, 0x10);
		take(f);
		is_undamaged(f);
		all_but(f, page, BAD_SUM);
		flip(f, "a.db", at, 0x10);
	}
}

/* What everything is found by is looked at when it is frozen. */
static void first_and_last_page(void **state)
{
	struct fixture *f = *state;
	uint32_t n;
	char words[128];

	make(f, "WAL");
	n = sum_file(f, 0);
	flip(f, "a.db", 700, 1);
	take(f);
	assert_string_equal(still_error_msg(&f->frozen.image.damage),
	    "page 1 of `a.db`: " BAD_SUM);
	all_but(f, 1, BAD_SUM);
	flip(f, "a.db", 700, 1);
	flip(f, "a.db", (off_t) (n - 1) * PAGE + 700, 1);
	take(f);
	snprintf(words, sizeof(words), "page %u of `a.db`: " BAD_SUM, n);
	assert_string_equal(still_error_msg(&f->frozen.image.damage), words);
	all_but(f, n, BAD_SUM);
}

/* ---- in the log ---------------------------------------------------------- */

static void log_is_good(void **state)
{
	struct fixture *f = *state;
	json_t *object;
	json_t *log;

	make(f, "WAL");
	sum_file(f, 0);
	write_log(f);
	sum_log(f, 0);
	take(f);
	is_undamaged(f);
	assert_true(f->frozen.image.map.n > 0);
	assert_true(f->frozen.image.map.n_page_sums >= f->frozen.image.map.n);
	assert_true(f->frozen.image.page_checksums);
	is_called(f, "pages+logs");
	all_but(f, 0, "");
	parts_are_right(f);
	object = sqlite_describe_image(&f->frozen.image, "data/a.db", NULL);
	log = json_object_get(object, "log");
	assert_string_equal(
	    json_string_value(json_object_get(log, "proven_by")),
	    "salts and page checksums");
	json_decref(object);
}

/* The last frame is the commit that the wal-index names by its checksum. */
static void log_page_is_bad(void **state)
{
	struct fixture *f = *state;
	uint32_t page;

	make(f, "WAL");
	sum_file(f, 0);
	write_log(f);
	sum_log(f, 0);
	page = page_of_frame(f, 2);
	assert_int_not_equal(page, page_of_frame(f, 1));
	flip(f, "a.db-wal", frame_at(2) + SQLITE_FRAME_HEADER_BYTES + 99, 1);
	take(f);
	assert_string_equal(still_error_msg(&f->frozen.image.damage),
	    "log frame 2 of `a.db-wal`: checksum mismatch");
	assert_int_equal(f->frozen.image.map.n_damaged, 1);
	assert_false(f->frozen.image.map.all_damaged);
	all_but(f, page, "its log frame is damaged");
}

/* A sum does not say of which page it is: the wal-index must agree. */
static void log_page_number_is_bad(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	uint8_t data[PAGE];

	make(f, "WAL");
	sum_file(f, 0);
	write_log(f);
	sum_log(f, 0);
	flip(f, "a.db-wal", frame_at(2) + 3, 0x01);
	take(f);
	assert_string_equal(still_error_msg(&f->frozen.image.damage),
	    "log frame 2 of `a.db-wal`: checksum mismatch");
	assert_true(f->frozen.image.map.all_damaged);
	for (uint32_t page = 1; page <= f->frozen.image.n_pages; page++) {
		assert_int_equal(
		    read_page(f, page, data, &err), STILL_ERR_CORRUPT);
		still_error_clear(&err);
	}
}

static void log_salt_is_bad(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	sum_file(f, 0);
	write_log(f);
	sum_log(f, 0);
	flip(f, "a.db-wal", frame_at(2) + 8, 0x01);
	take(f);
	assert_string_equal(still_error_msg(&f->frozen.image.damage),
	    "log frame 2 of `a.db-wal`: wrong salts");
}

/* ---- what only looks like it --------------------------------------------- */

/* Somebody else's eight bytes: zeros, or whatever. No alarm, and no claim. */
static void others_bytes(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	write_log(f);
	take(f);
	is_undamaged(f);
	assert_false(f->frozen.image.page_checksums);
	assert_int_equal(f->frozen.image.map.n_page_sums, 0);
	is_called(f, "header+logs");
	all_but(f, 0, "");
	frozen_release(&f->frozen);
	app_sql(f->app, "PRAGMA wal_checkpoint(TRUNCATE)");
	sum_file(f, 4711);
	take(f);
	is_undamaged(f);
	assert_false(f->frozen.image.page_checksums);
	all_but(f, 0, "");
}

/* Then a page's "sum" proves nothing in the log either: */
static void others_bytes_in_a_bad_log(void **state)
{
	struct fixture *f = *state;
	uint32_t page;

	make(f, "WAL");
	write_log(f);
	page = page_of_frame(f, 2);
	flip(f, "a.db-wal", frame_at(2) + SQLITE_FRAME_HEADER_BYTES + 99, 1);
	take(f);
	assert_string_equal(still_error_msg(&f->frozen.image.damage),
	    "log frame 2 of `a.db-wal`: checksum mismatch");
	all_but(f, page, "its log frame is damaged");
}

/* ... least of all that of zeros, which a disk likes to give for a page that
 * it lost. */
static void zeros_prove_nothing(void **state)
{
	static const uint8_t zeros[PAGE];
	struct fixture *f = *state;
	uint32_t page;
	int fd;

	make(f, "WAL");
	write_log(f);
	page = page_of_frame(f, 2);
	fd = open_part(f, "a.db-wal");
	assert_int_equal(
	    pwrite(fd, zeros, PAGE, frame_at(2) + SQLITE_FRAME_HEADER_BYTES),
	    PAGE);
	close(fd);
	take(f);
	assert_string_equal(still_error_msg(&f->frozen.image.damage),
	    "log frame 2 of `a.db-wal`: checksum mismatch");
	all_but(f, page, "its log frame is damaged");
}

/* Sums without room for them are content. */
static void nothing_reserved(void **state)
{
	struct fixture *f = *state;

	f->app = app_open(scratch_path(f->dir, "a.db"));
	app_sql(f->app,
	    "PRAGMA page_size = 1024; PRAGMA journal_mode = DELETE;"
	    "CREATE TABLE t(v); INSERT INTO t VALUES(1)");
	sum_file(f, 0);
	take(f);
	assert_false(f->frozen.image.page_checksums);
	flip(f, "a.db", PAGE + 500, 1);
	take(f);
	all_but(f, 0, "");
	is_called(f, "header");
}

/* ---- words --------------------------------------------------------------- */

static void words(void **state)
{
	static const char *const table[3][2][2] = {
	    {{"header", "header+logs"}, {"pages", "pages+logs"}},
	    {{"structure", "structure+logs"},
		{"pages+structure", "pages+structure+logs"}},
	    {{"integrity", "integrity+logs"},
		{"pages+integrity", "pages+integrity+logs"}},
	};

	(void) state;
	for (int depth = 0; depth < 3; depth++)
		for (int pages = 0; pages < 2; pages++)
			for (int logs = 0; logs < 2; logs++) {
				struct sqlite_verified verified = {
				    (enum sqlite_depth) depth, pages, logs};

				assert_string_equal(
				    sqlite_verified_words(verified),
				    table[depth][pages][logs]);
			}
}

/* What is said of all holds for each: the least depth, sums only where all have
 * them, logs where there are any; who is refused is not asked. */
static void words_for_all(void **state)
{
	struct sqlite_image images[4] = {
	    {.depth = SQLITE_DEPTH_INTEGRITY,
		.page_checksums = true,
		.private.fd = -1},
	    {.depth = SQLITE_DEPTH_STRUCTURE,
		.page_checksums = true,
		.private.fd = 7},
	    {.depth = SQLITE_DEPTH_HEADER, .private.fd = -1},
	    {.depth = SQLITE_DEPTH_INTEGRITY, .private.fd = 7},
	};
	static const struct {
		size_t from, n;
		const char *words;
	} table[] = {
	    {0, 1, "pages+integrity+logs"},
	    {1, 1, "pages+structure"},
	    {0, 2, "pages+structure+logs"},
	    {0, 3, "pages+structure+logs"},
	    {0, 4, "structure+logs"},
	    {3, 1, "integrity"},
	};

	(void) state;
	images[2].refusal.code = STILL_ERR_ACCESS;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(sqlite_verified_words(sqlite_verified_all(
					images + table[i].from, table[i].n)),
		    table[i].words);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(file_is_good),
	    TEST(file_page_is_bad),
	    TEST(first_and_last_page),
	    TEST(log_is_good),
	    TEST(log_page_is_bad),
	    TEST(log_page_number_is_bad),
	    TEST(log_salt_is_bad),
	    TEST(others_bytes),
	    TEST(others_bytes_in_a_bad_log),
	    TEST(zeros_prove_nothing),
	    TEST(nothing_reserved),
	    cmocka_unit_test(words),
	    cmocka_unit_test(words_for_all),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
