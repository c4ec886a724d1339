/* SPDX-License-Identifier: MIT */
/*
 * The catalog tells the truth, wherever it was torn from.
 *
 * A scenario of three sessions runs step by step, each of them one call of the
 * catalog's. What the store holds after each step is known from a run that
 * nothing disturbed. Whatever happens during step k, the store must open
 * afterwards, be whole, and hold exactly what it held after the last step that
 * was answered, or after the one that was under way. So no step is lost, none is
 * half there, and none is there that nobody asked for.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/sys.h"
#include "core/store.h"
#include "tests/lib/chronicle.h"
#include "tests/lib/power.h"
#include "tests/lib/shim_vfs.h"
#include "tests/unit/scratch.h"

#define SOURCE "/srv/shop"
#define DAY_S 86400

/* ---- the scenario -------------------------------------------------------- */

enum step {
	OPEN,
	LOCK, /* for the first time: the instance gets its row */
	BEGIN_1,
	FREEZE_1,
	SEAL_1,
	COPIED_1,
	COMMIT_1,
	BEGIN_2,
	FREEZE_2,
	ABORT_2,
	BEGIN_3,
	FREEZE_3,
	SEAL_3,
	COMMITTED_3,
	STEP_COUNT
};

struct run {
	char *dir;
	struct still_catalog *catalog;
	struct chronicle c;
	const char *synchronous; /* NULL: as the catalog wants it */
};

static int open_it(struct run *run)
{
	char sql[64];
	int rc = still_catalog_open(run->dir, true, &run->catalog, &run->c.err);

	if (rc < 0)
		return rc;
	run->c.catalog = run->catalog;
	if (!run->synchronous)
		return 0;
	snprintf(sql, sizeof(sql), "PRAGMA synchronous=%s", run->synchronous);
	return sqlite3_exec(run->catalog->conn, sql, NULL, NULL, NULL);
}

static int lock_it(struct run *run)
{
	struct still_lock lock = STILL_LOCK_INIT;
	int rc = still_catalog_lock(
	    run->catalog, "fake", SOURCE, "nobody", NULL, &lock, &run->c.err);

	still_catalog_unlock(&lock);
	return rc;
}

static int begin(struct run *run, const char *id, int64_t now_s)
{
	still_catalog_unlock(&run->c.lock);
	return chronicle_begin(&run->c, SOURCE, id, "/mnt/a", now_s);
}

/* The third file is gone from the second session on, and forgotten. */
static int freeze(
    struct run *run, const char *identity, size_t n, int64_t now_s)
{
	struct chronicle_file files[] = {
	    {"data/a.db", "same", 10},
	    {"data/b.db", identity, 20},
	    {"data/c.db", "same", 30},
	};
	int rc;

	chronicle_build(&run->c, files, n);
	rc = chronicle_stamp(&run->c, now_s);
	return rc < 0 ? rc : chronicle_frozen(&run->c, now_s);
}

static bool is_begin(enum step step)
{
	return step == BEGIN_1 || step == BEGIN_2 || step == BEGIN_3;
}

static int take_step(struct run *run, enum step step)
{
	const int64_t day[] = {DAY_S, 3 * DAY_S, 6 * DAY_S};

	switch (step) {
	case OPEN:
		return open_it(run);
	case LOCK:
		return lock_it(run);
	case BEGIN_1:
		return begin(run, "one", day[0]);
	case FREEZE_1:
		return freeze(run, "1", 3, day[0]);
	case SEAL_1:
	case SEAL_3:
		return chronicle_seal(&run->c);
	case COPIED_1:
		return chronicle_end(&run->c, STILL_COPIED, day[0]);
	case COMMIT_1:
		return still_catalog_commit(
		    run->catalog, "one", NULL, NULL, &run->c.err);
	case BEGIN_2:
		return begin(run, "two", day[1]);
	case FREEZE_2:
		return freeze(run, "2", 2, day[1]);
	case ABORT_2:
		return chronicle_end(&run->c, STILL_ABORTED_CALLER, day[1]);
	case BEGIN_3:
		return begin(run, "three", day[2]);
	case FREEZE_3:
		return freeze(run, "3", 2, day[2]);
	case COMMITTED_3:
		return chronicle_end(&run->c, STILL_COMMITTED, day[2]);
	default:
		abort();
	}
}

