/* SPDX-License-Identifier: MIT */
/* preflight: what a trial freeze tells of real databases, and that it leaves
 * them as they are. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engines/sqlite/files.h"
#include "still.h"
#include "tests/lib/app.h"
#include "tests/unit/scratch.h"

#define NOBODY 65534

struct fixture {
	char *dir;
	unsigned n_fds;
	struct still_options options;
	struct still_preflight found;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->options.freeze_ms = 2000;
	f->options.stall_ms = 60000;
	f->options.barrier_max = 10;
	f->options.spool = f->dir;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_preflight_release(&f->found);
	assert_int_equal(sqlite_files_open_count(), 0);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void make(struct fixture *f, const char *name, const char *journal)
{
	char statements[256];
	char out[64];

	snprintf(statements, sizeof(statements),
	    "PRAGMA journal_mode = %s; CREATE TABLE t(n); INSERT INTO t "
	    "VALUES(1)",
	    journal);
	app_once(scratch_path(f->dir, name), statements, out, sizeof(out));
}

static void look_at(struct fixture *f, const char *source)
{
	struct still_error err = STILL_ERROR_INIT;

	still_preflight_release(&f->found);
	if (still_preflight(source, &f->options, &f->found, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(sqlite_files_open_count(), 0);
}

static void look(struct fixture *f)
{
	look_at(f, f->dir);
}

/* The only one of its level. */
static void assert_finding(struct fixture *f, enum still_level level,
    const char *object, const char *text, const char *hint)
{
	const struct still_finding *found = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < f->found.n_findings; i++)
		if (f->found.findings[i].level == level) {
			found = &f->found.findings[i];
			n++;
		}
	assert_int_equal(n, 1);
	assert_string_equal(found->object, object);
	if (!strstr(found->text, text))
		fail_msg("\"%s\" does not say \"%s\"", found->text, text);
	if (hint)
		assert_non_null(strstr(found->hint, hint));
}

static void assert_nothing_worse_than(struct fixture *f, enum still_level level)
{
	for (size_t i = 0; i < f->found.n_findings; i++)
		if (f->found.findings[i].level < level)
			fail_msg("%s", f->found.findings[i].text);
}

static const struct still_checked_database *database(
    struct fixture *f, const char *path)
{
	for (size_t i = 0; i < f->found.n_databases; i++)
		if (strcmp(f->found.databases[i].path, path) == 0)
			return &f->found.databases[i];
	fail_msg("no database `%s`", path);
	return NULL;
}

/* ---- what is right ------------------------------------------------------- */

