/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/reader.h"

#include <stdio.h>
#include <string.h>

#define CACHE_KIB 2048
#define STEPS_PER_LOOK 10000

/* ---- the file -------------------------------------------------------------- */

struct reader_file {
	sqlite3_file base; /* first */
	struct sqlite_reader *reader;
};

static int reader_close(sqlite3_file *file)
{
	(void) file;
	return SQLITE_OK;
}

static int reader_read(
    sqlite3_file *base, void *data, int len, sqlite3_int64 off)
{
	struct sqlite_reader *reader = ((struct reader_file *) base)->reader;
	uint64_t size = reader->bytes;
	uint64_t from = (uint64_t) off;
	size_t n = (size_t) len;

	if (atomic_load(reader->cancel))
		return SQLITE_INTERRUPT;
	if (from >= size)
		n = 0;
	else if (n > size - from)
		n = (size_t) (size - from);
	if (n > 0 &&
	    reader->read(reader->arg, from, data, n,
		reader->failure.code ? NULL : &reader->failure) < 0)
		return SQLITE_IOERR_READ;
	if (n == (size_t) len)
		return SQLITE_OK;
	memset((char *) data + n, 0, (size_t) len - n);
	return SQLITE_IOERR_SHORT_READ;
}

static int reader_write(
    sqlite3_file *file, const void *data, int len, sqlite3_int64 off)
{
	(void) file;
	(void) data;
	(void) len;
	(void) off;
	return SQLITE_READONLY;
}

static int reader_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	(void) file;
	(void) size;
	return SQLITE_READONLY;
}

static int reader_size(sqlite3_file *base, sqlite3_int64 *ret)
{
	*ret = (sqlite3_int64) ((struct reader_file *) base)->reader->bytes;
	return SQLITE_OK;
}

/* It does not change, so its locks and syncs mean nothing. */
static int reader_nothing(sqlite3_file *file, int flags)
{
	(void) file;
	(void) flags;
	return SQLITE_OK;
}

static int reader_reserved(sqlite3_file *file, int *ret)
{
	(void) file;
	*ret = 0;
	return SQLITE_OK;
}

static int reader_control(sqlite3_file *file, int op, void *arg)
{
	(void) file;
	(void) op;
	(void) arg;
	return SQLITE_NOTFOUND;
}

static int reader_sector(sqlite3_file *file)
{
	(void) file;
	return 4096;
}

static int reader_traits(sqlite3_file *file)
{
	(void) file;
	return SQLITE_IOCAP_IMMUTABLE;
}

static const sqlite3_io_methods reader_methods = {
    .iVersion = 1,
    .xClose = reader_close,
    .xRead = reader_read,
    .xWrite = reader_write,
    .xTruncate = reader_truncate,
    .xSync = reader_nothing,
    .xFileSize = reader_size,
    .xLock = reader_nothing,
    .xUnlock = reader_nothing,
    .xCheckReservedLock = reader_reserved,
    .xFileControl = reader_control,
    .xSectorSize = reader_sector,
    .xDeviceCharacteristics = reader_traits,
};

static int reader_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base,
    int flags, int *ret_flags)
{
	struct reader_file *file = (struct reader_file *) base;

	(void) name;
	base->pMethods = NULL;
	if (!(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	file->reader = vfs->pAppData;
	base->pMethods = &reader_methods;
	if (ret_flags)
		*ret_flags = SQLITE_OPEN_READONLY;
	return SQLITE_OK;
}

static int reader_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void) vfs;
	(void) name;
	(void) sync;
	return SQLITE_READONLY;
}

static int reader_access(
    sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	(void) vfs;
	(void) name;
	(void) flags;
	*ret = 0;
	return SQLITE_OK;
}

static int reader_path(sqlite3_vfs *vfs, const char *name, int len, char *ret)
{
	(void) vfs;
	snprintf(ret, (size_t) len, "%s", name);
	return SQLITE_OK;
}

/* ---- the connection -------------------------------------------------------- */

static int cancelled(void *arg)
{
	return atomic_load((const atomic_bool *) arg);
}

int sqlite_reader_open(struct sqlite_reader *reader, sqlite3 **ret)
{
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);
	int rc;

	reader->vfs = (sqlite3_vfs){
	    .iVersion = 1,
	    .szOsFile = sizeof(struct reader_file),
	    .mxPathname = 64,
	    .zName = reader->name,
	    .pAppData = reader,
	    .xOpen = reader_open,
	    .xDelete = reader_delete,
	    .xAccess = reader_access,
	    .xFullPathname = reader_path,
	    .xRandomness = real->xRandomness,
	    .xSleep = real->xSleep,
	    .xCurrentTime = real->xCurrentTime,
	    .xGetLastError = real->xGetLastError,
	};
	*ret = NULL;
	snprintf(
	    reader->name, sizeof(reader->name), "reader-%p", (void *) reader);
	rc = sqlite3_vfs_register(&reader->vfs, 0);
	if (rc != SQLITE_OK)
		return rc;
	return sqlite3_open_v2("file:image?immutable=1", ret,
	    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
	    reader->name);
}

int sqlite_reader_prepare(struct sqlite_reader *reader, sqlite3 *conn)
{
	char sql[160];

	sqlite3_extended_result_codes(conn, 1);
	sqlite3_db_config(conn, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(conn, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_progress_handler(
	    conn, STEPS_PER_LOOK, cancelled, (void *) reader->cancel);
	snprintf(sql, sizeof(sql),
	    "PRAGMA cell_size_check=1; PRAGMA ignore_check_constraints=1;"
	    "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
	    "PRAGMA cache_size=-%d",
	    CACHE_KIB);
	return sqlite3_exec(conn, sql, NULL, NULL, NULL);
}

void sqlite_reader_close(struct sqlite_reader *reader, sqlite3 *conn)
{
	sqlite3_close(conn);
	sqlite3_vfs_unregister(&reader->vfs);
	still_error_clear(&reader->failure);
}
