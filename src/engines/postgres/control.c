/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/control.h"

#include <byteswap.h>
#include <string.h>

#include "base/crc32c.h"
#include "engines/postgres/page.h"
#include "engines/postgres/versions.h"

#define OBJECT "`global/pg_control`"

/* By these the server knows a machine like its own (pg_control.h). */
#define MAX_ALIGN 8
#define FLOAT_FORMAT 1234567.0

#define WAL_SEGMENT_MIN (UINT32_C(1) << 20)
#define WAL_SEGMENT_MAX (UINT32_C(1) << 30)
#define WAL_BLOCK_MIN (UINT32_C(1) << 10)
#define WAL_BLOCK_MAX (UINT32_C(1) << 16)

static uint32_t get4(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint64_t get8(const uint8_t *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static uint32_t crc_of(const uint8_t *bytes, size_t len)
{
	return still_crc32c_end(still_crc32c(STILL_CRC32C_INIT, bytes, len));
}

static int corrupt(struct still_error *err, const char *what, uint64_t value)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
	    OBJECT ": %s %llu", what, (unsigned long long) value);
}

static int unknown_version(uint32_t version, struct still_error *err)
{
	/* The server's own guess, too (xlog.c, ReadControlFile). */
	if (version % 65536 == 0 && version / 65536 != 0)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Back this cluster up on a machine like its own.",
		    OBJECT ": is of a machine with another byte order "
			   "(version %lu)",
		    (unsigned long) bswap_32(version));
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "PostgreSQL 13 to 17 are supported.",
	    OBJECT ": has version %lu, which is not known",
	    (unsigned long) version);
}

static void take(const uint8_t *bytes, const struct still_pg_control_layout *at,
    struct still_pg_control *ret)
{
	ret->system_identifier = get8(bytes + at->system_identifier);
	ret->version = get4(bytes + STILL_PG_CONTROL_VERSION_AT);
	ret->catalog_version = get4(bytes + STILL_PG_CONTROL_CATALOG_AT);
	ret->state = (enum still_pg_state) get4(bytes + at->state);
	ret->check_point_lsn = get8(bytes + at->check_point);
	ret->redo_lsn = get8(bytes + at->redo);
	ret->timeline = get4(bytes + at->timeline);
	ret->min_recovery_lsn = get8(bytes + at->min_recovery_point);
	ret->min_recovery_timeline = get4(bytes + at->min_recovery_timeline);
	ret->block_bytes = get4(bytes + at->block_bytes);
	ret->segment_blocks = get4(bytes + at->segment_blocks);
	ret->wal_block_bytes = get4(bytes + at->wal_block_bytes);
	ret->wal_segment_bytes = get4(bytes + at->wal_segment_bytes);
	ret->data_checksum_version = get4(bytes + at->data_checksum_version);
}

static bool power_between(uint32_t value, uint32_t min, uint32_t max)
{
	return value >= min && value <= max && (value & (value - 1)) == 0;
}

/* A good CRC says that a server wrote it, not that we know such a server. */
static int check_machine(const uint8_t *bytes,
    const struct still_pg_control_layout *at, struct still_error *err)
{
	double number;

	memcpy(&number, bytes + at->float_format, sizeof(number));
	if (get4(bytes + at->max_align) != MAX_ALIGN || number < FLOAT_FORMAT ||
	    number > FLOAT_FORMAT)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Back this cluster up on a machine like its own.",
		    OBJECT ": is of a machine with other numbers");
	return 0;
}

static int check_values(
    const struct still_pg_control *control, struct still_error *err)
{
	if ((unsigned) control->state >= STILL_PG_STATE_COUNT)
		return corrupt(err, "there is no state", control->state);
	if (!power_between(
		control->wal_segment_bytes, WAL_SEGMENT_MIN, WAL_SEGMENT_MAX))
		return corrupt(err, "WAL segments cannot have a size of",
		    control->wal_segment_bytes);
	if (!power_between(
		control->wal_block_bytes, WAL_BLOCK_MIN, WAL_BLOCK_MAX))
		return corrupt(err, "WAL blocks cannot have a size of",
		    control->wal_block_bytes);
	if (control->segment_blocks == 0)
		return corrupt(err, "files of relations cannot have a size of",
		    control->segment_blocks);
	if (control->block_bytes != STILL_PG_PAGE_BYTES)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Only servers with blocks of 8192 bytes, the default, are "
		    "supported.",
		    OBJECT ": the server was built with blocks of %lu bytes",
		    (unsigned long) control->block_bytes);
	return 0;
}

int still_pg_control_parse(const void *data, size_t len,
    struct still_pg_control *ret, struct still_error *err)
{
	const struct still_pg_control_layout *at;
	const uint8_t *bytes = data;
	struct still_pg_control control;
	int rc;

	if (len != STILL_PG_CONTROL_BYTES)
		return corrupt(err, "has not 8192 bytes but", len);
	at = still_pg_control_layout(get4(bytes + STILL_PG_CONTROL_VERSION_AT));
	if (!at)
		return unknown_version(
		    get4(bytes + STILL_PG_CONTROL_VERSION_AT), err);
	if (get4(bytes + at->crc) != crc_of(bytes, at->crc))
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    OBJECT ": its CRC does not match its content");
	take(bytes, at, &control);
	rc = check_machine(bytes, at, err);
	if (rc >= 0)
		rc = check_values(&control, err);
	if (rc < 0)
		return rc;
	*ret = control;
	return 0;
}

int still_pg_control_protect(void *data, size_t len, struct still_error *err)
{
	const uint64_t nowhere = STILL_PG_CONTROL_NOWHERE;
	const struct still_pg_control_layout *at;
	struct still_pg_control control;
	uint8_t *bytes = data;
	uint32_t crc;
	int rc = still_pg_control_parse(data, len, &control, err);

	if (rc < 0)
		return rc;
	at = still_pg_control_layout(control.version);
	memcpy(bytes + at->check_point, &nowhere, sizeof(nowhere));
	crc = crc_of(bytes, at->crc);
	memcpy(bytes + at->crc, &crc, sizeof(crc));
	return 0;
}
