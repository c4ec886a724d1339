/* SPDX-License-Identifier: MIT */
/*
 * ioctl: the daemon's end of src/control.h, an ioctl on the mount's root.
 */
#ifndef FS_IOCTL_H
#define FS_IOCTL_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/state.h"

/* A request handler of libfuse. */
void fs_ioctl(fuse_req_t req, fuse_ino_t node, unsigned int cmd, void *arg,
    struct fuse_file_info *fi, unsigned flags, const void *in_buf,
    size_t in_bytes, size_t out_bytes);

/* Root, the daemon's own user, and the owner of the source. */
bool fs_ioctl_may(const struct fs_state *state, uid_t caller);

#endif
