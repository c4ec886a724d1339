/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines/postgres/versions.h"

/* data_directory through the view: current_setting() fails where the role may
 * not see it, the view leaves it out. The timeline of a primary is that of what
 * it writes now; the last checkpoint can be older than a promotion. */
static const char facts_sql[] =
    "SELECT current_setting('server_version_num'), "
    "current_setting('server_version'), "
    "(SELECT setting FROM pg_settings WHERE name = 'data_directory'), "
    "s.system_identifier, s.catalog_version_no, "
    "CASE WHEN pg_is_in_recovery() THEN c.timeline_id ELSE "
    "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))"
    "::bit(32)::int END, "
    "current_setting('block_size'), current_setting('wal_block_size'), "
    "(SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'), "
    "current_setting('data_checksums'), current_setting('full_page_writes'), "
    "CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END, "
    "current_setting('wal_level'), current_setting('max_wal_senders'), "
    "current_setting('max_replication_slots'), "
    "(SELECT count(*) FROM pg_replication_slots), "
    "current_user, current_database(), "
    "CASE WHEN r.rolsuper THEN 'on' ELSE 'off' END, "
    "CASE WHEN r.rolsuper OR r.rolreplication THEN 'on' ELSE 'off' END "
    "FROM pg_control_system() AS s, pg_control_checkpoint() AS c, "
    "pg_roles AS r WHERE r.rolname = current_user";

static const char rights_sql[] =
    "SELECT CASE WHEN has_function_privilege($1, 'EXECUTE') "
    "THEN 'on' ELSE 'off' END, "
    "CASE WHEN has_function_privilege($2, 'EXECUTE') "
    "THEN 'on' ELSE 'off' END, "
    "CASE WHEN has_function_privilege($3, 'EXECUTE') "
    "THEN 'on' ELSE 'off' END";

static const char tablespaces_sql[] =
    "SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace "
    "WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid";

static const char databases_sql[] =
    "SELECT oid, datname FROM pg_database ORDER BY oid";

/* ---- one row, column by column ------------------------------------------- */

struct columns {
	const struct still_pg_rows *rows;
	size_t row;
	size_t next;
	bool bad; /* something was no such value */
	bool nomem;
};

static uint64_t take_number(struct columns *columns, uint64_t max)
{
	const char *text = still_pg_rows_get(
	    columns->rows, columns->row, columns->next++);
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9') {
		columns->bad = true;
		return 0;
	}
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end || errno || value > max) {
		columns->bad = true;
		return 0;
	}
	return value;
}

static bool take_switch(struct columns *columns)
{
	const char *text = still_pg_rows_get(
	    columns->rows, columns->row, columns->next++);

	if (!text || (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)) {
		columns->bad = true;
		return false;
	}
	return strcmp(text, "on") == 0;
}

/* Owned by the caller; NULL for SQL's NULL. */
static char *take_text(struct columns *columns)
{
	const char *text = still_pg_rows_get(
	    columns->rows, columns->row, columns->next++);
	char *copy;

	if (!text)
		return NULL;
	copy = strdup(text);
	columns->nomem |= !copy;
	return copy;
}

static int judge(const struct columns *columns, struct still_error *err)
{
	if (columns->nomem)
		return still_error_nomem(err);
	if (!columns->bad)
		return 0;
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "Connect to the server itself; if this is one, report a bug.",
	    "server: says of itself what no PostgreSQL server says");
}

/* ---- the questions ------------------------------------------------------- */

static void take_facts(struct columns *columns, struct still_pg_facts *facts)
{
	facts->major = (int) (take_number(columns, 10000000) / 10000);
	facts->version = take_text(columns);
	facts->data_directory = take_text(columns);
	facts->system_identifier = take_number(columns, UINT64_MAX);
	facts->catalog_version = (uint32_t) take_number(columns, UINT32_MAX);
	facts->timeline = (uint32_t) take_number(columns, UINT32_MAX);
	facts->block_bytes = (uint32_t) take_number(columns, 1 << 20);
	facts->wal_block_bytes = (uint32_t) take_number(columns, 1 << 20);
	facts->wal_segment_bytes = (uint32_t) take_number(columns, 1 << 30);
	facts->data_checksums = take_switch(columns);
	facts->full_page_writes = take_switch(columns);
	facts->in_recovery = take_switch(columns);
	facts->wal_level = take_text(columns);
	facts->max_wal_senders = (uint32_t) take_number(columns, UINT32_MAX);
	facts->max_slots = (uint32_t) take_number(columns, UINT32_MAX);
	facts->n_slots = (uint32_t) take_number(columns, UINT32_MAX);
	facts->role = take_text(columns);
	facts->database = take_text(columns);
	facts->superuser = take_switch(columns);
	facts->may_replicate = take_switch(columns);
	columns->bad |= !facts->version || !facts->wal_level || !facts->role ||
	    !facts->database;
}

static int read_facts(struct still_pg_session *session, int64_t limit_ns,
    struct still_pg_facts *facts, struct still_error *err)
{
	struct still_pg_rows rows;
	struct columns columns = {.rows = &rows};
	int rc;

