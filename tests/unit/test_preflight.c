/* SPDX-License-Identifier: MIT */
/* What a trial freeze tells, over an engine that does as it is told. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "core/catalog.h"
#include "core/preflight.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

struct fixture {
	struct still_options options;
	struct still_preflight found;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	still_fake_reset();
	f->options.freeze_ms = 10000;
	f->options.stall_ms = 500;
	*state = f;
	return 0;
}

/* Whatever was found, nothing is held afterwards. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	bool failed = still_fake.attach_code != 0;
	bool refused = still_fake.examine_code != 0;

	for (int i = 0; i < 4; i++)
		refused |= still_fake.obstacles[i].text &&
		    !still_fake.obstacles[i].warning;

	still_preflight_release(&f->found);
	still_preflight_release(&f->found);
	free(f);
	return atomic_load(&still_fake.n_examine) == 1 &&
		atomic_load(&still_fake.n_attach) == (refused ? 0 : 1) &&
		atomic_load(&still_fake.n_detach) == (failed || refused ? 0 : 1)
	    ? 0
	    : -1;
}

static void look(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (still_preflight_engine(&still_engine_fake, "fake:x", &f->options,
		&f->found, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(err.code, 0);
}

static void assert_finding(struct fixture *f, size_t i, enum still_level level,
    const char *object, const char *text, const char *hint)
{
	const struct still_finding *finding = &f->found.findings[i];

	assert_true(i < f->found.n_findings);
	assert_int_equal(finding->level, level);
	assert_string_equal(finding->object, object);
	if (!strstr(finding->text, text))
		fail_msg("\"%s\" does not say \"%s\"", finding->text, text);
	if (!hint)
		assert_null(finding->hint);
	else if (!finding->hint || !strstr(finding->hint, hint))
		fail_msg("\"%s\" does not say \"%s\"", finding->hint, hint);
}

/* ---- nothing is wrong ---------------------------------------------------- */

static void all_is_well(void **state)
{
	struct fixture *f = *state;

	still_fake.cut_held_ns = 4711;
	look(f);
	assert_string_equal(f->found.source, "fake:x");
	assert_string_equal(f->found.engine, "fake");
	assert_string_equal(f->found.engine_version, "1.0");
	assert_int_equal(f->found.n_findings, 0);
	assert_int_equal(f->found.n_databases, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct still_checked_database *database =
		    &f->found.databases[i];

		assert_string_equal(
		    database->path, still_fake_path(i) + strlen("data/"));
		assert_int_equal(
		    database->size_bytes, still_fake.size_bytes[i]);
		assert_string_equal(database->log, "none");
		assert_string_equal(database->verified, "nothing");
		assert_true(database->frozen);
	}
	assert_int_equal(f->found.size_bytes, 100000 + 4096 + 300001);
	assert_int_equal(f->found.cut_width_ns, 750);
	assert_int_equal(f->found.writers_held_ns, 4711);
	assert_true(f->found.freeze_ns > 0);
	assert_int_equal(atomic_load(&still_fake.n_freeze), 1);
	assert_int_equal(atomic_load(&still_fake.n_thaw), 1);
	/* It looks, and reads nothing. */
	assert_int_equal(atomic_load(&still_fake.n_read), 0);
}

/* ---- what would make a backup fail --------------------------------------- */

static void cannot_attach(void **state)
{
	static const int codes[] = {STILL_ERR_NOTFOUND, STILL_ERR_UNSUPPORTED,
	    STILL_ERR_ACCESS, STILL_ERR_INVALID, STILL_ERR_IO};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		still_preflight_release(&f->found);
		still_fake_reset();
		still_fake.attach_code = codes[i];
		look(f);
		assert_string_equal(f->found.source, "fake:x");
		assert_null(f->found.engine);
		assert_null(f->found.engine_version);
		assert_int_equal(f->found.n_databases, 0);
		assert_int_equal(f->found.n_findings, 1);
		assert_finding(f, 0, STILL_LEVEL_ERROR, "fake:x",
		    "source `fake:x`: was told to fail", NULL);
	}
}

