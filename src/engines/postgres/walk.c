/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/walk.h"

#include <dirent.h>
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

static const char access_hint[] =
    "What cannot be read cannot be backed up; run stillfs as root, or as the "
    "owner of the data directory.";

struct walking {
	const struct still_pg_walk_request *request;
	struct still_pg_walk *walk;
	struct still_error *err;
};

static struct still_pg_root *root_of(
    const struct still_pg_walk *walk, const struct still_pg_entry *entry)
{
	return &walk->roots[entry->root];
}

/* ---- the list ------------------------------------------------------------ */

static char *name_below(
    const struct still_pg_walk *walk, size_t root, const char *rel)
{
	if (root == STILL_PG_ROOT_DATA && *rel)
		return strdup(rel);
	if (root == STILL_PG_ROOT_WAL)
		return still_path_join("pg_wal", rel);
	if (!*rel)
		return strdup(walk->roots[root].path);
	return still_path_join(walk->roots[root].path, rel);
}

char *still_pg_entry_name(
    const struct still_pg_walk *walk, const struct still_pg_entry *entry)
{
	return name_below(walk, entry->root, still_pg_entry_rel(entry));
}

/* "`NAME`: " and the text of `sys_errno`. */
static int failed(const struct still_pg_walk *walk, size_t root,
    const char *rel, int sys_errno, struct still_error *err)
{
	char *name = name_below(walk, root, rel);
	int rc;

	if (!name)
		return still_error_nomem(err);
	rc = still_error_sys(err, sys_errno,
	    sys_errno == EACCES || sys_errno == EPERM ? access_hint : NULL,
	    "`%s`", name);
	free(name);
	return rc;
}

static int fill(const struct still_pg_walk *walk, size_t root, const char *rel,
    struct still_pg_entry *entry, struct still_error *err)
{
	const char *prefix = walk->roots[root].prefix;

	entry->root = root;
	entry->path = *rel ? still_path_join(prefix, rel) : strdup(prefix);
	if (!entry->path)
		return still_error_nomem(err);
	entry->rel = strlen(prefix) + (*rel ? 1 : 0);
	if (!strchr(entry->path, '\n'))
		return 0;
	free(entry->path);
	entry->path = NULL;
	return still_error_set(err, STILL_ERR_INVALID, 0,
	    "xxhsum's lists cannot hold such a name; rename it, or remove it.",
	    "`%s`: the name has a newline in it", rel);
}

static int add(const struct still_pg_walk *walk, struct still_pg_list *list,
    size_t root, const char *rel, const struct still_pg_entry *facts,
    struct still_error *err)
{
	struct still_pg_entry *grown = list->entries;
	size_t n = list->n;
	int rc;

	if ((n & (n - 1)) == 0) {
		grown = realloc(grown, (n ? 2 * n : 1) * sizeof(*grown));
		if (!grown)
			return still_error_nomem(err);
		list->entries = grown;
	}
	grown[n] = *facts;
	rc = fill(walk, root, rel, &grown[n], err);
	if (rc < 0)
		return rc;
	if (S_ISREG(facts->st.st_mode))
		list->bytes += (uint64_t) facts->st.st_size;
	list->n++;
	return 0;
}

void still_pg_list_release(struct still_pg_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->entries[i].path);
	free(list->entries);
	*list = (struct still_pg_list){0};
}

int still_pg_entry_open(const struct still_pg_walk *walk,
    const struct still_pg_entry *entry, int flags, struct stat *ret_st)
{
	/* A pipe that took the name must not hold us up. */
	int fd = still_sys_open_beneath(root_of(walk, entry)->fd,
	    still_pg_entry_rel(entry), O_RDONLY | O_NONBLOCK | flags);
	struct stat st;
	int rc;

	if (fd < 0)
		return fd == -ENXIO ? -ENOENT : fd;
	rc = still_sys_fstat(fd, &st);
	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = -ENOENT;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*ret_st = st;
	return fd;
}

/* ---- one directory ------------------------------------------------------- */

struct names {
	char **name; /* sorted, without "." and ".." */
	size_t n;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static void release_names(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->name[i]);
	free(names->name);
}

/* 0 or -errno. */
static int add_name(struct names *names, const char *name)
{
	char **grown = names->name;
	size_t n = names->n;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if ((n & (n - 1)) == 0) {
		grown = realloc(grown, (n ? 2 * n : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		names->name = grown;
	}
	grown[n] = strdup(name);
	if (!grown[n])
		return -ENOMEM;
	names->n++;
	return 0;
}

/* 0 or -errno. */
static int read_names(DIR *dir, struct names *names)
{
	int rc = 0;

	while (rc == 0) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			rc = -errno;
			break;
		}
		rc = add_name(names, entry->d_name);
	}
	if (rc == 0 && names->n)
		qsort(
		    names->name, names->n, sizeof(*names->name), compare_names);
	return rc;
}

