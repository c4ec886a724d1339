/* SPDX-License-Identifier: MIT */
/*
 * bits: many flags that are set once and never taken back. Whoever sees one set
 * sees what was written before it was.
 *
 * Threads: any, at once.
 */
#ifndef SQLITE_BITS_H
#define SQLITE_BITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* `n` of them, from 0, none set. Ended by free(). NULL: no memory. */
_Atomic uint64_t *sqlite_bits_new(uint64_t n);

bool sqlite_bits_has(const _Atomic uint64_t *bits, uint64_t at);

/* Returns whether it was set before. */
bool sqlite_bits_set(_Atomic uint64_t *bits, uint64_t at);

/* How many are set, of the `n` that there are. */
uint64_t sqlite_bits_count(const _Atomic uint64_t *bits, uint64_t n);

/* How many from `at` on are as that one is, up to `max`, which is no more than
 * there are. */
uint64_t sqlite_bits_run(
    const _Atomic uint64_t *bits, uint64_t at, uint64_t max);

#endif
