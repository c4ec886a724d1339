/* SPDX-License-Identifier: MIT */
/* dest_parts: what the files of dest have in common. */
#ifndef STILL_CORE_DEST_PARTS_H
#define STILL_CORE_DEST_PARTS_H

#include "core/dest.h"

#define STILL_DEST_FULL "full"
#define STILL_DEST_NEW_PREFIX ".new-"
#define STILL_DEST_OLD_PREFIX ".old-"

/* Is it a session's id? */
bool still_dest_is_id(const char *text);

/* Rename and sync. `*ret_errno` is 0 when it was renamed, whatever became of the
 * sync. */
int still_dest_rename(struct still_dest *dest, const char *from, const char *to,
    unsigned flags, int *ret_errno, struct still_error *err);

/* Rules 1 and 2: refuse what is foreign, put the last set back, remove leftovers;
 * sets `had_full`. */
int still_dest_look_through(
    struct still_dest *dest, const char *source, struct still_error *err);

#endif
