/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"

/* What the containers are called where there is no room for one. */
static const char *what(const struct still_pg_disks *disks)
{
	return disks->walk->roots[STILL_PG_ROOT_DATA].path;
}

/* How many files may tell nothing before that tells something. */
#define UNSURE_MAX 16

void still_pg_disks_init(struct still_pg_disks *disks,
    const struct still_pg_walk *walk, enum still_pg_way way,
    const struct still_spool *spool)
{
	*disks = (struct still_pg_disks){
	    .walk = walk, .way = way, .spool = *spool};
	pthread_mutex_init(&disks->lock, NULL);
}

static void free_disk(struct still_pg_disk *disk)
{
	if (!disk)
		return;
	free(disk->dir);
	free(disk->reason);
	free(disk);
}

void still_pg_disks_release(struct still_pg_disks *disks)
{
	while (disks->first) {
		struct still_pg_disk *disk = disks->first;

		disks->first = disk->next;
		free_disk(disk);
	}
	pthread_mutex_destroy(&disks->lock);
}

/* ---- one file ------------------------------------------------------------ */

static bool is_nocow(int fd)
{
	struct statfs fs;
	int flags = 0;

	return fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC &&
	    ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL);
}

/* While it is empty. */
static int set_nocow(int fd)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
		return -errno;
	flags |= FS_NOCOW_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0 ? 0 : -errno;
}

/* A file in `dir`, or -errno. Nobody can ever give it a name. */
static int open_in(const char *dir)
{
	int dirfd = still_sys_open_beneath(AT_FDCWD, dir, O_PATH | O_DIRECTORY);
	int fd;

	if (dirfd < 0)
		return dirfd;
	fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = -errno;
	close(dirfd);
	return fd;
}

/* Share the first block of `fd`. 0 or -errno. */
static int try_clone(int to, int fd)
{
	struct statfs fs;
	struct stat st;
	struct file_clone_range range = {.src_fd = fd};
	int rc = still_sys_fstat(fd, &st);

	if (rc == 0 && fstatfs(to, &fs) != 0)
		rc = -errno;
	if (rc < 0)
		return rc;
	/* 0 is "to the end", for a file that is shorter than a block. */
	if (st.st_size >= fs.f_bsize)
		range.src_length = (uint64_t) fs.f_bsize;
	return ioctl(to, FICLONERANGE, &range) == 0 ? 0 : -errno;
}

/* ---- the places ---------------------------------------------------------- */

/* What was tried for one disk. */
struct trial {
	int fd; /* the file that is cloned */
	bool nocow;
	int worst;    /* the errno that tells most, or 0 */
	char *denied; /* owned; a directory that may not be written to */
};

/* Of two failures the one that is nearer to a success. */
static int weight(int sys_errno)
{
	switch (sys_errno) {
	case EXDEV: /* another file system */
	case ENOENT:
		return 1;
	case EACCES:
	case EPERM:
	case EROFS:
		return 2;
	case EOPNOTSUPP: /* the same one, which cannot do it */
	case ENOTTY:
	case ENOSYS:
		return 4;
	default:
		return 3;
	}
}

static bool note(struct trial *trial, int rc)
{
	if (rc == 0)
		return true;
	if (trial->worst == 0 || weight(-rc) > weight(trial->worst))
		trial->worst = -rc;
	return false;
}

/* Does a container in `to`, which is closed, take the file? */
static bool takes(struct trial *trial, int to)
{
	int rc = to < 0 ? to : 0;

	if (rc == 0 && trial->nocow)
		rc = set_nocow(to);
	if (rc == 0)
		rc = try_clone(to, trial->fd);
	if (to >= 0)
		close(to);
	return note(trial, rc);
}

static bool spool_takes(struct still_pg_disks *disks, struct trial *trial)
{
	struct still_error err = STILL_ERROR_INIT;
	int fd;
	int rc = disks->spool.open(disks->spool.arg, what(disks), 0, &fd, &err);
	bool good = false;

	/* Where copies cannot lie either, the first copy will say so. */
	if (rc == 0)
		good = takes(trial, fd);
	still_error_clear(&err);
	return good;
}

static bool is_inside(const struct still_pg_walk *walk, const char *dir)
{
	for (size_t i = 0; i < walk->n_roots; i++)
		if (still_path_is_in(dir, walk->roots[i].path))
			return true;
	return false;
}

