/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/obstacles.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/session.h"
#include "engines/postgres/versions.h"
#include "engines/postgres/wal_name.h"

#define BLOCK_BYTES 8192

/* ---- the server's words -------------------------------------------------- */

static void look_at_version(
    const char *object, int major, struct still_pg_findings *findings)
{
	if (still_pg_version(major))
		return;
	still_pg_findings_add(findings, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED,
	    object,
	    major < STILL_PG_MAJOR_MIN
		? "Upgrade the cluster; until then use its own "
		  "pg_basebackup."
		: "Use a stillfs that knows this version, or "
		  "pg_basebackup.",
	    "is of version %d; stillfs knows %d to %d", major,
	    STILL_PG_MAJOR_MIN, STILL_PG_MAJOR_MAX);
}

static void look_at_settings(const struct still_pg_facts *facts,
    enum still_pg_want want, const char *object,
    struct still_pg_findings *findings)
{
	if (facts->in_recovery)
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_UNSUPPORTED, object,
		    "Name its primary; a standby as a source comes with a "
		    "later version of stillfs.",
		    "is a standby");
	if (facts->block_bytes != BLOCK_BYTES)
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_UNSUPPORTED, object,
		    "Use pg_basebackup for a server that was built with "
		    "another block size.",
		    "has blocks of %" PRIu32 " bytes; stillfs reads those of "
		    "%d only",
		    facts->block_bytes, BLOCK_BYTES);
	if (!still_pg_wal_segment_bytes_valid(facts->wal_segment_bytes))
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_CORRUPT, object,
		    "Connect to the server itself; if this is one, report a "
		    "bug.",
		    "says that a segment of its WAL has %" PRIu32 " bytes",
		    facts->wal_segment_bytes);
	if (strcmp(facts->wal_level, "minimal") == 0)
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_UNSUPPORTED, object,
		    "Set `wal_level = replica` in postgresql.conf and restart "
		    "the server.",
		    "writes too little WAL for a backup: wal_level is minimal");
	else
		still_pg_obstacles_of_slots(facts, want, object, findings);
	if (!facts->data_checksums)
		still_pg_findings_add(findings, STILL_PG_WARNING,
		    STILL_ERR_UNSUPPORTED, object,
		    "Stop the server once and run `pg_checksums --enable`; "
		    "until then a page that the disk spoilt is copied as it "
		    "is.",
		    "its pages have no checksums and cannot be verified");
}

/* "a""b": always right, also for a name that is a word of SQL. */
static void add_identifier(struct still_buf *buf, const char *name)
{
	still_buf_str(buf, "\"");
	for (; *name; name++)
		still_buf_add(
		    buf, *name == '"' ? "\"\"" : name, *name == '"' ? 2 : 1);
	still_buf_str(buf, "\"");
}

/* `statement` is put around the role: "GRANT ... TO " and "". */
static void add_privilege(const struct still_pg_facts *facts,
    const char *object, const char *missing, const char *before,
    const char *after, bool here, struct still_pg_findings *findings)
{
	struct still_buf hint = STILL_BUF_INIT;
	char *text;

	still_buf_printf(&hint, "Run as a superuser%s%s%s: `%s",
	    here ? ", in the database `" : "", here ? facts->database : "",
	    here ? "`" : "", before);
	add_identifier(&hint, facts->role);
	still_buf_printf(&hint, "%s;`.", after);
	text = still_buf_take(&hint, NULL);
	if (text)
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_ACCESS, object, text, "%s", missing);
	else
		findings->nomem = true;
	free(text);
}

static void add_execute(const struct still_pg_facts *facts, const char *object,
    const char *function, struct still_pg_findings *findings)
{
	char *missing = NULL;
	char *before = NULL;

	if (asprintf(&missing, "may not run %s", function) < 0)
		missing = NULL;
	if (asprintf(&before, "GRANT EXECUTE ON FUNCTION pg_catalog.%s TO ",
		function) < 0)
		before = NULL;
	if (missing && before)
		add_privilege(
		    facts, object, missing, before, "", true, findings);
	else
		findings->nomem = true;
	free(missing);
	free(before);
}

static void look_at_role(const struct still_pg_facts *facts,
    enum still_pg_want want, struct still_pg_findings *findings)
{
	const struct still_pg_version *version = still_pg_version(facts->major);
	char *object = still_pg_findings_object(findings, "role", facts->role);

	if (!object)
		return;
	if (!facts->may_replicate)
		add_privilege(facts, object,
		    "has not the attribute REPLICATION, which a slot needs",
		    "ALTER ROLE ", " REPLICATION", false, findings);
	if (version && !facts->may_start)
		add_execute(facts, object, version->start_function, findings);
	if (version && !facts->may_stop)
		add_execute(facts, object, version->stop_function, findings);
	if (version && want != STILL_PG_WANT_FULL &&
	    want != STILL_PG_WANT_COPY && !facts->may_switch)
		add_execute(facts, object, STILL_PG_SWITCH_FUNCTION, findings);
	if (!facts->data_directory)
		add_privilege(facts, object,
		    "may not see where the data directory is",
		    "GRANT pg_monitor TO ", "", false, findings);
	free(object);
}

