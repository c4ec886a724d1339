/* SPDX-License-Identifier: MIT */
/*
 * stage: one small database, an application that has it open (tests/lib/app.h),
 * an image of it, and what was read of it at the freeze; for tests that stop the
 * governor (gate.h).
 *
 * Whatever goes wrong fails the test.
 */
#ifndef TESTS_ENGINE_STAGE_H
#define TESTS_ENGINE_STAGE_H

#include <stddef.h>
#include <sys/types.h>

#include "tests/engine/moment.h"
#include "tests/engine/truth.h"

#define STAGE_CHUNK_BYTES 65536
#define STAGE_PATIENCE_NS (30 * STILL_NS_PER_S)

struct stage {
	char *dir;
	char paths[3][4096]; /* of the database, its -wal, its -shm */
	struct app *app;
	struct moment moment;
	struct truth truth;
	struct still_attach_options options;
};

/* Its log has frames that are in the file, and some that are not. Every gate is
 * open. */
void stage_freeze(struct stage *stage);

/* At one cut with a second database, of which nothing is said any more. */
void stage_freeze_two(struct stage *stage);

/* The rest of the options may be set before. */
void stage_govern(struct stage *stage, enum still_pin_policy policy);

/* The image is what it was; `when` is told where it is not. */
void stage_holds(struct stage *stage, const char *when);

/* And so it is at the end, unless it is lost; nothing is left of it, and the
 * application's database is whole. */
void stage_end(struct stage *stage);

/* A new process, in place of one that was killed. */
void stage_connect(struct stage *stage);

off_t stage_log_bytes(const struct stage *stage);

/* ---- what an application does ---------------------------------------------- */

/* Rewrite every page of the table. */
void stage_commit(struct stage *stage);

/* And a PASSIVE checkpoint. */
void stage_passive(struct stage *stage);

/* Statements that may meet a lock: it is what the governor may cost. */
void stage_try(struct stage *stage, const char *sql);

struct stage_action {
	const char *name;
	void (*act)(struct stage *stage);
};

/* All of them; the first is a PASSIVE checkpoint, and nothing else. */
extern const struct stage_action stage_actions[];
extern const size_t stage_n_actions;

/* Until the pin was moved `n` times more, the application does this. */
void stage_wait_for_moves(
    struct stage *stage, const struct stage_action *action, uint64_t n);

void stage_wait_for_completion(struct stage *stage);

#endif
