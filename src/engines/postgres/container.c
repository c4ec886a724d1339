/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/container.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/ahead.h"
#include "base/hash.h"
#include "base/sys.h"

#define DIGEST_BYTES (UINT64_C(64) << 10)
#define PAGE_BYTES STILL_PG_CAPTURE_PAGE_BYTES

/* EINVAL is the answer for a file that was cut below a step at every look, and for
 * one that cannot be shared at all. The end of one that grows is left to the kernel
 * (settle()), and costs no try. All of them take a millisecond. */
#define CLONE_TRIES 1000

/* A page is written in microseconds, unless its writer has to wait for a
 * processor. So each look is twice as long after the one before, up to 128 ms; a
 * file whose pages are damaged does not hold us up for longer than 2 s. */
#define TORN_TRIES 8
#define TORN_PAUSE_NS (1000 * 1000)
#define TORN_BUDGET_NS (2 * STILL_NS_PER_S)

struct still_pg_container {
	int fd;
	bool clones;
	uint64_t floor_bytes; /* what clones leave */
	uint64_t block_bytes;
	uint64_t end_bytes;
	struct still_ahead ahead;
	/* Of copies, in the order in which they were made. */
	uint64_t *digests;
	size_t n_digests;
	size_t capacity;
};

#define FLOOR_BYTES (UINT64_C(1) << 30)
#define FLOOR_PART 20

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t floor_of(const struct statfs *fs)
{
	uint64_t unit = (uint64_t) fs->f_bsize;

	return least(least(FLOOR_BYTES, fs->f_blocks * unit / FLOOR_PART),
	    fs->f_bavail * unit / 2);
}

bool still_pg_container_is_short(
    const struct still_pg_container *container, uint64_t *ret_free_bytes)
{
	struct statfs fs;

	if (!container->clones || fstatfs(container->fd, &fs) != 0)
		return false;
	*ret_free_bytes = fs.f_bavail * (uint64_t) fs.f_bsize;
	return *ret_free_bytes < container->floor_bytes;
}

int still_pg_container_new(int fd, bool clones, struct still_pg_container **ret)
{
	struct still_pg_container *container;
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return -errno;
	container = calloc(1, sizeof(*container));
	if (!container)
		return -ENOMEM;
	container->fd = fd;
	container->clones = clones;
	container->floor_bytes = floor_of(&fs);
	container->block_bytes = clones && fs.f_bsize > 0
	    ? (uint64_t) fs.f_bsize
	    : STILL_PG_COPY_ALIGN_BYTES;
	*ret = container;
	return 0;
}

void still_pg_container_free(struct still_pg_container *container)
{
	if (!container)
		return;
	close(container->fd);
	free(container->digests);
	free(container);
}

static uint64_t aligned(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) / to * to;
}

uint64_t still_pg_container_end(
    const struct still_pg_container *container, uint64_t size_bytes)
{
	return aligned(container->end_bytes, container->block_bytes) +
	    aligned(size_bytes, container->block_bytes);
}

/* Whatever was appended is the capture's from here on. */
static void close_extent(struct still_pg_container *container,
    struct still_pg_extent *extent, struct still_pg_extent *ret)
{
	container->end_bytes = extent->off_bytes + extent->size_bytes;
	if (extent->size_bytes == 0)
		extent->container = NULL;
	*ret = *extent;
}

static struct still_pg_extent open_extent(struct still_pg_container *container)
{
	return (struct still_pg_extent){
	    .container = container,
	    .off_bytes = still_pg_container_end(container, 0),
	    .digest = container->n_digests,
	};
}

/* What was appended to no purpose gives its blocks back. */
static int undo(struct still_pg_container *container,
    const struct still_pg_extent *extent, int rc)
{
	/* Should that fail, the next capture is written over it. */
	(void) !ftruncate(container->fd, (off_t) container->end_bytes);
	container->n_digests = extent->digest;
	return rc;
}

/* ---- clones -------------------------------------------------------------- */

struct cloning {
	struct still_pg_container *container;
	int fd;
	uint64_t dest_bytes; /* where the capture begins */
	uint64_t size_bytes; /* of which so much is wanted */
};

