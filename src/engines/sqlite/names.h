/* SPDX-License-Identifier: MIT */
/*
 * names: what lies in one directory, sorted, so that a database's sidecars are
 * found without asking the file system for each.
 *
 * Threads: one; constant once read.
 */
#ifndef SQLITE_NAMES_H
#define SQLITE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct sqlite_names {
	char **name; /* owned; "." and ".." are not among them */
	size_t n;
	size_t capacity;
};

/* Fill zeroed `names` from the directory `fd`, which is taken over. IO, NOMEM.
 * Release it on failure too. `rel` is for messages. */
int sqlite_names_read(int fd, const char *rel, struct sqlite_names *names,
    struct still_error *err);
void sqlite_names_release(struct sqlite_names *names);

/* Is `name` the -wal, -shm or -journal of a file that is here too? */
bool sqlite_names_is_sidecar(
    const struct sqlite_names *names, const char *name);

/* Does it have one of these beside it? */
bool sqlite_names_has_sidecar(
    const struct sqlite_names *names, const char *name);

#endif
