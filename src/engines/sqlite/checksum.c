/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/checksum.h"

#include <assert.h>
#include <byteswap.h>
#include <endian.h>
#include <string.h>

#define BLOCK_WORDS 128
#define BLOCK_BYTES ((size_t) BLOCK_WORDS * 4)

/* F(128), F(127) ... F(0), modulo 2^32. */
static const uint32_t fibonacci[BLOCK_WORDS + 1] = {0xaedf2ac5, 0x9bcca01d,
    0x13128aa8, 0x88ba1575, 0x8a587533, 0xfe61a042, 0x8bf6d4f1, 0x726acb51,
    0x198c09a0, 0x58dec1b1, 0xc0ad47ef, 0x983179c2, 0x287bce2d, 0x6fb5ab95,
    0xb8c62298, 0xb6ef88fd, 0x01d6999b, 0xb518ef62, 0x4cbdaa39, 0x685b4529,
    0xe4626510, 0x83f8e019, 0x606984f7, 0x238f5b22, 0x3cda29d5, 0xe6b5314d,
    0x5624f888, 0x909038c5, 0xc594bfc3, 0xcafb7902, 0xfa9946c1, 0xd0623241,
    0x2a371480, 0xa62b1dc1, 0x840bf6bf, 0x221f2702, 0x61eccfbd, 0xc0325745,
    0xa1ba7878, 0x1e77decd, 0x834299ab, 0x9b354522, 0xe80d5489, 0xb327f099,
    0x34e563f0, 0x7e428ca9, 0xb6a2d747, 0xc79fb562, 0xef0321e5, 0xd89c937d,
    0x16668e68, 0xc2360515, 0x54308953, 0x6e057bc2, 0xe62b0d91, 0x87da6e31,
    0x5e509f60, 0x2989ced1, 0x34c6d08f, 0xf4c2fe42, 0x4003d24d, 0xb4bf2bf5,
    0x8b44a658, 0x297a859d, 0x61ca20bb, 0xc7b064e2, 0x9a19bbd9, 0x2d96a909,
    0x6c8312d0, 0xc1139639, 0xab6f7c97, 0x15a419a2, 0x95cb62f5, 0x7fd8b6ad,
    0x15f2ac48, 0x69e60a65, 0xac0ca1e3, 0xbdd96882, 0xee333961, 0xcfa62f21,
    0x1e8d0a40, 0xb11924e1, 0x6d73e55f, 0x43a53f82, 0x29cea5dd, 0x19d699a5,
    0x0ff80c38, 0x09de8d6d, 0x06197ecb, 0x03c50ea2, 0x02547029, 0x01709e79,
    0x00e3d1b0, 0x008cccc9, 0x005704e7, 0x0035c7e2, 0x00213d05, 0x00148add,
    0x000cb228, 0x0007d8b5, 0x0004d973, 0x0002ff42, 0x0001da31, 0x00012511,
    0x0000b520, 0x00006ff1, 0x0000452f, 0x00002ac2, 0x00001a6d, 0x00001055,
    0x00000a18, 0x0000063d, 0x000003db, 0x00000262, 0x00000179, 0x000000e9,
    0x00000090, 0x00000059, 0x00000037, 0x00000022, 0x00000015, 0x0000000d,
    0x00000008, 0x00000005, 0x00000003, 0x00000002, 0x00000001, 0x00000001,
    0x00000000};

static struct sqlite_checksum add_serial(
    struct sqlite_checksum sum, bool swap, const uint8_t *p, size_t len)
{
	uint32_t s0 = sum.s0;
	uint32_t s1 = sum.s1;

	for (size_t i = 0; i < len; i += 8) {
		uint32_t x[2];

		memcpy(x, p + i, sizeof(x));
		s0 += (swap ? bswap_32(x[0]) : x[0]) + s1;
		s1 += (swap ? bswap_32(x[1]) : x[1]) + s0;
	}
	return (struct sqlite_checksum){s0, s1};
}

typedef uint32_t words_16 __attribute__((vector_size(16)));
typedef uint32_t words_32 __attribute__((vector_size(32)));