static bool is_unlogged(const struct names *names, const char *name)
{
	char init[STILL_PG_INIT_NAME_BYTES];
	const char *key = init;

	return still_pg_unlogged_init(name, init) &&
	    bsearch(&key, names->name, names->n, sizeof(*names->name),
		compare_names);
}

static void warn(
    const struct walking *walking, const char *object, const char *text)
{
	const struct still_observer *observer = &walking->request->observer;

	if (observer->warn)
		observer->warn(observer->arg, "skipped", object, text);
}

static int refuse_link(const struct walking *walking, const char *rel)
{
	return still_error_set(walking->err, STILL_ERR_UNSUPPORTED, 0,
	    "Use tablespaces to keep databases elsewhere; a backup would miss "
	    "what lies behind this link, as that of pg_basebackup does.",
	    "`%s`: is a symbolic link", rel);
}

/* Below pg_tblspc lie links to tablespaces, which have been looked at, and what
 * is no tablespace. */
static bool is_space_name(const char *rel)
{
	return strncmp(rel, "pg_tblspc/", 10) == 0 && rel[10] &&
	    rel[10 + strspn(rel + 10, "0123456789")] == '\0';
}

static int skip(
    const struct walking *walking, size_t root, const char *rel, mode_t mode)
{
	const struct still_pg_walk_request *request = walking->request;
	char *name = name_below(walking->walk, root, rel);
	const char *text = S_ISLNK(mode)
	    ? "is a symbolic link, and not in the backup"
	    : "is no file, and not in the backup";
	bool known = false;

	if (!name)
		return still_error_nomem(walking->err);
	if (root == STILL_PG_ROOT_DATA && S_ISLNK(mode) && is_space_name(rel)) {
		text = "the server lists no such tablespace; its link is not "
		       "in the backup";
		for (size_t i = 0; i < request->n_tablespaces; i++) {
			char oid[16];

			snprintf(oid, sizeof(oid), "%" PRIu32,
			    request->tablespaces[i].oid);
			known = known || strcmp(oid, rel + 10) == 0;
		}
	}
	if (!known)
		warn(walking, name, text);
	free(name);
	return 0;
}

static int refuse_in_place(const struct walking *walking, const char *oid)
{
	return still_error_set(walking->err, STILL_ERR_UNSUPPORTED, 0,
	    "Move what is in it to a tablespace with a place of its own; "
	    "allow_in_place_tablespaces is for developers of the server.",
	    "tablespace %s: lies in place, in `pg_tblspc`", oid);
}

/* The attributes that the server gives to directories. */
static void as_directory(
    const struct still_pg_walk *walk, struct still_pg_entry *facts)
{
	const struct stat *data = &walk->roots[STILL_PG_ROOT_DATA].st;

	facts->st.st_mode = S_IFDIR | (data->st_mode & 0777);
	facts->st.st_uid = data->st_uid;
	facts->st.st_gid = data->st_gid;
}

static bool is_other_root(
    const struct still_pg_walk *walk, const struct stat *st)
{
	for (size_t i = STILL_PG_ROOT_WAL + 1; i < walk->n_roots; i++)
		if (walk->roots[i].st.st_dev == st->st_dev &&
		    walk->roots[i].st.st_ino == st->st_ino)
			return true;
	return false;
}

static int place(const struct walking *walking, size_t root, const char *rel,
    const struct stat *st)
{
	struct still_pg_walk *walk = walking->walk;
	struct still_pg_entry facts = {.st = *st};

	facts.rule = still_pg_exclude(
	    walk->roots[root].top, rel, st->st_mode, &facts.relation);
	switch (facts.rule) {
	case STILL_PG_OUT:
		return 0;
	case STILL_PG_SKIP:
		return skip(walking, root, rel, st->st_mode);
	case STILL_PG_REFUSE:
		return refuse_link(walking, rel);
	case STILL_PG_CONTROL:
		walk->control = facts;
		return fill(walk, root, rel, &walk->control, walking->err);
	case STILL_PG_EMPTY_DIR:
		if (S_ISLNK(st->st_mode))
			as_directory(walk, &facts);
		break;
	case STILL_PG_IN:
	case STILL_PG_RELATION:
		break;
	}
	if (S_ISDIR(st->st_mode) && is_other_root(walk, st))
		facts.rule = STILL_PG_EMPTY_DIR;
	if (root == STILL_PG_ROOT_DATA && S_ISDIR(st->st_mode) &&
	    is_space_name(rel))
		return refuse_in_place(walking, rel + 10);
	return add(walk, &walk->list, root, rel, &facts, walking->err);
}

