/* SPDX-License-Identifier: MIT */
/* What is judged of a server's words alone, also of servers that cannot be had
 * here; and the list that it comes into. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "engines/postgres/findings.h"
#include "engines/postgres/obstacles.h"
#include "tests/unit/scratch.h"

static char replica[] = "replica";
static char minimal[] = "minimal";
static char place[] = "/srv/pg";
static char role[] = "backup";
static char odd_role[] = "a\"b;--";
static char database[] = "postgres";

/* Of a server with which nothing is wrong. */
static struct still_pg_facts good(void)
{
	return (struct still_pg_facts){
	    .major = 15,
	    .data_directory = place,
	    .block_bytes = 8192,
	    .wal_segment_bytes = 1 << 24,
	    .data_checksums = true,
	    .wal_level = replica,
	    .max_slots = 1,
	    .role = role,
	    .database = database,
	    .may_replicate = true,
	    .may_start = true,
	    .may_stop = true,
	    .may_switch = true,
	    .slot = {.name = "stillfs_1", .limit_bytes = -1},
	};
}

static enum still_pg_want want;

static void look(
    const struct still_pg_facts *facts, struct still_pg_findings *ret)
{
	*ret = (struct still_pg_findings){0};
	still_pg_obstacles_of_facts(facts, want, "X", ret);
	assert_false(ret->nomem);
	for (size_t i = 0; i < ret->n; i++) {
		const struct still_pg_finding *it = &ret->items[i];
		size_t n = strlen(it->object);

		assert_int_equal(strncmp(it->text, it->object, n), 0);
		assert_int_equal(strncmp(it->text + n, ": ", 2), 0);
		assert_non_null(it->hint);
		assert_true(it->hint[0] >= 'A' && it->hint[0] <= 'Z');
		assert_int_equal(it->hint[strlen(it->hint) - 1], '.');
	}
}

static void one(const struct still_pg_facts *facts, enum still_pg_level level,
    int code, const char *words, const char *hint)
{
	struct still_pg_findings findings;
	struct still_error err = STILL_ERROR_INIT;
	int rc;

	look(facts, &findings);
	assert_int_equal(findings.n, 1);
	assert_int_equal(findings.items[0].level, level);
	assert_int_equal(findings.items[0].code, code);
	if (!strstr(findings.items[0].text, words))
		fail_msg("%s", findings.items[0].text);
	if (!strstr(findings.items[0].hint, hint))
		fail_msg("%s", findings.items[0].hint);
	rc = still_pg_findings_judge(&findings, &err);
	assert_int_equal(rc, level == STILL_PG_ERROR ? code : 0);
	if (rc < 0)
		assert_string_equal(err.msg, findings.items[0].text);
	still_error_clear(&err);
	still_pg_findings_release(&findings);
}

static void test_good(void **state)
{
	struct still_pg_facts facts = good();
	struct still_pg_findings findings;

	(void) state;
	for (facts.major = 13; facts.major <= 17; facts.major++) {
		look(&facts, &findings);
		assert_int_equal(findings.n, 0);
	}
}

static void test_each(void **state)
{
	struct still_pg_facts facts;

	(void) state;
	for (uint32_t size = 1024; size <= 32768; size *= 2) {
		facts = good();
		facts.block_bytes = size;
		if (size != 8192)
			one(&facts, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED,
			    "has blocks of", "pg_basebackup");
	}
	/* By this the WAL is divided. */
	facts = good();
	facts.wal_segment_bytes = 0;
	one(&facts, STILL_PG_ERROR, STILL_ERR_CORRUPT, "has 0 bytes",
	    "server itself");
	facts.wal_segment_bytes = 3 << 20;
	one(&facts, STILL_PG_ERROR, STILL_ERR_CORRUPT, "has 3145728 bytes",
	    "server itself");
	facts = good();
	facts.major = 12;
	one(&facts, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED, "version 12",
	    "Upgrade");
	facts.major = 18;
	one(&facts, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED, "version 18",
	    "Use a stillfs that");
	facts = good();
	facts.in_recovery = true;
	one(&facts, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED, "standby",
	    "primary");
	facts = good();
	facts.wal_level = minimal;
	one(&facts, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED, "minimal",
	    "restart");
	facts = good();
	facts.n_slots = 1;
	one(&facts, STILL_PG_ERROR, STILL_ERR_AGAIN, "all 1 are", "drop");
	facts = good();
	facts.max_slots = 0;
	one(&facts, STILL_PG_ERROR, STILL_ERR_UNSUPPORTED, "is 0", "restart");
	facts = good();
	facts.data_checksums = false;
	one(&facts, STILL_PG_WARNING, STILL_ERR_UNSUPPORTED, "no checksums",
	    "pg_checksums --enable");
}

