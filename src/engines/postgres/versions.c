/* SPDX-License-Identifier: MIT */
/*
 * The sources of the table, all of PostgreSQL's own tree:
 *
 * control_version, control: src/include/catalog/pg_control.h. The struct of
 *	version 1300 is that of 13, 14, 15 and 16 (13 calls a field of the
 *	checkpoint nextFullXid, the later ones nextXid; the type is the same).
 *	1700, released with 17, differs by `int wal_level` in the checkpoint,
 *	which takes the place of padding behind fullPageWrites and moves
 *	nothing (commit 2b5819e2b4 of REL_17_STABLE; beta versions of 17 before
 *	it said 1300). The offsets are the compiler's, for machines on which
 *	64-bit integers are aligned to 8 bytes; tests compare them with those of
 *	the installed server's header.
 * wal_magic: src/include/access/xlog_internal.h. 17 has 0xD116 since the same
 *	commit; versions before its release had smaller numbers.
 * manifest_version: src/backend/backup/backup_manifest.c (until 15 in
 *	src/backend/replication/).
 * start_sql, stop_sql: src/include/catalog/pg_proc.dat. 15 renamed the
 *	functions and dropped `exclusive`, which must be false before: an
 *	exclusive backup leaves a backup_label in the live PGDATA.
 *
 * Only 15 was compared with a server. The others are as read.
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

static const struct still_pg_version versions[] = {
    {13, 1300, 0xd106, 1, START_OLD, STOP_OLD, CONTROL_1300},
    {14, 1300, 0xd10d, 1, START_OLD, STOP_OLD, CONTROL_1300},
    {15, 1300, 0xd110, 1, START, STOP, CONTROL_1300},
    {16, 1300, 0xd113, 1, START, STOP, CONTROL_1300},
    {17, 1700, 0xd116, 2, START, STOP, CONTROL_1700},
};

#define N_VERSIONS (sizeof(versions) / sizeof(versions[0]))

const struct still_pg_version *still_pg_version(int major)
{
	for (size_t i = 0; i < N_VERSIONS; i++)
		if (versions[i].major == major)
			return &versions[i];
	return NULL;
}

const struct still_pg_control_layout *still_pg_control_layout(
    uint32_t control_version)
{
	for (size_t i = 0; i < N_VERSIONS; i++)
		if (versions[i].control_version == control_version)
			return &versions[i].control;
	return NULL;
}
