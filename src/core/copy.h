/* SPDX-License-Identifier: MIT */
/*
 * copy: writes what an origin shows (still_set.h) into an empty directory, and
 * makes sure that it is there. Three steps, in this order:
 *
 *	write   directories, then files, by several threads; the seal last
 *	sync    owner, mode and times of each; then all of it to the disk, and
 *	        out of the memory
 *	check   read back, and compare with the list that the seal is; then the
 *	        owner, mode and times of the directory itself
 *
 * Up to there that directory is ours, and nobody else comes in: the files in it
 * have owners by then who could exchange them while they are read back.
 *
 * THE QUEUE. Files go in the order of the entries, in pieces. Threads take the
 * next piece, of whatever file: so one big file is read by all of them, and yet
 * in order but for a few pieces, which is what a digest needs that is made while
 * it is read (core/digest.h): what is in flight spans no more than the gap for
 * which that waits.
 *
 * Each piece opens its file anew, which costs little beside a piece, and there is
 * no descriptor to share.
 *
 * THE CHECK trusts the list (set.h) no further than that its every line is right
 * and that it names each file once. That the list itself is what the origin gave is
 * seen by its own sum, taken when it was read.
 *
 * Threads: one calls; entries are constant meanwhile.
 */
#ifndef STILL_CORE_COPY_H
#define STILL_CORE_COPY_H

#include <stdatomic.h>

#include "base/hash.h"
#include "core/ticker.h"
#include "still_set.h"

struct still_copy {
	const struct still_origin *origin;
	const struct still_entry *entries;
	uint32_t n;
	int dirfd;        /* of the directory to write in; borrowed */
	const char *path; /* of the same, for messages; borrowed */
	struct still_ticker *ticker;
	unsigned n_threads; /* 0: as many as are of use */

	uint64_t files; /* set by still_copy_init(), as is the next */
	uint64_t bytes;
	struct still_hash128 seal_sum; /* set by write */
	atomic_int_fast64_t looked_ns; /* when the origin was asked last */
};

/* INVALID when the entries are not what they should be: they may come from
 * another process. */
int still_copy_init(struct still_copy *copy, struct still_error *err);

/* Each tells its phase, stops with CANCELLED when the caller's flag is raised,
 * and asks the origin each second whether it is alive. Blocks. */
int still_copy_write(struct still_copy *copy, struct still_error *err);
int still_copy_sync(struct still_copy *copy, struct still_error *err);
int still_copy_check(struct still_copy *copy, struct still_error *err);

#endif