static void all_is_well(void **state)
{
	struct fixture *f = *state;
	struct stat before;
	struct stat after;

	make(f, "a.db", "WAL");
	make(f, "b\xe4r.db", "DELETE");
	assert_int_equal(stat(scratch_path(f->dir, "a.db"), &before), 0);
	look(f);
	assert_nothing_worse_than(f, STILL_LEVEL_INFO);
	assert_finding(f, STILL_LEVEL_INFO, f->dir,
	    "no page checksums in 2 of 2 databases", "verify=quick");
	assert_string_equal(f->found.source, f->dir);
	assert_string_equal(f->found.engine, "sqlite");
	assert_string_equal(f->found.engine_version, sqlite3_libversion());
	assert_int_equal(f->found.n_databases, 2);
	assert_true(database(f, "a.db")->frozen);
	assert_int_equal(database(f, "a.db")->size_bytes, 8192);
	assert_string_equal(database(f, "a.db")->log, "wal");
	assert_string_equal(database(f, "a.db")->verified, "header+logs");
	assert_string_equal(database(f, "b\xe4r.db")->log, "rollback");
	assert_string_equal(database(f, "b\xe4r.db")->verified, "header");
	assert_int_equal(f->found.size_bytes, 2 * 8192);
	assert_true(f->found.writers_held_ns > 0);
	/* It was a look. */
	assert_int_equal(stat(scratch_path(f->dir, "a.db"), &after), 0);
	assert_memory_equal(
	    &before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
	assert_memory_equal(
	    &before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
}

static void looked_into(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	f->options.verify = STILL_VERIFY_QUICK;
	look(f);
	assert_int_equal(f->found.n_findings, 0);
	assert_string_equal(database(f, "a.db")->verified, "structure+logs");
}

/* ---- what is not there --------------------------------------------------- */

static void nothing_there(void **state)
{
	struct fixture *f = *state;

	look(f);
	assert_finding(f, STILL_LEVEL_ERROR, f->dir, "no database in it", "-");
	assert_null(f->found.engine);
	look_at(f, "/nonexistent/app.db");
	assert_string_equal(f->found.source, "/nonexistent/app.db");
	assert_finding(f, STILL_LEVEL_ERROR, "/nonexistent/app.db",
	    "No such file or directory", NULL);
	look_at(f, "oracle://x");
	assert_finding(f, STILL_LEVEL_ERROR, "oracle://x",
	    "no engine knows this kind of source", "Name a database");
}

static void no_spool(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "DELETE");
	f->options.spool = "/nonexistent/spool";
	look(f);
	assert_finding(f, STILL_LEVEL_ERROR, f->dir,
	    "spool `/nonexistent/spool`: No such file", "spool=");
}

/* It would be a backup, but one that stays in the application's way. */
static void little_room(void **state)
{
	struct fixture *f = *state;

	make(f, "a.db", "WAL");
	f->options.spool_max_bytes = 4096;
	look(f);
	assert_finding(f, STILL_LEVEL_WARNING, f->dir,
	    "the databases stay pinned until the end of a session",
	    "Raise `spool_max`.");
	still_preflight_release(&f->found);
	f->options.pin = STILL_PIN_MODE_GOVERN;
	look(f);
	assert_nothing_worse_than(f, STILL_LEVEL_INFO);
	still_preflight_release(&f->found);
	f->options.pin = STILL_PIN_MODE_AUTO;
	f->options.spool_max_bytes = 0;
	look(f);
	assert_nothing_worse_than(f, STILL_LEVEL_INFO);
}

/* What would be backed up is what says so. */
static void state_in_the_source(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	make(f, "a.db", "WAL");
	if (still_catalog_open(scratch_path(f->dir, "state"), true,
		&f->options.catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	look(f);
	assert_finding(f, STILL_LEVEL_ERROR, f->dir,
	    "holds the state directory", "state=");
	assert_int_equal(f->found.n_databases, 0);
	/* The database beside it is none of its business. */
	look_at(f, scratch_path(f->dir, "a.db"));
	assert_nothing_worse_than(f, STILL_LEVEL_INFO);
	assert_true(database(f, "a.db")->frozen);
	still_catalog_close(f->options.catalog);
}

/* ---- what cannot be frozen ----------------------------------------------- */

static void locked(void **state)
{
	struct fixture *f = *state;
	struct app *app;

	make(f, "a.db", "WAL");
	make(f, "b.db", "WAL");
	app = app_open(scratch_path(f->dir, "b.db"));
	app_sql(app, "PRAGMA locking_mode = EXCLUSIVE; UPDATE t SET n = 3");
	look(f);
	assert_finding(f, STILL_LEVEL_ERROR, "b.db",
	    "database `b.db`: is locked by its application",
	    "locking_mode=EXCLUSIVE");
	assert_true(database(f, "a.db")->frozen);
	assert_false(database(f, "b.db")->frozen);
	assert_null(database(f, "b.db")->verified);
	assert_null(database(f, "b.db")->log);
	/* With nobody else there is nothing to freeze. */
	look_at(f, scratch_path(f->dir, "b.db"));
	assert_finding(f, STILL_LEVEL_ERROR, scratch_path(f->dir, "b.db"),
	    "is locked by its application", NULL);
	assert_int_equal(f->found.n_databases, 1);
	assert_false(database(f, "b.db")->frozen);
	assert_string_equal(database(f, "b.db")->log, "wal");
	assert_string_equal(f->found.engine, "sqlite");
	app_close(app);
	look(f);
	assert_nothing_worse_than(f, STILL_LEVEL_INFO);
}

/* Page 1 is nothing that SQLite knows, as that of an encrypted database. */
static void encrypted(void **state)
{
	struct fixture *f = *state;
	uint64_t random = scratch_seed();
	uint8_t bytes[8192];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t) scratch_random(&random) | 1;
	make(f, "a.db", "WAL");
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "b.db"), bytes, sizeof(bytes)),
	    0);
	/* In a directory its log tells that it is one. */
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "b.db-wal"), bytes, 100), 0);
	look(f);
	assert_finding(f, STILL_LEVEL_ERROR, "b.db",
	    "`b.db`: is no SQLite database that can be read",
	    "encrypted database");
	assert_int_equal(database(f, "b.db")->size_bytes, sizeof(bytes));
	assert_true(database(f, "a.db")->frozen);
	look_at(f, scratch_path(f->dir, "b.db"));
	assert_finding(f, STILL_LEVEL_ERROR, scratch_path(f->dir, "b.db"),
	    "is no SQLite database that can be read", "encrypted database");
}

