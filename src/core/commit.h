/* SPDX-License-Identifier: MIT */
/* commit: what a client can ask for with its commit. still_catalog_commit() is
 * in still.h. */
#ifndef STILL_CORE_COMMIT_H
#define STILL_CORE_COMMIT_H

#include "still.h"

/* INVALID when they contradict one another. NULL: none. */
int still_commit_check(
    const struct still_commit_options *options, struct still_error *err);

/* `to` gets what `from` has, which is released if `to` is NULL. */
void still_truncation_hand_over(
    struct still_truncation *from, struct still_truncation *to);

#endif
