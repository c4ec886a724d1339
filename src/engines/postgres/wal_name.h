/* SPDX-License-Identifier: MIT */
/*
 * wal_name: positions in the WAL, and the names of the files that hold them.
 * Pure functions; any thread.
 *
 * Source: PostgreSQL's src/include/access/xlog_internal.h and xlogdefs.h, the
 * same from 13 to 17.
 *
 * The WAL is one row of bytes, numbered by the LSN, 64 bits. It is cut into
 * segments of one size (a power of two, 1 MiB to 1 GiB, chosen by initdb); the
 * segment of an LSN is LSN / size. A segment lies in the file
 *
 *	pg_wal/TTTTTTTTLLLLLLLLSSSSSSSS
 *
 * three numbers of eight digits, 0-9A-F: the timeline, and the segment's number
 * divided by, and modulo, the segments that 4 GiB hold.
 *
 * As text, an LSN is its upper and its lower 32 bits: "%X/%X".
 */
#ifndef POSTGRES_WAL_NAME_H
#define POSTGRES_WAL_NAME_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#define STILL_PG_WAL_NAME_CHARS 24

/* For printf: "..." STILL_PG_LSN "...", STILL_PG_LSN_ARGS(lsn) */
#define STILL_PG_LSN "%" PRIX32 "/%" PRIX32
#define STILL_PG_LSN_ARGS(lsn) (uint32_t)((lsn) >> 32), (uint32_t) (lsn)

struct still_pg_wal_segment {
	uint32_t timeline; /* from 1 */
	uint64_t number;   /* LSN of its first byte / its size */
};

bool still_pg_wal_segment_bytes_valid(uint64_t bytes);

/* The name, without the folder. `segment_bytes` is valid. */
void still_pg_wal_name(const struct still_pg_wal_segment *segment,
    uint32_t segment_bytes, char ret_name[STILL_PG_WAL_NAME_CHARS + 1]);

/* What is named so? False for anything that is no whole segment: a history
 * file, "....partial", lowercase digits, timeline 0, a last part that does not
 * occur with segments of that size. `segment_bytes` is valid. */
bool still_pg_wal_name_parse(
    const char *name, uint32_t segment_bytes, struct still_pg_wal_segment *ret);

/* Parse the text of an LSN: all of `text`, or false. */
bool still_pg_lsn_parse(const char *text, uint64_t *ret_lsn);

#endif
