/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "core/attributes.h"
#include "core/vacancy.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* ---- names --------------------------------------------------------------- */

/* `path` without the slashes at its end. */
static char *without_slashes(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

/* The directory that `path` is an entry of; owned by the caller. */
static char *parent_of(const char *path)
{
	const char *base = still_path_base(path);

	if (base == path)
		return strdup(".");
	if (base == path + 1)
		return strdup("/");
	return strndup(path, (size_t) (base - path - 1));
}

/* Both resolved; NULL without memory. */
static char *join(const char *dir, const char *name)
{
	char *path;

	if (dir[1])
		return still_path_join(dir, name);
	return asprintf(&path, "/%s", name) < 0 ? NULL : path;
}

/* Resolve what `path`, which is not there, is an entry of. */
static int find_missing(
    const char *path, struct still_place *place, struct still_error *err)
{
	const char *base = still_path_base(path);
	char *parent = parent_of(path);
	struct stat st;

	if (!parent)
		return still_error_nomem(err);
	place->parent = realpath(parent, NULL);
	free(parent);
	if (!place->parent)
		return still_error_sys(err, errno,
		    "Make the directories above it first.", "`%s`", path);
	if (lstat(path, &st) == 0)
		return still_error_set(err, STILL_ERR_INVALID, ENOENT,
		    "Remove the link, or make what it names.",
		    "`%s`: is a symbolic link to nothing", path);
	place->name = strdup(base);
	place->path = join(place->parent, base);
	if (!place->name || !place->path)
		return still_error_nomem(err);
	return 0;
}

/* Resolve what is there. */
static int find_there(
    char *resolved, struct still_place *place, struct still_error *err)
{
	place->path = resolved;
	place->parent = parent_of(resolved);
	place->name = strdup(still_path_base(resolved));
	if (!place->parent || !place->name)
		return still_error_nomem(err);
	return 0;
}

/* Fill path, parent and name. `*ret_there`: it is there. */
static int find(const char *dest, struct still_place *place, bool *ret_there,
    struct still_error *err)
{
	char *path = without_slashes(dest);
	char *resolved;
	int rc;

	if (!path)
		return still_error_nomem(err);
	resolved = realpath(path, NULL);
	*ret_there = resolved != NULL;
	if (resolved)
		rc = find_there(resolved, place, err);
	else if (errno == ENOENT)
		rc = find_missing(path, place, err);
	else
		rc = still_error_sys(err, errno, NULL, "`%s`", path);
	free(path);
	return rc;
}

static int open_dir(const char *path, int *ret_fd, struct still_error *err)
{
	int fd = open(path, OPEN_DIR);

	if (fd < 0)
		return still_error_sys(err, errno, NULL, "`%s`", path);
	*ret_fd = fd;
	return 0;
}

static int missing(const char *dest, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_NOTFOUND, ENOENT,
	    "Make it, or say --create.", "`%s`: there is no such directory",
	    dest);
}

int still_place_find_dir(const char *dest, bool create, struct still_place *ret,
    struct still_error *err)
{
	bool there = false;
	int rc;

	*ret = (struct still_place) STILL_PLACE_INIT;
	rc = find(dest, ret, &there, err);
	if (rc < 0)
		return rc;
	ret->kind = STILL_PLACE_BESIDE;
	if (!there && !create)
		return missing(dest, err);
	/* Not to be looked into is no reason: it may be within. */
	ret->parent_fd = open(ret->parent, OPEN_DIR);
	if (ret->parent_fd < 0 && !there)
		return still_error_sys(err, errno, NULL, "`%s`", ret->parent);
	return there ? open_dir(ret->path, &ret->dest_fd, err) : 0;
}

/* Make the directory in which the file is to be, unless it is there. */
static int make_parent(
    const char *dest, struct still_place *place, struct still_error *err)
{
	char *path = without_slashes(dest);
	char *parent = NULL;
	int rc = 0;

	if (path)
		parent = still_path_ends(dest, "/") ? strdup(path)
						    : parent_of(path);
	free(path);
	if (!parent)
		return still_error_nomem(err);
	if (mkdir(parent, 0777) == 0)
		place->made_parent = true;
	else if (errno != EEXIST)
		rc = still_error_sys(err, errno,
		    "Make the directories above it first.", "`%s`", parent);
	free(parent);
	return rc;
}

/* place->path is the directory; `name` in it is what is meant. */
static int step_into(
    struct still_place *place, const char *name, struct still_error *err)
{
	char *path = join(place->path, name);
	char *copy = strdup(name);

	free(place->parent);
	free(place->name);
	place->parent = place->path;
	place->path = path;
	place->name = copy;
	return path && copy ? 0 : still_error_nomem(err);
}

static bool is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int still_place_find_file(const char *dest, const char *name, bool create,
    struct still_place *ret, struct still_error *err)
{
	bool there = false;
	int rc;

