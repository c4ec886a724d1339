/* SPDX-License-Identifier: MIT */
/*
 * SQLite's fixtures: databases in every state that a log can be in, and a
 * folder.
 *
 * SQLite's locks belong to the process, so an application is another process:
 * `contract sql DATABASE STATEMENTS`, or `contract work DATABASE`, which commits
 * without a pause until it is killed.
 */
#include "config.h"

#include "tests/engine/fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engines/sqlite/files.h"
#include "tests/unit/scratch.h"

extern const struct still_engine still_engine_sqlite;

/* The coarsest clock that a file system may have, and a little. */
#define SQLITE_REST_NS INT64_C(2050000000)

/* The other process. Prints the last column of the last row. */
static int sql_main(const char *path, const char *statements)
{
	char last[256] = "";
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_open(path, &db);

	/* The log stays behind, as it does when an application is killed. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_busy_timeout(db, 10000);
	while (rc == SQLITE_OK && *statements) {
		rc = sqlite3_prepare_v2(db, statements, -1, &stmt, &statements);
		while (rc == SQLITE_OK && stmt &&
		    (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
			const unsigned char *text = sqlite3_column_text(
			    stmt, sqlite3_column_count(stmt) - 1);

			snprintf(last, sizeof(last), "%s",
			    text ? (const char *) text : "NULL");
			rc = SQLITE_OK;
		}
		if (rc == SQLITE_DONE)
			rc = SQLITE_OK;
		sqlite3_finalize(stmt);
		stmt = NULL;
	}
	if (rc != SQLITE_OK)
		fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(db));
	printf("%s", last);
	fflush(stdout);
	sqlite3_close(db);
	return rc == SQLITE_OK ? 0 : 1;
}

/* Two tables that every commit changes alike, in a log that is written back
 * all the time. */
static int work_main(const char *path)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open(path, &db);

	/* A test that fails does not come to its kill(2). */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sqlite3_busy_timeout(db, 10000);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db,
		    "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 5",
		    NULL, NULL, NULL);
	printf(FIXTURE_READY);
	fflush(stdout);
	while (rc == SQLITE_OK)
		rc = sqlite3_exec(db,
		    "BEGIN IMMEDIATE; UPDATE p SET n = n + 1;"
		    "UPDATE q SET n = n + 1; COMMIT",
		    NULL, NULL, NULL);
	fprintf(stderr, "%s: %s\n", path, sqlite3_errmsg(db));
	sqlite3_close(db);
	return EXIT_FAILURE;
}

/* Run `statements` elsewhere; what they answered stands in `out`. */
static void sql(
    const char *path, const char *statements, char *out, size_t out_len)
{
	char self[] = "contract";
	char word[] = "sql";
	char *argv[] = {self, word, (char *) path, (char *) statements, NULL};
	size_t done = 0;
	int status = -1;
	ssize_t n;
	pid_t pid;
	int fd = fixture_start(argv, &pid);

	while (done + 1 < out_len &&
	    (n = read(fd, out + done, out_len - done - 1)) > 0)
		done += (size_t) n;
	out[done] = '\0';
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#define FILL_ROWS "300"
#define FILL                                                       \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 " \
	"FROM n WHERE i < " FILL_ROWS ") "                         \
	"INSERT INTO t(v) SELECT randomblob(500) FROM n;"

static void make_database(
    struct source *source, const char *name, const char *page_size)
{
	const char *path = scratch_path(source->dir, name);
	char statements[1024];
	char answer[64];

	snprintf(statements, sizeof(statements),
	    "PRAGMA page_size = %s; PRAGMA journal_mode = WAL;"
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);"
	    "CREATE TABLE changes(n INTEGER);"
	    "CREATE TABLE p(n INTEGER); INSERT INTO p VALUES(0);"
	    "CREATE TABLE q(n INTEGER); INSERT INTO q VALUES(0);"
	    "CREATE INDEX i ON t(v);" FILL,
	    page_size);
	sql(path, statements, answer, sizeof(answer));
}

static void set_paths(struct source *source, const char *name)
{
	snprintf(source->path, sizeof(source->path), "%s",
	    *name ? scratch_path(source->dir, name) : source->dir);
	snprintf(source->missing, sizeof(source->missing), "%s",
	    scratch_path(source->dir, "missing.db"));
}

/* Everything is in the log and nothing in the file. */
static void logged_make(struct source *source)
{
	set_paths(source, "app.db");
	make_database(source, "app.db", "1024");
}

/* The log was written back, all of it, and is not restarted yet. */
static void backfilled_make(struct source *source)
{
	char answer[64];

	set_paths(source, "app.db");
	make_database(source, "app.db", "4096");
	sql(source->path, "PRAGMA wal_checkpoint(PASSIVE)", answer,
	    sizeof(answer));
}

