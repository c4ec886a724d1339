/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL's fixtures: a real cluster each, small, with checksums, without
 * them, and with a tablespace.
 *
 * A cluster is made once for all tests of its kind, and copied for each. The
 * application that works all the time is another process, `contract pg-work
 * CONNINFO`. A copy is judged by a server of its own, which recovers it.
 */
#include "config.h"

#include "tests/engine/fixture.h"

#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "tests/lib/pg_server.h"
#include "tests/unit/scratch.h"

extern const struct still_engine still_engine_postgres;

/* The coarsest clock that a file system may have, and a little. */
#define REST_NS INT64_C(2050000000)
/* What the server writes for the sake of each backup, or beside it: pg_control
 * and the label, the segments and their marks, the commit log and other small
 * ones that a checkpoint writes, and what a connection changes in catalogs. */
#define RESTLESS 12
#define RELEASE_TRIES 3000

/* ---- the source ---------------------------------------------------------- */

#define SCHEMA                                                         \
	"CREATE EXTENSION amcheck;"                                    \
	"CREATE TABLE t(id serial PRIMARY KEY, v bytea);"              \
	"CREATE TABLE changes(n integer);"                             \
	"CREATE TABLE p(n bigint); INSERT INTO p VALUES(0);"           \
	"CREATE TABLE q(n bigint); INSERT INTO q VALUES(0);"           \
	"CREATE TABLE empty(n integer);"                               \
	"CREATE TABLE made_0(n integer);"                              \
	"CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 100) n;" \
	"CREATE INDEX i ON t(v);"
/* 496 bytes each. */
#define BYTES "decode(repeat(md5(random()::text), 31), 'hex')"
#define FILL "INSERT INTO t(v) SELECT " BYTES " FROM generate_series(1, 300);"

static struct pg_server source_server;
static struct pg_server judge_server;

/* A cluster with the schema, at rest; of each kind one. */
static char *templates[2];

static void remove_templates(void)
{
	for (size_t i = 0; i < 2; i++)
		if (templates[i])
			scratch_remove(templates[i]);
}

static const char *template_with(bool checksums)
{
	char **dir = &templates[checksums];
	char answer[64];
	struct pg_server server = {0};

	if (*dir)
		return *dir;
	if (!templates[!checksums])
		atexit(remove_templates);
	*dir = scratch_make();
	pg_server_init(*dir, checksums);
	pg_server_start(&server, scratch_path(*dir, "data"), *dir);
	pg_server_sql(*dir, SCHEMA FILL, answer, sizeof(answer));
	pg_server_stop(&server, SIGINT);
	return *dir;
}

static void make(struct source *source, bool checksums)
{
	char command[3 * PATH_MAX];

	/* The server must get into it. */
	assert_int_equal(chmod(source->dir, 0755), 0);
	snprintf(command, sizeof(command), "cp -a '%s' '%s'",
	    scratch_path(template_with(checksums), "data"), source->dir);
	assert_int_equal(system(command), 0);
	snprintf(source->path, sizeof(source->path), "%s",
	    scratch_path(source->dir, "data"));
	snprintf(source->missing, sizeof(source->missing), "%s",
	    scratch_path(source->dir, "missing"));
	pg_server_start(&source_server, source->path, source->dir);
}

static void checksums_make(struct source *source)
{
	make(source, true);
}

static void plain_make(struct source *source)
{
	make(source, false);
}

static void tablespace_make(struct source *source)
{
	const char *place = scratch_path(source->dir, "place");
	char statement[PATH_MAX + 64];
	char answer[64];

	make(source, true);
	assert_int_equal(mkdir(place, 0700), 0);
	pg_server_own(place);
	snprintf(statement, sizeof(statement),
	    "CREATE TABLESPACE place LOCATION '%s'", place);
	pg_server_sql(source->dir, statement, answer, sizeof(answer));
	pg_server_sql(source->dir,
	    "ALTER TABLE t SET TABLESPACE place;"
	    "ALTER INDEX i SET TABLESPACE place;"
	    "ALTER TABLE q SET TABLESPACE place;",
	    answer, sizeof(answer));
}

/* Rows and tables come, go and move, and are written back. */
static void change(struct source *source)
{
	unsigned n = source->n_changes;
	char statements[1024];
	char answer[64];

	snprintf(statements, sizeof(statements),
	    "BEGIN; INSERT INTO changes VALUES(%u);" FILL
	    "UPDATE t SET v = " BYTES " WHERE id %% 3 = 0;"
	    "DELETE FROM t WHERE id %% 7 = %u;"
	    "CREATE TABLE made_%u AS SELECT %u AS n; DROP TABLE made_%u;"
	    "COMMIT",
	    n, n % 7, n, n, n - 1);
	pg_server_sql(source->dir, statements, answer, sizeof(answer));
	pg_server_sql(source->dir, "CHECKPOINT", answer, sizeof(answer));
	pg_server_sql(source->dir, "INSERT INTO t(v) VALUES('y')", answer,
	    sizeof(answer));
}

/* ---- work ---------------------------------------------------------------- */

