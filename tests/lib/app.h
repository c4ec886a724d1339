/* SPDX-License-Identifier: MIT */
/*
 * app: an application that has a database open, for tests that freeze it.
 *
 * SQLite's locks belong to the process, so it is another process: the test
 * program itself, started anew, whose main() gives its arguments to app_main()
 * first. It does one line at a time and answers it, so a test knows what it
 * holds and waits for no time. It brings along a collation `ours` and a function
 * `twice`, which SQLite does not know by itself. It waits for no lock unless told to, and leaves
 * its log behind when it ends, as an application does that is killed; it is,
 * when the test is.
 *
 * Whatever goes wrong here fails the test.
 */
#ifndef TESTS_LIB_APP_H
#define TESTS_LIB_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* -1 when the program was not started as an application; else what main()
 * returns. */
int app_main(int argc, char **argv);

struct app;

/* Start one that has `path` open. Ended by app_close() or app_kill(). */
struct app *app_open(const char *path);

/* Run statements, without a newline in them; the (extended) result code of the
 * first that fails, or SQLITE_OK. */
int app_try(struct app *app, const char *statements);

/* As above, and they must succeed. The last column of the last row, "" without
 * one; valid until the next call. */
const char *app_sql(struct app *app, const char *statements);

/* Let it run statements and wait for nothing; nothing else may be asked of it
 * until app_finish(), which returns what app_try() does. */
void app_start(struct app *app, const char *statements);
int app_finish(struct app *app);

pid_t app_pid(const struct app *app);

/* Close the database, but do not write its log back. Accepts NULL. */
void app_close(struct app *app);

/* SIGKILL, wherever it stands. */
void app_kill(struct app *app);

/* One that lives for these statements only. As app_sql(), into `out`. */
void app_once(
    const char *path, const char *statements, char *out, size_t out_len);

/* That many bytes stay free at the end of each page; before the database has
 * any. */
void app_reserve(struct app *app, int bytes);

/* What follows opens and closes files itself, so `app` should be one that was
 * opened on no database (""). */

/* Lock bytes of a file for writing; false when somebody else has them. Held
 * until the application ends. */
bool app_lock_bytes(struct app *app, const char *path, long start, long len);

/* Does any other process hold a lock on these bytes? `len` 0: to the end. */
bool app_sees_lock(struct app *app, const char *path, long start, long len);

/* Turn one bit of a file over. */
void app_flip(struct app *app, const char *path, long off_bytes);

#endif