static void run_init(struct run *run, const char *parent, const char *name)
{
	memset(run, 0, sizeof(*run));
	run->dir = strdup(scratch_path(parent, name));
	chronicle_init(&run->c, NULL);
}

static void run_release(struct run *run)
{
	chronicle_release(&run->c);
	still_catalog_close(run->catalog);
	free(run->dir);
}

/* ---- what the store holds ------------------------------------------------ */

struct print {
	struct still_hash128 hash;
};

#define INSTANCES                                                      \
	"SELECT quote(id)||quote(engine)||quote(source) FROM instance" \
	" ORDER BY id"
/* When a commit comes later, its time is that of the clock. */
#define SESSIONS                                                         \
	"SELECT quote(seq)||quote(id)||quote(instance)||quote(number)||" \
	"quote(kind)||quote(place)||quote(state)||quote(outcome)||"      \
	"quote(outcome_text)||quote(begun_at_ns)||quote(frozen_at_ns)||" \
	"quote(sealed)||quote(ended_at_ns)||quote(committed_at_ns<>0)||" \
	"quote(databases)||quote(databases_json)||quote(files)||"        \
	"quote(files_whole)||quote(files_known)||quote(bytes)||"         \
	"quote(bytes_served)||quote(n_damaged)||quote(verified)||"       \
	"quote(cut)||quote(error)||quote(hint)||quote(seal_xxh128)||"    \
	"quote(base)||quote(chain)||quote(link)||quote(note)||"          \
	"quote(forced)||quote(truncated)||quote(truncated_range)"        \
	" FROM session ORDER BY seq"
#define FILES                                                     \
	"SELECT quote(session)||quote(path)||quote(size_bytes)||" \
	"quote(identity)||quote(time_s)||quote(xxh128) FROM file" \
	" ORDER BY session, path"
#define PATHS                                                    \
	"SELECT quote(instance)||quote(path)||quote(identity)||" \
	"quote(time_s)||quote(shown_at_s) FROM path ORDER BY instance, path"

static const char *const everything[] = {INSTANCES, SESSIONS, FILES, PATHS};