/* The log was written back, and has begun again: frames of two ages. */
static void restarted_make(struct source *source)
{
	char answer[64];

	set_paths(source, "app.db");
	make_database(source, "app.db", "512");
	sql(source->path,
	    "PRAGMA wal_checkpoint(RESTART); INSERT INTO t(v) VALUES('x');",
	    answer, sizeof(answer));
}

/* Nobody has it open, there is no log at all. */
static void closed_make(struct source *source)
{
	char answer[64];

	set_paths(source, "app.db");
	make_database(source, "app.db", "65536");
	sql(source->path, "PRAGMA wal_checkpoint(TRUNCATE)", answer,
	    sizeof(answer));
	assert_int_equal(unlink(scratch_path(source->dir, "app.db-wal")), 0);
	assert_int_equal(unlink(scratch_path(source->dir, "app.db-shm")), 0);
}

static void folder_make(struct source *source)
{
	char answer[64];

	set_paths(source, "");
	assert_int_equal(mkdir(scratch_path(source->dir, "sub"), 0755), 0);
	make_database(source, "a.db", "4096");
	make_database(source, "b\xe4r \"quoted\".db", "1024");
	make_database(source, "sub/c.db", "512");
	sql(scratch_path(source->dir, "a.db"), "PRAGMA wal_checkpoint(PASSIVE)",
	    answer, sizeof(answer));
	assert_int_equal(
	    scratch_write(scratch_path(source->dir, "notes.txt"), "-", 1), 0);
}

static void change_one(struct source *source, const char *name)
{
	char statements[1024];
	char answer[64];

	/* Rows come, go and move, and are written back as far as a reader
	 * allows. */
	snprintf(statements, sizeof(statements),
	    "BEGIN; INSERT INTO changes VALUES(%u);" FILL
	    "UPDATE t SET v = randomblob(400) WHERE id %% 3 = 0;"
	    "DELETE FROM t WHERE id %% 7 = %u; COMMIT;"
	    "PRAGMA wal_checkpoint(PASSIVE); INSERT INTO t(v) VALUES('y');",
	    source->n_changes, source->n_changes % 7);
	sql(scratch_path(source->dir, name), statements, answer,
	    sizeof(answer));
}

static void file_change(struct source *source)
{
	change_one(source, "app.db");
}

static void folder_change(struct source *source)
{
	change_one(source, "a.db");
	change_one(source, "b\xe4r \"quoted\".db");
	change_one(source, "sub/c.db");
}

static pid_t file_work(struct source *source)
{
	return fixture_start_work("work", scratch_path(source->dir, "app.db"));
}

static pid_t folder_work(struct source *source)
{
	return fixture_start_work("work", scratch_path(source->dir, "a.db"));
}

static void sqlite_judge(
    struct source *source, const char *path, unsigned n_changes)
{
	char answer[256];

	(void) source;
	sql(path, "PRAGMA integrity_check", answer, sizeof(answer));
	assert_string_equal(answer, "ok");
	sql(path, "SELECT (SELECT n FROM p) - (SELECT n FROM q)", answer,
	    sizeof(answer));
	assert_string_equal(answer, "0");
	if (n_changes == ANY_CHANGE)
		return;
	sql(path, "SELECT count(*) FROM changes", answer, sizeof(answer));
	assert_int_equal(atoi(answer), n_changes);
}

static void sqlite_check_released(struct source *source)
{
	(void) source;
	assert_int_equal(sqlite_files_open_count(), 0);
}

#define SQLITE                                                     \
	.engine = &still_engine_sqlite, .rest_ns = SQLITE_REST_NS, \
	.fds_max = 10, .judge_every = 1, .judge = sqlite_judge,    \
	.check_released = sqlite_check_released

const struct fixture sqlite_fixtures[] = {
    {
	.name = "sqlite, all in the log",
	.n_databases = 1,
	.make = logged_make,
	.change = file_change,
	.work = file_work,
	SQLITE,
    },
    {
	.name = "sqlite, log written back",
	.n_databases = 1,
	.make = backfilled_make,
	.change = file_change,
	.work = file_work,
	SQLITE,
    },
    {
	.name = "sqlite, log restarted",
	.n_databases = 1,
	.make = restarted_make,
	.change = file_change,
	.work = file_work,
	SQLITE,
    },
    {
	.name = "sqlite, no log",
	.n_databases = 1,
	.make = closed_make,
	.change = file_change,
	.work = file_work,
	SQLITE,
    },
    {
	.name = "sqlite, a folder",
	.n_databases = 3,
	.make = folder_make,
	.change = folder_change,
	.work = folder_work,
	SQLITE,
    },
    {.name = NULL},
};

int sqlite_fixture_main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "sql") == 0)
		return sql_main(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "work") == 0)
		return work_main(argv[2]);
	return -1;
}