/* Two tables that every commit changes alike, and a third that grows. */
static int work_main(const char *conninfo)
{
	PGresult *result = NULL;
	PGconn *conn;
	bool well;

	/* A test that fails does not come to its kill(2). */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	conn = PQconnectdb(conninfo);
	well = PQstatus(conn) == CONNECTION_OK;
	if (well) {
		printf(FIXTURE_READY);
		fflush(stdout);
	}
	while (well) {
		result = PQexec(conn,
		    "BEGIN; UPDATE p SET n = n + 1;"
		    "INSERT INTO t(v) VALUES(" BYTES ");"
		    "UPDATE q SET n = n + 1; COMMIT");
		well = PQresultStatus(result) == PGRES_COMMAND_OK;
		PQclear(result);
	}
	fprintf(stderr, "%s", PQerrorMessage(conn));
	PQfinish(conn);
	return EXIT_FAILURE;
}

static pid_t work(struct source *source)
{
	return fixture_start_work("pg-work", pg_server_conninfo(source->dir));
}

/* ---- judging ------------------------------------------------------------- */

static void assert_answer(
    const char *dir, const char *statement, const char *want)
{
	char answer[256];

	pg_server_sql(dir, statement, answer, sizeof(answer));
	assert_string_equal(answer, want);
}

/* Every index has what its table has, and every table holds together. */
static void check_integrity(const char *dir)
{
	assert_answer(dir,
	    "SELECT count(*) > 100 FROM (SELECT bt_index_check(c.oid, true)"
	    " FROM pg_class c JOIN pg_am a ON a.oid = c.relam"
	    " WHERE c.relkind = 'i' AND a.amname = 'btree') checked",
	    "t");
	assert_answer(dir,
	    "SELECT count(*) FROM pg_class c, LATERAL verify_heapam(c.oid)"
	    " WHERE c.relkind IN ('r', 't', 'm')",
	    "0");
}

static void judge(struct source *source, const char *path, unsigned n_changes)
{
	char data[PATH_MAX];
	char *argv[] = {
	    (char[]){"pg_verifybackup"}, (char[]){"-q"}, data, NULL};
	char *dir = scratch_make();
	char want[32];

	(void) source;
	snprintf(data, sizeof(data), "%s", scratch_path(path, "data"));
	assert_int_equal(chmod(path, 0755), 0);
	pg_server_run(dir, argv);
	pg_server_start(&judge_server, data, dir);
	check_integrity(dir);
	assert_answer(dir, "SELECT (SELECT n FROM p) - (SELECT n FROM q)", "0");
	/* It has nothing in common with its source. */
	assert_answer(dir,
	    "SELECT count(*) FROM pg_tablespace"
	    " WHERE pg_tablespace_location(oid) LIKE '/%'",
	    "0");
	snprintf(want, sizeof(want), "%u", n_changes);
	if (n_changes != ANY_CHANGE)
		assert_answer(dir, "SELECT count(*) FROM changes", want);
	pg_server_stop(&judge_server, SIGINT);
	scratch_remove(dir);
}

/* The server learns of the end of a connection, and may take a moment. */
static void check_released(struct source *source)
{
	char answer[64] = "";

	for (int i = 0; i < RELEASE_TRIES; i++) {
		if (i > 0)
			still_sys_sleep_ns(STILL_NS_PER_S / 100);
		pg_server_sql(source->dir,
		    "SELECT (SELECT count(*) FROM pg_replication_slots) +"
		    " (SELECT count(*) FROM pg_stat_activity"
		    " WHERE application_name LIKE 'stillfs%')",
		    answer, sizeof(answer));
		if (strcmp(answer, "0") == 0)
			return;
	}
	fail_msg("%s slots and connections are left in the server", answer);
}

static void drop_chain(struct source *source)
{
	char answer[64] = "";

	pg_server_sql(source->dir,
	    "SELECT count(pg_drop_replication_slot(slot_name))"
	    " FROM pg_replication_slots"
	    " WHERE slot_name LIKE 'stillfs%' AND NOT temporary",
	    answer, sizeof(answer));
	assert_string_equal(answer, "1");
}

static void end(struct source *source)
{
	(void) source;
	pg_server_stop(&judge_server, SIGQUIT);
	pg_server_stop(&source_server, SIGQUIT);
}

/* ---- the table ----------------------------------------------------------- */

#define POSTGRES                                                          \
	.engine = &still_engine_postgres, .n_databases = 1, .tree = true, \
	.rest_ns = REST_NS, .n_restless = RESTLESS, .fds_max = 10,        \
	.judge_every = 5, .lacks = pg_server_lacks, .change = change,     \
	.work = work, .judge = judge, .check_released = check_released,   \
	.drop_chain = drop_chain, .end = end

const struct fixture postgres_fixtures[] = {
    {
	.name = "postgres, checksums",
	.make = checksums_make,
	POSTGRES,
    },
    {
	.name = "postgres, no checksums",
	.make = plain_make,
	.warning = "server-warning",
	POSTGRES,
    },
    {
	.name = "postgres, a tablespace",
	.make = tablespace_make,
	POSTGRES,
    },
    {.name = NULL},
};

int postgres_fixture_main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "pg-work") == 0)
		return work_main(argv[2]);
	return -1;
}
