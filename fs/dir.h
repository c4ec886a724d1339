/* SPDX-License-Identifier: MIT */
/*
 * dir: requests for directories. Each is answered, or parked until the session
 * has begun.
 */
#ifndef FS_DIR_H
#define FS_DIR_H

#include <stdbool.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

void fs_dir_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void fs_dir_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi);
void fs_dir_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi);
void fs_dir_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);

/* Either form of readdir, also when it is handled again. */
void fs_dir_list(
    fuse_req_t req, fuse_ino_t node, size_t size, off_t off, bool plus);

/* As opendir, of what is not the root; to be repeated. */
void fs_dir_open_entry(fuse_req_t req, fuse_ino_t node);

#endif
