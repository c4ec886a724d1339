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

/*
 * The entry behind a node of the session that serves, or NULL; then `*ret_errno`
 * is 0 when backup/ must be begun first, or the answer.
 */
const struct still_entry *fs_node_entry(struct fs_state *state, fuse_ino_t node,
    struct still_session **ret_session, int *ret_errno)
{
	struct still_session *session = fs_state_serving(state);
	const struct still_entry *entries;
	uint32_t n;

	*ret_errno = ESTALE;
	if (!fs_node_is_entry(node))
		*ret_errno = ENOENT;
	else if (fs_node_epoch(node) == state->epoch && !session &&
	    fs_node_index(node) == 0)
		*ret_errno = 0;
	if (!session || !fs_node_is_entry(node) ||
	    fs_node_epoch(node) != state->epoch)
		return NULL;
	entries = still_session_entries(session, &n);
	if (fs_node_index(node) >= n)
		return NULL;
	*ret_session = session;
	return &entries[fs_node_index(node)];
}

/* 0 or an errno. *ret_timeout_s is how long they stay true. */
int fs_node_stat(struct fs_state *state, fuse_ino_t node, struct stat *ret,
    double *ret_timeout_s)
{
	const struct still_entry *entry;
	struct still_session *session;
	int sys_errno;

	*ret_timeout_s = 0;
	if (node == FS_NODE_ROOT) {
		fs_stat_root(&state->info, mount_time_s(state), ret);
		return 0;
	}
	if (fs_node_is_live(node)) {
		fs_stat_live(&state->info,
		    (enum fs_live)(node - FS_NODE_LIVE_FIRST),
		    mount_time_s(state), ret);
		return 0;
	}
	entry = fs_node_entry(state, node, &session, &sys_errno);
	if (entry) {
		fs_stat_entry(entry, state->direct_io, ret);
		*ret_timeout_s = FS_TIMEOUT_SESSION;
	} else if (sys_errno == 0) {
		fs_stat_backup(&state->info, fs_state_backup_time(state), ret);
	} else {
		return sys_errno;
	}
	return 0;
}

/* backup/ itself is asked for again each time: tomorrow it may be another. */
int fs_node_param(
    struct fs_state *state, fuse_ino_t node, struct fuse_entry_param *ret)
{
	int sys_errno;

	memset(ret, 0, sizeof(*ret));
	ret->ino = node;
	sys_errno = fs_node_stat(state, node, &ret->attr, &ret->attr_timeout);
	if (fs_node_is_entry(node) && fs_node_index(node) != 0)
		ret->entry_timeout = FS_TIMEOUT_SESSION;
	return sys_errno;
}

fuse_ino_t fs_node_in_root(const struct fs_state *state, const char *name)
{
	if (strcmp(name, FS_BACKUP) == 0)
		return fs_node_of(state->epoch, 0);
	for (int live = 0; live < FS_LIVE_COUNT; live++)
		if (strcmp(name, fs_live_name((enum fs_live) live)) == 0)
			return FS_NODE_LIVE_FIRST + (fuse_ino_t) live;
	return 0;
}
