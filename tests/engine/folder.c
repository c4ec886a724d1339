/* SPDX-License-Identifier: MIT */
/*
 * folder: a directory whose databases come, go and change while an instance is
 * attached. Each freeze looks anew, and says what it left out.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "core/snapshot.h"
#include "core/spool.h"
#include "engines/sqlite/files.h"
#include "tests/lib/app.h"
#include "tests/unit/scratch.h"

extern const struct still_engine still_engine_sqlite;

struct fixture {
	char *dir;
	unsigned n_fds;
	struct still_engine_instance *instance;
	struct still_spool_dir spool;
	atomic_bool cancel;
	/* As of the last freeze. */
	char paths[256];   /* of the databases, blanks between */
	char unfrozen[64]; /* of those that it left out */
	char why[256];     /* the last reason */
	int why_code;
	struct still_snapshot snapshot;
};

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	fail_msg("%s: %s: %s", event, object, text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->spool.path = f->dir;
	f->n_fds = scratch_count_fds();
	*state = f;
	return 0;
}

static void thaw(struct fixture *f)
{
	if (f->instance)
		still_engine_thaw(f->instance);
	still_snapshot_release(&f->snapshot);
	assert_int_equal(sqlite_files_open_count(), 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	thaw(f);
	still_engine_detach(f->instance);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void sql(struct fixture *f, const char *name, const char *statements)
{
	char out[64];

	app_once(scratch_path(f->dir, name), statements, out, sizeof(out));
}

static void make(struct fixture *f, const char *name, int n)
{
	char statements[128];

	snprintf(statements, sizeof(statements),
	    "PRAGMA journal_mode = WAL; CREATE TABLE t(n); "
	    "INSERT INTO t VALUES(%d)",
	    n);
	sql(f, name, statements);
}

/* Log and all. */
static void drop(struct fixture *f, const char *name)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[64];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", name, suffixes[i]);
		assert_int_equal(unlink(scratch_path(f->dir, path)), 0);
	}
}

static int try_attach(
    struct fixture *f, uint32_t databases_max, struct still_error *err)
{
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(100000000),
	    .stall_limit_ns = INT64_C(20000000000),
	    .databases_max = databases_max,
	};

	return still_engine_attach(
	    &still_engine_sqlite, f->dir, &options, &f->instance, err);
}