void still_pg_obstacles_of_facts(const struct still_pg_facts *facts,
    enum still_pg_want want, const char *shown,
    struct still_pg_findings *findings)
{
	char *object = still_pg_findings_object(findings, "server of", shown);

	if (!object)
		return;
	look_at_version(object, facts->major, findings);
	look_at_settings(facts, want, object, findings);
	look_at_role(facts, want, findings);
	still_pg_obstacles_of_slot(&facts->slot, want, findings);
	free(object);
}

/* ---- the files ----------------------------------------------------------- */

static char *owner_name(uid_t uid)
{
	char text[4096];
	struct passwd entry;
	struct passwd *found = NULL;
	char *name;

	if (getpwuid_r(uid, &entry, text, sizeof(text), &found) == 0 && found)
		return strdup(found->pw_name);
	return asprintf(&name, "%u", (unsigned) uid) < 0 ? NULL : name;
}

/* May we read it, and list it if it is a directory? */
static bool look_at_path(
    const char *path, uid_t owner, struct still_pg_findings *findings)
{
	struct stat st;
	char *object;
	char *name;
	char *hint = NULL;
	int sys_errno;

	if (stat(path, &st) == 0 &&
	    faccessat(AT_FDCWD, path, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK,
		AT_EACCESS) == 0)
		return true;
	sys_errno = errno;
	object = still_pg_findings_object(findings, "cluster's", path);
	name = owner_name(owner);
	if (name &&
	    asprintf(&hint, "Run stillfs as root or as user `%s`.", name) < 0)
		hint = NULL;
	if (object && hint)
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    sys_errno == ENOENT ? STILL_ERR_NOTFOUND : STILL_ERR_ACCESS,
		    object, sys_errno == ENOENT ? NULL : hint, "%s",
		    strerror(sys_errno));
	else
		findings->nomem = true;
	free(object);
	free(name);
	free(hint);
	return false;
}

static void look_at_files(
    const char *pgdata, struct still_pg_findings *findings)
{
	/* The server gives all of a kind the same mode; links are followed. */
	static const char *const parts[] = {
	    "base", "global", "global/pg_control", "pg_wal", "pg_xact"};
	struct stat st;

	if (stat(pgdata, &st) != 0)
		st.st_uid = 0;
	if (!look_at_path(pgdata, st.st_uid, findings))
		return;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char *path = still_path_join(pgdata, parts[i]);

		if (!path)
			findings->nomem = true;
		else if (!look_at_path(path, st.st_uid, findings) && i == 1)
			i++;
		free(path);
	}
}

static void look_at_tablespaces(const char *pgdata,
    const struct still_pg_facts *facts, struct still_pg_findings *findings)
{
	struct stat st;

	if (stat(pgdata, &st) != 0)
		return;
	for (size_t i = 0; i < facts->n_tablespaces; i++)
		/* One in place is below PGDATA. */
		if (facts->tablespaces[i].location[0] == '/')
			look_at_path(facts->tablespaces[i].location, st.st_uid,
			    findings);
}

/* The first field of pg_control, in every version. */
static bool read_identifier(const char *pgdata, uint64_t *ret)
{
	char *path = still_path_join(pgdata, "global/pg_control");
	int fd = path ? still_sys_open_beneath(AT_FDCWD, path, O_RDONLY) : -1;
	bool whole;

	free(path);
	if (fd < 0)
		return false;
	whole = still_sys_pread(fd, ret, sizeof(*ret), 0) == sizeof(*ret);
	close(fd);
	return whole;
}

/* ---- the two together ---------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
	struct stat x;
	struct stat y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
	    x.st_ino == y.st_ino;
}

/* Is the PGDATA that was named the server's? */
static void compare_directories(const struct still_pg_examined *it,
    const char *object, struct still_pg_findings *findings)
{
	if (it->conn.pgdata && it->facts.data_directory &&
	    !same_file(it->conn.pgdata, it->facts.data_directory))
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_INVALID, object,
		    "Name the data directory of the server itself; this one "
		    "has a postmaster.pid that is not its own, or is a copy.",
		    "has its data in `%s`, not there",
		    it->facts.data_directory);
}

static void compare_identifiers(const struct still_pg_examined *it,
    const char *object, struct still_pg_findings *findings)
{
	uint64_t of_files;

	if (!read_identifier(it->pgdata, &of_files) ||
	    of_files == it->facts.system_identifier)
		return;
	still_pg_findings_add(findings, STILL_PG_ERROR, STILL_ERR_INVALID,
	    object,
	    "The server uses other files than those that are seen here: run "
	    "stillfs on its host, outside of any container.",
	    "is not that of the files in `%s`: system identifier %" PRIu64
	    ", in pg_control %" PRIu64,
	    it->pgdata, it->facts.system_identifier, of_files);
}

/* Where its files are on this host. False: nowhere, which is a finding. */
static bool find_files(struct still_pg_examined *it, const char *object,
    struct still_pg_findings *findings)
{
	const char *told = it->facts.data_directory;

