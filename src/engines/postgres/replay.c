/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* XLOG_PARAMETER_CHANGE of pg_control.h; xl_parameter_change of xlog_internal.h,
 * the same from 13 to 17: five settings, then wal_level, each an int. */
#define PARAMETER_CHANGE 0x60
#define WAL_LEVEL_AT 20
#define WAL_LEVEL_MINIMAL 0
#define LOCATION_MAX 1024 /* MAXPGPATH */

void still_pg_replay_see(
    struct still_pg_replay *replay, const struct still_pg_wal_record *record)
{
	if (replay->last_lsn == 0)
		replay->previous_lsn = record->previous_lsn;
	replay->last_lsn = record->lsn;
}

/* xl_tblspc_create_rec: the OID, and where it is, with its NUL. Its name is in a
 * page of a catalog. */
static const char *tell_tablespace(
    const struct still_pg_wal_record *record, char text[STILL_PG_OBSTACLE_MAX])
{
	uint32_t oid;
	size_t len;

	if (!record->data || record->data_bytes <= sizeof(oid))
		return "a tablespace was made";
	len = record->data_bytes - sizeof(oid);
	memcpy(&oid, record->data, sizeof(oid));
	snprintf(text, STILL_PG_OBSTACLE_MAX,
	    "tablespace %" PRIu32 " was made at `%.*s`", oid,
	    (int) (len < LOCATION_MAX ? len : LOCATION_MAX),
	    (const char *) record->data + sizeof(oid));
	return text;
}

const char *still_pg_replay_obstacle(
    const struct still_pg_wal_record *record, char text[STILL_PG_OBSTACLE_MAX])
{
	int32_t wal_level;

	if (still_pg_wal_record_is(
		record, STILL_PG_RM_TABLESPACE, STILL_PG_TABLESPACE_CREATE))
		return tell_tablespace(record, text);
	if (!still_pg_wal_record_is(
		record, STILL_PG_RM_XLOG, PARAMETER_CHANGE) ||
	    !record->data ||
	    record->data_bytes < WAL_LEVEL_AT + sizeof(wal_level))
		return NULL;
	memcpy(&wal_level, record->data + WAL_LEVEL_AT, sizeof(wal_level));
	return wal_level == WAL_LEVEL_MINIMAL
	    ? "the server wrote too little WAL (wal_level was minimal)"
	    : NULL;
}
