/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/private.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

/* What is copied at once: some of what pieces.h calls pieces. */
#define BATCH_BYTES (16 * SQLITE_PIECE_BYTES)

/* What is copied a second time to learn the speed. */
#define SAMPLE_BYTES (UINT64_C(64) * 1024 * 1024)

/* Below, a copy is over before a clone has flushed what is not yet on disk. */
#define CLONE_MIN_BYTES (UINT64_C(32) * 1024 * 1024)
#define CLONE_NS_PER_EXTENT 50000
#define PROBE_BYTES 65536      /* whole blocks, whatever their size */
#define COPY_BYTES_PER_US 1000 /* in the page cache, roughly */

static int failed(int sys_errno, const char *rel, struct still_error *err)
{
	return still_error_sys(err, sys_errno,
	    "The private copy of a database with a rollback journal is kept "
	    "in the directory that `spool` names.",
	    "private copy of `%s`", rel);
}

static int check_cancel(
    const atomic_bool *cancel, const char *rel, struct still_error *err)
{
	if (!atomic_load(cancel))
		return 0;
	return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
	    "private copy of `%s`: was stopped", rel);
}

struct copy {
	struct sqlite_private *private;
	int source_fd;
	const char *rel;
	int64_t deadline_ns; /* 0: none */
	const atomic_bool *cancel;
	void *batch;
};

static int too_late(const struct copy *copy, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_AGAIN, 0,
	    "Its writers are not held off for longer: raise `stall_ms`, or "
	    "let `spool` name a directory of the same XFS or btrfs, where a "
	    "copy takes no time.",
	    "database `%s`: its private copy took longer than `stall_ms`",
	    copy->rel);
}

/* [0, size) of the source; fewer bytes are no failure here. */
static int copy_bytes(const struct copy *copy, uint64_t size_bytes,
    uint64_t *ret_copied, struct still_error *err)
{
	uint64_t off = 0;
	int rc = 0;

	while (rc == 0 && off < size_bytes) {
		size_t len = size_bytes - off < BATCH_BYTES
		    ? (size_t) (size_bytes - off)
		    : BATCH_BYTES;
		ssize_t n = still_sys_pread(
		    copy->source_fd, copy->batch, len, off);

		if (n < 0)
			return failed((int) -n, copy->rel, err);
		if (n == 0)
			break;
		rc = still_sys_pwrite(
		    copy->private->fd, copy->batch, (size_t) n, off);
		if (rc < 0)
			return failed(-rc, copy->rel, err);
		sqlite_pieces_note(
		    &copy->private->pieces, off, copy->batch, (size_t) n);
		off += (uint64_t) n;
		rc = check_cancel(copy->cancel, copy->rel, err);
		if (rc == 0 && copy->deadline_ns && off < size_bytes &&
		    still_sys_monotonic_ns() > copy->deadline_ns)
			rc = too_late(copy, err);
	}
	*ret_copied = off;
	return rc;
}

static int with_batch(struct copy *copy, uint64_t size_bytes,
    uint64_t *ret_copied, struct still_error *err)
{
	int rc = sqlite_pieces_init(
	    &copy->private->pieces, copy->private->fd, size_bytes, err);

	*ret_copied = 0;
	if (rc < 0)
		return rc;
	if (posix_memalign(&copy->batch, 4096, BATCH_BYTES) != 0)
		return still_error_nomem(err);
	rc = copy_bytes(copy, size_bytes, ret_copied, err);
	free(copy->batch);
	return rc;
}

/* ---- clones -------------------------------------------------------------- */

static bool clone_pays(int source_fd, uint64_t size_bytes)
{
	struct fiemap map = {.fm_length = FIEMAP_MAX_OFFSET};

	if (size_bytes < CLONE_MIN_BYTES ||
	    ioctl(source_fd, FS_IOC_FIEMAP, &map) != 0)
		return false;
	return (uint64_t) map.fm_mapped_extents * CLONE_NS_PER_EXTENT <
	    size_bytes / COPY_BYTES_PER_US * 1000 / 2;
}

/* Some blocks tell whether all of them can be shared. */
static bool can_clone(const struct sqlite_private *private, int source_fd)
{
	struct file_clone_range some = {
	    .src_fd = source_fd,
	    .src_length = PROBE_BYTES,
	};

	return ioctl(private->fd, FICLONERANGE, &some) == 0;
}

/* What the application has written but the disk has not would be flushed by
 * the clone, under the lock: so it is flushed before. Only then: it is the
 * application's disk that is kept busy by it. */
static bool try_clone(struct sqlite_private *private, int source_fd)
{
	int64_t start_ns;

	if (!can_clone(private, source_fd) || fdatasync(source_fd) != 0)
		return false;
	start_ns = still_sys_monotonic_ns();
	if (ioctl(private->fd, FICLONE, source_fd) != 0)
		return false;
	private->stall_ns = still_sys_monotonic_ns() - start_ns;
	return true;
}

