/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/statedir.h"

/* What a growing copy leaves of a disk, at most. */
#define SPARE_MAX_BYTES (UINT64_C(8) << 30)

static const char hint[] =
    "Name another directory with `spool=`, on a local file system that only "
    "you can write to.";

static int open_file(const char *dir, int *ret_fd, struct still_error *err)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0) {
		*ret_fd = fd;
		return 0;
	}
	if (errno == EOPNOTSUPP || errno == EISDIR)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, errno, hint,
		    "spool `%s`: its file system has no files without a name",
		    dir);
	return still_error_sys(err, errno, hint, "spool `%s`", dir);
}

static int check_dir(const char *path, struct still_error *err)
{
	struct stat st;
	int fd = -1;
	int rc;

	if (stat(path, &st) != 0)
		return still_error_sys(err, errno, hint, "spool `%s`", path);
	if (!S_ISDIR(st.st_mode))
		return still_error_set(err, STILL_ERR_INVALID, ENOTDIR, hint,
		    "spool `%s`: not a directory", path);
	if (st.st_mode & S_IWOTH)
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "spool `%s`: everybody may write to it", path);
	rc = open_file(path, &fd, err);
	if (rc == 0)
		close(fd);
	return rc;
}

int still_spool_init(
    struct still_spool_dir *dir, const char *path, struct still_error *err)
{
	int rc;

	dir->path = NULL;
	dir->max_bytes = 0;
	atomic_init(&dir->used_bytes, 0);
	if (!path)
		return 0;
	dir->path = realpath(path, NULL);
	if (!dir->path)
		return still_error_sys(err, errno, hint, "spool `%s`", path);
	rc = check_dir(dir->path, err);
	if (rc < 0)
		still_spool_release(dir);
	return rc;
}

void still_spool_release(struct still_spool_dir *dir)
{
	free(dir->path);
	dir->path = NULL;
}

static int no_space(
    const char *dir, const char *what, uint64_t bytes, struct still_error *err)
{
	struct statvfs vfs;
	uint64_t free_bytes = 0;

	if (statvfs(dir, &vfs) == 0)
		free_bytes = (uint64_t) vfs.f_bavail * vfs.f_frsize;
	return still_error_set(err, STILL_ERR_NOSPACE, ENOSPC,
	    "Make room there, or name another directory with `spool=`.",
	    "spool `%s`: a private copy of `%s` takes %llu bytes, and %llu are "
	    "free",
	    dir, what, (unsigned long long) bytes,
	    (unsigned long long) free_bytes);
}

/* Blocks now, so that none is missing later. A file system that cannot promise
 * them is asked how many it has. */
static int reserve(int fd, const char *dir, const char *what, uint64_t bytes,
    struct still_error *err)
{
	struct statvfs vfs;

	if (bytes == 0)
		return 0;
	if (fstatvfs(fd, &vfs) == 0 &&
	    (uint64_t) vfs.f_bavail * vfs.f_frsize < bytes)
		return no_space(dir, what, bytes, err);
	if (still_sys_allocate(fd, bytes) != -ENOSPC)
		return 0;
	return no_space(dir, what, bytes, err);
}

/* The directory, made where it is ours. The caller frees it. */
static int find_dir(
    const struct still_spool_dir *dir, char **ret, struct still_error *err)
{
	char *path = dir->path ? strdup(dir->path)
			       : still_statedir_default("spool");
	int rc = 0;

	if (!path)
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "spool: there is no home directory to have it in");
	if (!dir->path)
		rc = still_statedir_make(path);
	if (rc < 0) {
		rc = still_error_sys(err, -rc, hint, "spool `%s`", path);
		free(path);
		return rc;
	}
	*ret = path;
	return 0;
}

/* ---- room ---------------------------------------------------------------- */

static void give(void *arg, uint64_t bytes)
{
	struct still_spool_dir *dir = arg;

	atomic_fetch_sub(&dir->used_bytes, bytes);
}

/* Count `bytes` more, as long as the limit allows it. */
static int count(struct still_spool_dir *dir, const char *what, uint64_t bytes,
    struct still_error *err)
{
	uint64_t used = atomic_fetch_add(&dir->used_bytes, bytes);

	if (dir->max_bytes == 0 ||
	    (bytes <= dir->max_bytes && used <= dir->max_bytes - bytes))
		return 0;
	give(dir, bytes);
	return still_error_set(err, STILL_ERR_NOSPACE, 0, "Raise `spool_max`.",
	    "spool: a private copy of `%s` takes %llu bytes, %llu are taken "
	    "already, and `spool_max` allows %llu",
	    what, (unsigned long long) bytes, (unsigned long long) used,
	    (unsigned long long) dir->max_bytes);
}

/* What is left to the application, where nobody set a limit. */
static uint64_t spare_bytes(const struct statvfs *vfs)
{
	uint64_t tenth = (uint64_t) vfs->f_blocks * vfs->f_frsize / 10;

	return tenth < SPARE_MAX_BYTES ? tenth : SPARE_MAX_BYTES;
}

static int take(
    void *arg, const char *what, uint64_t bytes, struct still_error *err)
{
	struct still_spool_dir *dir = arg;
	struct statvfs vfs;
	char *path;
	int rc = find_dir(dir, &path, err);

	if (rc < 0)
		return rc;
	rc = count(dir, what, bytes, err);
	if (rc == 0 && statvfs(path, &vfs) == 0 &&
	    (uint64_t) vfs.f_bavail * vfs.f_frsize <
		bytes + (dir->max_bytes ? 0 : spare_bytes(&vfs))) {
		give(dir, bytes);
		rc = no_space(path, what, bytes, err);
	}
	free(path);
	return rc;
}

static int open_with(void *arg, const char *what, uint64_t bytes, int *ret_fd,
    struct still_error *err)
{
	struct still_spool_dir *dir = arg;
	char *path;
	int fd = -1;
	int rc = find_dir(dir, &path, err);

	if (rc < 0)
		return rc;
	rc = count(dir, what, bytes, err);
	if (rc == 0) {
		rc = open_file(path, &fd, err);
		if (rc == 0)
			rc = reserve(fd, path, what, bytes, err);
		if (rc < 0)
			give(dir, bytes);
	}
	if (rc == 0)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

struct still_spool still_spool_of(struct still_spool_dir *dir)
{
	return (struct still_spool){
	    .open = open_with,
	    .take = take,
	    .give = give,
	    .arg = dir,
	};
}
