/* SPDX-License-Identifier: MIT */
/*
 * mount: our own mount, from libfuse's session to the entry in the kernel's
 * table. It knows it again among others, and takes away nothing but it.
 */
#ifndef FS_MOUNT_H
#define FS_MOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "fs/options.h"
#include "fs/state.h"

struct fuse_session;

struct fs_mount_point {
	const char *path;          /* borrowed; resolved */
	struct fuse_session *fuse; /* owned; NULL before begin */
	dev_t dev;   /* st_dev of what lies in it; 0 while it is not mounted */
	uint64_t id; /* base/mount_id.h; 0: the kernel has none */
	atomic_bool gone; /* set by fs_mount_settle() */
};

/* Make libfuse's session over `state` and mount it. What was made is there on
 * failure too: fs_mount_end() and fuse_session_destroy() accept it. */
int fs_mount_begin(struct fs_mount_point *mount, struct fs_state *state,
    const struct fs_options *options, struct still_error *err);

/* Let the kernel read ahead in requests as big as they can be. Only after the
 * first answer, because the kernel settles its own, smaller, number with the
 * connection. Does nothing where that is not permitted. */
void fs_mount_widen(const struct fs_mount_point *mount);

/* Does the kernel still talk to us? Then the device number is ours alone. */
bool fs_mount_connected(const struct fs_mount_point *mount);

/* When libfuse's loop has ended: if the kernel has let us go and nothing with
 * our device lies in our place, the mount is gone, and is not looked for again.
 * The sooner this is asked, the less can the next mount be in the way. */
void fs_mount_settle(struct fs_mount_point *mount);

/* Is our mount what lies on top of its place? */
bool fs_mount_is_ours(const struct fs_mount_point *mount);

/* Give up the connection: whatever waits in the kernel for an answer of ours is
 * answered with an error. Does nothing where that is not permitted. */
void fs_mount_abort(const struct fs_mount_point *mount);

/* Take it away, if it is there. May start fusermount3. May be repeated. */
void fs_mount_end(const struct fs_mount_point *mount);

#endif
