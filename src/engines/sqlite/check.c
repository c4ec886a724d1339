/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sys.h"
#include "engines/sqlite/reader.h"

#define MESSAGES "10"

/* Of a connection; a check that needs more is not one of a database that SQLite
 * wrote. */
#define HEAP_MAX_BYTES (INT64_C(256) << 20)

struct target {
	const struct still_check_request *request;
	const char *path;
	int fd;
};

/* ---- the file ------------------------------------------------------------ */

static int read_target(void *arg, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err)
{
	const struct target *target = arg;
	ssize_t n = still_sys_pread(target->fd, data, len, off_bytes);

	if (n < 0)
		return still_error_sys(
		    err, (int) -n, NULL, "`%s`", target->path);
	if ((size_t) n < len)
		return still_error_set(err, STILL_ERR_IO, 0,
		    "Let nobody write to the set while it is checked.",
		    "`%s`: became shorter while it was checked", target->path);
	return 0;
}

/* ---- what SQLite says ---------------------------------------------------- */

static void say(void (*tell)(void *arg, const char *path, const char *text),
    const struct target *target, const char *what, const char *text)
{
	struct still_buf line = STILL_BUF_INIT;

	still_buf_printf(&line, "`%s`: %s: %s", target->path, what, text);
	tell(target->request->arg, target->path,
	    line.failed ? "out of memory" : line.data);
	still_buf_release(&line);
}

/* What its failure to check means. */
static int failed(const struct target *target, struct sqlite_reader *reader,
    int rc, const char *text, struct still_error *err)
{
	int primary = rc & 0xff;

	if (reader->failure.code) {
		if (err)
			still_error_copy(err, &reader->failure);
		return reader->failure.code;
	}
	if (primary == SQLITE_NOMEM)
		return still_error_nomem(err);
	if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
		say(target->request->damaged, target, "integrity_check says",
		    text);
	else
		say(target->request->unchecked, target,
		    "SQLite cannot check it", text);
	return 0;
}

/* The rows: one that is "ok", or what is wrong. */
static int step_all(sqlite3_stmt *stmt, struct still_buf *found, bool *ret_ok)
{
	int rc;

	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *text = (const char *) sqlite3_column_text(stmt, 0);

		if (text && strcmp(text, "ok") == 0) {
			*ret_ok = true;
			continue;
		}
		still_buf_printf(
		    found, "%s%s", found->len ? "; " : "", text ? text : "-");
	}
	for (size_t i = 0; i < found->len; i++)
		if (found->data[i] == '\n')
			found->data[i] = ' ';
	return rc;
}

static int check(const struct target *target, sqlite3 *conn,
    struct sqlite_reader *reader, struct still_error *err)
{
	struct still_buf found = STILL_BUF_INIT;
	sqlite3_stmt *stmt = NULL;
	bool ok = false;
	int result = 0;
	int rc = sqlite_reader_prepare(reader, conn);

	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(conn,
		    "PRAGMA integrity_check(" MESSAGES ")", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = step_all(stmt, &found, &ok);
	/* What SQLite says of a page that it did not get is no damage. */
	if (rc != SQLITE_DONE || reader->failure.code)
		result = failed(target, reader, rc, sqlite3_errmsg(conn), err);
	else if (ok && found.len == 0)
		target->request->sound(target->request->arg, target->path);
	else
		say(target->request->damaged, target, "integrity_check says",
		    found.data ? found.data : "nothing");
	still_buf_release(&found);
	sqlite3_finalize(stmt);
	return result;
}

/* ---- the databases ------------------------------------------------------- */

static int check_open(struct target *target, struct still_error *err)
{
	static const atomic_bool never;
	struct sqlite_reader reader = {
	    .read = read_target, .arg = target, .cancel = &never};
	struct stat st;
	sqlite3 *conn = NULL;
	int rc = still_sys_fstat(target->fd, &st);

	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", target->path);
	/* An empty file is an empty database. */
	if (st.st_size == 0) {
		target->request->sound(target->request->arg, target->path);
		return 0;
	}
	reader.bytes = (uint64_t) st.st_size;
	rc = sqlite_reader_open(&reader, &conn);
	rc = rc == SQLITE_OK
	    ? check(target, conn, &reader, err)
	    : failed(target, &reader, rc, sqlite3_errstr(rc), err);
	sqlite_reader_close(&reader, conn);
	return rc;
}

int sqlite_check_set(
    const struct still_check_request *request, struct still_error *err)
{
	int rc = 0;

	sqlite3_hard_heap_limit64(HEAP_MAX_BYTES);
	for (size_t i = 0; rc == 0 && i < request->n; i++) {
		struct target target = {request, request->paths[i], -1};

		request->begin(request->arg, target.path);
		target.fd = still_sys_open_plain(request->set_fd, target.path);
		if (target.fd < 0)
			return still_error_sys(
			    err, -target.fd, NULL, "`%s`", target.path);
		rc = check_open(&target, err);
		close(target.fd);
	}
	return rc;
}
