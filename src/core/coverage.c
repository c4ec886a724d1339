/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/coverage.h"

#include <stdlib.h>
#include <string.h>

/* The first range that ends at or behind `from`. */
static size_t lower_bound(const struct still_coverage *coverage, uint64_t from)
{
	size_t low = 0;
	size_t high = coverage->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (coverage->ranges[mid].to_bytes < from)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool make_room(struct still_coverage *coverage)
{
	size_t capacity = coverage->capacity ? 2 * coverage->capacity : 4;
	struct still_range *grown;

	if (coverage->n < coverage->capacity)
		return true;
	if (coverage->n == STILL_COVERAGE_RANGES_MAX)
		return false;
	if (capacity > STILL_COVERAGE_RANGES_MAX)
		capacity = STILL_COVERAGE_RANGES_MAX;
	grown = realloc(coverage->ranges, capacity * sizeof(*grown));
	if (!grown)
		return false;
	coverage->ranges = grown;
	coverage->capacity = capacity;
	return true;
}

uint64_t still_coverage_add(
    struct still_coverage *coverage, uint64_t from, uint64_t to)
{
	size_t first = lower_bound(coverage, from);
	size_t last = first; /* one behind the ranges that are swallowed */
	uint64_t fresh = to - from;
	struct still_range merged = {from, to};
	struct still_range *r = coverage->ranges;

	if (from >= to)
		return 0;
	for (; last < coverage->n && r[last].from_bytes <= to; last++) {
		uint64_t low = from > r[last].from_bytes ? from
							 : r[last].from_bytes;
		uint64_t high = to < r[last].to_bytes ? to : r[last].to_bytes;

		fresh -= high > low ? high - low : 0;
		if (r[last].from_bytes < merged.from_bytes)
			merged.from_bytes = r[last].from_bytes;
		if (r[last].to_bytes > merged.to_bytes)
			merged.to_bytes = r[last].to_bytes;
	}
	if (first == last) {
		if (!make_room(coverage))
			return 0;
		r = coverage->ranges;
		memmove(r + first + 1, r + first,
		    (coverage->n - first) * sizeof(*r));
		coverage->n++;
	} else {
		memmove(
		    r + first + 1, r + last, (coverage->n - last) * sizeof(*r));
		coverage->n -= last - first - 1;
	}
	r[first] = merged;
	return fresh;
}

bool still_coverage_whole(
    const struct still_coverage *coverage, uint64_t size_bytes)
{
	if (size_bytes == 0)
		return true;
	return coverage->n > 0 && coverage->ranges[0].from_bytes == 0 &&
	    coverage->ranges[0].to_bytes >= size_bytes;
}

uint64_t still_coverage_bytes(const struct still_coverage *coverage)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < coverage->n; i++)
		bytes += coverage->ranges[i].to_bytes -
		    coverage->ranges[i].from_bytes;
	return bytes;
}

void still_coverage_release(struct still_coverage *coverage)
{
	free(coverage->ranges);
	memset(coverage, 0, sizeof(*coverage));
}
