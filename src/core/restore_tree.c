/* SPDX-License-Identifier: MIT */
/* restore: directories and links in the stage. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/attributes.h"
#include "core/restore_parts.h"

static int dir_failed(struct still_restore_work *restore, const char *dir,
    int rc, struct still_error *err)
{
	return still_error_sys(
	    err, -rc, NULL, "`%s/%s`", restore->place.path, dir);
}

/* Make the directory, for now ours alone, unless it is there. Takes `dir`. */
static int make_dir(
    struct still_restore_work *restore, char *dir, struct still_error *err)
{
	int rc = still_sys_mkdir(restore->root_fd, dir, 0700);
	char **grown;

	if (rc == -EEXIST) {
		free(dir);
		return 0;
	}
	grown = reallocarray(
	    restore->dirs, restore->n_dirs + 1, sizeof(*grown));
	if (grown)
		restore->dirs = grown;
	if (rc == 0 && grown) {
		restore->dirs[restore->n_dirs++] = dir;
		return 0;
	}
	rc = rc < 0 ? dir_failed(restore, dir, rc, err)
		    : still_error_nomem(err);
	free(dir);
	return rc;
}

/* Each directory that `path` is in. */
static int make_dirs_of(struct still_restore_work *restore, const char *path,
    struct still_error *err)
{
	const char *slash = path;
	int rc = 0;

	while (rc == 0 && (slash = strchr(slash, '/'))) {
		char *dir = strndup(path, (size_t) (slash - path));

		rc = dir ? make_dir(restore, dir, err) : still_error_nomem(err);
		slash++;
	}
	return rc;
}

static bool is_same_dir(const char *a, const char *b)
{
	size_t len = (size_t) (still_path_base(a) - a);

	return len == (size_t) (still_path_base(b) - b) &&
	    memcmp(a, b, len) == 0;
}

bool still_restore_wants(
    const struct still_restore_work *restore, const char *path)
{
	if (restore->database)
		return strcmp(path, restore->database) == 0;
	if (restore->set->base && still_path_is_in(path, "logs"))
		return false;
	return strcmp(path, STILL_SET_DESCRIPTION) != 0 &&
	    !still_path_is_in(path, "verify");
}

/* Those with nothing in them, too. */
static int make_empty_dirs(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = restore->set;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < set->n_empty_dirs; i++) {
		const char *path = set->empty_dirs[i];
		char *dir;

		if (!still_restore_wants(restore, path) ||
		    strlen(path) <= restore->strip)
			continue;
		rc = make_dirs_of(restore, path + restore->strip, err);
		if (rc < 0)
			break;
		dir = strdup(path + restore->strip);
		rc = dir ? make_dir(restore, dir, err) : still_error_nomem(err);
	}
	return rc;
}

int still_restore_make_dirs(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = restore->set;
	int rc = 0;

	/* Alone it has the name that the place gives it. */
	if (restore->database && !still_restore_has_links(restore))
		return 0;
	for (size_t i = 0; rc == 0 && i < restore->n_files; i++)
		if (i == 0 ||
		    !is_same_dir(
			restore->files[i].to, restore->files[i - 1].to))
			rc = make_dirs_of(restore, restore->files[i].to, err);
	for (size_t i = 0; rc == 0 && i < set->n_links; i++)
		if (still_restore_wants(restore, set->links[i].path))
			rc = make_dirs_of(
			    restore, set->links[i].path + restore->strip, err);
	return rc == 0 ? make_empty_dirs(restore, err) : rc;
}

/* What the description says: that it is what lies in the set has been looked at. */
int still_restore_make_links(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_set *set = restore->set;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < set->n_links; i++) {
		const struct still_set_link *link = &set->links[i];
		const char *to = link->path + restore->strip;

		if (!still_restore_wants(restore, link->path))
			continue;
		if (!still_path_link_stays(to, link->target))
			return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
			    "`%s`: is a link that leads to nothing that is "
			    "restored",
			    link->path);
		rc = still_sys_symlink(link->target, restore->root_fd, to);
		/* A link of the chain before has brought it. */
		if (rc < 0 && (rc != -EEXIST || !restore->set->base))
			return dir_failed(restore, to, rc, err);
	}
	return rc;
}

/* The one in the last set that has it: 0 or more, or -errno. */
static int open_model(struct still_restore_work *restore, const char *path)
{
	int fd = -ENOENT;

	for (size_t i = restore->chain.n; fd < 0 && i-- > restore->first;)
		fd = still_sys_open_beneath(
		    restore->chain.sets[i].dirfd, path, O_PATH | O_DIRECTORY);
	return fd;
}

