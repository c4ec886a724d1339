/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/deep.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define CACHE_KIB 2048
#define STEPS_PER_LOOK 10000

struct deep {
	struct sqlite_image *image;
	const atomic_bool *cancel;
	struct still_error failure; /* the first of a read */
};

/* ---- the image as a file of SQLite's -------------------------------------- */

struct deep_file {
	sqlite3_file base; /* first */
	struct deep *deep;
};

static int deep_close(sqlite3_file *file)
{
	(void) file;
	return SQLITE_OK;
}

static int deep_read(sqlite3_file *base, void *data, int len, sqlite3_int64 off)
{
	struct deep *deep = ((struct deep_file *) base)->deep;
	uint64_t size = sqlite_image_bytes(deep->image);
	uint64_t from = (uint64_t) off;
	size_t n = (size_t) len;

	if (atomic_load(deep->cancel))
		return SQLITE_INTERRUPT;
	if (from >= size)
		n = 0;
	else if (n > size - from)
		n = (size_t) (size - from);
	if (n > 0 &&
	    sqlite_image_read(deep->image, from, data, n,
		deep->failure.code ? NULL : &deep->failure) < 0)
		return SQLITE_IOERR_READ;
	if (n == (size_t) len)
		return SQLITE_OK;
	memset((char *) data + n, 0, (size_t) len - n);
	return SQLITE_IOERR_SHORT_READ;
}

static int deep_write(
    sqlite3_file *file, const void *data, int len, sqlite3_int64 off)
{
	(void) file;
	(void) data;
	(void) len;
	(void) off;
	return SQLITE_READONLY;
}

static int deep_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	(void) file;
	(void) size;
	return SQLITE_READONLY;
}

static int deep_size(sqlite3_file *base, sqlite3_int64 *ret)
{
	struct deep *deep = ((struct deep_file *) base)->deep;

	*ret = (sqlite3_int64) sqlite_image_bytes(deep->image);
	return SQLITE_OK;
}

/* An image does not change, so its locks and syncs mean nothing. */
static int deep_nothing(sqlite3_file *file, int flags)
{
	(void) file;
	(void) flags;
	return SQLITE_OK;
}

static int deep_reserved(sqlite3_file *file, int *ret)
{
	(void) file;
	*ret = 0;
	return SQLITE_OK;
}

static int deep_control(sqlite3_file *file, int op, void *arg)
{
	(void) file;
	(void) op;
	(void) arg;
	return SQLITE_NOTFOUND;
}

static int deep_sector(sqlite3_file *file)
{
	(void) file;
	return 4096;
}

static int deep_traits(sqlite3_file *file)
{
	(void) file;
	return SQLITE_IOCAP_IMMUTABLE;
}

static const sqlite3_io_methods deep_methods = {
    .iVersion = 1,
    .xClose = deep_close,
    .xRead = deep_read,
    .xWrite = deep_write,
    .xTruncate = deep_truncate,
    .xSync = deep_nothing,
    .xFileSize = deep_size,
    .xLock = deep_nothing,
    .xUnlock = deep_nothing,
    .xCheckReservedLock = deep_reserved,
    .xFileControl = deep_control,
    .xSectorSize = deep_sector,
    .xDeviceCharacteristics = deep_traits,
};

static int deep_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base,
    int flags, int *ret_flags)
{
	struct deep_file *file = (struct deep_file *) base;

	(void) name;
	base->pMethods = NULL;
	if (!(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	file->deep = vfs->pAppData;
	base->pMethods = &deep_methods;
	if (ret_flags)
		*ret_flags = SQLITE_OPEN_READONLY;
	return SQLITE_OK;
}

static int deep_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void) vfs;
	(void) name;
	(void) sync;
	return SQLITE_READONLY;
}

static int deep_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	(void) vfs;
	(void) name;
	(void) flags;
	*ret = 0;
	return SQLITE_OK;
}

static int deep_path(sqlite3_vfs *vfs, const char *name, int len, char *ret)
{
	(void) vfs;
	snprintf(ret, (size_t) len, "%s", name);
	return SQLITE_OK;
}

