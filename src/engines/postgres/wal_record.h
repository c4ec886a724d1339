/* SPDX-License-Identifier: MIT */
/*
 * wal_record: one record of the WAL, and the blocks that it is about.
 * Pure functions; any thread.
 *
 * Source: PostgreSQL's src/include/access/xlogrecord.h, and DecodeXLogRecord()
 * in src/backend/access/transam/xlogreader.c, 13 to 17.
 *
 * A record begins at an LSN that 8 divides, with 24 bytes:
 *
 *	 0  4  length of all of it, these 24 bytes included
 *	 4  4  transaction
 *	 8  8  LSN of the record before
 *	16  1  info: the upper four bits are the resource manager's
 *	17  1  resource manager
 *	18  2  nothing
 *	20  4  CRC-32C of what follows, and then of the 20 bytes before
 *
 * The body behind it: headers, then what they announce, in the same order.
 * A header begins with an identifier:
 *
 *	0..32  a block; the identifiers rise
 *	252    4 bytes: the transaction of the top level (from 14)
 *	253    2 bytes: the origin of replication
 *	254    4 bytes: how long the main data is; the last header
 *	255    1 byte: the same
 *
 * A block's header goes on with
 *
 *	1  1  fork (lower four bits) and flags: 0x10 an image follows, 0x20 data
 *	      follows, 0x40 replay makes the page anew, 0x80 same relation as
 *	      the block before
 *	2  2  how long its data is
 *	with an image:
 *	   2  how long it is
 *	   2  where the hole begins that it leaves out
 *	   1  0x01 there is a hole; compressed, and to be applied: see below
 *	   with a hole and compressed:
 *	   2  how long the hole is
 *	not for the same relation:
 *	  12  tablespace, database, relation's file number
 *	   4  number of the block
 *
 * The bits of an image differ: compressed is 0x02 in 13 and 14, and any of
 * 0x04, 0x08, 0x10 from 15; to be applied is 0x04, and 0x02 from 15. An image
 * that is not to be applied serves wal_consistency_checking only.
 */
#ifndef POSTGRES_WAL_RECORD_H
#define POSTGRES_WAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/postgres/wal_page.h"

#define STILL_PG_WAL_RECORD_HEAD_BYTES 24
#define STILL_PG_WAL_BLOCKS_MAX 33

/* All headers of a body lie within its first bytes: 33 blocks with all that
 * one can have, and one of each of the others, are 906. */
#define STILL_PG_WAL_HEADERS_MAX_BYTES 1024

/* Resource managers, and their info (upper four bits), that matter here. */
#define STILL_PG_RM_XLOG 0
#define STILL_PG_XLOG_SWITCH 0x40
#define STILL_PG_XLOG_OVERWRITES 0xd0
#define STILL_PG_RM_STORAGE 2
#define STILL_PG_STORAGE_CREATE 0x10
#define STILL_PG_RM_DATABASE 4
#define STILL_PG_DATABASE_COPY 0x00
#define STILL_PG_RM_TABLESPACE 5
#define STILL_PG_TABLESPACE_CREATE 0x00

/* Names one fork of a relation: one row of files. */
struct still_pg_locator {
	uint32_t tablespace; /* OID: 1663 is base/, 1664 is global/ */
	uint32_t database;   /* OID; 0 in global/ */
	uint32_t relation;   /* number of its file */
	uint32_t fork;       /* 0 main, 1 fsm, 2 vm, 3 init */
};

struct still_pg_wal_block {
	struct still_pg_locator where;
	uint32_t block;       /* from 0, over all files of the fork */
	uint32_t image_bytes; /* as stored; 0: there is no image */
	bool replaced;        /* replay does not look at what the page holds:
				 it applies the image, or makes it anew */
};

struct still_pg_wal_record {
	uint64_t lsn;
	uint64_t previous_lsn;
	uint32_t total_bytes;
	uint32_t crc; /* as stored */
	uint8_t info;
	uint8_t rmgr;

	/* From the body. */
	uint32_t n_blocks;
	uint32_t data_bytes; /* of the main data */
	const uint8_t *data; /* borrowed, as long as the record; NULL where
				    the body is not all in memory */
	struct still_pg_wal_block blocks[STILL_PG_WAL_BLOCKS_MAX];
};

/* The 24 bytes at `bytes`. */
void still_pg_wal_record_head(
    const uint8_t bytes[STILL_PG_WAL_RECORD_HEAD_BYTES],
    struct still_pg_wal_record *ret);

/*
 * Parse a body into `record`, whose head is there. `len` bytes of it are: all,
 * or STILL_PG_WAL_HEADERS_MAX_BYTES at least. Returns NULL, or what is wrong
 * (static text, to be read behind "record at X").
 */
const char *still_pg_wal_record_body(const uint8_t *bytes, size_t len,
    const struct still_pg_wal_format *format,
    struct still_pg_wal_record *record);

/* Is it this kind of record? */
static inline bool still_pg_wal_record_is(
    const struct still_pg_wal_record *record, uint8_t rmgr, uint8_t info)
{
	return record->rmgr == rmgr && (record->info & 0xf0) == info;
}

#endif
