/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/context.h"

#include <stdlib.h>
#include <string.h>

#include "tests/engine/plant.h"
#include "tests/unit/scratch.h"

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	struct context *c = arg;

	const char *expected = c->source.fixture->warning;

	fprintf(stderr, "%s: %s: %s\n", event, object, text);
	if (expected && strcmp(event, expected) == 0)
		atomic_fetch_add(&c->n_expected, 1);
	/* How far a writer is ahead of its own checkpoints depends on the
	 * machine, as it does whether blocks can be shared, and says nothing
	 * about the engine. */
	else if (strcmp(event, "long-log") != 0 && strcmp(event, "copied") != 0)
		atomic_fetch_add(&c->n_warnings, 1);
}

int context_attach(const struct fixture *fixture, const char *path,
    struct still_engine_instance **ret, struct still_error *err)
{
	const struct still_attach_options options = {
	    .freeze_limit_ns = INT64_C(20000000000),
	    .stall_limit_ns = INT64_C(1000000000),
	    .databases_max = 100,
	};

	return still_engine_attach(fixture->engine, path, &options, ret, err);
}

int context_try_freeze(struct context *c, struct still_error *err)
{
	struct still_freeze_request request = {.cancel = &c->cancel,
	    .observer = {.warn = warn, .arg = c},
	    .spool = still_spool_of(&c->spool)};
	const struct fixture *fixture = c->source.fixture;
	struct still_description d;
	struct still_builder builder;
	int rc;

	atomic_store(&c->n_expected, 0);
	c->spool.path = c->source.dir;
	still_engine_describe(c->instance, &d);
	assert_int_equal(
	    still_builder_init(&builder, d.dir_mode, d.uid, d.gid, err), 0);
	rc = still_engine_freeze(c->instance, &request, &builder, err);
	if (rc == 0) {
		assert_non_null(builder.cut.words);
		assert_non_null(builder.verified);
		assert_true(builder.cut.first_ns > 0);
		assert_true(builder.cut.first_ns <= builder.cut.last_ns);
		assert_int_equal(builder.n_damages, 0);
		assert_true(fixture->tree
			? builder.n_files > fixture->n_databases
			: builder.n_files == fixture->n_databases);
		assert_int_equal(
		    json_array_size(builder.databases), fixture->n_databases);
		assert_int_equal(
		    atomic_load(&c->n_expected), fixture->warning ? 1 : 0);
		rc = still_builder_finish(
		    &builder, strdup("{}"), 2, 0, 0, &c->snapshot, err);
	}
	still_builder_release(&builder);
	return rc;
}

void context_freeze(struct context *c)
{
	struct still_error err = STILL_ERROR_INIT;

	if (context_try_freeze(c, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

void context_check_released(struct context *c)
{
	if (c->source.fixture->check_released)
		c->source.fixture->check_released(&c->source);
}

void context_thaw(struct context *c)
{
	still_engine_thaw(c->instance);
	still_snapshot_release(&c->snapshot);
	context_check_released(c);
}

void context_begin(struct context *c)
{
	const struct fixture *fixture = c->source.fixture;
	struct still_error err = STILL_ERROR_INIT;

	fixture->make(&c->source);
	if (context_attach(fixture, c->source.path, &c->instance, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

void context_end(struct context *c)
{
	/* Frozen or not: detach thaws. */
	still_engine_detach(c->instance);
	still_snapshot_release(&c->snapshot);
	context_check_released(c);
	assert_int_equal(atomic_load(&c->n_warnings), 0);
}

/* ---- bytes --------------------------------------------------------------- */

/* Does the engine read it? */
bool context_is_file(const struct context *c, uint32_t index)
{
	return c->snapshot.sources[index].kind == STILL_SOURCE_ENGINE;
}

int context_read_at(struct context *c, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	return still_engine_read(c->instance, c->snapshot.sources[index].object,
	    off_bytes, data, len, err);
}

/* The whole of a file in one read. The caller frees it. */
static uint8_t *read_whole(struct context *c, uint32_t index)
{
	size_t size = (size_t) c->snapshot.entries[index].size_bytes;
	struct still_error err = STILL_ERROR_INIT;
	uint8_t *data = malloc(size + 1);

	assert_non_null(data);
	if (size > 0 && context_read_at(c, index, 0, data, size, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return data;
}

/* One element per entry, NULL for what the engine does not read. */
uint8_t **context_read_all(struct context *c)
{
	uint8_t **all = calloc(c->snapshot.n, sizeof(*all));

	assert_non_null(all);
	for (uint32_t i = 0; i < c->snapshot.n; i++)
		if (context_is_file(c, i))
			all[i] = read_whole(c, i);
	return all;
}

void context_free_all(const struct context *c, uint8_t **all)
{
	for (uint32_t i = 0; i < c->snapshot.n; i++)
		free(all[i]);
	free(all);
}

void context_assert_all_as(struct context *c, uint8_t **want)
{
	uint8_t **got = context_read_all(c);

	for (uint32_t i = 0; i < c->snapshot.n; i++)
		if (got[i])
			assert_int_equal(
			    memcmp(got[i], want[i],
				(size_t) c->snapshot.entries[i].size_bytes),
			    0);
	context_free_all(c, got);
}

/* In a directory of its own: it has no log. */
static void judge_file(
    struct context *c, const uint8_t *data, size_t size, unsigned n_changes)
{
	char *copies = scratch_make();

	assert_int_equal(
	    scratch_write(scratch_path(copies, "copy.db"), data, size), 0);
	c->source.fixture->judge(
	    &c->source, scratch_path(copies, "copy.db"), n_changes);
	scratch_remove(copies);
}

static void judge_tree(
    struct context *c, uint8_t *const *all, unsigned n_changes)
{
	char *copies = scratch_make();

	plant(c->instance, &c->snapshot, all, copies);
	c->source.fixture->judge(&c->source, copies, n_changes);
	scratch_remove(copies);
}

void context_judge(struct context *c, unsigned n_changes)
{
	uint8_t **all;

	if (!c->source.fixture->judge)
		return;
	all = context_read_all(c);
	if (c->source.fixture->tree)
		judge_tree(c, all, n_changes);
	for (uint32_t i = 0; !c->source.fixture->tree && i < c->snapshot.n; i++)
		if (all[i])
			judge_file(c, all[i],
			    (size_t) c->snapshot.entries[i].size_bytes,
			    n_changes);
	context_free_all(c, all);
}

void context_change(struct context *c)
{
	c->source.n_changes++;
	c->source.fixture->change(&c->source);
}