static void attach(struct fixture *f, uint32_t databases_max)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_attach(f, databases_max, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void note(struct fixture *f, const struct still_builder *builder)
{
	json_t *database;
	size_t i;

	f->paths[0] = f->unfrozen[0] = '\0';
	f->why_code = 0;
	json_array_foreach(builder->databases, i, database)
	{
		strcat(f->paths,
		    json_string_value(json_object_get(database, "path")));
		strcat(f->paths, " ");
		if (json_is_true(json_object_get(database, "frozen")))
			continue;
		snprintf(f->why, sizeof(f->why), "%s",
		    json_string_value(json_object_get(database, "error")));
	}
	for (i = 0; i < builder->n_damages; i++) {
		strcat(f->unfrozen, builder->damages[i].object);
		strcat(f->unfrozen, " ");
		f->why_code = builder->damages[i].what.code;
		assert_string_equal(
		    still_error_msg(&builder->damages[i].what), f->why);
	}
}

static int try_freeze(struct fixture *f, struct still_error *err)
{
	struct still_freeze_request request = {.cancel = &f->cancel,
	    .observer = {.warn = warn, .arg = f},
	    .spool = still_spool_of(&f->spool)};
	struct still_builder builder;
	int rc;

	thaw(f);
	assert_int_equal(still_builder_init(&builder, 0700, 0, 0, err), 0);
	rc = still_engine_freeze(f->instance, &request, &builder, err);
	if (rc == 0) {
		note(f, &builder);
		rc = still_builder_finish(
		    &builder, strdup("{}"), 2, 0, 0, &f->snapshot, err);
	}
	still_builder_release(&builder);
	return rc;
}

static void freeze(struct fixture *f, const char *paths, const char *unfrozen)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_freeze(f, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_string_equal(f->paths, paths);
	assert_string_equal(f->unfrozen, unfrozen);
}

static void freeze_fails(struct fixture *f, int code, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(try_freeze(f, &err), code);
	if (strncmp(still_error_msg(&err), words, strlen(words)) != 0)
		fail_msg("\"%s\" is not \"%s\"", still_error_msg(&err), words);
	still_error_clear(&err);
	assert_int_equal(sqlite_files_open_count(), 0);
}

static uint32_t find(struct fixture *f, const char *path)
{
	for (uint32_t i = 0; i < f->snapshot.n; i++)
		if (strcmp(f->snapshot.entries[i].path, path) == 0)
			return i;
	fail_msg("no entry `%s`", path);
	return 0;
}

static int read_at(struct fixture *f, uint32_t index, void *data, size_t len,
    struct still_error *err)
{
	return still_engine_read(
	    f->instance, f->snapshot.sources[index].object, 0, data, len, err);
}

/* The image of `path` holds `n`. */
static void holds(struct fixture *f, const char *path, const char *n)
{
	uint32_t index = find(f, path);
	size_t size = (size_t) f->snapshot.entries[index].size_bytes;
	struct still_error err = STILL_ERROR_INIT;
	char *copies = scratch_make();
	uint8_t *data = malloc(size);
	char got[16];

	assert_non_null(data);
	if (read_at(f, index, data, size, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(
	    scratch_write(scratch_path(copies, "copy.db"), data, size), 0);
	app_once(scratch_path(copies, "copy.db"), "SELECT n FROM t", got,
	    sizeof(got));
	assert_string_equal(got, n);
	free(data);
	scratch_remove(copies);
}

static size_t n_described(struct fixture *f)
{
	struct still_description d;

	still_engine_describe(f->instance, &d);
	return d.n_databases;
}

/* ---- what comes and goes ------------------------------------------------- */

static void added(void **state)
{
	struct fixture *f = *state;

	make(f, "b.db", 1);
	attach(f, 10);
	freeze(f, "data/b.db ", "");
	make(f, "a.db", 2);
	/* A snapshot is what it was. */
	assert_int_equal(n_described(f), 1);
	holds(f, "data/b.db", "1");
	freeze(f, "data/a.db data/b.db ", "");
	assert_int_equal(n_described(f), 2);
	holds(f, "data/a.db", "2");
	/* In a new directory, too. */
	assert_int_equal(mkdir(scratch_path(f->dir, "c"), 0755), 0);
	make(f, "c/c.db", 3);
	freeze(f, "data/a.db data/b.db data/c/c.db ", "");
	holds(f, "data/c/c.db", "3");
}

static void removed(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", 1);
	make(f, "b.db", 2);
	attach(f, 10);
	freeze(f, "data/a.db data/b.db ", "");
	drop(f, "a.db");
	freeze(f, "data/b.db ", "");
	assert_int_equal(n_described(f), 1);
	thaw(f);
	drop(f, "b.db");
	freeze_fails(f, STILL_ERR_NOTFOUND, "source `");
	/* And it is there again. */
	make(f, "b.db", 3);
	freeze(f, "data/b.db ", "");
	holds(f, "data/b.db", "3");
}

/* Another database under the same name, as applications update theirs. */
static void replaced(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", 1);
	attach(f, 10);
	freeze(f, "data/a.db ", "");
	holds(f, "data/a.db", "1");
	thaw(f);
	make(f, "new", 2);
	sql(f, "new", "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(unlink(scratch_path(f->dir, "new-wal")), 0);
	assert_int_equal(unlink(scratch_path(f->dir, "new-shm")), 0);
	drop(f, "a.db");
	assert_int_equal(
	    rename(scratch_path(f->dir, "new"), scratch_path(f->dir, "a.db")),
	    0);
	freeze(f, "data/a.db ", "");
	holds(f, "data/a.db", "2");
}

/* Journal modes may change from one freeze to the next. */
static void switched(void **state)
{
	static const char *const modes[] = {"DELETE", "WAL", "TRUNCATE", "WAL"};
	struct fixture *f = *state;

	make(f, "a.db", 1);
	attach(f, 10);
	for (size_t i = 0; i < 4; i++) {
		char statements[64];

		freeze(f, "data/a.db ", "");
		holds(f, "data/a.db", "1");
		thaw(f);
		snprintf(statements, sizeof(statements),
		    "PRAGMA journal_mode = %s", modes[i]);
		sql(f, "a.db", statements);
	}
	freeze(f, "data/a.db ", "");
	holds(f, "data/a.db", "1");
}

/* ---- what is left out ---------------------------------------------------- */

static void one_is_locked(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct app *app;
	uint32_t index;
	uint8_t byte;

	make(f, "a.db", 1);
	make(f, "b.db", 2);
	attach(f, 10);
	app = app_open(scratch_path(f->dir, "b.db"));
	app_sql(app, "PRAGMA locking_mode = EXCLUSIVE; UPDATE t SET n = 3");
	freeze(f, "data/a.db data/b.db ", "data/b.db ");
	assert_int_equal(f->why_code, STILL_ERR_BUSY);
	assert_string_equal(
	    f->why, "database `b.db`: is locked by its application");
	holds(f, "data/a.db", "1");
	/* It is listed, never as empty, and every read of it fails. */
	index = find(f, "data/b.db");
	assert_true(f->snapshot.entries[index].size_bytes > 0);
	assert_int_equal(read_at(f, index, &byte, 1, &err), STILL_ERR_IO);
	assert_string_equal(still_error_msg(&err),
	    "database `b.db`: is not frozen: database `b.db`: is locked by its "
	    "application");
	still_error_clear(&err);
	app_close(app);
	freeze(f, "data/a.db data/b.db ", "");
	holds(f, "data/b.db", "3");
}

/* A snapshot of nothing is none. */
static void all_are_locked(void **state)
{
	struct fixture *f = *state;
	struct app *app;

	make(f, "a.db", 1);
	attach(f, 10);
	app = app_open(scratch_path(f->dir, "a.db"));
	app_sql(app, "PRAGMA locking_mode = EXCLUSIVE; UPDATE t SET n = 3");
	freeze_fails(
	    f, STILL_ERR_BUSY, "database `a.db`: is locked by its application");
	app_close(app);
	freeze(f, "data/a.db ", "");
}

/* Its header is gone: it stays a database, and is not left out in silence. */
static void one_is_no_database_any_more(void **state)
{
	struct fixture *f = *state;
	char page[4096] = "nothing that SQLite knows";

	make(f, "a.db", 1);
	make(f, "b.db", 2);
	attach(f, 10);
	freeze(f, "data/a.db data/b.db ", "");
	thaw(f);
	drop(f, "b.db");
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "b.db"), page, sizeof(page)), 0);
	freeze(f, "data/a.db data/b.db ", "data/b.db ");
	assert_int_not_equal(f->why_code, 0);
	holds(f, "data/a.db", "1");
}

/* ---- how many ------------------------------------------------------------ */

static void too_many(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	char words[PATH_MAX + 64];

	make(f, "a.db", 1);
	make(f, "b.db", 2);
	snprintf(words, sizeof(words),
	    "source `%s`: has 2 databases, and `barrier_max` allows 1", f->dir);
	assert_int_equal(try_attach(f, 1, &err), STILL_ERR_UNSUPPORTED);
	assert_string_equal(still_error_msg(&err), words);
	assert_non_null(strstr(err.hint, "barrier_max"));
	assert_null(f->instance);
	still_error_clear(&err);
	/* One that comes later counts as much. */
	attach(f, 2);
	freeze(f, "data/a.db data/b.db ", "");
	make(f, "c.db", 3);
	snprintf(words, sizeof(words),
	    "source `%s`: has 3 databases, and `barrier_max` allows 2", f->dir);
	freeze_fails(f, STILL_ERR_UNSUPPORTED, words);
	drop(f, "a.db");
	freeze(f, "data/b.db data/c.db ", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(added),
	    TEST(removed),
	    TEST(replaced),
	    TEST(switched),
	    TEST(one_is_locked),
	    TEST(all_are_locked),
	    TEST(one_is_no_database_any_more),
	    TEST(too_many),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