	if (it->conn.pgdata)
		told = it->conn.pgdata;
	if (!told)
		return false;
	it->pgdata = realpath(told, NULL);
	if (it->pgdata)
		return true;
	/* Below a directory that is closed to us: the name will do. */
	if (errno == EACCES) {
		it->pgdata = strdup(told);
		findings->nomem |= !it->pgdata;
		return it->pgdata;
	}
	still_pg_findings_add(findings, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED,
	    object,
	    "Run stillfs where the server runs: on its host, or in its "
	    "container.",
	    "has its data in `%s`, which is not on this machine: %s", told,
	    strerror(errno));
	return false;
}

static void compare(struct still_pg_examined *it, bool local,
    struct still_pg_findings *findings)
{
	char *object = still_pg_findings_object(
	    findings, "server of", it->conn.shown);

	if (!object)
		return;
	if (!local) {
		still_pg_findings_add(findings, STILL_PG_ERROR,
		    STILL_ERR_UNSUPPORTED, object,
		    "Run stillfs on the host of the server: it reads the files "
		    "themselves.",
		    "runs on another host");
	} else if (find_files(it, object, findings)) {
		compare_directories(it, object, findings);
		compare_identifiers(it, object, findings);
		look_at_files(it->pgdata, findings);
		look_at_tablespaces(it->pgdata, &it->facts, findings);
	}
	free(object);
}

/* ---- all of it ----------------------------------------------------------- */

/* A failure that is an answer becomes a finding, and 0. */
static int into_finding(int rc, struct still_error *what,
    struct still_pg_findings *findings, struct still_error *err)
{
	if (rc == STILL_ERR_CANCELLED || rc == STILL_ERR_NOMEM) {
		if (err)
			still_error_copy(err, what);
		still_error_clear(what);
		return rc;
	}
	still_pg_findings_take(findings, what);
	return 0;
}

/* Of a server that is of no use the files can still be looked at. */
static void look_at_stopped(
    const char *source, struct still_pg_findings *findings)
{
	char *pgdata = NULL;

	if (still_pg_form(source) == STILL_PG_FORM_DATA)
		pgdata = realpath(source, NULL);
	if (pgdata)
		look_at_files(pgdata, findings);
	free(pgdata);
}

static void refuse_version(
    const char *shown, int major, struct still_pg_findings *findings)
{
	char *object = still_pg_findings_object(findings, "server of", shown);

	if (object)
		look_at_version(object, major, findings);
	free(object);
}

static int ask(struct still_pg_examined *it, enum still_pg_want want,
    const atomic_bool *cancel, int64_t limit_ns, bool *ret_whole,
    struct still_pg_findings *findings, struct still_error *err)
{
	struct still_error what = STILL_ERROR_INIT;
	struct still_pg_session *session = NULL;
	bool local;
	int major;
	int rc;

	rc = still_pg_session_open(
	    &it->conn, cancel, limit_ns, &session, &what);
	if (rc < 0)
		return into_finding(rc, &what, findings, err);
	local = still_pg_session_is_local(session);
	major = still_pg_session_version(session) / 10000;
	if (!still_pg_version(major)) {
		/* Its tables may be others. */
		refuse_version(it->conn.shown, major, findings);
		still_pg_session_close(session);
		return 0;
	}
	rc = still_pg_facts_read(session, limit_ns, &it->facts, &what);
	still_pg_session_close(session);
	if (rc < 0)
		return into_finding(rc, &what, findings, err);
	still_pg_obstacles_of_facts(&it->facts, want, it->conn.shown, findings);
	if (want != STILL_PG_WANT_FULL &&
	    (it->facts.slot.state == STILL_PG_SLOT_RESERVED ||
		it->facts.slot.state == STILL_PG_SLOT_EXTENDED))
		still_pg_obstacles_tell_slot(&it->facts.slot, findings);
	compare(it, local, findings);
	*ret_whole = true;
	return 0;
}

int still_pg_examine(const char *source, enum still_pg_want want,
    const atomic_bool *cancel, int64_t limit_ns, struct still_pg_examined *ret,
    bool *ret_whole, struct still_pg_findings *findings,
    struct still_error *err)
{
	struct still_error what = STILL_ERROR_INIT;
	struct still_pg_examined it = {0};
	bool whole = false;
	int rc;

	rc = still_pg_conn_resolve(source, &it.conn, &what);
	if (rc < 0)
		rc = into_finding(rc, &what, findings, err);
	else
		rc = ask(&it, want, cancel, limit_ns, &whole, findings, err);
	if (rc == 0 && !whole)
		look_at_stopped(source, findings);
	if (rc == 0 && findings->nomem)
		rc = still_error_nomem(err);
	if (rc < 0 || !whole)
		still_pg_examined_release(&it);
	else
		*ret = it;
	*ret_whole = rc == 0 && whole;
	return rc;
}

void still_pg_examined_release(struct still_pg_examined *examined)
{
	still_pg_conn_release(&examined->conn);
	still_pg_facts_release(&examined->facts);
	free(examined->pgdata);
	examined->pgdata = NULL;
}