/* The length of the next step: whole blocks, or, where the file as it is now ends
 * within the last of them, up to there. 0: it ends here. */
static int step_bytes(
    struct cloning *cloning, uint64_t done, uint64_t *ret_bytes)
{
	uint64_t step = aligned(
	    STILL_PG_CLONE_STEP_BYTES, cloning->container->block_bytes);
	struct stat st;
	int rc;

	*ret_bytes = step;
	if (cloning->size_bytes - done > step)
		return 0;
	rc = still_sys_fstat(cloning->fd, &st);
	if (rc < 0)
		return rc;
	if ((uint64_t) st.st_size < cloning->size_bytes)
		cloning->size_bytes = (uint64_t) st.st_size;
	if (cloning->size_bytes <= done) {
		*ret_bytes = 0;
		return 0;
	}
	step = aligned(
	    cloning->size_bytes - done, cloning->container->block_bytes);
	if (step > (uint64_t) st.st_size - done)
		step = (uint64_t) st.st_size - done;
	*ret_bytes = step;
	return 0;
}

/* The same question where a long step went beyond an end that was far. */
static int shorten(struct cloning *cloning)
{
	struct stat st;
	int rc = still_sys_fstat(cloning->fd, &st);

	if (rc == 0 && (uint64_t) st.st_size < cloning->size_bytes)
		cloning->size_bytes = (uint64_t) st.st_size;
	return rc;
}

/* A step that ends within a block must end where the file does. That may be
 * elsewhere by now, so the end was left to the kernel: how much came of it? What
 * is behind the wanted end goes; `*step` is what is of use. */
static int settle(struct cloning *cloning, uint64_t done, uint64_t *step)
{
	const struct still_pg_container *container = cloning->container;
	uint64_t begin = cloning->dest_bytes + done;
	uint64_t max = aligned(
	    cloning->dest_bytes + cloning->size_bytes, container->block_bytes);
	struct stat st;
	int rc = still_sys_fstat(container->fd, &st);

	if (rc < 0)
		return rc;
	if ((uint64_t) st.st_size > max &&
	    ftruncate(container->fd, (off_t) max) != 0)
		return -errno;
	*step = (uint64_t) st.st_size > begin ? (uint64_t) st.st_size - begin
					      : 0;
	if (*step < cloning->size_bytes - done)
		cloning->size_bytes = done + *step;
	return 0;
}

static int clone_steps(struct cloning *cloning,
    const struct still_pg_capturing *how, uint64_t *done)
{
	int tries = 0;

	while (*done < cloning->size_bytes) {
		struct file_clone_range range = {
		    .src_fd = cloning->fd,
		    .src_offset = *done,
		    .dest_offset = cloning->dest_bytes + *done,
		};
		uint64_t step;
		int rc = step_bytes(cloning, *done, &step);

		if (rc < 0 || step == 0)
			return rc;
		if (step % cloning->container->block_bytes == 0)
			range.src_length = step;
		if (ioctl(cloning->container->fd, FICLONERANGE, &range) != 0) {
			rc = -errno;
			if (rc != -EINTR &&
			    (rc != -EINVAL || ++tries == CLONE_TRIES))
				return rc;
			rc = shorten(cloning);
			if (rc < 0)
				return rc;
			continue;
		}
		if (range.src_length == 0) {
			rc = settle(cloning, *done, &step);
			if (rc < 0)
				return rc;
		}
		if (step > cloning->size_bytes - *done)
			step = cloning->size_bytes - *done;
		*done += step;
		if (!how->tick(how->arg, step))
			return -ECANCELED;
	}
	return 0;
}

int still_pg_container_clone(struct still_pg_container *container, int fd,
    uint64_t size_bytes, const struct still_pg_capturing *how,
    struct still_pg_extent *ret)
{
	struct still_pg_extent extent = open_extent(container);
	struct cloning cloning = {
	    .container = container,
	    .fd = fd,
	    .dest_bytes = extent.off_bytes,
	    .size_bytes = size_bytes,
	};
	int rc;

