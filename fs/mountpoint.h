/* SPDX-License-Identifier: MIT */
/*
 * mountpoint: is this a place where a mount does no harm?
 *
 * A mount inside its own source would be read by its own daemon, one above it
 * would hide it; a full directory would vanish under it; and over a mount of
 * ours that died, the kernel mounts without a word.
 */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include <stdbool.h>

#include "base/error.h"

/*
 * Resolve and check `mountpoint` against `source` and `state_dir` (resolved). A
 * dead mount of stillfs in the way is detached. On success `*ret` is the
 * resolved path, owned by the caller. BUSY: something living is mounted there;
 * INVALID: in, above or equal to one of the two, not empty (unless `nonempty`),
 * no directory; NOTFOUND, ACCESS. May start fusermount3.
 */
int fs_mountpoint_prepare(const char *mountpoint, const char *source,
    const char *state_dir, bool nonempty, char **ret, struct still_error *err);

/* Does a mount whose daemon is gone lie at `path`? */
bool fs_mountpoint_is_dead(const char *path);

/* Take away whatever is on top at `path`, however busy. 0 or -1. Starts
 * fusermount3 where the privilege is missing. */
int fs_mountpoint_detach(const char *path);

#endif
