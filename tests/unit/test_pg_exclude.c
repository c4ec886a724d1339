/* SPDX-License-Identifier: MIT */
/* What of a data directory is in a copy, name by name. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engines/postgres/exclude.h"
#include "tests/unit/scratch.h"

#define DATA STILL_PG_TOP_DATA
#define SPACE STILL_PG_TOP_SPACE
#define IN STILL_PG_IN
#define OUT STILL_PG_OUT
#define EMPTY STILL_PG_EMPTY_DIR
#define REL STILL_PG_RELATION
#define CONTROL STILL_PG_CONTROL
#define SKIP STILL_PG_SKIP
#define REFUSE STILL_PG_REFUSE

static const struct {
	enum still_pg_top top;
	const char *rel;
	mode_t type;
	enum still_pg_rule rule;
} rules[] = {
    /* As they are. */
    {DATA, "PG_VERSION", S_IFREG, IN},
    {DATA, "postgresql.conf", S_IFREG, IN},
    {DATA, "postgresql.auto.conf", S_IFREG, IN},
    {DATA, "current_logfiles", S_IFREG, IN},
    {DATA, "base", S_IFDIR, IN},
    {DATA, "base/5", S_IFDIR, IN},
    {DATA, "base/5/PG_VERSION", S_IFREG, IN},
    {DATA, "base/5/pg_filenode.map", S_IFREG, IN},
    {DATA, "global", S_IFDIR, IN},
    {DATA, "global/pg_filenode.map", S_IFREG, IN},
    {DATA, "log/postgresql.log", S_IFREG, IN},
    {DATA, "pg_xact/0000", S_IFREG, IN},
    {DATA, "pg_tblspc", S_IFDIR, IN},
    {DATA, "pg_stat", S_IFDIR, IN},
    {DATA, "16384", S_IFREG, IN},
    {DATA, "junk/1259", S_IFREG, IN},
    {SPACE, "PG_15_202209061", S_IFDIR, IN},
    {SPACE, "PG_15_202209061/5", S_IFDIR, IN},
    /* pg_control comes last; in a tablespace it is a name as any other. */
    {DATA, "global/pg_control", S_IFREG, CONTROL},
    {DATA, "base/5/pg_control", S_IFREG, IN},
    {SPACE, "global/pg_control", S_IFREG, IN},
    /* By name, anywhere. */
    {DATA, "postmaster.pid", S_IFREG, OUT},
    {DATA, "postmaster.opts", S_IFREG, OUT},
    {DATA, "postmaster.opts.bak", S_IFREG, IN},
    {DATA, "backup_label", S_IFREG, OUT},
    {DATA, "backup_label.old", S_IFREG, IN},
    {DATA, "backup_manifest", S_IFREG, OUT},
    {DATA, "tablespace_map", S_IFREG, OUT},
    {DATA, "postgresql.auto.conf.tmp", S_IFREG, OUT},
    {DATA, "current_logfiles.tmp", S_IFREG, OUT},
    {DATA, ".DS_Store", S_IFREG, OUT},
    {DATA, "global/pg_internal.init", S_IFREG, OUT},
    {DATA, "base/5/pg_internal.init", S_IFREG, OUT},
    {DATA, "base/5/pg_internal.init.4711", S_IFREG, OUT},
    {DATA, "base/5/backup_label", S_IFREG, OUT},
    {DATA, "base/pgsql_tmp", S_IFDIR, OUT},
    {DATA, "base/pgsql_tmp4711.0", S_IFREG, OUT},
    {DATA, "base/pgsql_tmp", S_IFLNK, OUT},
    {DATA, "pgsql_tm", S_IFREG, IN},
    {SPACE, "PG_15_202209061/pgsql_tmp", S_IFDIR, OUT},
    /* What is in it is the server's, of this run. */
    {DATA, "pg_wal", S_IFDIR, EMPTY},
    {DATA, "pg_wal", S_IFLNK, EMPTY},
    {DATA, "junk/pg_wal", S_IFDIR, IN},
    {DATA, "junk/pg_wal", S_IFLNK, SKIP},
    {SPACE, "pg_wal", S_IFDIR, IN},
    {DATA, "pg_stat_tmp", S_IFDIR, EMPTY},
    {DATA, "pg_stat_tmp", S_IFLNK, EMPTY},
    {DATA, "pg_replslot", S_IFDIR, EMPTY},
    {DATA, "pg_dynshmem", S_IFDIR, EMPTY},
    {DATA, "pg_notify", S_IFDIR, EMPTY},
    {DATA, "pg_serial", S_IFDIR, EMPTY},
    {DATA, "pg_snapshots", S_IFDIR, EMPTY},
    {DATA, "pg_subtrans", S_IFDIR, EMPTY},
    {DATA, "junk/pg_subtrans", S_IFDIR, EMPTY},
    {DATA, "pg_subtrans", S_IFREG, IN},
    /* Pages. */
    {DATA, "base/5/1259", S_IFREG, REL},
    {DATA, "base/5/1259_fsm", S_IFREG, REL},
    {DATA, "base/5/1259_vm", S_IFREG, REL},
    {DATA, "base/5/16400_init", S_IFREG, REL},
    {DATA, "base/5/16400.1", S_IFREG, REL},
    {DATA, "base/5/16400_vm.12", S_IFREG, REL},
    {DATA, "base/5/4294967295", S_IFREG, REL},
    {DATA, "global/1262", S_IFREG, REL},
    {DATA, "global/1262_fsm", S_IFREG, REL},
    {SPACE, "PG_15_202209061/5/16400", S_IFREG, REL},
    /* Not quite. */
    {DATA, "base/5/4294967296", S_IFREG, IN},
    {DATA, "base/5/0", S_IFREG, IN},
    {DATA, "base/5/01259", S_IFREG, IN},
    {DATA, "base/5/1259.0", S_IFREG, IN},
    {DATA, "base/5/1259.01", S_IFREG, IN},
    {DATA, "base/5/1259.", S_IFREG, IN},
    {DATA, "base/5/1259_", S_IFREG, IN},
    {DATA, "base/5/1259_foo", S_IFREG, IN},
    {DATA, "base/5/1259_vmx", S_IFREG, IN},
    {DATA, "base/5/1259.1.1", S_IFREG, IN},
    {DATA, "base/5/1259.4294967296", S_IFREG, IN},
    {DATA, "base/5/12590123456789012345", S_IFREG, IN},
    {DATA, "base/5/1259.bak", S_IFREG, IN},
    {DATA, "base/5/ 1259", S_IFREG, IN},
    {DATA, "base/1259", S_IFREG, IN},
    {DATA, "base/5x/1259", S_IFREG, IN},
    {DATA, "base/5/7/1259", S_IFREG, IN},
    {DATA, "basement/5/1259", S_IFREG, IN},
    {DATA, "global/5/1259", S_IFREG, IN},
    {SPACE, "PG_15_202209061/1259", S_IFREG, IN},
    {SPACE, "base/5/1259", S_IFREG, IN},
    {DATA, "base/5/1259", S_IFDIR, IN},
    /* Temporary relations, where there are relations. */
    {DATA, "base/5/t3_16400", S_IFREG, OUT},
    {DATA, "base/5/t3_16400_fsm", S_IFREG, OUT},
    {DATA, "base/5/t3_16400_vm.2", S_IFREG, OUT},
    {DATA, "base/5/t03_016400.0", S_IFREG, OUT},
    {DATA, "base/5/t3_16400", S_IFDIR, OUT},
    {SPACE, "PG_15_202209061/5/t3_16400", S_IFREG, OUT},
    {DATA, "base/5/t3_16400x", S_IFREG, IN},
    {DATA, "base/5/t3_", S_IFREG, IN},
    {DATA, "base/5/t_16400", S_IFREG, IN},
    {DATA, "base/5/t3", S_IFREG, IN},
    {DATA, "global/t3_16400", S_IFREG, IN},
    {DATA, "t3_16400", S_IFREG, IN},
    /* Links. */
    {DATA, "postgresql.conf", S_IFLNK, SKIP},
    {DATA, "log", S_IFLNK, SKIP},
    {DATA, "pg_tblspc/16384", S_IFLNK, SKIP},
    {DATA, "base", S_IFLNK, REFUSE},
    {DATA, "base/5", S_IFLNK, REFUSE},
    {DATA, "base/5/1259", S_IFLNK, REFUSE},
    {DATA, "global", S_IFLNK, REFUSE},
    {DATA, "pg_xact", S_IFLNK, REFUSE},
    {DATA, "pg_multixact/offsets", S_IFLNK, REFUSE},
    {DATA, "pg_tblspc", S_IFLNK, REFUSE},
    {DATA, "pg_xact2", S_IFLNK, SKIP},
    {SPACE, "PG_15_202209061/5", S_IFLNK, REFUSE},
    /* What is no file. */
    {DATA, "s", S_IFSOCK, SKIP},
    {DATA, "base/5/1259", S_IFIFO, SKIP},
    {DATA, "pg_notify", S_IFSOCK, SKIP},
    {DATA, "x", S_IFBLK, SKIP},
};

