/* SPDX-License-Identifier: MIT */
/*
 * source: what the user named, resolved once: a database, or a directory. Its
 * directory stays open, so that everything below is reached from it and from
 * nowhere else.
 *
 * Threads: constant once open.
 */
#ifndef SQLITE_SOURCE_H
#define SQLITE_SOURCE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

struct sqlite_source {
	char *path; /* owned; resolved; what the user named */
	char *root; /* owned; the directory that `rel` starts from */
	int root_fd;
	bool is_file;        /* the source is one database */
	struct stat st;      /* of `path` */
	struct stat root_st; /* of `root` */
};

#define SQLITE_SOURCE_INIT    \
	{                     \
		.root_fd = -1 \
	}

/* Resolve `source` and open its directory. Refuses network and FUSE file
 * systems unless `force`. Reads the disk. */
int sqlite_source_open(const char *source, bool force,
    struct sqlite_source *ret, struct still_error *err);
void sqlite_source_close(struct sqlite_source *source);

#endif
