/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/bits.h"

#include <stdlib.h>

_Atomic uint64_t *sqlite_bits_new(uint64_t n)
{
	return calloc((size_t) ((n + 63) / 64), sizeof(_Atomic uint64_t));
}

bool sqlite_bits_has(const _Atomic uint64_t *bits, uint64_t at)
{
	return atomic_load_explicit(&bits[at / 64], memory_order_acquire) >>
	    at % 64 &
	    1;
}

bool sqlite_bits_set(_Atomic uint64_t *bits, uint64_t at)
{
	uint64_t bit = UINT64_C(1) << at % 64;

	return atomic_fetch_or_explicit(
		   &bits[at / 64], bit, memory_order_acq_rel) &
	    bit;
}

uint64_t sqlite_bits_count(const _Atomic uint64_t *bits, uint64_t n)
{
	uint64_t set = 0;

	for (uint64_t i = 0; i < (n + 63) / 64; i++)
		set += (unsigned) __builtin_popcountll(
		    atomic_load_explicit(&bits[i], memory_order_relaxed));
	return set;
}

uint64_t sqlite_bits_run(
    const _Atomic uint64_t *bits, uint64_t at, uint64_t max)
{
	bool set = false;
	uint64_t n = 0;

	while (n < max) {
		unsigned shift = (at + n) % 64;
		uint64_t word = atomic_load_explicit(
		    &bits[(at + n) / 64], memory_order_acquire);
		uint64_t others;

		/* By the same look as its neighbours: a bit that is set between
		 * two looks would be a run of nothing. */
		if (n == 0)
			set = word >> shift & 1;
		others = (set ? ~word : word) >> shift;
		if (others) {
			n += (unsigned) __builtin_ctzll(others);
			break;
		}
		n += 64 - shift;
	}
	return n < max ? n : max;
}
