/* SPDX-License-Identifier: MIT */
#include "postgres.h"

#include "access/xlog_internal.h"
#include "access/xlogrecord.h"
#include "catalog/pg_control.h"

#include "tests/lib/server_facts.h"

/* Until 14 there is one way to compress an image. */
#ifdef BKPIMAGE_IS_COMPRESSED
#	define COMPRESSED BKPIMAGE_IS_COMPRESSED
#else
#	define COMPRESSED                                        \
		(BKPIMAGE_COMPRESS_PGLZ | BKPIMAGE_COMPRESS_LZ4 | \
		    BKPIMAGE_COMPRESS_ZSTD)
#endif

#define AT(field) offsetof(ControlFileData, field)

const struct server_facts server_facts = {
    .major = PG_VERSION_NUM / 10000,
    .control_version = PG_CONTROL_VERSION,
    .wal_magic = XLOG_PAGE_MAGIC,
    .image_compressed = COMPRESSED,
    .image_applied = BKPIMAGE_APPLY,
    .control_bytes = sizeof(ControlFileData),
    .control_file_bytes = PG_CONTROL_FILE_SIZE,
    .system_identifier = AT(system_identifier),
    .version = AT(pg_control_version),
    .catalog_version = AT(catalog_version_no),
    .state = AT(state),
    .check_point = AT(checkPoint),
    .redo = AT(checkPointCopy) + offsetof(CheckPoint, redo),
    .timeline = AT(checkPointCopy) + offsetof(CheckPoint, ThisTimeLineID),
    .min_recovery_point = AT(minRecoveryPoint),
    .min_recovery_timeline = AT(minRecoveryPointTLI),
    .max_align = AT(maxAlign),
    .float_format = AT(floatFormat),
    .block_bytes = AT(blcksz),
    .segment_blocks = AT(relseg_size),
    .wal_block_bytes = AT(xlog_blcksz),
    .wal_segment_bytes = AT(xlog_seg_size),
    .data_checksum_version = AT(data_checksum_version),
    .crc = AT(crc),
    .last_state = DB_IN_PRODUCTION,
    .production = DB_IN_PRODUCTION,
};
