/* SPDX-License-Identifier: MIT */
/* app: see app.h. A request is a line: SQL, or a dot and a command. An answer
 * is a line: a code, a blank, and a text. */
#include "config.h"

#include "tests/lib/app.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the other process --------------------------------------------------- */

static int run(sqlite3 *db, const char *sql, char *text, size_t len)
{
	int rc = SQLITE_OK;

	*text = '\0';
	while (rc == SQLITE_OK && *sql) {
		sqlite3_stmt *stmt = NULL;

		rc = sqlite3_prepare_v2(db, sql, -1, &stmt, &sql);
		while (rc == SQLITE_OK && stmt &&
		    (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
			const unsigned char *value = sqlite3_column_text(
			    stmt, sqlite3_column_count(stmt) - 1);

			snprintf(text, len, "%s",
			    value ? (const char *) value : "NULL");
			rc = SQLITE_OK;
		}
		if (rc == SQLITE_DONE)
			rc = SQLITE_OK;
		if (rc != SQLITE_OK)
			snprintf(text, len, "%s", sqlite3_errmsg(db));
		sqlite3_finalize(stmt);
	}
	return rc;
}

/* ".lock START LEN PATH", ".seen START LEN PATH": the lock is asked for, or
 * only asked about. */
static int lock_bytes(const char *line, bool take, char *text, size_t len)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[4096];
	long start;
	long n;
	int fd;
	int rc;

	if (sscanf(line, "%*s %ld %ld %4095[^\n]", &start, &n, path) != 3)
		return EINVAL;
	lock.l_start = start;
	lock.l_len = n;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno;
	rc = fcntl(fd, take ? F_SETLK : F_GETLK, &lock) == 0 ? 0 : errno;
	snprintf(text, len, "%s", lock.l_type == F_UNLCK ? "free" : "held");
	if (!take)
		close(fd);
	return rc;
}

/* ".flip OFFSET PATH" */
static int flip(const char *line)
{
	unsigned char byte;
	char path[4096];
	long off;
	int rc = 0;
	int fd;

	if (sscanf(line, "%*s %ld %4095[^\n]", &off, path) != 2)
		return EINVAL;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (pread(fd, &byte, 1, off) != 1)
		rc = EIO;
	byte ^= 1;
	if (rc == 0 && pwrite(fd, &byte, 1, off) != 1)
		rc = EIO;
	close(fd);
	return rc;
}

/* What an application brings along, and SQLite does not know by itself. */
static int collate(void *arg, int n, const void *a, int m, const void *b)
{
	int rc = memcmp(a, b, (size_t) (n < m ? n : m));

	(void) arg;
	return rc ? -rc : m - n;
}

static void twice(sqlite3_context *context, int n, sqlite3_value **values)
{
	(void) n;
	sqlite3_result_int64(context, 2 * sqlite3_value_int64(values[0]));
}

static void bring_along(sqlite3 *db)
{
	sqlite3_create_collation(db, "ours", SQLITE_UTF8, NULL, collate);
	sqlite3_create_function(db, "twice", 1,
	    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, twice,
	    NULL, NULL);
}