/* Its writer died in the middle of a commit. */
static void hot_journal(void **state)
{
	struct fixture *f = *state;
	struct app *app;

	make(f, "a.db", "DELETE");
	make(f, "b.db", "DELETE");
	app = app_open(scratch_path(f->dir, "b.db"));
	app_sql(app,
	    "PRAGMA cache_size = 2; PRAGMA cache_spill = 1; BEGIN IMMEDIATE;"
	    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
	    "WHERE i < 500) INSERT INTO t SELECT randomblob(500) FROM c;"
	    "UPDATE t SET n = 5");
	app_kill(app);
	look(f);
	assert_finding(f, STILL_LEVEL_ERROR, "b.db",
	    "database `b.db`: needs recovery by its application (hot journal)",
	    NULL);
	assert_true(database(f, "a.db")->frozen);
	/* It was left to its application. */
	assert_int_equal(access(scratch_path(f->dir, "b.db-journal"), F_OK), 0);
}

static void damaged_log(void **state)
{
	struct fixture *f = *state;
	struct app *probe = app_open("");
	struct app *app;

	make(f, "a.db", "WAL");
	app = app_open(scratch_path(f->dir, "a.db"));
	app_sql(app, "UPDATE t SET n = 2");
	/* Behind the log's header and the first frame's. */
	app_flip(probe, scratch_path(f->dir, "a.db-wal"), 32 + 24 + 1000);
	look(f);
	assert_finding(f, STILL_LEVEL_ERROR, "a.db",
	    "log frame 1 of `a.db-wal`: checksum mismatch",
	    "The live log is damaged");
	/* It is frozen, and what is not damaged can be read. */
	assert_true(database(f, "a.db")->frozen);
	app_close(app);
	app_close(probe);
}

/* As somebody else: root may read everything. The child's exit status is the
 * number of the check that failed. */
static int look_as_nobody(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;
	const struct still_finding *worst;

	if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
		return 1;
	f->options.spool = scratch_path(f->dir, "spool");
	if (still_preflight(f->dir, &f->options, &f->found, &err) != 0)
		return 2;
	worst = f->found.findings;
	if (f->found.n_findings == 0 || worst->level != STILL_LEVEL_ERROR)
		return 3;
	if (strcmp(worst->object, "b.db") != 0 ||
	    !strstr(worst->text, "`b.db`: Permission denied"))
		return 4;
	if (database(f, "b.db")->frozen || !database(f, "a.db")->frozen)
		return 5;
	still_preflight_release(&f->found);
	return 0;
}

static void unreadable(void **state)
{
	struct fixture *f = *state;
	const char *spool;
	int status = -1;
	pid_t pid;

	make(f, "a.db", "DELETE");
	make(f, "b.db", "DELETE");
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(chmod(scratch_path(f->dir, "b.db"), 0), 0);
	/* Its name alone says what it is. */
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "b.db-wal"), "", 0), 0);
	spool = scratch_path(f->dir, "spool");
	assert_int_equal(mkdir(spool, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(spool, NOBODY, NOBODY), 0);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(look_as_nobody(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- what an operator should know ---------------------------------------- */

/* Its application never writes its log back. */
static void long_log(void **state)
{
	struct fixture *f = *state;
	struct app *app = app_open(scratch_path(f->dir, "a.db"));

	app_sql(app,
	    "PRAGMA page_size = 65536; PRAGMA journal_mode = WAL;"
	    "PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(n);"
	    "INSERT INTO t VALUES(1)");
	look(f);
	assert_nothing_worse_than(f, STILL_LEVEL_INFO);
	for (int i = 0; i < 1030; i++)
		app_sql(app, "UPDATE t SET n = n + 1");
	look(f);
	assert_finding(f, STILL_LEVEL_WARNING, "a.db",
	    "are not written back to the database", NULL);
	assert_int_equal(f->found.n_databases, 1);
	assert_true(database(f, "a.db")->frozen);
	app_sql(app, "PRAGMA wal_checkpoint(PASSIVE)");
	look(f);
	assert_nothing_worse_than(f, STILL_LEVEL_INFO);
	app_close(app);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    TEST(all_is_well),
	    TEST(looked_into),
	    TEST(nothing_there),
	    TEST(little_room),
	    TEST(no_spool),
	    TEST(state_in_the_source),
	    TEST(locked),
	    TEST(encrypted),
	    TEST(hot_journal),
	    TEST(damaged_log),
	    TEST(unreadable),
	    TEST(long_log),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
