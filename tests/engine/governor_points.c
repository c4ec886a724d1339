/* SPDX-License-Identifier: MIT */
/*
 * governor_points: what an application may do between two steps of the governor,
 * one thing at a time, at each point at which it matters (points.h). The image
 * must be what it was at the freeze: while a thread stands at the point, when it
 * went on, and when the governor is stopped.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "tests/engine/gate.h"
#include "tests/engine/stage.h"
#include "tests/lib/app.h"
#include "tests/unit/scratch.h"

/* ---- the governor stands still -------------------------------------------- */

/* How many pass before one is stopped: at the points that a hop passes often, one
 * in the midst of it. */
static unsigned skip_at(enum sqlite_point point)
{
	return point == SQLITE_POINT_PAGE_SAVED ? 3
	    : point == SQLITE_POINT_PIECE_READ  ? 2
						: 0;
}

static void hop_case(enum sqlite_point point, const struct stage_action *action)
{
	struct stage stage;

	stage_freeze(&stage);
	gate_close(point, skip_at(point));
	stage_govern(&stage, STILL_PIN_GOVERN);
	app_sql(stage.app, "UPDATE t SET b=randomblob(700) WHERE id % 5 = 0");
	gate_wait(point);
	stage_holds(&stage, "at the point");
	action->act(&stage);
	stage_holds(&stage, action->name);
	gate_open(point);
	stage_wait_for_moves(&stage, action, 3);
	stage_holds(&stage, "moved on");
	stage_end(&stage);
}

static const enum sqlite_point hop_points[] = {
    SQLITE_POINT_PIN_TAKEN,
    SQLITE_POINT_FRAMES_SCANNED,
    SQLITE_POINT_PAGE_SAVED,
    SQLITE_POINT_SWITCH,
    SQLITE_POINT_RELEASED,
};
#define N_HOP_POINTS (sizeof(hop_points) / sizeof(hop_points[0]))

static void every_step_of_a_hop(void **state)
{
	(void) state;
	for (size_t i = 0; i < N_HOP_POINTS; i++)
		for (size_t k = 0; k < stage_n_actions; k++) {
			print_message("# point %d, %s\n", (int) hop_points[i],
			    stage_actions[k].name);
			hop_case(hop_points[i], &stage_actions[k]);
		}
}

static void copy_case(
    enum sqlite_point point, const struct stage_action *action)
{
	struct stage stage;

