/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/shim_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"

/* SQLite's file, with the real one behind it. */
struct shim_file {
	sqlite3_file base;
	bool watched;
	bool new_name; /* its first sync is one of the directory too */
	uint32_t ino;
};

static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	struct power_trace *trace;
	uint64_t n_calls;
	uint64_t fail_at;
	bool forever;
	bool full;
} shim;

static struct shim_file *shim_of(sqlite3_file *file)
{
	return (struct shim_file *) file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return (sqlite3_file *) (shim_of(file) + 1);
}

static bool fails(void)
{
	shim.n_calls++;
	if (shim.fail_at == 0)
		return false;
	return shim.forever ? shim.n_calls >= shim.fail_at
			    : shim.n_calls == shim.fail_at;
}

static void note(const struct power_op *op)
{
	if (shim.trace)
		power_add(shim.trace, op);
}

static void note_sync_dir(void)
{
	note(&(struct power_op){.kind = POWER_SYNC_DIR});
}

/* ---- files --------------------------------------------------------------- */

static int shim_close(sqlite3_file *file)
{
	return real_of(file)->pMethods
	    ? real_of(file)->pMethods->xClose(real_of(file))
	    : SQLITE_OK;
}

static int shim_read(
    sqlite3_file *file, void *data, int len, sqlite3_int64 off_bytes)
{
	return real_of(file)->pMethods->xRead(
	    real_of(file), data, len, off_bytes);
}

static int shim_write(
    sqlite3_file *file, const void *data, int len, sqlite3_int64 off_bytes)
{
	struct shim_file *f = shim_of(file);
	sqlite3_file *real = real_of(file);

	if (!f->watched)
		return real->pMethods->xWrite(real, data, len, off_bytes);
	if (fails()) {
		real->pMethods->xWrite(real, data, len / 2, off_bytes);
		return shim.full ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	}
	note(&(struct power_op){.kind = POWER_WRITE,
	    .ino = f->ino,
	    .off_bytes = (uint64_t) off_bytes,
	    .data = (uint8_t *) data,
	    .len = (size_t) len});
	return real->pMethods->xWrite(real, data, len, off_bytes);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 len)
{
	struct shim_file *f = shim_of(file);

	if (f->watched && fails())
		return SQLITE_IOERR_TRUNCATE;
	if (f->watched)
		note(&(struct power_op){.kind = POWER_TRUNCATE,
		    .ino = f->ino,
		    .off_bytes = (uint64_t) len});
	return real_of(file)->pMethods->xTruncate(real_of(file), len);
}

/* As SQLite's own VFS does it: the first sync of a journal that was made is one
 * of its directory too. */
static int shim_sync(sqlite3_file *file, int flags)
{
	struct shim_file *f = shim_of(file);

	if (f->watched && fails())
		return SQLITE_IOERR_FSYNC;
	if (f->watched)
		note(&(struct power_op){.kind = POWER_SYNC, .ino = f->ino});
	if (f->watched && f->new_name)
		note_sync_dir();
	f->new_name = false;
	return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), ret);
}

static int shim_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int shim_check_lock(sqlite3_file *file, int *ret)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int shim_sector(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_device(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

/* Version 1: no shared memory, no mapping. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check_lock,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_device,
};

/* ---- names --------------------------------------------------------------- */

/* Those that the trace has; a name that is made anew is another file. */
static uint32_t ino_of(const char *name, bool created)
{
	struct power_op op = {.kind = POWER_CREATE};

	if (!shim.trace)
		return 0;
	snprintf(op.name, sizeof(op.name), "%s", still_path_base(name));
	for (size_t i = shim.trace->n; !created && i-- > 0;)
		if (shim.trace->ops[i].kind == POWER_CREATE &&
		    strcmp(shim.trace->ops[i].name, op.name) == 0)
			return shim.trace->ops[i].ino;
	op.ino = shim.trace->n_inos;
	power_add(shim.trace, &op);
	return op.ino;
}

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
    int flags, int *ret_flags)
{
	struct shim_file *f = shim_of(file);
	bool created = false;
	int there = 1;
	int rc;

	(void) vfs;
	memset(f, 0, sizeof(*f));
	f->watched = name && !(flags & SQLITE_OPEN_DELETEONCLOSE);
	if (f->watched && (flags & SQLITE_OPEN_CREATE)) {
		shim.real->xAccess(
		    shim.real, name, SQLITE_ACCESS_EXISTS, &there);
		created = !there;
	}
	if (f->watched && fails())
		return SQLITE_CANTOPEN;
	rc = shim.real->xOpen(shim.real, name, real_of(file), flags, ret_flags);
	if (rc == SQLITE_OK && f->watched) {
		f->ino = ino_of(name, created);
		f->new_name = created && (flags & SQLITE_OPEN_MAIN_JOURNAL);
	}
	if (rc == SQLITE_OK)
		f->base.pMethods = &methods;
	return rc;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	struct power_op op = {.kind = POWER_DELETE};
	int rc;

	(void) vfs;
	if (fails())
		return SQLITE_IOERR_DELETE;
	snprintf(op.name, sizeof(op.name), "%s", still_path_base(name));
	note(&op);
	rc = shim.real->xDelete(shim.real, name, sync_dir);
	if (rc != SQLITE_OK || !sync_dir)
		return rc;
	if (fails())
		return SQLITE_IOERR_DIR_FSYNC;
	note_sync_dir();
	return SQLITE_OK;
}

static int shim_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	(void) vfs;
	return shim.real->xAccess(shim.real, name, flags, ret);
}

static int shim_full_path(
    sqlite3_vfs *vfs, const char *name, int len, char *out)
{
	(void) vfs;
	return shim.real->xFullPathname(shim.real, name, len, out);
}

/* ---- on and off ---------------------------------------------------------- */

void shim_on(void)
{
	if (!shim.real)
		shim.real = sqlite3_vfs_find("unix");
	shim.vfs = (sqlite3_vfs){
	    .iVersion = 1,
	    .szOsFile = (int) sizeof(struct shim_file) + shim.real->szOsFile,
	    .mxPathname = shim.real->mxPathname,
	    .zName = "shim",
	    .xOpen = shim_open,
	    .xDelete = shim_delete,
	    .xAccess = shim_access,
	    .xFullPathname = shim_full_path,
	    .xRandomness = shim.real->xRandomness,
	    .xSleep = shim.real->xSleep,
	    .xCurrentTime = shim.real->xCurrentTime,
	    .xGetLastError = shim.real->xGetLastError,
	};
	sqlite3_vfs_register(&shim.vfs, 1);
}

void shim_off(void)
{
	shim_trace(NULL);
	shim_fail(0, false, false);
	sqlite3_vfs_unregister(&shim.vfs);
	sqlite3_vfs_register(shim.real, 1);
}

void shim_fail(uint64_t at, bool forever, bool full)
{
	shim.n_calls = 0;
	shim.fail_at = at;
	shim.forever = forever;
	shim.full = full;
}

uint64_t shim_calls(void)
{
	return shim.n_calls;
}

void shim_trace(struct power_trace *trace)
{
	shim.trace = trace;
}
