/* SPDX-License-Identifier: MIT */
/*
 * node: what a node of the kernel's stands for at this moment: the root, a live
 * file, backup/ before its session, an entry of the session that serves, or
 * something of a session that is over.
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

/* An entry of the session that serves, for the length of a request. */
struct fs_view {
	struct fs_shown *shown; /* to be given back */
	const struct still_entry *entries;
	uint32_t index;
	bool links; /* not that entry, which is 0, but incremental/, where it
		       is */
};

/* No errno: backup/ or incremental/ must be begun first. */
#define FS_NOT_BEGUN (-1)

/*
 * The entry behind `node`. 0, FS_NOT_BEGUN, or an errno: ESTALE for what belongs
 * to a session that is over, ENOENT for what is no entry, EBUSY for the one of
 * backup/ and incremental/ that the session is not in. With 0 the caller ends
 * the view with fs_view_close(), and his request counts for the lease.
 */
int fs_view_open(struct fs_state *state, fuse_ino_t node, struct fs_view *ret);
void fs_view_close(struct fs_state *state, struct fs_view *view);

/* The node of an entry in view. */
fuse_ino_t fs_view_node(const struct fs_view *view, uint32_t index);

static inline const struct still_entry *fs_view_entry(
    const struct fs_view *view)
{
	return &view->entries[view->index];
}

/* Attributes, and for how long they stay true. 0 or an errno. */
int fs_node_stat(struct fs_state *state, fuse_ino_t node, struct stat *ret,
    double *ret_timeout_s);

/* The gate for who waits for what `node` is in. */
struct fs_gate *fs_node_gate(struct fs_state *state, fuse_ino_t node);

/* The same of an entry that is in view. */
void fs_view_param(const struct fs_state *state, const struct fs_view *view,
    uint32_t index, struct fuse_entry_param *ret);

/* All that the kernel wants to know of a node with its name. 0 or an errno. */
int fs_node_param(
    struct fs_state *state, fuse_ino_t node, struct fuse_entry_param *ret);

/* The node called `name` in the root, or 0. */
fuse_ino_t fs_node_in_root(struct fs_state *state, const char *name);

#endif
