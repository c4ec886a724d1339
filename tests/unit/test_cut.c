/* SPDX-License-Identifier: MIT */
/* One moment over many databases: who is waited for, who is named, and that
 * nothing is held when it fails, nor of a copied database when it succeeds. The
 * databases are SQLite's, their applications other processes. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/sys.h"
#include "core/snapshot.h"
#include "core/spool.h"
#include "engines/sqlite/cut.h"
#include "engines/sqlite/guard.h"
#include "tests/lib/app.h"
#include "tests/unit/scratch.h"

extern const struct still_engine still_engine_sqlite;

#define N_MAX 6
#define MS INT64_C(1000000)
#define LONG_NS (60 * STILL_NS_PER_S)

/* Where SQLite locks: https://www.sqlite.org/fileformat2.html (1.3.1 and 4). */
#define WRITE_SLOT 120
#define READ_SLOT(slot) (123 + (slot))

struct fixture {
	char *dir;
	int root_fd;
	unsigned n_fds;
	struct still_spool_dir spool;
	struct still_spool spool_ops;
	struct still_spool real_spool;
	atomic_bool cancel;
	const char *names[N_MAX]; /* of databases that were made */
	struct app *apps[N_MAX];  /* each has its database open */
	size_t n;
	struct app *probe; /* looks at locks */
	struct sqlite_image images[N_MAX];
	size_t n_images;
	struct sqlite_cut cut;
	struct app *switches; /* changes its journal mode when a copy is
				 prepared */
};

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	fail_msg("%s: %s: %s", event, object, text);
}

static int spool_open(void *arg, const char *what, uint64_t bytes, int *ret_fd,
    struct still_error *err)
{
	struct fixture *f = arg;

	if (f->switches)
		assert_string_equal(
		    app_sql(f->switches, "PRAGMA journal_mode = WAL"), "wal");
	f->switches = NULL;
	return f->real_spool.open(f->real_spool.arg, what, bytes, ret_fd, err);
}

static void spool_give(void *arg, uint64_t bytes)
{
	struct fixture *f = arg;

	f->real_spool.give(f->real_spool.arg, bytes);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	sqlite_handle_init();
	f->dir = scratch_make();
	f->root_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->spool.path = f->dir;
	f->real_spool = still_spool_of(&f->spool);
	f->spool_ops = (struct still_spool){
	    .open = spool_open, .give = spool_give, .arg = f};
	f->probe = app_open("");
	f->n_fds = scratch_count_fds();
	*state = f;
	return 0;
}

