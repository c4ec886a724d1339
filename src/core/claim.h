/* SPDX-License-Identifier: MIT */
/*
 * claim: one session at a time for an instance, and for those that share
 * databases with it. still_catalog_lock() is in core/catalog.h; here is what the
 * rest of the catalog needs to know of locks.
 *
 *  1. The row of the instance is written,
 *  2. its lock is taken (core/holder.h),
 *  3. the locks of all instances that lie in it, or in which it lies, are
 *     looked at: held by anybody, the own lock is given back.
 *
 * So of two who come at the same time, the later one in step 2 sees the other
 * in step 3. Both may, and both are refused; never do both succeed.
 */
#ifndef STILL_CORE_CLAIM_H
#define STILL_CORE_CLAIM_H

#include "core/catalog.h"

/* The lock of this instance alone, for a moment: nothing else is looked at, and
 * nothing settled. BUSY as still_catalog_lock(). The caller ends `*ret_fd` with
 * still_holder_release(). */
int still_claim_take(struct still_catalog *catalog, const char *engine,
    const char *source, const char *id, const char *place, int *ret_fd,
    struct still_error *err);

/* Does the process live that has the instance for the session `id`? 1, 0 or a
 * negative code. */
int still_claim_is_alive(struct still_catalog *catalog, const char *engine,
    const char *source, const char *id, struct still_error *err);

#endif
