/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/node.h"

struct listing {
	fuse_req_t req;
	char *data;
	size_t used;
	size_t size;
	bool plus;
};

/* False when it does not fit any more. */
static bool list_add(struct listing *listing, const char *name, fuse_ino_t node,
    uint64_t parent_ino, off_t next)
{
	struct fuse_entry_param param;
	char *to = listing->data + listing->used;
	size_t left = listing->size - listing->used;
	size_t n;

	/* Node 0: "." and "..", which the kernel knows better. */
	memset(&param, 0, sizeof(param));
	if (node)
		fs_node_param(fs_state_of(listing->req), node, &param);
	else
		param.attr = (struct stat){
		    .st_mode = S_IFDIR, .st_ino = (ino_t) parent_ino};
	n = listing->plus
	    ? fuse_add_direntry_plus(listing->req, to, left, name, &param, next)
	    : fuse_add_direntry(
		  listing->req, to, left, name, &param.attr, next);
	if (n > left)
		return false;
	listing->used += n;
	return true;
}

/* Offsets: 0 ".", 1 "..", 2 + i child i; each entry carries the next one's. */
static void list_root(
    struct fs_state *state, struct listing *listing, off_t off)
{
	for (; off < 3 + FS_LIVE_COUNT; off++) {
		const char *name = off == 0 ? "."
		    : off == 1              ? ".."
		    : off == 2              ? FS_BACKUP
			       : fs_live_name((enum fs_live)(off - 3));
		fuse_ino_t node = off < 2 ? 0 : fs_node_in_root(state, name);

		if (!list_add(listing, name, node, FS_NODE_ROOT, off + 1))
			return;
	}
}

static void list_entry(struct fs_state *state, struct listing *listing,
    const struct still_session *session, uint32_t index, off_t off)
{
	uint32_t n;
	const struct still_entry *entries = still_session_entries(session, &n);
	const struct still_entry *dir = &entries[index];
	uint64_t up = index == 0 ? FS_NODE_ROOT : entries[dir->parent].ino;

	for (; off < 2 + (off_t) dir->n_children; off++) {
		uint32_t child = dir->first_child + (uint32_t) (off - 2);
		bool fits;

		if (off < 2)
			fits = list_add(listing, off ? ".." : ".", 0,
			    off ? up : dir->ino, off + 1);
		else
			fits = list_add(listing, entries[child].name,
			    fs_node_of(state->epoch, child), 0, off + 1);
		if (!fits)
			return;
	}
}

void fs_dir_list(
    fuse_req_t req, fuse_ino_t node, size_t size, off_t off, bool plus)
{
	struct fs_state *state = fs_state_of(req);
	struct listing listing = {.req = req, .size = size, .plus = plus};
	struct still_session *session = NULL;
	int sys_errno = 0;

	if (node != FS_NODE_ROOT) {
		const struct still_entry *dir = fs_node_entry(
		    state, node, &session, &sys_errno);

		if (!dir && sys_errno == 0) {
			fs_gate_park(&state->begin_gate,
			    &(struct fs_call){.op = plus ? FS_CALL_READDIRPLUS
							 : FS_CALL_READDIR,
				.req = req,
				.node = node,
				.size = size,
				.off = off});
			return;
		}
		if (dir && dir->kind != STILL_DIR)
			sys_errno = ENOTDIR;
		else if (dir)
			sys_errno = 0;
	}
	if (!sys_errno) {
		listing.data = malloc(size);
		if (!listing.data)
			sys_errno = ENOMEM;
	}
	if (sys_errno) {
		fuse_reply_err(req, sys_errno);
		return;
	}
	if (off < 0)
		off = 0;
	if (node == FS_NODE_ROOT)
		list_root(state, &listing, off);
	else
		list_entry(state, &listing, session, fs_node_index(node), off);
	fuse_reply_buf(req, listing.data, listing.used);
	free(listing.data);
}

void fs_dir_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	(void) fi;
	fs_dir_list(req, node, size, off, false);
}

void fs_dir_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	(void) fi;
	fs_dir_list(req, node, size, off, true);
}

/* Opening backup/ is not looking into it. */
void fs_dir_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	double timeout_s;
	int sys_errno = fs_node_stat(fs_state_of(req), node, &st, &timeout_s);

	if (sys_errno)
		fuse_reply_err(req, sys_errno);
	else
		fuse_reply_open(req, fi);
}

void fs_dir_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void) node;
	(void) fi;
	fuse_reply_err(req, 0);
}
