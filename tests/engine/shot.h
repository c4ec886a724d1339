/* SPDX-License-Identifier: MIT */
/*
 * shot: a snapshot taken through the engine contract alone, below core and
 * mount, for programs that freeze as fast as it goes.
 */
#ifndef TESTS_ENGINE_SHOT_H
#define TESTS_ENGINE_SHOT_H

#include <stddef.h>

#include "core/snapshot.h"
#include "core/spool.h"
#include "engines/engine.h"

struct shot {
	struct still_engine_instance *instance;
	struct still_spool_dir spool;
	struct still_builder builder; /* what the freeze said of itself */
	struct still_snapshot snapshot;
};

/* The databases in the directory `dir`; the caller ends it with
 * still_engine_detach(). NULL with `err` set. */
struct still_engine_instance *shot_attach(
    const char *dir, struct still_error *err);

/* Private copies go to files without a name in `spool`. On success the caller
 * ends it with shot_thaw(). */
int shot_take(struct shot *shot, struct still_engine_instance *instance,
    const char *spool, struct still_error *err);

/* What the engine handed over for data/NAME, or NULL. */
void *shot_object(const struct shot *shot, const char *name);

/* All of data/NAME, from sqlite3_malloc64(), or NULL with `err` set. */
unsigned char *shot_read(const struct shot *shot, const char *name,
    size_t *ret_len, struct still_error *err);

void shot_thaw(struct shot *shot);

#endif
