/* SPDX-License-Identifier: MIT */
/* copy_parts: what the three steps of a copy have in common. */
#ifndef STILL_CORE_COPY_PARTS_H
#define STILL_CORE_COPY_PARTS_H

#include "core/copy.h"

/* A failure at what was, or should have been, written of entry `index`. */
int still_copy_error(const struct still_copy *copy, uint32_t index,
    int sys_errno, struct still_error *err);

/* Once a second, by whichever thread: is the origin alive? Any thread. */
int still_copy_look(struct still_copy *copy, struct still_error *err);

/*
 * What was written of entry `index`: a descriptor, or a negative code. CORRUPT
 * when something else is there by now: who owns what was written may have put it
 * there. To open it waits for nobody, not even where it is a pipe.
 */
int still_copy_open(const struct still_copy *copy, uint32_t index, int flags,
    struct still_error *err);

/* Give what was written of entry `index` its owner, mode and times, and sync
 * it. */
int still_copy_settle(
    const struct still_copy *copy, uint32_t index, struct still_error *err);

#endif
