/* SPDX-License-Identifier: MIT */
/*
 * A FUSE read is answered in full or with an error: the kernel fills a short
 * answer up with zeros. EIO covers the whole request, but a failed read-ahead
 * is repeated by the kernel page by page, so a reader through the page cache
 * loses only the pages that touch the bad bytes.
 */
#include "config.h"

#include "fs/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fs/node.h"

/* A live file's text as of its open; kept in fi->fh. A release is a request that
 * nobody waits for, and one that comes with the umount may never be seen: so the
 * state knows them all. */
struct fs_text {
	struct fs_text *next;
	struct fs_text *prev;
	size_t len;
	char *data;
};

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

static void free_text(struct fs_text *text)
{
	free(text->data);
	free(text);
}

static void add_text(struct fs_state *state, struct fs_text *text)
{
	pthread_mutex_lock(&state->lock);
	text->prev = NULL;
	text->next = state->texts;
	if (text->next)
		text->next->prev = text;
	state->texts = text;
	pthread_mutex_unlock(&state->lock);
}

static void drop_text(struct fs_state *state, struct fs_text *text)
{
	pthread_mutex_lock(&state->lock);
	if (text->next)
		text->next->prev = text->prev;
	if (text->prev)
		text->prev->next = text->next;
	else
		state->texts = text->next;
	pthread_mutex_unlock(&state->lock);
	free_text(text);
}

void fs_file_end(struct fs_state *state)
{
	while (state->texts)
		drop_text(state, state->texts);
}

static void open_live(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct fs_state *state = fs_state_of(req);
	struct fs_text *text = malloc(sizeof(*text));

	if (text)
		text->data = fs_state_live_text(
		    state, (int) (node - FS_NODE_LIVE_FIRST), &text->len);
	if (!text || !text->data) {
		free(text);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	fi->fh = (uintptr_t) text;
	fi->direct_io = 1;
	fi->noflush = 1;
	add_text(state, text);
	if (fuse_reply_open(req, fi) != 0)
		drop_text(state, text);
}

static void open_entry(
    fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct fs_state *state = fs_state_of(req);
	struct fs_view view;
	int rc = fs_view_open(state, node, &view);

	if (rc != 0) {
		fuse_reply_err(req, rc == FS_NOT_BEGUN ? EISDIR : rc);
		return;
	}
	fs_readers_join(
	    &state->readers, fuse_req_ctx(req)->pid, view.shown->epoch);
	fi->direct_io = fs_entry_is_direct(
	    fs_view_entry(&view), state->direct_io);
	fi->keep_cache = !fi->direct_io;
	fi->noflush = 1;
	if (fs_view_entry(&view)->kind == STILL_FILE)
		fuse_reply_open(req, fi);
	else
		fuse_reply_err(req, EISDIR);
	fs_view_close(state, &view);
}

void fs_file_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
		return;
	}
	if (fs_node_is_live(node)) {
		open_live(req, node, fi);
		return;
	}
	open_entry(req, node, fi);
}

void fs_file_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	if (fs_node_is_live(node))
		drop_text(
		    fs_state_of(req), (struct fs_text *) (uintptr_t) fi->fh);
	fuse_reply_err(req, 0);
}

/* Of a file that is open. */
static void read_view(
    fuse_req_t req, const struct fs_view *view, size_t size, off_t off)
{
	void *data = thread_buffer(size);
	ssize_t n;

	if (!data) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = still_session_read(view->shown->session, view->index,
	    (uint64_t) off, data, size, NULL);
	if (n == STILL_ERR_STALE)
		fuse_reply_err(req, EIO);
	else if (n < 0)
		fuse_reply_err(req, still_error_errno((int) n));
	else
		fuse_reply_buf(req, data, (size_t) n);
}

void fs_file_read_entry(fuse_req_t req, fuse_ino_t node, size_t size, off_t off)
{
	struct fs_state *state = fs_state_of(req);
	struct fs_view view;

	/* Who has it open gets no more of it, and no name to look for. */
	if (fs_view_open(state, node, &view) != 0) {
		fuse_reply_err(req, EIO);
		return;
	}
	if (fs_view_entry(&view)->closing &&
	    !still_session_sealed(view.shown->session))
		fs_gate_park(&state->seal_gate,
		    &(struct fs_call){.op = FS_CALL_READ,
			.req = req,
			.node = node,
			.size = size,
			.off = off});
	else
		read_view(req, &view, size, off);
	fs_view_close(state, &view);
}

void fs_file_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	const struct fs_text *text;
	size_t from;
	void *data;

	if (!fs_node_is_live(node)) {
		fs_file_read_entry(req, node, size, off);
		return;
	}
	text = (const struct fs_text *) (uintptr_t) fi->fh;
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