static int visit_name(const struct walking *walking, size_t root, int dirfd,
    const char *dir_rel, const char *name)
{
	char *rel = still_path_join(dir_rel, name);
	struct stat st;
	int rc = 0;

	if (!rel)
		return still_error_nomem(walking->err);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		rc = place(walking, root, rel, &st);
	else if (errno != ENOENT)
		rc = failed(walking->walk, root, rel, errno, walking->err);
	free(rel);
	return rc;
}

static bool cancelled(const struct walking *walking)
{
	return walking->request->cancel &&
	    atomic_load(walking->request->cancel);
}

static int visit_names(
    const struct walking *walking, size_t root, DIR *dir, const char *rel)
{
	bool in_database = still_pg_is_database_dir(
	    walking->walk->roots[root].top, rel);
	struct names names = {0};
	int rc = read_names(dir, &names);

	if (rc < 0)
		rc = failed(walking->walk, root, rel, -rc, walking->err);
	for (size_t i = 0; rc == 0 && i < names.n; i++)
		if (cancelled(walking))
			rc = still_error_set(walking->err, STILL_ERR_CANCELLED,
			    0, NULL, "walk: stopped");
		else if (!in_database || !is_unlogged(&names, names.name[i]))
			rc = visit_name(
			    walking, root, dirfd(dir), rel, names.name[i]);
	release_names(&names);
	return rc;
}

static int visit_dir(
    const struct walking *walking, size_t root, const char *rel)
{
	int fd = still_sys_open_beneath(walking->walk->roots[root].fd,
	    *rel ? rel : ".", O_RDONLY | O_DIRECTORY);
	DIR *dir;
	int rc;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0; /* a database that was dropped */
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		rc = failed(walking->walk, root, rel, fd < 0 ? -fd : errno,
		    walking->err);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = visit_names(walking, root, dir, rel);
	closedir(dir);
	return rc;
}

/* ---- roots --------------------------------------------------------------- */

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

static void release_root(struct still_pg_root *root)
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
		release_root(root);
	else
		walk->n_roots++;
	return rc;
}

static int add_data_roots(const struct walking *walking)
{
	const char *data_dir = walking->request->data_dir;
	char *wal;
	int rc = add_root(walking->walk, STILL_PG_TOP_DATA, data_dir, "data");

	if (rc < 0)
		return still_error_sys(walking->err, -rc,
		    rc == -EACCES ? access_hint : NULL, "`%s`", data_dir);
	wal = still_path_join(data_dir, "pg_wal");
	if (!wal)
		return still_error_nomem(walking->err);
	rc = add_root(walking->walk, STILL_PG_TOP_DATA, wal, "data/pg_wal");
	if (rc < 0)
		rc = still_error_sys(walking->err, -rc,
		    rc == -EACCES ? access_hint : NULL, "`%s`", wal);
	free(wal);
	return rc;
}

/* What the link of a tablespace says; -errno. */
static int read_space_link(
    const struct walking *walking, uint32_t oid, char out[PATH_MAX])
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

static int add_space(
    const struct walking *walking, const struct still_pg_tablespace *space)
{
	char prefix[sizeof("tablespaces/") + 10];
	char link[PATH_MAX];
	int rc = read_space_link(walking, space->oid, link);

	if (rc == -ENOENT)
		return 0; /* dropped since the server was asked */
	snprintf(prefix, sizeof(prefix), "tablespaces/%" PRIu32, space->oid);
	if (rc == -EINVAL || (rc == 0 && space->location[0] != '/'))
		return refuse_in_place(walking, strchr(prefix, '/') + 1);
	if (rc < 0)
		return still_error_sys(walking->err, -rc, access_hint,
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
		    rc == -EACCES ? access_hint : NULL,
		    "tablespace %" PRIu32 " at `%s`", space->oid,
		    space->location);
	return 0;
}

static int add_roots(const struct walking *walking)
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

/* ---- the walk ------------------------------------------------------------ */

/* Everything below the directories that stand in the list from `first` on. */
static int walk_from(const struct walking *walking, size_t first)
{
	struct still_pg_list *list = &walking->walk->list;
	int rc = 0;

	for (size_t i = first; rc == 0 && i < list->n; i++) {
		const struct still_pg_entry *entry = &list->entries[i];
		/* The list moves as it grows; the text stays. */
		const char *rel = still_pg_entry_rel(entry);

		if (entry->rule == STILL_PG_IN && S_ISDIR(entry->st.st_mode))
			rc = visit_dir(walking, entry->root, rel);
	}
	return rc;
}

