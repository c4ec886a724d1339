/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/format.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define FORMAT_VERSION 3007000

static_assert(sizeof(struct sqlite_index_header) == 48, "wal-index header");
static_assert(offsetof(struct sqlite_index, backfill) == 96, "wal-index");
static_assert(offsetof(struct sqlite_index, locks) == 120, "wal-index");
static_assert(offsetof(struct sqlite_index, pages) == 136, "wal-index");

static uint32_t get4(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 |
	    (uint32_t) p[2] << 8 | p[3];
}

static void put4(uint8_t *p, uint32_t value)
{
	value = htobe32(value);
	memcpy(p, &value, 4);
}

bool sqlite_page_size_valid(uint32_t bytes)
{
	return bytes >= SQLITE_PAGE_SIZE_MIN && bytes <= SQLITE_PAGE_SIZE_MAX &&
	    (bytes & (bytes - 1)) == 0;
}

bool sqlite_header_has_magic(const uint8_t bytes[16])
{
	return memcmp(bytes, "SQLite format 3", 16) == 0;
}

const char *sqlite_header_parse(
    const uint8_t bytes[SQLITE_HEADER_BYTES], struct sqlite_header *ret)
{
	uint32_t code = (uint32_t) bytes[16] << 8 | bytes[17];

	if (!sqlite_header_has_magic(bytes))
		return "the header does not begin with SQLite's magic";
	memset(ret, 0, sizeof(*ret));
	ret->page_size_bytes = code == 1 ? SQLITE_PAGE_SIZE_MAX : code;
	ret->write_version = bytes[18];
	ret->read_version = bytes[19];
	ret->reserved_bytes = bytes[20];
	ret->change_counter = get4(bytes + 24);
	if (memcmp(bytes + 24, bytes + 92, 4) == 0)
		ret->n_pages = get4(bytes + 28);
	if (!sqlite_page_size_valid(ret->page_size_bytes))
		return "the header names an impossible page size";
	if (bytes[21] != 64 || bytes[22] != 32 || bytes[23] != 32)
		return "the header has wrong payload fractions";
	if (ret->read_version < 1 || ret->read_version > 2)
		return "the header names an unknown read version";
	return NULL;
}

static struct sqlite_checksum page_sum(
    const void *page, uint32_t page_size_bytes)
{
	struct sqlite_checksum sum = {0, 0};

	return sqlite_checksum_add(
	    sum, false, page, page_size_bytes - SQLITE_PAGE_SUM_BYTES);
}

bool sqlite_page_sum_valid(const void *page, uint32_t page_size_bytes)
{
	struct sqlite_checksum sum = page_sum(page, page_size_bytes);
	uint32_t stored[2];

	memcpy(stored,
	    (const uint8_t *) page + page_size_bytes - sizeof(stored),
	    sizeof(stored));
	return sum.s0 == le32toh(stored[0]) && sum.s1 == le32toh(stored[1]);
}

void sqlite_page_sum_set(void *page, uint32_t page_size_bytes)
{
	struct sqlite_checksum sum = page_sum(page, page_size_bytes);
	uint32_t stored[2] = {htole32(sum.s0), htole32(sum.s1)};

	memcpy((uint8_t *) page + page_size_bytes - sizeof(stored), stored,
	    sizeof(stored));
}

bool sqlite_page_sum_proves(const void *page, uint32_t page_size_bytes)
{
	static const uint8_t zeros[SQLITE_PAGE_SUM_BYTES];

	return memcmp((const uint8_t *) page + page_size_bytes - sizeof(zeros),
		   zeros, sizeof(zeros)) != 0 &&
	    sqlite_page_sum_valid(page, page_size_bytes);
}

const char *sqlite_wal_header_parse(
    const uint8_t bytes[SQLITE_WAL_HEADER_BYTES], struct sqlite_wal_header *ret)
{
	uint32_t magic = get4(bytes);
	struct sqlite_checksum sum = {0, 0};

	if ((magic & ~1u) != 0x377f0682)
		return "wrong magic";
	memset(ret, 0, sizeof(*ret));
	ret->big_endian = magic & 1;
	ret->page_size_bytes = get4(bytes + 8);
	memcpy(ret->salts, bytes + 16, sizeof(ret->salts));
	ret->checksum.s0 = get4(bytes + 24);
	ret->checksum.s1 = get4(bytes + 28);
	sum = sqlite_checksum_add(sum, ret->big_endian, bytes, 24);
	if (!sqlite_checksum_equal(sum, ret->checksum))
		return "checksum mismatch";
	if (get4(bytes + 4) != FORMAT_VERSION)
		return "unknown version";
	if (!sqlite_page_size_valid(ret->page_size_bytes))
		return "impossible page size";
	return NULL;
}

struct sqlite_checksum sqlite_wal_header_write(uint32_t page_size_bytes,
    const uint8_t salts[8], uint8_t ret[SQLITE_WAL_HEADER_BYTES])
{
	struct sqlite_checksum sum = {0, 0};

	put4(ret, 0x377f0682);
	put4(ret + 4, FORMAT_VERSION);
	put4(ret + 8, page_size_bytes);
	put4(ret + 12, 0);
	memcpy(ret + 16, salts, 8);
	sum = sqlite_checksum_add(sum, false, ret, 24);
	put4(ret + 24, sum.s0);
	put4(ret + 28, sum.s1);
	return sum;
}

void sqlite_frame_header_write(const struct sqlite_frame_header *header,
    const void *page, uint32_t page_size_bytes, struct sqlite_checksum *sum,
    uint8_t ret[SQLITE_FRAME_HEADER_BYTES])
{
	put4(ret, header->page);
	put4(ret + 4, header->n_pages_commit);
	memcpy(ret + 8, header->salts, sizeof(header->salts));
	*sum = sqlite_checksum_add(*sum, false, ret, 8);
	*sum = sqlite_checksum_add(*sum, false, page, page_size_bytes);
	put4(ret + 16, sum->s0);
	put4(ret + 20, sum->s1);
}

void sqlite_frame_header_parse(const uint8_t bytes[SQLITE_FRAME_HEADER_BYTES],
    struct sqlite_frame_header *ret)
{
	ret->page = get4(bytes);
	ret->n_pages_commit = get4(bytes + 4);
	memcpy(ret->salts, bytes + 8, sizeof(ret->salts));
	ret->checksum.s0 = get4(bytes + 16);
	ret->checksum.s1 = get4(bytes + 20);
}

bool sqlite_index_header_valid(const struct sqlite_index_header *header)
{
	struct sqlite_checksum sum = {0, 0};

	/* The index sums its own header in native byte order. */
	sum = sqlite_checksum_add(sum, BYTE_ORDER == BIG_ENDIAN, header,
	    offsetof(struct sqlite_index_header, checksum));
	return header->initialised && header->version == FORMAT_VERSION &&
	    sqlite_checksum_equal(sum, header->checksum);
}

uint32_t sqlite_index_page_size(const struct sqlite_index_header *header)
{
	uint32_t code = header->page_size_code;

	return (code & 0xfe00) + ((code & 1) << 16);
}

void sqlite_index_locate(uint32_t frame, int *ret_block, size_t *ret_word)
{
	const uint32_t first = 4062;
	const uint32_t rest = 4096;

	if (frame <= first) {
		*ret_block = 0;
		*ret_word = offsetof(struct sqlite_index, pages) / 4 + frame -
		    1;
	} else {
		*ret_block = (int) ((frame - first - 1) / rest) + 1;
		*ret_word = (frame - first - 1) % rest;
	}
}
