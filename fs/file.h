/* SPDX-License-Identifier: MIT */
/*
 * file: requests for files: those of a session, and the live ones, whose text is
 * rendered when they are opened.
 */
#ifndef FS_FILE_H
#define FS_FILE_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

void fs_file_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void fs_file_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi);
void fs_file_release(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);

/* A read of a session's file, also when it is handled again. */
void fs_file_read_entry(
    fuse_req_t req, fuse_ino_t node, size_t size, off_t off);

struct fs_state;

/* When no request comes any more: let go of what was not released. */
void fs_file_end(struct fs_state *state);

#endif