	assert(container->clones);
	rc = clone_steps(&cloning, how, &extent.size_bytes);
	if (rc < 0)
		return undo(container, &extent, rc);
	/* It was cut meanwhile, and is growing again. */
	if (how->relation && extent.size_bytes < size_bytes)
		extent.size_bytes -= extent.size_bytes % PAGE_BYTES;
	close_extent(container, &extent, ret);
	return 0;
}

/* ---- copies -------------------------------------------------------------- */

static int keep_digests(
    struct still_pg_container *container, const uint8_t *data, size_t len)
{
	size_t n = (len + DIGEST_BYTES - 1) / DIGEST_BYTES;

	if (container->n_digests + n > container->capacity) {
		size_t capacity = 2 * (container->n_digests + n) + 64;
		uint64_t *grown = realloc(
		    container->digests, capacity * sizeof(*container->digests));

		if (!grown)
			return -ENOMEM;
		container->digests = grown;
		container->capacity = capacity;
	}
	while (len > 0) {
		size_t some = len < DIGEST_BYTES ? len : (size_t) DIGEST_BYTES;

		container->digests[container->n_digests++] = still_hash64(
		    data, some);
		data += some;
		len -= some;
	}
	return 0;
}

/* Read one page again until it is whole, or as good as it gets. False: the file
 * ends before it by now. */
static bool mend_page(int fd, const struct still_pg_capturing *how,
    uint64_t off_bytes, uint8_t *page, int64_t *budget_ns)
{
	uint32_t block = (uint32_t) (off_bytes / PAGE_BYTES);
	int64_t pause_ns = TORN_PAUSE_NS;

	for (int i = 0; i<TORN_TRIES && * budget_ns> 0; i++) {
		ssize_t n;

		if (how->whole(how->arg, how->relation, block, page))
			break;
		still_sys_sleep_ns(pause_ns);
		*budget_ns -= pause_ns;
		pause_ns *= 2;
		n = still_sys_pread(fd, page, PAGE_BYTES, off_bytes);
		if (n >= 0 && n < (ssize_t) PAGE_BYTES)
			return false;
		if (n < 0)
			break;
	}
	return true;
}

/* The pages that were caught while they were written; returns how much is left.
 * What is not whole then is left as it is, to be judged by who serves it. But
 * where the file ends before such a page by now, so does the capture: WAL tells
 * of that. */
static size_t mend_pages(int fd, const struct still_pg_capturing *how,
    uint64_t off_bytes, uint8_t *data, size_t len, int64_t *budget_ns)
{
	for (size_t at = 0; at + PAGE_BYTES <= len; at += PAGE_BYTES)
		if (!mend_page(fd, how, off_bytes + at, data + at, budget_ns))
			return at;
	return len;
}

/* Past the page cache go whole blocks only. */
static int read_piece(int fd, void *data, size_t len, uint64_t off_bytes)
{
	int flags = fcntl(fd, F_GETFL);
	ssize_t n;

	if (flags >= 0 && (flags & O_DIRECT) && len % STILL_PG_COPY_ALIGN_BYTES)
		(void) fcntl(fd, F_SETFL, flags & ~O_DIRECT);
	n = still_sys_pread(fd, data, len, off_bytes);
	if (n != -EINVAL || flags < 0 || !(flags & O_DIRECT))
		return (int) n;
	/* The end of the file came nearer, or the disk wants more of it. */
	(void) fcntl(fd, F_SETFL, flags & ~O_DIRECT);
	return (int) still_sys_pread(fd, data, len, off_bytes);
}

static int copy_pieces(struct still_pg_container *container, int fd,
    uint64_t size_bytes, const struct still_pg_capturing *how,
    struct still_pg_extent *extent)
{
	uint64_t *done = &extent->size_bytes;
	int64_t budget_ns = TORN_BUDGET_NS;

