/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

static const char hint[] =
    "Name another directory with `state=`; it must be yours, and closed to "
    "others (`chmod 700`).";

int still_statedir_failed(
    int sys_errno, const char *what, const char *path, struct still_error *err)
{
	return still_error_sys(err, sys_errno,
	    sys_errno == ENOENT
		? "No session was ever recorded there; if some were, name the "
		  "directory with `state=`."
		: hint,
	    "%s `%s`", what, path);
}

/* mount(8) clears the environment of who may mount by a line of fstab, and its
 * helper sets HOME to that of root: one that is another user's is not believed. */
static int below_home(char **ret, const char *slash, const char *name)
{
	const char *home = getenv("HOME");
	struct passwd *entry = NULL;
	struct passwd room;
	char text[4096];
	struct stat st;

	if (!home || *home != '/')
		return -1;
	if (stat(home, &st) == 0 && st.st_uid != geteuid() &&
	    getpwuid_r(geteuid(), &room, text, sizeof(text), &entry) == 0 &&
	    entry)
		home = entry->pw_dir;
	return asprintf(ret, "%s/.local/state/stillfs%s%s", home, slash, name);
}

char *still_statedir_default(const char *name)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *slash = name ? "/" : "";
	char *path = NULL;
	int rc = -1;

	if (!name)
		name = "";
	if (geteuid() == 0)
		rc = asprintf(&path, "/var/lib/stillfs%s%s", slash, name);
	else if (state && *state == '/')
		rc = asprintf(&path, "%s/stillfs%s%s", state, slash, name);
	else
		rc = below_home(&path, slash, name);
	return rc < 0 ? NULL : path;
}

/* A new name is on disk when the directory that holds it is. */
static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t) (slash - path) : 0;
	char *parent = slash ? strndup(path, len ? len : 1) : strdup(".");
	int rc = 0;
	int fd;

	if (!parent)
		return -ENOMEM;
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Some file systems have no fsync of a directory: nothing to wait
	 * for. One that may not be read cannot be helped. */
	if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	free(parent);
	return rc;
}

static int make_dir(const char *path)
{
	if (mkdir(path, 0700) == 0)
		return sync_parent(path);
	return errno == EEXIST ? 0 : -errno;
}

int still_statedir_make(const char *path)
{
	char *copy = strdup(path);
	int rc = 0;

	if (!copy)
		return -ENOMEM;
	for (char *p = copy; rc == 0 && *p; p++) {
		if (p == copy || *p != '/')
			continue;
		*p = '\0';
		rc = make_dir(copy);
		*p = '/';
	}
	if (rc == 0)
		rc = make_dir(copy);
	free(copy);
	return rc;
}

/* The resolved path of what exists of `path`, and the rest as it is. A rest with
 * `..` in it stays wrong; whoever opens the directory is told better. */
static char *resolve(const char *path)
{
	char *head = strdup(path);
	char *real = realpath(path, NULL);
	char *joined = NULL;
	char *slash;

	if (!head)
		goto out;
	while (!real && (slash = strrchr(head, '/')) && slash != head) {
		*slash = '\0';
		real = realpath(head, NULL);
	}
	/* Nothing of it exists: it would lie in the root, or here. */
	if (!real) {
		real = realpath(*path == '/' ? "/" : ".", NULL);
		*head = '\0';
	}
	path += strlen(head);
	path += strspn(path, "/");
	if (real)
		joined = *path ? still_path_join(real, path) : strdup(real);
out:
	free(head);
	free(real);
	return joined;
}

static int no_home(struct still_error *err)
{
	return still_error_set(err, STILL_ERR_INVALID, 0, hint,
	    "state directory: there is no home directory to have it in");
}

int still_statedir_resolve(
    const char *path, char **ret, struct still_error *err)
{
	char *standard = path ? NULL : still_statedir_default(NULL);
	char *resolved;

	if (!path && !standard)
		return no_home(err);
	resolved = resolve(path ? path : standard);
	free(standard);
	if (!resolved)
		return still_error_nomem(err);
	*ret = resolved;
	return 0;
}

static int check(int fd, const char *path, struct still_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return still_statedir_failed(
		    errno, "state directory", path, err);
	if (st.st_uid != geteuid())
		return still_error_set(err, STILL_ERR_ACCESS, EACCES, hint,
		    "state directory `%s`: belongs to user %u, and this is "
		    "user %u",
		    path, (unsigned) st.st_uid, (unsigned) geteuid());
	if (st.st_mode & 0077)
		return still_error_set(err, STILL_ERR_INVALID, 0, hint,
		    "state directory `%s`: is open to others (mode %04o)", path,
		    (unsigned) st.st_mode & 07777);
	return 0;
}

static int open_resolved(
    const char *path, char **ret_path, int *ret_fd, struct still_error *err)
{
	char *real = realpath(path, NULL);
	int fd = -1;
	int rc = 0;

	if (real)
		fd = open(
		    real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR)
		rc = still_error_set(err, STILL_ERR_INVALID, ENOTDIR, hint,
		    "state directory `%s`: not a directory", path);
	else if (fd < 0)
		rc = still_statedir_failed(errno, "state directory", path, err);
	if (rc == 0)
		rc = check(fd, real, err);
	if (rc < 0) {
		if (fd >= 0)
			close(fd);
		free(real);
		return rc;
	}
	*ret_path = real;
	*ret_fd = fd;
	return 0;
}

int still_statedir_open(const char *path, bool create, char **ret_path,
    int *ret_fd, struct still_error *err)
{
	char *standard = path ? NULL : still_statedir_default(NULL);
	int rc = 0;

	if (!path && !standard)
		return no_home(err);
	if (!path)
		path = standard;
	if (create)
		rc = still_statedir_make(path);
	/* What is in the way is told better below. */
	if (rc < 0 && rc != -ENOTDIR)
		rc = still_statedir_failed(-rc, "state directory", path, err);
	else
		rc = open_resolved(path, ret_path, ret_fd, err);
	free(standard);
	return rc;
}
