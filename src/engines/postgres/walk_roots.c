/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/walk_parts.h"

int still_pg_walk_in_place(
    const struct still_pg_walking *walking, const char *oid)
{
	return still_error_set(walking->err, STILL_ERR_UNSUPPORTED, 0,
	    "Move what is in it to a tablespace with a place of its own; "
	    "allow_in_place_tablespaces is for developers of the server.",
	    "tablespace %s: lies in place, in `pg_tblspc`", oid);
}

/* `path` and `prefix` become the root's, also on failure. -errno; ENOMEM where
 * one of them is NULL. */
static int open_root(
    struct still_pg_root *root, enum still_pg_top top, char *path, char *prefix)
{
	int rc = 0;

	*root = (struct still_pg_root){
	    .fd = -1, .path = path, .prefix = prefix, .top = top};
	if (!path || !prefix)
		return -ENOMEM;
	root->fd = still_sys_open_beneath(AT_FDCWD, path, O_PATH | O_DIRECTORY);
	if (root->fd < 0)
		return root->fd;
	rc = still_sys_fstat(root->fd, &root->st);
	return rc;
}

void still_pg_root_release(struct still_pg_root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	free(root->path);
	free(root->prefix);
}

static int resolve(const char *path, char **ret)
{
	*ret = realpath(path, NULL);
	return *ret ? 0 : -errno;
}

/* The next root, at `place`. 0 or -errno. */
static int add_root(struct still_pg_walk *walk, enum still_pg_top top,
    const char *place, const char *prefix)
{
	struct still_pg_root *root = &walk->roots[walk->n_roots];
	char *path;
	int rc = resolve(place, &path);

	if (rc == 0)
		rc = open_root(root, top, path, strdup(prefix));
	else
		return rc;
	if (rc < 0)
		still_pg_root_release(root);
	else
		walk->n_roots++;
	return rc;
}

static int add_data_roots(const struct still_pg_walking *walking)
{
	const char *data_dir = walking->request->data_dir;
	char *wal;
	int rc = add_root(walking->walk, STILL_PG_TOP_DATA, data_dir, "data");

	if (rc < 0)
		return still_error_sys(walking->err, -rc,
		    rc == -EACCES ? still_pg_access_hint : NULL, "`%s`",
		    data_dir);
	wal = still_path_join(data_dir, "pg_wal");
	if (!wal)
		return still_error_nomem(walking->err);
	rc = add_root(walking->walk, STILL_PG_TOP_DATA, wal, "data/pg_wal");
	if (rc < 0)
		rc = still_error_sys(walking->err, -rc,
		    rc == -EACCES ? still_pg_access_hint : NULL, "`%s`", wal);
	free(wal);
	return rc;
}

/* What the link of a tablespace says; -errno. */
static int read_space_link(
    const struct still_pg_walking *walking, uint32_t oid, char out[PATH_MAX])
{
	char name[16];
	int fd = still_sys_open_beneath(
	    walking->walk->roots[STILL_PG_ROOT_DATA].fd, "pg_tblspc",
	    O_PATH | O_DIRECTORY);
	ssize_t n;

	if (fd < 0)
		return fd;
	snprintf(name, sizeof(name), "%" PRIu32, oid);
	n = readlinkat(fd, name, out, PATH_MAX);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n == PATH_MAX)
		return -ENAMETOOLONG;
	if (n >= 0)
		out[n] = '\0';
	return n < 0 ? (int) n : 0;
}

static int add_space(const struct still_pg_walking *walking,
    const struct still_pg_tablespace *space)
{
	char prefix[sizeof("tablespaces/") + 10];
	char link[PATH_MAX];
	int rc = read_space_link(walking, space->oid, link);

	if (rc == -ENOENT)
		return 0; /* dropped since the server was asked */
	snprintf(prefix, sizeof(prefix), "tablespaces/%" PRIu32, space->oid);
	if (rc == -EINVAL || (rc == 0 && space->location[0] != '/'))
		return still_pg_walk_in_place(walking, strchr(prefix, '/') + 1);
	if (rc < 0)
		return still_error_sys(walking->err, -rc, still_pg_access_hint,
		    "link of tablespace %" PRIu32, space->oid);
	if (strcmp(link, space->location) != 0)
		return still_error_set(walking->err, STILL_ERR_FAILED, 0,
		    "The data directory may be another server's; name the one "
		    "that `SHOW data_directory` tells.",
		    "tablespace %" PRIu32 ": its link leads to `%s`, and the "
		    "server says `%s`",
		    space->oid, link, space->location);
	rc = add_root(walking->walk, STILL_PG_TOP_SPACE, link, prefix);
	if (rc == -ENOENT &&
	    read_space_link(walking, space->oid, link) == -ENOENT)
		return 0;
	if (rc < 0)
		return still_error_sys(walking->err, -rc,
		    rc == -EACCES ? still_pg_access_hint : NULL,
		    "tablespace %" PRIu32 " at `%s`", space->oid,
		    space->location);
	return 0;
}

int still_pg_walk_roots(const struct still_pg_walking *walking)
{
	const struct still_pg_walk_request *request = walking->request;
	int rc;

	walking->walk->roots = calloc(
	    request->n_tablespaces + 2, sizeof(*walking->walk->roots));
	if (!walking->walk->roots)
		return still_error_nomem(walking->err);
	rc = add_data_roots(walking);
	for (size_t i = 0; rc == 0 && i < request->n_tablespaces; i++)
		rc = add_space(walking, &request->tablespaces[i]);
	return rc;
}