/* ---- the check ------------------------------------------------------------ */

static int cancelled(void *arg)
{
	return atomic_load((const atomic_bool *) arg);
}

static int prepare(sqlite3 *conn, const struct deep *deep)
{
	char sql[160];

	sqlite3_extended_result_codes(conn, 1);
	sqlite3_db_config(conn, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(conn, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_progress_handler(
	    conn, STEPS_PER_LOOK, cancelled, (void *) deep->cancel);
	snprintf(sql, sizeof(sql),
	    "PRAGMA cell_size_check=1; PRAGMA ignore_check_constraints=1;"
	    "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
	    "PRAGMA cache_size=-%d",
	    CACHE_KIB);
	return sqlite3_exec(conn, sql, NULL, NULL, NULL);
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
static int failed(struct sqlite_image *image, struct deep *deep, int rc,
    const char *pragma, const char *text, struct still_error *err)
{
	int primary = rc & 0xff;

	if (atomic_load(deep->cancel))
		return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
		    "database `%s`: its check was stopped", image->rel);
	if (deep->failure.code == STILL_ERR_CORRUPT) {
		if (!image->damage.code)
			still_error_copy(&image->damage, &deep->failure);
		return 0;
	}
	if (deep->failure.code) {
		if (err)
			still_error_copy(err, &deep->failure);
		return deep->failure.code;
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

static int check(struct sqlite_image *image, sqlite3 *conn, struct deep *deep,
    enum sqlite_depth depth, struct still_error *err)
{
	const char *pragma = depth == SQLITE_DEPTH_INTEGRITY ? "integrity_check"
							     : "quick_check";
	sqlite3_stmt *stmt = NULL;
	char sql[40];
	int result = 0;
	int rc;

	snprintf(sql, sizeof(sql), "PRAGMA %s(1)", pragma);
	rc = prepare(conn, deep);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(conn, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	/* What SQLite says of a page that we did not give it is no damage. */
	if (rc == SQLITE_ROW && !deep->failure.code &&
	    !atomic_load(deep->cancel)) {
		const char *text = (const char *) sqlite3_column_text(stmt, 0);

		if (text && strcmp(text, "ok") == 0)
			image->depth = depth;
		else
			note_damage(image, pragma, text ? text : "nothing");
	} else {
		result = failed(
		    image, deep, rc, pragma, sqlite3_errmsg(conn), err);
	}
	sqlite3_finalize(stmt);
	return result;
}

int sqlite_deep_check(struct sqlite_image *image, enum sqlite_depth depth,
    const atomic_bool *cancel, struct still_error *err)
{
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	struct deep deep = {image, cancel, STILL_ERROR_INIT};
	char name[40];
	sqlite3_vfs vfs = {
	    .iVersion = 1,
	    .szOsFile = sizeof(struct deep_file),
	    .mxPathname = 64,
	    .zName = name,
	    .pAppData = &deep,
	    .xOpen = deep_open,
	    .xDelete = deep_delete,
	    .xAccess = deep_access,
	    .xFullPathname = deep_path,
	    .xRandomness = real->xRandomness,
	    .xSleep = real->xSleep,
	    .xCurrentTime = real->xCurrentTime,
	    .xGetLastError = real->xGetLastError,
	};
	sqlite3 *conn = NULL;
	int rc;

	/* An empty file is an empty database. */
	if (sqlite_image_bytes(image) == 0) {
		image->depth = depth;
		return 0;
	}
	snprintf(name, sizeof(name), "image-%p", (void *) image);
	if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
		return still_error_nomem(err);
	rc = sqlite3_open_v2("file:image?immutable=1", &conn,
	    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, name);
	rc = rc == SQLITE_OK
	    ? check(image, conn, &deep, depth, err)
	    : failed(image, &deep, rc, "open", sqlite3_errstr(rc), err);
	sqlite3_close(conn);
	sqlite3_vfs_unregister(&vfs);
	still_error_clear(&deep.failure);
	return rc;
}
