/* SPDX-License-Identifier: MIT */
/* volumes: can the application still write to its databases and logs? It hears of
 * that first, and stillfs says so where it shows: a full file system, or one that
 * is read-only for everybody. */
#ifndef STILL_CORE_VOLUMES_H
#define STILL_CORE_VOLUMES_H

#include "still.h"

/* As still_instance_volumes(), of a source that nobody has attached to. A source
 * that is no path has none; `log_dir` may be NULL. */
void still_volumes_look(
    const char *source, const char *log_dir, struct still_volumes *ret);

#endif
