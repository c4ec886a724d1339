/* SPDX-License-Identifier: MIT */
/* SQLite's own check of an image: what it finds, what it cannot find, and that
 * it looks at the image and not at the files. */
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
#include "engines/sqlite/deep.h"
#include "tests/lib/app.h"
#include "tests/lib/frozen.h"
#include "tests/unit/scratch.h"

#define PAGE 1024
#define STRUCTURE SQLITE_DEPTH_STRUCTURE
#define INTEGRITY SQLITE_DEPTH_INTEGRITY

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

	still_sys_fault = NULL;
	frozen_close(&f->frozen);
	app_close(f->app);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

/* Two hundred rows and an index; in WAL mode nothing is in the log. */
static void make(struct fixture *f, const char *journal_mode)
{
	char sql[512];

	f->app = app_open(scratch_path(f->dir, "a.db"));
	snprintf(sql, sizeof(sql),
	    "PRAGMA page_size = %d; PRAGMA journal_mode = %s;"
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);"
	    "CREATE INDEX i ON t(v);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
	    "WHERE n < 200) INSERT INTO t(v) SELECT "
	    "printf('row %%04d %%.40c', n, 'x') FROM c;"
	    "PRAGMA wal_checkpoint(TRUNCATE)",
	    PAGE, journal_mode);
	app_sql(f->app, sql);
}

/* The check does not fail, and reaches this depth. */
static void reaches(
    struct fixture *f, enum sqlite_depth depth, enum sqlite_depth want)
{
	struct still_error err = STILL_ERROR_INIT;