/*
 * Whole blocks. A lane carries its own part of s0 and s1 from block to block,
 * which is allowed because everything is linear; only the end adds the lanes.
 *
 * A macro, because GCC takes the vectors of an inline function apart before it
 * knows into which target the function goes; and not target_clones, because
 * their resolvers run before the thread sanitizer is ready.
 */
#define DEFINE_ADD_BLOCKS(name, words, target)                                \
	target static struct sqlite_checksum name(struct sqlite_checksum sum, \
	    bool swap, const uint8_t *p, size_t n_blocks)                     \
	{                                                                     \
		words s0 = {sum.s0};                                          \
		words s1 = {sum.s1};                                          \
                                                                              \
		for (; n_blocks > 0; n_blocks--) {                            \
			words next0 = s0 * fibonacci[1] + s1 * fibonacci[0];  \
			words next1 = next0 + s0 * fibonacci[2] +             \
			    s1 * fibonacci[1];                                \
                                                                              \
			for (size_t i = 0; i < BLOCK_WORDS;                   \
			     i += sizeof(words) / 4, p += sizeof(words)) {    \
				words x, f0, f1;                              \
                                                                              \
				memcpy(&x, p, sizeof(x));                     \
				memcpy(&f0, fibonacci + i + 1, sizeof(f0));   \
				memcpy(&f1, fibonacci + i, sizeof(f1));       \
				if (swap)                                     \
					x = x >> 24 | (x >> 8 & 0xff00) |     \
					    (x << 8 & 0xff0000) | x << 24;    \
				next0 += x * f0;                              \
				next1 += x * f1;                              \
			}                                                     \
			s0 = next0;                                           \
			s1 = next1;                                           \
		}                                                             \
		sum = (struct sqlite_checksum){0, 0};                         \
		for (size_t i = 0; i < sizeof(words) / 4; i++) {              \
			sum.s0 += s0[i];                                      \
			sum.s1 += s1[i];                                      \
		}                                                             \
		return sum;                                                   \
	}

DEFINE_ADD_BLOCKS(add_blocks_16, words_16, )

#if defined(__x86_64__)
DEFINE_ADD_BLOCKS(add_blocks_avx2, words_32, __attribute__((target("avx2"))))
#	define HAS_AVX2 __builtin_cpu_supports("avx2")
#else
#	define HAS_AVX2 false
#	define add_blocks_avx2 add_blocks_16
#endif

bool sqlite_checksum_has(enum sqlite_checksum_way way)
{
	return way < SQLITE_CHECKSUM_AVX2 ||
	    (way == SQLITE_CHECKSUM_AVX2 && HAS_AVX2);
}

struct sqlite_checksum sqlite_checksum_add_by(enum sqlite_checksum_way way,
    struct sqlite_checksum sum, bool big_endian, const void *data, size_t len)
{
	bool swap = big_endian != (BYTE_ORDER == BIG_ENDIAN);
	size_t n_blocks = len / BLOCK_BYTES;
	const uint8_t *p = data;

	assert(len % 8 == 0);
	if (way == SQLITE_CHECKSUM_SERIAL)
		n_blocks = 0;
	else if (way == SQLITE_CHECKSUM_AVX2)
		sum = add_blocks_avx2(sum, swap, p, n_blocks);
	else
		sum = add_blocks_16(sum, swap, p, n_blocks);
	return add_serial(sum, swap, p + n_blocks * BLOCK_BYTES,
	    len - n_blocks * BLOCK_BYTES);
}

struct sqlite_checksum sqlite_checksum_add(
    struct sqlite_checksum sum, bool big_endian, const void *data, size_t len)
{
	enum sqlite_checksum_way way = SQLITE_CHECKSUM_SERIAL;

	if (len >= BLOCK_BYTES)
		way = HAS_AVX2 ? SQLITE_CHECKSUM_AVX2 : SQLITE_CHECKSUM_VECTOR;
	return sqlite_checksum_add_by(way, sum, big_endian, data, len);
}
