/* SPDX-License-Identifier: MIT */
/*
 * digest: the XXH128 of one file while it is read in any order.
 *
 * A digest is sequential and reads are not. The state advances whenever a read
 * covers the frontier (the first byte that is not digested yet). A read that
 * begins a little behind it, as the second of two parallel read-aheads does,
 * first has the small gap read once more; that costs at most what the closing
 * pass would have read anyway. Everything else is left to that pass.
 *
 * Threads: any; one lock inside, held while a gap is read.
 */
#ifndef STILL_CORE_DIGEST_H
#define STILL_CORE_DIGEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

/* Read exactly `len` verified bytes; 0 or a negative code. */
typedef int still_fill_fn(void *arg, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err);

struct still_digest {
	pthread_mutex_t lock;
	uint64_t size_bytes;            /* constant */
	uint64_t frontier_bytes;        /* all before it is digested */
	struct still_hash_state *state; /* between first and last byte */
	struct still_hash128 value;     /* set with done */
	bool done;
	atomic_uint_fast64_t *total; /* borrowed; grows with the frontier */
};

void still_digest_init(struct still_digest *digest, uint64_t size_bytes,
    atomic_uint_fast64_t *total);

/* Bytes that were just read and verified. `fill` reads a gap, where that is
 * worth while; its failure leaves the digest where it was. */
void still_digest_feed(struct still_digest *digest, uint64_t off_bytes,
    const void *data, size_t len, still_fill_fn *fill, void *arg);

/* Read the rest through `fill`, in pieces, looking at `cancel` between them. */
int still_digest_complete(struct still_digest *digest, still_fill_fn *fill,
    void *arg, const atomic_bool *cancel, struct still_error *err);

void still_digest_release(struct still_digest *digest);

#endif