/* All that an engine knows, and not only the first. */
static void examined(void **state)
{
	struct fixture *f = *state;

	still_fake.obstacles[0].text = "is wet";
	still_fake.obstacles[1].text = "is grey";
	still_fake.obstacles[1].warning = true;
	still_fake.obstacles[2].text = "is locked";
	still_fake.attach_code = STILL_ERR_IO;
	look(f);
	assert_string_equal(f->found.source, "fake:x");
	assert_null(f->found.engine);
	assert_int_equal(f->found.n_databases, 0);
	assert_int_equal(f->found.n_findings, 3);
	assert_finding(
	    f, 0, STILL_LEVEL_ERROR, "part `0`", "part `0`: is wet", NULL);
	assert_int_equal(f->found.findings[0].code, STILL_ERR_ACCESS);
	assert_finding(f, 1, STILL_LEVEL_ERROR, "part `2`",
	    "part `2`: is locked", "Mend it.");
	assert_finding(f, 2, STILL_LEVEL_WARNING, "part `1`",
	    "part `1`: is grey", "Mend it.");
	assert_int_equal(f->found.findings[2].code, 0);
}

/* Warnings keep nobody from trying, and are told once. */
static void examined_warnings(void **state)
{
	struct fixture *f = *state;

	still_fake.obstacles[0].text = "is grey";
	still_fake.obstacles[0].warning = true;
	still_fake.obstacles[1] = still_fake.obstacles[0];
	still_fake.warning = "it rains";
	look(f);
	assert_int_equal(f->found.n_findings, 3);
	assert_finding(f, 0, STILL_LEVEL_WARNING, "part `0`", "is grey", NULL);
	assert_finding(f, 1, STILL_LEVEL_WARNING, "part `1`", "is grey", "M");
	assert_finding(f, 2, STILL_LEVEL_WARNING, "fake:x", "it rains", NULL);
	assert_int_equal(f->found.n_databases, 3);
	still_preflight_release(&f->found);
	still_fake_reset();
	still_fake.obstacles[0].text = "is grey";
	still_fake.obstacles[0].warning = true;
	still_fake.warning_object = "part `0`";
	still_fake.warning = "part `0`: is grey";
	look(f);
	assert_int_equal(f->found.n_findings, 1);
}

static void captured(void **state)
{
	struct fixture *f = *state;

	f->options.freeze_ms = 20;
	still_fake.freeze_ns = INT64_C(30) * 1000000;
	still_fake.way = "clone";
	look(f);
	/* Nor is it called long. */
	assert_int_equal(f->found.n_findings, 1);
	assert_finding(f, 0, STILL_LEVEL_INFO, "fake:x",
	    "a freeze is by clone: nothing is copied", NULL);
	assert_string_equal(f->found.way, "clone");
	assert_int_equal(f->found.copy_bytes, 0);
	still_preflight_release(&f->found);
	still_fake_reset();
	still_fake.way = "copy";
	still_fake.why = "it cannot be shared";
	still_fake.spool_bytes = 3 << 10;
	look(f);
	assert_int_equal(f->found.n_findings, 1);
	assert_finding(f, 0, STILL_LEVEL_INFO, "fake:x",
	    "a freeze is by copy: 3.0 KiB of the spool for as long as a "
	    "session lasts; it cannot be shared",
	    "XFS or btrfs");
	assert_string_equal(f->found.way, "copy");
	assert_int_equal(f->found.copy_bytes, 3 << 10);
	still_preflight_release(&f->found);
	still_fake_reset();
	still_fake.way = "copy";
	still_fake.spool_bytes = UINT64_MAX / 2;
	look(f);
	assert_int_equal(f->found.n_findings, 1);
	assert_int_equal(f->found.findings[0].level, STILL_LEVEL_ERROR);
	assert_int_equal(f->found.findings[0].code, STILL_ERR_NOSPACE);
}

