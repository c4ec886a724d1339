/* SPDX-License-Identifier: MIT */
/* What a SOURCE of the PostgreSQL engine may be, and that no secret in it is
 * ever repeated; the postmaster.pid; what is made of a refusal's words. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/connstr.h"
#include "base/error.h"
#include "engines/postgres/conn.h"
#include "engines/postgres/postmaster.h"
#include "engines/postgres/refusal.h"
#include "tests/unit/scratch.h"

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* A directory that looks like a PGDATA. */
static char *make_data(void)
{
	char *dir = scratch_make();
	char path[4096];

	snprintf(path, sizeof(path), "%s/global", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	write_file(dir, "PG_VERSION", "15\n");
	write_file(dir, "global/pg_control", "x");
	return dir;
}

static void test_form(void **state)
{
	static const struct {
		const char *source;
		enum still_pg_form form;
	} table[] = {
	    {"postgresql://", STILL_PG_FORM_URI},
	    {"postgresql://h/d?x", STILL_PG_FORM_URI},
	    {"postgres://u@h", STILL_PG_FORM_URI},
	    {"postgresql:/h", STILL_PG_FORM_NONE},
	    {"POSTGRESQL://h", STILL_PG_FORM_NONE},
	    {"host=x", STILL_PG_FORM_CONNINFO},
	    {"  host = x", STILL_PG_FORM_CONNINFO},
	    {"service=shop", STILL_PG_FORM_CONNINFO},
	    {"password=x", STILL_PG_FORM_CONNINFO},
	    {"hosts=x", STILL_PG_FORM_NONE},
	    {"Host=x", STILL_PG_FORM_NONE},
	    {"hos=x", STILL_PG_FORM_NONE},
	    {"host x", STILL_PG_FORM_NONE},
	    {"host", STILL_PG_FORM_NONE},
	    {"=x", STILL_PG_FORM_NONE},
	    {"", STILL_PG_FORM_NONE},
	    {"/nowhere/host=x", STILL_PG_FORM_NONE},
	    {"/", STILL_PG_FORM_NONE},
	    {"/dev/null", STILL_PG_FORM_NONE},
	};
	char *dir = make_data();
	char path[4096];

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (still_pg_form(table[i].source) != table[i].form)
			fail_msg("`%s`: %d", table[i].source,
			    (int) still_pg_form(table[i].source));
	assert_int_equal(still_pg_form(dir), STILL_PG_FORM_DATA);
	snprintf(path, sizeof(path), "%s/PG_VERSION", dir);
	assert_int_equal(still_pg_form(path), STILL_PG_FORM_NONE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(still_pg_form(dir), STILL_PG_FORM_NONE);
	/* What exists is a file first. */
	assert_int_equal(chdir(dir), 0);
	write_file(dir, "host=x", "");
	assert_int_equal(still_pg_form("host=x"), STILL_PG_FORM_NONE);
	assert_int_equal(still_pg_form("host=y"), STILL_PG_FORM_CONNINFO);
	assert_int_equal(chdir("/"), 0);
	scratch_remove(dir);
}

/* Every one holds "geheim", in clear or encoded; no word of it may come back. */
static const char *const secrets[] = {
    "postgresql://u:geheim@h/d",
    "postgres://u:geheim@h",
    "postgresql://:geheim@h",
    "postgresql://u:ge@heim@h/d",
    "postgresql://u:geheim/x@h/d",
    "postgresql://u:geheim?x@h/d",
    "postgresql://u:geheim#x@h/d",
    "postgresql://u:%67eheim@h/d",
    "postgresql://u:%zzgeheim@h/d",
    "postgresql://u:geheim@[::1]:5432/d",
    "postgresql://u:geheim@[::1/d",
    "postgresql://u:geheim@h1:1,h2:2/d",
    "postgresql://h/d?password=geheim",
    "postgresql://h/d?user=u&password=geheim",
    "postgresql://h/d?pass%77ord=geheim",
    "postgresql://h/d?%70%61%73%73%77%6f%72%64=geheim",
    "postgresql://h/d?password=%67%65heim",
    "postgresql://h/d?PASSWORD=geheim",
    "postgresql://h/d?password%3dgeheim",
    "postgresql://h/d?sslpassword=geheim",
    "postgresql://h/d?password=geheim&password=",
    "postgresql://h/d?nonsense=1&password=geheim",
    "host=h password=geheim",
    "password=geheim",
    "password = geheim",
    "password='geheim'",
    "host=h password='ge heim",
    "host=h password=ge heim",
    "host=h Password=geheim",
    "host=h password\n=\ngeheim",
    "host=h sslpassword=geheim",
    "host=h nonsense password=geheim",
    "host=h dbname=postgresql://u:geheim@h/d",
    "host=h dbname='password=geheim'",
    "host=h dbname='user=u passwort=geheim'",
    "host=h dbname=postgresql://h/geheim",
    "host=h pwd=geheim",
    "host=h geheim",
    "host=h pass geheim",
    "host='geheim",
    "postgresql://h/d?geheim",
    "postgresql://h/d?pwd=geheim",
    "postgresql://h/d?geheim=geheim=x",
    "postgresql://h/%zzgeheim",
    "postgresql://[geheim",
};

static void test_secrets(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		struct still_pg_conn conn;
		int rc = still_pg_conn_resolve(secrets[i], &conn, &err);

		if (rc != STILL_ERR_INVALID)
			fail_msg("`%s`: %d", secrets[i], rc);
		assert_non_null(err.hint);
		if (strstr(err.msg, "heim") || strstr(err.hint, "heim"))
			fail_msg("`%s`: said: %s", secrets[i], err.msg);
		if (still_connstr_holds_secret(secrets[i])) {
			assert_non_null(strstr(err.hint, "passfile"));
			assert_non_null(strstr(err.hint, "service"));
			assert_non_null(strstr(err.hint, "peer"));
		}
		still_error_clear(&err);
	}
}

static void test_shown(void **state)
{
	static const struct {
		const char *source;
		const char *shown;
		const char *dbname;
	} table[] = {
	    {"postgresql://u@h:1/d", "host=h port=1 dbname=d user=u", "d"},
	    {"postgresql://u@", "user=u", "postgres"},
	    {"postgres://u@%2Frun%2Fp/d", "host=/run/p dbname=d user=u", "d"},
	    {"postgresql://u@[::1]:5/d", "host=::1 port=5 dbname=d user=u",
		"d"},
	    {"postgresql://u@h/d?application_name=x&sslmode=require",
		"host=h dbname=d user=u", "d"},
	    {"postgresql://u@h?passfile=/x&channel_binding=require",
		"host=h user=u", "postgres"},
	    {"service=shop", "service=shop", NULL},
	    {"host=h user='a b' dbname='it\\'s'",
		"host=h dbname='it\\'s' user='a b'", "it's"},
	    {"user=u sslkey=/x", "user=u", "postgres"},
	    {"hostaddr=127.0.0.1 user=u", "hostaddr=127.0.0.1 user=u",
		"postgres"},
	    {"postgresql://h:1,i:2/", "host=h,i port=1,2", "postgres"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		struct still_pg_conn conn;
		const char *dbname;

		if (still_pg_conn_resolve(table[i].source, &conn, &err) < 0)
			fail_msg(
			    "`%s`: %s", table[i].source, still_error_msg(&err));
		assert_string_equal(conn.shown, table[i].shown);
		dbname = still_pg_conn_get(&conn, "dbname");
		if (table[i].dbname)
			assert_string_equal(dbname, table[i].dbname);
		else
			assert_null(dbname);
		assert_string_equal(
		    still_pg_conn_get(&conn, "client_encoding"), "SQL_ASCII");
		assert_null(conn.keyword[conn.n]);
		assert_null(conn.value[conn.n]);
		still_pg_conn_release(&conn);
	}
}

static void test_refused(void **state)
{
	static const char *const table[] = {"host=h replication=true",
	    "postgresql://h/d?replication=database",
	    "postgresql://h/d?nonsense=1", "host=h nonsense=1"};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		struct still_pg_conn conn;

		assert_int_equal(still_pg_conn_resolve(table[i], &conn, &err),
		    STILL_ERR_INVALID);
		still_error_clear(&err);
	}
}

static const char pid_text[] = "12828\n/srv/pg\n1795281712\n5433\n/run/pg\n"
			       "localhost\n  11174356         4\nready   \n";

static void test_postmaster(void **state)
{
	struct still_pg_postmaster it;
	static const char none[] = "7\n/srv/pg\n1\n5432\n\n\n  1 2\nstandby \n";

	(void) state;
	assert_true(
	    still_pg_postmaster_parse(pid_text, sizeof(pid_text) - 1, &it));
	assert_int_equal(it.pid, 12828);
	assert_int_equal(it.port, 5433);
	assert_false(it.single);
	assert_int_equal(it.phase, STILL_PG_READY);
	assert_string_equal(it.socket_dir, "/run/pg");
	assert_string_equal(it.address, "localhost");
	assert_true(still_pg_postmaster_parse(none, sizeof(none) - 1, &it));
	assert_string_equal(it.socket_dir, "");
	assert_string_equal(it.address, "");
	assert_int_equal(it.phase, STILL_PG_STANDBY);
	assert_true(still_pg_postmaster_parse("-7\n/d\n1\n0\n", 10, &it));
	assert_true(it.single);
	assert_false(still_pg_postmaster_parse("7\n/d\n1\n65536\n", 13, &it));
	assert_false(still_pg_postmaster_parse("0\n/d\n1\n5432\n", 12, &it));
	assert_false(
	    still_pg_postmaster_parse("9999999999\n/d\n1\n5432\n", 21, &it));
	assert_false(still_pg_postmaster_parse("\n\n\n\n", 4, &it));
}

/* Cut anywhere it is either no such file or the same, as far as it goes; and
 * nothing is read beyond. */
static void test_postmaster_cut(void **state)
{
	(void) state;
	for (size_t len = 0; len < sizeof(pid_text); len++) {
		struct still_pg_postmaster it;
		char *copy = malloc(len ? len : 1);

		assert_non_null(copy);
		memcpy(copy, pid_text, len);
		if (still_pg_postmaster_parse(copy, len, &it)) {
			assert_int_equal(it.pid, 12828);
			assert_int_equal(it.port, 5433);
			assert_true(it.phase == STILL_PG_STARTING ||
			    len >= sizeof(pid_text) - 1);
		} else {
			assert_true(len < 33);
		}
		free(copy);
	}
}

static void test_postmaster_flips(void **state)
{
	uint64_t seed = scratch_seed();

	(void) state;
	for (int i = 0; i < 200000; i++) {
		char copy[sizeof(pid_text)];
		struct still_pg_postmaster it;

		memcpy(copy, pid_text, sizeof(copy));
		for (uint64_t n = scratch_random(&seed) % 4 + 1; n > 0; n--)
			copy[scratch_random(&seed) % sizeof(copy)] =
			    (char) scratch_random(&seed);
		if (still_pg_postmaster_parse(copy, sizeof(copy), &it)) {
			assert_true(it.pid > 0);
			assert_true(it.port <= 65535);
			assert_true(strnlen(it.socket_dir, STILL_PG_PATH_MAX) <
			    STILL_PG_PATH_MAX);
		}
	}
}

static void test_data(void **state)
{
	char *dir = make_data();
	struct still_error err = STILL_ERROR_INIT;
	struct still_pg_conn conn;
	char text[256];

	(void) state;
	assert_int_equal(
	    still_pg_conn_resolve(dir, &conn, &err), STILL_ERR_ABSENT);
	assert_non_null(strstr(err.msg, "is not running"));
	/* A process that is there, and that is no server of it. */
	snprintf(text, sizeof(text), "%d\n/x\n1\n5432\n/run\n\n1 2\nready   \n",
	    (int) getpid());
	write_file(dir, "postmaster.pid", text);
	assert_int_equal(
	    still_pg_conn_resolve(dir, &conn, &err), STILL_ERR_ABSENT);
	assert_non_null(strstr(err.msg, "is not running: process"));
	/* One that has it for its directory is taken for the server. */
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(still_pg_conn_resolve(dir, &conn, &err), 0);
	assert_string_equal(still_pg_conn_get(&conn, "host"), "/run");
	assert_string_equal(still_pg_conn_get(&conn, "port"), "5432");
	still_pg_conn_release(&conn);
	snprintf(text, sizeof(text), "%d\n/x\n1\n5432\n\n\n1 2\nready   \n",
	    (int) getpid());
	write_file(dir, "postmaster.pid", text);
	assert_int_equal(
	    still_pg_conn_resolve(dir, &conn, &err), STILL_ERR_UNSUPPORTED);
	snprintf(text, sizeof(text), "%d\n/x\n1\n5432\n\n*\n1 2\nready   \n",
	    (int) getpid());
	write_file(dir, "postmaster.pid", text);
	assert_int_equal(still_pg_conn_resolve(dir, &conn, &err), 0);
	assert_string_equal(still_pg_conn_get(&conn, "host"), "localhost");
	still_pg_conn_release(&conn);
	snprintf(text, sizeof(text), "%d\n/x\n1\n5432\n/run\n\n1 2\nstopping\n",
	    (int) getpid());
	write_file(dir, "postmaster.pid", text);
	assert_int_equal(
	    still_pg_conn_resolve(dir, &conn, &err), STILL_ERR_STOPPING);
	assert_non_null(strstr(err.msg, "is shutting down"));
	snprintf(text, sizeof(text), "%d\n/x\n1\n5432\n", (int) getpid());
	write_file(dir, "postmaster.pid", text);
	assert_int_equal(
	    still_pg_conn_resolve(dir, &conn, &err), STILL_ERR_AGAIN);
	assert_non_null(strstr(err.msg, "is starting up"));
	write_file(dir, "postmaster.pid", "nonsense\n");
	assert_int_equal(
	    still_pg_conn_resolve(dir, &conn, &err), STILL_ERR_CORRUPT);
	still_error_clear(&err);
	assert_int_equal(chdir("/"), 0);
	scratch_remove(dir);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *message;
		const char *state;
		int code;
	} table[] = {
	    {"connection to server on socket \"/x/.s.PGSQL.5432\" failed: "
	     "FATAL:  28000: role \"b\" does not exist\nLOCATION:  x\n",
		"28000", STILL_ERR_ACCESS},
	    {"FATAL:  28P01: no", "28P01", STILL_ERR_ACCESS},
	    {"FEHLER:  3D000: no", "3D000", STILL_ERR_NOTFOUND},
	    {"FATAL:  57P03: no", "57P03", STILL_ERR_AGAIN},
	    {"FATAL:  53300: no", "53300", STILL_ERR_AGAIN},
	    {"FATAL:  XX000: no", "XX000", STILL_ERR_FAILED},
	    {"x failed: No such file or directory\n\tIs it running?\n", "",
		STILL_ERR_ABSENT},
	    {"a failed: FATAL:  28000: a\nb failed: FATAL:  57P03: b\n",
		"57P03", STILL_ERR_AGAIN},
	    {"", "", STILL_ERR_ABSENT},
	    {":  ", "", STILL_ERR_ABSENT},
	    {"FATAL:  28000", "", STILL_ERR_ABSENT},
	    {"FATAL:  28000:", "", STILL_ERR_ABSENT},
	};
	const struct still_pg_conn conn = {.uid = (uid_t) -1};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;
		char found[6];
		int rc = still_pg_refusal_connect(
		    table[i].message, false, &conn, "x", found, &err);

		if (rc != table[i].code)
			fail_msg("`%s`: %d", table[i].message, rc);
		assert_string_equal(found, table[i].state);
		assert_null(strchr(err.msg, '\n'));
		assert_null(strstr(err.msg, "LOCATION"));
		still_error_clear(&err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_form),
	    cmocka_unit_test(test_secrets),
	    cmocka_unit_test(test_shown),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_postmaster),
	    cmocka_unit_test(test_postmaster_cut),
	    cmocka_unit_test(test_postmaster_flips),
	    cmocka_unit_test(test_data),
	    cmocka_unit_test(test_refusals),
	};

	scratch_watchdog();
	/* What the machine sets is not meant. */
	unsetenv("PGHOST");
	unsetenv("PGHOSTADDR");
	unsetenv("PGPORT");
	unsetenv("PGUSER");
	unsetenv("PGDATABASE");
	unsetenv("PGSERVICE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
