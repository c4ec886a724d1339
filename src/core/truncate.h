/* SPDX-License-Identifier: MIT */
/* truncate: what no session from the last committed one on needs is let go. */
#ifndef STILL_CORE_TRUNCATE_H
#define STILL_CORE_TRUNCATE_H

#include "core/instance.h"

/*
 * With the lock of the instance, whose row `instance_id` is. `committed` (NULL:
 * the base) is a session that is about to be committed, for a trial. Errors as
 * still_truncate(). `ret` is set on success. Blocks.
 */
int still_truncate_locked(struct still_instance *instance, int64_t instance_id,
    const char *committed, bool dry_run, struct still_truncation *ret,
    struct still_error *err);

/* The same of an instance whose lock is nobody's. BUSY. */
int still_truncate_instance(struct still_instance *instance,
    const char *committed, bool dry_run, struct still_truncation *ret,
    struct still_error *err);

/* And of one that nobody has attached to. */
int still_truncate_source(const char *source,
    const struct still_options *options, const char *committed, bool dry_run,
    struct still_truncation *ret, struct still_error *err);

#endif