static void cannot_freeze(void **state)
{
	static const int codes[] = {STILL_ERR_BUSY, STILL_ERR_AGAIN,
	    STILL_ERR_NOSPACE, STILL_ERR_CORRUPT};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		still_preflight_release(&f->found);
		still_fake_reset();
		still_fake.freeze_code = codes[i];
		look(f);
		assert_string_equal(f->found.engine, "fake");
		assert_int_equal(f->found.n_findings, 1);
		assert_finding(f, 0, STILL_LEVEL_ERROR, "fake:x",
		    "source `fake:x`: was told to fail", "Tell it otherwise.");
		assert_int_equal(f->found.findings[0].code, codes[i]);
		/* What was seen before is told all the same. */
		assert_int_equal(f->found.n_databases, 3);
		assert_string_equal(f->found.databases[1].path, "sub/001.db");
		assert_int_equal(f->found.databases[1].size_bytes, 4096);
		assert_string_equal(f->found.databases[1].log, "none");
		assert_null(f->found.databases[1].verified);
		assert_false(f->found.databases[1].frozen);
		assert_int_equal(f->found.size_bytes, 0);
	}
}

static void one_cannot_be_frozen(void **state)
{
	struct fixture *f = *state;

	still_fake.unfrozen = 1;
	look(f);
	assert_int_equal(f->found.n_findings, 1);
	assert_finding(f, 0, STILL_LEVEL_ERROR, "sub/001.db",
	    "`data/sub/001.db`: was told not to freeze", "Tell it otherwise.");
	assert_int_equal(f->found.n_databases, 3);
	assert_false(f->found.databases[1].frozen);
	assert_null(f->found.databases[1].verified);
	assert_true(f->found.databases[2].frozen);
	assert_int_equal(f->found.size_bytes, 100000 + 300001);
}

static void one_is_damaged(void **state)
{
	struct fixture *f = *state;

	still_fake.damaged_at_freeze = 2;
	look(f);
	assert_int_equal(f->found.n_findings, 1);
	assert_finding(f, 0, STILL_LEVEL_ERROR, "002.db",
	    "page 1 of `data/002.db`: is damaged", "It was told");
	assert_int_equal(f->found.findings[0].code, STILL_ERR_CORRUPT);
	assert_true(f->found.databases[2].frozen);
}

/* ---- what a backup would bear -------------------------------------------- */

static void worst_first(void **state)
{
	struct fixture *f = *state;

	still_fake.warning = "it rains";
	still_fake.verified = "header";
	still_fake.damaged_at_freeze = 0;
	still_fake.unfrozen = 1;
	look(f);
	assert_int_equal(f->found.n_findings, 4);
	assert_finding(f, 0, STILL_LEVEL_ERROR, "000.db", "is damaged", "told");
	assert_finding(f, 1, STILL_LEVEL_ERROR, "sub/001.db", "told", "Tell");
	assert_finding(f, 2, STILL_LEVEL_WARNING, "fake:x", "it rains", NULL);
	assert_int_equal(f->found.findings[2].code, 0);
	assert_finding(f, 3, STILL_LEVEL_INFO, "fake:x",
	    "no page checksums in 2 of 2 databases", "verify=quick");
}

static void checks(void **state)
{
	static const struct {
		const char *verified;
		bool told;
	} table[] = {
	    {"header", true},
	    {"header+logs", true},
	    {"pages", false},
	    {"structure+logs", false},
	    {"nothing", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		still_preflight_release(&f->found);
		still_fake_reset();
		still_fake.verified = table[i].verified;
		look(f);
		assert_int_equal(f->found.n_findings, table[i].told);
		assert_string_equal(
		    f->found.databases[0].verified, table[i].verified);
	}
}

static void writers_wait(void **state)
{
	static const struct {
		int64_t held_ms;
		bool told;
	} table[] = {{0, false}, {250, false}, {251, true}, {100000, true}};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char text[64];

		still_preflight_release(&f->found);
		still_fake_reset();
		still_fake.cut_held_ns = table[i].held_ms * 1000000;
		look(f);
		assert_int_equal(f->found.n_findings, table[i].told);
		snprintf(text, sizeof(text),
		    "held off for %lld ms, and `stall_ms` allows 500",
		    (long long) table[i].held_ms);
		if (table[i].told)
			assert_finding(f, 0, STILL_LEVEL_WARNING, "fake:x",
			    text, "raise `stall_ms`");
	}
}

static void freeze_is_long(void **state)
{
	struct fixture *f = *state;

	f->options.freeze_ms = 20;
	still_fake.freeze_ns = INT64_C(30) * 1000000;
	look(f);
	assert_true(f->found.freeze_ns >= still_fake.freeze_ns);
	assert_int_equal(f->found.n_findings, 1);
	assert_finding(f, 0, STILL_LEVEL_WARNING, "fake:x", "its freeze took ",
	    "Nothing can be read before");
}

