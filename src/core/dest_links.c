/* SPDX-License-Identifier: MIT */
/* dest: rule 6, the links beside `full`. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "core/dest_parts.h"
#include "core/set.h"

#define LINKS STILL_SET_CHAIN_LINKS

/* Of links, in the order in which they are to be moved. */
struct numbers {
	uint64_t *list; /* owned */
	size_t n;
};

static int add_number(struct still_dest *dest, const char *name, void *arg,
    struct still_error *err)
{
	struct numbers *numbers = arg;
	uint64_t number = still_set_chain_number(name);
	uint64_t *grown;

	(void) dest;
	if (number == 0)
		return 0;
	grown = reallocarray(numbers->list, numbers->n + 1, sizeof(grown[0]));
	if (!grown)
		return still_error_nomem(err);
	numbers->list = grown;
	grown[numbers->n++] = number;
	return 0;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a;
	uint64_t y = *(const uint64_t *) b;

	return x < y ? -1 : x > y;
}

static int read_numbers(struct still_dest *dest, const char *sub,
    struct numbers *ret, struct still_error *err)
{
	int rc = still_dest_for_each(dest, sub, add_number, ret, err);

	if (ret->n > 1)
		qsort(ret->list, ret->n, sizeof(ret->list[0]), ascending);
	return rc;
}

/* ---- what is there ------------------------------------------------------- */

struct looking {
	const char *source;
};

static int look_at_link(struct still_dest *dest, const char *name, void *arg,
    struct still_error *err)
{
	const struct looking *looking = arg;
	char path[sizeof(LINKS) + STILL_SET_CHAIN_NAME_BYTES];

	if (still_set_chain_number(name) == 0)
		return still_error_set(err, STILL_ERR_INVALID, ENOTEMPTY,
		    "Look what it is, and move it away.",
		    "`%s`: there is something else in it: `" LINKS "/%s`",
		    dest->path, name);
	snprintf(path, sizeof(path), LINKS "/%s", name);
	return still_dest_judge(dest, path, looking->source, err);
}

int still_dest_look_at_links(
    struct still_dest *dest, const char *source, struct still_error *err)
{
	struct looking looking = {source};

	if (!dest->had_links)
		return 0;
	return still_dest_for_each(dest, LINKS, look_at_link, &looking, err);
}

/* 1: it is of that session; 0: of another, or none. */
static int is_session(
    int dirfd, const char *name, const char *id, struct still_error *err)
{
	struct still_set set;
	int rc = still_set_identify(dirfd, name, &set, err);

	if (rc == 0)
		rc = set.session && strcmp(set.session, id) == 0;
	else if (rc == STILL_ERR_INVALID || rc == STILL_ERR_NOTFOUND) {
		still_error_clear(err);
		rc = 0;
	}
	still_set_release(&set);
	return rc;
}

