/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/backup_mode.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/slot.h"
#include "engines/postgres/versions.h"
#include "engines/postgres/wal_name.h"

/* What needs no checkpoint. */
#define LIMIT_NS (60 * STILL_NS_PER_S)

static int take_lsn(
    const struct still_pg_rows *rows, uint64_t *ret, struct still_error *err)
{
	const char *text = still_pg_rows_get(rows, 0, 0);

	if (text && still_pg_lsn_parse(text, ret))
		return 0;
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "Connect to the server itself; if this is one, report a bug.",
	    "server: gives no place in the WAL");
}

static int make_slot(
    struct still_pg_session *session, char name[], struct still_error *err)
{
	int rc;

	snprintf(name, STILL_PG_SLOT_MAX, "stillfs_%d", (int) getpid());
	rc = still_pg_slot_create(session, name, true, err);
	if (rc < 0 && strcmp(still_pg_session_state(session), "42710") == 0) {
		snprintf(name, STILL_PG_SLOT_MAX, "stillfs_%d_%d",
		    (int) getpid(), still_pg_session_pid(session));
		rc = still_pg_slot_create(session, name, true, err);
	}
	return rc;
}

static int refuse_version(struct still_error *err)
{
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "Run `stillctl check`: it tells which versions stillfs knows.",
	    "server: is of a version that stillfs does not know");
}

int still_pg_backup_begin(struct still_pg_session *session, const char *label,
    bool keeps, struct still_pg_begun *ret, struct still_error *err)
{
	const char *args[] = {label};
	const struct still_pg_version *version = still_pg_version(
	    still_pg_session_version(session) / 10000);
	struct still_pg_begun begun = {0};
	struct still_pg_rows rows;
	int rc;

	if (!version)
		return refuse_version(err);
	rc = keeps ? 0 : make_slot(session, begun.slot, err);
	if (rc < 0)
		return rc;
	rc = still_pg_session_query(session, "start the backup",
	    version->start_sql, args, 1, 0, &rows, err);
	if (rc < 0)
		return rc;
	rc = take_lsn(&rows, &begun.start_lsn, err);
	still_pg_rows_release(&rows);
	if (rc == 0)
		*ret = begun;
	return rc;
}

int still_pg_backup_end(struct still_pg_session *session,
    struct still_pg_ended *ret, struct still_error *err)
{
	const struct still_pg_version *version = still_pg_version(
	    still_pg_session_version(session) / 10000);
	struct still_pg_ended ended = {0};
	struct still_pg_rows rows;
	const char *label;
	const char *map;
	int rc;

	if (!version)
		return refuse_version(err);
	rc = still_pg_session_query(session, "stop the backup",
	    version->stop_sql, NULL, 0, LIMIT_NS, &rows, err);
	if (rc < 0)
		return rc;
	label = still_pg_rows_get(&rows, 0, 1);
	map = still_pg_rows_get(&rows, 0, 2);
	rc = take_lsn(&rows, &ended.stop_lsn, err);
	if (rc == 0) {
		ended.label = strdup(label ? label : "");
		ended.tablespace_map = strdup(map ? map : "");
		if (!ended.label || !ended.tablespace_map)
			rc = still_error_nomem(err);
		else
			ended.label_len = strlen(ended.label);
	}
	still_pg_rows_release(&rows);
	if (rc < 0)
		still_pg_ended_release(&ended);
	else
		*ret = ended;
	return rc;
}

void still_pg_ended_release(struct still_pg_ended *ended)
{
	free(ended->label);
	free(ended->tablespace_map);
	*ended = (struct still_pg_ended){0};
}
