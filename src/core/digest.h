/* SPDX-License-Identifier: MIT */
/*
 * digest: the XXH128 of one file, and where they are wanted its CRC-32C and the
 * XXH3-64 of each of its pages, while it is read in any order.
 *
 * A digest is sequential and reads are not. The state advances whenever a read
 * covers the frontier (the first byte that is not digested yet). Of two parallel
 * read-aheads, the second may be done first: a read that ends a little behind
 * the frontier waits for the one that is at it. Where nobody is, the small gap
 * is read once more; that costs at most what the closing pass would have read
 * anyway. Everything else is left to that pass.
 *
 * A read is begun, fed and ended by one thread, and ended whatever happens:
 * others may wait for it. Who is at the frontier waits for nobody, and so no
 * two wait for each other.
 *
 * Threads: any; one lock inside, held while bytes are digested and while a gap
 * is read, but not while the closing pass reads.
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

/* A read under way. */
struct still_digest_read {
	uint64_t from_bytes;
	uint64_t to_bytes; /* one behind the last */
	struct still_digest_read *next;
};

struct still_digest {
	pthread_mutex_t lock;
	pthread_cond_t ended; /* a read has ended */
	struct still_digest_read
	    *reads;              /* under way; on their threads' stacks */
	uint64_t size_bytes;     /* constant */
	uint64_t frontier_bytes; /* all before it is digested */
	struct still_hash_state *state;  /* between first and last byte */
	struct still_hash128 value;      /* set with done */
	bool with_crc;                   /* constant */
	uint32_t crc;                    /* likewise, if it is wanted */
	uint32_t page_bytes;             /* 0: no sums of pages; constant */
	uint64_t *sums;                  /* borrowed; one per page */
	struct still_hash64_state *page; /* of one that came in parts */
	bool done;
	atomic_uint_fast64_t *total; /* borrowed; grows with the frontier */
};

void still_digest_init(struct still_digest *digest, uint64_t size_bytes,
    bool with_crc, atomic_uint_fast64_t *total);

/* Before the first read: the sum of each page is put into `sums`, which has room
 * for all and outlives the digest; the last page may be shorter. They are whole
 * when the digest is done. */
void still_digest_want_pages(
    struct still_digest *digest, uint32_t page_bytes, uint64_t *sums);

/* Before the first byte of a read. `read` stays where it is until its end. */
void still_digest_begin(struct still_digest *digest,
    struct still_digest_read *read, uint64_t off_bytes, size_t len);

/* The first `len` bytes of the read stand in `data`, verified. Waits for
 * nobody. May be left out, and be called again when there are more. */
void still_digest_feed(struct still_digest *digest,
    const struct still_digest_read *read, const void *data, size_t len);

/* Likewise, and there will be no more; fewer than were announced when the rest
 * could not be read. Waits for reads that are before this one, if they are
 * near. `fill` reads a gap, where that is worth while; its failure leaves the
 * digest where it was. */
void still_digest_end(struct still_digest *digest,
    struct still_digest_read *read, const void *data, size_t len,
    still_fill_fn *fill, void *arg);

/* Read the rest through `fill`, in pieces, looking at `cancel` between them. */
int still_digest_complete(struct still_digest *digest, still_fill_fn *fill,
    void *arg, const atomic_bool *cancel, struct still_error *err);

void still_digest_release(struct still_digest *digest);

#endif