/* ---- beside a session ---------------------------------------------------- */

static struct still_catalog *open_catalog(char *dir)
{
	struct still_catalog *catalog = NULL;
	struct still_error err = STILL_ERROR_INIT;

	if (still_catalog_open(dir, true, &catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return catalog;
}

static void session_has_it(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct still_lock lock = STILL_LOCK_INIT;
	char *dir = scratch_make();

	f->options.catalog = open_catalog(dir);
	assert_int_equal(still_catalog_lock(f->options.catalog, "fake",
			     "fake:x", "id-1", "/mnt/x", &lock, NULL),
	    0);
	assert_int_equal(still_preflight_engine(&still_engine_fake, "fake:x",
			     &f->options, &f->found, &err),
	    STILL_ERR_BUSY);
	assert_non_null(strstr(still_error_msg(&err), "/mnt/x"));
	still_error_clear(&err);
	/* It is undisturbed. */
	assert_int_equal(atomic_load(&still_fake.n_freeze), 0);
	still_catalog_unlock(&lock);
	still_preflight_release(&f->found);
	still_fake_reset();
	look(f);
	assert_int_equal(f->found.n_findings, 0);
	assert_int_equal(f->found.n_databases, 3);
	/* What was taken is given back, and nothing is remembered. */
	assert_int_equal(still_catalog_lock(f->options.catalog, "fake",
			     "fake:x", "id-2", NULL, &lock, NULL),
	    0);
	still_catalog_unlock(&lock);
	still_catalog_close(f->options.catalog);
	scratch_remove(dir);
}

static void *look_slowly(void *arg)
{
	look(arg);
	return NULL;
}

/* Nor does one begin in the middle of a look. */
static void looker_has_it(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_record *records = NULL;
	char *dir = scratch_make();
	pthread_t thread;
	size_t n = 99;

	f->options.catalog = open_catalog(dir);
	still_fake_gate_close(&still_fake.freeze_gate);
	assert_int_equal(pthread_create(&thread, NULL, look_slowly, f), 0);
	still_fake_gate_await(&still_fake.freeze_gate);
	assert_int_equal(still_catalog_lock(f->options.catalog, "fake",
			     "fake:x", "id-1", NULL, &lock, &err),
	    STILL_ERR_BUSY);
	still_error_clear(&err);
	still_fake_gate_open(&still_fake.freeze_gate);
	pthread_join(thread, NULL);
	assert_int_equal(f->found.n_databases, 3);
	assert_int_equal(
	    still_catalog_list(f->options.catalog,
		&(struct still_record_filter){0}, &records, &n, NULL),
	    0);
	assert_int_equal(n, 0);
	still_records_free(records, n);
	still_catalog_close(f->options.catalog);
	scratch_remove(dir);
}

/* ---- no memory ----------------------------------------------------------- */

static void no_memory(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	still_fake.examine_code = STILL_ERR_NOMEM;
	assert_int_equal(still_preflight_engine(&still_engine_fake, "fake:x",
			     &f->options, &f->found, &err),
	    STILL_ERR_NOMEM);
	assert_int_equal(err.code, STILL_ERR_NOMEM);
	still_error_clear(&err);
	still_preflight_release(&f->found);
	still_fake_reset();
	still_fake.freeze_code = STILL_ERR_NOMEM;
	assert_int_equal(still_preflight_engine(&still_engine_fake, "fake:x",
			     &f->options, &f->found, &err),
	    STILL_ERR_NOMEM);
	assert_int_equal(err.code, STILL_ERR_NOMEM);
	still_error_clear(&err);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(all_is_well),
	    TEST(cannot_attach),
	    TEST(examined),
	    TEST(examined_warnings),
	    TEST(captured),
	    TEST(cannot_freeze),
	    TEST(one_cannot_be_frozen),
	    TEST(one_is_damaged),
	    TEST(worst_first),
	    TEST(checks),
	    TEST(writers_wait),
	    TEST(freeze_is_long),
	    TEST(session_has_it),
	    TEST(looker_has_it),
	    TEST(no_memory),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
