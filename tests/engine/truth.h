/* SPDX-License-Identifier: MIT */
/*
 * truth: an image as it was read once, whole, while nothing moved its pin; and
 * threads that read the image again and again from then on, and compare.
 *
 * A byte that differs, or a read that fails, ends the program at once, with
 * EXIT_FAILURE, and is told: where it lies, and what to repeat the run with.
 *
 * Threads: taken and released by one; the rest from any.
 */
#ifndef TESTS_ENGINE_TRUTH_H
#define TESTS_ENGINE_TRUTH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "engines/sqlite/image.h"

struct truth {
	struct sqlite_image *image; /* borrowed */
	unsigned char *bytes;       /* owned */
	uint64_t len_bytes;
};

/* Read it, and let SQLite look at it: its structure must be whole, and the sum
 * of the accounts (ledger.h) exact, or the program ends. */
void truth_take(struct truth *truth, struct sqlite_image *image);
void truth_release(struct truth *truth);

/* Read and compare all of it, `chunk_bytes` at a time. */
void truth_compare(const struct truth *truth, size_t chunk_bytes);

/* As above, but come back: true, or false and what is wrong in `text`. */
bool truth_holds(
    const struct truth *truth, size_t chunk_bytes, char *text, size_t len);

struct truth_reader {
	pthread_t thread;
	const struct truth *truths; /* borrowed */
	size_t n;
	uint64_t seed;
	const atomic_bool *stop;       /* borrowed */
	atomic_uint_fast64_t n_pages;  /* compared */
	atomic_uint_fast64_t n_images; /* of these, whole ones */
};

/* Until `*stop`: whole images, ranges that begin and end anywhere. */
void truth_reader_start(struct truth_reader *reader, const struct truth *truths,
    size_t n, uint64_t seed, const atomic_bool *stop);
void truth_reader_join(struct truth_reader *reader);

/* What stands in front of each complaint: how to repeat the run. Set before
 * there are threads. */
extern const char *truth_repeat;

/* How often pins were moved so far; for complaints. */
extern atomic_uint_fast64_t truth_n_moves;

#endif
