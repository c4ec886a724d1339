/* SPDX-License-Identifier: MIT */
/*
 * walk: the list of what is to be captured of a cluster's files, as of a walk
 * over its data directory and its tablespaces. exclude.h has the rules.
 *
 *  1. A path begins at a root, whose directory stays open, and is opened below
 *     it without following a link (openat2). The roots are the data directory;
 *     pg_wal, which may be a link to elsewhere; and each tablespace, at the place
 *     that the server names, of which only the directory of the server's own
 *     version counts. The links of users on the way to a root are followed, as
 *     the server follows them.
 *  2. The link pg_tblspc/OID must say what the server says. A link there that
 *     the server does not list is left over, or of a tablespace that is being
 *     made or dropped: it is left out, with a warning. A directory there with a
 *     number for its name is a tablespace in place (allow_in_place_tablespaces,
 *     which is for the server's developers): refused.
 *  3. A tablespace whose place is below the data directory or another tablespace
 *     is met twice; the directory is listed there, and gone into only as a
 *     tablespace.
 *  4. What vanishes meanwhile is not in the list: WAL makes it again, or drops
 *     it. What cannot be looked into fails the walk.
 *  5. Of pg_wal the histories are in the list. Segments are asked for by name,
 *     once it is known which are needed.
 *
 * A list may be 100,000 entries long, about 250 bytes each. The order is that of
 * the tree: a directory stands before what is in it.
 *
 * Threads: one at a time; constant once it is made.
 */
#ifndef POSTGRES_WALK_H
#define POSTGRES_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/postgres/exclude.h"
#include "engines/postgres/tablespace.h"

struct still_pg_walk_request {
	const char *data_dir; /* absolute */
	/* "PG_15_202209061": TABLESPACE_VERSION_DIRECTORY of the server, that
	 * is, its major version and pg_control's catalog_version_no. */
	const char *version_dir;
	const struct still_pg_tablespace *tablespaces;
	size_t n_tablespaces;
	const atomic_bool *cancel;
	struct still_observer observer; /* of what was skipped */
};

struct still_pg_root {
	int fd;       /* O_PATH */
	char *path;   /* owned; resolved, absolute */
	char *prefix; /* owned; in backup/: "data", "data/pg_wal",
			 "tablespaces/16400" */
	enum still_pg_top top;
	struct stat st;
};

/* Where these are among the roots. Tablespaces follow. */
#define STILL_PG_ROOT_DATA 0
#define STILL_PG_ROOT_WAL 1

struct still_pg_entry {
	char *path;  /* owned; in backup/ */
	size_t rel;  /* of the path, where the part below the root begins */
	size_t root; /* which */
	/* STILL_PG_IN, RELATION, EMPTY_DIR; CONTROL for the one that `control`
	 * is. */
	enum still_pg_rule rule;
	struct still_pg_relation relation; /* where it is one */
	/* As the walk saw it: type, mode, owner, size, device. */
	struct stat st;
};

struct still_pg_list {
	struct still_pg_entry *entries; /* owned */
	size_t n;
	uint64_t bytes; /* of all files, as the walk saw them */
};

struct still_pg_walk {
	struct still_pg_root *roots; /* owned */
	size_t n_roots;
	struct still_pg_list list; /* without pg_control */
	struct still_pg_entry control;
};

#define STILL_PG_WALK_INIT    \
	{                     \
		.roots = NULL \
	}

/*
 * Walk. NOTFOUND, ACCESS, INVALID (a name that cannot be served), UNSUPPORTED (a
 * tablespace in place, links in place of files), CORRUPT (a tablespace's link
 * says something else than the server; no pg_control), CANCELLED, IO, NOMEM.
 * Reads directories; nothing stays open but the roots.
 */
int still_pg_walk_run(const struct still_pg_walk_request *request,
    struct still_pg_walk *ret, struct still_error *err);

/* Accepts what was initialised only. */
void still_pg_walk_release(struct still_pg_walk *walk);

/* Add the file `name` of pg_wal to `list`. NOTFOUND, INVALID (it is no file),
 * NOMEM, IO. */
int still_pg_walk_wal(const struct still_pg_walk *walk, const char *name,
    struct still_pg_list *list, struct still_error *err);

void still_pg_list_release(struct still_pg_list *list);

/* Below its root. Borrowed. */
static inline const char *still_pg_entry_rel(const struct still_pg_entry *entry)
{
	return entry->path + entry->rel;
}

/* Open it for reading: a descriptor of a regular file, or -errno; -ENOENT where
 * it is a regular file no more. */
int still_pg_entry_open(const struct still_pg_walk *walk,
    const struct still_pg_entry *entry, int flags, struct stat *ret_st);

/* A message names files as their server's users know them: below the data
 * directory, or absolute. The caller frees it; NULL without memory. */
char *still_pg_entry_name(
    const struct still_pg_walk *walk, const struct still_pg_entry *entry);

#endif
