/* SPDX-License-Identifier: MIT */
/*
 * mounted: what a mount says of itself, in the files of its root. To read them
 * begins no session. Blocks until the daemon answers.
 */
#ifndef CTL_MOUNTED_H
#define CTL_MOUNTED_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* Append what `name` ("status", "status.json") says now. */
int ctl_mounted_read(const char *mountpoint, const char *name,
    struct still_buf *ret, struct still_error *err);

/* Since when it is mounted; 0: it does not tell. */
int64_t ctl_mounted_at_ns(const char *mountpoint);

/* A time as in our documents, "2026-11-21T01:02:03.123456789Z"; 0: it is none. */
int64_t ctl_time_parse(const char *text);

#endif