/* ---- the two steps ------------------------------------------------------- */

static int measure(
    struct copy *copy, uint64_t size_bytes, struct still_error *err)
{
	uint64_t sample = size_bytes < SAMPLE_BYTES ? size_bytes : SAMPLE_BYTES;
	uint64_t copied = 0;
	int64_t start_ns;
	int rc = with_batch(copy, size_bytes, &copied, err);

	if (rc < 0)
		return rc;
	start_ns = still_sys_monotonic_ns();
	rc = with_batch(copy, sample, &copied, err);
	if (rc == 0 && sample > 0)
		copy->private->stall_ns =
		    (int64_t) ((double) (still_sys_monotonic_ns() - start_ns) *
			((double) size_bytes / (double) sample));
	return rc;
}

static int open_spool(struct sqlite_private *private, const char *rel,
    const struct still_spool *spool, uint64_t bytes, struct still_error *err)
{
	int rc = spool->open(spool->arg, rel, bytes, &private->fd, err);

	private->no_spool = rc < 0;
	private->spool = *spool;
	private->taken_bytes = rc == 0 ? bytes : 0;
	return rc;
}

int sqlite_private_prepare(struct sqlite_private *private, int source_fd,
    const char *rel, const struct still_spool *spool, const atomic_bool *cancel,
    struct still_error *err)
{
	struct copy copy = {private, source_fd, rel, 0, cancel, NULL};
	struct stat st;
	int rc = still_sys_fstat(source_fd, &st);

	*private = (struct sqlite_private) SQLITE_PRIVATE_INIT;
	if (rc < 0)
		return failed(-rc, rel, err);
	if (clone_pays(source_fd, (uint64_t) st.st_size)) {
		/* A clone takes no room. */
		rc = open_spool(private, rel, spool, 0, err);
		if (rc == 0)
		private->clone = try_clone(private, source_fd);
		if (rc == 0 && !private->clone)
			sqlite_private_release(private);
	}
	if (rc == 0 && !private->clone)
		rc = open_spool(
		    private, rel, spool, (uint64_t) st.st_size, err);
	if (rc == 0 && !private->clone)
		rc = measure(&copy, (uint64_t) st.st_size, err);
	if (rc < 0)
		sqlite_private_release(private);
	return rc;
}

/* A disk that fails here fails the clone too, which tells of it. */
void sqlite_private_flush(const struct sqlite_private *private, int source_fd)
{
	if (private->clone)
		(void) fdatasync(source_fd);
}

int sqlite_private_take(struct sqlite_private *private, int source_fd,
    const char *rel, int64_t deadline_ns, const atomic_bool *cancel,
    struct still_error *err)
{
	struct copy copy = {private, source_fd, rel, deadline_ns, cancel, NULL};
	int64_t start_ns = still_sys_monotonic_ns();
	uint64_t copied = 0;
	struct stat st;
	int rc = still_sys_fstat(source_fd, &st);

	if (rc < 0)
		return failed(-rc, rel, err);
	private->source_st = st;
	private->size_bytes = (uint64_t) st.st_size;
	if (private->clone) {
		if (ioctl(private->fd, FICLONE, source_fd) != 0)
			return failed(errno, rel, err);
	} else {
		rc = with_batch(&copy, private->size_bytes, &copied, err);
		/* Nobody may write it now; but a disk may fail. */
		if (rc == 0 && copied != private->size_bytes)
			rc = failed(EIO, rel, err);
	}
	/* What was copied before may have been longer, and is not the
	 * database's. */
	if (rc == 0 && ftruncate(private->fd, st.st_size) != 0)
		rc = failed(errno, rel, err);
	private->stall_ns = still_sys_monotonic_ns() - start_ns;
	return rc;
}

/* ---- reading ------------------------------------------------------------- */

ssize_t sqlite_private_read(const struct sqlite_private *private,
    const char *rel, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err)
{
	const uint64_t size = private->size_bytes;
	ssize_t n;
	int rc;

	if (!private->pieces.digests) {
		n = still_sys_pread(private->fd, data, len, off_bytes);
		if (n >= 0)
			return n;
		return still_error_sys(err, (int) -n, SQLITE_PIECES_IO_HINT,
		    "private copy of `%s`", rel);
	}
	if (off_bytes >= size)
		return 0;
	if (len > size - off_bytes)
		len = (size_t) (size - off_bytes);
	rc = sqlite_pieces_read(
	    &private->pieces, rel, off_bytes, data, len, err);
	return rc < 0 ? rc : (ssize_t) len;
}

void sqlite_private_release(struct sqlite_private *private)
{
	if (private->fd >= 0) {
		close(private->fd);
		private->spool.give(private->spool.arg, private->taken_bytes);
	}
	sqlite_pieces_release(&private->pieces);
	private->fd = -1;
}