static void rules_hold(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct still_pg_relation relation;
		enum still_pg_rule rule = still_pg_exclude(
		    rules[i].top, rules[i].rel, rules[i].type, &relation);

		if (rule != rules[i].rule)
			fail_msg("%s: %d instead of %d", rules[i].rel,
			    (int) rule, (int) rules[i].rule);
	}
}

static const struct {
	const char *name;
	struct still_pg_relation relation;
} names[] = {
    {"1259", {1259, 0, STILL_PG_FORK_MAIN, false}},
    {"1259_fsm", {1259, 0, STILL_PG_FORK_FSM, false}},
    {"1259_vm.7", {1259, 7, STILL_PG_FORK_VM, false}},
    {"1_init", {1, 0, STILL_PG_FORK_INIT, false}},
    {"4294967295.4294967295",
	{4294967295, 4294967295, STILL_PG_FORK_MAIN, false}},
    {"t12_1259_fsm.3", {1259, 3, STILL_PG_FORK_FSM, true}},
};

static void names_are_parsed(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct still_pg_relation *want = &names[i].relation;
		struct still_pg_relation got;

		assert_true(still_pg_relation_parse(names[i].name, &got));
		assert_int_equal(got.relfilenode, want->relfilenode);
		assert_int_equal(got.segment, want->segment);
		assert_int_equal(got.fork, want->fork);
		assert_int_equal(got.temporary, want->temporary);
	}
}

