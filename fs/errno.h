/* SPDX-License-Identifier: MIT */
/*
 * errno: the only place where an error code becomes an errno. Pure.
 */
#ifndef FS_ERRNO_H
#define FS_ERRNO_H

/* The errno for an enum still_err_code. */
int fs_errno(int code);

/* The same for a job that failed, which is never ENOENT: readdir(3) takes that
 * for the end of the directory, and an empty copy would look like a good one. */
int fs_job_errno(int code);

#endif
