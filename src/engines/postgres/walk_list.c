/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/walk_parts.h"

const char still_pg_access_hint[] =
    "What cannot be read cannot be backed up; run stillfs as root, or as the "
    "owner of the data directory.";

static struct still_pg_root *root_of(
    const struct still_pg_walk *walk, const struct still_pg_entry *entry)
{
	return &walk->roots[entry->root];
}

char *still_pg_walk_name(
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
	return still_pg_walk_name(walk, entry->root, still_pg_entry_rel(entry));
}

/* "`NAME`: " and the text of `sys_errno`. */
int still_pg_walk_failed(const struct still_pg_walk *walk, size_t root,
    const char *rel, int sys_errno, struct still_error *err)
{
	char *name = still_pg_walk_name(walk, root, rel);
	int rc;

	if (!name)
		return still_error_nomem(err);
	rc = still_error_sys(err, sys_errno,
	    sys_errno == EACCES || sys_errno == EPERM ? still_pg_access_hint
						      : NULL,
	    "`%s`", name);
	free(name);
	return rc;
}

int still_pg_walk_fill(const struct still_pg_walk *walk, size_t root,
    const char *rel, struct still_pg_entry *entry, struct still_error *err)
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

int still_pg_walk_add(const struct still_pg_walk *walk,
    struct still_pg_list *list, size_t root, const char *rel,
    const struct still_pg_entry *facts, struct still_error *err)
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
	rc = still_pg_walk_fill(walk, root, rel, &grown[n], err);
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