/* Whatever is cut off or put in: no crash, and a name that is taken for a
 * relation's is exactly the one that the server would write for it. */
static void a_parsed_name_is_the_servers(void **state)
{
	static const char alphabet[] = "0123456789__..tfsmvinx/\xff";
	static const char *const forks[] = {"", "_fsm", "_vm", "_init"};
	uint64_t seed = scratch_seed();
	unsigned n_parsed = 0;

	(void) state;
	for (unsigned i = 0; i < 200000; i++) {
		const char *from = names[scratch_below(&seed, 6)].name;
		struct still_pg_relation got;
		char name[64];
		char again[64];
		size_t len = strlen(from);

		memcpy(name, from, len + 1);
		for (uint64_t n = scratch_below(&seed, 3); n > 0; n--)
			name[scratch_below(&seed, len)] =
			    alphabet[scratch_below(
				&seed, sizeof(alphabet) - 1)];
		name[scratch_below(&seed, len + 1)] = '\0';
		if (!still_pg_relation_parse(name, &got))
			continue;
		n_parsed++;
		snprintf(again, sizeof(again), "%u%s",
		    (unsigned) got.relfilenode, forks[got.fork]);
		if (got.segment)
			snprintf(again + strlen(again),
			    sizeof(again) - strlen(again), ".%u",
			    (unsigned) got.segment);
		if (got.temporary)
			assert_string_equal(strchr(name, '_') + 1, again);
		else
			assert_string_equal(name, again);
	}
	assert_true(n_parsed > 1000);
}

static void unlogged_forks_have_an_init_fork(void **state)
{
	char init[STILL_PG_INIT_NAME_BYTES];

	(void) state;
	assert_true(still_pg_unlogged_init("16400", init));
	assert_string_equal(init, "16400_init");
	assert_true(still_pg_unlogged_init("4294967295_vm.3", init));
	assert_string_equal(init, "4294967295_init");
	/* The server takes these too. */
	assert_true(still_pg_unlogged_init("016400.0", init));
	assert_string_equal(init, "016400_init");
	assert_false(still_pg_unlogged_init("16400_init", init));
	assert_false(still_pg_unlogged_init("16400_init.1", init));
	assert_false(still_pg_unlogged_init("16400_foo", init));
	assert_false(still_pg_unlogged_init("t3_16400", init));
	assert_false(still_pg_unlogged_init("12345678901", init));
	assert_false(still_pg_unlogged_init("", init));
}

static void databases_have_directories(void **state)
{
	(void) state;
	assert_true(still_pg_is_database_dir(DATA, "base/5"));
	assert_false(still_pg_is_database_dir(DATA, "base"));
	assert_false(still_pg_is_database_dir(DATA, "base/"));
	assert_false(still_pg_is_database_dir(DATA, "base/5/5"));
	assert_false(still_pg_is_database_dir(DATA, "global"));
	assert_false(still_pg_is_database_dir(DATA, "global/5"));
	assert_false(still_pg_is_database_dir(DATA, "PG_15_202209061/5"));
	assert_true(still_pg_is_database_dir(SPACE, "PG_15_202209061/5"));
	assert_false(still_pg_is_database_dir(SPACE, "base/5"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_hold),
	    cmocka_unit_test(names_are_parsed),
	    cmocka_unit_test(a_parsed_name_is_the_servers),
	    cmocka_unit_test(unlogged_forks_have_an_init_fork),
	    cmocka_unit_test(databases_have_directories),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
