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
static bool list_add(struct listing *listing, const char *name,
    const struct fuse_entry_param *param, off_t next)
{
	char *to = listing->data + listing->used;
	size_t left = listing->size - listing->used;
	size_t n = listing->plus
	    ? fuse_add_direntry_plus(listing->req, to, left, name, param, next)
	    : fuse_add_direntry(
		  listing->req, to, left, name, &param->attr, next);

	if (n > left)
		return false;
	listing->used += n;
	return true;
}

/* "." or "..": no node, because the kernel knows them better. */
static struct fuse_entry_param dot(uint64_t ino)
{
	return (struct fuse_entry_param){
	    .attr = {.st_mode = S_IFDIR, .st_ino = (ino_t) ino}};
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
		struct fuse_entry_param param = dot(FS_NODE_ROOT);

		if (off >= 2)
			fs_node_param(
			    state, fs_node_in_root(state, name), &param);
		if (!list_add(listing, name, &param, off + 1))
			return;
	}
}

/* The i-th child of a listing: in order, but for what is best read last. */
static uint32_t listed_child(const struct still_entry *dir, uint32_t i)
{
	uint32_t child = dir->first_child + i;

	if (!dir->listed_last || child < dir->listed_last)
		return child;
	return i + 1 < dir->n_children ? child + 1 : dir->listed_last;
}

static void list_entry(struct fs_state *state, struct listing *listing,
    const struct fs_view *view, off_t off)
{
	const struct still_entry *dir = fs_view_entry(view);
	uint64_t up = view->index == 0 ? FS_NODE_ROOT
				       : view->entries[dir->parent].ino;

	for (; off < 2 + (off_t) dir->n_children; off++) {
		struct fuse_entry_param param = dot(off ? up : dir->ino);
		const char *name = off ? ".." : ".";

		if (off >= 2) {
			uint32_t child = listed_child(
			    dir, (uint32_t) (off - 2));

			name = view->entries[child].name;
			fs_view_param(state, view, child, &param);
		}
		if (!list_add(listing, name, &param, off + 1))
			return;
	}
}

static void reply_list(
    struct listing *listing, const struct fs_view *view, off_t off)
{
	struct fs_state *state = fs_state_of(listing->req);

	listing->data = malloc(listing->size);
	if (!listing->data) {
		fuse_reply_err(listing->req, ENOMEM);
		return;
	}
	if (off < 0)
		off = 0;
	if (view)
		list_entry(state, listing, view, off);
	else
		list_root(state, listing, off);
	fuse_reply_buf(listing->req, listing->data, listing->used);
	free(listing->data);
}

void fs_dir_list(
    fuse_req_t req, fuse_ino_t node, size_t size, off_t off, bool plus)
{
	struct fs_state *state = fs_state_of(req);
	struct listing listing = {.req = req, .size = size, .plus = plus};
	struct fs_view view;
	int rc;

	if (node == FS_NODE_ROOT) {
		reply_list(&listing, NULL, off);
		return;
	}
	rc = fs_view_open(state, node, &view);
	if (rc == FS_NOT_BEGUN && fs_state_is_fresh(state)) {
		fs_gate_park(&state->begin_gate,
		    &(struct fs_call){
			.op = plus ? FS_CALL_READDIRPLUS : FS_CALL_READDIR,
			.req = req,
			.node = node,
			.size = size,
			.off = off});
		return;
	}
	if (rc != 0) {
		fuse_reply_err(req, rc == FS_NOT_BEGUN ? ESTALE : rc);
		return;
	}
	fs_readers_join(
	    &state->readers, fuse_req_ctx(req)->pid, view.shown->epoch);
	if (fs_view_entry(&view)->kind == STILL_DIR)
		reply_list(&listing, &view, off);
	else
		fuse_reply_err(req, ENOTDIR);
	fs_view_close(state, &view);
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

/*
 * On a fresh mount, opening backup/ is not looking into it. Afterwards it is what
 * begins a session: whoever opens it wants what is in it now, and no more what
 * was in it before.
 */
void fs_dir_open_entry(fuse_req_t req, fuse_ino_t node)
{
	struct fs_state *state = fs_state_of(req);
	struct fuse_file_info fi = {0};
	pid_t pid = fuse_req_ctx(req)->pid;
	struct fs_view view;
	int rc = fs_view_open(state, node, &view);

	if (rc == FS_NOT_BEGUN && !fs_state_is_fresh(state)) {
		fs_gate_park(&state->begin_gate,
		    &(struct fs_call){
			.op = FS_CALL_OPENDIR, .req = req, .node = node});
		return;
	}
	if (rc == 0) {
		fs_readers_join(&state->readers, pid, view.shown->epoch);
		fs_view_close(state, &view);
	} else if (rc == ESTALE && fs_node_index(node) == 0) {
		/* By ESTALE the kernel takes the path again from its begin,
		 * and this time it leads to the present. */
		fs_readers_forget(&state->readers, pid, fs_state_epoch(state));
	}
	if (rc == 0 || rc == FS_NOT_BEGUN)
		fuse_reply_open(req, &fi);
	else
		fuse_reply_err(req, rc);
}

void fs_dir_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (node == FS_NODE_ROOT)
		fuse_reply_open(req, fi);
	else
		fs_dir_open_entry(req, node);
}

void fs_dir_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void) node;
	(void) fi;
	fuse_reply_err(req, 0);
}
