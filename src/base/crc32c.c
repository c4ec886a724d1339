/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/crc32c.h"

#include <isa-l/crc.h>

/* The library counts in int. */
#define PIECE_BYTES ((size_t) 1 << 30)

/*
 * Where the machine has it, the library's code uses AVX for 256 bytes and more,
 * and returns with the upper halves of the vector registers in use. Nothing
 * cleans them by itself, and until they are clean some processors let every SSE
 * instruction wait for them: those of all our code, which is built without AVX.
 */
#if defined(__x86_64__)
__attribute__((target("avx"))) static void clean_avx(void)
{
	__builtin_ia32_vzeroupper();
}

static void clean_vectors(void)
{
	if (__builtin_cpu_supports("avx"))
		clean_avx();
}
#else
static void clean_vectors(void)
{
}
#endif

uint32_t still_crc32c(uint32_t crc, const void *data, size_t len)
{
	/* The library only reads, though its prototype does not say so. */
	unsigned char *p = (unsigned char *) data;

	while (len > 0) {
		size_t n = len < PIECE_BYTES ? len : PIECE_BYTES;

		crc = crc32_iscsi(p, (int) n, crc);
		p += n;
		len -= n;
	}
	clean_vectors();
	return crc;
}
