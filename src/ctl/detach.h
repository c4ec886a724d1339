/* SPDX-License-Identifier: MIT */
/*
 * detach: unmounts, as the user that we are.
 */
#ifndef CTL_DETACH_H
#define CTL_DETACH_H

#include <stdbool.h>

#include "base/error.h"

/* Root does it itself, others have fusermount3(1) do it. BUSY: somebody is in
 * it; with `lazy` that is no obstacle. May block on fusermount3. */
int ctl_detach(const char *mountpoint, bool lazy, struct still_error *err);

#endif
