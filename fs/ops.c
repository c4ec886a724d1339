/* SPDX-License-Identifier: MIT */
/*
 * A FUSE read is answered in full or with an error: the kernel fills a short
 * answer up with zeros. EIO covers the whole request, but a failed read-ahead
 * is repeated by the kernel page by page, so a reader through the page cache
 * loses only the pages that touch the bad bytes.
 */
#include "config.h"

#include "fs/ops.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/sys.h"
#include "fs/state.h"
#include "fs/tree.h"

int fs_errno(int code)
{
	switch (code) {
	case STILL_ERR_NOTFOUND:
		return ENOENT;
	case STILL_ERR_INVALID:
		return EINVAL;
	case STILL_ERR_BUSY:
		return EBUSY;
	case STILL_ERR_AGAIN:
		return EAGAIN;
	case STILL_ERR_ACCESS:
		return EACCES;
	case STILL_ERR_UNSUPPORTED:
		return EOPNOTSUPP;
	case STILL_ERR_NOMEM:
		return ENOMEM;
	case STILL_ERR_CANCELLED:
		return ESHUTDOWN;
	case STILL_ERR_STALE:
		return ESTALE;
	default: /* CORRUPT, LOST, IO, FAILED: the byte is not provably right */
		return EIO;
	}
}

int fs_job_errno(int code)
{
	int sys_errno = fs_errno(code);

	return sys_errno == ENOENT ? EIO : sys_errno;
}

static struct fs_state *state_of(fuse_req_t req)
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
static const struct still_entry *entry_of(struct fs_state *state,
    fuse_ino_t node, struct still_session **ret_session, int *ret_errno)
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

/* ---- attributes ---------------------------------------------------------- */

/* 0 or an errno. *ret_timeout_s is how long they stay true. */
static int stat_node(struct fs_state *state, fuse_ino_t node, struct stat *ret,
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
	entry = entry_of(state, node, &session, &sys_errno);
	if (entry) {
		fs_stat_entry(entry, ret);
		*ret_timeout_s = FS_TIMEOUT_SESSION;
	} else if (sys_errno == 0) {
		fs_stat_backup(&state->info, fs_state_backup_time(state), ret);
	} else {
		return sys_errno;
	}
	return 0;
}

/* backup/ itself is asked for again each time: tomorrow it may be another. */
static int fill_param(
    struct fs_state *state, fuse_ino_t node, struct fuse_entry_param *ret)
{
	int sys_errno;

	memset(ret, 0, sizeof(*ret));
	ret->ino = node;
	sys_errno = stat_node(state, node, &ret->attr, &ret->attr_timeout);
	if (fs_node_is_entry(node) && fs_node_index(node) != 0)
		ret->entry_timeout = FS_TIMEOUT_SESSION;
	return sys_errno;
}

static void op_getattr(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	double timeout_s;
	int sys_errno = stat_node(state_of(req), node, &st, &timeout_s);

	(void) fi;
	if (sys_errno)
		fuse_reply_err(req, sys_errno);
	else
		fuse_reply_attr(req, &st, timeout_s);
}

/* ---- names --------------------------------------------------------------- */

static fuse_ino_t find_in_root(const struct fs_state *state, const char *name)
{
	if (strcmp(name, FS_BACKUP) == 0)
		return fs_node_of(state->epoch, 0);
	for (int live = 0; live < FS_LIVE_COUNT; live++)
		if (strcmp(name, fs_live_name((enum fs_live) live)) == 0)
			return FS_NODE_LIVE_FIRST + (fuse_ino_t) live;
	return 0;
}

