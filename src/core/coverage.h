/* SPDX-License-Identifier: MIT */
/*
 * coverage: which bytes of a file were served.
 *
 * A sorted list of ranges that neither touch nor overlap. The list is bounded:
 * a reader that leaves more holes than it can hold is under-reported (a range
 * is forgotten, never invented), so "whole" is always true.
 *
 * Threads: the caller locks.
 */
#ifndef STILL_CORE_COVERAGE_H
#define STILL_CORE_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STILL_COVERAGE_RANGES_MAX 1024

struct still_range {
	uint64_t from_bytes;
	uint64_t to_bytes; /* one behind the last */
};

struct still_coverage {
	struct still_range *ranges; /* owned */
	size_t n;
	size_t capacity;
};

/* Add [from, to). Returns how many of these bytes are new in the list; 0 also
 * when there was no room for them. */
uint64_t still_coverage_add(
    struct still_coverage *coverage, uint64_t from_bytes, uint64_t to_bytes);

/* Is [0, size) in the list? True for an empty file. */
bool still_coverage_whole(
    const struct still_coverage *coverage, uint64_t size_bytes);

/* How many bytes the list has. */
uint64_t still_coverage_bytes(const struct still_coverage *coverage);

void still_coverage_release(struct still_coverage *coverage);

#endif
