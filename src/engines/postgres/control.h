/* SPDX-License-Identifier: MIT */
/*
 * control: global/pg_control, as bytes.
 *
 * The file has 8192 bytes, of which the server uses the first 292 (versions.h
 * says where what is), in the byte order and with the alignment of its machine.
 * The server writes it in place, while others may read it: a copy whose CRC-32C
 * is wrong was caught in the middle, and is read again.
 *
 * PROTECTION. A restored backup without its backup_label starts, recovers from
 * the last checkpoint that pg_control names, which is that of some moment during
 * the copy, and is silently wrong. With the label the server takes the place of
 * the checkpoint from there and does not look at this field. So in what we serve
 * the field holds a place where no checkpoint can be: without the label the
 * server refuses to start. All else stays, also the state and the
 * minRecoveryPoint, by which a backup of a standby recovers.
 *
 * Pure functions; any thread.
 */
#ifndef POSTGRES_CONTROL_H
#define POSTGRES_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define STILL_PG_CONTROL_BYTES 8192

/* In the first WAL segment, which no cluster has had since its initdb: WAL
 * begins with segment 1. pgBackRest uses the same number. */
#define STILL_PG_CONTROL_NOWHERE UINT64_C(0xdead)

/* DBState of pg_control.h. */
enum still_pg_state {
	STILL_PG_STARTUP,
	STILL_PG_SHUT_DOWN,
	STILL_PG_SHUT_DOWN_IN_RECOVERY,
	STILL_PG_SHUTTING_DOWN,
	STILL_PG_CRASH_RECOVERY,
	STILL_PG_ARCHIVE_RECOVERY,
	STILL_PG_PRODUCTION,
	STILL_PG_STATE_COUNT
};

struct still_pg_control {
	uint64_t system_identifier;
	uint32_t version;         /* PG_CONTROL_VERSION */
	uint32_t catalog_version; /* as in the names of tablespaces' folders */
	enum still_pg_state state;
	uint64_t check_point_lsn; /* the record of the last checkpoint */
	uint64_t redo_lsn;        /* where recovery from it begins */
	uint32_t timeline;
	uint64_t min_recovery_lsn; /* 0 unless in archive recovery */
	uint32_t min_recovery_timeline;
	uint32_t block_bytes;    /* of data files */
	uint32_t segment_blocks; /* in each file of a big relation */
	uint32_t wal_block_bytes;
	uint32_t wal_segment_bytes;
	uint32_t data_checksum_version; /* 0: pages have no checksums */
};

/*
 * Check and take apart a whole file. CORRUPT: not 8192 bytes, a wrong CRC, or
 * values that cannot be; a copy of a live file may be whole the next time.
 * UNSUPPORTED: of a version or a machine that we do not know, or with blocks
 * that are not of 8192 bytes (page.h).
 */
int still_pg_control_parse(const void *data, size_t len,
    struct still_pg_control *ret, struct still_error *err);

/* Make it useless without a backup_label. Fails as parse does, and then leaves
 * it as it is. */
int still_pg_control_protect(void *data, size_t len, struct still_error *err);

#endif