	stage_freeze(&stage);
	gate_close(point, skip_at(point));
	stage_govern(&stage, STILL_PIN_AUTO);
	gate_wait(point);
	stage_holds(&stage, "at the point");
	action->act(&stage);
	stage_holds(&stage, action->name);
	gate_open(point);
	stage_wait_for_completion(&stage);
	assert_false(moment_locks(&stage.moment, 0));
	app_sql(stage.app, "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(stage_log_bytes(&stage), 0);
	action->act(&stage);
	stage_holds(&stage, "complete");
	stage_end(&stage);
}

static void every_step_of_a_copy(void **state)
{
	(void) state;
	for (size_t k = 0; k < stage_n_actions; k++) {
		copy_case(SQLITE_POINT_PIECE_READ, &stage_actions[k]);
		copy_case(SQLITE_POINT_COMPLETE, &stage_actions[k]);
	}
}

/* ---- nothing stays behind --------------------------------------------------- */

/* A cut over several databases takes its slots otherwise. Whatever way they were
 * taken, a pin that was moved on is in nobody's way. */
static void slots_are_let_go(void **state)
{
	(void) state;
	for (int two = 0; two < 2; two++) {
		struct stage stage;

		two ? stage_freeze_two(&stage) : stage_freeze(&stage);
		stage_govern(&stage, STILL_PIN_GOVERN);
		stage_wait_for_moves(&stage, &stage_actions[0], 3);
		app_sql(stage.app, "PRAGMA busy_timeout=20000");
		app_sql(stage.app, "PRAGMA wal_checkpoint(TRUNCATE)");
		assert_int_equal(stage_log_bytes(&stage), 0);
		assert_int_equal(moment_slots(&stage.moment, 0), 1);
		stage_end(&stage);
	}
}

/* ---- stopped in the midst ------------------------------------------------- */

static void *stop(void *arg)
{
	moment_stop(arg);
	return NULL;
}

static void stop_case(enum sqlite_point point, enum still_pin_policy policy)
{
	struct stage stage;
	pthread_t thread;

	stage_freeze(&stage);
	gate_close(point, skip_at(point));
	stage_govern(&stage, policy);
	app_sql(stage.app, "UPDATE t SET b=randomblob(700) WHERE id % 5 = 0");
	gate_wait(point);
	assert_int_equal(pthread_create(&thread, NULL, stop, &stage.moment), 0);
	stage_passive(&stage);
	gate_open(point);
	pthread_join(thread, NULL);
	stage_holds(&stage, "stopped");
	/* What pins are left protect it as well as before. */
	for (size_t k = 0; k < stage_n_actions; k++) {
		stage_actions[k].act(&stage);
		stage_holds(&stage, stage_actions[k].name);
	}
	stage_end(&stage);
}

static void stopped_at_every_step(void **state)
{
	(void) state;
	for (size_t i = 0; i < N_HOP_POINTS; i++)
		stop_case(hop_points[i], STILL_PIN_GOVERN);
	stop_case(SQLITE_POINT_PIECE_READ, STILL_PIN_AUTO);
	stop_case(SQLITE_POINT_COMPLETE, STILL_PIN_AUTO);
}

/* ---- a reader stands still ------------------------------------------------ */

struct slow_reader {
	const struct truth *truth;
	bool right;
	char text[1024];
};

static void *read_slowly(void *arg)
{
	struct slow_reader *reader = arg;

	gate_is_reader();
	reader->right = truth_holds(reader->truth, STAGE_CHUNK_BYTES,
	    reader->text, sizeof(reader->text));
	return NULL;
}

/* A reader knows where its bytes are, and is stopped before it reads them, in
 * the midst of a hop; `fault`: and nobody waits for it. Was it right? */
static bool reader_case(
    const struct stage_action *action, unsigned skip, enum sqlite_fault fault)
{
	struct slow_reader reader = {.right = false};
	struct stage stage;
	pthread_t thread;

	stage_freeze(&stage);
	reader.truth = &stage.truth;
	sqlite_fault = fault;
	gate_close(SQLITE_POINT_PIN_TAKEN, 0);
	stage_govern(&stage, STILL_PIN_GOVERN);
	stage_commit(&stage);
	gate_wait(SQLITE_POINT_PIN_TAKEN);
	gate_close(SQLITE_POINT_LOOKED_UP, skip);
	assert_int_equal(
	    pthread_create(&thread, NULL, read_slowly, &reader), 0);
	gate_wait(SQLITE_POINT_LOOKED_UP);
	gate_open(SQLITE_POINT_PIN_TAKEN);
	/* From here on the pin goes as soon as the governor dares. */
	gate_wait_count(fault == SQLITE_FAULT_NO_DRAIN ? SQLITE_POINT_RELEASED
						       : SQLITE_POINT_SWITCH,
	    0);
	action->act(&stage);
	if (fault == SQLITE_FAULT_NONE)
		assert_int_equal(gate_count(SQLITE_POINT_RELEASED), 0);
	gate_open(SQLITE_POINT_LOOKED_UP);
	pthread_join(thread, NULL);
	if (fault == SQLITE_FAULT_NONE)
		stage_wait_for_moves(&stage, action, 2);
	stage_end(&stage);
	if (!reader.right)
		print_message("# %s\n", reader.text);
	return reader.right;
}

static void readers_are_waited_for(void **state)
{
	(void) state;
	for (size_t k = 0; k < stage_n_actions; k++)
		for (unsigned skip = 0; skip < 3; skip++)
			assert_true(reader_case(
			    &stage_actions[k], skip, SQLITE_FAULT_NONE));
}

static void readers_that_are_not_are_wrong(void **state)
{
	unsigned n_wrong = 0;

	(void) state;
	/* A page of the log has a digest, and is right or not to be had. */
	for (unsigned skip = 0; skip < 6; skip++)
		n_wrong += !reader_case(
		    &stage_actions[0], skip, SQLITE_FAULT_NO_DRAIN);
	assert_true(n_wrong > 0);
}

/* ---- pins that fail -------------------------------------------------------- */

static int keep(struct stage *stage)
{
	struct still_held held;

	return sqlite_governor_keep(stage->moment.governor, &held, NULL);
}

static void is_lost(struct stage *stage)
{
	struct still_error err = STILL_ERROR_INIT;
	char byte;

	assert_true(atomic_load(&stage->moment.lost));
	for (uint64_t off = 0; off < stage->truth.len_bytes; off += 999)
		assert_int_equal(sqlite_image_read(&stage->moment.images[0],
				     off, &byte, 1, &err),
		    STILL_ERR_LOST);
	still_error_clear(&err);
}

static void wal_index_that_is_removed(void **state)
{
	static const enum still_pin_policy policies[] = {
	    STILL_PIN_GOVERN, STILL_PIN_HOLD};

	(void) state;
	for (size_t i = 0; i < 2; i++) {
		int64_t end_ns = still_sys_monotonic_ns() + STAGE_PATIENCE_NS;
		struct stage stage;

		stage_freeze(&stage);
		stage_govern(&stage, policies[i]);
		assert_int_equal(keep(&stage), 0);
		app_kill(stage.app);
		assert_int_equal(unlink(stage.paths[2]), 0);
		while (keep(&stage) == 0)
			assert_true(still_sys_monotonic_ns() < end_ns);
		assert_int_equal(keep(&stage), STILL_ERR_LOST);
		is_lost(&stage);
		stage_connect(&stage);
		stage_commit(&stage);
		app_sql(stage.app, "PRAGMA wal_checkpoint(TRUNCATE)");
		assert_int_equal(stage_log_bytes(&stage), 0);
		is_lost(&stage);
		stage_end(&stage);
	}
}

/* Nothing is held any more that could be lost. */
static void wal_index_that_is_removed_too_late(void **state)
{
	struct stage stage;

	(void) state;
	stage_freeze(&stage);
	stage_govern(&stage, STILL_PIN_AUTO);
	stage_wait_for_completion(&stage);
	app_kill(stage.app);
	assert_int_equal(unlink(stage.paths[2]), 0);
	stage_connect(&stage);
	for (size_t k = 0; k < stage_n_actions; k++)
		stage_actions[k].act(&stage);
	assert_int_equal(keep(&stage), 0);
	stage_holds(&stage, "without its wal-index");
	app_sql(stage.app, "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_string_equal(
	    app_sql(stage.app, "PRAGMA journal_mode=DELETE"), "delete");
	stage_holds(&stage, "in another journal mode");
	stage_end(&stage);
}

/* Nothing can be saved, so the pin stays where it is and the log grows, up to
 * the limit; then it is the application that counts. */
static void full_case(enum still_pin_policy policy)
{
	int64_t end_ns = still_sys_monotonic_ns() + STAGE_PATIENCE_NS;
	struct still_held held = {0};
	struct stage stage;
	off_t before;

	stage_freeze(&stage);
	stage.moment.spool_dir.max_bytes = 1;
	stage.options.log_limit_bytes = UINT64_C(3) << 20;
	stage_govern(&stage, policy);
	before = stage_log_bytes(&stage);
	while (sqlite_governor_keep(stage.moment.governor, &held, NULL) == 0) {
		stage_passive(&stage);
		assert_int_equal(held.n_moves, 0);
		assert_true(still_sys_monotonic_ns() < end_ns);
		if (!atomic_load(&stage.moment.lost) &&
		    stage_log_bytes(&stage) < before + (2 << 20))
			stage_holds(&stage, "with a full spool");
	}
	assert_true(stage_log_bytes(&stage) > before + (3 << 20));
	is_lost(&stage);
	/* The pin goes in the same moment, but by another thread. */
	end_ns = still_sys_monotonic_ns() + STILL_NS_PER_S;
	app_sql(stage.app, "PRAGMA busy_timeout=0");
	while (stage_log_bytes(&stage) > 0) {
		app_sql(stage.app, "PRAGMA wal_checkpoint(TRUNCATE)");
		assert_true(still_sys_monotonic_ns() < end_ns);
	}
	assert_false(moment_locks(&stage.moment, 0));
	is_lost(&stage);
	stage_end(&stage);
}

static void full_spool_and_the_limit_of_the_log(void **state)
{
	(void) state;
	full_case(STILL_PIN_GOVERN);
	full_case(STILL_PIN_AUTO);
	full_case(STILL_PIN_HOLD);
}

static void full_spool_is_told(void **state)
{
	int64_t end_ns = still_sys_monotonic_ns() + STAGE_PATIENCE_NS;
	struct stage stage;

	(void) state;
	stage_freeze(&stage);
	stage.moment.spool_dir.max_bytes = 1;
	stage_govern(&stage, STILL_PIN_AUTO);
	while (!moment_held(&stage.moment).spool_full)
		assert_true(still_sys_monotonic_ns() < end_ns);
	assert_int_equal(moment_held(&stage.moment).n_pinned, 1);
	for (size_t k = 0; k < stage_n_actions; k++) {
		stage_actions[k].act(&stage);
		stage_holds(&stage, stage_actions[k].name);
	}
	stage_end(&stage);
}

/* Where readers of old commits had all slots at the freeze, the pin shares the
 * mark of one. They go, it stays: and is in the way, though nothing was committed
 * since. */
static void mark_of_another(void **state)
{
	struct app *readers[4];
	struct stage stage;
	char path[4096 + 16];

	(void) state;
	gate_reset();
	memset(&stage, 0, sizeof(stage));
	stage.dir = scratch_make();
	snprintf(path, sizeof(path), "%s/a.db", stage.dir);
	stage.app = app_open(path);
	app_sql(stage.app,
	    "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
	    "CREATE TABLE t(n); INSERT INTO t VALUES(1)");
	for (int i = 0; i < 4; i++) {
		app_sql(stage.app, "UPDATE t SET n = n + 1");
		readers[i] = app_open(path);
		app_sql(readers[i], "BEGIN; SELECT n FROM t");
	}
	app_sql(stage.app, "UPDATE t SET n = n + 1");
	moment_take(&stage.moment, stage.dir, 1);
	assert_int_equal(stage.moment.images[0].pin.hold.slot, -1);
	for (int i = 0; i < 4; i++)
		app_close(readers[i]);
	stage.options.pin_limit_ns = 1000000;
	stage_govern(&stage, STILL_PIN_GOVERN);
	app_sql(stage.app, "PRAGMA busy_timeout=10000");
	assert_string_equal(
	    app_sql(stage.app, "PRAGMA wal_checkpoint(TRUNCATE)"), "0");
	moment_stop(&stage.moment);
	moment_release(&stage.moment);
	app_close(stage.app);
	scratch_remove(stage.dir);
}

/* A look that has taken long, because there was work to do or because the machine
 * is busy, is no reason to look away for long: who waits meanwhile is not seen. */
static void long_look_is_no_long_pause(void **state)
{
	struct stage stage;
	char path[4096 + 16];
	struct app *other;
	int64_t end_ns;

	(void) state;
	gate_reset();
	memset(&stage, 0, sizeof(stage));
	stage.dir = scratch_make();
	snprintf(path, sizeof(path), "%s/a.db", stage.dir);
	other = app_open(path);
	app_sql(other, "PRAGMA journal_mode=WAL; CREATE TABLE t(b)");
	snprintf(path, sizeof(path), "%s/b.db", stage.dir);
	stage.app = app_open(path);
	app_sql(stage.app,
	    "PRAGMA journal_mode=WAL; CREATE TABLE t(b);"
	    "INSERT INTO t VALUES(zeroblob(4000000)), (1)");
	moment_take(&stage.moment, stage.dir, 2);
	/* Room for the small one, and for what changes in the other. */
	stage.moment.spool_dir.max_bytes = UINT64_C(2) << 20;
	stage.options.pin_limit_ns = 1000000;
	gate_close(SQLITE_POINT_COMPLETE, 0);
	stage_govern(&stage, STILL_PIN_AUTO);
	gate_wait(SQLITE_POINT_COMPLETE);
	still_sys_sleep_ns(STILL_NS_PER_S / 2);
	gate_open(SQLITE_POINT_COMPLETE);
	end_ns = still_sys_monotonic_ns() + 5 * STILL_NS_PER_S;
	while (moment_held(&stage.moment).n_moves == 0) {
		app_sql(stage.app, "UPDATE t SET b = b + 1 WHERE rowid = 2");
		assert_true(still_sys_monotonic_ns() < end_ns);
	}
	moment_stop(&stage.moment);
	moment_release(&stage.moment);
	app_close(other);
	app_close(stage.app);
	scratch_remove(stage.dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_step_of_a_hop),
	    cmocka_unit_test(every_step_of_a_copy),
	    cmocka_unit_test(slots_are_let_go),
	    cmocka_unit_test(stopped_at_every_step),
	    cmocka_unit_test(readers_are_waited_for),
	    cmocka_unit_test(readers_that_are_not_are_wrong),
	    cmocka_unit_test(wal_index_that_is_removed),
	    cmocka_unit_test(wal_index_that_is_removed_too_late),
	    cmocka_unit_test(full_spool_and_the_limit_of_the_log),
	    cmocka_unit_test(full_spool_is_told),
	    cmocka_unit_test(long_look_is_no_long_pause),
	    cmocka_unit_test(mark_of_another),
	};
	int status = app_main(argc, argv);

	if (status >= 0)
		return status;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
