/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/deep.h"

#include <stdio.h>
#include <string.h>

#include "engines/sqlite/reader.h"

static int read_image(void *arg, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err)
{
	return sqlite_image_read(arg, off_bytes, data, len, err);
}

static void note_damage(
    struct sqlite_image *image, const char *pragma, const char *text)
{
	if (!image->damage.code)
		still_error_set(&image->damage, STILL_ERR_CORRUPT, 0,
		    "The live database is damaged: check it with `PRAGMA "
		    "integrity_check`; what is served is what it holds.",
		    "database `%s`: %s says: %s", image->rel, pragma, text);
}

/* What SQLite's failure to check means. */
static int failed(struct sqlite_image *image, struct sqlite_reader *reader,
    int rc, const char *pragma, const char *text, struct still_error *err)
{
	int primary = rc & 0xff;

	if (atomic_load(reader->cancel))
		return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
		    "database `%s`: its check was stopped", image->rel);
	if (reader->failure.code == STILL_ERR_CORRUPT) {
		if (!image->damage.code)
			still_error_copy(&image->damage, &reader->failure);
		return 0;
	}
	if (reader->failure.code) {
		if (err)
			still_error_copy(err, &reader->failure);
		return reader->failure.code;
	}
	if (primary == SQLITE_NOMEM)
		return still_error_nomem(err);
	if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
		note_damage(image, pragma, text);
		return 0;
	}
	image->observer.warn(
	    image->observer.arg, "not-checked", image->rel, text);
	return 0;
}

static int check(struct sqlite_image *image, sqlite3 *conn,
    struct sqlite_reader *reader, enum sqlite_depth depth,
    struct still_error *err)
{
	const char *pragma = depth == SQLITE_DEPTH_INTEGRITY ? "integrity_check"
							     : "quick_check";
	sqlite3_stmt *stmt = NULL;
	char sql[40];
	int result = 0;
	int rc;

	snprintf(sql, sizeof(sql), "PRAGMA %s(1)", pragma);
	rc = sqlite_reader_prepare(reader, conn);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(conn, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	/* What SQLite says of a page that we did not give it is no damage. */
	if (rc == SQLITE_ROW && !reader->failure.code &&
	    !atomic_load(reader->cancel)) {
		const char *text = (const char *) sqlite3_column_text(stmt, 0);

		if (text && strcmp(text, "ok") == 0)
			image->depth = depth;
		else
			note_damage(image, pragma, text ? text : "nothing");
	} else {
		result = failed(
		    image, reader, rc, pragma, sqlite3_errmsg(conn), err);
	}
	sqlite3_finalize(stmt);
	return result;
}

int sqlite_deep_check(struct sqlite_image *image, enum sqlite_depth depth,
    const atomic_bool *cancel, struct still_error *err)
{
	struct sqlite_reader reader = {
	    .read = read_image,
	    .arg = image,
	    .bytes = sqlite_image_bytes(image),
	    .cancel = cancel,
	};
	sqlite3 *conn = NULL;
	int rc;

	/* An empty file is an empty database. */
	if (reader.bytes == 0) {
		image->depth = depth;
		return 0;
	}
	rc = sqlite_reader_open(&reader, &conn);
	rc = rc == SQLITE_OK
	    ? check(image, conn, &reader, depth, err)
	    : failed(image, &reader, rc, "open", sqlite3_errstr(rc), err);
	sqlite_reader_close(&reader, conn);
	return rc;
}
