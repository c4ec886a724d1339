/* SPDX-License-Identifier: MIT */
/*
 * discover: which files below a source are databases, and may be backed up.
 *
 * A source is one database file, or a directory. In a directory a regular file
 * is a database when it begins with SQLite's magic or has a file beside it
 * whose name is its own plus -wal, -shm or -journal. Symbolic links are not
 * followed, other file systems not entered. What cannot be looked into is an
 * error, because a database that is silently left out is a bad backup; and a
 * database that cannot be frozen stays in the list, for the same reason.
 */
#ifndef SQLITE_DISCOVER_H
#define SQLITE_DISCOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/sqlite/format.h"
#include "engines/sqlite/source.h"

struct sqlite_found {
	char *rel; /* owned; below the source's directory */
	struct stat st;
	struct sqlite_header header; /* as it stands in the file; zeros for an
					empty one */
	struct still_error obstacle; /* why it cannot be frozen; code 0: it
					may be */
};

struct sqlite_found_dir {
	char *rel; /* owned */
	struct stat st;
};

struct sqlite_listing {
	struct sqlite_found *found; /* owned; sorted by rel */
	size_t n_found;
	struct sqlite_found_dir *dirs; /* owned; those that lead to a database;
					  parents first */
	size_t n_dirs;
};

/*
 * List every database, each examined; one that cannot be frozen is in the list
 * with its obstacle: ACCESS, UNSUPPORTED (no SQLite file that can be read, hard
 * links unless `force`), CORRUPT (page 1), IO. Fails with NOTFOUND when there is
 * none, with the first obstacle when there is no other, INVALID for a name that
 * no checksum list can hold, ACCESS for what cannot be looked into. `known` (may
 * be NULL) is an older list: what stands in it and is still a file counts as a
 * database, whatever it looks like now. Reads the
 * disk; keeps nothing open.
 */
int sqlite_source_list(const struct sqlite_source *source, bool force,
    const struct sqlite_listing *known, struct sqlite_listing *ret,
    struct still_error *err);
void sqlite_listing_release(struct sqlite_listing *listing);

#endif