/* The directory that a root lies in, where that is none of the server's; NULL:
 * it is, or there is no memory. The caller frees it. */
static char *parent_of(const struct still_pg_walk *walk, size_t i)
{
	const char *path = walk->roots[i].path;
	const char *slash = strrchr(path, '/');
	char *dir;

	if (!slash)
		return NULL;
	dir = slash == path ? strdup("/")
			    : strndup(path, (size_t) (slash - path));
	if (dir && is_inside(walk, dir)) {
		free(dir);
		return NULL;
	}
	return dir;
}

static bool dir_takes(struct trial *trial, const char *dir)
{
	int to = open_in(dir);

	if ((to == -EACCES || to == -EPERM || to == -EROFS) && !trial->denied)
		trial->denied = strdup(dir);
	return takes(trial, to);
}

/* Where the disk's containers can lie. */
static bool find_place(struct still_pg_disks *disks, struct trial *trial,
    struct still_pg_disk *disk)
{
	disk->in_spool = spool_takes(disks, trial);
	if (disk->in_spool)
		return true;
	for (size_t i = 0; i < disks->walk->n_roots; i++) {
		char *dir = parent_of(disks->walk, i);

		if (dir && dir_takes(trial, dir)) {
			disk->dir = dir;
			return true;
		}
		free(dir);
	}
	return false;
}

/* ---- the verdict --------------------------------------------------------- */

static char *reason_of(const struct trial *trial)
{
	char *reason = NULL;
	int n;

	switch (weight(trial->worst)) {
	case 1:
		return strdup("no directory outside of the data directory and "
			      "its tablespaces is known on its file system");
	case 2:
		n = asprintf(&reason, "`%s`: %s",
		    trial->denied ? trial->denied : "spool",
		    strerror(trial->worst));
		break;
	case 4:
		return strdup("its file system cannot share blocks");
	default:
		n = asprintf(
		    &reason, "cloning fails: %s", strerror(trial->worst));
		break;
	}
	return n < 0 ? NULL : reason;
}

static int refuse(
    const char *name, const struct trial *trial, struct still_error *err)
{
	char *reason;
	int rc;

	if (trial->worst == ENOSPC || trial->worst == EDQUOT)
		return still_error_sys(err, trial->worst,
		    "Make room on its file system.", "`%s`: cannot be cloned",
		    name);
	reason = reason_of(trial);
	if (!reason)
		return still_error_nomem(err);
	rc = still_error_set(err, STILL_ERR_UNSUPPORTED, trial->worst,
	    weight(trial->worst) == 4
		? "XFS and btrfs can share blocks; say `freeze=copy` for a "
		  "full copy, or `freeze=auto`."
		: "Name a directory on the same file system with `spool=`, or "
		  "say `freeze=copy` for a full copy.",
	    "`%s`: cannot be cloned: %s", name, reason);
	free(reason);
	return rc;
}

static struct still_pg_disk *known(
    const struct still_pg_disks *disks, dev_t dev, bool nocow)
{
	struct still_pg_disk *disk = disks->first;

	while (disk && (disk->dev != dev || disk->nocow != nocow))
		disk = disk->next;
	return disk;
}

/* A disk that was not met before; not sure: the file is none to tell by. */
static int examine(struct still_pg_disks *disks, int fd, const char *name,
    struct still_pg_disk *disk, bool *ret_sure, struct still_error *err)
{
	struct trial trial = {.fd = fd, .nocow = disk->nocow};
	int rc = 0;

	*ret_sure = true;
	if (disks->way == STILL_PG_WAY_COPY)
		return 0;
	disk->clones = find_place(disks, &trial, disk);
	if (!disk->clones && trial.worst == EINVAL &&
	    disks->n_unsure++ < UNSURE_MAX) {
		/* It was cut meanwhile, or is something that cannot be
		 * shared. */
		*ret_sure = false;
	} else if (!disk->clones && disks->way == STILL_PG_WAY_CLONE) {
		rc = refuse(name, &trial, err);
	} else if (!disk->clones) {
		disk->reason = reason_of(&trial);
		if (!disk->reason)
			rc = still_error_nomem(err);
	}
	free(trial.denied);
	return rc;
}