static bool add_all(sqlite3 *conn, const char *sql, struct still_buf *buf)
{
	sqlite3_stmt *stmt = NULL;
	int rc;

	if (sqlite3_prepare_v2(conn, sql, -1, &stmt, NULL) != SQLITE_OK)
		return false;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
		still_buf_printf(
		    buf, "%s\n", (const char *) sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return rc == SQLITE_DONE;
}

/* By stock SQLite. NULL, or what is wrong. */
static const char *take_print(const char *dir, struct print *ret)
{
	struct still_buf check = STILL_BUF_INIT;
	struct still_buf buf = STILL_BUF_INIT;
	const char *wrong = NULL;
	sqlite3 *conn = NULL;

	sqlite3_open_v2(scratch_path(dir, "catalog.db"), &conn,
	    SQLITE_OPEN_READWRITE, "unix");
	if (!add_all(conn, "PRAGMA integrity_check", &check) ||
	    strcmp(check.data, "ok\n") != 0)
		wrong = "fails its integrity check";
	for (size_t i = 0; !wrong && i < 4; i++)
		if (!add_all(conn, everything[i], &buf))
			wrong = "cannot be read";
	sqlite3_close(conn);
	ret->hash = still_hash128(buf.data ? buf.data : "", buf.len);
	still_buf_release(&check);
	still_buf_release(&buf);
	return wrong;
}

static bool same(const struct print *a, const struct print *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- the judge ----------------------------------------------------------- */

struct fixture {
	char *dir;
	uint64_t random;
	struct print prints[STEP_COUNT]; /* after each step */
	uint64_t n_states;
	uint64_t n_hot; /* of them, with a journal to be rolled back */
};

/* No session is alive: its process was killed, or the machine stood still. */
static const char *judge_list(struct still_catalog *catalog)
{
	struct still_record_filter all = {0};
	struct still_record *records = NULL;
	const char *wrong = NULL;
	size_t n = 0;

	if (still_catalog_list(catalog, &all, &records, &n, NULL) != 0)
		return "cannot be listed";
	for (size_t i = 0; i < n; i++)
		if (records[i].state != STILL_ENDED)
			wrong = "has a session that lives";
	still_records_free(records, n);
	return wrong;
}

/* Whoever comes next needs no hands. */
static const char *judge_next(struct still_catalog *catalog)
{
	const char *wrong = NULL;
	int64_t n = -1;
	struct chronicle c;

	chronicle_init(&c, catalog);
	if (chronicle_begin(&c, SOURCE, "next", NULL, 9 * DAY_S) != 0 ||
	    chronicle_end(&c, STILL_ABORTED_FREEZE, 9 * DAY_S) != 0) {
		fprintf(stderr, "%s\n", still_error_msg(&c.err));
		wrong = "takes no further session";
	}
	chronicle_release(&c);
	if (still_store_begin(catalog, false, NULL) == 0) {
		still_store_number(catalog, &n, NULL,
		    "SELECT count(*) FROM session WHERE state<>'ended'", "");
		still_store_finish(catalog, 0, NULL);
	}
	return wrong ? wrong : n != 0 ? "has a session without an end" : NULL;
}

static int at_least_0(int step)
{
	return step < 0 ? 0 : step;
}

/* What lies in `dir` after steps up to `answered` were answered and those up to
 * `begun` asked for. NULL, or what is wrong with it. */
static const char *judge(
    struct fixture *f, const char *dir, int answered, int begun)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_catalog *catalog = NULL;
	const char *wrong = NULL;
	struct print print;
	int rc;

	f->n_states++;
	f->n_hot += access(scratch_path(dir, "catalog.db-journal"), F_OK) == 0;
	/* Who only looks may be the first. */
	if (answered >= OPEN && f->n_states % 2) {
		if (still_catalog_open(dir, false, &catalog, NULL) != 0)
			return "does not open for a look";
		wrong = judge_list(catalog);
		still_catalog_close(catalog);
		catalog = NULL;
		if (wrong)
			return wrong;
	}
	rc = still_catalog_open(dir, true, &catalog, &err);
	if (rc < 0) {
		still_error_clear(&err);
		return rc == STILL_ERR_CORRUPT ? "is corrupt" : "does not open";
	}
	wrong = take_print(dir, &print);
	if (!wrong && !same(&print, &f->prints[at_least_0(answered)]) &&
	    !same(&print, &f->prints[at_least_0(begun)]))
		wrong = "holds something else";
	if (!wrong)
		wrong = judge_list(catalog);
	if (!wrong)
		wrong = judge_next(catalog);
	still_catalog_close(catalog);
	return wrong;
}

/* An empty state directory, for a state to be put into. */
static void make_dir(const char *dir)
{
	nftw(dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (mkdir(dir, 0700) != 0)
		abort();
}

/* ---- a run that nothing disturbs ----------------------------------------- */

static void note(struct power_trace *trace, enum power_kind kind, int step)
{
	struct power_op op = {.kind = kind, .step = step};

	power_add(trace, &op);
}

/* With `prints` what the store holds is taken down after each step. */
static void trace_run(struct fixture *f, const char *synchronous,
    struct power_trace *trace, struct print *prints)
{
	struct run run;

	run_init(&run, f->dir, "traced");
	run.synchronous = synchronous;
	make_dir(run.dir);
	memset(trace, 0, sizeof(*trace));
	power_add_dir(trace, run.dir);
	shim_on();
	shim_trace(trace);
	for (int step = 0; step < STEP_COUNT; step++) {
		const char *wrong = NULL;

		note(trace, POWER_BEGIN, step);
		if (take_step(&run, step) != 0)
			fail_msg(
			    "step %d: %s", step, still_error_msg(&run.c.err));
		note(trace, POWER_ANSWER, step);
		if (prints)
			wrong = take_print(run.dir, &prints[step]);
		if (wrong)
			fail_msg("step %d: %s", step, wrong);
	}
	run_release(&run);
	shim_off();
}

static int setup(void **state)
{
	static struct fixture fixture;
	struct power_trace trace;

	fixture.dir = scratch_make();
	fixture.random = scratch_seed();
	trace_run(&fixture, NULL, &trace, fixture.prints);
	power_release(&trace);
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	scratch_remove(f->dir);
	return 0;
}

/* Else the judge could not tell one from another. */
static void steps_differ(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < STEP_COUNT; i++)
		for (int j = 0; j < i; j++)
			assert_false(same(&f->prints[i], &f->prints[j]));
}

/* ---- calls that fail ----------------------------------------------------- */

struct report {
	int answered;
	uint64_t n_calls;
};

/* In a process of its own, which ends like one that was killed. */
static void fail_in_child(struct fixture *f, uint64_t at, bool forever,
    bool full, struct report *report)
{
	struct run run;

	run_init(&run, f->dir, "failed");
	shim_on();
	shim_fail(at, forever, full);
	for (int step = 0; step < STEP_COUNT; step++) {
		int rc = take_step(&run, step);

		/* A second try, but of a begin: that is another session. */
		if (rc < 0 && !forever && !is_begin(step))
			rc = take_step(&run, step);
		if (rc < 0)
			break;
		report->answered = step;
	}
	report->n_calls = shim_calls();
	_exit(0);
}

/* False when call `at` was never made. */
static bool fail_once(struct fixture *f, uint64_t at, bool forever, bool full,
    struct report *report)
{
	const char *dir = scratch_path(f->dir, "failed");
	char path[PATH_MAX];
	const char *wrong;
	int status = -1;
	pid_t pid;

	snprintf(path, sizeof(path), "%.4000s", dir);
	make_dir(path);
	report->answered = -1;
	report->n_calls = 0;
	pid = fork();
	if (pid == 0)
		fail_in_child(f, at, forever, full, report);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	wrong = judge(f, path, report->answered,
	    report->answered + 1 < STEP_COUNT ? report->answered + 1
					      : report->answered);
	if (wrong)
		fail_msg("call %llu fails (%s, %s), answered up to step %d: %s",
		    (unsigned long long) at, forever ? "for ever" : "once",
		    full ? "disk full" : "I/O error", report->answered, wrong);
	return report->n_calls >= at;
}

static void failing_calls(void **state)
{
	static const struct {
		bool forever;
		bool full;
	} table[] = {
	    {false, false},
	    {true, false},
	    {false, true},
	    {true, true},
	};
	struct fixture *f = *state;
	struct report *report = mmap(NULL, sizeof(*report),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(report, MAP_FAILED);
	for (size_t i = 0; i < 4; i++) {
		uint64_t at = 1;

		f->n_states = f->n_hot = 0;
		while (
		    fail_once(f, at, table[i].forever, table[i].full, report))
			at++;
		/* The last one met no failure. */
		assert_int_equal(report->answered, STEP_COUNT - 1);
		assert_true(at > 100);
		print_message("%s, %s: %llu states, %llu with a hot journal\n",
		    table[i].forever ? "for ever" : "once",
		    table[i].full ? "disk full" : "I/O error",
		    (unsigned long long) f->n_states,
		    (unsigned long long) f->n_hot);
	}
	munmap(report, sizeof(*report));
}

/* ---- power failures ------------------------------------------------------ */

/* How many states for each moment. */
static unsigned n_tries(void)
{
	const char *given = getenv("STILL_CRASH_TRIES");

	return given ? (unsigned) strtoul(given, NULL, 10) : 6;
}

/* NULL, or what is wrong with one state of that moment. */
static const char *lose_once(struct fixture *f, const struct power_trace *trace,
    size_t n, const char *dir)
{
	make_dir(dir);
	power_fail(trace, n, &f->random, dir);
	return judge(f, dir, power_answered(trace, n), power_begun(trace, n));
}

static void power_failures(void **state)
{
	struct fixture *f = *state;
	char *dir = strdup(scratch_path(f->dir, "lost"));
	struct power_trace trace;
	unsigned tries = n_tries();

	f->n_states = f->n_hot = 0;
	trace_run(f, NULL, &trace, NULL);
	for (size_t n = trace.n_before; n <= trace.n; n++)
		for (unsigned i = 0; i < tries; i++) {
			const char *wrong = lose_once(f, &trace, n, dir);

			if (wrong)
				fail_msg("power fails before operation %zu, "
					 "answered up to step %d: %s",
				    n, power_answered(&trace, n), wrong);
		}
	print_message("%zu moments, %llu states, %llu with a journal\n",
	    trace.n - trace.n_before + 1, (unsigned long long) f->n_states,
	    (unsigned long long) f->n_hot);
	assert_true(f->n_hot > f->n_states / 10);
	power_release(&trace);
	free(dir);
}

/* Somebody looks at `dir`, and the power fails again. */
static void lose_again(struct fixture *f, const char *dir, int answered,
    int begun, const char *again)
{
	struct still_catalog *catalog = NULL;
	struct power_trace trace = {0};

	power_add_dir(&trace, dir);
	shim_on();
	shim_trace(&trace);
	if (still_catalog_open(dir, true, &catalog, NULL) != 0)
		fail_msg("does not open");
	assert_null(judge_list(catalog));
	still_catalog_close(catalog);
	shim_off();
	for (size_t n = trace.n_before; n <= trace.n; n++) {
		const char *wrong;

		make_dir(again);
		power_fail(&trace, n, &f->random, again);
		wrong = judge(f, again, answered, begun);
		if (wrong)
			fail_msg("power fails again before operation %zu, "
				 "answered up to step %d: %s",
			    n, answered, wrong);
	}
	power_release(&trace);
}

/* While a journal is rolled back, too. */
static void power_failures_in_recovery(void **state)
{
	struct fixture *f = *state;
	char *dir = strdup(scratch_path(f->dir, "lost"));
	char *again = strdup(scratch_path(f->dir, "again"));
	struct power_trace trace;

	trace_run(f, NULL, &trace, NULL);
	f->n_states = f->n_hot = 0;
	for (size_t n = trace.n_before; n <= trace.n;
	     n += 1 + scratch_below(&f->random, 4)) {
		make_dir(dir);
		power_fail(&trace, n, &f->random, dir);
		lose_again(f, dir, power_answered(&trace, n),
		    power_begun(&trace, n), again);
	}
	print_message("%llu states, %llu with a journal\n",
	    (unsigned long long) f->n_states, (unsigned long long) f->n_hot);
	assert_true(f->n_hot > 0);
	power_release(&trace);
	free(dir);
	free(again);
}

/* The negative control: a store that waits for less than ours is caught. With
 * FULL, it is the removal of a journal that nobody waited for. */
static void power_failures_unsynced(void **state)
{
	static const char *const modes[] = {"OFF", "NORMAL", "FULL"};
	struct fixture *f = *state;
	char *dir = strdup(scratch_path(f->dir, "lost"));

	for (size_t i = 0; i < 3; i++) {
		struct power_trace trace;
		unsigned n_wrong = 0;

		trace_run(f, modes[i], &trace, NULL);
		f->n_states = 0;
		for (size_t n = trace.n_before; n <= trace.n; n++)
			for (unsigned k = 0; k < 3; k++)
				n_wrong += lose_once(f, &trace, n, dir) != NULL;
		print_message("synchronous=%s: %u of %llu states wrong\n",
		    modes[i], n_wrong, (unsigned long long) f->n_states);
		assert_true(n_wrong > 5);
		power_release(&trace);
	}
	free(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(steps_differ),
	    cmocka_unit_test(failing_calls),
	    cmocka_unit_test(power_failures),
	    cmocka_unit_test(power_failures_in_recovery),
	    cmocka_unit_test(power_failures_unsynced),
	};

	scratch_watchdog();
	/* It is the shim that loses things, not the disk: a fast one will do. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, setup, teardown);
}
