/* SPDX-License-Identifier: MIT */
/* roamer: see roamer.h. A request is a line, a word and a number; its answer is
 * one byte. */
#include "config.h"

#include "tests/lib/roamer.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "tests/unit/scratch.h"

/* Beyond this one shrinks. */
#define LARGE_BYTES 300000
#define BUSY_MS 3000
#define PAUSE_NS_MAX 2000000
#define SHARED_FD 3

extern char **environ;

const char *const roamer_names[ROAMER_DATABASES] = {
    "a.db", "b.db", "sub/c.db", "sub/deep/d.db", "e\xe4.db", "f.db"};

/* What both see. */
struct shared {
	struct {
		atomic_bool there;
		atomic_bool rests;
		_Atomic uint64_t begun;
		_Atomic uint64_t acked;
	} databases[ROAMER_DATABASES];
	_Atomic uint64_t steps;
};

/* ---- the other process --------------------------------------------------- */

struct application {
	const char *dir;
	struct shared *shared;
	uint64_t random;
	sqlite3 *dbs[ROAMER_DATABASES];
};

static unsigned below(struct application *app, unsigned n)
{
	return (unsigned) scratch_below(&app->random, n);
}

/* False: somebody else has it locked, and nothing was done. */
static bool run(struct application *app, unsigned i, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool run(struct application *app, unsigned i, const char *format, ...)
{
	char sql[1024];
	va_list args;
	int rc;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	rc = sqlite3_exec(app->dbs[i], sql, NULL, NULL, NULL) & 0xff;
	if (rc == SQLITE_OK)
		return true;
	if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return false;
	fprintf(stderr, "%s: %s: %s\n", roamer_names[i], sql,
	    sqlite3_errmsg(app->dbs[i]));
	exit(EXIT_FAILURE);
}

static sqlite3_int64 ask(
    struct application *app, unsigned i, const char *sql, sqlite3_int64 other)
{
	sqlite3_stmt *stmt = NULL;
	sqlite3_int64 value = other;

	if (sqlite3_prepare_v2(app->dbs[i], sql, -1, &stmt, NULL) ==
		SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return value;
}

/* One transaction, with the next number in it. */
static void commit(struct application *app, unsigned i, const char *sql)
{
	uint64_t next = app->shared->databases[i].acked + 1;

	if (!run(app, i, "BEGIN IMMEDIATE"))
		return;
	app->shared->databases[i].begun = next;
	if (run(app, i, "%s", sql) &&
	    run(app, i, "INSERT INTO s VALUES(%llu)",
		(unsigned long long) next) &&
	    run(app, i, "COMMIT"))
		app->shared->databases[i].acked = next;
	else
		run(app, i, "ROLLBACK");
}

static void commitf(struct application *app, unsigned i, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

static void commitf(
    struct application *app, unsigned i, const char *format, ...)
{
	char sql[512];
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	commit(app, i, sql);
}

static void grow(struct application *app, unsigned i)
{
	commitf(app, i,
	    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM c"
	    " WHERE i < %u) INSERT INTO t(b) SELECT randomblob(%u) FROM c",
	    1 + below(app, 200), 1 + below(app, 900));
}

static void shrink(struct application *app, unsigned i)
{
	commitf(app, i, "DELETE FROM t WHERE a %% %u > 0", 2 + below(app, 9));
	run(app, i, "VACUUM");
}

static void checkpoint(struct application *app, unsigned i)
{
	static const char *const modes[] = {
	    "PASSIVE", "FULL", "RESTART", "TRUNCATE"};

	run(app, i, "PRAGMA wal_checkpoint(%s)", modes[below(app, 4)]);
}

static void step(struct application *app, unsigned i)
{
	unsigned n = 2 + below(app, 9);

	if (ask(app, i, "PRAGMA page_count", 0) *
		ask(app, i, "PRAGMA page_size", 0) >
	    LARGE_BYTES)
		shrink(app, i);
	switch (below(app, 12)) {
	case 0:
		commitf(app, i, "DELETE FROM t WHERE a %% %u = 0", n);
		break;
	case 1:
		shrink(app, i);
		break;
	case 2:
		commitf(app, i,
		    "CREATE TABLE IF NOT EXISTS u%u(a, b UNIQUE);"
		    "INSERT INTO u%u SELECT a, randomblob(9) FROM t LIMIT 20",
		    n, n);
		break;
	case 3:
		commitf(app, i, "DROP TABLE IF EXISTS u%u", n);
		break;
	case 4:
	case 5:
		commitf(app, i,
		    "UPDATE t SET b=randomblob(50) WHERE a %% %u = 1", n);
		break;
	case 6:
		run(app, i, "PRAGMA incremental_vacuum(%u)", n);
		break;
	case 7:
	case 8:
		checkpoint(app, i);
		break;
	case 9:
		shrink(app, i);
		grow(app, i);
		break;
	default:
		grow(app, i);
	}
}

static const char *path_of(const struct application *app, unsigned i)
{
	return scratch_path(app->dir, roamer_names[i]);
}

/* What is there already has its numbers. */
static void open_database(struct application *app, unsigned i)
{
	uint64_t last;

	if (sqlite3_open(path_of(app, i), &app->dbs[i]) != SQLITE_OK)
		exit(EXIT_FAILURE);
	sqlite3_busy_timeout(app->dbs[i], BUSY_MS);
	sqlite3_db_config(
	    app->dbs[i], SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	run(app, i, "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=%u",
	    below(app, 2) * 100);
	last = (uint64_t) ask(app, i, "SELECT max(n) FROM s", 0);
	app->shared->databases[i].begun = last;
	app->shared->databases[i].acked = last;
	app->shared->databases[i].there = true;
}

static void create_database(struct application *app, unsigned i)
{
	open_database(app, i);
	run(app, i,
	    "PRAGMA page_size=%u; PRAGMA auto_vacuum=%u;"
	    "PRAGMA journal_mode=WAL;"
	    "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
	    "CREATE TABLE s(n INTEGER PRIMARY KEY)",
	    512U << below(app, 8), below(app, 3));
	grow(app, i);
}

static void close_database(struct application *app, unsigned i)
{
	if (app->dbs[i] && sqlite3_close(app->dbs[i]) != SQLITE_OK)
		exit(EXIT_FAILURE);
	app->dbs[i] = NULL;
}

static void drop_database(struct application *app, unsigned i)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	close_database(app, i);
	app->shared->databases[i].there = false;
	for (int k = 0; k < 3; k++) {
		char path[PATH_MAX];

		snprintf(
		    path, sizeof(path), "%s%s", path_of(app, i), suffixes[k]);
		unlink(path);
	}
}

/* Nobody else has it. */
static void turn_database(struct application *app, unsigned i)
{
	run(app, i,
	    "PRAGMA journal_mode=DELETE; PRAGMA page_size=%u; VACUUM;"
	    "PRAGMA journal_mode=WAL",
	    512U << below(app, 8));
}

static void obey(struct application *app)
{
	static void (*const orders[])(struct application *, unsigned) = {
	    ['c'] = create_database,
	    ['d'] = drop_database,
	    ['t'] = turn_database,
	};
	unsigned char order[2];

	/* The test is gone. */
	if (read(STDIN_FILENO, order, sizeof(order)) != sizeof(order))
		exit(EXIT_SUCCESS);
	orders[order[0]](app, order[1]);
	if (write(STDOUT_FILENO, "+", 1) != 1)
		exit(EXIT_FAILURE);
}

static void roam(struct application *app)
{
	for (;;) {
		struct pollfd asked = {.fd = STDIN_FILENO, .events = POLLIN};
		unsigned i = below(app, ROAMER_DATABASES);

		if (poll(&asked, 1, 0) > 0)
			obey(app);
		if (app->dbs[i] && !app->shared->databases[i].rests)
			step(app, i);
		app->shared->steps++;
		still_sys_sleep_ns(below(app, PAUSE_NS_MAX));
	}
}

int roamer_main(int argc, char **argv)
{
	struct application app = {0};

	if (argc != 4 || strcmp(argv[1], "roam") != 0)
		return -1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	app.dir = argv[2];
	app.random = strtoull(argv[3], NULL, 0);
	app.shared = mmap(NULL, sizeof(*app.shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED, SHARED_FD, 0);
	if (app.shared == MAP_FAILED)
		return EXIT_FAILURE;
	for (unsigned i = 0; i < ROAMER_DATABASES; i++)
		if (access(path_of(&app, i), F_OK) == 0)
			open_database(&app, i);
	if (write(STDOUT_FILENO, "+", 1) == 1)
		roam(&app);
	return EXIT_FAILURE;
}

/* ---- the test ------------------------------------------------------------ */

struct roamer {
	char *dir; /* owned */
	uint64_t seed;
	struct shared *shared;
	int shared_fd;
	pid_t pid;
	int to;
	int from;
};

static void answered(struct roamer *roamer)
{
	char byte = 0;

	assert_int_equal(read(roamer->from, &byte, 1), 1);
	assert_int_equal(byte, '+');
}

static void spawn(struct roamer *roamer)
{
	char self[] = "/proc/self/exe";
	char word[] = "roam";
	char seed[32];
	char *argv[] = {self, word, roamer->dir, seed, NULL};
	posix_spawn_file_actions_t actions;
	int in[2];
	int out[2];

	snprintf(seed, sizeof(seed), "%llu", (unsigned long long) roamer->seed);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(
	    &actions, roamer->shared_fd, SHARED_FD);
	assert_int_equal(
	    posix_spawn(&roamer->pid, self, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	roamer->to = in[1];
	roamer->from = out[0];
	answered(roamer);
}

struct roamer *roamer_start(const char *dir, uint64_t seed)
{
	struct roamer *roamer = calloc(1, sizeof(*roamer));

	assert_non_null(roamer);
	roamer->dir = strdup(dir);
	roamer->seed = seed;
	roamer->shared_fd = memfd_create("roamer", MFD_CLOEXEC);
	assert_true(roamer->shared_fd >= 0);
	assert_int_equal(
	    ftruncate(roamer->shared_fd, sizeof(*roamer->shared)), 0);
	roamer->shared = mmap(NULL, sizeof(*roamer->shared),
	    PROT_READ | PROT_WRITE, MAP_SHARED, roamer->shared_fd, 0);
	assert_true(roamer->shared != MAP_FAILED);
	spawn(roamer);
	return roamer;
}

static void order(struct roamer *roamer, unsigned char what, unsigned i)
{
	const unsigned char bytes[2] = {what, (unsigned char) i};

	assert_int_equal(write(roamer->to, bytes, sizeof(bytes)), 2);
	answered(roamer);
}

void roamer_create(struct roamer *roamer, unsigned i)
{
	order(roamer, 'c', i);
}

void roamer_drop(struct roamer *roamer, unsigned i)
{
	order(roamer, 'd', i);
}

void roamer_turn(struct roamer *roamer, unsigned i)
{
	order(roamer, 't', i);
}

void roamer_rest(struct roamer *roamer, unsigned i, bool rest)
{
	roamer->shared->databases[i].rests = rest;
}

bool roamer_has(const struct roamer *roamer, unsigned i)
{
	return roamer->shared->databases[i].there;
}

uint64_t roamer_begun(const struct roamer *roamer, unsigned i)
{
	return roamer->shared->databases[i].begun;
}

uint64_t roamer_acked(const struct roamer *roamer, unsigned i)
{
	return roamer->shared->databases[i].acked;
}

uint64_t roamer_steps(const struct roamer *roamer)
{
	return roamer->shared->steps;
}

/* It never ends by itself: then it met an error. */
static void reap(struct roamer *roamer)
{
	int status;

	kill(roamer->pid, SIGKILL);
	assert_int_equal(waitpid(roamer->pid, &status, 0), roamer->pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(roamer->to);
	close(roamer->from);
}

void roamer_kill(struct roamer *roamer)
{
	reap(roamer);
	roamer->seed++;
	spawn(roamer);
}

void roamer_stop(struct roamer *roamer)
{
	if (!roamer)
		return;
	reap(roamer);
	munmap(roamer->shared, sizeof(*roamer->shared));
	close(roamer->shared_fd);
	free(roamer->dir);
	free(roamer);
}
