/* SPDX-License-Identifier: MIT */
/*
 * transfer: files of a set become files of a directory.
 *
 * Each is read once. What was read is digested and written, and at its end the
 * digest is compared with the set's list: what was written is what was listed, or
 * it is an error. Each is on the disk, with the owner, mode and times that it has
 * in the set, before it counts as done.
 *
 * Several threads take the files in turn, the largest first, so that none is
 * left with a large one at the end.
 */
#ifndef STILL_CORE_TRANSFER_H
#define STILL_CORE_TRANSFER_H

#include "core/set.h"
#include "core/ticker.h"

struct still_transfer_file {
	const struct still_set_file *file; /* borrowed from the set */
	const char *to; /* its path in the directory, which has its parent */
	uint64_t size_bytes;
};

struct still_transfer {
	const struct still_set *set;
	int to_fd;
	const char *to_path; /* for messages */
	struct still_ticker *ticker;
	unsigned n_threads;                /* 0: as many as are of use */
	struct still_transfer_file *files; /* will be sorted */
	size_t n_files;
};

/* Counts in the ticker, and ends soon when that is stopped, which a failure does
 * too. CORRUPT, CANCELLED, ACCESS, NOSPACE, IO, NOMEM. Blocks on the disk. */
int still_transfer_run(
    const struct still_transfer *transfer, struct still_error *err);

#endif
