/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/files.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sys.h"

struct sqlite_file {
	dev_t dev;
	ino_t ino;
	unsigned references;
	int *fds; /* fds[0] is the one that is used, the rest wait for close */
	unsigned n_fds;
	struct sqlite_file *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sqlite_file *files;
static unsigned open_count;

static struct sqlite_file *find(const struct stat *st)
{
	for (struct sqlite_file *file = files; file; file = file->next)
		if (file->ino == st->st_ino && file->dev == st->st_dev)
			return file;
	return NULL;
}

/* Put `fd` under the care of its inode's entry, made where it is new. Without
 * memory `fd` leaks: closed, it might take locks along, those of a referenced
 * inode, or SQLite's on a -shm that is opened here when SQLite has it already. */
static struct sqlite_file *adopt(int fd, const struct stat *st)
{
	struct sqlite_file *file = find(st);
	bool fresh = !file;
	int *fds;

	if (fresh) {
		file = calloc(1, sizeof(*file));
		if (!file)
			return NULL;
		file->dev = st->st_dev;
		file->ino = st->st_ino;
	}
	fds = realloc(file->fds, (file->n_fds + 1) * sizeof(*fds));
	if (!fds) {
		if (fresh)
			free(file);
		return NULL;
	}
	file->fds = fds;
	file->fds[file->n_fds++] = fd;
	open_count++;
	if (fresh) {
		file->next = files;
		files = file;
	}
	file->references++;
	return file;
}

/* What lies at `path`, without opening it: an O_PATH descriptor carries no
 * locks, and no device or lease notices. */
static int look(
    int dirfd, const char *path, struct stat *st, struct still_error *err)
{
	int fd = still_sys_open_beneath(dirfd, path, O_PATH | O_NOFOLLOW);
	int rc;

	if (fd < 0)
		return still_error_sys(err, -fd, NULL, "`%s`", path);
	rc = still_sys_fstat(fd, st);
	close(fd);
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", path);
	if (!S_ISREG(st->st_mode))
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "`%s`: not a regular file", path);
	return 0;
}

static int open_locked(int dirfd, const char *path, struct sqlite_file **ret,
    struct stat *st, struct still_error *err)
{
	struct sqlite_file *file;
	int rc = look(dirfd, path, st, err);
	int fd;

	if (rc < 0)
		return rc;
	/* A referenced inode is not opened again. */
	file = find(st);
	if (file) {
		file->references++;
		*ret = file;
		return 0;
	}
	fd = still_sys_open_beneath(
	    dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return still_error_sys(err, -fd, NULL, "`%s`", path);
	rc = still_sys_fstat(fd, st);
	if (rc == 0 && S_ISREG(st->st_mode)) {
		*ret = adopt(fd, st);
		return *ret ? 0 : still_error_nomem(err);
	}
	/* Nothing that is no regular file carries a lock of SQLite's; of one
	 * that cannot be examined we know nothing, and leak it. */
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", path);
	close(fd);
	return still_error_set(
	    err, STILL_ERR_INVALID, 0, NULL, "`%s`: not a regular file", path);
}

int sqlite_file_open(int dirfd, const char *path, struct sqlite_file **ret,
    struct stat *ret_st, struct still_error *err)
{
	struct sqlite_file *file = NULL;
	struct stat st;
	int rc;

	pthread_mutex_lock(&lock);
	rc = open_locked(dirfd, path, &file, &st, err);
	pthread_mutex_unlock(&lock);
	if (rc < 0)
		return rc;
	if (ret_st)
		*ret_st = st;
	*ret = file;
	return 0;
}

int sqlite_file_fd(const struct sqlite_file *file)
{
	return file->fds[0];
}

bool sqlite_file_shared(const struct sqlite_file *file)
{
	bool shared;

	pthread_mutex_lock(&lock);
	shared = file->references > 1;
	pthread_mutex_unlock(&lock);
	return shared;
}

void sqlite_file_close(struct sqlite_file *file)
{
	struct sqlite_file **link = &files;

	if (!file)
		return;
	pthread_mutex_lock(&lock);
	if (--file->references == 0) {
		while (*link != file)
			link = &(*link)->next;
		*link = file->next;
		for (unsigned i = 0; i < file->n_fds; i++)
			close(file->fds[i]);
		open_count -= file->n_fds;
		free(file->fds);
		free(file);
	}
	pthread_mutex_unlock(&lock);
}

unsigned sqlite_files_open_count(void)
{
	unsigned n;

	pthread_mutex_lock(&lock);
	n = open_count;
	pthread_mutex_unlock(&lock);
	return n;
}

void sqlite_files_reserve(int fd, unsigned n)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, (int) n - 1);

	if (high >= 0)
		close(high);
}