static int walk_data(const struct walking *walking)
{
	struct still_pg_walk *walk = walking->walk;
	struct still_pg_entry top = {
	    .rule = STILL_PG_IN, .st = walk->roots[STILL_PG_ROOT_DATA].st};
	int rc = add(
	    walk, &walk->list, STILL_PG_ROOT_DATA, "", &top, walking->err);

	if (rc == 0)
		rc = walk_from(walking, walk->list.n - 1);
	if (rc == 0 && !walk->control.path)
		rc = still_error_set(walking->err, STILL_ERR_CORRUPT, 0,
		    "Is this the data directory of a running server?",
		    "`global/pg_control`: is missing");
	return rc;
}

static bool is_history(const char *name)
{
	return strspn(name, "0123456789ABCDEF") == 8 &&
	    strcmp(name + 8, ".history") == 0;
}

/* Directories that the server wants there. */
static int add_wal_dir(const struct walking *walking, const char *name)
{
	struct still_pg_entry facts = {.rule = STILL_PG_EMPTY_DIR};

	as_directory(walking->walk, &facts);
	return add(walking->walk, &walking->walk->list, STILL_PG_ROOT_WAL, name,
	    &facts, walking->err);
}

static int walk_wal(const struct walking *walking)
{
	struct still_pg_walk *walk = walking->walk;
	int fd = still_sys_open_beneath(
	    walk->roots[STILL_PG_ROOT_WAL].fd, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct names names = {0};
	int rc = fd < 0 ? fd : dir ? read_names(dir, &names) : -errno;

	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	if (rc < 0)
		rc = failed(walk, STILL_PG_ROOT_WAL, "", -rc, walking->err);
	else
		rc = add_wal_dir(walking, "archive_status");
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		if (strcmp(names.name[i], "summaries") == 0)
			rc = add_wal_dir(walking, names.name[i]);
		if (is_history(names.name[i]))
			rc = still_pg_walk_wal(
			    walk, names.name[i], &walk->list, walking->err);
	}
	release_names(&names);
	return rc;
}

int still_pg_walk_wal(const struct still_pg_walk *walk, const char *name,
    struct still_pg_list *list, struct still_error *err)
{
	struct still_pg_entry facts = {.rule = STILL_PG_IN};

	if (fstatat(walk->roots[STILL_PG_ROOT_WAL].fd, name, &facts.st,
		AT_SYMLINK_NOFOLLOW) != 0)
		return failed(walk, STILL_PG_ROOT_WAL, name, errno, err);
	if (!S_ISREG(facts.st.st_mode))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "The server wants a file there.", "`pg_wal/%s`: is no file",
		    name);
	return add(walk, list, STILL_PG_ROOT_WAL, name, &facts, err);
}

/* A tablespace holds one directory for each server version that uses it. */
static int walk_space(const struct walking *walking, size_t i)
{
	struct still_pg_walk *walk = walking->walk;
	const char *version_dir = walking->request->version_dir;
	struct still_pg_root *root = &walk->roots[i];
	struct still_pg_entry top = {
	    .rule = STILL_PG_EMPTY_DIR, .st = root->st};
	size_t first = walk->list.n;
	int rc = add(walk, &walk->list, i, "", &top, walking->err);

	if (rc == 0)
		rc = visit_name(walking, i, root->fd, "", version_dir);
	return rc == 0 ? walk_from(walking, first) : rc;
}

int still_pg_walk_run(const struct still_pg_walk_request *request,
    struct still_pg_walk *ret, struct still_error *err)
{
	struct still_pg_walk walk = STILL_PG_WALK_INIT;
	const struct walking walking = {request, &walk, err};
	int rc = add_roots(&walking);

	if (rc == 0)
		rc = walk_data(&walking);
	if (rc == 0)
		rc = walk_wal(&walking);
	for (size_t i = STILL_PG_ROOT_WAL + 1; rc == 0 && i < walk.n_roots; i++)
		rc = walk_space(&walking, i);
	if (rc < 0) {
		still_pg_walk_release(&walk);
		return rc;
	}
	*ret = walk;
	return 0;
}

void still_pg_walk_release(struct still_pg_walk *walk)
{
	for (size_t i = 0; i < walk->n_roots; i++)
		release_root(&walk->roots[i]);
	free(walk->roots);
	free(walk->control.path);
	still_pg_list_release(&walk->list);
	*walk = (struct still_pg_walk) STILL_PG_WALK_INIT;
}
