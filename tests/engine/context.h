/* SPDX-License-Identifier: MIT */
/*
 * context: one source and its instance, for a test of the contract: it is frozen,
 * read, judged, changed and let go.
 *
 * What cannot be done ends the test; so does a warning that the fixture does not
 * expect, at the end.
 */
#ifndef TESTS_ENGINE_CONTEXT_H
#define TESTS_ENGINE_CONTEXT_H

#include "tests/engine/fixture.h"

#include <stdatomic.h>

#include "core/snapshot.h"
#include "core/spool.h"

struct context {
	struct source source;
	struct still_engine_instance *instance;
	struct still_snapshot snapshot; /* while frozen */
	atomic_bool cancel;
	atomic_uint n_warnings; /* that nobody expects */
	atomic_uint n_expected;
	struct still_spool_dir spool;
};

/* Without a context: what attach does with a path. */
int context_attach(const struct fixture *fixture, const char *path,
    struct still_engine_instance **ret, struct still_error *err);

/* Make the source that the fixture in it says, in `source.dir`, and attach. */
void context_begin(struct context *c);
void context_end(struct context *c);

int context_try_freeze(struct context *c, struct still_error *err);
void context_freeze(struct context *c);
void context_thaw(struct context *c);

/* Nothing of it is held, as far as the fixture can tell. */
void context_check_released(struct context *c);

/* Does the engine read it? */
bool context_is_file(const struct context *c, uint32_t index);

int context_read_at(struct context *c, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err);

/* Each file in one read; NULL for what the engine does not read. */
uint8_t **context_read_all(struct context *c);
void context_free_all(const struct context *c, uint8_t **all);

/* The files have these bytes. */
void context_assert_all_as(struct context *c, uint8_t **want);

/* Copies of the files are whole, and show this change (fixture.h). */
void context_judge(struct context *c, unsigned n_changes);

void context_change(struct context *c);

#endif