	f->frozen.image.depth = SQLITE_DEPTH_HEADER;
	if (sqlite_deep_check(
		&f->frozen.image, depth, &f->frozen.cancel, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(f->frozen.image.depth, want);
}

static void is_good(struct fixture *f, enum sqlite_depth depth)
{
	reaches(f, depth, depth);
	if (f->frozen.image.damage.code)
		fail_msg("%s", still_error_msg(&f->frozen.image.damage));
	assert_int_equal(f->frozen.n_warnings, 0);
}

static void is_damaged(
    struct fixture *f, enum sqlite_depth depth, const char *words)
{
	const struct still_error *damage = &f->frozen.image.damage;

	reaches(f, depth, SQLITE_DEPTH_HEADER);
	assert_int_equal(damage->code, STILL_ERR_CORRUPT);
	if (strncmp(still_error_msg(damage), words, strlen(words)) != 0)
		fail_msg(
		    "\"%s\" is not \"%s\"", still_error_msg(damage), words);
	assert_non_null(damage->hint);
	assert_int_equal(f->frozen.n_warnings, 0);
}

static void fails(struct fixture *f, int code, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(sqlite_deep_check(&f->frozen.image, INTEGRITY,
			     &f->frozen.cancel, &err),
	    code);
	assert_string_equal(still_error_msg(&err), words);
	still_error_clear(&err);
	assert_int_equal(f->frozen.image.depth, SQLITE_DEPTH_HEADER);
	assert_int_equal(f->frozen.image.damage.code, 0);
	assert_int_equal(f->frozen.n_warnings, 0);
}

/* Where `text` stands in the file, in a page that begins with `type`. */
static off_t find(struct fixture *f, const char *text, uint8_t type)
{
	uint8_t page[PAGE];
	int fd = open(scratch_path(f->dir, "a.db"), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	for (off_t at = 0; pread(fd, page, PAGE, at) == PAGE; at += PAGE) {
		const uint8_t *found;

		if (page[0] != type)
			continue;
		found = memmem(page, PAGE, text, strlen(text));
		if (found) {
			close(fd);
			return at + (found - page);
		}
	}
	fail_msg("\"%s\" is nowhere", text);
	return 0;
}

#define INDEX_LEAF 0x0a
#define TABLE_LEAF 0x0d

static void put(struct fixture *f, off_t at, const void *data, size_t len)
{
	int fd = open(scratch_path(f->dir, "a.db"), O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, data, len, at), len);
	close(fd);
}

/* ---- good ---------------------------------------------------------------- */

static void good(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	frozen_take(&f->frozen, "a.db");
	is_good(f, STRUCTURE);
	is_good(f, INTEGRITY);
	/* And once more: nothing is left registered. */
	is_good(f, INTEGRITY);
}

static void good_copy(void **state)
{
	struct fixture *f = *state;

	make(f, "DELETE");
	frozen_take(&f->frozen, "a.db");
	is_good(f, STRUCTURE);
	is_good(f, INTEGRITY);
}

static void empty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(scratch_write(scratch_path(f->dir, "a.db"), "", 0), 0);
	frozen_take(&f->frozen, "a.db");
	is_good(f, STRUCTURE);
	is_good(f, INTEGRITY);
}

/* Pages as of the pin: from the log, where the file has rubbish; and not the
 * newer ones that come later. */
static void as_of_the_pin(void **state)
{
	struct fixture *f = *state;
	uint8_t rubbish[PAGE];

	make(f, "WAL");
	app_sql(f->app, "UPDATE t SET v = v || '.'");
	memset(rubbish, 0xa5, sizeof(rubbish));
	put(f, find(f, "row 0100", TABLE_LEAF) / PAGE * PAGE, rubbish, PAGE);
	frozen_take(&f->frozen, "a.db");
	assert_true(f->frozen.image.map.n > 0);
	is_good(f, INTEGRITY);
	app_sql(f->app,
	    "DROP INDEX i; DELETE FROM t WHERE id > 10; "
	    "PRAGMA wal_checkpoint(PASSIVE); VACUUM");
	is_good(f, INTEGRITY);
}

/* The application's rules for what it stores are not ours. */
static void constraints_are_not_ours(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	app_sql(f->app,
	    "CREATE TABLE c(n CHECK(n > 0)); "
	    "PRAGMA ignore_check_constraints = 1; INSERT INTO c VALUES(-1)");
	frozen_take(&f->frozen, "a.db");
	is_good(f, INTEGRITY);
}

/* ---- damaged ------------------------------------------------------------- */

static void page_damaged(void **state)
{
	struct fixture *f = *state;
	uint8_t type = 0x07;

	make(f, "DELETE");
	put(f, find(f, "row 0100", TABLE_LEAF) / PAGE * PAGE, &type, 1);
	frozen_take(&f->frozen, "a.db");
	/* What is looked at without a pass is right. */
	assert_int_equal(f->frozen.image.damage.code, 0);
	is_damaged(f, STRUCTURE, "database `a.db`: quick_check says: ");
	frozen_take(&f->frozen, "a.db");
	is_damaged(f, INTEGRITY, "database `a.db`: integrity_check says: ");
	/* The first damage stays. */
	is_damaged(f, STRUCTURE, "database `a.db`: integrity_check says: ");
}

/* The schema itself. */
static void schema_damaged(void **state)
{
	struct fixture *f = *state;
	uint8_t type = 0x07;

	make(f, "DELETE");
	put(f, 100, &type, 1);
	frozen_take(&f->frozen, "a.db");
	is_damaged(f, STRUCTURE, "database `a.db`: quick_check says: ");
}

static void index_disagrees(void **state)
{
	struct fixture *f = *state;

	make(f, "DELETE");
	put(f, find(f, "row 0100", INDEX_LEAF), "row 0100 y", 10);
	frozen_take(&f->frozen, "a.db");
	/* As a b-tree it is a good one. */
	is_good(f, STRUCTURE);
	is_damaged(f, INTEGRITY,
	    "database `a.db`: integrity_check says: row 100 missing from index "
	    "i");
}

/* ---- not to be checked --------------------------------------------------- */

static void not_checked(
    struct fixture *f, enum sqlite_depth depth, const char *text)
{
	frozen_take(&f->frozen, "a.db");
	reaches(f, depth, SQLITE_DEPTH_HEADER);
	assert_int_equal(f->frozen.image.damage.code, 0);
	assert_int_equal(f->frozen.n_warnings, 1);
	assert_string_equal(f->frozen.event, "not-checked");
	assert_string_equal(f->frozen.text, text);
}

static void unknown_collation(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	app_sql(f->app, "CREATE INDEX j ON t(v COLLATE ours)");
	not_checked(f, INTEGRITY, "no such collation sequence: ours");
}

static void unknown_function(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	app_sql(f->app, "CREATE INDEX j ON t(twice(id))");
	not_checked(f, INTEGRITY, "unknown function: twice()");
}

/* ---- failures ------------------------------------------------------------ */

static void cancelled(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	frozen_take(&f->frozen, "a.db");
	atomic_store(&f->frozen.cancel, true);
	fails(f, STILL_ERR_CANCELLED, "database `a.db`: its check was stopped");
	atomic_store(&f->frozen.cancel, false);
	is_good(f, STRUCTURE);
}

static struct {
	struct fixture *fixture;
	int n_good;
	bool cancels;
} fault;

static int fail_later(enum still_sys_call call)
{
	if (call != STILL_SYS_PREAD || fault.n_good-- > 0)
		return 0;
	if (!fault.cancels)
		return EIO;
	atomic_store(&fault.fixture->frozen.cancel, true);
	return 0;
}

/* In the middle, at whichever read. */
static void cancelled_later(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	frozen_take(&f->frozen, "a.db");
	still_sys_fault = fail_later;
	for (int n = 0; n < 20; n++) {
		fault.fixture = f;
		fault.n_good = n;
		fault.cancels = true;
		fails(f, STILL_ERR_CANCELLED,
		    "database `a.db`: its check was stopped");
		atomic_store(&f->frozen.cancel, false);
	}
}

static void disk_fails(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	frozen_take(&f->frozen, "a.db");
	still_sys_fault = fail_later;
	for (int n = 0; n < 20; n++) {
		struct still_error err = STILL_ERROR_INIT;

		fault.n_good = n;
		fault.cancels = false;
		assert_int_equal(sqlite_deep_check(&f->frozen.image, INTEGRITY,
				     &f->frozen.cancel, &err),
		    STILL_ERR_IO);
		assert_non_null(strstr(
		    still_error_msg(&err), " of `a.db`: Input/output error"));
		still_error_clear(&err);
		assert_int_equal(f->frozen.image.depth, SQLITE_DEPTH_HEADER);
		assert_int_equal(f->frozen.image.damage.code, 0);
	}
	still_sys_fault = NULL;
	is_good(f, INTEGRITY);
}

static void lost(void **state)
{
	struct fixture *f = *state;

	make(f, "WAL");
	frozen_take(&f->frozen, "a.db");
	atomic_store(&f->frozen.lost, true);
	fails(f, STILL_ERR_LOST,
	    "database `a.db`: the snapshot is no longer protected");
}

/* A page that cannot be served is damage, and told as reading it would. */
static void page_cannot_be_served(void **state)
{
	struct fixture *f = *state;
	struct sqlite_walmap_entry *entry;
	char words[80];

	make(f, "WAL");
	app_sql(f->app, "UPDATE t SET v = v || '.'");
	frozen_take(&f->frozen, "a.db");
	entry = &f->frozen.image.map.entries[f->frozen.image.map.n - 1];
	entry->damaged = 1;
	snprintf(words, sizeof(words),
	    "page %u of `a.db`: its log frame is damaged", entry->page);
	is_damaged(f, INTEGRITY, words);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(good),
	    TEST(good_copy),
	    TEST(empty),
	    TEST(as_of_the_pin),
	    TEST(constraints_are_not_ours),
	    TEST(page_damaged),
	    TEST(schema_damaged),
	    TEST(index_disagrees),
	    TEST(unknown_collation),
	    TEST(unknown_function),
	    TEST(cancelled),
	    TEST(cancelled_later),
	    TEST(disk_fails),
	    TEST(lost),
	    TEST(page_cannot_be_served),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