static void reply_node(fuse_req_t req, fuse_ino_t node)
{
	struct fuse_entry_param param;
	int sys_errno = fill_param(state_of(req), node, &param);

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
	struct fs_state *state = state_of(req);
	const struct still_entry *dir;
	struct still_session *session;
	int sys_errno;
	uint32_t child;

	if (parent == FS_NODE_ROOT) {
		fuse_ino_t node = find_in_root(state, name);

		if (node)
			reply_node(req, node);
		else
			fuse_reply_err(req, ENOENT);
		return;
	}
	dir = entry_of(state, parent, &session, &sys_errno);
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

/* ---- directories --------------------------------------------------------- */

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
		fill_param(state_of(listing->req), node, &param);
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
		fuse_ino_t node = off < 2 ? 0 : find_in_root(state, name);

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

static void list_node(
    fuse_req_t req, fuse_ino_t node, size_t size, off_t off, bool plus)
{
	struct fs_state *state = state_of(req);
	struct listing listing = {.req = req, .size = size, .plus = plus};
	struct still_session *session = NULL;
	int sys_errno = 0;

	if (node != FS_NODE_ROOT) {
		const struct still_entry *dir = entry_of(
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

static void op_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	(void) fi;
	list_node(req, node, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	(void) fi;
	list_node(req, node, size, off, true);
}

/* Opening backup/ is not looking into it. */
static void op_opendir(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct stat st;
	double timeout_s;
	int sys_errno = stat_node(state_of(req), node, &st, &timeout_s);

	if (sys_errno)
		fuse_reply_err(req, sys_errno);
	else
		fuse_reply_open(req, fi);
}

static void op_releasedir(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void) node;
	(void) fi;
	fuse_reply_err(req, 0);
}

/* ---- files --------------------------------------------------------------- */

/* A live file's text as of its open; kept in fi->fh. */
struct text {
	size_t len;
	char *data;
};

static void open_live(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct text *text = malloc(sizeof(*text));

	if (text)
		text->data = fs_state_live_text(state_of(req),
		    (int) (node - FS_NODE_LIVE_FIRST), &text->len);
	if (!text || !text->data) {
		free(text);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	fi->fh = (uintptr_t) text;
	fi->direct_io = 1;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) != 0) {
		free(text->data);
		free(text);
	}
}

static void op_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	const struct still_entry *entry;
	struct still_session *session;
	int sys_errno;

	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
		return;
	}
	if (fs_node_is_live(node)) {
		open_live(req, node, fi);
		return;
	}
	entry = entry_of(state_of(req), node, &session, &sys_errno);
	if (!entry || entry->kind != STILL_FILE) {
		fuse_reply_err(req,
		    entry           ? EISDIR
			: sys_errno ? sys_errno
				    : EISDIR);
		return;
	}
	/* The seal may be withdrawn at any time, so it is never cached. */
	fi->direct_io = entry->seal;
	fi->keep_cache = !entry->seal;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void op_release(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (fs_node_is_live(node)) {
		struct text *text = (struct text *) (uintptr_t) fi->fh;

		free(text->data);
		free(text);
	}
	fuse_reply_err(req, 0);
}

static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

struct buffer {
	size_t size;
	void *data;
};

static void free_buffer(void *arg)
{
	struct buffer *buffer = arg;

	free(buffer->data);
	free(buffer);
}

static void make_buffer_key(void)
{
	pthread_key_create(&buffer_key, free_buffer);
}

/* This thread's buffer, page-aligned, or NULL without memory. */
static void *thread_buffer(size_t size)
{
	struct buffer *buffer;

	pthread_once(&buffer_once, make_buffer_key);
	buffer = pthread_getspecific(buffer_key);
	if (!buffer) {
		buffer = calloc(1, sizeof(*buffer));
		if (!buffer || pthread_setspecific(buffer_key, buffer) != 0) {
			free(buffer);
			return NULL;
		}
	}
	if (!buffer->data || buffer->size < size) {
		size = size ? size : 1;
		free(buffer->data);
		buffer->size = 0;
		if (posix_memalign(&buffer->data, 4096, size) != 0) {
			buffer->data = NULL;
			return NULL;
		}
		buffer->size = size;
	}
	return buffer->data;
}

static void read_entry(fuse_req_t req, fuse_ino_t node, size_t size, off_t off)
{
	struct fs_state *state = state_of(req);
	struct still_session *session = NULL;
	int sys_errno;
	const struct still_entry *entry = entry_of(
	    state, node, &session, &sys_errno);
	void *data;
	ssize_t n;

	if (!entry) {
		fuse_reply_err(req, sys_errno ? sys_errno : EISDIR);
		return;
	}
	if (entry->seal && !still_session_sealed(session)) {
		fs_gate_park(&state->seal_gate,
		    &(struct fs_call){.op = FS_CALL_READ,
			.req = req,
			.node = node,
			.size = size,
			.off = off});
		return;
	}
	data = thread_buffer(size);
	if (!data) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = still_session_read(
	    session, fs_node_index(node), (uint64_t) off, data, size, NULL);
	if (n < 0)
		fuse_reply_err(req, fs_errno((int) n));
	else
		fuse_reply_buf(req, data, (size_t) n);
}

static void op_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	const struct text *text;
	size_t from;
	void *data;

	if (!fs_node_is_live(node)) {
		read_entry(req, node, size, off);
		return;
	}
	text = (const struct text *) (uintptr_t) fi->fh;
	from = (size_t) off < text->len ? (size_t) off : text->len;
	if (size > text->len - from)
		size = text->len - from;
	/* A copy, because the release may come, in another thread, before the
	 * call that carries the answer has returned. */
	data = thread_buffer(size);
	if (!data) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	memcpy(data, text->data + from, size);
	fuse_reply_buf(req, data, size);
}

void fs_ops_repeat(const struct fs_call *call)
{
	switch (call->op) {
	case FS_CALL_LOOKUP:
		op_lookup(call->req, call->node, call->name);
		break;
	case FS_CALL_READDIR:
	case FS_CALL_READDIRPLUS:
		list_node(call->req, call->node, call->size, call->off,
		    call->op == FS_CALL_READDIRPLUS);
		break;
	case FS_CALL_READ:
		read_entry(call->req, call->node, call->size, call->off);
		break;
	}
}

/* ---- the whole ----------------------------------------------------------- */

static void op_statfs(fuse_req_t req, fuse_ino_t node)
{
	struct still_session *session = fs_state_serving(state_of(req));
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
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .releasedir = op_releasedir,
    .open = op_open,
    .read = op_read,
    .release = op_release,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
};