	rc = still_pg_session_query(session, "look at its settings", facts_sql,
	    NULL, 0, limit_ns, &rows, err);
	if (rc < 0)
		return rc;
	take_facts(&columns, facts);
	rc = judge(&columns, err);
	still_pg_rows_release(&rows);
	return rc;
}

static int read_rights(struct still_pg_session *session, int64_t limit_ns,
    struct still_pg_facts *facts, struct still_error *err)
{
	const struct still_pg_version *version = still_pg_version(facts->major);
	const char *args[3];
	struct still_pg_rows rows;
	struct columns columns = {.rows = &rows};
	int rc;

	/* That is the obstacle then (obstacles.h). */
	if (!version)
		return 0;
	args[0] = version->start_function;
	args[1] = version->stop_function;
	args[2] = STILL_PG_SWITCH_FUNCTION;
	rc = still_pg_session_query(session, "look at the role's privileges",
	    rights_sql, args, 3, limit_ns, &rows, err);
	if (rc < 0)
		return rc;
	facts->may_start = take_switch(&columns);
	facts->may_stop = take_switch(&columns);
	facts->may_switch = take_switch(&columns);
	rc = judge(&columns, err);
	still_pg_rows_release(&rows);
	return rc;
}

static int read_slot(struct still_pg_session *session, int64_t limit_ns,
    struct still_pg_facts *facts, struct still_error *err)
{
	char name[STILL_PG_SLOT_MAX];

	still_pg_slot_name(facts->system_identifier, geteuid(), name);
	return still_pg_slot_look(session, name, limit_ns, &facts->slot, err);
}

static void release_tablespaces(struct still_pg_facts *facts)
{
	for (size_t i = 0; i < facts->n_tablespaces; i++)
		free((char *) facts->tablespaces[i].location);
	free(facts->tablespaces);
	facts->tablespaces = NULL;
	facts->n_tablespaces = 0;
}

int still_pg_facts_tablespaces(struct still_pg_session *session,
    int64_t limit_ns, struct still_pg_facts *facts, struct still_error *err)
{
	struct still_pg_rows rows;
	struct columns columns = {.rows = &rows};
	int rc;

	rc = still_pg_session_query(session, "list the tablespaces",
	    tablespaces_sql, NULL, 0, limit_ns, &rows, err);
	if (rc < 0)
		return rc;
	release_tablespaces(facts);
	facts->tablespaces = calloc(rows.n + 1, sizeof(*facts->tablespaces));
	columns.nomem = !facts->tablespaces;
	for (; facts->tablespaces && columns.row < rows.n; columns.row++) {
		struct still_pg_tablespace *it =
		    &facts->tablespaces[facts->n_tablespaces++];

		columns.next = 0;
		it->oid = (uint32_t) take_number(&columns, UINT32_MAX);
		it->location = take_text(&columns);
		columns.bad |= !it->location;
	}
	rc = judge(&columns, err);
	still_pg_rows_release(&rows);
	return rc;
}

static int read_databases(struct still_pg_session *session, int64_t limit_ns,
    struct still_pg_facts *facts, struct still_error *err)
{
	struct still_pg_rows rows;
	struct columns columns = {.rows = &rows};
	int rc;

	rc = still_pg_session_query(session, "list the databases",
	    databases_sql, NULL, 0, limit_ns, &rows, err);
	if (rc < 0)
		return rc;
	facts->databases = calloc(rows.n + 1, sizeof(*facts->databases));
	columns.nomem = !facts->databases;
	for (; facts->databases && columns.row < rows.n; columns.row++) {
		struct still_pg_database *it =
		    &facts->databases[facts->n_databases++];

		columns.next = 0;
		it->oid = (uint32_t) take_number(&columns, UINT32_MAX);
		it->name = take_text(&columns);
		columns.bad |= !it->name;
	}
	rc = judge(&columns, err);
	still_pg_rows_release(&rows);
	return rc;
}

int still_pg_facts_read(struct still_pg_session *session, int64_t limit_ns,
    struct still_pg_facts *ret, struct still_error *err)
{
	struct still_pg_facts facts = {0};
	int rc = read_facts(session, limit_ns, &facts, err);

	if (rc == 0)
		rc = read_rights(session, limit_ns, &facts, err);
	if (rc == 0)
		rc = read_slot(session, limit_ns, &facts, err);
	if (rc == 0)
		rc = still_pg_facts_tablespaces(session, limit_ns, &facts, err);
	if (rc == 0)
		rc = read_databases(session, limit_ns, &facts, err);
	if (rc < 0) {
		still_pg_facts_release(&facts);
		return rc;
	}
	*ret = facts;
	return 0;
}

void still_pg_facts_release(struct still_pg_facts *facts)
{
	release_tablespaces(facts);
	for (size_t i = 0; i < facts->n_databases; i++)
		free(facts->databases[i].name);
	free(facts->databases);
	free(facts->version);
	free(facts->data_directory);
	free(facts->wal_level);
	free(facts->role);
	free(facts->database);
	memset(facts, 0, sizeof(*facts));
}
