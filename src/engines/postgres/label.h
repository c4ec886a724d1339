/* SPDX-License-Identifier: MIT */
/*
 * label: backup_label, as pg_backup_stop (pg_stop_backup until 14) gives it.
 *
 * Text, lines that end with a newline, in this order (build_backup_content() in
 * the server's source; do_pg_start_backup() until 14):
 *
 *	START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
 *	CHECKPOINT LOCATION: 0/2000060
 *	BACKUP METHOD: streamed
 *	BACKUP FROM: primary
 *	START TIME: 2026-11-21 17:00:00 UTC
 *	LABEL: nightly
 *	START TIMELINE: 1
 *
 * RULES
 * 1. Every line is there, once, and nothing else is. (17 has two more lines, in
 *    a backup that is built on another; it is of no use alone.)
 * 2. An LSN is two hexadecimal numbers of at most 8 digits.
 * 3. A segment's name is 24 digits; the first 8 are the timeline of the last
 *    line, and are not all 0.
 *
 * What the server gave is served unchanged; this only reads it.
 *
 * Pure functions; any thread.
 */
#ifndef POSTGRES_LABEL_H
#define POSTGRES_LABEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define STILL_PG_SEGMENT_NAME_CHARS 24

struct still_pg_label {
	uint64_t start_lsn; /* WAL is needed from here */
	char
	    start_segment[STILL_PG_SEGMENT_NAME_CHARS + 1]; /* it is in there */
	uint64_t check_point_lsn; /* the record of the backup's checkpoint */
	uint32_t timeline;
	bool streamed; /* false: an exclusive backup ("pg_start_backup") */
	bool from_standby;
};

/* `text` has `len` bytes and need not end with a NUL. CORRUPT names the line
 * that breaks a rule; UNSUPPORTED: an incremental backup. */
int still_pg_label_parse(const char *text, size_t len,
    struct still_pg_label *ret, struct still_error *err);

#endif
