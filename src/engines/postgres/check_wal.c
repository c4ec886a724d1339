/* SPDX-License-Identifier: MIT */
/* check_wal: the WAL of a cluster in a set: rule 4 of check.h. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "engines/postgres/check_parts.h"
#include "engines/postgres/layout.h"
#include "engines/postgres/wal_name.h"
#include "engines/postgres/wal_walk.h"

struct segments {
	const struct still_pg_checking *checking;
	uint64_t number; /* of the one that is open */
	int fd;          /* negative: none is */
	char path[sizeof(STILL_PG_DATA "pg_wal/") + STILL_PG_WAL_NAME_CHARS];
};

static int open_segment(
    struct segments *segments, uint64_t number, struct still_error *err)
{
	const struct still_pg_checking *checking = segments->checking;
	uint32_t bytes = checking->control.wal_segment_bytes;
	struct still_pg_wal_segment segment = {
	    checking->label.timeline, number};
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	struct stat st;
	int rc;

	if (segments->fd >= 0)
		close(segments->fd);
	segments->fd = -1;
	still_pg_wal_name(&segment, bytes, name);
	snprintf(segments->path, sizeof(segments->path),
	    STILL_PG_DATA "pg_wal/%s", name);
	rc = still_pg_check_open(
	    checking, segments->path, &segments->fd, &st, err);
	if (rc < 0)
		return rc;
	segments->number = number;
	if ((uint64_t) st.st_size != bytes)
		return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
		    "`pg_wal/%s`: has %" PRIu64
		    " bytes, and a segment of the WAL has %" PRIu32,
		    name, (uint64_t) st.st_size, bytes);
	return 0;
}

static ssize_t read_segment(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	struct segments *segments = arg;
	int rc = 0;

	if (segments->fd < 0 || segments->number != segment)
		rc = open_segment(segments, segment, err);
	if (rc == 0)
		rc = still_pg_check_read(
		    segments->fd, segments->path, data, len, off_bytes, err);
	return rc < 0 ? rc : (ssize_t) len;
}

int still_pg_check_wal(
    struct still_pg_checking *checking, struct still_error *err)
{
	const struct still_pg_control *control = &checking->control;
	struct segments segments = {.checking = checking, .fd = -1};
	struct still_pg_wal_walk walk = {
	    .format =
		{
		    .major = (unsigned) checking->version->major,
		    .page_magic = checking->version->wal_magic,
		    .page_bytes = control->wal_block_bytes,
		    .segment_bytes = control->wal_segment_bytes,
		    .block_bytes = control->block_bytes,
		    .timeline = checking->label.timeline,
		    .system_identifier = control->system_identifier,
		},
	    .start_lsn = checking->label.start_lsn,
	    .stop_lsn = checking->manifest.head.end_lsn,
	    .read = read_segment,
	    .read_arg = &segments,
	    .each = still_pg_covered_record,
	};
	int rc;

	checking->covered = still_pg_covered_new();
	if (!checking->covered)
		return still_error_nomem(err);
	walk.each_arg = checking->covered;
	rc = still_pg_wal_walk(&walk, NULL, err);
	if (segments.fd >= 0)
		close(segments.fd);
	/* The range is what the set says. */
	return rc == STILL_ERR_INVALID ? STILL_ERR_CORRUPT : rc;
}