/* ".reserve BYTES", before there is anything in the database */
static int reserve(sqlite3 *db, const char *line)
{
	int bytes = atoi(strchr(line, ' '));

	return sqlite3_file_control(
	    db, "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes);
}

static int answer(sqlite3 *db, const char *line, char *text, size_t len)
{
	*text = '\0';
	if (strncmp(line, ".lock ", 6) == 0)
		return lock_bytes(line, true, text, len);
	if (strncmp(line, ".seen ", 6) == 0)
		return lock_bytes(line, false, text, len);
	if (strncmp(line, ".flip ", 6) == 0)
		return flip(line);
	if (strncmp(line, ".reserve ", 9) == 0)
		return reserve(db, line);
	return run(db, line, text, len);
}

int app_main(int argc, char **argv)
{
	sqlite3 *db = NULL;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	char text[512];

	if (argc != 3 || strcmp(argv[1], "app") != 0)
		return -1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (*argv[2] && sqlite3_open(argv[2], &db) != SQLITE_OK)
		return EXIT_FAILURE;
	if (db) {
		sqlite3_extended_result_codes(db, 1);
		sqlite3_db_config(
		    db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		bring_along(db);
	}
	while ((n = getline(&line, &size, stdin)) > 0) {
		int rc;

		line[n - 1] = '\0';
		rc = answer(db, line, text, sizeof(text));
		for (char *p = text; (p = strchr(p, '\n'));)
			*p = ' ';
		printf("%d %s\n", rc, text);
		fflush(stdout);
	}
	free(line);
	sqlite3_close(db);
	return EXIT_SUCCESS;
}

/* ---- the test ------------------------------------------------------------ */

struct app {
	pid_t pid;
	FILE *to;
	FILE *from;
	char *line; /* the last answer */
	size_t size;
};

struct app *app_open(const char *path)
{
	char self[] = "/proc/self/exe";
	char word[] = "app";
	char *argv[] = {self, word, (char *) path, NULL};
	struct app *app = calloc(1, sizeof(*app));
	posix_spawn_file_actions_t actions;
	int in[2];
	int out[2];

	assert_non_null(app);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	assert_int_equal(
	    posix_spawn(&app->pid, self, &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	app->to = fdopen(in[1], "w");
	app->from = fdopen(out[0], "r");
	assert_non_null(app->to);
	assert_non_null(app->from);
	return app;
}

void app_start(struct app *app, const char *statements)
{
	assert_null(strchr(statements, '\n'));
	fprintf(app->to, "%s\n", statements);
	assert_int_equal(fflush(app->to), 0);
}

int app_finish(struct app *app)
{
	ssize_t n = getline(&app->line, &app->size, app->from);

	assert_true(n > 2);
	app->line[n - 1] = '\0';
	return atoi(app->line);
}

int app_try(struct app *app, const char *statements)
{
	app_start(app, statements);
	return app_finish(app);
}

pid_t app_pid(const struct app *app)
{
	return app->pid;
}

static const char *text_of(const struct app *app)
{
	return strchr(app->line, ' ') + 1;
}

const char *app_sql(struct app *app, const char *statements)
{
	if (app_try(app, statements) != SQLITE_OK)
		fail_msg("%s: %s", statements, app->line);
	return text_of(app);
}

static int reap(struct app *app)
{
	int status = -1;

	fclose(app->to);
	assert_int_equal(waitpid(app->pid, &status, 0), app->pid);
	fclose(app->from);
	free(app->line);
	free(app);
	return status;
}

void app_close(struct app *app)
{
	if (app)
		assert_int_equal(reap(app), 0);
}

void app_kill(struct app *app)
{
	kill(app->pid, SIGKILL);
	assert_true(WIFSIGNALED(reap(app)));
}

void app_once(
    const char *path, const char *statements, char *out, size_t out_len)
{
	struct app *app = app_open(path);

	snprintf(out, out_len, "%s", app_sql(app, statements));
	app_close(app);
}

void app_reserve(struct app *app, int bytes)
{
	char line[32];

	snprintf(line, sizeof(line), ".reserve %d", bytes);
	app_sql(app, line);
}

static const char *command(
    struct app *app, const char *name, const char *numbers, const char *path)
{
	char line[4200];

	snprintf(line, sizeof(line), ".%s %s %s", name, numbers, path);
	return app_sql(app, line);
}

bool app_lock_bytes(struct app *app, const char *path, long start, long len)
{
	char line[4200];

	snprintf(line, sizeof(line), ".lock %ld %ld %s", start, len, path);
	return app_try(app, line) == 0;
}

bool app_sees_lock(struct app *app, const char *path, long start, long len)
{
	char numbers[64];

	snprintf(numbers, sizeof(numbers), "%ld %ld", start, len);
	return strcmp(command(app, "seen", numbers, path), "held") == 0;
}

void app_flip(struct app *app, const char *path, long off_bytes)
{
	char numbers[32];

	snprintf(numbers, sizeof(numbers), "%ld", off_bytes);
	command(app, "flip", numbers, path);
}