int still_dest_has(int dirfd, const char *id, struct still_error *err)
{
	struct still_dest own = {.dirfd = dirfd, .path = (char *) "."};
	struct numbers numbers = {NULL, 0};
	struct stat st;
	int rc = is_session(dirfd, STILL_DEST_FULL, id, err);

	if (rc != 0 || fstatat(dirfd, LINKS, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return rc;
	rc = read_numbers(&own, LINKS, &numbers, err);
	for (size_t i = 0; rc == 0 && i < numbers.n; i++) {
		char name[STILL_SET_CHAIN_NAME_BYTES];
		char path[sizeof(LINKS) + STILL_SET_CHAIN_NAME_BYTES];

		still_set_chain_name(numbers.list[i], name);
		snprintf(path, sizeof(path), LINKS "/%s", name);
		rc = is_session(dirfd, path, id, err);
	}
	free(numbers.list);
	return rc;
}

static int take_aside(struct still_dest *dest, const char *name, void *arg,
    struct still_error *err)
{
	size_t len = strlen(STILL_DEST_LINKS_PREFIX);
	char *found = arg;
	int rc;

	if (found[0] || strncmp(name, STILL_DEST_LINKS_PREFIX, len) != 0 ||
	    !still_dest_is_id(name + len))
		return 0;
	rc = still_dest_has(dest->dirfd, name + len, err);
	if (rc == 0)
		snprintf(found, STILL_DEST_NAME_BYTES, "%s", name);
	return rc < 0 ? rc : 0;
}

int still_dest_find_aside(int dirfd, const char *path,
    char name[STILL_DEST_NAME_BYTES], struct still_error *err)
{
	struct still_dest own = {.dirfd = dirfd, .path = (char *) path};

	name[0] = '\0';
	return still_dest_for_each(&own, "", take_aside, name, err);
}

/* ---- from one directory to the other ------------------------------------- */

static int move_failed(
    struct still_dest *dest, const char *name, int rc, struct still_error *err)
{
	return still_error_sys(
	    err, -rc, NULL, "`%s/%s`: could not be moved", dest->path, name);
}

static int sync_both(
    struct still_dest *dest, int from_fd, int to_fd, struct still_error *err)
{
	int rc = still_sys_fsync(to_fd);

	if (rc == 0)
		rc = still_sys_fsync(from_fd);
	if (rc == 0)
		rc = still_sys_fsync(dest->dirfd);
	return rc < 0 ? still_error_sys(err, -rc, NULL, "`%s`", dest->path) : 0;
}

/* Those numbers, one after the other; each of them durable before the next, so
 * that what stays is always the beginning of a chain. */
static int move_each(struct still_dest *dest, int from_fd, int to_fd,
    const struct numbers *numbers, bool newest_first, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < numbers->n; i++) {
		char name[STILL_SET_CHAIN_NAME_BYTES];

		still_set_chain_name(
		    numbers->list[newest_first ? numbers->n - 1 - i : i], name);
		rc = still_sys_move(
		    from_fd, name, to_fd, name, RENAME_NOREPLACE);
		if (rc == -EINVAL || rc == -ENOSYS || rc == -EOPNOTSUPP)
			rc = still_sys_move(from_fd, name, to_fd, name, 0);
		rc = rc < 0 ? move_failed(dest, name, rc, err)
			    : sync_both(dest, from_fd, to_fd, err);
	}
	return rc;
}

static int make_dir(
    struct still_dest *dest, const char *name, struct still_error *err)
{
	int rc = still_sys_mkdir(dest->dirfd, name, 0700);

	if (rc < 0 && rc != -EEXIST)
		return still_error_sys(
		    err, -rc, NULL, "`%s/%s`", dest->path, name);
	return rc == 0;
}

static int open_sub(struct still_dest *dest, const char *name, int *ret_fd,
    struct still_error *err)
{
	int fd = still_sys_open_beneath(
	    dest->dirfd, name, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return still_error_sys(
		    err, -fd, NULL, "`%s/%s`", dest->path, name);
	*ret_fd = fd;
	return 0;
}

static int move_links(struct still_dest *dest, const char *from, const char *to,
    const struct numbers *numbers, bool newest_first, struct still_error *err)
{
	int from_fd = -1;
	int to_fd = -1;
	int rc = open_sub(dest, from, &from_fd, err);

	if (rc == 0)
		rc = open_sub(dest, to, &to_fd, err);
	if (rc == 0)
		rc = move_each(
		    dest, from_fd, to_fd, numbers, newest_first, err);
	if (from_fd >= 0)
		close(from_fd);
	if (to_fd >= 0)
		close(to_fd);
	return rc;
}

/* ---- aside, and back ----------------------------------------------------- */

/* Those behind the new one's base. */
static int put_newer_aside(struct still_dest *dest, struct still_error *err)
{
	struct numbers numbers = {NULL, 0};
	size_t keep = 0;
	int rc = read_numbers(dest, LINKS, &numbers, err);

	while (keep < numbers.n && numbers.list[keep] <= dest->behind)
		keep++;
	if (rc == 0 && keep < numbers.n) {
		struct numbers newer = {numbers.list + keep, numbers.n - keep};

		rc = make_dir(dest, dest->links_name, err);
		dest->links_aside = rc >= 0;
		if (rc >= 0)
			rc = move_links(
			    dest, LINKS, dest->links_name, &newer, true, err);
	}
	free(numbers.list);
	return rc;
}

int still_dest_put_links_aside(struct still_dest *dest, struct still_error *err)
{
	int sys_errno = 0;
	int rc;

	if (!dest->had_links)
		return 0;
	if (dest->link)
		return put_newer_aside(dest, err);
	rc = still_dest_rename(
	    dest, LINKS, dest->links_name, 0, &sys_errno, err);
	dest->links_aside = sys_errno == 0;
	return rc;
}

/* All links of the directory `name`. */
static int put_back(
    struct still_dest *dest, const char *name, struct still_error *err)
{
	struct numbers numbers = {NULL, 0};
	struct stat st;
	int sys_errno;
	int rc;

	if (fstatat(dest->dirfd, LINKS, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return still_dest_rename(dest, name, LINKS, 0, &sys_errno, err);
	rc = read_numbers(dest, name, &numbers, err);
	if (rc == 0)
		rc = move_links(dest, name, LINKS, &numbers, false, err);
	if (rc == 0)
		unlinkat(dest->dirfd, name, AT_REMOVEDIR);
	free(numbers.list);
	return rc;
}

int still_dest_put_links_back(struct still_dest *dest, struct still_error *err)
{
	int rc = dest->links_aside ? put_back(dest, dest->links_name, err) : 0;

	dest->links_aside = dest->links_aside && rc < 0;
	return rc;
}

int still_dest_recover_links(struct still_dest *dest, struct still_error *err)
{
	char name[STILL_DEST_NAME_BYTES];
	int rc;

	/* Without a full set there is nothing that they could build on. */
	if (!dest->had_full)
		return 0;
	rc = still_dest_find_aside(dest->dirfd, dest->path, name, err);
	if (rc < 0 || !name[0])
		return rc;
	dest->had_links = true;
	return put_back(dest, name, err);
}

/* ---- the new one --------------------------------------------------------- */

/* It takes part in the directory's attributes as `full` does: whoever may look
 * into that may see the links. */
static int make_links(struct still_dest *dest, struct still_error *err)
{
	struct stat st;
	int rc = make_dir(dest, LINKS, err);

	if (rc <= 0)
		return rc;
	dest->made_links = true;
	if (fstat(dest->dirfd, &st) == 0 &&
	    fchmodat(dest->dirfd, LINKS, st.st_mode & 0755, 0) != 0)
		return still_error_sys(
		    err, errno, NULL, "`%s/" LINKS "`", dest->path);
	return 0;
}

static void unmake_links(struct still_dest *dest)
{
	if (dest->made_links)
		unlinkat(dest->dirfd, LINKS, AT_REMOVEDIR);
	dest->made_links = false;
}

int still_dest_place_link(struct still_dest *dest, struct still_error *err)
{
	char name[STILL_SET_CHAIN_NAME_BYTES];
	int rc = make_links(dest, err);
	int fd = -1;

	if (rc == 0)
		rc = open_sub(dest, LINKS, &fd, err);
	if (rc < 0)
		return rc;
	still_set_chain_name(dest->link, name);
	rc = still_sys_move(
	    dest->dirfd, dest->new_name, fd, name, RENAME_NOREPLACE);
	if (rc == -EINVAL || rc == -ENOSYS || rc == -EOPNOTSUPP)
		rc = still_sys_move(dest->dirfd, dest->new_name, fd, name, 0);
	dest->placed = rc == 0;
	rc = rc < 0 ? move_failed(dest, dest->new_name, rc, err)
		    : sync_both(dest, dest->dirfd, fd, err);
	close(fd);
	return rc;
}

int still_dest_unplace_link(struct still_dest *dest, struct still_error *err)
{
	char name[STILL_SET_CHAIN_NAME_BYTES];
	int fd = -1;
	int rc = open_sub(dest, LINKS, &fd, err);

	if (rc < 0)
		return rc;
	still_set_chain_name(dest->link, name);
	rc = still_sys_move(fd, name, dest->dirfd, dest->new_name, 0);
	dest->placed = rc < 0;
	rc = rc < 0 ? move_failed(dest, name, rc, err)
		    : sync_both(dest, fd, dest->dirfd, err);
	close(fd);
	if (!dest->placed)
		unmake_links(dest);
	return rc;
}
