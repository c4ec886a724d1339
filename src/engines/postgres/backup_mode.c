/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/backup_mode.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
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

static int create_slot(
    struct still_pg_session *session, const char *name, struct still_error *err)
{
	const char *args[] = {name};
	struct still_pg_rows rows;
	int rc;

	rc = still_pg_session_query(session, "create a temporary slot",
	    "SELECT pg_create_physical_replication_slot($1, true, true)", args,
	    1, LIMIT_NS, &rows, err);
	if (rc == 0)
		still_pg_rows_release(&rows);
	return rc;
}

/* "all replication slots are in use" has a SQLSTATE of its own; both
 * wal_level = minimal and max_replication_slots = 0 are "not in prerequisite
 * state". */
static int explain_slot(
    const struct still_pg_session *session, int rc, struct still_error *err)
{
	const char *state = still_pg_session_state(session);

	if (strcmp(state, "53400") == 0)
		return still_error_set(err, STILL_ERR_AGAIN, 0,
		    "Raise `max_replication_slots` and restart the server, or "
		    "drop a slot that nobody uses (pg_replication_slots).",
		    "server: has no free replication slot");
	if (strcmp(state, "55000") == 0)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Set `wal_level = replica` and `max_replication_slots` to "
		    "1 or more, and restart the server.",
		    "server: gives no replication slots: wal_level is minimal, "
		    "or max_replication_slots is 0");
	return rc;
}

static int make_slot(
    struct still_pg_session *session, char name[], struct still_error *err)
{
	int rc;

	snprintf(name, STILL_PG_SLOT_MAX, "stillfs_%d", (int) getpid());
	rc = create_slot(session, name, err);
	if (rc == STILL_ERR_FAILED &&
	    strcmp(still_pg_session_state(session), "42710") == 0) {
		snprintf(name, STILL_PG_SLOT_MAX, "stillfs_%d_%d",
		    (int) getpid(), still_pg_session_pid(session));
		rc = create_slot(session, name, err);
	}
	return rc < 0 ? explain_slot(session, rc, err) : 0;
}

static int refuse_version(struct still_error *err)
{
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "Run `stillctl check`: it tells which versions stillfs knows.",
	    "server: is of a version that stillfs does not know");
}

int still_pg_backup_begin(struct still_pg_session *session, const char *label,
    struct still_pg_begun *ret, struct still_error *err)
{
	const char *args[] = {label};
	const struct still_pg_version *version = still_pg_version(
	    still_pg_session_version(session) / 10000);
	struct still_pg_begun begun = {0};
	struct still_pg_rows rows;
	int rc;

	if (!version)
		return refuse_version(err);
	rc = make_slot(session, begun.slot, err);
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
