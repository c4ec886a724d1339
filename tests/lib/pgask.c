/* SPDX-License-Identifier: MIT */
/*
 * pgask: what the PostgreSQL engine's talk with a server comes to, for shell
 * tests. Answers stand one on a line; a failure is printed as
 *
 *	error CODE: MESSAGE
 *	hint: HINT
 *
 * and is exit status 1.
 *
 *	pgask check SOURCE [chain]  findings, "error CODE: TEXT", "warning CODE:
 *	                            TEXT", each with its hint; "whole" or "cut";
 *	                            chain: for incremental sessions
 *	pgask facts SOURCE          the facts, a name and a value on each line
 *	pgask open SOURCE           who we are: user, uid before and after
 *	pgask query SOURCE LIMIT_MS CANCEL_MS SQL
 *	                            the first value; CANCEL_MS > 0 raises the flag
 *	                            after so long
 *	pgask backup SOURCE [CANCEL_MS]
 *	                            begin, print "begun LSN SLOT", wait for a line
 *	                            on stdin (and say "alive" or the error for each
 *	                            "?"), end, print "ended LSN" and the label
 */
#include "config.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/backup_mode.h"
#include "engines/postgres/conn.h"
#include "engines/postgres/facts.h"
#include "engines/postgres/obstacles.h"
#include "engines/postgres/session.h"

#define LIMIT_NS (10 * STILL_NS_PER_S)

static atomic_bool cancel;
static struct still_error err;

static void *raise_later(void *arg)
{
	still_sys_sleep_ns(*(int64_t *) arg);
	atomic_store(&cancel, true);
	return NULL;
}

static int say_failure(int rc)
{
	if (rc == 0)
		return 0;
	printf("error %s: %s\n", still_error_word(rc), still_error_msg(&err));
	if (err.hint)
		printf("hint: %s\n", err.hint);
	still_error_clear(&err);
	return 1;
}

static int check(const char *source, enum still_pg_want want)
{
	struct still_pg_findings findings = {0};
	struct still_pg_examined it;
	bool whole;
	int rc = still_pg_examine(
	    source, want, &cancel, LIMIT_NS, &it, &whole, &findings, &err);

	for (size_t i = 0; i < findings.n; i++) {
		const struct still_pg_finding *f = &findings.items[i];

		printf("%s %s: %s\n",
		    f->level == STILL_PG_ERROR ? "error" : "warning",
		    still_error_word(f->code), f->text);
		printf("hint: %s\n", f->hint ? f->hint : "");
		if (strstr(f->text, f->object) == NULL)
			printf("object %s\n", f->object);
	}
	if (rc == 0)
		printf("%s\n", whole ? "whole" : "cut");
	if (rc == 0 && whole) {
		printf("pgdata %s\n", it.pgdata ? it.pgdata : "none");
		still_pg_examined_release(&it);
	}
	if (rc == 0)
		rc = still_pg_findings_judge(&findings, NULL) < 0 ? 1 : 0;
	else
		rc = say_failure(rc);
	still_pg_findings_release(&findings);
	return rc;
}

static void print_facts(const struct still_pg_facts *facts)
{
	printf("major %d\nversion %s\ndata_directory %s\n", facts->major,
	    facts->version,
	    facts->data_directory ? facts->data_directory : "hidden");
	printf("system_identifier %" PRIu64 "\ntimeline %" PRIu32 "\n",
	    facts->system_identifier, facts->timeline);
	printf("catalog_version %" PRIu32 "\n", facts->catalog_version);
	printf("block_size %" PRIu32 "\nwal_block_size %" PRIu32
	       "\nwal_segment_size %" PRIu32 "\n",
	    facts->block_bytes, facts->wal_block_bytes,
	    facts->wal_segment_bytes);
	printf("data_checksums %d\nfull_page_writes %d\nin_recovery %d\n",
	    facts->data_checksums, facts->full_page_writes, facts->in_recovery);
	printf("wal_level %s\nslots %" PRIu32 "/%" PRIu32 "\n",
	    facts->wal_level, facts->n_slots, facts->max_slots);
	printf("role %s\ndatabase %s\n", facts->role, facts->database);
	for (size_t i = 0; i < facts->n_tablespaces; i++)
		printf("tablespace %" PRIu32 " %s\n", facts->tablespaces[i].oid,
		    facts->tablespaces[i].location);
	for (size_t i = 0; i < facts->n_databases; i++)
		printf("base %" PRIu32 " %s\n", facts->databases[i].oid,
		    facts->databases[i].name);
}

