/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mounts.h"
#include "base/path.h"
#include "base/rmtree.h"
#include "base/sys.h"
#include "core/dest_parts.h"

#define TRIES 20

/* ---- where it is --------------------------------------------------------- */

static char *without_slashes(const char *path)
{
	char *copy = strdup(path);
	size_t len = copy ? strlen(copy) : 0;

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

/* Of what is to be made: its parent resolved, and its name. */
static int resolve_missing(
    const char *path, char **ret, struct still_error *err)
{
	char *copy = without_slashes(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	const char *name = slash ? slash + 1 : copy;
	char *parent = NULL;
	int rc = 0;

	if (!copy)
		return still_error_nomem(err);
	if (slash)
		*slash = '\0';
	parent = realpath(slash ? (slash == copy ? "/" : copy) : ".", NULL);
	if (!parent)
		rc = still_error_sys(err, errno,
		    "Only the last part of the path is made.",
		    "`%s`: its parent directory", path);
	else if (strcmp(parent, "/") == 0)
		rc = asprintf(ret, "/%s", name) < 0 ? still_error_nomem(err)
						    : 0;
	else if (!(*ret = still_path_join(parent, name)))
		rc = still_error_nomem(err);
	free(parent);
	free(copy);
	return rc;
}

static int resolve(const char *path, bool create, struct still_dest *dest,
    bool *ret_missing, struct still_error *err)
{
	dest->path = realpath(path, NULL);
	*ret_missing = !dest->path;
	if (dest->path)
		return 0;
	if (errno == ENOENT && create)
		return resolve_missing(path, &dest->path, err);
	return still_error_sys(err, errno,
	    errno == ENOENT ? "Make it, or let it be made with --create."
			    : NULL,
	    "`%s`", path);
}

/* The same directory by another path: what is to be made lies where its parent
 * does. */
static int check_mounts(const struct still_dest *dest, const char *source,
    bool missing, const char *hint, struct still_error *err)
{
	char *parent = strdup(dest->path);
	char *slash = parent ? strrchr(parent, '/') : NULL;
	bool within;

	if (!slash) {
		free(parent);
		return still_error_nomem(err);
	}
	slash[slash == parent] = '\0';
	within = still_mounts_is_in(missing ? parent : dest->path, source);
	free(parent);
	if (within)
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "`%s`: lies in the source `%s`, by way of a mount",
		    dest->path, source);
	if (!missing && still_mounts_is_in(source, dest->path))
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "`%s`: the source `%s` lies in it, by way of a mount",
		    dest->path, source);
	return 0;
}

static int check_source(const struct still_dest *dest, const char *source,
    bool missing, struct still_error *err)
{
	static const char hint[] =
	    "Choose another directory, best on another disk.";

	if (source && still_path_is_in(dest->path, source))
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "`%s`: lies in the source `%s`", dest->path, source);
	if (source && still_path_is_in(source, dest->path))
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "`%s`: the source `%s` lies in it", dest->path, source);
	return source ? check_mounts(dest, source, missing, hint, err) : 0;
}

