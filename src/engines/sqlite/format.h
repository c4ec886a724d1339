/* SPDX-License-Identifier: MIT */
/*
 * format: SQLite's database header, write-ahead log and wal-index, as bytes.
 * Pure functions: no I/O, no allocation; any thread.
 *
 * Sources: https://www.sqlite.org/fileformat2.html (sections 1.3 and 4) and
 * https://www.sqlite.org/walformat.html (section 2).
 *
 * DATABASE HEADER, the first 100 bytes of page 1, big-endian:
 *	 0  16  "SQLite format 3\0"
 *	16   2  page size in bytes, a power of two 512..32768; 1 means 65536
 *	18   1  file format write version: 1 rollback journal, 2 WAL
 *	19   1  file format read version, likewise
 *	20   1  bytes reserved at the end of each page
 *	21   3  payload fractions, always 64, 32, 32
 *	24   4  file change counter
 *	28   4  size of the database in pages, valid only where the number at
 *	        92 equals the change counter
 *	92   4  change counter for which the size at 28 was stored
 *
 * WAL HEADER, 32 bytes, big-endian:
 *	 0   4  magic 0x377f0682 (checksum words little-endian) or ...83 (big)
 *	 4   4  version 3007000
 *	 8   4  page size
 *	12   4  checkpoint sequence number
 *	16   8  salts
 *	24   8  checksum of the 24 bytes before it
 *
 * WAL FRAME, 24 bytes and a page; the first frame has the number 1:
 *	 0   4  page number
 *	 4   4  in a commit frame the size of the database in pages, else 0
 *	 8   8  salts, equal to the header's
 *	16   8  running checksum: of the frame before it (of the header, for the
 *	        first), continued over the 8 bytes at 0 and over the page
 *
 * RUNNING CHECKSUM over 32-bit words x0 x1 x2 ... (an even number of them, in
 * the byte order that the magic names):
 *	s0 += x[2i] + s1;  s1 += x[2i+1] + s0
 *
 * WAL-INDEX, the -shm file, native byte order. Two copies of a 48-byte header,
 * written second copy first; then the checkpoint information:
 *	 0   4  version 3007000            20  4  pages of the database
 *	 8   4  change counter             24  8  checksum of the last frame
 *	12   1  1 when initialised         32  8  salts, bytes as in the WAL
 *	13   1  1: big-endian checksums    40  8  checksum of the 40 bytes before
 *	14   2  page size (1 means 65536)
 *	16   4  mxFrame, the last commit frame
 *	96   4  nBackfill: frames known to be in the database file
 *     100  20  five read marks
 *     120   8  the lock bytes: WRITE, CKPT, RECOVER, READ 0..4
 * The index proper: blocks of 32 KiB. A block holds the page numbers of 4096
 * consecutive frames (4062 in the first, behind the 136 bytes above), then a
 * hash table that we do not need.
 */
#ifndef SQLITE_FORMAT_H
#define SQLITE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/sqlite/checksum.h"

#define SQLITE_HEADER_BYTES 100
#define SQLITE_WAL_HEADER_BYTES 32
#define SQLITE_FRAME_HEADER_BYTES 24
#define SQLITE_PAGE_SIZE_MIN 512
#define SQLITE_PAGE_SIZE_MAX 65536

/* Byte 2^30 of a database lies in a page that SQLite never reads or writes,
 * because its locks live there. */
#define SQLITE_LOCK_BYTE UINT64_C(0x40000000)

#define SQLITE_INDEX_BLOCK_BYTES 32768
#define SQLITE_INDEX_READERS 5
#define SQLITE_LOCK_WRITE 0
#define SQLITE_LOCK_READ(slot) (3 + (slot))

struct sqlite_header {
	uint32_t page_size_bytes;
	uint8_t write_version; /* 1 rollback journal, 2 WAL */
	uint8_t read_version;
	uint8_t reserved_bytes; /* per page */
	uint32_t change_counter;
	uint32_t n_pages; /* 0 where the header does not know */
};

/* Do the first 16 bytes say SQLite? */
bool sqlite_header_has_magic(const uint8_t bytes[16]);

