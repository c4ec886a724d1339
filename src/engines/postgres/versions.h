/* SPDX-License-Identifier: MIT */
/*
 * versions: what differs between the major versions of PostgreSQL, as a table of
 * facts. Nothing else of the engine compares version numbers.
 *
 * Pure; everything is static and constant. Any thread.
 */
#ifndef POSTGRES_VERSIONS_H
#define POSTGRES_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where the fields that we use stand in global/pg_control, in bytes; their
 * widths are those of struct still_pg_control. The CRC is the last field and
 * covers everything before it.
 */
struct still_pg_control_layout {
	uint16_t system_identifier;
	uint16_t state;
	uint16_t check_point;
	uint16_t redo; /* of the copy of the checkpoint */
	uint16_t timeline;
	uint16_t min_recovery_point;
	uint16_t min_recovery_timeline;
	uint16_t max_align;
	uint16_t float_format;
	uint16_t block_bytes;
	uint16_t segment_blocks;
	uint16_t wal_block_bytes;
	uint16_t wal_segment_bytes;
	uint16_t data_checksum_version;
	uint16_t crc;
};

/* These two are where they are in every version, for ever (pg_control.h). */
#define STILL_PG_CONTROL_VERSION_AT 8
#define STILL_PG_CONTROL_CATALOG_AT 12

struct still_pg_version {
	int major;
	uint32_t control_version; /* PG_CONTROL_VERSION */
	uint16_t wal_magic;       /* XLOG_PAGE_MAGIC */
	uint8_t manifest_version; /* of backup_manifest */
	/* Begin a backup that other sessions may run beside; $1 is the label.
	 * One row, one column: the start LSN. */
	const char *start_sql;
	/* End it, without waiting for archiving. One row: lsn, labelfile,
	 * spcmapfile. */
	const char *stop_sql;
	/* The functions that these call, with their arguments, for GRANT:
	 * "pg_backup_start(text, boolean)". */
	const char *start_function;
	const char *stop_function;
	/* Bits of an image of a block in a record of the WAL: it is compressed, in
	 * one of the ways; replay writes it over the block. */
	uint8_t image_compressed;
	uint8_t image_applied;
	/* A record may name the transaction that its own belongs to. */
	bool has_top_transaction;
	struct still_pg_control_layout control;
};

#define STILL_PG_MAJOR_MIN 13
#define STILL_PG_MAJOR_MAX 17

/* NULL for a version that is not in the table. */
const struct still_pg_version *still_pg_version(int major);

/* The layout that belongs to a PG_CONTROL_VERSION (several majors may share
 * one), or NULL. */
const struct still_pg_control_layout *still_pg_control_layout(
    uint32_t control_version);

#endif
