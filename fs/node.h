/* SPDX-License-Identifier: MIT */
/*
 * node: what a node of the kernel's stands for at this moment: the root, a live
 * file, backup/ before its session, or an entry of the session that serves.
 *
 * Threads: any.
 */
#ifndef FS_NODE_H
#define FS_NODE_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/state.h"
#include "fs/tree.h"

struct fs_state *fs_state_of(fuse_req_t req);

/* The entry behind `node`, and its session; or NULL, and then `*ret_errno` is 0
 * when backup/ must be begun first, or the answer. */
const struct still_entry *fs_node_entry(struct fs_state *state, fuse_ino_t node,
    struct still_session **ret_session, int *ret_errno);

/* Attributes, and for how long they stay true. 0 or an errno. */
int fs_node_stat(struct fs_state *state, fuse_ino_t node, struct stat *ret,
    double *ret_timeout_s);

/* All that the kernel wants to know of a node with its name. 0 or an errno. */
int fs_node_param(
    struct fs_state *state, fuse_ino_t node, struct fuse_entry_param *ret);

/* The node called `name` in the root, or 0. */
fuse_ino_t fs_node_in_root(const struct fs_state *state, const char *name);

#endif
