/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/walk_parts.h"

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

static void warn(const struct still_pg_walking *walking, const char *object,
    const char *text)
{
	const struct still_observer *observer = &walking->request->observer;

	if (observer->warn)
		observer->warn(observer->arg, "skipped", object, text);
}

static int refuse_link(const struct still_pg_walking *walking, const char *rel)
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

static int skip(const struct still_pg_walking *walking, size_t root,
    const char *rel, mode_t mode)
{
	const struct still_pg_walk_request *request = walking->request;
	char *name = still_pg_walk_name(walking->walk, root, rel);
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

static int place(const struct still_pg_walking *walking, size_t root,
    const char *rel, const struct stat *st)
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
		return still_pg_walk_fill(
		    walk, root, rel, &walk->control, walking->err);
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
		return still_pg_walk_in_place(walking, rel + 10);
	return still_pg_walk_add(
	    walk, &walk->list, root, rel, &facts, walking->err);
}

static int visit_name(const struct still_pg_walking *walking, size_t root,
    int dirfd, const char *dir_rel, const char *name)
{
	char *rel = still_path_join(dir_rel, name);
	struct stat st;
	int rc = 0;

	if (!rel)
		return still_error_nomem(walking->err);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		rc = place(walking, root, rel, &st);
	else if (errno != ENOENT)
		rc = still_pg_walk_failed(
		    walking->walk, root, rel, errno, walking->err);
	free(rel);
	return rc;
}

static bool cancelled(const struct still_pg_walking *walking)
{
	return walking->request->cancel &&
	    atomic_load(walking->request->cancel);
}

static int visit_names(const struct still_pg_walking *walking, size_t root,
    DIR *dir, const char *rel)
{
	bool in_database = still_pg_is_database_dir(
	    walking->walk->roots[root].top, rel);
	struct names names = {0};
	int rc = read_names(dir, &names);

	if (rc < 0)
		rc = still_pg_walk_failed(
		    walking->walk, root, rel, -rc, walking->err);
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
    const struct still_pg_walking *walking, size_t root, const char *rel)
{
	int fd = still_sys_open_beneath(walking->walk->roots[root].fd,
	    *rel ? rel : ".", O_RDONLY | O_DIRECTORY);
	DIR *dir;
	int rc;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0; /* a database that was dropped */
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		rc = still_pg_walk_failed(walking->walk, root, rel,
		    fd < 0 ? -fd : errno, walking->err);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = visit_names(walking, root, dir, rel);
	closedir(dir);
	return rc;
}
/* ---- the walk ------------------------------------------------------------ */

/* Everything below the directories that stand in the list from `first` on. */
static int walk_from(const struct still_pg_walking *walking, size_t first)
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

static int walk_data(const struct still_pg_walking *walking)
{
	struct still_pg_walk *walk = walking->walk;
	struct still_pg_entry top = {
	    .rule = STILL_PG_IN, .st = walk->roots[STILL_PG_ROOT_DATA].st};
	int rc = still_pg_walk_add(
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
static int add_wal_dir(const struct still_pg_walking *walking, const char *name)
{
	struct still_pg_entry facts = {.rule = STILL_PG_EMPTY_DIR};

	as_directory(walking->walk, &facts);
	return still_pg_walk_add(walking->walk, &walking->walk->list,
	    STILL_PG_ROOT_WAL, name, &facts, walking->err);
}

static int walk_wal(const struct still_pg_walking *walking)
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
		rc = still_pg_walk_failed(
		    walk, STILL_PG_ROOT_WAL, "", -rc, walking->err);
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
		return still_pg_walk_failed(
		    walk, STILL_PG_ROOT_WAL, name, errno, err);
	if (!S_ISREG(facts.st.st_mode))
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "The server wants a file there.", "`pg_wal/%s`: is no file",
		    name);
	return still_pg_walk_add(
	    walk, list, STILL_PG_ROOT_WAL, name, &facts, err);
}

/* A tablespace holds one directory for each server version that uses it. */
static int walk_space(const struct still_pg_walking *walking, size_t i)
{
	struct still_pg_walk *walk = walking->walk;
	const char *version_dir = walking->request->version_dir;
	struct still_pg_root *root = &walk->roots[i];
	struct still_pg_entry top = {
	    .rule = STILL_PG_EMPTY_DIR, .st = root->st};
	size_t first = walk->list.n;
	int rc = still_pg_walk_add(
	    walk, &walk->list, i, "", &top, walking->err);

	if (rc == 0)
		rc = visit_name(walking, i, root->fd, "", version_dir);
	return rc == 0 ? walk_from(walking, first) : rc;
}

int still_pg_walk_run(const struct still_pg_walk_request *request,
    struct still_pg_walk *ret, struct still_error *err)
{
	struct still_pg_walk walk = STILL_PG_WALK_INIT;
	const struct still_pg_walking walking = {request, &walk, err};
	int rc = still_pg_walk_roots(&walking);

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
		still_pg_root_release(&walk->roots[i]);
	free(walk->roots);
	free(walk->control.path);
	still_pg_list_release(&walk->list);
	*walk = (struct still_pg_walk) STILL_PG_WALK_INIT;
}