static int find(struct still_pg_disks *disks, int fd, dev_t dev, bool nocow,
    const char *name, const struct still_pg_disk **ret, struct still_error *err)
{
	struct still_pg_disk *disk = known(disks, dev, nocow);
	bool sure = true;
	int rc;

	*ret = disk;
	if (disk)
		return 0;
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return still_error_nomem(err);
	disk->dev = dev;
	disk->nocow = nocow;
	rc = examine(disks, fd, name, disk, &sure, err);
	if (rc < 0 || !sure) {
		free_disk(disk);
		return rc;
	}
	disk->next = disks->first;
	disks->first = disk;
	*ret = disk;
	return 0;
}

int still_pg_disks_find(struct still_pg_disks *disks, int fd,
    const struct stat *st, const char *name, const struct still_pg_disk **ret,
    struct still_error *err)
{
	bool nocow = disks->way != STILL_PG_WAY_COPY && is_nocow(fd);
	int rc;

	pthread_mutex_lock(&disks->lock);
	rc = find(disks, fd, st->st_dev, nocow, name, ret, err);
	pthread_mutex_unlock(&disks->lock);
	return rc;
}

/* A file for clones of the disk's files. */
static int open_clones(struct still_pg_disks *disks,
    const struct still_pg_disk *disk, int *ret_fd, struct still_error *err)
{
	int fd = -1;
	int rc = 0;

	if (disk->in_spool) {
		rc = disks->spool.open(
		    disks->spool.arg, what(disks), 0, &fd, err);
		if (rc < 0)
			return rc;
	} else {
		fd = open_in(disk->dir);
		if (fd < 0)
			return still_error_sys(
			    err, -fd, NULL, "directory `%s`", disk->dir);
	}
	if (disk->nocow)
		rc = set_nocow(fd);
	if (rc < 0) {
		close(fd);
		return still_error_sys(err, -rc, NULL, "file for clones");
	}
	*ret_fd = fd;
	return 0;
}

int still_pg_disks_open(struct still_pg_disks *disks,
    const struct still_pg_disk *disk, struct still_pg_container **ret,
    struct still_error *err)
{
	int fd = -1;
	int rc;

	if (disk)
		rc = open_clones(disks, disk, &fd, err);
	else
		rc = disks->spool.open(
		    disks->spool.arg, what(disks), 0, &fd, err);
	if (rc < 0)
		return rc;
	rc = still_pg_container_new(fd, disk != NULL, ret);
	if (rc == 0)
		return 0;
	close(fd);
	return still_error_sys(
	    err, -rc, NULL, "private copy of `%s`", what(disks));
}

int still_pg_disks_have(struct still_pg_disks *disks,
    const struct still_pg_disk *disk, uint64_t bytes, struct still_error *err)
{
	const struct still_spool *spool = &disks->spool;
	struct statvfs vfs;
	uint64_t free_bytes;
	int rc;

	if (disk->in_spool) {
		rc = spool->take(spool->arg, what(disks), bytes, err);
		if (rc == 0)
			spool->give(spool->arg, bytes);
		return rc;
	}
	/* What cannot be asked is told by the first clone. */
	if (statvfs(disk->dir, &vfs) != 0)
		return 0;
	free_bytes = (uint64_t) vfs.f_bavail * vfs.f_frsize;
	if (free_bytes >= bytes)
		return 0;
	return still_error_set(err, STILL_ERR_NOSPACE, 0,
	    "Make room on its file system.",
	    "directory `%s`: clones of `%s` take %" PRIu64
	    " bytes beside what they share, and %" PRIu64 " are free",
	    disk->dir, what(disks), bytes, free_bytes);
}

void still_pg_disks_tell(struct still_pg_disks *disks, bool *ret_clones,
    bool *ret_copies, const char **ret_reason)
{
	*ret_clones = false;
	*ret_copies = false;
	if (ret_reason)
		*ret_reason = NULL;
	pthread_mutex_lock(&disks->lock);
	for (const struct still_pg_disk *disk = disks->first; disk;
	     disk = disk->next) {
		*ret_clones = *ret_clones || disk->clones;
		*ret_copies = *ret_copies || !disk->clones;
		/* The list begins with the last. */
		if (ret_reason && disk->reason)
			*ret_reason = disk->reason;
	}
	pthread_mutex_unlock(&disks->lock);
}
