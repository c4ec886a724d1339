/* SPDX-License-Identifier: MIT */
/*
 * sqlite_rot: full sessions one after the other, each compared with the one
 * before it, while applications write, check point, shrink, switch, put older
 * files back. Nobody is alarmed; and where one bit of the file is turned over, in
 * a page that cannot have changed, that page is damaged, and no other.
 *
 *	sqlite_rot [ROUNDS]
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/sqlite/files.h"
#include "tests/lib/app.h"
#include "tests/lib/kept.h"
#include "tests/unit/scratch.h"

#define PATH "data/a.db"
#define SETTLE_NS (2100 * INT64_C(1000000))

extern const struct still_engine still_engine_sqlite;

static uint64_t seed;
static unsigned n_rounds = 150;

struct fixture {
	char *dir; /* src/, spool/, state/, old/ */
	char *live;
	uint64_t random;
	struct still_catalog *catalog;
	struct still_spool_dir spool;
	struct still_engine_instance *instance;
	struct app *app;
	struct app *files; /* touches files, so that no lock of ours is lost */
	struct kept base;  /* the last session */
	bool busy;
};

static uint64_t below(struct fixture *f, uint64_t n)
{
	return scratch_below(&f->random, n);
}

/* ---- the application ----------------------------------------------------- */

static void run(struct fixture *f, const char *sql)
{
	int rc = app_try(f->app, sql) & 0xff;

	/* OK, BUSY, LOCKED */
	if (rc != 0 && rc != 5 && rc != 6)
		fail_msg("%s: %d", sql, rc);
}

static void start(struct fixture *f)
{
	f->app = app_open(f->live);
	app_sql(f->app, "PRAGMA busy_timeout=20; PRAGMA wal_autocheckpoint=0");
}

static void create(struct fixture *f, const char *page_size)
{
	char sql[64];

	start(f);
	snprintf(sql, sizeof(sql), "PRAGMA page_size=%s", page_size);
	app_sql(f->app, sql);
	app_sql(
	    f->app, "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL");
	app_sql(f->app,
	    "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
	    "CREATE TABLE n(i); INSERT INTO n VALUES(0);"
	    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c"
	    " WHERE i < 600) INSERT INTO t(b) SELECT randomblob(700) FROM c");
}

/* ---- sessions ------------------------------------------------------------ */

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	if (strcmp(event, "long-log") != 0)
		fail_msg("%s: %s: %s", event, object, text);
}

static void act(struct fixture *f);

/* The session stands, and nobody has read of it. */
static void frozen(void *arg)
{
	struct fixture *f = arg;

	for (int n = f->busy ? 3 : 0; n > 0; n--)
		act(f);
}

