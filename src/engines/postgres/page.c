/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/page.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/*
 * The server's header wants the world of the server, of which it uses no more
 * than this. BUFPAGE_H is the guard of storage/bufpage.h: it keeps that out, and
 * with it a hundred others which put the server's own printf() in the place of
 * libc's.
 */
#define BUFPAGE_H
#define BLCKSZ STILL_PG_PAGE_BYTES
#define Assert(condition) assert(condition)
#define PageIsNew(header) ((header)->pd_upper == 0)

typedef uint16_t uint16;
typedef uint32_t uint32;
typedef uint32_t BlockNumber;

typedef struct {
	uint32_t pd_lsn[2]; /* high half first */
	uint16_t pd_checksum;
	uint16_t pd_flags;
	uint16_t pd_lower;
	uint16_t pd_upper;
} PageHeaderData;

static uint16 pg_checksum_page(char *page, BlockNumber blkno);

#include "storage/checksum_impl.h"

/*
 * The server's code in the forms that the compiler makes of it: `flatten`
 * draws it into each function, and so into its target. target_clones would say
 * the same in one line, but clang 14 does not know them, and their resolvers run
 * before the thread sanitizer is ready. Vectors of 64 bytes were tried, and are
 * no faster. At -O2 GCC leaves a third of AVX2's speed.
 */
#if defined(__clang__) || !defined(__OPTIMIZE__)
#	define UNROLLED
#else
#	define UNROLLED , optimize("O3")
#endif

__attribute__((flatten)) static uint16_t checksum_plain(
    void *page, uint32_t block)
{
	return pg_checksum_page(page, block);
}

#if defined(__x86_64__)
__attribute__((flatten, target("avx2") UNROLLED)) static uint16_t checksum_avx2(
    void *page, uint32_t block)
{
	return pg_checksum_page(page, block);
}

#	define HAS_AVX2 __builtin_cpu_supports("avx2")
#else
#	define HAS_AVX2 false
#	define checksum_avx2 checksum_plain
#endif

bool still_pg_page_has(enum still_pg_page_way way)
{
	return way == STILL_PG_PAGE_PLAIN ||
	    (way == STILL_PG_PAGE_AVX2 && HAS_AVX2);
}

uint16_t still_pg_page_checksum_by(
    enum still_pg_page_way way, void *page, uint32_t block)
{
	assert((uintptr_t) page % STILL_PG_PAGE_ALIGN == 0);
	if (way == STILL_PG_PAGE_AVX2)
		return checksum_avx2(page, block);
	return checksum_plain(page, block);
}

uint16_t still_pg_page_checksum(void *page, uint32_t block)
{
	return still_pg_page_checksum_by(
	    HAS_AVX2 ? STILL_PG_PAGE_AVX2 : STILL_PG_PAGE_PLAIN, page, block);
}

/* The first word is looked at alone: where it is set, nothing else is read. */
static bool is_zero(const void *page)
{
	const char *bytes = page;
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	return first == 0 &&
	    memcmp(bytes, bytes + sizeof(first),
		STILL_PG_PAGE_BYTES - sizeof(first)) == 0;
}

enum still_pg_page_verdict still_pg_page_look(
    void *page, uint32_t block, bool checksums, uint64_t *ret_lsn)
{
	PageHeaderData header;

	memcpy(&header, page, sizeof(header));
	*ret_lsn = (uint64_t) header.pd_lsn[0] << 32 | header.pd_lsn[1];
	if (header.pd_upper == 0)
		return is_zero(page) ? STILL_PG_PAGE_ZERO
				     : STILL_PG_PAGE_BAD_HEADER;
	if (checksums &&
	    still_pg_page_checksum(page, block) != header.pd_checksum)
		return STILL_PG_PAGE_BAD_CHECKSUM;
	return STILL_PG_PAGE_OK;
}
