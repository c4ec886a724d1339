/* SPDX-License-Identifier: MIT */
/*
 * vacancy: is a place free, so that databases can be put there?
 *
 * A log or a journal that lies there already belongs to another database. The
 * engine would replay it into the one that is put beside it, so there must be
 * none; nor a database whose log the new one would be. What a process has locked
 * is alive, and told as such.
 *
 * Threads: any. Reads directories, opens no file.
 */
#ifndef STILL_CORE_VACANCY_H
#define STILL_CORE_VACANCY_H

#include <stdbool.h>

#include "base/error.h"

/* The stage in a directory (place.h). It may be there, when nobody has it. */
#define STILL_VACANCY_STAGE ".restoring"

/* Is it what every file system has in its root? */
bool still_vacancy_is_normal(const char *name);

/* Is `dirfd`, which `path` names, empty, but for that and a stage? BUSY when a
 * process has locked what is there, or a restore is under way there (unless it
 * is our `own`); INVALID with ENOTEMPTY, naming the first entry; IO. */
int still_vacancy_of_dir(
    int dirfd, const char *path, bool own, struct still_error *err);

/* Is there nothing in the way of a database `name` in `dirfd`? BUSY, or INVALID
 * with EEXIST. */
int still_vacancy_of_file(
    int dirfd, const char *path, const char *name, struct still_error *err);

/* Does the name end as that of a log or a journal does? */
bool still_vacancy_is_log(const char *name);

#endif