/* Take one, compared with the last, which it replaces. */
static const struct kept_file *take(struct fixture *f)
{
	struct kept_request request = {
	    .instance = f->instance,
	    .base = f->base.note ? &f->base : NULL,
	    .spool = &f->spool,
	    .catalog = f->catalog,
	    .observer = {.warn = warn, .arg = f},
	    .frozen = frozen,
	    .arg = f,
	};
	struct still_error err = STILL_ERROR_INIT;
	struct kept next;

	if (kept_take(&request, &next, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	kept_release(&f->base);
	f->base = next;
	assert_int_equal(sqlite_files_open_count(), 0);
	return kept_find(&f->base, PATH);
}

static const struct kept_file *take_well(struct fixture *f)
{
	const struct kept_file *file = take(f);

	if (file->n_bad)
		fail_msg("false alarm: %s", file->why);
	assert_int_equal(f->base.n_damages, 0);
	return file;
}

static void attach(struct fixture *f, enum still_pin_policy policy)
{
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(10000000000),
	    .stall_limit_ns = INT64_C(20000000000),
	    .databases_max = 10,
	    .pin = policy,
	    .pin_limit_ns = INT64_C(20000000),
	};
	struct still_error err = STILL_ERROR_INIT;

	still_engine_detach(f->instance);
	if (still_engine_attach(&still_engine_sqlite,
		scratch_path(f->dir, "src"), &options, &f->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static int setup(void **state)
{
	static const char *const dirs[] = {"src", "spool", "old"};
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	f->dir = scratch_make();
	f->random = seed;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(scratch_path(f->dir, dirs[i]), 0700), 0);
	f->live = strdup(scratch_path(f->dir, "src/a.db"));
	f->spool.path = strdup(scratch_path(f->dir, "spool"));
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	f->files = app_open("");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_engine_detach(f->instance);
	app_close(f->app);
	app_close(f->files);
	kept_release(&f->base);
	still_catalog_close(f->catalog);
	free(f->spool.path);
	free(f->live);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- nobody is alarmed --------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
	char command[2 * PATH_MAX + 16];

	/* A process of its own: no lock is lost by a close in this one. */
	snprintf(command, sizeof(command), "cp %s %s", from, to);
	assert_int_equal(system(command), 0);
}

static const char *const suffixes[] = {"", "-wal"};

static void copy_all(struct fixture *f, const char *from, const char *to)
{
	for (int i = 0; i < 2; i++) {
		char names[2][64];

		snprintf(names[0], 64, "%s/a.db%s", from, suffixes[i]);
		snprintf(names[1], 64, "%s/a.db%s", to, suffixes[i]);
		if (access(scratch_path(f->dir, names[0]), F_OK) == 0)
			copy_file(scratch_path(f->dir, names[0]),
			    scratch_path(f->dir, names[1]));
		else
			unlink(scratch_path(f->dir, names[1]));
	}
}

/* The application is stopped, older files are put back over its own, and it goes
 * on. Same inode, same salts, another future. */
static void put_back(struct fixture *f)
{
	char shm[PATH_MAX];

	app_close(f->app);
	copy_all(f, "old", "src");
	snprintf(shm, sizeof(shm), "%s-shm", f->live);
	unlink(shm);
	start(f);
}

static void put_away(struct fixture *f)
{
	app_close(f->app);
	copy_all(f, "src", "old");
	start(f);
}

static void act(struct fixture *f)
{
	static const char *const statements[] = {
	    "UPDATE t SET b=randomblob(700) WHERE a % 50 = 3",
	    "UPDATE t SET b=randomblob(90) WHERE a < 20",
	    "UPDATE n SET i=i+1",
	    "DELETE FROM t WHERE a > (SELECT max(a) FROM t) - 40",
	    "DELETE FROM t WHERE a % 17 = 1; PRAGMA incremental_vacuum(5)",
	    "PRAGMA incremental_vacuum",
	    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c"
	    " WHERE i < 60) INSERT INTO t(b) SELECT randomblob(700) FROM c",
	    "VACUUM",
	    "PRAGMA wal_checkpoint(PASSIVE)",
	    "PRAGMA wal_checkpoint(PASSIVE)",
	    "PRAGMA wal_checkpoint(FULL)",
	    "PRAGMA wal_checkpoint(RESTART)",
	    "PRAGMA wal_checkpoint(TRUNCATE)",
	};

	run(f,
	    statements[below(f, sizeof(statements) / sizeof(statements[0]))]);
}

static void change(struct fixture *f)
{
	switch (below(f, 16)) {
	case 0:
		run(f, "PRAGMA journal_mode=DELETE");
		run(f, "UPDATE n SET i=i+1");
		run(f, "PRAGMA journal_mode=WAL");
		break;
	case 1:
		run(f, "PRAGMA journal_mode=DELETE");
		break;
	case 2:
		run(f, "PRAGMA journal_mode=WAL");
		break;
	case 3:
		if (access(scratch_path(f->dir, "old/a.db"), F_OK) == 0 &&
		    below(f, 2))
			put_back(f);
		else
			put_away(f);
		for (uint64_t n = below(f, 4); n > 0; n--)
			act(f);
		break;
	case 4:
		app_kill(f->app);
		start(f);
		break;
	case 5:
		/* Nothing at all. */
		break;
	default:
		for (uint64_t n = 1 + below(f, 5); n > 0; n--)
			act(f);
	}
}

static void no_alarm(void **state)
{
	static const enum still_pin_policy policies[] = {
	    STILL_PIN_AUTO, STILL_PIN_GOVERN, STILL_PIN_HOLD};
	struct fixture *f = *state;

	create(f, "1024");
	for (unsigned i = 0; i < n_rounds; i++) {
		if (i % 10 == 0)
			attach(f, policies[below(f, 3)]);
		change(f);
		f->busy = below(f, 2);
		take_well(f);
	}
}

/* A log that is longer than it was, with the same salts, and yet another one. */
static void older_files(void **state)
{
	struct fixture *f = *state;

	create(f, "1024");
	attach(f, STILL_PIN_AUTO);
	run(f, "PRAGMA wal_checkpoint(TRUNCATE); UPDATE n SET i=i+1");
	put_away(f);
	run(f, "UPDATE t SET b=randomblob(700) WHERE a < 40");
	take_well(f);
	put_back(f);
	for (int i = 0; i < 5; i++)
		run(f,
		    "UPDATE t SET b=randomblob(700) WHERE a BETWEEN 90 AND"
		    " 140");
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	take_well(f);
}

/* ---- bits ---------------------------------------------------------------- */

/* Turn a bit of page `page` (from 0) over; the same once more turns it back. */
static long flip(struct fixture *f, uint64_t page, uint32_t page_bytes)
{
	long off = (long) (page * page_bytes + below(f, page_bytes));

	app_flip(f->files, f->live, off);
	return off;
}

static void alarms(struct fixture *f, uint64_t page)
{
	const struct kept_file *file = take(f);
	char words[64];

	assert_int_equal(file->n_bad, 1);
	assert_int_equal(file->first_bad, page);
	snprintf(words, sizeof(words),
	    "page %u of `a.db`: it is not what it was", (unsigned) page + 1);
	if (strncmp(file->why, words, strlen(words)) != 0)
		fail_msg("\"%s\" is not \"%s\"", file->why, words);
}

static uint64_t pages_of(const struct kept_file *file)
{
	return file->size / file->page_bytes;
}

/* Of a database in use: all of its log is in the file; or a new one has begun,
 * and more of it comes. */
static void of_a_log(void **state)
{
	struct fixture *f = *state;

	create(f, "4096");
	attach(f, STILL_PIN_AUTO);
	for (int i = 0; i < 20; i++) {
		const struct kept_file *file;
		uint64_t page;
		long off;

		run(f, "UPDATE t SET b=randomblob(700) WHERE a % 40 = 1");
		run(f, "PRAGMA wal_checkpoint(PASSIVE)");
		if (i % 2)
			run(f, "UPDATE n SET i=i+1");
		file = take_well(f);
		/* None that the next commit writes. */
		page = pages_of(file) - 1 - below(f, pages_of(file) / 2);
		off = flip(f, page, file->page_bytes);
		if (i % 2)
			run(f, "UPDATE n SET i=i+1");
		alarms(f, page);
		app_flip(f->files, f->live, off);
	}
	take_well(f);
	assert_string_equal(app_sql(f->app, "PRAGMA integrity_check"), "ok");
}

/* Where a newer frame, or a log that began anew, may have changed a page, a bit is
 * nobody's business. */
static void of_what_may_have_changed(void **state)
{
	struct fixture *f = *state;
	const struct kept_file *file;

	create(f, "4096");
	attach(f, STILL_PIN_AUTO);
	run(f, "PRAGMA wal_checkpoint(PASSIVE)");
	file = take_well(f);
	run(f, "UPDATE t SET b=randomblob(700)");
	flip(f, pages_of(file) - 1, file->page_bytes);
	file = take_well(f);
	run(f, "PRAGMA wal_checkpoint(TRUNCATE)");
	run(f, "UPDATE n SET i=i+1");
	flip(f, pages_of(file) - 1, file->page_bytes);
	take_well(f);
}

/* Nothing has changed at all, and the times say so. They cannot be set back after
 * a write, so the bit is turned over in what the base remembers. */
static void of_the_same_file(void **state)
{
	static const char *const modes[] = {"DELETE", "WAL"};
	struct fixture *f = *state;

	create(f, "512");
	for (int i = 0; i < 2; i++) {
		struct still_page_sums sums;
		char sql[64];

		snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", modes[i]);
		app_sql(f->app, sql);
		app_sql(f->app, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
		attach(f, STILL_PIN_AUTO);
		still_sys_sleep_ns(SETTLE_NS);
		take_well(f);
		take_well(f);
		assert_int_equal(
		    f->base.base.page_sums(&f->base, PATH, &sums, NULL), 0);
		((uint64_t *) sums.sums)[77] ^= 1;
		alarms(f, 77);
		/* Somebody writes: nothing is known any more. */
		take(f);
		kept_release(&f->base);
		take_well(f);
		f->base.base.page_sums(&f->base, PATH, &sums, NULL);
		((uint64_t *) sums.sums)[77] ^= 1;
		app_sql(f->app,
		    "UPDATE n SET i=i+1;"
		    "PRAGMA wal_checkpoint(TRUNCATE)");
		take_well(f);
		kept_release(&f->base);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(of_a_log),
	    TEST(of_what_may_have_changed),
	    TEST(of_the_same_file),
	    TEST(older_files),
	    TEST(no_alarm),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	if (argc == 2)
		n_rounds = (unsigned) atoi(argv[1]);
	else
		scratch_watchdog();
	seed = scratch_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
