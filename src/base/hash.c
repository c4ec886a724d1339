/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The library's plain functions are made for the least machine of its kind.
 * Where it can choose by the machine, this header puts that in their place; it
 * is three times as fast. */
#if defined(HAVE_XXH_X86DISPATCH_H) && \
    defined(HAVE_XXH3_128BITS_UPDATE_DISPATCH)
#	include <xxh_x86dispatch.h>
#endif

struct still_hash_state {
	XXH3_state_t *xxh;
};

struct still_hash_state *still_hash_new(void)
{
	struct still_hash_state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	state->xxh = XXH3_createState();
	if (!state->xxh || XXH3_128bits_reset(state->xxh) != XXH_OK) {
		still_hash_free(state);
		return NULL;
	}
	return state;
}

void still_hash_update(
    struct still_hash_state *state, const void *data, size_t len)
{
	XXH3_128bits_update(state->xxh, data, len);
}

static struct still_hash128 canonical(XXH128_hash_t value)
{
	struct still_hash128 hash;
	XXH128_canonical_t big_endian;

	XXH128_canonicalFromHash(&big_endian, value);
	memcpy(hash.bytes, big_endian.digest, sizeof(hash.bytes));
	return hash;
}

struct still_hash128 still_hash_digest(const struct still_hash_state *state)
{
	return canonical(XXH3_128bits_digest(state->xxh));
}

void still_hash_free(struct still_hash_state *state)
{
	if (!state)
		return;
	XXH3_freeState(state->xxh);
	free(state);
}

struct still_hash64_state {
	XXH3_state_t *xxh;
};

struct still_hash64_state *still_hash64_new(void)
{
	struct still_hash64_state *state = calloc(1, sizeof(*state));

	if (!state)
		return NULL;
	state->xxh = XXH3_createState();
	if (!state->xxh) {
		still_hash64_free(state);
		return NULL;
	}
	still_hash64_reset(state);
	return state;
}

/* It fails for no state only. */
void still_hash64_reset(struct still_hash64_state *state)
{
	XXH3_64bits_reset(state->xxh);
}

void still_hash64_update(
    struct still_hash64_state *state, const void *data, size_t len)
{
	XXH3_64bits_update(state->xxh, data, len);
}

uint64_t still_hash64_digest(const struct still_hash64_state *state)
{
	return XXH3_64bits_digest(state->xxh);
}

void still_hash64_free(struct still_hash64_state *state)
{
	if (!state)
		return;
	XXH3_freeState(state->xxh);
	free(state);
}

struct still_hash128 still_hash128(const void *data, size_t len)
{
	return canonical(XXH3_128bits(data, len));
}

uint64_t still_hash64(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

uint64_t still_hash64_seeded(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

void still_hash128_hex(
    struct still_hash128 hash, char out[STILL_HASH128_HEX_CHARS + 1])
{
	for (size_t i = 0; i < sizeof(hash.bytes); i++)
		snprintf(out + 2 * i, 3, "%02x", hash.bytes[i]);
}
