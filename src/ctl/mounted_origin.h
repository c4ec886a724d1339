/* SPDX-License-Identifier: MIT */
/*
 * mounted_origin: a session of a mount as the origin of a backup (still_set.h).
 *
 * It is begun, committed and aborted by control (src/control.h), always by its
 * name: whatever becomes of the mount, no other session is meant. In between the
 * files below `backup/` are read as any tool reads them; what a failed read was
 * about, the mount's status tells.
 */
#ifndef CTL_MOUNTED_ORIGIN_H
#define CTL_MOUNTED_ORIGIN_H

#include "ctl/options.h"
#include "still_set.h"

struct ctl_mounted_origin;

/* Both arguments outlive it. On success `*ret` belongs to the caller. */
int ctl_mounted_origin_new(const char *mountpoint,
    const struct ctl_options *options, struct ctl_mounted_origin **ret,
    struct still_origin *ret_origin, struct still_error *err);
void ctl_mounted_origin_free(struct ctl_mounted_origin *mounted);

#endif
