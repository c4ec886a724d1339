/* SPDX-License-Identifier: MIT */
/*
 * ops: the requests of the kernel, and the only place where an error code
 * becomes an errno.
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

/* The errno for an enum still_err_code. */
int fs_errno(int code);

/* The same for a job that failed, which is never ENOENT: readdir(3) takes that
 * for the end of the directory, and an empty copy would look like a good one. */
int fs_job_errno(int code);

#endif
