/* SPDX-License-Identifier: MIT */
/*
 * sqlite_lock_byte: a database that grows beyond 1 GiB, where one page holds the
 * bytes that SQLite locks and is in no log: an increment leaves it out, what is
 * applied has zeros there, and what somebody may leave in it is no rot. The
 * database is mostly a hole.
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

#include "engines/sqlite/format.h"
#include "engines/sqlite/increment.h"
#include "tests/lib/app.h"
#include "tests/lib/kept.h"
#include "tests/unit/scratch.h"

#define PAGE_BYTES 65536
#define LOCK_PAGE ((uint32_t) (SQLITE_LOCK_BYTE / PAGE_BYTES) + 1)
/* It ends just before that page, and then behind it. */
#define N_BEFORE (LOCK_PAGE - 1)
#define N_AFTER (LOCK_PAGE + 5)

extern const struct still_engine still_engine_sqlite;

struct fixture {
	char *dir; /* src/, spool/, state/, set/, restored/ */
	char *live;
	struct still_catalog *catalog;
	struct still_spool_dir spool;
	struct still_engine_instance *instance;
	struct app *app;
	struct app *files; /* touches files, so that no lock of ours is lost */
	/* The log that is made by hand. */
	uint8_t page[PAGE_BYTES]; /* 1 */
	struct sqlite_checksum sum;
};

/* ---- the database -------------------------------------------------------- */

static void append(struct fixture *f, const void *bytes, size_t len)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s-wal", f->live);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void forge_frame(
    struct fixture *f, uint32_t page, const void *data, uint32_t n_commit)
{
	struct sqlite_frame_header header = {
	    .page = page, .n_pages_commit = n_commit};
	uint8_t bytes[SQLITE_FRAME_HEADER_BYTES];

	memcpy(header.salts, "saltsalt", sizeof(header.salts));
	sqlite_frame_header_write(&header, data, PAGE_BYTES, &f->sum, bytes);
	append(f, bytes, sizeof(bytes));
	append(f, data, PAGE_BYTES);
}

/* A commit that makes the database `n` pages long; from `from` on they are in it,
 * but for the one that never is. */
static void forge_commit(struct fixture *f, uint32_t from, uint32_t n)
{
	uint8_t page[PAGE_BYTES];

	for (int i = 0; i < 4; i++)
		f->page[28 + i] = (uint8_t) (n >> (24 - 8 * i));
	forge_frame(f, 1, f->page, 0);
	for (uint32_t i = from; i <= n; i++) {
		memset(page, (int) (i - from) + 1, sizeof(page));
		if (i != LOCK_PAGE)
			forge_frame(f, i, page, i == n ? n : 0);
	}
}

static void start(struct fixture *f)
{
	char shm[PATH_MAX];

	snprintf(shm, sizeof(shm), "%s-shm", f->live);
	unlink(shm);
	f->app = app_open(f->live);
	app_sql(f->app,
	    "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;"
	    "SELECT count(*) FROM t");
}

static void create(struct fixture *f)
{
	uint8_t header[SQLITE_WAL_HEADER_BYTES];
	char path[PATH_MAX];
	int fd;

	f->app = app_open(f->live);
	app_sql(f->app,
	    "PRAGMA page_size=65536; PRAGMA journal_mode=WAL;"
	    "CREATE TABLE t(a); INSERT INTO t VALUES(1);"
	    "PRAGMA wal_checkpoint(TRUNCATE)");
	app_close(f->app);
	fd = open(f->live, O_RDWR | O_CLOEXEC);
	assert_int_equal(read(fd, f->page, PAGE_BYTES), PAGE_BYTES);
	assert_int_equal(ftruncate(fd, (off_t) N_BEFORE * PAGE_BYTES), 0);
	close(fd);
	snprintf(path, sizeof(path), "%s-wal", f->live);
	unlink(path);
	f->sum = sqlite_wal_header_write(
	    PAGE_BYTES, (const uint8_t *) "saltsalt", header);
	append(f, header, sizeof(header));
	forge_commit(f, N_BEFORE, N_BEFORE);
	start(f);
}

/* ---- sessions ------------------------------------------------------------ */

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	fail_msg("%s: %s: %s", event, object, text);
}

/* Of the database there are the sums, and no bytes. */
static void take(struct fixture *f, const struct kept *base, bool incremental,
    struct kept *ret)
{
	const struct kept_request request = {
	    .instance = f->instance,
	    .base = base,
	    .incremental = incremental,
	    .spool = &f->spool,
	    .catalog = f->catalog,
	    .observer = {.warn = warn},
	};
	struct still_error err = STILL_ERROR_INIT;

