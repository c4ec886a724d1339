/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/ops.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/ioctl.h"
#include "fs/dir.h"
#include "fs/file.h"
#include "fs/node.h"

/* ---- attributes ---------------------------------------------------------- */

static void op_getattr(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	double timeout_s;
	int sys_errno = fs_node_stat(fs_state_of(req), node, &st, &timeout_s);

	/* The kernel asks before it reads a file that is open: what it is told
	 * here is what the reader is told. */
	if (sys_errno == ESTALE && fi)
		sys_errno = EIO;
	if (sys_errno)
		fuse_reply_err(req, sys_errno);
	else
		fuse_reply_attr(req, &st, timeout_s);
}

/* ---- names --------------------------------------------------------------- */

static void reply_node(fuse_req_t req, fuse_ino_t node)
{
	struct fuse_entry_param param;
	int sys_errno = fs_node_param(fs_state_of(req), node, &param);

	if (sys_errno)
		fuse_reply_err(req, sys_errno);
	else
		fuse_reply_entry(req, &param);
}

/* A name that a session does not have will not come: remembered as such. */
static void reply_absent(fuse_req_t req)
{
	struct fuse_entry_param param = {.entry_timeout = FS_TIMEOUT_SESSION};

	fuse_reply_entry(req, &param);
}

/*
 * Who took part in a session that is over, and goes on by path, is led back to
 * where it was: below that, everything is stale. Only opening backup/ itself, or
 * incremental/, lets it in again (fs_dir_open).
 */
static void lookup_in_root(fuse_req_t req, const char *name)
{
	struct fs_state *state = fs_state_of(req);
	fuse_ino_t node = fs_node_in_root(state, name);
	uint32_t epoch;

	if (!node) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	epoch = fs_node_epoch(node);
	if (fs_node_is_entry(node) &&
	    fs_readers_is_late(&state->readers, fuse_req_ctx(req)->pid, epoch))
		node = fs_node_of(epoch - 1, fs_node_index(node));
	reply_node(req, node);
}

/* In incremental/ there is nothing but the session. */
static bool find_child(
    const struct fs_view *view, const char *name, uint32_t *ret)
{
	char link[FS_LINK_NAME_BYTES];

	if (!view->links) {
		*ret = still_session_find(
		    view->shown->session, view->index, name);
		return *ret != 0;
	}
	fs_link_name(view->shown->number, link);
	*ret = 0;
	return strcmp(name, link) == 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs_state *state = fs_state_of(req);
	struct fuse_entry_param param;
	struct fs_view view;
	uint32_t child;
	int rc;

	if (parent == FS_NODE_ROOT) {
		lookup_in_root(req, name);
		return;
	}
	rc = fs_view_open(state, parent, &view);
	if (rc == FS_NOT_BEGUN && fs_state_is_fresh(state)) {
		fs_gate_park(fs_node_gate(state, parent),
		    &(struct fs_call){.op = FS_CALL_LOOKUP,
			.req = req,
			.node = parent,
			.name = (char *) name});
		return;
	}
	if (rc != 0) {
		fuse_reply_err(req, rc == FS_NOT_BEGUN ? ESTALE : rc);
		return;
	}
	fs_readers_join(
	    &state->readers, fuse_req_ctx(req)->pid, view.shown->epoch);
	if (find_child(&view, name, &child)) {
		fs_view_param(state, &view, child, &param);
		fuse_reply_entry(req, &param);
	} else {
		reply_absent(req);
	}
	fs_view_close(state, &view);
}

void fs_ops_repeat(const struct fs_call *call)
{
	switch (call->op) {
	case FS_CALL_LOOKUP:
		op_lookup(call->req, call->node, call->name);
		break;
	case FS_CALL_READDIR:
	case FS_CALL_READDIRPLUS:
		fs_dir_list(call->req, call->node, call->size, call->off,
		    call->op == FS_CALL_READDIRPLUS);
		break;
	case FS_CALL_OPENDIR:
		fs_dir_open_entry(call->req, call->node);
		break;
	case FS_CALL_READ:
		fs_file_read_entry(
		    call->req, call->node, call->size, call->off);
		break;
	}
}

/* ---- the whole ----------------------------------------------------------- */

static void op_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct fs_state *state = fs_state_of(req);
	const struct still_entry *entry;
	struct fs_view view;
	int rc = fs_view_open(state, node, &view);

	if (rc != 0) {
		fuse_reply_err(req, rc == FS_NOT_BEGUN ? EINVAL : rc);
		return;
	}
	entry = fs_view_entry(&view);
	if (entry->kind == STILL_LINK)
		fuse_reply_readlink(req, entry->target);
	else
		fuse_reply_err(req, EINVAL);
	fs_view_close(state, &view);
}

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct fs_state *state = fs_state_of(req);
	struct fs_shown *shown = fs_state_get(state);
	struct statvfs st = {
	    .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};

	(void) node;
	if (shown) {
		struct still_session_status status;
		uint32_t n;

		still_session_status(shown->session, &status);
		still_session_entries(shown->session, &n);
		st.f_blocks = (status.bytes + 4095) / 4096;
		st.f_files = n;
		still_session_status_clear(&status);
		fs_state_put(state, shown);
	}
	fuse_reply_statfs(req, &st);
}

/* Once, by the first request: there are no extended attributes. */
static void op_getxattr(
    fuse_req_t req, fuse_ino_t node, const char *name, size_t size)
{
	(void) node;
	(void) name;
	(void) size;
	fuse_reply_err(req, ENOSYS);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t node, size_t size)
{
	(void) node;
	(void) size;
	fuse_reply_err(req, ENOSYS);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void) userdata;
	/* Attributes with every listing, not only where the kernel guesses
	 * that they will be wanted: they cost nothing here. */
	conn->want &= ~(unsigned) FUSE_CAP_READDIRPLUS_AUTO;
	if (conn->capable & FUSE_CAP_READDIRPLUS)
		conn->want |= FUSE_CAP_READDIRPLUS;
	/* Who waits in a directory must not keep others, unkillable, behind
	 * the kernel's lock of it. (libfuse 3.14 does not pass this on.) */
	if (conn->capable & FUSE_CAP_PARALLEL_DIROPS)
		conn->want |= FUSE_CAP_PARALLEL_DIROPS;
	/* Replies come from our buffers: a pipe would only add copies. */
	conn->want &= ~(unsigned) (FUSE_CAP_SPLICE_WRITE |
	    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_SPLICE_READ);
}

const struct fuse_lowlevel_ops fs_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .readlink = op_readlink,
    .opendir = fs_dir_open,
    .readdir = fs_dir_readdir,
    .readdirplus = fs_dir_readdirplus,
    .releasedir = fs_dir_release,
    .open = fs_file_open,
    .read = fs_file_read,
    .release = fs_file_release,
    .statfs = op_statfs,
    .ioctl = fs_ioctl,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
};
