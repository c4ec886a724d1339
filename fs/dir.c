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

/* The i-th name in the root; NULL: there are no more. */
static const char *root_name(const struct fs_state *state, off_t i)
{
	static const char *const first[] = {".", "..", FS_BACKUP, FS_LINKS};
	off_t n = state->incremental ? 4 : 3;

	if (i < n)
		return first[i];
	return i - n < FS_LIVE_COUNT ? fs_live_name((enum fs_live)(i - n))
				     : NULL;
}

/* Offsets: 0 ".", 1 "..", 2 + i child i; each entry carries the next one's. */
static void list_root(
    struct fs_state *state, struct listing *listing, off_t off)
{
	const char *name;

	for (; (name = root_name(state, off)); off++) {
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

/* What the session's topmost directory is in. */
static uint64_t top_ino(struct fs_state *state, const struct fs_view *view)
{
	struct stat st;

	if (view->shown->kind != STILL_INCREMENTAL)
		return FS_NODE_ROOT;
	fs_stat_links(&state->info, 0, &st);
	return st.st_ino;
}

static void list_links(struct fs_state *state, struct listing *listing,
    const struct fs_view *view, off_t off)
{
	char link[FS_LINK_NAME_BYTES];

	fs_link_name(view->shown->number, link);
	for (; off < 3; off++) {
		struct fuse_entry_param param = dot(
		    off ? FS_NODE_ROOT : top_ino(state, view));

		if (off == 2)
			fs_view_param(state, view, 0, &param);
		if (!list_add(listing,
			off == 0       ? "."
			    : off == 1 ? ".."
				       : link,
			&param, off + 1))
			return;
	}
}

static void list_entry(struct fs_state *state, struct listing *listing,
    const struct fs_view *view, off_t off)
{
	const struct still_entry *dir = fs_view_entry(view);
	uint64_t up = view->index == 0 ? top_ino(state, view)
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
	if (view && view->links)
		list_links(state, listing, view, off);
	else if (view)
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
		fs_gate_park(fs_node_gate(state, node),
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

/* As a session of another mount would be told of in the log. */
static void tell_busy(struct fs_state *state, bool links)
{
	char id[STILL_SESSION_ID_BYTES];

	fs_state_name(state, id);
	still_events_add(state->events, STILL_LEVEL_WARNING, "directory-busy",
	    "directory", links ? FS_LINKS : FS_BACKUP, "session", id, "error",
	    links ? "a session in `backup/` is open"
		  : "a session in `incremental/` is open",
	    "hint", "Commit it, abort it, or wait until it ends.", NULL);
}

/*
 * On a fresh mount, opening backup/ is not looking into it. Afterwards it is what
 * begins a session: whoever opens it wants what is in it now, and no more what
 * was in it before. To open incremental/ is that always: who cannot have it is
 * told so before he reads.
 */
void fs_dir_open_entry(fuse_req_t req, fuse_ino_t node)
{
	struct fs_state *state = fs_state_of(req);
	struct fuse_file_info fi = {0};
	pid_t pid = fuse_req_ctx(req)->pid;
	bool links = fs_node_index(node) == FS_INDEX_LINKS;
	struct fs_view view;
	int rc = fs_view_open(state, node, &view);

	if (rc == FS_NOT_BEGUN && (links || !fs_state_is_fresh(state))) {
		fs_gate_park(fs_node_gate(state, node),
		    &(struct fs_call){
			.op = FS_CALL_OPENDIR, .req = req, .node = node});
		return;
	}
	if (rc == 0) {
		fs_readers_join(&state->readers, pid, view.shown->epoch);
		fs_view_close(state, &view);
	} else if (rc == EBUSY) {
		tell_busy(state, links);
	} else if (rc == ESTALE && fs_node_is_top(node)) {
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
