/* SPDX-License-Identifier: MIT */
/*
 * wal_page: the header of a page of the WAL.
 * Pure functions; any thread.
 *
 * Source: PostgreSQL's src/include/access/xlog_internal.h, and
 * XLogReaderValidatePageHeader() in src/backend/access/transam/xlogreader.c.
 * The layout is the same from 13 to 17; the magic differs.
 *
 * All numbers are in the byte order of the server, which runs on this machine.
 * A segment consists of pages (wal_block_size, 8192 unless the server was built
 * otherwise). Each begins with 24 bytes:
 *
 *	 0  2  magic, of the server's major version: 0xD106 (13), 0xD10D (14),
 *	       0xD110 (15), 0xD113 (16), 0xD116 (17)
 *	 2  2  flags:
 *	       0x1  the page begins with the rest of a record
 *	       0x2  the header is a long one
 *	       0x4  full-page images may be left out by compression
 *	       0x8  the record that should go on here was lost in a crash; the
 *	            page begins with the record that says so (13.5, 14.1, 15)
 *	 4  4  timeline
 *	 8  8  LSN of the page's first byte
 *	16  4  bytes that the record which goes on here still has, on this page
 *	       and behind it
 *	20  4  nothing
 *
 * The first page of a segment, and no other, has a long header, 40 bytes:
 *
 *	24  8  system identifier
 *	32  4  size of a segment
 *	36  4  size of a page
 *
 * PostgreSQL's own reader takes long headers elsewhere too; the server never
 * writes them there.
 */
#ifndef POSTGRES_WAL_PAGE_H
#define POSTGRES_WAL_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STILL_PG_WAL_PAGE_HEAD_BYTES 24
#define STILL_PG_WAL_LONG_HEAD_BYTES 40

#define STILL_PG_WAL_PAGE_GOES_ON 0x0001
#define STILL_PG_WAL_PAGE_LONG 0x0002
#define STILL_PG_WAL_PAGE_REMOVABLE 0x0004
#define STILL_PG_WAL_PAGE_OVERWRITES 0x0008
#define STILL_PG_WAL_PAGE_FLAGS 0x000f

/* What is the same all over the WAL of one server: from its control file, and
 * from the table of versions. */
struct still_pg_wal_format {
	unsigned major;         /* 13 .. 17 */
	uint16_t page_magic;    /* of that version */
	uint32_t page_bytes;    /* of the WAL: wal_block_size */
	uint32_t segment_bytes; /* wal_segment_size */
	uint32_t block_bytes;   /* of relations: block_size */
	uint32_t timeline;
	uint64_t system_identifier;
};

struct still_pg_wal_page {
	uint16_t flags;
	uint32_t head_bytes; /* 24 or 40 */
	uint32_t rest_bytes; /* of the record that goes on here */
};

/* NULL, or what is wrong with it (static text). */
const char *still_pg_wal_format_check(const struct still_pg_wal_format *format);

/* How long the header of the page at (or around) `lsn` is. */
static inline uint32_t still_pg_wal_head_bytes(
    const struct still_pg_wal_format *format, uint64_t lsn)
{
	return lsn % format->segment_bytes < format->page_bytes
	    ? STILL_PG_WAL_LONG_HEAD_BYTES
	    : STILL_PG_WAL_PAGE_HEAD_BYTES;
}

/* Parse and check the header of the page that should lie at `lsn`; `len` bytes
 * of it are there. Returns NULL, or what is wrong with the page (static text,
 * to be read behind "page at X"). */
const char *still_pg_wal_page_parse(const void *bytes, size_t len,
    const struct still_pg_wal_format *format, uint64_t lsn,
    struct still_pg_wal_page *ret);

#endif
