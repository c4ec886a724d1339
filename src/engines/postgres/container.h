/* SPDX-License-Identifier: MIT */
/*
 * container: one big file without a name, in which captured files lie one behind
 * the other.
 *
 *  1. A capture begins at a multiple of the block size, at what was the end.
 *     What follows its last byte, up to the next one, is nobody's.
 *  2. A container is of clones or of copies.
 *  3. A clone shares the blocks of its source (FICLONERANGE), in steps of 8 MiB:
 *     while a step is made the source's writers wait, 20 to 30 ms for one of many
 *     extents, which for a file as a whole may be seconds. It writes nothing
 *     itself, and what it shares is never torn. The file may grow, shrink and be
 *     written to meanwhile: each step is of the file as it is then, none goes
 *     beyond the size at the beginning, and where the file is shorter the capture
 *     ends; that of a relation with a page.
 *  4. A copy is read and written in pieces of 1 MiB. Where it is a relation, the
 *     caller may look at each page and have it read again while it is torn.
 *     Each 64 KiB of a captured file have a digest, in memory, 8 bytes: a disk
 *     that took what it could not keep gives back zeros, and a page of zeros is a
 *     good page. So whatever is read is compared.
 *  5. With its last descriptor the file is gone.
 *  6. Clones cost nothing at first; but what the server overwrites is kept for
 *     their sake. Of the file system that they lie on they leave a twentieth, a
 *     GiB, or half of what was free at first, whichever is least: with less, its
 *     server might soon have none.
 *
 * Threads: one while it is added to, then any; what was captured may be read
 * while nothing is added.
 */
#ifndef POSTGRES_CONTAINER_H
#define POSTGRES_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/exclude.h"

#define STILL_PG_CLONE_STEP_BYTES (UINT64_C(8) << 20)
#define STILL_PG_COPY_PIECE_BYTES (UINT64_C(1) << 20)

/* A copied capture is aligned to this, and so are addresses, offsets and lengths
 * of what is read past the page cache. */
#define STILL_PG_COPY_ALIGN_BYTES 4096

/* What relations are written in. */
#define STILL_PG_CAPTURE_PAGE_BYTES UINT64_C(8192)

struct still_pg_container;

/* Where a capture lies. */
struct still_pg_extent {
	struct still_pg_container *container; /* NULL: it is empty */
	uint64_t off_bytes;
	uint64_t size_bytes;
	size_t digest; /* the first of a copy's */
};

/* What one capture asks of the one who makes it. */
struct still_pg_capturing {
	/* Called behind each step: bytes more are captured. False: stop. */
	bool (*tick)(void *arg, uint64_t bytes);
	/* Is this page, number `block` of the file, whole? NULL: not asked. */
	bool (*whole)(void *arg, const struct still_pg_relation *relation,
	    uint32_t block, const void *page);
	void *arg;
	const struct still_pg_relation *relation; /* NULL: it is none */
	/* Of a copy: 1 MiB, aligned, the caller's. */
	void *buffer;
};

/* One in `fd`, an empty file for reading and writing, which becomes its own on
 * success. 0 or -errno. */
int still_pg_container_new(
    int fd, bool clones, struct still_pg_container **ret);

/* Where the next capture would end that takes `size_bytes`. */
uint64_t still_pg_container_end(
    const struct still_pg_container *container, uint64_t size_bytes);

/*
 * Append up to `size_bytes` of `fd`. 0, or -errno, and then the container is as
 * before: -ECANCELED (tick said so); of a clone -EOPNOTSUPP, -EXDEV, -EINVAL,
 * -ENOTTY where these blocks cannot be shared, -ENOSPC. Blocks on the disk.
 */
int still_pg_container_clone(struct still_pg_container *container, int fd,
    uint64_t size_bytes, const struct still_pg_capturing *how,
    struct still_pg_extent *ret);

/* The same. `fd` may be open with O_DIRECT, which it may be without then. The
 * caller has asked for the room. */
int still_pg_container_copy(struct still_pg_container *container, int fd,
    uint64_t size_bytes, const struct still_pg_capturing *how,
    struct still_pg_extent *ret);

/* Bytes of a capture; the range lies inside. `name` is what messages call it.
 * CORRUPT where they are not what was copied, IO, NOMEM. Any thread. */
int still_pg_extent_read(const struct still_pg_extent *extent, const char *name,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err);

/* Has the file system of these clones less left than rule 6 says? Then also how
 * much that is. False where that cannot be found out. Any thread. */
bool still_pg_container_is_short(
    const struct still_pg_container *container, uint64_t *ret_free_bytes);

/* Accepts NULL. */
void still_pg_container_free(struct still_pg_container *container);

#endif
