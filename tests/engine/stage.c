/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/stage.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "tests/engine/gate.h"
#include "tests/lib/app.h"
#include "tests/unit/scratch.h"

#define POLL_NS 1000000

static const char settings[] =
    "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;"
    "PRAGMA busy_timeout=30";

static const char set_up[] =
    "PRAGMA page_size=1024; PRAGMA auto_vacuum=FULL;"
    "PRAGMA journal_mode=WAL;"
    "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER);"
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c"
    " WHERE i<100) INSERT INTO account SELECT i, 1000 FROM c;"
    "CREATE TABLE t(id INTEGER PRIMARY KEY, b);"
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c"
    " WHERE i<400) INSERT INTO t SELECT i, randomblob(700) FROM c;";

void stage_connect(struct stage *stage)
{
	stage->app = app_open(stage->paths[0]);
	app_sql(stage->app, settings);
}

static void freeze(struct stage *stage, size_t n)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	gate_reset();
	stage->dir = scratch_make();
	for (int i = 0; i < 3; i++)
		snprintf(stage->paths[i], sizeof(stage->paths[i]), "%s/a.db%s",
		    stage->dir, suffixes[i]);
	stage_connect(stage);
	app_sql(stage->app, set_up);
	app_sql(stage->app, "PRAGMA wal_checkpoint(TRUNCATE)");
	app_sql(stage->app, "UPDATE t SET b=randomblob(600) WHERE id % 3 = 0");
	app_sql(stage->app, "PRAGMA wal_checkpoint(PASSIVE)");
	app_sql(stage->app, "UPDATE t SET b=randomblob(650) WHERE id % 7 = 0");
	if (n > 1) {
		struct app *other = app_open(scratch_path(stage->dir, "b.db"));

		app_sql(other, "PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
		app_close(other);
	}
	moment_take(&stage->moment, stage->dir, n);
	truth_take(&stage->truth, &stage->moment.images[0]);
	stage->options = (struct still_attach_options){
	    .pin = STILL_PIN_GOVERN,
	    .pin_limit_ns = 1000000,
	};
}

void stage_freeze(struct stage *stage)
{
	freeze(stage, 1);
}

void stage_freeze_two(struct stage *stage)
{
	freeze(stage, 2);
}

void stage_govern(struct stage *stage, enum still_pin_policy policy)
{
	stage->options.pin = policy;
	moment_govern(&stage->moment, &stage->options);
}

void stage_holds(struct stage *stage, const char *when)
{
	char text[1024];

	if (!truth_holds(&stage->truth, STAGE_CHUNK_BYTES, text, sizeof(text)))
		fail_msg("%s: %s", when, text);
	if (!truth_holds(&stage->truth, 1000, text, sizeof(text)))
		fail_msg("%s: %s", when, text);
}

void stage_end(struct stage *stage)
{
	if (stage->moment.governor)
		moment_stop(&stage->moment);
	if (!atomic_load(&stage->moment.lost))
		stage_holds(stage, "at the end");
	moment_release(&stage->moment);
	truth_release(&stage->truth);
	assert_string_equal(
	    app_sql(stage->app, "PRAGMA integrity_check"), "ok");
	app_close(stage->app);
	gate_reset();
	scratch_remove(stage->dir);
}

off_t stage_log_bytes(const struct stage *stage)
{
	struct stat st;

	return stat(stage->paths[1], &st) == 0 ? st.st_size : 0;
}

/* ---- what an application does -------------------------------------------- */

void stage_try(struct stage *stage, const char *sql)
{
	int rc = app_try(stage->app, sql) & 0xff;

	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		fail_msg("%s: %d", sql, rc);
}

void stage_commit(struct stage *stage)
{
	app_sql(stage->app, "UPDATE t SET b=randomblob(700)");
}

/* As far as the marks allow. A page that was written again behind them would be
 * left out. */
static void checkpoint(struct stage *stage)
{
	stage_try(stage, "PRAGMA wal_checkpoint(PASSIVE)");
}

void stage_passive(struct stage *stage)
{
	stage_commit(stage);
	stage_try(stage, "PRAGMA wal_checkpoint(PASSIVE)");
}

static void full(struct stage *stage)
{
	stage_commit(stage);
	stage_try(stage, "PRAGMA wal_checkpoint(FULL)");
}

static void restart(struct stage *stage)
{
	stage_commit(stage);
	stage_try(stage, "PRAGMA wal_checkpoint(RESTART)");
	stage_commit(stage);
}

static void truncate_log(struct stage *stage)
{
	stage_commit(stage);
	stage_try(stage, "PRAGMA wal_checkpoint(TRUNCATE)");
	stage_commit(stage);
	stage_try(stage, "PRAGMA wal_checkpoint(PASSIVE)");
}

static void vacuum(struct stage *stage)
{
	app_sql(stage->app, "DELETE FROM t WHERE id % 2");
	stage_try(stage, "VACUUM");
	stage_try(stage, "PRAGMA wal_checkpoint(PASSIVE)");
}

/* The file gets shorter, and longer again. */
static void regrow(struct stage *stage)
{
	app_sql(stage->app, "DELETE FROM t WHERE id > 20");
	stage_try(stage, "PRAGMA wal_checkpoint(PASSIVE)");
	app_sql(stage->app,
	    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c"
	    " WHERE i<500) INSERT OR REPLACE INTO t"
	    " SELECT i, randomblob(700) FROM c");
	stage_try(stage, "PRAGMA wal_checkpoint(FULL)");
}

/* In a transaction that is in the log already, and was not committed. */
static void killed(struct stage *stage)
{
	app_sql(stage->app,
	    "PRAGMA cache_size=5; BEGIN IMMEDIATE; UPDATE t SET b=zeroblob(9)");
	app_kill(stage->app);
	stage_connect(stage);
	stage_passive(stage);
}

const struct stage_action stage_actions[] = {
    {"checkpoint", checkpoint},
    {"commit", stage_commit},
    {"passive", stage_passive},
    {"full", full},
    {"restart", restart},
    {"truncate", truncate_log},
    {"vacuum", vacuum},
    {"regrow", regrow},
    {"killed", killed},
};
const size_t stage_n_actions = sizeof(stage_actions) / sizeof(stage_actions[0]);

/* ---- waiting ------------------------------------------------------------- */

void stage_wait_for_moves(
    struct stage *stage, const struct stage_action *action, uint64_t n)
{
	uint64_t until = moment_held(&stage->moment).n_moves + n;
	int64_t end_ns = still_sys_monotonic_ns() + STAGE_PATIENCE_NS;

	while (moment_held(&stage->moment).n_moves < until) {
		stage_commit(stage);
		action->act(stage);
		if (still_sys_monotonic_ns() > end_ns)
			fail_msg("%s: the pin is not moved", action->name);
	}
}

void stage_wait_for_completion(struct stage *stage)
{
	int64_t end_ns = still_sys_monotonic_ns() + STAGE_PATIENCE_NS;
	struct still_held held;

	do {
		held = moment_held(&stage->moment);
		if (still_sys_monotonic_ns() > end_ns)
			fail_msg("the image is not completed");
		still_sys_sleep_ns(POLL_NS);
	} while (held.n_pinned > 0);
	assert_true(held.copied_bytes == held.copy_bytes);
	assert_true(held.copy_bytes == stage->truth.len_bytes);
}
