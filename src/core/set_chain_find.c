/* SPDX-License-Identifier: MIT */
/* set_chain_find: the sets of a chain in a directory of backups. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/set_chain.h"
#include "core/dest_parts.h"

struct finding {
	const char *path;  /* of the directory */
	uint64_t upto;     /* 0: all */
	uint64_t *numbers; /* owned */
	size_t n;
	bool met; /* `upto` is there */
};

/* `*ret_errno` is set where that cannot be told. */
static bool has(int dirfd, const char *path, mode_t type, int *ret_errno)
{
	struct stat st;

	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return (st.st_mode & S_IFMT) == type;
	if (errno != ENOENT && errno != ENOTDIR)
		*ret_errno = errno;
	return false;
}

/* A set; or no directory of backups, for who opens it to tell. */
static int is_alone(const struct finding *finding, int dirfd, bool *ret,
    struct still_error *err)
{
	int sys_errno = 0;

	*ret = has(dirfd, STILL_SET_LIST, S_IFREG, &sys_errno) ||
	    has(dirfd, STILL_SET_DESCRIPTION, S_IFREG, &sys_errno) ||
	    (!has(dirfd, STILL_DEST_FULL, S_IFDIR, &sys_errno) &&
		!has(dirfd, STILL_SET_CHAIN_LINKS, S_IFDIR, &sys_errno));
	return sys_errno
	    ? still_error_sys(err, sys_errno, NULL, "`%s`", finding->path)
	    : 0;
}

static int note(
    struct finding *finding, const char *name, struct still_error *err)
{
	uint64_t number = still_set_chain_number(name);
	uint64_t *grown;

	if (number == 0)
		return still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
		    "Look what it is, and move it away.",
		    "`%s/" STILL_SET_CHAIN_LINKS "/%s`: is not the name of an "
		    "incremental set",
		    finding->path, name);
	finding->met |= number == finding->upto;
	if (finding->upto && number > finding->upto)
		return 0;
	grown = reallocarray(
	    finding->numbers, finding->n + 1, sizeof(grown[0]));
	if (!grown)
		return still_error_nomem(err);
	finding->numbers = grown;
	grown[finding->n++] = number;
	return 0;
}

static int read_links(
    struct finding *finding, int dirfd, struct still_error *err)
{
	DIR *dir = NULL;
	const char *name;
	int next = 0;
	int rc = 0;
	int fd = still_sys_open_beneath(
	    dirfd, STILL_SET_CHAIN_LINKS, O_RDONLY | O_DIRECTORY);

	if (fd == -ENOENT)
		return 0;
	next = fd < 0 ? fd : still_sys_opendir(fd, &dir);
	while (rc == 0 && dir && (next = still_sys_readdir(dir, &name)) > 0)
		rc = note(finding, name, err);
	if (dir)
		closedir(dir);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && next < 0)
		rc = still_error_sys(err, -next, NULL,
		    "`%s/" STILL_SET_CHAIN_LINKS "`", finding->path);
	return rc;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

/* dest.h, rule 6: they are those of the set that is there, and wait for the next
 * backup to put them back. */
static int check_aside(
    const struct finding *finding, int dirfd, struct still_error *err)
{
	char name[STILL_DEST_NAME_BYTES];
	int rc = still_dest_find_aside(dirfd, finding->path, name, err);

	if (rc < 0 || !name[0])
		return rc;
	return still_error_set(err, STILL_ERR_BUSY, 0,
	    "Wait until a backup that is under way has ended. If there is none, "
	    "move them into `" STILL_SET_CHAIN_LINKS
	    "`, as the next one does, or name `" STILL_DEST_FULL
	    "` to do without.",
	    "`%s`: incremental sets are in `%s`: a backup is under way, or was "
	    "killed",
	    finding->path, name);
}

static int make_paths(const struct finding *finding, bool alone, char ***ret,
    size_t *ret_n, struct still_error *err)
{
	char **paths = calloc(finding->n + 1, sizeof(paths[0]));
	char name[STILL_SET_CHAIN_NAME_BYTES];
	int rc = 0;

	if (!paths)
		return still_error_nomem(err);
	*ret = paths;
	*ret_n = 1;
	paths[0] = alone ? strdup(finding->path)
			 : still_path_join(finding->path, STILL_DEST_FULL);
	for (size_t i = 0; i < finding->n; i++) {
		still_set_chain_name(finding->numbers[i], name);
		if (asprintf(&paths[i + 1], "%s/" STILL_SET_CHAIN_LINKS "/%s",
			finding->path, name) < 0)
			paths[i + 1] = NULL;
		*ret_n = i + 2;
	}
	for (size_t i = 0; i < *ret_n; i++)
		if (!paths[i])
			rc = still_error_nomem(err);
	return rc;
}

static int find(struct finding *finding, int dirfd, char ***ret, size_t *ret_n,
    struct still_error *err)
{
	bool alone = true;
	int rc = is_alone(finding, dirfd, &alone, err);

	if (rc == 0 && !alone)
		rc = read_links(finding, dirfd, err);
	if (rc == 0 && !alone)
		rc = check_aside(finding, dirfd, err);
	if (rc == 0 && finding->upto && !finding->met)
		rc = still_error_set(err, STILL_ERR_NOTFOUND, 0,
		    alone
			? "Name the directory that `stillctl backup` wrote to."
			: "`stillctl list` tells the numbers of sessions.",
		    "`%s`: has no incremental set number %" PRIu64,
		    finding->path, finding->upto);
	if (finding->n > 1)
		qsort(finding->numbers, finding->n, sizeof(finding->numbers[0]),
		    ascending);
	return rc == 0 ? make_paths(finding, alone, ret, ret_n, err) : rc;
}

int still_set_chain_find(const char *path, uint64_t upto, char ***ret,
    size_t *ret_n, struct still_error *err)
{
	struct finding finding = {.path = path, .upto = upto};
	int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	*ret = NULL;
	*ret_n = 0;
	/* Who opens the set tells why. But he would find a full one alone, if
	 * the next try went well. */
	if (dirfd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return make_paths(&finding, true, ret, ret_n, err);
	if (dirfd < 0)
		return still_error_sys(err, errno, NULL, "`%s`", path);
	rc = find(&finding, dirfd, ret, ret_n, err);
	close(dirfd);
	free(finding.numbers);
	return rc;
}

void still_set_chain_free_paths(char **paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	free(paths);
}