static void release(struct fixture *f)
{
	for (size_t i = 0; i < f->n_images; i++)
		sqlite_image_release(&f->images[i]);
	f->n_images = 0;
	assert_int_equal(sqlite_files_open_count(), 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	release(f);
	for (size_t i = 0; i < f->n; i++)
		app_close(f->apps[i]);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	app_close(f->probe);
	close(f->root_fd);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

/* A database with 1 in it, that its application has open. */
static struct app *make(
    struct fixture *f, const char *name, const char *journal_mode)
{
	struct app *app = app_open(scratch_path(f->dir, name));
	char sql[256];

	snprintf(sql, sizeof(sql),
	    "PRAGMA journal_mode = %s; CREATE TABLE t(n); "
	    "INSERT INTO t VALUES(1);",
	    journal_mode);
	app_sql(app, sql);
	f->names[f->n] = name;
	f->apps[f->n++] = app;
	return app;
}

static int open_image(struct fixture *f, const char *name, int64_t limit_ns,
    struct still_error *err)
{
	struct sqlite_image_request request = {
	    .pin =
		{
		    .root_fd = f->root_fd,
		    .root = f->dir,
		    .rel = name,
		    .cancel = &f->cancel,
		    .limit_ns = limit_ns,
		},
	    .observer = {.warn = warn, .arg = f},
	    .spool = &f->spool_ops,
	};
	struct stat st;

	assert_int_equal(stat(scratch_path(f->dir, name), &st), 0);
	return sqlite_image_open(&f->images[f->n_images++], &st, &request, err);
}

static void open_images(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	for (size_t i = 0; i < f->n; i++)
		if (open_image(f, f->names[i], LONG_NS, &err) != 0)
			fail_msg("%s", still_error_msg(&err));
}

static int try_cut(struct fixture *f, int64_t limit_ns, int64_t stall_ns,
    struct still_error *err)
{
	struct sqlite_cut_request request = {&f->cancel, limit_ns, stall_ns};

	return sqlite_cut_take(f->images, f->n_images, &request, &f->cut, err);
}

static void cut(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_cut(f, LONG_NS, LONG_NS, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(f->cut.first_ns > 0);
	assert_true(f->cut.first_ns <= f->cut.last_ns);
	assert_true(f->cut.tries > 0);
	for (size_t i = 0; i < f->n_images; i++)
		if (!f->images[i].refusal.code &&
		    sqlite_image_settle(&f->images[i], &f->cancel, &err) != 0)
			fail_msg("%s", still_error_msg(&err));
}

/* The cut fails with `code` and these very words, within `limit_ns`. */
static void cut_fails(
    struct fixture *f, int64_t limit_ns, int code, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(try_cut(f, limit_ns, LONG_NS, &err), code);
	assert_int_equal(err.code, code);
	if (strncmp(still_error_msg(&err), words, strlen(words)) != 0)
		fail_msg("\"%s\" is not \"%s\"", still_error_msg(&err), words);
	still_error_clear(&err);
}

static bool slot_is_held(struct fixture *f, const char *name, long slot)
{
	char shm[64];

	snprintf(shm, sizeof(shm), "%s-shm", name);
	return app_sees_lock(f->probe, scratch_path(f->dir, shm), slot, 1);
}

/* Of any kind. A database in WAL mode is locked as long as it is open. */
static bool file_is_held(struct fixture *f, const char *name)
{
	return app_sees_lock(
	    f->probe, scratch_path(f->dir, name), 0x40000000, 512);
}

static bool some_read_slot_is_held(struct fixture *f, const char *name)
{
	for (long slot = 0; slot < 5; slot++)
		if (slot_is_held(f, name, READ_SLOT(slot)))
			return true;
	return false;
}

static bool is_wal(struct fixture *f, size_t i)
{
	return access(scratch_path(f->dir, f->names[i]), F_OK) == 0 &&
	    f->images[i].pin.log == SQLITE_LOG_WAL;
}

/* A cut that failed leaves no lock: seen from outside, and by a writer who
 * does not wait. None of the applications is in a transaction. */
static void nothing_is_held(struct fixture *f)
{
	for (size_t i = 0; i < f->n_images; i++) {
		if (is_wal(f, i)) {
			assert_false(slot_is_held(f, f->names[i], WRITE_SLOT));
			assert_false(some_read_slot_is_held(f, f->names[i]));
		} else {
			assert_false(file_is_held(f, f->names[i]));
		}
	}
	for (size_t i = 0; i < f->n_images; i++)
		app_sql(f->apps[i], "UPDATE t SET n = n");
}

/* What a query gives in the image, as a file of its own. */
static void ask(struct fixture *f, size_t i, const char *sql, const char *want)
{
	size_t size = (size_t) sqlite_image_bytes(&f->images[i]);
	struct still_error err = STILL_ERROR_INIT;
	uint8_t *data = malloc(size);
	char *copies = scratch_make();
	char got[64];

	assert_non_null(data);
	if (sqlite_image_read(&f->images[i], 0, data, size, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(
	    scratch_write(scratch_path(copies, "copy.db"), data, size), 0);
	app_once(scratch_path(copies, "copy.db"), sql, got, sizeof(got));
	assert_string_equal(got, want);
	free(data);
	scratch_remove(copies);
}

/* ---- what is frozen ------------------------------------------------------ */

static void wal_databases(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	make(f, "c.db", "WAL");
	/* One log is written back, and one is not there yet. */
	app_sql(f->apps[1], "PRAGMA wal_checkpoint(PASSIVE)");
	app_sql(f->apps[2], "PRAGMA wal_checkpoint(TRUNCATE)");
	open_images(f);
	cut(f);
	assert_string_equal(f->cut.words, "one moment");
	for (size_t i = 0; i < 3; i++) {
		assert_false(slot_is_held(f, f->names[i], WRITE_SLOT));
		assert_true(some_read_slot_is_held(f, f->names[i]));
		assert_true(f->images[i].pin.hold.slot > 0);
		assert_true(sqlite_image_is_pinned(&f->images[i]));
		assert_true(f->images[i].frozen_at_ns >= f->cut.first_ns);
		assert_true(f->images[i].frozen_at_ns <= f->cut.last_ns);
	}
	for (int k = 0; k < 3; k++)
		for (size_t i = 0; i < 3; i++) {
			app_sql(f->apps[i], "UPDATE t SET n = n + 1");
			app_sql(f->apps[i], "PRAGMA wal_checkpoint(PASSIVE)");
			ask(f, i, "SELECT n FROM t", "1");
		}
	release(f);
	for (size_t i = 0; i < 3; i++)
		assert_false(some_read_slot_is_held(f, f->names[i]));
}

static void one_alone(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	open_images(f);
	cut(f);
	assert_string_equal(f->cut.words, "one commit");
	assert_true(f->cut.first_ns == f->cut.last_ns);
	assert_true(f->cut.held_ns == 0);
	ask(f, 0, "SELECT n FROM t", "1");
	release(f);
	/* One that is copied is locked meanwhile, and is one all the same. */
	app_close(f->apps[0]);
	f->n = 0;
	make(f, "b.db", "DELETE");
	open_images(f);
	cut(f);
	assert_string_equal(f->cut.words, "one commit");
	assert_true(f->cut.held_ns > 0);
	assert_false(sqlite_image_is_pinned(&f->images[0]));
	ask(f, 0, "SELECT n FROM t", "1");
}

static void mixed(void **state)
{
	static const char *const modes[] = {
	    "WAL", "DELETE", "TRUNCATE", "PERSIST", "WAL"};
	static const char *const names[] = {
	    "a.db", "b.db", "c.db", "d.db", "e.db"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 5; i++)
		make(f, names[i], modes[i]);
	open_images(f);
	/* Until the cut nobody is hindered. */
	for (size_t i = 0; i < 5; i++)
		app_sql(f->apps[i], "UPDATE t SET n = 2");
	cut(f);
	assert_string_equal(f->cut.words, "one moment");
	assert_true(f->cut.held_ns >= f->cut.last_ns - f->cut.first_ns);
	/* Of those that are copied no lock is left, and no connection. */
	for (size_t i = 1; i < 4; i++) {
		assert_false(file_is_held(f, names[i]));
		assert_null(f->images[i].pin.reader.conn);
		assert_null(f->images[i].pin.db);
		assert_true(f->images[i].frozen_at_ns == f->cut.last_ns);
	}
	for (size_t i = 0; i < 5; i++) {
		app_sql(f->apps[i], "UPDATE t SET n = 3");
		ask(f, i, "SELECT n FROM t", "2");
	}
	assert_string_equal(
	    app_sql(f->apps[1], "PRAGMA journal_mode = WAL"), "wal");
}

static struct {
	struct fixture *fixture;
	unsigned n_copies;
} copying;

/* While b.db is copied, and then c.db, whose copies are made in one piece. */
static int look_who_is_held(enum still_sys_call call)
{
	struct fixture *f = copying.fixture;

	if (call != STILL_SYS_PWRITE)
		return 0;
	copying.n_copies++;
	/* In WAL mode they go on at once. */
	assert_false(slot_is_held(f, "a.db", WRITE_SLOT));
	app_sql(f->apps[0], "UPDATE t SET n = n + 1");
	/* A copy that is made is no reason to be held any longer. */
	assert_int_equal(file_is_held(f, "b.db"), copying.n_copies == 1);
	assert_int_equal(app_try(f->apps[1], "UPDATE t SET n = 2"),
	    copying.n_copies == 1 ? SQLITE_BUSY : SQLITE_OK);
	assert_true(file_is_held(f, "c.db"));
	assert_int_equal(
	    app_try(f->apps[2], "UPDATE t SET n = 2"), SQLITE_BUSY);
	return 0;
}

static void held_while_copied(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	make(f, "c.db", "DELETE");
	open_images(f);
	copying.fixture = f;
	copying.n_copies = 0;
	still_sys_fault = look_who_is_held;
	cut(f);
	still_sys_fault = NULL;
	assert_int_equal(copying.n_copies, 2);
	app_sql(f->apps[2], "UPDATE t SET n = 2");
	for (size_t i = 0; i < 3; i++)
		ask(f, i, "SELECT n FROM t", "1");
}

/* An image that was refused before has no part in it. */
static void without_the_refused(void **state)
{
	struct fixture *f = *state;
	struct still_error why = STILL_ERROR_INIT;
	struct stat st = {.st_size = 0};

	make(f, "a.db", "WAL");
	open_images(f);
	still_error_set(&why, STILL_ERR_ACCESS, EACCES, NULL, "no");
	assert_int_equal(
	    sqlite_image_refuse(&f->images[1], "b.db", &st, &why, NULL), 0);
	still_error_clear(&why);
	f->n_images = 2;
	cut(f);
	assert_string_equal(f->cut.words, "one commit");
	assert_int_equal(f->images[1].refusal.code, STILL_ERR_ACCESS);
	ask(f, 0, "SELECT n FROM t", "1");
}

/* ---- who is in the way --------------------------------------------------- */

#define NO_MOMENT(name)                                           \
	"database `" name "`: was in the way when no moment was " \
	"found in 50 ms ("

static void wal_writer(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	make(f, "c.db", "DELETE");
	open_images(f);
	app_sql(f->apps[1], "BEGIN IMMEDIATE; UPDATE t SET n = 2");
	cut_fails(f, 50 * MS, STILL_ERR_BUSY, NO_MOMENT("b.db"));
	assert_true(f->cut.tries > 0);
	/* The others can write at once, and so can he. */
	app_sql(f->apps[0], "UPDATE t SET n = 3");
	app_sql(f->apps[2], "UPDATE t SET n = 3");
	app_sql(f->apps[1], "COMMIT");
	nothing_is_held(f);
	/* Nothing is left of the failure. */
	cut(f);
	ask(f, 0, "SELECT n FROM t", "3");
	ask(f, 1, "SELECT n FROM t", "2");
	ask(f, 2, "SELECT n FROM t", "3");
}

/* He does not hinder who has his database alone: one commit is one moment. */
static void wal_writer_alone(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	open_images(f);
	app_sql(f->apps[0], "BEGIN IMMEDIATE; UPDATE t SET n = 2");
	cut(f);
	app_sql(f->apps[0], "COMMIT");
	ask(f, 0, "SELECT n FROM t", "1");
}

/* RESERVED: what he writes is not in the database yet. */
static void rollback_writer_reserved(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	open_images(f);
	app_sql(f->apps[1], "BEGIN IMMEDIATE; UPDATE t SET n = 2");
	cut(f);
	ask(f, 1, "SELECT n FROM t", "1");
	app_sql(f->apps[1], "COMMIT");
	ask(f, 1, "SELECT n FROM t", "1");
}

/* PENDING: he waits for the last reader, to commit. */
static void rollback_writer_pending(void **state)
{
	struct fixture *f = *state;
	struct app *reader;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	open_images(f);
	reader = app_open(scratch_path(f->dir, "b.db"));
	app_sql(reader, "BEGIN; SELECT n FROM t");
	app_sql(f->apps[1], "BEGIN IMMEDIATE; UPDATE t SET n = 2");
	assert_int_equal(app_try(f->apps[1], "COMMIT"), SQLITE_BUSY);
	cut_fails(f, 50 * MS, STILL_ERR_BUSY, NO_MOMENT("b.db"));
	app_close(reader);
	app_sql(f->apps[1], "COMMIT");
	nothing_is_held(f);
	cut(f);
	ask(f, 1, "SELECT n FROM t", "2");
}

static void rollback_writer_exclusive(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	open_images(f);
	app_sql(f->apps[1], "BEGIN EXCLUSIVE; UPDATE t SET n = 2");
	cut_fails(f, 50 * MS, STILL_ERR_BUSY, NO_MOMENT("b.db"));
	app_sql(f->apps[0], "UPDATE t SET n = 2");
	app_sql(f->apps[1], "COMMIT");
	nothing_is_held(f);
	cut(f);
	ask(f, 0, "SELECT n FROM t", "2");
	ask(f, 1, "SELECT n FROM t", "2");
}

/* Who shares his database with nobody keeps us from opening it. */
static void exclusive_holder(void **state)
{
	static const char *const modes[] = {"WAL", "DELETE"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		struct still_error err = STILL_ERROR_INIT;
		struct app *app = make(f, i ? "b.db" : "a.db", modes[i]);

		app_sql(
		    app, "PRAGMA locking_mode = EXCLUSIVE; UPDATE t SET n = 2");
		assert_int_equal(
		    open_image(f, f->names[i], 50 * MS, &err), STILL_ERR_BUSY);
		assert_string_equal(still_error_msg(&err),
		    i ? "database `b.db`: is locked by its application"
		      : "database `a.db`: is locked by its application");
		still_error_clear(&err);
		release(f);
		/* Until he shares it again. */
		app_sql(
		    app, "PRAGMA locking_mode = NORMAL; UPDATE t SET n = 3");
		assert_int_equal(open_image(f, f->names[i], 50 * MS, &err), 0);
		cut(f);
		ask(f, 0, "SELECT n FROM t", "3");
		release(f);
	}
}

/* Whenever it comes, the cut is still looking: its limit is a minute. */
static void *cancel_soon(void *arg)
{
	struct fixture *f = arg;

	still_sys_sleep_ns(20 * MS);
	atomic_store(&f->cancel, true);
	return NULL;
}

static void cancelled(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	open_images(f);
	atomic_store(&f->cancel, true);
	cut_fails(f, LONG_NS, STILL_ERR_CANCELLED, "the freeze was stopped");
	atomic_store(&f->cancel, false);
	app_sql(f->apps[1], "BEGIN IMMEDIATE");
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, f), 0);
	cut_fails(f, LONG_NS, STILL_ERR_CANCELLED, "the freeze was stopped");
	pthread_join(thread, NULL);
	app_sql(f->apps[1], "COMMIT");
	nothing_is_held(f);
	atomic_store(&f->cancel, false);
	cut(f);
}

/* ---- time ---------------------------------------------------------------- */

static void stall_too_long(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct app *app;

	make(f, "a.db", "WAL");
	app = make(f, "b.db", "DELETE");
	app_sql(app, "INSERT INTO t VALUES(zeroblob(4000000))");
	open_images(f);
	/* Were a lock asked for, this one would be in the way. */
	app_sql(f->apps[0], "BEGIN IMMEDIATE");
	assert_int_equal(try_cut(f, LONG_NS, 1, &err), STILL_ERR_AGAIN);
	assert_int_equal(f->cut.tries, 0);
	assert_int_equal(f->images[1].pin.tries, 0);
	assert_non_null(strstr(still_error_msg(&err),
	    "1 database with a rollback journal: copying would hold the "
	    "writers off for about "));
	assert_non_null(
	    strstr(still_error_msg(&err), " ms, and `stall_ms` allows 0"));
	assert_non_null(strstr(err.hint, "stall_ms"));
	still_error_clear(&err);
	app_sql(f->apps[0], "COMMIT");
	nothing_is_held(f);
	cut(f);
}

/* The copies come after one another, and the last one's writers wait for all
 * of them. */
static void stalls_add_up(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	make(f, "a.db", "DELETE");
	make(f, "b.db", "DELETE");
	open_images(f);
	f->images[0].private.stall_ns = 30 * MS;
	f->images[1].private.stall_ns = 30 * MS;
	assert_int_equal(try_cut(f, LONG_NS, 50 * MS, &err), STILL_ERR_AGAIN);
	assert_string_equal(still_error_msg(&err),
	    "2 databases with a rollback journal: copying would hold the "
	    "writers off for about 61 ms, and `stall_ms` allows 50");
	still_error_clear(&err);
	assert_int_equal(try_cut(f, LONG_NS, 60 * MS, &err), 0);
}

/* It grew beyond all estimates meanwhile. */
static void copy_takes_too_long(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	open_images(f);
	f->images[1].private.stall_ns = 0;
	app_sql(f->apps[1], "INSERT INTO t VALUES(zeroblob(8000000))");
	{
		struct still_error err = STILL_ERROR_INIT;

		assert_int_equal(try_cut(f, LONG_NS, 1, &err), STILL_ERR_AGAIN);
		assert_string_equal(still_error_msg(&err),
		    "database `b.db`: its private copy took longer than "
		    "`stall_ms`");
		still_error_clear(&err);
	}
	nothing_is_held(f);
	cut(f);
	ask(f, 1, "SELECT count(*) FROM t", "2");
}

/* ---- what must be mended ------------------------------------------------- */

/* Dead in the middle of a commit: pages are in the file, their old content in
 * the journal. */
static void make_hot(struct fixture *f, size_t i)
{
	char journal[64];
	struct stat st;

	app_sql(f->apps[i],
	    "PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN IMMEDIATE;"
	    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
	    "WHERE i < 500) INSERT INTO t SELECT randomblob(500) FROM c;"
	    "UPDATE t SET n = 5");
	app_kill(f->apps[i]);
	f->apps[i] = NULL;
	snprintf(journal, sizeof(journal), "%s-journal", f->names[i]);
	assert_int_equal(stat(scratch_path(f->dir, journal), &st), 0);
	assert_true(st.st_size > 512);
}

#define HOT "database `b.db`: needs recovery by its application (hot journal)"

static void hot_before_the_opening(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	char out[64];

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	make_hot(f, 1);
	assert_int_equal(open_image(f, "b.db", LONG_NS, &err), STILL_ERR_AGAIN);
	assert_string_equal(still_error_msg(&err), HOT);
	assert_true(sqlite_image_refusable(&err));
	still_error_clear(&err);
	release(f);
	/* It was left to its application. */
	assert_int_equal(access(scratch_path(f->dir, "b.db-journal"), F_OK), 0);
	app_once(
	    scratch_path(f->dir, "b.db"), "SELECT n FROM t", out, sizeof(out));
	assert_string_equal(out, "1");
	open_images(f);
	cut(f);
	ask(f, 1, "SELECT n FROM t", "1");
}

/* Between the opening and the cut: it is left out, and the rest is frozen. */
static void hot_before_the_cut(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	open_images(f);
	make_hot(f, 1);
	cut(f);
	assert_int_equal(f->images[1].refusal.code, STILL_ERR_AGAIN);
	assert_string_equal(still_error_msg(&f->images[1].refusal), HOT);
	assert_false(file_is_held(f, "b.db"));
	assert_string_equal(f->cut.words, "one moment");
	ask(f, 0, "SELECT n FROM t", "1");
	assert_int_equal(
	    sqlite_image_read(&f->images[1], 0, &(char){0}, 1, NULL),
	    STILL_ERR_IO);
}

/* A writer that died between the two copies of the wal-index header. */
static void break_index(struct fixture *f, const char *name)
{
	char shm[64];

	snprintf(shm, sizeof(shm), "%s-shm", name);
	app_flip(f->probe, scratch_path(f->dir, shm), 48 + 8);
}

static void index_of_a_dead_writer(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	open_images(f);
	break_index(f, "a.db");
	break_index(f, "b.db");
	cut(f);
	assert_true(f->cut.tries > 1);
	ask(f, 0, "SELECT n FROM t", "1");
	ask(f, 1, "SELECT n FROM t", "1");
	app_sql(f->apps[0], "UPDATE t SET n = 2");
	ask(f, 0, "SELECT n FROM t", "1");
}

static void index_of_a_dead_writer_alone(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	open_images(f);
	break_index(f, "a.db");
	cut(f);
	ask(f, 0, "SELECT n FROM t", "1");
}

/* ---- read slots ---------------------------------------------------------- */

/* Four readers, each of another commit, have the four slots. */
static void slots_are_taken(void **state)
{
	struct fixture *f = *state;
	struct app *readers[4];
	uint64_t log_bytes = 0;
	struct stat st;

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	for (int i = 0; i < 4; i++) {
		readers[i] = app_open(scratch_path(f->dir, "a.db"));
		app_sql(f->apps[0], "UPDATE t SET n = n + 1");
		app_sql(readers[i], "BEGIN; SELECT n FROM t");
		assert_true(slot_is_held(f, "a.db", READ_SLOT(i + 1)));
	}
	app_sql(f->apps[0], "UPDATE t SET n = 9");
	open_images(f);
	cut(f);
	/* An older mark of the same log protects, too. */
	assert_true(f->images[0].pin.hold.slot > 0);
	assert_true(
	    f->images[0].pin.hold.mark < f->images[0].pin.header.max_frame);
	for (int i = 0; i < 4; i++)
		app_close(readers[i]);
	app_sql(f->apps[0], "UPDATE t SET n = 10");
	assert_int_equal(
	    atoi(app_sql(f->apps[0], "PRAGMA wal_checkpoint(PASSIVE)")),
	    f->images[0].pin.hold.mark);
	ask(f, 0, "SELECT n FROM t", "9");
	assert_int_equal(
	    sqlite_pin_check(&f->images[0].pin, f->root_fd, &log_bytes, NULL),
	    0);
	assert_int_equal(
	    sqlite_sidecar_stat(f->root_fd, "a.db", "-wal", &st), 0);
	assert_int_equal(log_bytes, st.st_size);
}

/* No slot at all is to be had, but all of the log is in the file: read lock 0
 * is the pin. */
static void no_slot_is_to_be_had(void **state)
{
	struct fixture *f = *state;
	struct app *hog = app_open("");

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	app_sql(f->apps[0], "PRAGMA wal_checkpoint(PASSIVE)");
	open_images(f);
	assert_true(app_lock_bytes(
	    hog, scratch_path(f->dir, "a.db-shm"), READ_SLOT(1), 4));
	cut(f);
	assert_int_equal(f->images[0].pin.hold.slot, -1);
	assert_true(f->images[0].pin.reader.in_transaction);
	assert_true(slot_is_held(f, "a.db", READ_SLOT(0)));
	app_close(hog);
	app_sql(f->apps[0], "UPDATE t SET n = 2");
	ask(f, 0, "SELECT n FROM t", "1");
}

/* A slot is needed and there is none: nobody's writers are held off for it.
 * SQLite alone would ask for ten seconds. */
static void no_slot_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct app *hog = app_open("");
	int64_t start_ns;
	bool fixed = true;

	make(f, "a.db", "WAL");
	open_images(f);
	assert_true(app_lock_bytes(
	    hog, scratch_path(f->dir, "a.db-shm"), READ_SLOT(1), 4));
	assert_true(sqlite_pin_hold(&f->images[0].pin));
	start_ns = still_sys_monotonic_ns();
	assert_int_equal(sqlite_pin_fix(&f->images[0].pin, &fixed, NULL), 0);
	assert_true(still_sys_monotonic_ns() - start_ns < 5 * STILL_NS_PER_S);
	sqlite_pin_let_go(&f->images[0].pin);
	assert_false(fixed);
	assert_false(slot_is_held(f, "a.db", READ_SLOT(0)));
	app_close(hog);
	cut(f);
	ask(f, 0, "SELECT n FROM t", "1");
}

/* ---- journal modes ------------------------------------------------------- */

static void switched_to_wal(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	open_images(f);
	assert_string_equal(
	    app_sql(f->apps[1], "PRAGMA journal_mode = WAL"), "wal");
	cut_fails(f, LONG_NS, STILL_ERR_NOTFOUND,
	    "database `b.db`: its application switched its journal mode");
	assert_false(some_read_slot_is_held(f, "a.db"));
	assert_false(slot_is_held(f, "a.db", WRITE_SLOT));
	assert_false(some_read_slot_is_held(f, "b.db"));
	app_sql(f->apps[0], "UPDATE t SET n = 2");
	app_sql(f->apps[1], "UPDATE t SET n = 2");
	release(f);
	open_images(f);
	cut(f);
	assert_true(sqlite_image_is_pinned(&f->images[1]));
	ask(f, 1, "SELECT n FROM t", "2");
}

static unsigned n_syncs;

/* In the place of the C library's. */
int fdatasync(int fd)
{
	n_syncs++;
	return fsync(fd);
}

/* What is to be cloned is flushed when no lock is held, however long ago it was
 * prepared; what is copied is not. */
static void flushed_before_the_cut(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "DELETE");
	make(f, "b.db", "DELETE");
	make(f, "c.db", "WAL");
	open_images(f);
	n_syncs = 0;
	f->images[1].private.clone = true;
	/* Here blocks may be shared or not. */
	(void) try_cut(f, LONG_NS, LONG_NS, NULL);
	assert_int_equal(n_syncs, 1);
	release(f);
}

/* 2^32 + 1 pages are not one page. */
static void more_pages_than_numbers(void **state)
{
	static const char *const steps[] = {"PRAGMA page_size = 512",
	    "CREATE TABLE t(n)", "PRAGMA journal_mode = WAL"};
	struct fixture *f = *state;
	const char *path = scratch_path(f->dir, "a.db");
	struct app *app = app_open(path);
	int fd;
	int rc;

	for (size_t i = 0; i < 3; i++)
		app_sql(app, steps[i]);
	app_close(app);
	/* The size at 28 counts only with the right number at 92. */
	path = scratch_path(f->dir, "a.db");
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\377", 1, 95), 1);
	rc = ftruncate(fd, ((off_t) 1 << 41) + 512);
	close(fd);
	if (rc != 0)
		skip();
	assert_int_equal(open_image(f, "a.db", LONG_NS, NULL), 0);
	cut(f);
	assert_int_equal(f->images[0].refusal.code, STILL_ERR_CORRUPT);
	assert_string_equal(still_error_msg(&f->images[0].refusal),
	    "page 1 of `a.db`: the file has more pages than can be numbered");
	release(f);
}

/* A restore, or an application that writes a new file and renames it. */
static void replaced_before_the_cut(void **state)
{
	static const char *const modes[] = {"WAL", "DELETE"};
	static const char *const names[] = {"a.db", "b.db"};
	struct fixture *f = *state;
	char *to;

	for (size_t i = 0; i < 2; i++) {
		make(f, names[i], modes[i]);
		make(f, i ? "d.db" : "c.db", modes[i]);
	}
	for (size_t i = 0; i < 2; i++) {
		open_image(f, "a.db", LONG_NS, NULL);
		open_image(f, "b.db", LONG_NS, NULL);
		to = strdup(scratch_path(f->dir, names[i]));
		assert_non_null(to);
		assert_int_equal(
		    rename(scratch_path(f->dir, i ? "d.db" : "c.db"), to), 0);
		free(to);
		cut_fails(f, LONG_NS, STILL_ERR_NOTFOUND,
		    i ? "database `b.db`: was replaced while it was frozen"
		      : "database `a.db`: was replaced while it was frozen");
		release(f);
	}
}

/* The other way is barred while we have it open: no surprise in the cut. */
static void cannot_leave_wal(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	open_images(f);
	assert_int_equal(
	    app_try(f->apps[1], "PRAGMA journal_mode = DELETE"), SQLITE_BUSY);
	cut(f);
	ask(f, 1, "SELECT n FROM t", "1");
}

/* The engine looks again by itself. */
static void engine_looks_again(void **state)
{
	struct fixture *f = *state;
	const struct still_attach_options options = {
	    .freeze_limit_ns = LONG_NS,
	    .stall_limit_ns = LONG_NS,
	    .databases_max = 10,
	    .pin = STILL_PIN_HOLD,
	};
	struct still_freeze_request request = {.cancel = &f->cancel,
	    .observer = {.warn = warn, .arg = f},
	    .spool = f->spool_ops};
	struct still_engine_instance *instance;
	struct still_error err = STILL_ERROR_INIT;
	struct still_builder builder;

	make(f, "a.db", "WAL");
	f->switches = make(f, "b.db", "DELETE");
	assert_int_equal(still_engine_attach(&still_engine_sqlite, f->dir,
			     &options, &instance, NULL),
	    0);
	assert_int_equal(still_builder_init(&builder, 0700, 0, 0, NULL), 0);
	if (still_engine_freeze(instance, &request, &builder, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_null(f->switches);
	assert_int_equal(builder.n_damages, 0);
	assert_string_equal(builder.cut.words, "one moment");
	assert_true(slot_is_held(f, "a.db", READ_SLOT(1)));
	assert_true(some_read_slot_is_held(f, "b.db"));
	still_builder_release(&builder);
	still_engine_detach(instance);
}

static struct {
	unsigned n_writes;
	unsigned n_failures;
} broken;

/* After the cut, whose last step is the copy of b.db: the first write was the
 * copy without a lock, the second its sample. Then page 1 of a.db is read, and
 * its log. */
static int break_log(enum still_sys_call call)
{
	if (call == STILL_SYS_PWRITE)
		broken.n_writes++;
	if (call != STILL_SYS_PREAD || broken.n_writes < 3 ||
	    broken.n_failures == 2)
		return 0;
	broken.n_failures++;
	return EIO;
}

/* A disk that does not give one log away does not take the others with it. */
static void log_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	const struct still_attach_options options = {
	    .freeze_limit_ns = LONG_NS,
	    .stall_limit_ns = LONG_NS,
	    .databases_max = 10,
	    .pin = STILL_PIN_HOLD,
	};
	struct still_freeze_request request = {.cancel = &f->cancel,
	    .observer = {.warn = warn, .arg = f},
	    .spool = f->spool_ops};
	struct still_engine_instance *instance;
	struct still_error err = STILL_ERROR_INIT;
	struct still_builder builder;

	make(f, "a.db", "WAL");
	make(f, "b.db", "DELETE");
	assert_int_equal(still_engine_attach(&still_engine_sqlite, f->dir,
			     &options, &instance, NULL),
	    0);
	assert_int_equal(still_builder_init(&builder, 0700, 0, 0, NULL), 0);
	broken.n_writes = broken.n_failures = 0;
	still_sys_fault = break_log;
	if (still_engine_freeze(instance, &request, &builder, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	still_sys_fault = NULL;
	assert_int_equal(builder.n_damages, 1);
	assert_true(builder.damages[0].unfrozen);
	assert_string_equal(builder.damages[0].object, "data/a.db");
	assert_int_equal(builder.damages[0].what.code, STILL_ERR_IO);
	/* What nobody can read is not held. */
	assert_false(some_read_slot_is_held(f, "a.db"));
	still_builder_release(&builder);
	still_engine_detach(instance);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(wal_databases),
	    TEST(one_alone),
	    TEST(mixed),
	    TEST(held_while_copied),
	    TEST(without_the_refused),
	    TEST(wal_writer),
	    TEST(wal_writer_alone),
	    TEST(rollback_writer_reserved),
	    TEST(rollback_writer_pending),
	    TEST(rollback_writer_exclusive),
	    TEST(exclusive_holder),
	    TEST(cancelled),
	    TEST(stall_too_long),
	    TEST(stalls_add_up),
	    TEST(copy_takes_too_long),
	    TEST(hot_before_the_opening),
	    TEST(hot_before_the_cut),
	    TEST(index_of_a_dead_writer),
	    TEST(index_of_a_dead_writer_alone),
	    TEST(slots_are_taken),
	    TEST(no_slot_is_to_be_had),
	    TEST(no_slot_is_waited_for),
	    TEST(switched_to_wal),
	    TEST(flushed_before_the_cut),
	    TEST(more_pages_than_numbers),
	    TEST(replaced_before_the_cut),
	    TEST(cannot_leave_wal),
	    TEST(engine_looks_again),
	    TEST(log_cannot_be_read),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
