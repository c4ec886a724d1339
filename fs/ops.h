/* SPDX-License-Identifier: MIT */
/*
 * ops: the requests of the kernel, each handed to whoever knows the answer.
 */
#ifndef FS_OPS_H
#define FS_OPS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/gate.h"

/* What fuse_session_new() gets; its userdata is a struct fs_state. */
extern const struct fuse_lowlevel_ops fs_ops;

/* Handle a parked request again. */
void fs_ops_repeat(const struct fs_call *call);

#endif
