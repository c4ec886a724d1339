/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/control.h"
#include "engines/postgres/wal_name.h"

/* None of these waits for anything but the disk. */
#define LIMIT_NS (60 * STILL_NS_PER_S)

/* One row always: without such a slot its columns are NULL. */
static const char look_sql[] =
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
    "ELSE pg_current_wal_lsn() END, "
    "(SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), "
    "s.slot_type, s.temporary::text, s.restart_lsn, s.wal_status, "
    "s.safe_wal_size FROM (VALUES (1)) AS one "
    "LEFT JOIN pg_replication_slots AS s ON s.slot_name = $1";

enum column {
	CURRENT,
	LIMIT,
	TYPE,
	TEMPORARY,
	RESTART,
	STATUS,
	SAFE
};

void still_pg_slot_name(
    uint64_t system_identifier, uid_t uid, char ret_name[STILL_PG_SLOT_MAX])
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "/%ju",
	    system_identifier, (uintmax_t) uid);

	snprintf(ret_name, STILL_PG_SLOT_MAX, "stillfs_%08" PRIx32,
	    (uint32_t) still_hash64(text, (size_t) n));
}

/* ---- what the server says ------------------------------------------------ */

static bool take_lsn(
    const struct still_pg_rows *rows, enum column column, uint64_t *ret)
{
	const char *text = still_pg_rows_get(rows, 0, column);

	*ret = 0;
	return !text || still_pg_lsn_parse(text, ret);
}

/* NULL is `missing`. */
static bool take_number(const struct still_pg_rows *rows, enum column column,
    int64_t missing, int64_t *ret)
{
	const char *text = still_pg_rows_get(rows, 0, column);
	char *end;

	*ret = missing;
	if (!text)
		return true;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return end != text && !*end && !errno;
}

static bool is(
    const struct still_pg_rows *rows, enum column column, const char *word)
{
	const char *text = still_pg_rows_get(rows, 0, column);

	return text && strcmp(text, word) == 0;
}

static enum still_pg_slot_state state_of(
    const struct still_pg_rows *rows, uint64_t restart_lsn)
{
	if (!still_pg_rows_get(rows, 0, TYPE))
		return STILL_PG_SLOT_NONE;
	if (!is(rows, TYPE, "physical") || !is(rows, TEMPORARY, "false"))
		return STILL_PG_SLOT_FOREIGN;
	if (restart_lsn == 0 || is(rows, STATUS, "lost"))
		return STILL_PG_SLOT_LOST;
	if (is(rows, STATUS, "reserved"))
		return STILL_PG_SLOT_RESERVED;
	return is(rows, STATUS, "extended") ? STILL_PG_SLOT_EXTENDED
					    : STILL_PG_SLOT_UNRESERVED;
}

int still_pg_slot_look(struct still_pg_session *session, const char *name,
    int64_t limit_ns, struct still_pg_slot *ret, struct still_error *err)
{
	const char *args[] = {name};
	struct still_pg_slot it = {0};
	struct still_pg_rows rows;
	int64_t limit_mb;
	int64_t safe;
	bool good;
	int rc;

	rc = still_pg_session_query(session, "look at the replication slot",
	    look_sql, args, 1, limit_ns, &rows, err);
	if (rc < 0)
		return rc;
	snprintf(it.name, sizeof(it.name), "%s", name);
	good = rows.n == 1 && take_lsn(&rows, CURRENT, &it.current_lsn) &&
	    take_lsn(&rows, RESTART, &it.restart_lsn) &&
	    take_number(&rows, LIMIT, -1, &limit_mb) &&
	    take_number(&rows, SAFE, 0, &safe);
	if (good) {
		it.limit_bytes = limit_mb < 0 ? -1 : limit_mb * 1024 * 1024;
		it.safe_bytes = safe < 0 ? 0 : (uint64_t) safe;
		it.state = state_of(&rows, it.restart_lsn);
		*ret = it;
	}
	still_pg_rows_release(&rows);
	return good ? 0
		    : still_error_set(err, STILL_ERR_CORRUPT, 0,
			  "Connect to the server itself; if this is one, "
			  "report a bug.",
			  "server: says of its replication slot what no "
			  "PostgreSQL server says");
}

