/* SPDX-License-Identifier: MIT */
/*
 * The sources of the table, all of PostgreSQL's own tree, as released:
 *
 * control_version, control: src/include/catalog/pg_control.h. The struct of
 *	version 1300 is that of 13, 14, 15 and 16 (13 calls a field of the
 *	checkpoint nextFullXid, the later ones nextXid; the type is the same).
 *	1700 differs by `int wal_level` in the checkpoint, which takes the place
 *	of padding behind fullPageWrites and moves nothing. The offsets are the
 *	compiler's, for machines on which 64-bit integers are aligned to 8 bytes;
 *	tests compare them with those of the installed server's header. pgBackRest
 *	has a copy of the structs of all versions
 *	(src/postgres/interface/version.vendor.h): compiled, they are these. (18
 *	has another bool, behind data_checksum_version: the CRC is at 292.)
 * wal_magic: XLOG_PAGE_MAGIC of src/include/access/xlog_internal.h; the same
 *	copy has the same numbers. What was not released yet had smaller ones.
 * manifest_version: src/backend/backup/backup_manifest.c (until 15 in
 *	src/backend/replication/). 17 says 2, and a System-Identifier.
 * start_sql, start_function, stop_sql, stop_function: src/include/catalog/
 *	pg_proc.dat, and system_functions.sql (system_views.sql in 13) with the
 *	names: pg_start_backup(label, fast, exclusive) and
 *	pg_stop_backup(exclusive, wait_for_archive) until 14,
 *	pg_backup_start(label, fast) and pg_backup_stop(wait_for_archive) from
 *	15, whose release notes tell of it. `exclusive` must be false: an
 *	exclusive backup leaves a backup_label in the live PGDATA.
 * image_compressed, image_applied: BKPIMAGE_* of src/include/access/
 *	xlogrecord.h. 15 has three ways to compress, and moved the other bit.
 * has_top_transaction: XLR_BLOCK_ID_TOPLEVEL_XID there, from 14.
 *
 * Only 15 was compared with a server. Of the others, structs and page magics
 * were compared with the copy that pgBackRest has; functions, bits of images and
 * manifests are as the documentation says, and as read in copies of these files
 * elsewhere, not in the release itself.
 */
#include "config.h"

#include "engines/postgres/versions.h"

#define CONTROL_1300                                                    \
	{                                                               \
		.system_identifier = 0, .state = 16, .check_point = 32, \
		.redo = 40, .timeline = 48, .min_recovery_point = 136,  \
		.min_recovery_timeline = 144, .max_align = 204,         \
		.float_format = 208, .block_bytes = 216,                \
		.segment_blocks = 220, .wal_block_bytes = 224,          \
		.wal_segment_bytes = 228, .data_checksum_version = 252, \
		.crc = 288                                              \
	}
#define CONTROL_1700 CONTROL_1300

#define START_OLD "SELECT pg_start_backup($1, true, false)"
#define STOP_OLD \
	"SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)"
#define START "SELECT pg_backup_start($1, true)"
#define STOP "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(false)"

#define FUNCTIONS_OLD                              \
	"pg_start_backup(text, boolean, boolean)", \
	    "pg_stop_backup(boolean, boolean)"
#define FUNCTIONS "pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"

#define IMAGE_OLD 0x02, 0x04
#define IMAGE 0x04 | 0x08 | 0x10, 0x02

static const struct still_pg_version versions[] = {
    {13, 1300, 0xd106, 1, START_OLD, STOP_OLD, FUNCTIONS_OLD, IMAGE_OLD, false,
	CONTROL_1300},
    {14, 1300, 0xd10d, 1, START_OLD, STOP_OLD, FUNCTIONS_OLD, IMAGE_OLD, true,
	CONTROL_1300},
    {15, 1300, 0xd110, 1, START, STOP, FUNCTIONS, IMAGE, true, CONTROL_1300},
    {16, 1300, 0xd113, 1, START, STOP, FUNCTIONS, IMAGE, true, CONTROL_1300},
    {17, 1700, 0xd116, 2, START, STOP, FUNCTIONS, IMAGE, true, CONTROL_1700},
};

#define N_VERSIONS (sizeof(versions) / sizeof(versions[0]))

_Static_assert(N_VERSIONS == STILL_PG_MAJOR_MAX - STILL_PG_MAJOR_MIN + 1,
    "each in its place");

const struct still_pg_version *still_pg_version(int major)
{
	if (major < STILL_PG_MAJOR_MIN || major > STILL_PG_MAJOR_MAX)
		return NULL;
	return &versions[major - STILL_PG_MAJOR_MIN];
}

const struct still_pg_control_layout *still_pg_control_layout(
    uint32_t control_version)
{
	for (size_t i = 0; i < N_VERSIONS; i++)
		if (versions[i].control_version == control_version)
			return &versions[i].control;
	return NULL;
}
