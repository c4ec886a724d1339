/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/node.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"

struct fs_state *fs_state_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static int64_t mount_time_s(const struct fs_state *state)
{
	return state->started_at_ns / STILL_NS_PER_S;
}

/* ---- views --------------------------------------------------------------- */

/* No session serves: may `node` be looked at as what will be? */
static int not_serving(struct fs_state *state, fuse_ino_t node)
{
	if (fs_node_epoch(node) == fs_state_epoch(state) &&
	    fs_node_is_top(node))
		return FS_NOT_BEGUN;
	return ESTALE;
}

/* Which entry is `node`, of a session that is shown? 0 or an errno. */
static int find_entry(fuse_ino_t node, uint32_t n, struct fs_view *view)
{
	bool incremental = view->shown->kind == STILL_INCREMENTAL;
	uint32_t index = fs_node_index(node);

	if (fs_node_epoch(node) != view->shown->epoch)
		return ESTALE;
	if (fs_node_is_top(node) && incremental != (index == FS_INDEX_LINKS))
		return EBUSY;
	view->links = index == FS_INDEX_LINKS;
	if (incremental && (view->links || index == FS_INDEX_LINK))
		index = 0;
	view->index = index;
	return index < n ? 0 : ESTALE;
}

/* Without a claim to the lease. */
static int look(struct fs_state *state, fuse_ino_t node, struct fs_view *ret)
{
	struct fs_view view = {0};
	uint32_t n;
	int rc;

	if (!fs_node_is_entry(node))
		return ENOENT;
	view.shown = fs_state_get(state);
	if (!view.shown)
		return not_serving(state, node);
	view.entries = still_session_entries(view.shown->session, &n);
	rc = find_entry(node, n, &view);
	if (rc != 0)
		fs_state_put(state, view.shown);
	else
		*ret = view;
	return rc;
}

int fs_view_open(struct fs_state *state, fuse_ino_t node, struct fs_view *ret)
{
	int rc = look(state, node, ret);

	if (rc == 0)
		fs_state_touch(state);
	return rc;
}

void fs_view_close(struct fs_state *state, struct fs_view *view)
{
	fs_state_put(state, view->shown);
	view->shown = NULL;
}

fuse_ino_t fs_view_node(const struct fs_view *view, uint32_t index)
{
	if (index == 0 && view->shown->kind == STILL_INCREMENTAL)
		index = FS_INDEX_LINK;
	return fs_node_of(view->shown->epoch, index);
}

struct fs_gate *fs_node_gate(struct fs_state *state, fuse_ino_t node)
{
	return fs_node_index(node) == FS_INDEX_LINKS ? &state->link_gate
						     : &state->begin_gate;
}

/* ---- attributes ---------------------------------------------------------- */

/* backup/ and incremental/ themselves can be looked at at any time, also by who
 * still has that of a former session: only what is in it is gone. */
static int stat_top(struct fs_state *state, fuse_ino_t node, struct stat *ret)
{
	int64_t time_s;

	if (!fs_node_is_entry(node) || !fs_node_is_top(node))
		return fs_node_is_entry(node) ? ESTALE : ENOENT;
	time_s = fs_state_backup_time(state);
	if (fs_node_index(node) == FS_INDEX_LINKS)
		fs_stat_links(&state->info, time_s, ret);
	else
		fs_stat_backup(&state->info, time_s, ret);
	return 0;
}

int fs_node_stat(struct fs_state *state, fuse_ino_t node, struct stat *ret,
    double *ret_timeout_s)
{
	struct fs_view view;

	*ret_timeout_s = 0;
	if (node == FS_NODE_ROOT) {
		fs_stat_root(
		    &state->info, mount_time_s(state), state->incremental, ret);
		return 0;
	}
	if (fs_node_is_live(node)) {
		fs_stat_live(&state->info,
		    (enum fs_live)(node - FS_NODE_LIVE_FIRST),
		    mount_time_s(state), ret);
		return 0;
	}
	/* Who only asks for attributes, as df and monitors do, is no reader. */
	if (fs_node_index(node) == FS_INDEX_LINKS ||
	    look(state, node, &view) != 0)
		return stat_top(state, node, ret);
	fs_stat_entry(fs_view_entry(&view), state->direct_io, ret);
	*ret_timeout_s = FS_TIMEOUT_SESSION;
	fs_view_close(state, &view);
	return 0;
}

void fs_view_param(const struct fs_state *state, const struct fs_view *view,
    uint32_t index, struct fuse_entry_param *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ino = fs_view_node(view, index);
	ret->attr_timeout = ret->entry_timeout = FS_TIMEOUT_SESSION;
	fs_stat_entry(&view->entries[index], state->direct_io, &ret->attr);
}

/* backup/ itself is asked for again each time: tomorrow it may be another. */
int fs_node_param(
    struct fs_state *state, fuse_ino_t node, struct fuse_entry_param *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ino = node;
	return fs_node_stat(state, node, &ret->attr, &ret->attr_timeout);
}

fuse_ino_t fs_node_in_root(struct fs_state *state, const char *name)
{
	if (strcmp(name, FS_BACKUP) == 0)
		return fs_node_of(fs_state_epoch(state), FS_INDEX_BACKUP);
	if (state->incremental && strcmp(name, FS_LINKS) == 0)
		return fs_node_of(fs_state_epoch(state), FS_INDEX_LINKS);
	for (int live = 0; live < FS_LIVE_COUNT; live++)
		if (strcmp(name, fs_live_name((enum fs_live) live)) == 0)
			return FS_NODE_LIVE_FIRST + (fuse_ino_t) live;
	return 0;
}