uint64_t still_pg_slot_held_bytes(const struct still_pg_slot *slot)
{
	return slot->restart_lsn == 0 || slot->current_lsn < slot->restart_lsn
	    ? 0
	    : slot->current_lsn - slot->restart_lsn;
}

static uint64_t last_checkpoint(const char *pgdata)
{
	struct still_pg_control control = {.check_point_lsn = 0};
	char data[STILL_PG_CONTROL_BYTES];
	char *path = still_path_join(pgdata, "global/pg_control");
	int fd = path ? still_sys_open_beneath(AT_FDCWD, path, O_RDONLY) : -1;
	ssize_t n = fd >= 0 ? still_sys_pread(fd, data, sizeof(data), 0) : -1;

	if (n < 0 ||
	    still_pg_control_parse(data, (size_t) n, &control, NULL) < 0)
		control.check_point_lsn = 0;
	if (fd >= 0)
		close(fd);
	free(path);
	return control.check_point_lsn;
}

uint64_t still_pg_slot_kept_bytes(
    const struct still_pg_slot *slot, const char *pgdata)
{
	struct still_pg_slot now = *slot;
	uint64_t lsn = last_checkpoint(pgdata);

	if (now.current_lsn < lsn)
		now.current_lsn = lsn;
	return still_pg_slot_held_bytes(&now);
}

/* ---- which one ------------------------------------------------------------ */

int still_pg_slot_made(const char *pgdata, const char *name,
    char ret_made[STILL_PG_SLOT_MADE_MAX], struct still_error *err)
{
	struct statx st;
	char *path;
	int rc = 0;

	if (asprintf(&path, "%s/pg_replslot/%s", pgdata, name) < 0)
		return still_error_nomem(err);
	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME,
		&st) != 0)
		rc = still_error_sys(err, errno, NULL, "`%s`", path);
	else if (st.stx_mask & STATX_BTIME)
		snprintf(ret_made, STILL_PG_SLOT_MADE_MAX,
		    "%" PRIu64 " %lld.%09u", (uint64_t) st.stx_ino,
		    (long long) st.stx_btime.tv_sec,
		    (unsigned) st.stx_btime.tv_nsec);
	else
		snprintf(ret_made, STILL_PG_SLOT_MADE_MAX, "%" PRIu64,
		    (uint64_t) st.stx_ino);
	free(path);
	return rc;
}

/* ---- what is done to it --------------------------------------------------- */

/* "all replication slots are in use" has a SQLSTATE of its own; both
 * wal_level = minimal and max_replication_slots = 0 are "not in prerequisite
 * state". */
static int explain(
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

static int run(struct still_pg_session *session, const char *doing,
    const char *sql, const char *const *args, size_t n_args,
    struct still_error *err)
{
	struct still_pg_rows rows;
	int rc = still_pg_session_query(
	    session, doing, sql, args, n_args, LIMIT_NS, &rows, err);

	if (rc == 0)
		still_pg_rows_release(&rows);
	return rc;
}

int still_pg_slot_create(struct still_pg_session *session, const char *name,
    bool temporary, struct still_error *err)
{
	const char *args[] = {name, temporary ? "true" : "false"};
	int rc = run(session,
	    temporary ? "create a temporary slot" : "create a slot",
	    "SELECT pg_create_physical_replication_slot($1, true, $2)", args, 2,
	    err);

	return rc < 0 ? explain(session, rc, err) : 0;
}

int still_pg_slot_drop(
    struct still_pg_session *session, const char *name, struct still_error *err)
{
	const char *args[] = {name};

	return run(session, "drop the slot",
	    "SELECT pg_drop_replication_slot($1)", args, 1, err);
}

int still_pg_slot_advance(struct still_pg_session *session, const char *name,
    uint64_t lsn, struct still_error *err)
{
	char text[32];
	const char *args[] = {name, text};

	snprintf(text, sizeof(text), STILL_PG_LSN, STILL_PG_LSN_ARGS(lsn));
	return run(session, "advance the slot",
	    "SELECT pg_replication_slot_advance($1, $2)", args, 2, err);
}
