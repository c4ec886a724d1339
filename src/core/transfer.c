/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "core/attributes.h"
#include "core/crew.h"

#define PIECE_BYTES ((size_t) 1 << 20)
/* What is written is sent to the disk in runs of this size, so that the disk
 * does not begin with it only when all is written. */
#define FLUSH_BYTES ((uint64_t) 8 << 20)
#define THREADS_DEFAULT 4

/* ---- one file ------------------------------------------------------------ */

struct pipe {
	const struct still_transfer *transfer;
	const struct still_transfer_file *file;
	int in;
	int out;
	void *piece;
	struct still_hash_state *hash;
};

static int write_failed(
    const struct pipe *pipe, int rc, struct still_error *err)
{
	return still_error_sys(
	    err, -rc, NULL, "`%s/%s`", pipe->transfer->to_path, pipe->file->to);
}

static int changed(const struct pipe *pipe, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "Let nobody write to the set, or restore another one.",
	    "`%s`: its size changes while it is read", pipe->file->file->path);
}

static int move_piece(struct pipe *pipe, uint64_t off, struct still_error *err)
{
	uint64_t left = pipe->file->size_bytes - off;
	size_t len = left < PIECE_BYTES ? (size_t) left : PIECE_BYTES;
	ssize_t n = still_sys_pread(pipe->in, pipe->piece, len, off);
	int rc;

	if (n < 0)
		return still_error_sys(
		    err, (int) -n, NULL, "`%s`", pipe->file->file->path);
	if ((size_t) n < len)
		return changed(pipe, err);
	still_hash_update(pipe->hash, pipe->piece, len);
	rc = still_sys_pwrite(pipe->out, pipe->piece, len, off);
	if (rc < 0)
		return write_failed(pipe, rc, err);
	still_ticker_count(pipe->transfer->ticker, 0, len);
	return 0;
}

static int move_bytes(struct pipe *pipe, struct still_error *err)
{
	uint64_t size = pipe->file->size_bytes;
	uint64_t flushed = 0;
	int rc = 0;

	posix_fadvise(pipe->in, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (uint64_t off = 0; rc == 0 && off < size; off += PIECE_BYTES) {
		if (still_ticker_stopped(pipe->transfer->ticker))
			return 0;
		rc = move_piece(pipe, off, err);
		if (off + PIECE_BYTES - flushed < FLUSH_BYTES)
			continue;
		sync_file_range(pipe->out, (off_t) flushed, (off_t) FLUSH_BYTES,
		    SYNC_FILE_RANGE_WRITE);
		flushed += FLUSH_BYTES;
	}
	return rc;
}

static int check_sum(struct pipe *pipe, struct still_error *err)
{
	struct still_hash128 sum = still_hash_digest(pipe->hash);
	const struct still_set_file *file = pipe->file->file;
	char is[STILL_HASH128_HEX_CHARS + 1];
	char listed[STILL_HASH128_HEX_CHARS + 1];

	if (memcmp(&sum, &file->sum, sizeof(sum)) == 0)
		return 0;
	still_hash128_hex(sum, is);
	still_hash128_hex(file->sum, listed);
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "`stillctl verify` tells all that is wrong with the set. Restore "
	    "another one.",
	    "`%s`: is damaged: its sum is %s, and %s is listed", file->path, is,
	    listed);
}

/* A file system that cannot reserve room tells of none when it is written to. */
static int reserve(struct pipe *pipe, struct still_error *err)
{
	int rc = pipe->file->size_bytes > 0
	    ? still_sys_allocate(pipe->out, pipe->file->size_bytes)
	    : 0;

	if (rc == 0 || rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL)
		return 0;
	return write_failed(pipe, rc, err);
}

static int finish(struct pipe *pipe, struct still_error *err)
{
	int rc = still_attributes_give(pipe->out, pipe->in);

	if (rc == 0)
		rc = still_sys_fsync(pipe->out);
	return rc < 0 ? write_failed(pipe, rc, err) : 0;
}

static int move_file(struct pipe *pipe, struct still_error *err)
{
	struct stat st;
	int rc = still_set_open_file(
	    pipe->transfer->set, pipe->file->file->path, &pipe->in, &st, err);

	if (rc < 0)
		return rc;
	if ((uint64_t) st.st_size != pipe->file->size_bytes)
		return changed(pipe, err);
	pipe->out = still_sys_create_beneath(pipe->transfer->to_fd,
	    pipe->file->to, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (pipe->out < 0)
		return write_failed(pipe, pipe->out, err);
	rc = reserve(pipe, err);
	if (rc == 0)
		rc = move_bytes(pipe, err);
	/* What is stopped is not whole, and is thrown away. */
	if (rc == 0 && still_ticker_stopped(pipe->transfer->ticker))
		return 0;
	if (rc == 0)
		rc = check_sum(pipe, err);
	return rc == 0 ? finish(pipe, err) : rc;
}

static int do_file(void *arg, size_t i, struct still_error *err)
{
	const struct still_transfer *transfer = arg;
	struct pipe pipe = {
	    .transfer = transfer,
	    .file = &transfer->files[i],
	    .in = -1,
	    .out = -1,
	    .piece = malloc(PIECE_BYTES),
	    .hash = still_hash_new(),
	};
	int rc;

	still_ticker_file(transfer->ticker, pipe.file->file->path);
	rc = pipe.hash && pipe.piece ? move_file(&pipe, err)
				     : still_error_nomem(err);
	if (rc == 0)
		still_ticker_count(transfer->ticker, 1, 0);
	still_hash_free(pipe.hash);
	free(pipe.piece);
	if (pipe.in >= 0)
		close(pipe.in);
	if (pipe.out >= 0)
		close(pipe.out);
	return rc;
}

/* ---- all of them --------------------------------------------------------- */

static int larger_first(const void *a, const void *b)
{
	const struct still_transfer_file *x = a;
	const struct still_transfer_file *y = b;

	if (x->size_bytes != y->size_bytes)
		return x->size_bytes < y->size_bytes ? 1 : -1;
	return strcmp(x->to, y->to);
}

int still_transfer_run(
    const struct still_transfer *transfer, struct still_error *err)
{
	unsigned n_threads = transfer->n_threads;

	/* They wait for the disk more than they compute. */
	if (n_threads == 0)
		n_threads = THREADS_DEFAULT;
	qsort(transfer->files, transfer->n_files, sizeof(transfer->files[0]),
	    larger_first);
	return still_crew_run(transfer->ticker, n_threads, transfer->n_files,
	    do_file, (void *) transfer, err);
}