	if (kept_take(&request, ret, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(ret->n_damages, 0);
	for (size_t i = 0; i < ret->n_files; i++) {
		struct kept_file *file = &ret->files[i];

		if (strncmp(file->path, "data/", 5) != 0)
			continue;
		free(file->bytes);
		file->bytes = NULL;
	}
}

static int setup(void **state)
{
	static const char *const dirs[] = {
	    "src", "spool", "set", "restored", "restored/data"};
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(10000000000),
	    .stall_limit_ns = INT64_C(20000000000),
	    .databases_max = 10,
	    .pin = STILL_PIN_HOLD,
	    .incremental = true,
	};
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	assert_non_null(f);
	f->dir = scratch_make();
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(scratch_path(f->dir, dirs[i]), 0700), 0);
	f->live = strdup(scratch_path(f->dir, "src/a.db"));
	f->spool.path = strdup(scratch_path(f->dir, "spool"));
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	create(f);
	f->files = app_open("");
	if (still_engine_attach(&still_engine_sqlite,
		scratch_path(f->dir, "src"), &options, &f->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_engine_detach(f->instance);
	app_close(f->app);
	app_close(f->files);
	still_catalog_close(f->catalog);
	free(f->spool.path);
	free(f->live);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- what becomes of it -------------------------------------------------- */

static int not_the_lock_page(
    void *arg, uint32_t page, const uint8_t *data, struct still_error *err)
{
	(void) data;
	(void) err;
	assert_int_not_equal(page, LOCK_PAGE);
	++*(unsigned *) arg;
	return 0;
}

static void apply(struct fixture *f, const struct kept *link)
{
	struct sqlite_increment_target target;
	struct still_apply_request request = {
	    .description = link->description,
	    .set = scratch_path(f->dir, "set"),
	};
	struct still_error err = STILL_ERROR_INIT;
	unsigned n = 0;
	int fd;

	kept_write(link, request.set);
	request.set_fd = open(request.set, O_RDONLY | O_DIRECTORY);
	request.root_fd = open(
	    scratch_path(f->dir, "restored"), O_RDONLY | O_DIRECTORY);
	fd = openat(request.set_fd, "logs/a.db-wal", O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(sqlite_increment_walk(fd, "log", NULL,
			     not_the_lock_page, &n, &target, &err),
	    0);
	/* Page 1, and those behind the lock page. */
	assert_int_equal(n, 1 + N_AFTER - LOCK_PAGE);
	assert_int_equal(target.n_pages, N_AFTER);
	if (still_engine_sqlite.apply(&request, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	close(fd);
	close(request.set_fd);
	close(request.root_fd);
}

/* `command` of the live database, and the restored one. */
static void with_both(struct fixture *f, const char *command)
{
	char line[3 * PATH_MAX];

	/* A process of its own: no lock is lost by a close in this one. */
	snprintf(line, sizeof(line), "%s %s %s", command, f->live,
	    scratch_path(f->dir, "restored/data/a.db"));
	assert_int_equal(system(line), 0);
}

static void grows_over_it(struct fixture *f, struct kept *base)
{
	struct kept link;

	take(f, NULL, false, base);
	app_sql(f->app, "PRAGMA wal_checkpoint(PASSIVE)");
	with_both(f, "cp --sparse=always");
	app_close(f->app);
	forge_commit(f, LOCK_PAGE, N_AFTER);
	start(f);
	take(f, base, true, &link);
	apply(f, &link);
	app_sql(f->app, "PRAGMA wal_checkpoint(PASSIVE)");
	with_both(f, "cmp");
	kept_release(base);
	*base = link;
}

/* A session that takes the place of its base. */
static void alarms_not(
    struct fixture *f, struct kept *base, uint64_t n_compared)
{
	struct kept full;

	take(f, base, false, &full);
	assert_int_equal(kept_find(&full, "data/a.db")->n_bad, 0);
	assert_int_equal(full.n_compared, n_compared);
	kept_release(base);
	*base = full;
}

static void lock_page(void **state)
{
	struct fixture *f = *state;
	struct kept base;
	struct kept full;

	grows_over_it(f, &base);
	/* The end of its log before is the smallest one. */
	alarms_not(f, &base, N_BEFORE);
	/* Somebody leaves something there; all but this one are compared. */
	app_flip(f->files, f->live, (long) SQLITE_LOCK_BYTE + 300);
	alarms_not(f, &base, N_AFTER - 1);
	/* One page further it is damage. */
	app_flip(f->files, f->live, (long) SQLITE_LOCK_BYTE + PAGE_BYTES);
	take(f, &base, false, &full);
	assert_int_equal(kept_find(&full, "data/a.db")->n_bad, 1);
	assert_int_equal(kept_find(&full, "data/a.db")->first_bad, LOCK_PAGE);
	kept_release(&full);
	kept_release(&base);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(lock_page, setup, teardown),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