/* The functions had other names until 14. */
static void test_grants(void **state)
{
	struct still_pg_facts facts = good();

	(void) state;
	facts.may_start = false;
	one(&facts, STILL_PG_ERROR, STILL_ERR_ACCESS, "pg_backup_start",
	    "in the database `postgres`: `GRANT EXECUTE ON FUNCTION pg_catalog."
	    "pg_backup_start(text, boolean) TO \"backup\";`.");
	facts.major = 14;
	one(&facts, STILL_PG_ERROR, STILL_ERR_ACCESS, "pg_start_backup",
	    "pg_start_backup(text, boolean, boolean) TO \"backup\";`.");
	facts.may_start = true;
	facts.may_stop = false;
	one(&facts, STILL_PG_ERROR, STILL_ERR_ACCESS, "pg_stop_backup",
	    "pg_stop_backup(boolean, boolean) TO \"backup\";`.");
	facts = good();
	facts.role = odd_role;
	facts.may_replicate = false;
	one(&facts, STILL_PG_ERROR, STILL_ERR_ACCESS, "REPLICATION",
	    "`ALTER ROLE \"a\"\"b;--\" REPLICATION;`.");
}

/* What a chain needs, and its slot in every state. */
static void test_chain(void **state)
{
	struct still_pg_facts facts = good();
	struct still_pg_findings findings;

	(void) state;
	facts.may_switch = false;
	look(&facts, &findings);
	assert_int_equal(findings.n, 0);
	want = STILL_PG_WANT_CHAIN;
	one(&facts, STILL_PG_ERROR, STILL_ERR_ACCESS,
	    "may not run pg_switch_wal()",
	    "`GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO "
	    "\"backup\";`.");
	/* The one slot that there can be is the chain's own. */
	facts = good();
	facts.n_slots = 1;
	one(&facts, STILL_PG_ERROR, STILL_ERR_AGAIN, "all 1 are", "drop");
	facts.slot.restart_lsn = 1000;
	facts.slot.current_lsn = 1234;
	for (int i = STILL_PG_SLOT_RESERVED; i <= STILL_PG_SLOT_LOST; i++) {
		facts.slot.state = i;
		want = STILL_PG_WANT_FULL;
		look(&facts, &findings);
		assert_int_equal(findings.n, 2); /* none is free */
		assert_string_equal(findings.items[1].text,
		    "slot `stillfs_1`: keeps 234 bytes of WAL for incremental "
		    "sessions, which nobody asks for");
		assert_non_null(strstr(findings.items[1].hint,
		    "`SELECT pg_drop_replication_slot('stillfs_1');`"));
		still_pg_findings_release(&findings);
		want = STILL_PG_WANT_CHAIN;
		if (i < STILL_PG_SLOT_UNRESERVED) {
			look(&facts, &findings);
			assert_int_equal(findings.n, 0);
		} else {
			one(&facts, STILL_PG_WARNING, STILL_ERR_BASE,
			    i == STILL_PG_SLOT_LOST ? "is lost: more WAL"
						    : "at the next checkpoint",
			    "max_slot_wal_keep_size");
		}
	}
	facts.slot.state = STILL_PG_SLOT_FOREIGN;
	one(&facts, STILL_PG_ERROR, STILL_ERR_INVALID, "not ours", "Drop it");
	/* An increment makes none. */
	facts.slot.state = STILL_PG_SLOT_NONE;
	want = STILL_PG_WANT_INCREMENT;
	look(&facts, &findings);
	assert_int_equal(findings.n, 0);
	want = STILL_PG_WANT_FULL;
}

static void test_all(void **state)
{
	struct still_pg_facts facts = good();
	struct still_pg_findings findings;
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	facts.data_checksums = false;
	facts.in_recovery = true;
	facts.wal_level = minimal;
	facts.block_bytes = 4096;
	facts.major = 18;
	facts.data_directory = NULL;
	facts.may_replicate = facts.may_start = facts.may_stop = false;
	look(&facts, &findings);
	/* Nothing is known of the functions of this version. */
	assert_int_equal(findings.n, 7);
	assert_int_equal(
	    still_pg_findings_judge(&findings, &err), STILL_ERR_UNSUPPORTED);
	assert_string_equal(err.msg, findings.items[0].text);
	still_error_clear(&err);
	still_pg_findings_release(&findings);
}

static void test_take(void **state)
{
	struct still_pg_findings findings = {0};
	struct still_error err = STILL_ERROR_INIT;

	(void) state;
	still_error_set(&err, STILL_ERR_AGAIN, 0, NULL, "server of `a: b`: c");
	still_pg_findings_take(&findings, &err);
	assert_int_equal(err.code, 0);
	assert_int_equal(findings.n, 1);
	assert_string_equal(findings.items[0].object, "server of `a: b`");
	assert_null(findings.items[0].hint);
	/* An error that memory was not enough to describe. */
	still_error_nomem(&err);
	still_pg_findings_take(&findings, &err);
	assert_int_equal(findings.n, 1);
	assert_true(findings.nomem);
	assert_int_equal(
	    still_pg_findings_judge(&findings, &err), STILL_ERR_AGAIN);
	still_error_clear(&err);
	still_pg_findings_release(&findings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_each),
	    cmocka_unit_test(test_grants),
	    cmocka_unit_test(test_chain),
	    cmocka_unit_test(test_all),
	    cmocka_unit_test(test_take),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
