/* SPDX-License-Identifier: MIT */
/*
 * backup_base: does the directory of a backup have what a new incremental session
 * builds on? Asked when that has begun, before anything is copied.
 *
 * Threads: one.
 */
#ifndef STILL_CORE_BACKUP_BASE_H
#define STILL_CORE_BACKUP_BASE_H

#include "core/dest.h"
#include "still_set.h"

/* Before a session is begun: BASE when there is no full set. */
int still_backup_expect_base(
    const struct still_dest *dest, struct still_error *err);

/*
 * Read what the session of `origin` says it builds on, and find that in `dest`:
 * a whole chain of the right sets from the full one to it. Tells `dest` where the
 * new one belongs. BASE: it is not there, or is another; INVALID, CORRUPT: what
 * the origin says is no description of an incremental set; and those of the
 * origin and of a set.
 */
int still_backup_find_base(const struct still_origin *origin,
    struct still_dest *dest, struct still_error *err);

#endif