/* A power of two from 512 to 65536? */
bool sqlite_page_size_valid(uint32_t bytes);

/* Parse and check. Returns NULL, or what is wrong with it (static text). */
const char *sqlite_header_parse(
    const uint8_t bytes[SQLITE_HEADER_BYTES], struct sqlite_header *ret);

/* What SQLite's checksum VFS keeps in the last 8 bytes of a page: the checksum
 * of the rest, over little-endian words, stored little-endian. A page of zeros
 * has the checksum 0. */
#define SQLITE_PAGE_SUM_BYTES 8
bool sqlite_page_sum_valid(const void *page, uint32_t page_size_bytes);

/* As above, and that says something of the page: zeros may be anybody's, or
 * what a disk gives for a page that it lost. */
bool sqlite_page_sum_proves(const void *page, uint32_t page_size_bytes);

/* Make it valid. */
void sqlite_page_sum_set(void *page, uint32_t page_size_bytes);

struct sqlite_wal_header {
	bool big_endian; /* byte order of the checksum words */
	uint32_t page_size_bytes;
	uint8_t salts[8];
	struct sqlite_checksum checksum; /* the seed of frame 1 */
};

/* NULL, or what is wrong (static text). */
const char *sqlite_wal_header_parse(
    const uint8_t bytes[SQLITE_WAL_HEADER_BYTES],
    struct sqlite_wal_header *ret);

/* The 32 bytes of a header with little-endian checksum words, and the checksum
 * that is the seed of frame 1. */
struct sqlite_checksum sqlite_wal_header_write(uint32_t page_size_bytes,
    const uint8_t salts[8], uint8_t ret[SQLITE_WAL_HEADER_BYTES]);

struct sqlite_frame_header {
	uint32_t page;           /* numbered from 1 */
	uint32_t n_pages_commit; /* 0 unless this frame ends a transaction */
	uint8_t salts[8];
	struct sqlite_checksum checksum; /* as stored */
};

void sqlite_frame_header_parse(const uint8_t bytes[SQLITE_FRAME_HEADER_BYTES],
    struct sqlite_frame_header *ret);

/* The 24 bytes before `page`, in a log as sqlite_wal_header_write() begins one;
 * `sum` is that of the frame before, and then of this one. */
void sqlite_frame_header_write(const struct sqlite_frame_header *header,
    const void *page, uint32_t page_size_bytes, struct sqlite_checksum *sum,
    uint8_t ret[SQLITE_FRAME_HEADER_BYTES]);

/* Where frame `frame` (from 1) begins in the -wal file. */
static inline uint64_t sqlite_frame_offset(
    uint32_t frame, uint32_t page_size_bytes)
{
	return SQLITE_WAL_HEADER_BYTES +
	    (uint64_t) (frame - 1) *
	    (SQLITE_FRAME_HEADER_BYTES + (uint64_t) page_size_bytes);
}

/* One copy of the wal-index header; the layout is the file's. */
struct sqlite_index_header {
	uint32_t version;
	uint32_t unused;
	uint32_t change;
	uint8_t initialised;
	uint8_t big_endian;
	uint16_t page_size_code;
	uint32_t max_frame;
	uint32_t n_pages;
	struct sqlite_checksum frame_checksum;
	uint8_t salts[8];
	struct sqlite_checksum checksum;
};

/* The first block of the wal-index, as far as we use it. */
struct sqlite_index {
	struct sqlite_index_header header[2];
	uint32_t backfill;
	uint32_t read_mark[SQLITE_INDEX_READERS];
	uint8_t locks[8];
	uint32_t backfill_attempted;
	uint32_t unused;
	uint32_t pages[4062];
};

/* Is this one copy whole: version, initialised, checksum? */
bool sqlite_index_header_valid(const struct sqlite_index_header *header);

uint32_t sqlite_index_page_size(const struct sqlite_index_header *header);

/* In which block, and at which 32-bit word of it, stands frame's page? */
void sqlite_index_locate(uint32_t frame, int *ret_block, size_t *ret_word);

#endif
