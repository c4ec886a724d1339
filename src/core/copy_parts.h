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

/* What was written of entry `index`: a descriptor or -errno. */
int still_copy_open(const struct still_copy *copy, uint32_t index, int flags);

#endif
