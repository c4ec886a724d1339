/* SPDX-License-Identifier: MIT */
/* errno: what a request gets for an error code. Pure. */
#ifndef FS_ERRNO_H
#define FS_ERRNO_H

/* As still_error_errno(), for a job that failed, which is never ENOENT, but ENXIO: readdir(3)
 * takes that one for the end of the directory, and an empty copy would look like
 * a good one. */
int fs_job_errno(int code);

#endif
