/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/rmtree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mounts.h"
#include "base/sys.h"

/* The way back up. */
struct level {
	char *name; /* owned; of the directory that was entered */
	dev_t dev;  /* of the one that it is in */
	ino_t ino;
};

struct walk {
	int fd; /* of the directory that is being emptied */
	struct level *levels;
	size_t n;
	size_t capacity;
};

static int open_parent(int dirfd)
{
	int fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int enter(int dirfd, const char *name)
{
	int fd = still_sys_enter(dirfd, name);

	return fd == -EXDEV ? -EBUSY : fd;
}

/* What was copied from a directory that is read-only is one, too. */
static void unprotect(int fd)
{
	fchmod(fd, S_IRWXU);
}

/* Remove what is no directory; `*ret_sub` is the first that is one, or NULL when
 * nothing is left. */
static int empty(int fd, char **ret_sub)
{
	DIR *dir = NULL;
	const char *name;
	int rc = still_sys_opendir(fd, &dir);

	*ret_sub = NULL;
	if (rc < 0)
		return rc;
	while ((rc = still_sys_readdir(dir, &name)) > 0) {
		if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
			continue;
		/* Which of the two depends on the file system. */
		if (errno != EISDIR && errno != EPERM)
			rc = -errno;
		else
			rc = (*ret_sub = strdup(name)) ? 0 : -ENOMEM;
		break;
	}
	closedir(dir);
	return rc;
}

/* Takes `name`. */
static int go_down(struct walk *walk, char *name)
{
	struct level *levels = walk->levels;
	struct stat st;
	int fd;

	if (walk->n == walk->capacity) {
		levels = realloc(
		    levels, (walk->capacity * 2 + 16) * sizeof(*levels));
		if (!levels) {
			free(name);
			return -ENOMEM;
		}
		walk->levels = levels;
		walk->capacity = walk->capacity * 2 + 16;
	}
	fd = fstat(walk->fd, &st) == 0 ? enter(walk->fd, name) : -errno;
	if (fd < 0) {
		free(name);
		/* Not ours to remove, and no directory. */
		return fd == -ENOTDIR || fd == -ELOOP ? -EPERM : fd;
	}
	levels[walk->n++] = (struct level){name, st.st_dev, st.st_ino};
	unprotect(fd);
	close(walk->fd);
	walk->fd = fd;
	return 0;
}

/* Out of the empty directory into the one that it was entered from, which must
 * be the same still. */
static int go_up(struct walk *walk)
{
	const struct level *level = &walk->levels[walk->n - 1];
	int fd = open_parent(walk->fd);
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0)
		rc = -errno;
	else if (st.st_dev != level->dev || st.st_ino != level->ino)
		rc = -ESTALE;
	else if (unlinkat(fd, level->name, AT_REMOVEDIR) != 0 &&
	    errno != ENOENT)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	free(walk->levels[--walk->n].name);
	close(walk->fd);
	walk->fd = fd;
	return 0;
}

static int clear(struct walk *walk)
{
	char *sub = NULL;
	int rc;

	for (;;) {
		rc = empty(walk->fd, &sub);
		if (rc < 0)
			return rc;
		if (!sub && walk->n == 0)
			return 0;
		rc = sub ? go_down(walk, sub) : go_up(walk);
		if (rc < 0)
			return rc;
	}
}

int still_rmtree(int dirfd, const char *name)
{
	struct walk walk = {.fd = -1};
	int rc;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	walk.fd = enter(dirfd, name);
	if (walk.fd < 0)
		return walk.fd;
	/* Each step keeps out of mounts; this is to leave all of it as it is. */
	if (still_mounts_below(walk.fd)) {
		close(walk.fd);
		return -EBUSY;
	}
	unprotect(walk.fd);
	rc = clear(&walk);
	while (walk.n > 0)
		free(walk.levels[--walk.n].name);
	free(walk.levels);
	close(walk.fd);
	if (rc == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) != 0 &&
	    errno != ENOENT)
		rc = -errno;
	return rc;
}
