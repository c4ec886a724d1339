/* SPDX-License-Identifier: MIT */
/*
 * checksum: the running checksum of SQLite's log, fast.
 *
 * Over 32-bit words x0 x1 x2 ... (an even number of them):
 *	s0 += x[2i] + s1;  s1 += x[2i+1] + s0
 *
 * Each word waits for the one before it, and that makes the sum slow. But it is
 * linear: with F the Fibonacci numbers, F(0) = 0, all modulo 2^32, N words give
 *	s0' = sum F(N-1-j) x[j] + F(N-1) s0 + F(N) s1
 *	s1' = sum F(N-j)   x[j] + F(N)   s0 + F(N+1) s1
 * two dot products with a constant table, which vectors make in any order.
 *
 * Pure functions; any thread.
 */
#ifndef SQLITE_CHECKSUM_H
#define SQLITE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite_checksum {
	uint32_t s0, s1;
};

/* Continue `sum` over `len` bytes, a multiple of 8, by the fastest way that
 * this machine has. `data` need not be aligned. */
struct sqlite_checksum sqlite_checksum_add(
    struct sqlite_checksum sum, bool big_endian, const void *data, size_t len);

static inline bool sqlite_checksum_equal(
    struct sqlite_checksum a, struct sqlite_checksum b)
{
	return a.s0 == b.s0 && a.s1 == b.s1;
}

/* The ways, slowest first, so that tests can compare all of them. */
enum sqlite_checksum_way {
	SQLITE_CHECKSUM_SERIAL, /* as the format says it */
	SQLITE_CHECKSUM_VECTOR, /* vectors of 16 bytes, on any machine */
	SQLITE_CHECKSUM_AVX2,
	SQLITE_CHECKSUM_WAYS
};

/* Does this machine have it? */
bool sqlite_checksum_has(enum sqlite_checksum_way way);

/* As sqlite_checksum_add(), by a way that this machine has. */
struct sqlite_checksum sqlite_checksum_add_by(enum sqlite_checksum_way way,
    struct sqlite_checksum sum, bool big_endian, const void *data, size_t len);

#endif
