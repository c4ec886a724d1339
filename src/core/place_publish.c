/* SPDX-License-Identifier: MIT */
/*
 * place_publish: the last step of a place. What is done is undone when a later
 * part of it fails.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/attributes.h"
#include "core/place.h"
#include "core/vacancy.h"

/* Rename onto nothing. 0 or -errno. */
static int move(int from_fd, const char *from, int to_fd, const char *to)
{
	int rc = still_sys_move(from_fd, from, to_fd, to, RENAME_NOREPLACE);

	if (rc != -EINVAL && rc != -ENOSYS && rc != -EOPNOTSUPP)
		return rc;
	/* A file system that cannot (NFS, some of FUSE) can at least link a
	 * file, and rename(2) no directory onto one that holds something. */
	if (linkat(from_fd, from, to_fd, to, 0) == 0) {
		unlinkat(from_fd, from, 0);
		return 0;
	}
	if (errno != EPERM && errno != EISDIR)
		return -errno;
	return still_sys_move(from_fd, from, to_fd, to, 0);
}

static int taken(const struct still_place *place, const char *path, int rc,
    struct still_error *err)
{
	if (rc == -EEXIST || rc == -ENOTEMPTY)
		return still_error_set(err, STILL_ERR_INVALID, -rc,
		    "Find out who writes there, and restore again.",
		    "`%s`: somebody else has put something there meanwhile",
		    path);
	return still_error_sys(err, -rc, NULL, "`%s`", place->path);
}

/* ---- beside -------------------------------------------------------------- */

static void undo_beside(struct still_place *place)
{
	int fd;

	if (move(place->parent_fd, place->name, place->parent_fd,
		place->stage.name) < 0)
		return;
	place->stage.own = true;
	if (place->dest_fd < 0 ||
	    mkdirat(place->parent_fd, place->name, 0700) != 0)
		return;
	fd = openat(place->parent_fd, place->name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	still_attributes_take_over(fd, place->dest_fd);
	close(fd);
}

static int publish_beside(struct still_place *place, struct still_error *err)
{
	struct still_stage *stage = &place->stage;
	int rc = 0;

	if (place->dest_fd >= 0)
		rc = still_attributes_take_over(stage->fd, place->dest_fd);
	if (rc == 0)
		rc = still_sys_fsync(stage->fd);
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", place->path);
	if (place->dest_fd < 0)
		rc = move(place->parent_fd, stage->name, place->parent_fd,
		    place->name);
	else
		rc = still_sys_move(place->parent_fd, stage->name,
		    place->parent_fd, place->name, 0);
	if (rc < 0)
		return taken(place, place->path, rc, err);
	stage->own = false;
	rc = still_sys_fsync(place->parent_fd);
	if (rc < 0) {
		undo_beside(place);
		return still_error_sys(err, -rc, NULL, "`%s`", place->parent);
	}
	return 0;
}

/* ---- within -------------------------------------------------------------- */

struct names {
	char **list; /* owned */
	size_t n;
};

static void names_release(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->list[i]);
	free(names->list);
}

static int names_add(struct names *names, const char *name)
{
	char **grown = reallocarray(names->list, names->n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	names->list = grown;
	grown[names->n] = strdup(name);
	if (!grown[names->n])
		return -ENOMEM;
	names->n++;
	return 0;
}

static int names_read(int dirfd, struct names *ret)
{
	DIR *dir = NULL;
	const char *name;
	int rc = still_sys_opendir(dirfd, &dir);

	if (rc < 0)
		return rc;
	while ((rc = still_sys_readdir(dir, &name)) > 0) {
		rc = names_add(ret, name);
		if (rc < 0)
			break;
	}
	closedir(dir);
	return rc;
}

static int move_up(struct still_place *place, const struct names *names,
    size_t *ret_moved, struct still_error *err)
{
	int rc = 0;

	for (*ret_moved = 0; *ret_moved < names->n; (*ret_moved)++) {
		rc = move(place->stage.fd, names->list[*ret_moved],
		    place->dest_fd, names->list[*ret_moved]);
		if (rc < 0)
			return taken(place, place->path, rc, err);
	}
	rc = still_sys_fsync(place->dest_fd);
	if (rc < 0)
		return still_error_sys(err, -rc, NULL, "`%s`", place->path);
	return 0;
}

static int publish_within(struct still_place *place, struct still_error *err)
{
	struct names names = {NULL, 0};
	size_t moved = 0;
	int rc = names_read(place->stage.fd, &names);

	if (rc < 0)
		rc = still_error_sys(err, -rc, NULL, "`%s`", place->path);
	/* Since it was looked at, somebody may have begun to use it. */
	if (rc == 0)
		rc = still_vacancy_of_dir(
		    place->dest_fd, place->path, true, err);
	if (rc == 0)
		rc = move_up(place, &names, &moved, err);
	if (rc < 0)
		while (moved-- > 0)
			move(place->dest_fd, names.list[moved], place->stage.fd,
			    names.list[moved]);
	names_release(&names);
	return rc;
}

/* ---- a file -------------------------------------------------------------- */

/* The directory that a new one is in. */
static int sync_above(int dirfd)
{
	int fd = openat(dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 ? still_sys_fsync(fd) : -errno;

	if (fd >= 0)
		close(fd);
	return rc;
}

static int publish_file(struct still_place *place, struct still_error *err)
{
	int rc = still_vacancy_of_file(
	    place->parent_fd, place->parent, place->name, err);

	if (rc < 0)
		return rc;
	rc = move(place->stage.fd, place->name, place->parent_fd, place->name);
	if (rc < 0)
		return taken(place, place->path, rc, err);
	rc = still_sys_fsync(place->parent_fd);
	if (rc == 0 && place->made_parent)
		rc = sync_above(place->parent_fd);
	if (rc < 0) {
		move(place->parent_fd, place->name, place->stage.fd,
		    place->name);
		return still_error_sys(err, -rc, NULL, "`%s`", place->parent);
	}
	return 0;
}

int still_place_publish(struct still_place *place, struct still_error *err)
{
	int rc;

	if (place->kind == STILL_PLACE_BESIDE)
		rc = publish_beside(place, err);
	else if (place->kind == STILL_PLACE_WITHIN)
		rc = publish_within(place, err);
	else
		rc = publish_file(place, err);
	if (rc == 0)
		place->made_parent = false;
	return rc;
}