static int make(struct still_dest *dest, struct still_error *err)
{
	int rc = still_sys_mkdir(AT_FDCWD, dest->path, S_IRWXU);
	int fd;

	/* Somebody was quicker: it is not ours to take away. */
	if (rc == -EEXIST)
		return 0;
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", dest->path);
	dest->made = true;
	fd = open(dest->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	rc = fd < 0 ? -errno : 0;
	/* Its name must last, too. */
	if (fd >= 0) {
		int parent = openat(
		    fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		rc = parent < 0 ? -errno : still_sys_fsync(parent);
		if (parent >= 0)
			close(parent);
		close(fd);
	}
	return rc < 0 ? still_error_sys(err, -rc, NULL, "`%s`", dest->path) : 0;
}

/* Is the mount that `fd` is in one of stillfs? The file system's type is in the
 * mount table only. */
static bool is_in_mount(int fd)
{
	struct statfs fs;
	struct stat st;

	return fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC &&
	    fstat(fd, &st) == 0 &&
	    still_mounts_have(st.st_dev, "fuse.stillfs") > 0;
}

/* To open `backup/` of a mount would begin a session: it is looked at first. */
static int open_outside(struct still_dest *dest, struct still_error *err)
{
	int path = open(
	    dest->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = 0;

	if (path < 0)
		return still_error_sys(err, errno, NULL, "`%s`", dest->path);
	if (is_in_mount(path))
		rc = still_error_set(err, STILL_ERR_INVALID, EROFS,
		    "Choose a directory outside.",
		    "`%s`: lies in a mount of stillfs", dest->path);
	if (rc == 0) {
		dest->dirfd = still_sys_open_beneath(
		    path, ".", O_RDONLY | O_DIRECTORY);
		if (dest->dirfd < 0)
			rc = still_error_sys(
			    err, -dest->dirfd, NULL, "`%s`", dest->path);
	}
	close(path);
	return rc;
}

static bool is_at_path(int fd, const char *path)
{
	struct stat open;
	struct stat named;

	return fstat(fd, &open) == 0 && lstat(path, &named) == 0 &&
	    open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

static int lock(struct still_dest *dest, struct still_error *err)
{
	int rc;

	if (flock(dest->dirfd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		rc = still_error_set(err, STILL_ERR_BUSY, EWOULDBLOCK,
		    "Wait until it is done.",
		    "`%s`: another backup is writing to it", dest->path);
	else
		rc = still_error_sys(
		    err, errno, NULL, "`%s`: its lock", dest->path);
	close(dest->dirfd);
	dest->dirfd = -1;
	return rc;
}

/* Rule 5: who had made it may take it away just before it is locked. */
static int open_locked(
    struct still_dest *dest, bool missing, bool create, struct still_error *err)
{
	for (int i = 0; i < TRIES; i++) {
		int rc = missing ? make(dest, err) : 0;

		if (rc == 0)
			rc = open_outside(dest, err);
		if (rc == STILL_ERR_NOTFOUND && create && i + 1 < TRIES) {
			still_error_clear(err);
			dest->made = false;
			missing = true;
			continue;
		}
		if (rc == 0)
			rc = lock(dest, err);
		if (rc < 0 || is_at_path(dest->dirfd, dest->path))
			return rc;
		close(dest->dirfd);
		dest->dirfd = -1;
		dest->made = false;
		missing = create;
	}
	return still_error_set(err, STILL_ERR_BUSY, EAGAIN,
	    "Wait until it is done.",
	    "`%s`: somebody makes and removes it again and again", dest->path);
}

/* ---- opened and made ------------------------------------------------------ */

int still_dest_open(const char *path, const char *source, bool create,
    struct still_dest *ret, struct still_error *err)
{
	bool missing = false;
	int rc;

	*ret = (struct still_dest){.dirfd = -1};
	rc = resolve(path, create, ret, &missing, err);
	if (rc == 0)
		rc = check_source(ret, source, missing, err);
	if (rc == 0)
		rc = open_locked(ret, missing, create, err);
	if (rc == 0)
		rc = still_dest_look_through(ret, source, err);
	return rc;
}

/* ---- the new one --------------------------------------------------------- */

int still_dest_make(struct still_dest *dest, const char *session, int *ret_fd,
    struct still_error *err)
{
	int rc;
	int fd;

	/* It becomes a name, and may come from another process. */
	if (!still_dest_is_id(session))
		return still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "session `%s`: is no name of a session", session);
	snprintf(dest->old_name, sizeof(dest->old_name),
	    STILL_DEST_OLD_PREFIX "%s", session);
	snprintf(dest->links_name, sizeof(dest->links_name),
	    STILL_DEST_LINKS_PREFIX "%s", session);
	snprintf(dest->new_name, sizeof(dest->new_name),
	    STILL_DEST_NEW_PREFIX "%s", session);
	rc = still_sys_mkdir(dest->dirfd, dest->new_name, S_IRWXU);
	if (rc < 0) {
		still_error_sys(
		    err, -rc, NULL, "`%s/%s`", dest->path, dest->new_name);
		dest->new_name[0] = '\0';
		return err ? err->code : STILL_ERR_IO;
	}
	fd = still_sys_open_beneath(
	    dest->dirfd, dest->new_name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return still_error_sys(
		    err, -fd, NULL, "`%s/%s`", dest->path, dest->new_name);
	*ret_fd = fd;
	return 0;
}

/* Some file systems do not know the flag, and say so in their own way. */
int still_dest_rename(struct still_dest *dest, const char *from, const char *to,
    unsigned flags, int *ret_errno, struct still_error *err)
{
	int rc = still_sys_rename(dest->dirfd, from, to, flags);

	*ret_errno = -rc;
	if (rc < 0)
		return still_error_sys(err, -rc, NULL,
		    "`%s/%s`: could not be renamed to `%s`", dest->path, from,
		    to);
	rc = still_sys_fsync(dest->dirfd);
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", dest->path);
	return 0;
}

static bool lacks_exchange(int sys_errno)
{
	return sys_errno == EINVAL || sys_errno == ENOSYS ||
	    sys_errno == EOPNOTSUPP;
}

/* The last one gets its name again, once that is free. */
static int put_back(struct still_dest *dest, struct still_error *err)
{
	int sys_errno = 0;
	int rc = still_dest_rename(
	    dest, dest->old_name, STILL_DEST_FULL, 0, &sys_errno, err);

	dest->aside = sys_errno != 0;
	return rc;
}

/* Rule 3, the second way. */
static int place_in_turn(struct still_dest *dest, struct still_error *err)
{
	int sys_errno;
	int rc = still_dest_rename(
	    dest, STILL_DEST_FULL, dest->old_name, 0, &sys_errno, err);

	dest->aside = sys_errno == 0;
	if (rc == 0) {
		rc = still_dest_rename(
		    dest, dest->new_name, STILL_DEST_FULL, 0, &sys_errno, err);
		dest->placed = sys_errno == 0;
	}
	if (rc < 0 && dest->aside && !dest->placed)
		put_back(dest, NULL);
	return rc;
}

static int place_first(struct still_dest *dest, struct still_error *err)
{
	int sys_errno;
	int rc = still_dest_rename(
	    dest, dest->new_name, STILL_DEST_FULL, 0, &sys_errno, err);

	dest->placed = sys_errno == 0;
	return rc;
}

static int place_exchanged(
    struct still_dest *dest, int *ret_errno, struct still_error *err)
{
	int rc = still_dest_rename(dest, dest->new_name, STILL_DEST_FULL,
	    RENAME_EXCHANGE, ret_errno, err);

	dest->placed = dest->exchanged = *ret_errno == 0;
	return rc;
}

static int place_full(struct still_dest *dest, struct still_error *err)
{
	int sys_errno = 0;
	int rc;

	if (!dest->had_full)
		return place_first(dest, err);
	rc = place_exchanged(dest, &sys_errno, err);
	if (rc < 0 && lacks_exchange(sys_errno))
		rc = place_in_turn(dest, err);
	return rc;
}

void still_dest_is_link(
    struct still_dest *dest, uint64_t number, uint64_t behind)
{
	dest->link = number;
	dest->behind = behind;
}

int still_dest_place(struct still_dest *dest, struct still_error *err)
{
	int rc = still_dest_put_links_aside(dest, err);

	if (rc == 0)
		rc = dest->link ? still_dest_place_link(dest, err)
				: place_full(dest, err);
	if (rc < 0)
		still_dest_unplace(dest, NULL);
	return rc;
}

static int unplace_full(struct still_dest *dest, struct still_error *err)
{
	int sys_errno = 0;
	int rc;

	if (dest->exchanged)
		rc = still_dest_rename(dest, dest->new_name, STILL_DEST_FULL,
		    RENAME_EXCHANGE, &sys_errno, err);
	else
		rc = still_dest_rename(
		    dest, STILL_DEST_FULL, dest->new_name, 0, &sys_errno, err);
	if (sys_errno)
		return rc;
	dest->placed = dest->exchanged = false;
	return dest->aside ? put_back(dest, err) : rc;
}

int still_dest_unplace(struct still_dest *dest, struct still_error *err)
{
	int rc = 0;

	if (dest->placed)
		rc = dest->link ? still_dest_unplace_link(dest, err)
				: unplace_full(dest, err);
	/* They belong to what is in place then. */
	if (!dest->placed)
		rc = still_dest_put_links_back(dest, rc < 0 ? NULL : err) < 0
		    ? STILL_ERR_IO
		    : rc;
	return rc;
}

char *still_dest_set_path(const struct still_dest *dest)
{
	char name[STILL_SET_CHAIN_NAME_BYTES];
	char *path;

	if (!dest->link)
		return still_path_join(dest->path, STILL_DEST_FULL);
	still_set_chain_name(dest->link, name);
	if (asprintf(
		&path, "%s/" STILL_SET_CHAIN_LINKS "/%s", dest->path, name) < 0)
		return NULL;
	return path;
}

const char *still_dest_last(const struct still_dest *dest)
{
	if (!dest->had_full)
		return NULL;
	if (dest->exchanged)
		return dest->new_name;
	return dest->aside ? dest->old_name : STILL_DEST_FULL;
}

static int clear_name(
    struct still_dest *dest, const char *name, struct still_error *err)
{
	int rc = still_rmtree(dest->dirfd, name);

	if (rc == -EBUSY)
		return still_error_set(err, STILL_ERR_BUSY, EBUSY,
		    "Unmount that. The next backup removes it.",
		    "`%s/%s`: could not be removed: something is mounted in it",
		    dest->path, name);
	if (rc == 0)
		rc = still_sys_fsync(dest->dirfd);
	if (rc < 0)
		return still_error_sys(err, -rc, "The next backup removes it.",
		    "`%s/%s`: could not be removed", dest->path, name);
	return 0;
}

int still_dest_clear(struct still_dest *dest, struct still_error *err)
{
	/* After an exchange the last set has the new one's name. */
	const char *name = dest->placed && !dest->exchanged ? dest->old_name
							    : dest->new_name;
	int rc;

	if (!dest->new_name[0])
		return 0;
	rc = clear_name(dest, name, err);
	/* Where they could not be put back, they are the last set's. */
	if (rc == 0 && dest->links_aside && dest->placed)
		rc = clear_name(dest, dest->links_name, err);
	return rc;
}

/* Rule 5. */
static void unmake(struct still_dest *dest)
{
	if (dest->dirfd < 0)
		dest->dirfd = open(dest->path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dest->dirfd >= 0 && flock(dest->dirfd, LOCK_EX | LOCK_NB) == 0 &&
	    is_at_path(dest->dirfd, dest->path))
		rmdir(dest->path);
}

void still_dest_close(struct still_dest *dest)
{
	if (dest->made && !dest->placed)
		unmake(dest);
	if (dest->dirfd >= 0)
		close(dest->dirfd);
	free(dest->path);
	*dest = (struct still_dest){.dirfd = -1};
}