	*ret = (struct still_place) STILL_PLACE_INIT;
	ret->kind = STILL_PLACE_FILE;
	rc = create ? make_parent(dest, ret, err) : 0;
	if (rc == 0)
		rc = find(dest, ret, &there, err);
	if (rc == 0 && !there && still_path_ends(dest, "/"))
		rc = missing(dest, err);
	if (rc == 0 && there && is_dir(ret->path))
		rc = step_into(ret, name, err);
	if (rc == 0)
		rc = open_dir(ret->parent, &ret->parent_fd, err);
	return rc;
}

/* ---- the stage ----------------------------------------------------------- */

/* As long a name as there may be, with a part of ours. */
static void name_stage(const char *name, char ret[STILL_STAGE_NAME_BYTES])
{
	snprintf(ret, STILL_STAGE_NAME_BYTES, ".%.200s.restoring", name);
}

static bool has_entry(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Is the directory one that no other can be renamed over? */
static bool is_fixed(const struct still_place *place)
{
	struct statx dest;
	struct statx parent;
	unsigned int mask = STATX_TYPE | STATX_INO;

	if (place->parent_fd < 0 || !place->name[0] ||
	    has_entry(place->dest_fd, STILL_VACANCY_STAGE) ||
	    has_entry(place->dest_fd, "lost+found") ||
	    statx(place->dest_fd, "", AT_EMPTY_PATH, mask, &dest) != 0 ||
	    statx(place->parent_fd, "", AT_EMPTY_PATH, mask, &parent) != 0)
		return true;
	return (dest.stx_attributes & STATX_ATTR_MOUNT_ROOT) ||
	    dest.stx_dev_major != parent.stx_dev_major ||
	    dest.stx_dev_minor != parent.stx_dev_minor;
}

/* Can the stage become what `dest_fd` is? It is tried, and taken back: once it
 * belongs to somebody else he could write to it. */
static bool can_replace(const struct still_place *place)
{
	int fd = place->stage.fd;
	struct stat dest;
	struct stat st;

	return still_attributes_take_over(fd, place->dest_fd) == 0 &&
	    fstat(place->dest_fd, &dest) == 0 && fstat(fd, &st) == 0 &&
	    st.st_uid == dest.st_uid && st.st_gid == dest.st_gid &&
	    st.st_mode == dest.st_mode &&
	    fchown(fd, geteuid(), getegid()) == 0 && fchmod(fd, 0700) == 0;
}

static int begin_beside(struct still_place *place, struct still_error *err)
{
	char name[STILL_STAGE_NAME_BYTES];
	int rc;

	name_stage(place->name, name);
	rc = still_stage_begin(
	    &place->stage, place->parent_fd, name, place->parent, err);
	if (rc == 0 && place->dest_fd >= 0 && !can_replace(place)) {
		still_stage_end(&place->stage);
		rc = STILL_ERR_ACCESS;
	}
	return rc;
}

static int begin_within(struct still_place *place, struct still_error *err)
{
	place->kind = STILL_PLACE_WITHIN;
	return still_stage_begin(&place->stage, place->dest_fd,
	    STILL_VACANCY_STAGE, place->path, err);
}

static int begin_dir(struct still_place *place, struct still_error *err)
{
	int rc;

	if (place->dest_fd < 0)
		return begin_beside(place, err);
	rc = still_vacancy_of_dir(place->dest_fd, place->path, false, err);
	if (rc < 0)
		return rc;
	if (is_fixed(place))
		return begin_within(place, err);
	rc = begin_beside(place, err);
	/* A parent that we may not write to, or that is read-only. */
	if (rc == STILL_ERR_ACCESS ||
	    (rc == STILL_ERR_IO && err->sys_errno == EROFS)) {
		still_error_clear(err);
		rc = begin_within(place, err);
	}
	return rc;
}

int still_place_begin(struct still_place *place, struct still_error *err)
{
	char name[STILL_STAGE_NAME_BYTES];
	int rc;

	if (place->kind != STILL_PLACE_FILE)
		return begin_dir(place, err);
	rc = still_vacancy_of_file(
	    place->parent_fd, place->parent, place->name, err);
	if (rc < 0)
		return rc;
	name_stage(place->name, name);
	return still_stage_begin(
	    &place->stage, place->parent_fd, name, place->parent, err);
}

void still_place_release(struct still_place *place)
{
	still_stage_end(&place->stage);
	if (place->parent_fd >= 0)
		close(place->parent_fd);
	if (place->dest_fd >= 0)
		close(place->dest_fd);
	/* If it is empty. */
	if (place->made_parent && place->parent)
		rmdir(place->parent);
	free(place->path);
	free(place->parent);
	free(place->name);
	*place = (struct still_place) STILL_PLACE_INIT;
}
