/* SPDX-License-Identifier: MIT */
/*
 * files: the one place of this process that opens files of a database.
 *
 * POSIX record locks belong to (process, inode), and close(2) of *any*
 * descriptor of the inode drops them all, silently. SQLite keeps its locks that
 * way, so a descriptor that we closed at the wrong time would leave a live
 * snapshot without its protection. Hence the rules:
 *
 *  1. Every descriptor of ours on anything beside a database (the database, its
 *     -wal, or a file that merely may be one) comes from this registry, which
 *     is keyed by (device, inode).
 *  2. Whoever lets SQLite open an inode takes a reference here first and gives
 *     it back only after the last SQLite handle of that inode is closed.
 *  3. Nothing is closed while a reference exists: a second descriptor that was
 *     opened on a referenced inode is kept and closed with the last reference.
 *
 * Threads: any; one lock inside.
 */
#ifndef SQLITE_FILES_H
#define SQLITE_FILES_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

struct sqlite_file; /* one referenced inode */

/* Open `path` (relative to `dirfd`, no links followed) for reading and take a
 * reference. Only regular files; others are STILL_ERR_INVALID. `ret_st` (may be
 * NULL) is what fstat says. */
int sqlite_file_open(int dirfd, const char *path, struct sqlite_file **ret,
    struct stat *ret_st, struct still_error *err);

/* The descriptor: valid while the reference is held; never close it. */
int sqlite_file_fd(const struct sqlite_file *file);

/* Is somebody else holding a reference to the same inode? */
bool sqlite_file_shared(const struct sqlite_file *file);

/* Give the reference back. Accepts NULL. */
void sqlite_file_close(struct sqlite_file *file);

/*
 * Let the process's table of descriptors grow at once to what `n` take. It doubles
 * as it fills up, and each time the kernel waits until no thread of the process
 * looks into it any more: 10 ms and more, of which a freeze would have several.
 * Alone, a process does not wait: to be called before there are threads. `fd` is
 * any descriptor that carries no locks. Nothing stays open; that it fails does no
 * harm.
 */
void sqlite_files_reserve(int fd, unsigned n);

/* How many descriptors the registry holds open: for tests. */
unsigned sqlite_files_open_count(void);

#endif