	while (*done < size_bytes) {
		uint64_t left = size_bytes - *done;
		size_t want = left < STILL_PG_COPY_PIECE_BYTES
		    ? (size_t) left
		    : (size_t) STILL_PG_COPY_PIECE_BYTES;
		int n = read_piece(fd, how->buffer, want, *done);
		int rc;

		if (n <= 0)
			return n;
		/* It was cut meanwhile, and is growing again. */
		if ((size_t) n < want && how->relation)
			n -= n % (int) PAGE_BYTES;
		if (how->whole && how->relation)
			n = (int) mend_pages(fd, how, *done, how->buffer,
			    (size_t) n, &budget_ns);
		if (n == 0)
			return 0;
		rc = keep_digests(container, how->buffer, (size_t) n);
		if (rc == 0)
			rc = still_sys_pwrite(container->fd, how->buffer,
			    (size_t) n, extent->off_bytes + *done);
		if (rc < 0)
			return rc;
		*done += (uint64_t) n;
		if (!how->tick(how->arg, (uint64_t) n))
			return -ECANCELED;
		if ((size_t) n < want)
			break;
	}
	return 0;
}

int still_pg_container_copy(struct still_pg_container *container, int fd,
    uint64_t size_bytes, const struct still_pg_capturing *how,
    struct still_pg_extent *ret)
{
	struct still_pg_extent extent = open_extent(container);
	int rc;

	assert(!container->clones);
	rc = copy_pieces(container, fd, size_bytes, how, &extent);
	if (rc < 0)
		return undo(container, &extent, rc);
	close_extent(container, &extent, ret);
	return 0;
}

/* ---- reading ------------------------------------------------------------- */

static int read_at(const struct still_pg_extent *extent, const char *name,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	ssize_t n = still_sys_pread(
	    extent->container->fd, data, len, extent->off_bytes + off_bytes);

	if (n < 0)
		return still_error_sys(err, (int) -n,
		    "The disk of the private copies failed; see the kernel "
		    "log, or name another directory with `spool=`.",
		    "private copy of `%s`", name);
	if ((size_t) n != len)
		return still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "Look for what shortens files without a name; see the "
		    "kernel log.",
		    "private copy of `%s`: is cut short", name);
	return 0;
}

/* One stretch that has a digest, into `unit`. */
static int read_unit(const struct still_pg_extent *extent, const char *name,
    uint64_t i, void *unit, size_t len, struct still_error *err)
{
	const uint64_t *digests = extent->container->digests + extent->digest;
	int rc = read_at(extent, name, i * DIGEST_BYTES, unit, len, err);

	if (rc < 0 || still_hash64(unit, len) == digests[i])
		return rc;
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "The disk of the private copies does not keep what it took; see "
	    "the kernel log, or name another directory with `spool=`.",
	    "private copy of `%s`: changed since it was made", name);
}

static int read_units(const struct still_pg_extent *extent, const char *name,
    uint64_t off_bytes, uint8_t *data, size_t len, struct still_error *err)
{
	uint8_t *bounce = NULL;
	int rc = 0;

	while (rc == 0 && len > 0) {
		uint64_t i = off_bytes / DIGEST_BYTES;
		uint64_t left = extent->size_bytes - i * DIGEST_BYTES;
		size_t unit = left < DIGEST_BYTES ? (size_t) left
						  : (size_t) DIGEST_BYTES;
		size_t skip = (size_t) (off_bytes % DIGEST_BYTES);
		size_t some = len < unit - skip ? len : unit - skip;

		if (some == unit) {
			rc = read_unit(extent, name, i, data, unit, err);
		} else {
			if (!bounce)
				bounce = malloc(DIGEST_BYTES);
			rc = bounce
			    ? read_unit(extent, name, i, bounce, unit, err)
			    : still_error_nomem(err);
			if (rc == 0)
				memcpy(data, bounce + skip, some);
		}
		off_bytes += some;
		data += some;
		len -= some;
	}
	free(bounce);
	return rc;
}

int still_pg_extent_read(const struct still_pg_extent *extent, const char *name,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	assert(off_bytes <= extent->size_bytes &&
	    len <= extent->size_bytes - off_bytes);
	if (len == 0)
		return 0;
	still_ahead_of(&extent->container->ahead, extent->container->fd,
	    extent->off_bytes + off_bytes, len);
	if (extent->container->clones)
		return read_at(extent, name, off_bytes, data, len, err);
	return read_units(extent, name, off_bytes, data, len, err);
}
