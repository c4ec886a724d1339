/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/ops.h"

#include <errno.h>
#include <sys/statvfs.h>

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

	(void) fi;
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

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs_state *state = fs_state_of(req);
	const struct still_entry *dir;
	struct still_session *session;
	int sys_errno;
	uint32_t child;

	if (parent == FS_NODE_ROOT) {
		fuse_ino_t node = fs_node_in_root(state, name);

		if (node)
			reply_node(req, node);
		else
			fuse_reply_err(req, ENOENT);
		return;
	}
	dir = fs_node_entry(state, parent, &session, &sys_errno);
	if (!dir && sys_errno == 0) {
		fs_gate_park(&state->begin_gate,
		    &(struct fs_call){.op = FS_CALL_LOOKUP,
			.req = req,
			.node = parent,
			.name = (char *) name});
		return;
	}
	if (!dir) {
		fuse_reply_err(req, sys_errno);
		return;
	}
	child = still_session_find(session, fs_node_index(parent), name);
	if (child)
		reply_node(req, fs_node_of(state->epoch, child));
	else
		reply_absent(req);
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
	case FS_CALL_READ:
		fs_file_read_entry(
		    call->req, call->node, call->size, call->off);
		break;
	}
}

/* ---- the whole ----------------------------------------------------------- */

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct still_session *session = fs_state_serving(fs_state_of(req));
	struct statvfs st = {
	    .f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};

	(void) node;
	if (session) {
		struct still_session_status status;
		uint32_t n;

		still_session_status(session, &status);
		still_session_entries(session, &n);
		st.f_blocks = (status.bytes + 4095) / 4096;
		st.f_files = n;
		still_session_status_clear(&status);
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
    .opendir = fs_dir_open,
    .readdir = fs_dir_readdir,
    .readdirplus = fs_dir_readdirplus,
    .releasedir = fs_dir_release,
    .open = fs_file_open,
    .read = fs_file_read,
    .release = fs_file_release,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
};