static int facts(struct still_pg_session *session)
{
	struct still_pg_facts it;
	int rc = still_pg_facts_read(session, LIMIT_NS, &it, &err);

	if (rc < 0)
		return say_failure(rc);
	print_facts(&it);
	still_pg_facts_release(&it);
	return 0;
}

static int query(struct still_pg_session *session, char **arg)
{
	struct still_pg_rows rows;
	const char *value;
	int64_t begun_ns = still_sys_monotonic_ns();
	int rc = still_pg_session_query(session, "test", arg[2], NULL, 0,
	    strtoll(arg[0], NULL, 10) * 1000000, &rows, &err);

	if (rc < 0) {
		printf("took %lld ms\n",
		    (long long) (still_sys_monotonic_ns() - begun_ns) /
			1000000);
		say_failure(rc);
		/* Is it of use still? */
		rc = still_pg_session_alive(session, &err);
		printf("session %s\n", rc < 0 ? "gone" : "open");
		return 1;
	}
	value = still_pg_rows_get(&rows, 0, 0);
	printf("%s\n", value ? value : "NULL");
	still_pg_rows_release(&rows);
	return 0;
}

static int backup(struct still_pg_session *session)
{
	struct still_pg_begun begun;
	struct still_pg_ended ended;
	char line[64];
	int rc = still_pg_backup_begin(session, "stillfs", false, &begun, &err);

	if (rc < 0)
		return say_failure(rc);
	printf("begun %" PRIX64 " %s\n", begun.start_lsn, begun.slot);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) && *line == '?') {
		if (say_failure(still_pg_session_alive(session, &err)) == 0)
			printf("alive\n");
		fflush(stdout);
	}
	rc = still_pg_backup_end(session, &ended, &err);
	if (rc < 0)
		return say_failure(rc);
	printf("ended %" PRIX64 "\n%s%s", ended.stop_lsn, ended.label,
	    ended.tablespace_map);
	still_pg_ended_release(&ended);
	return 0;
}

static int connected(int argc, char **argv)
{
	struct still_pg_session *session = NULL;
	struct still_pg_conn conn;
	int rc = still_pg_conn_resolve(argv[2], &conn, &err);

	if (rc < 0)
		return say_failure(rc);
	rc = still_pg_session_open(&conn, &cancel, LIMIT_NS, &session, &err);
	if (rc < 0)
		rc = say_failure(rc);
	else if (strcmp(argv[1], "facts") == 0)
		rc = facts(session);
	else if (strcmp(argv[1], "query") == 0 && argc > 5)
		rc = query(session, argv + 3);
	else if (strcmp(argv[1], "backup") == 0)
		rc = backup(session);
	else
		printf("user %s\nlocal %d\n", still_pg_session_user(session),
		    still_pg_session_is_local(session));
	/* Whoever we connected as, we are ourselves again. */
	printf("uid %u\n", (unsigned) geteuid());
	still_pg_session_close(session);
	still_pg_conn_release(&conn);
	return rc;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int64_t after_ns = 0;
	int status;

	if (argc < 3)
		return 2;
	if (strcmp(argv[1], "query") == 0 && argc > 5)
		after_ns = strtoll(argv[4], NULL, 10) * 1000000;
	if (strcmp(argv[1], "backup") == 0 && argc > 3)
		after_ns = strtoll(argv[3], NULL, 10) * 1000000;
	if (after_ns &&
	    still_sys_thread_start(&thread, raise_later, &after_ns) != 0)
		return 2;
	if (strcmp(argv[1], "check") == 0)
		status = check(argv[2],
		    argc > 3 ? STILL_PG_WANT_CHAIN : STILL_PG_WANT_FULL);
	else
		status = connected(argc, argv);
	if (after_ns)
		pthread_join(thread, NULL);
	return status;
}
