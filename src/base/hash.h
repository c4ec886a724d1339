/* SPDX-License-Identifier: MIT */
/*
 * hash: the two digests of the house, both from the xxHash library.
 *
 *   XXH128 (128 bits) is a file's digest in verify/XXH128SUMS; its text is the
 *   32 hexadecimal digits of the canonical big-endian form, as xxhsum prints.
 *   XXH3-64 is what stillfs keeps for itself: of pages, and of paths.
 */
#ifndef STILL_BASE_HASH_H
#define STILL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define STILL_HASH128_HEX_CHARS 32

struct still_hash128 {
	uint8_t bytes[16]; /* canonical, big-endian */
};

/* A running XXH128; opaque. */
struct still_hash_state;

/* NULL without memory. Freed by still_hash_free(). */
struct still_hash_state *still_hash_new(void);
void still_hash_update(
    struct still_hash_state *state, const void *data, size_t len);
struct still_hash128 still_hash_digest(const struct still_hash_state *state);
void still_hash_free(struct still_hash_state *state);

/* A running XXH3-64, which can be begun anew; likewise. */
struct still_hash64_state;
struct still_hash64_state *still_hash64_new(void);
void still_hash64_reset(struct still_hash64_state *state);
void still_hash64_update(
    struct still_hash64_state *state, const void *data, size_t len);
uint64_t still_hash64_digest(const struct still_hash64_state *state);
void still_hash64_free(struct still_hash64_state *state);

struct still_hash128 still_hash128(const void *data, size_t len);
uint64_t still_hash64(const void *data, size_t len);
uint64_t still_hash64_seeded(const void *data, size_t len, uint64_t seed);

/* Write 32 hexadecimal digits and a NUL. */
void still_hash128_hex(
    struct still_hash128 hash, char out[STILL_HASH128_HEX_CHARS + 1]);

#endif
