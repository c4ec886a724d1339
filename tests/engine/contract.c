/* SPDX-License-Identifier: MIT */
/*
 * contract: what engine.h promises, asked of every engine.
 *
 * The same assertions run over a table of fixtures. A fixture makes a source,
 * can change it as its application would, and may know how to judge a copy.
 *
 * SQLite's locks belong to the process, so an application is another process:
 * this program itself, started anew as `contract sql DATABASE STATEMENTS`, or
 * as `contract work DATABASE`, which commits without a pause until it is killed.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "core/snapshot.h"
#include "core/spool.h"
#include "engines/engine.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

#ifdef WITH_SQLITE
#	include <sqlite3.h>

#	include "engines/sqlite/files.h"

extern const struct still_engine still_engine_sqlite;
extern char **environ;
#endif

/* ---- fixtures ------------------------------------------------------------ */

struct source {
	const struct fixture *fixture;
	char *dir; /* scratch */
	char path[PATH_MAX];
	char missing[PATH_MAX];
	unsigned n_changes;
};

#define ANY_CHANGE UINT_MAX

struct fixture {
	const char *name;
	const struct still_engine *engine;
	size_t n_databases;
	/* For how long nothing must have changed before an identity may be met
	 * again. */
	int64_t rest_ns;
	/* Make the source; fills `path` and `missing`. */
	void (*make)(struct source *source);
	/* As its application: change what is in each database. */
	void (*change)(struct source *source);
	/* Begin to change all the time, elsewhere; ended by a signal. May be
	 * NULL. */
	pid_t (*work)(struct source *source);
	/* Is the file, copied to `path`, what the engine's own tools take for
	 * whole? And which change does it show (ANY_CHANGE: do not ask)? May be
	 * NULL. */
	void (*judge)(
	    struct source *source, const char *path, unsigned n_changes);
	/* Nothing is held in this process. May be NULL. */
	void (*check_released)(void);
};

static void fake_make(struct source *source)
{
	still_fake_reset();
	strcpy(source->path, "fake:contract");
	strcpy(source->missing, "fake:missing");
}

static void fake_change(struct source *source)
{
	(void) source;
	still_fake.seed++;
	still_fake.size_bytes[0] += 4096;
}

#ifdef WITH_SQLITE

/* The coarsest clock that a file system may have, and a little. */
#	define SQLITE_REST_NS INT64_C(2050000000)

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
	printf("ready");
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