/* Give the open directory what the one in the set has. 0 or -errno. */
static int finish_dir(
    struct still_restore_work *restore, int fd, const char *dir)
{
	char *path = restore->strip ? still_path_join("data", dir)
				    : strdup(dir);
	int from;
	int rc;

	if (!path)
		return -ENOMEM;
	from = open_model(restore,
	    dir[0]               ? path
		: restore->strip ? "data"
				 : ".");
	free(path);
	if (from < 0)
		return from;
	rc = still_attributes_give(fd, from);
	close(from);
	return rc == 0 ? still_sys_fsync(fd) : rc;
}

/* The deepest first: what is made in a directory changes its time. */
int still_restore_finish_dirs(
    struct still_restore_work *restore, struct still_error *err)
{
	const struct still_place *place = &restore->place;
	int rc;

	for (size_t i = restore->n_dirs; i-- > 0;) {
		int fd = still_sys_open_beneath(
		    place->stage.fd, restore->dirs[i], O_RDONLY | O_DIRECTORY);

		/* A link of the chain has dropped what was in it. */
		if (fd == -ENOENT && still_restore_has_links(restore))
			continue;
		rc = fd < 0 ? fd : finish_dir(restore, fd, restore->dirs[i]);
		if (fd >= 0)
			close(fd);
		if (rc < 0)
			return dir_failed(restore, restore->dirs[i], rc, err);
	}
	if (place->kind == STILL_PLACE_BESIDE && place->dest_fd < 0)
		rc = finish_dir(restore, place->stage.fd, "");
	else
		rc = still_sys_fsync(place->stage.fd);
	return rc < 0 ? still_error_sys(err, -rc, NULL, "`%s`", place->path)
		      : 0;
}

/* ---- durable ------------------------------------------------------------- */

struct dirs {
	char **list; /* owned; to be read yet */
	size_t n;
};

/* Takes `dir`, which may be NULL. 0 or -ENOMEM. */
static int dirs_push(struct dirs *dirs, char *dir)
{
	char **grown =
	    dir ? reallocarray(dirs->list, dirs->n + 1, sizeof(*grown)) : NULL;

	if (!grown) {
		free(dir);
		return -ENOMEM;
	}
	dirs->list = grown;
	grown[dirs->n++] = dir;
	return 0;
}

/* A file is synced, a directory remembered, a link is in its directory. Takes
 * `path`. 0 or -errno. */
static int sync_entry(int rootfd, struct dirs *dirs, char *path)
{
	struct stat st;
	int fd;
	int rc = 0;

	if (fstatat(rootfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		return dirs_push(dirs, path);
	else if (S_ISREG(st.st_mode)) {
		fd = still_sys_open_beneath(rootfd, path, O_RDONLY);
		rc = fd < 0 ? fd : still_sys_fsync(fd);
		if (fd >= 0)
			close(fd);
	}
	free(path);
	return rc;
}

static int sync_dir(int rootfd, struct dirs *dirs, const char *path)
{
	DIR *dir = NULL;
	const char *name;
	int next = 0;
	int rc = 0;
	int fd = still_sys_open_beneath(
	    rootfd, *path ? path : ".", O_RDONLY | O_DIRECTORY);

	next = fd < 0 ? fd : still_sys_opendir(fd, &dir);
	while (rc == 0 && dir && (next = still_sys_readdir(dir, &name)) > 0) {
		char *entry = still_path_join(path, name);

		rc = entry ? sync_entry(rootfd, dirs, entry) : -ENOMEM;
	}
	if (rc == 0)
		rc = next;
	if (rc == 0)
		rc = still_sys_fsync(fd);
	if (dir)
		closedir(dir);
	if (fd >= 0)
		close(fd);
	return rc;
}

int still_restore_sync_tree(
    struct still_restore_work *restore, int dirfd, struct still_error *err)
{
	struct dirs dirs = {NULL, 0};
	int rc = dirs_push(&dirs, strdup(""));

	while (rc == 0 && dirs.n > 0) {
		char *dir = dirs.list[--dirs.n];

		rc = sync_dir(dirfd, &dirs, dir);
		free(dir);
	}
	while (dirs.n > 0)
		free(dirs.list[--dirs.n]);
	free(dirs.list);
	return rc < 0
	    ? still_error_sys(err, -rc, NULL, "`%s`", restore->place.path)
	    : 0;
}