/* Start this program anew; its output can be read from the end returned. */
static int start(char *const argv[], pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	assert_int_equal(
	    posix_spawn(ret_pid, argv[0], &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	return ends[0];
}

static pid_t start_work(const char *path)
{
	char self[] = "/proc/self/exe";
	char word[] = "work";
	char *argv[] = {self, word, (char *) path, NULL};
	char ready[5];
	pid_t pid;
	int fd = start(argv, &pid);

	assert_int_equal(read(fd, ready, sizeof(ready)), sizeof(ready));
	close(fd);
	return pid;
}

/* Run `statements` elsewhere; what they answered stands in `out`. */
static void sql(
    const char *path, const char *statements, char *out, size_t out_len)
{
	char self[] = "/proc/self/exe";
	char word[] = "sql";
	char *argv[] = {self, word, (char *) path, (char *) statements, NULL};
	size_t done = 0;
	int status = -1;
	ssize_t n;
	pid_t pid;
	int fd = start(argv, &pid);

	while (done + 1 < out_len &&
	    (n = read(fd, out + done, out_len - done - 1)) > 0)
		done += (size_t) n;
	out[done] = '\0';
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

#	define FILL_ROWS "300"
#	define FILL                                                       \
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
	return start_work(scratch_path(source->dir, "app.db"));
}

static pid_t folder_work(struct source *source)
{
	return start_work(scratch_path(source->dir, "a.db"));
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

static void sqlite_check_released(void)
{
	assert_int_equal(sqlite_files_open_count(), 0);
}

#endif

static const struct fixture fixtures[] = {
    {"fake", &still_engine_fake, 3, 0, fake_make, fake_change, NULL, NULL,
	NULL},
#ifdef WITH_SQLITE
    {"sqlite, all in the log", &still_engine_sqlite, 1, SQLITE_REST_NS,
	logged_make, file_change, file_work, sqlite_judge,
	sqlite_check_released},
    {"sqlite, log written back", &still_engine_sqlite, 1, SQLITE_REST_NS,
	backfilled_make, file_change, file_work, sqlite_judge,
	sqlite_check_released},
    {"sqlite, log restarted", &still_engine_sqlite, 1, SQLITE_REST_NS,
	restarted_make, file_change, file_work, sqlite_judge,
	sqlite_check_released},
    {"sqlite, no log", &still_engine_sqlite, 1, SQLITE_REST_NS, closed_make,
	file_change, file_work, sqlite_judge, sqlite_check_released},
    {"sqlite, a folder", &still_engine_sqlite, 3, SQLITE_REST_NS, folder_make,
	folder_change, folder_work, sqlite_judge, sqlite_check_released},
#endif
};
#define N_FIXTURES (sizeof(fixtures) / sizeof(fixtures[0]))

/* ---- one instance -------------------------------------------------------- */

struct context {
	struct source source;
	struct still_engine_instance *instance;
	struct still_snapshot snapshot; /* while frozen */
	atomic_bool cancel;
	atomic_uint n_warnings;
	struct still_spool_dir spool;
};

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	struct context *c = arg;

	/* How far a writer is ahead of its own checkpoints depends on the
	 * machine, and says nothing about the engine. */
	if (strcmp(event, "long-log") != 0)
		atomic_fetch_add(&c->n_warnings, 1);
	fprintf(stderr, "%s: %s: %s\n", event, object, text);
}

static int attach(const struct fixture *fixture, const char *path,
    struct still_engine_instance **ret, struct still_error *err)
{
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(20000000000),
	    .stall_limit_ns = INT64_C(1000000000),
	    .databases_max = 100,
	};

	return still_engine_attach(fixture->engine, path, &options, ret, err);
}

static int try_freeze(struct context *c, struct still_error *err)
{
	struct still_freeze_request request = {.cancel = &c->cancel,
	    .observer = {.warn = warn, .arg = c},
	    .spool = still_spool_of(&c->spool)};
	struct still_description d;
	struct still_builder builder;
	int rc;

	c->spool.path = c->source.dir;
	still_engine_describe(c->instance, &d);
	assert_int_equal(
	    still_builder_init(&builder, d.dir_mode, d.uid, d.gid, err), 0);
	rc = still_engine_freeze(c->instance, &request, &builder, err);
	if (rc == 0) {
		assert_non_null(builder.cut.words);
		assert_non_null(builder.verified);
		assert_true(builder.cut.first_ns > 0);
		assert_true(builder.cut.first_ns <= builder.cut.last_ns);
		assert_int_equal(builder.n_damages, 0);
		assert_int_equal(
		    builder.n_files, c->source.fixture->n_databases);
		assert_int_equal(json_array_size(builder.databases),
		    c->source.fixture->n_databases);
		rc = still_builder_finish(
		    &builder, strdup("{}"), 2, 0, 0, &c->snapshot, err);
	}
	still_builder_release(&builder);
	return rc;
}

static void freeze(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_freeze(c, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void thaw(struct context *c)
{
	still_engine_thaw(c->instance);
	still_snapshot_release(&c->snapshot);
	if (c->source.fixture->check_released)
		c->source.fixture->check_released();
}

static int setup_one(struct context *c, const struct fixture *fixture)
{
	struct still_error err = STILL_ERROR_INIT;

	memset(c, 0, sizeof(*c));
	c->source.fixture = fixture;
	c->source.dir = scratch_make();
	fixture->make(&c->source);
	if (attach(fixture, c->source.path, &c->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return 0;
}

static void teardown_one(struct context *c)
{
	/* Frozen or not: detach thaws. */
	still_engine_detach(c->instance);
	still_snapshot_release(&c->snapshot);
	if (c->source.fixture->check_released)
		c->source.fixture->check_released();
	assert_int_equal(atomic_load(&c->n_warnings), 0);
	scratch_remove(c->source.dir);
}

/* ---- bytes --------------------------------------------------------------- */

static bool is_database(const struct context *c, uint32_t index)
{
	return c->snapshot.sources[index].kind == STILL_SOURCE_ENGINE;
}

static int read_at(struct context *c, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	return still_engine_read(c->instance, c->snapshot.sources[index].object,
	    off_bytes, data, len, err);
}

/* The whole of a file in one read. The caller frees it. */
static uint8_t *read_whole(struct context *c, uint32_t index)
{
	size_t size = (size_t) c->snapshot.entries[index].size_bytes;
	struct still_error err = STILL_ERROR_INIT;
	uint8_t *data = malloc(size);

	assert_non_null(data);
	if (read_at(c, index, 0, data, size, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return data;
}

/* One element per entry, NULL for what is no database. */
static uint8_t **read_all(struct context *c)
{
	uint8_t **all = calloc(c->snapshot.n, sizeof(*all));

	assert_non_null(all);
	for (uint32_t i = 0; i < c->snapshot.n; i++)
		if (is_database(c, i))
			all[i] = read_whole(c, i);
	return all;
}

static void free_all(const struct context *c, uint8_t **all)
{
	for (uint32_t i = 0; i < c->snapshot.n; i++)
		free(all[i]);
	free(all);
}

static void assert_all_as(struct context *c, uint8_t **want)
{
	uint8_t **got = read_all(c);

	for (uint32_t i = 0; i < c->snapshot.n; i++)
		if (got[i])
			assert_int_equal(
			    memcmp(got[i], want[i],
				(size_t) c->snapshot.entries[i].size_bytes),
			    0);
	free_all(c, got);
}

static void judge(struct context *c, unsigned n_changes)
{
	uint8_t **all;

	if (!c->source.fixture->judge)
		return;
	all = read_all(c);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		char *copies;

		if (!all[i])
			continue;
		/* In a directory of its own: it has no log. */
		copies = scratch_make();
		assert_int_equal(
		    scratch_write(scratch_path(copies, "copy.db"), all[i],
			(size_t) c->snapshot.entries[i].size_bytes),
		    0);
		c->source.fixture->judge(
		    &c->source, scratch_path(copies, "copy.db"), n_changes);
		scratch_remove(copies);
	}
	free_all(c, all);
}

static void change(struct context *c)
{
	c->source.n_changes++;
	c->source.fixture->change(&c->source);
}

/* ---- the contract -------------------------------------------------------- */

static void describes(struct context *c)
{
	struct still_description d;

	still_engine_describe(c->instance, &d);
	assert_string_equal(d.source, c->source.path);
	assert_true(strlen(d.engine_version) > 0);
	assert_int_equal(d.n_databases, c->source.fixture->n_databases);
	assert_int_equal(d.dir_mode & 0500, 0500);
	for (size_t i = 0; i < d.n_databases; i++) {
		assert_true(strlen(d.databases[i].path) > 0);
		assert_true(d.databases[i].path[0] != '/');
		assert_non_null(d.databases[i].log);
	}
}

static void refuses_what_is_missing(struct context *c)
{
	struct still_engine_instance *none = NULL;
	struct still_error err = STILL_ERROR_INIT;
	unsigned n_fds = scratch_count_fds();

	assert_int_equal(
	    attach(c->source.fixture, c->source.missing, &none, &err),
	    STILL_ERR_NOTFOUND);
	assert_null(none);
	assert_non_null(strstr(still_error_msg(&err), c->source.missing));
	still_error_clear(&err);
	assert_int_equal(scratch_count_fds(), n_fds);
}

static void hands_over_files(struct context *c)
{
	size_t n = 0;

	freeze(c);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		const struct still_entry *e = &c->snapshot.entries[i];

		if (!is_database(c, i))
			continue;
		n++;
		assert_int_equal(strncmp(e->path, "data/", 5), 0);
		assert_true(e->size_bytes > 0);
		assert_int_equal(e->mode & 0400, 0400);
		assert_non_null(c->snapshot.sources[i].object);
	}
	assert_int_equal(n, c->source.fixture->n_databases);
	judge(c, 0);
	thaw(c);
}

static void reads_anywhere(struct context *c)
{
	uint64_t random = scratch_seed();
	uint8_t **all;

	freeze(c);
	all = read_all(c);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		uint64_t size = c->snapshot.entries[i].size_bytes;
		uint8_t *got = malloc((size_t) size);

		for (int k = 0; all[i] && k < 200; k++) {
			uint64_t off = scratch_below(&random, size);
			uint64_t max = k % 2 ? size - off : 3000;
			size_t len;

			if (max > size - off)
				max = size - off;
			len = 1 + (size_t) scratch_below(&random, max);
			assert_int_equal(read_at(c, i, off, got, len, NULL), 0);
			assert_int_equal(memcmp(got, all[i] + off, len), 0);
		}
		free(got);
	}
	free_all(c, all);
	thaw(c);
}

struct crowd {
	struct context *context;
	uint8_t **all;
	uint64_t seed;
	atomic_uint next;
	atomic_uint failures;
};

static void *read_in_a_crowd(void *arg)
{
	struct crowd *crowd = arg;
	struct context *c = crowd->context;
	uint64_t random = crowd->seed + atomic_fetch_add(&crowd->next, 1);
	uint8_t got[10000];

	for (int k = 0; k < 300; k++) {
		uint32_t i = (uint32_t) scratch_below(&random, c->snapshot.n);
		uint64_t size = c->snapshot.entries[i].size_bytes;
		size_t len = 1 + (size_t) scratch_below(&random, sizeof(got));
		uint64_t off;

		if (!crowd->all[i])
			continue;
		off = scratch_below(&random, size);
		if (len > size - off)
			len = (size_t) (size - off);
		if (read_at(c, i, off, got, len, NULL) != 0 ||
		    memcmp(got, crowd->all[i] + off, len) != 0)
			atomic_fetch_add(&crowd->failures, 1);
	}
	return NULL;
}

static void reads_by_many(struct context *c)
{
	struct crowd crowd = {.context = c, .seed = scratch_seed()};
	pthread_t thread[4];

	freeze(c);
	crowd.all = read_all(c);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, read_in_a_crowd, &crowd),
		    0);
	/* Beside readers, and beside an application at work. */
	change(c);
	for (int i = 0; i < 50; i++)
		if (still_engine_keep(
			c->instance, &(struct still_held){0}, NULL) != 0)
			atomic_fetch_add(&crowd.failures, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&crowd.failures), 0);
	free_all(c, crowd.all);
	thaw(c);
}

static void holds_still(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;
	uint8_t **before;

	freeze(c);
	before = read_all(c);
	for (int i = 0; i < 4; i++) {
		change(c);
		if (still_engine_keep(
			c->instance, &(struct still_held){0}, &err) != 0)
			fail_msg("%s", still_error_msg(&err));
		assert_all_as(c, before);
	}
	judge(c, 0);
	free_all(c, before);
	thaw(c);
}

static void moves_on(struct context *c)
{
	uint64_t sizes[2];

	for (unsigned i = 0; i < 4; i++) {
		uint8_t **all;

		freeze(c);
		judge(c, i);
		all = read_all(c);
		change(c);
		assert_all_as(c, all);
		sizes[i % 2] = 0;
		for (uint32_t k = 0; k < c->snapshot.n; k++)
			sizes[i % 2] += c->snapshot.entries[k].size_bytes;
		free_all(c, all);
		thaw(c);
		/* Every change makes something larger. */
		if (i > 0)
			assert_true(sizes[i % 2] > sizes[(i + 1) % 2]);
	}
}

static void freezes_beside_work(struct context *c)
{
	unsigned n_freezes = 10;
	pid_t worker;
	int status;

	if (!c->source.fixture->work)
		return;
	worker = c->source.fixture->work(&c->source);
	for (unsigned i = 0; i < n_freezes; i++) {
		uint8_t **all;

		freeze(c);
		all = read_all(c);
		judge(c, ANY_CHANGE);
		assert_all_as(c, all);
		assert_int_equal(still_engine_keep(c->instance,
				     &(struct still_held){0}, NULL),
		    0);
		free_all(c, all);
		thaw(c);
	}
	/* It was at work to the end, and no harm came to it. */
	assert_int_equal(waitpid(worker, &status, WNOHANG), 0);
	kill(worker, SIGKILL);
	assert_int_equal(waitpid(worker, &status, 0), worker);
}

/* Of each database in turn: what the identities that were met stood for. */
struct met {
	char identity[STILL_IDENTITY_MAX_BYTES + 1];
	uint64_t digest;
};
#define MET_MAX 40

/* Freeze, and compare with all that was met before; how many are the same. */
static unsigned meet(struct context *c, struct met *met, size_t *n_met)
{
	uint8_t **all;
	unsigned n_same = 0;

	freeze(c);
	all = read_all(c);
	for (uint32_t i = 0; i < c->snapshot.n; i++) {
		const char *identity = c->snapshot.identities[i];
		size_t size = (size_t) c->snapshot.entries[i].size_bytes;
		struct met *new = &met[*n_met];
		const char *path = c->snapshot.entries[i].path;

		if (!all[i] || !identity)
			continue;
		assert_true(strlen(identity) <= STILL_IDENTITY_MAX_BYTES);
		for (const char *p = identity; *p; p++)
			assert_true(isprint((unsigned char) *p));
		assert_true(*n_met < MET_MAX);
		strcpy(new->identity, identity);
		new->digest = still_hash64_seeded(
		    all[i], size, still_hash64(path, strlen(path)));
		for (size_t k = 0; k < *n_met; k++) {
			if (strcmp(met[k].identity, identity) != 0)
				continue;
			assert_true(met[k].digest == new->digest);
			n_same++;
			break;
		}
		++*n_met;
	}
	free_all(c, all);
	thaw(c);
	return n_same;
}

static void never_takes_one_for_another(struct context *c)
{
	const struct fixture *fixture = c->source.fixture;
	struct met met[MET_MAX];
	size_t n_met = 0;
	pid_t worker = -1;

	for (int i = 0; i < 3; i++) {
		meet(c, met, &n_met);
		change(c);
		assert_int_equal(meet(c, met, &n_met), 0);
	}
	/* Who is left alone is known again. */
	if (fixture->rest_ns)
		still_sys_sleep_ns(fixture->rest_ns);
	meet(c, met, &n_met);
	assert_int_equal(meet(c, met, &n_met), fixture->n_databases);
	if (fixture->work)
		worker = fixture->work(&c->source);
	for (int i = 0; i < 4; i++)
		meet(c, met, &n_met);
	if (worker >= 0) {
		kill(worker, SIGKILL);
		assert_int_equal(waitpid(worker, NULL, 0), worker);
	}
}

/* Of one database, while it is frozen. */
#define FDS_MAX 10

static void leaks_no_descriptor(struct context *c)
{
	unsigned thawed = scratch_count_fds();
	unsigned most = thawed +
	    FDS_MAX * (unsigned) c->source.fixture->n_databases;

	for (int i = 0; i < 20; i++) {
		uint8_t **all;

		freeze(c);
		all = read_all(c);
		free_all(c, all);
		/* An engine may let go of some meanwhile. */
		assert_true(scratch_count_fds() <= most);
		thaw(c);
		assert_int_equal(scratch_count_fds(), thawed);
	}
}

static void thaws_more_than_once(struct context *c)
{
	still_engine_thaw(c->instance);
	freeze(c);
	thaw(c);
	thaw(c);
	freeze(c);
	judge(c, 0);
	/* And not at all: detach does it. */
}

static void stops_when_told(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;
	unsigned n_fds = scratch_count_fds();

	atomic_store(&c->cancel, true);
	assert_int_equal(try_freeze(c, &err), STILL_ERR_CANCELLED);
	assert_int_equal(err.code, STILL_ERR_CANCELLED);
	still_error_clear(&err);
	/* Nothing is held, and all can be had again. */
	assert_int_equal(scratch_count_fds(), n_fds);
	if (c->source.fixture->check_released)
		c->source.fixture->check_released();
	atomic_store(&c->cancel, false);
	freeze(c);
	judge(c, 0);
	thaw(c);
}

static void detaches_nothing(struct context *c)
{
	(void) c;
	still_engine_detach(NULL);
}

static const struct {
	const char *name;
	void (*run)(struct context *c);
} promises[] = {
    {"describes", describes},
    {"refuses what is missing", refuses_what_is_missing},
    {"hands over files", hands_over_files},
    {"reads anywhere", reads_anywhere},
    {"reads by many", reads_by_many},
    {"holds still", holds_still},
    {"moves on", moves_on},
    {"freezes beside work", freezes_beside_work},
    {"never takes one for another", never_takes_one_for_another},
    {"leaks no descriptor", leaks_no_descriptor},
    {"thaws more than once", thaws_more_than_once},
    {"stops when told", stops_when_told},
    {"detaches nothing", detaches_nothing},
};
#define N_PROMISES (sizeof(promises) / sizeof(promises[0]))

struct pair {
	size_t fixture;
	size_t promise;
	char name[80];
};

static void run_pair(void **state)
{
	const struct pair *pair = *state;
	struct context context;

	setup_one(&context, &fixtures[pair->fixture]);
	promises[pair->promise].run(&context);
	teardown_one(&context);
}

static int run_all(void)
{
	static struct pair pairs[N_FIXTURES * N_PROMISES];
	struct CMUnitTest tests[N_FIXTURES * N_PROMISES];
	size_t n = 0;

	for (size_t f = 0; f < N_FIXTURES; f++)
		for (size_t p = 0; p < N_PROMISES; p++, n++) {
			pairs[n].fixture = f;
			pairs[n].promise = p;
			snprintf(pairs[n].name, sizeof(pairs[n].name), "%s: %s",
			    fixtures[f].name, promises[p].name);
			tests[n] = (struct CMUnitTest){
			    .name = pairs[n].name,
			    .test_func = run_pair,
			    .initial_state = &pairs[n],
			};
		}
	scratch_watchdog();
	return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
#ifdef WITH_SQLITE
	if (argc == 4 && strcmp(argv[1], "sql") == 0)
		return sql_main(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "work") == 0)
		return work_main(argv[2]);
#endif
	(void) argv;
	return argc == 1 ? run_all() : EXIT_FAILURE;
}
