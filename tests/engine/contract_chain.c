/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/contract_chain.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/instance.h"
#include "tests/unit/scratch.h"

#define LINKS 4

struct chain {
	struct source *source;
	char *dir; /* scratch: state/, SESSION/ ... and root/ */
	struct still_catalog *catalog;
	struct still_instance *instance;
	struct still_events *events;
	struct still_session *session;
	char id[STILL_SESSION_ID_BYTES];   /* of the session */
	char last[STILL_SESSION_ID_BYTES]; /* of the one that it builds on */
	unsigned n_links;
};

static void good(int rc, struct still_error *err)
{
	if (rc != 0)
		fail_msg("%s", still_error_msg(err));
}

static void open_chain(struct chain *c, struct source *source)
{
	struct still_options options = {
	    .freeze_ms = 20000,
	    .stall_ms = 1000,
	    .barrier_max = 100,
	    .incremental = true,
	};
	struct still_error err = STILL_ERROR_INIT;

	*c = (struct chain){.source = source, .dir = scratch_make()};
	good(still_catalog_open(
		 scratch_path(c->dir, "state"), true, &c->catalog, &err),
	    &err);
	options.catalog = c->catalog;
	good(still_instance_attach_engine(source->fixture->engine, source->path,
		 &options, &c->instance, &err),
	    &err);
	c->events = still_events_new(NULL, NULL);
}

static void close_chain(struct chain *c)
{
	still_session_free(c->session);
	still_events_free(c->events);
	still_instance_detach(c->instance);
	if (c->source->fixture->drop_chain)
		c->source->fixture->drop_chain(c->source);
	still_catalog_close(c->catalog);
	scratch_remove(c->dir);
}

/* ---- one session --------------------------------------------------------- */

static int try_begin(
    struct chain *c, enum still_session_kind kind, struct still_error *err)
{
	struct still_session_status status;
	int rc;

	still_session_free(c->session);
	c->session = still_session_new(c->instance, c->events);
	rc = still_session_begin(c->session, kind, 1000, err);
	still_session_status(c->session, &status);
	memcpy(c->id, status.id, sizeof(c->id));
	still_session_status_clear(&status);
	return rc;
}

static void begin(struct chain *c, enum still_session_kind kind)
{
	struct still_error err = STILL_ERROR_INIT;

	good(try_begin(c, kind, &err), &err);
}

/* In the set of the session; in one static buffer. */
static const char *set_path(const struct chain *c, const char *path)
{
	static char out[PATH_MAX];

	snprintf(out, sizeof(out), "%s/%s/%s", c->dir, c->id, path);
	return out;
}

static void store_file(
    struct chain *c, uint32_t index, const struct still_entry *e)
{
	const char *path = set_path(c, e->path);
	struct still_error err = STILL_ERROR_INIT;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t off = 0;
	char data[65536];
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = still_session_read(
		    c->session, index, off, data, sizeof(data), &err)) > 0) {
		assert_int_equal(write(fd, data, (size_t) n), n);
		off += (uint64_t) n;
	}
	if (n < 0)
		fail_msg("%s", still_error_msg(&err));
	assert_int_equal(off, e->size_bytes);
	assert_int_equal(fchown(fd, e->uid, e->gid), 0);
	assert_int_equal(fchmod(fd, e->mode), 0);
	close(fd);
}

static void store_entry(
    struct chain *c, uint32_t index, const struct still_entry *e)
{
	const char *path = set_path(c, e->path);

	if (e->kind == STILL_FILE) {
		store_file(c, index, e);
	} else if (e->kind == STILL_LINK) {
		assert_int_equal(symlink(e->target, path), 0);
	} else {
		assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(chown(path, e->uid, e->gid), 0);
		assert_int_equal(chmod(path, e->mode | 0700), 0);
	}
}

/* All of it into the directory that has its name. */
static void store(struct chain *c)
{
	struct still_error err = STILL_ERROR_INIT;
	const struct still_entry *entries;
	uint32_t n;

	good(still_session_seal(c->session, &err), &err);
	entries = still_session_entries(c->session, &n);
	assert_int_equal(mkdir(scratch_path(c->dir, c->id), 0755), 0);
	for (uint32_t i = 1; i < n; i++)
		store_entry(c, i, &entries[i]);
}

static void commit(struct chain *c, const struct still_commit_options *options,
    struct still_truncation *ret)
{
	struct still_error err = STILL_ERROR_INIT;

	good(still_session_commit(c->session, options, ret, &err), &err);
	if (options && options->dry_run)
		return;
	memcpy(c->last, c->id, sizeof(c->last));
}

static void take(struct chain *c, enum still_session_kind kind)
{
	begin(c, kind);
	store(c);
	commit(c, NULL, NULL);
}

static void change(struct chain *c)
{
	c->source->n_changes++;
	c->source->fixture->change(c->source);
}

/* ---- the links ----------------------------------------------------------- */

static void copy(const char *from, const char *to)
{
	char command[2 * PATH_MAX + 40];

	snprintf(command, sizeof(command),
	    "test ! -e '%s' || cp -a -T '%s' '%s'", from, from, to);
	assert_int_equal(system(command), 0);
}

static json_t *describe(struct chain *c)
{
	json_t *description = json_load_file(
	    set_path(c, "backup.json"), 0, NULL);

	assert_non_null(description);
	return description;
}

static void check_words(struct chain *c, const json_t *description,
    const char *full, const char *base)
{
	const char *session = NULL;
	const char *chain = NULL;
	const char *kind = NULL;
	json_int_t link = 0;

	assert_int_equal(
	    json_unpack((json_t *) description, "{s:s, s:{s:s}, s:{s:s, s:I}}",
		"kind", &kind, "base", "session", &session, "chain", "full",
		&chain, "link", &link),
	    0);
	assert_string_equal(kind, "incremental");
	assert_string_equal(session, base);
	assert_string_equal(chain, full);
	assert_int_equal(link, ++c->n_links);
}

/* As the core does it: what comes whole, then what the engine makes of it. */
static void apply(struct chain *c, const json_t *description)
{
	static const atomic_bool never;
	char *set = strdup(scratch_path(c->dir, c->id));
	char *root = strdup(scratch_path(c->dir, "root"));
	struct still_apply_request request = {
	    .root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    .set_fd = open(set, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    .set = set,
	    .description = description,
	    .cancel = &never,
	};
	struct still_error err = STILL_ERROR_INIT;

	copy(scratch_path(set, "data"), scratch_path(root, "data"));
	copy(scratch_path(set, "tablespaces"),
	    scratch_path(root, "tablespaces"));
	good(c->source->fixture->engine->apply(&request, &err), &err);
	close(request.root_fd);
	close(request.set_fd);
	free(root);
	free(set);
}

static void add_link(struct chain *c, const char *full)
{
	char base[STILL_SESSION_ID_BYTES];
	json_t *description;

	memcpy(base, c->last, sizeof(base));
	take(c, STILL_INCREMENTAL);
	description = describe(c);
	check_words(c, description, full, base);
	apply(c, description);
	json_decref(description);
}

/* ---- what came of it ----------------------------------------------------- */

/* What a database is in files, it is byte for byte. */
static void compare_files(struct chain *c)
{
	char command[2 * PATH_MAX + 40];

	begin(c, STILL_COPY);
	store(c);
	assert_int_equal(still_session_end(c->session, STILL_END_ABORT),
	    STILL_ABORTED_CALLER);
	snprintf(command, sizeof(command),
	    "diff -r '%s/root/data' '%s/%s/data'", c->dir, c->dir, c->id);
	assert_int_equal(system(command), 0);
}

static void judge_tree(struct chain *c)
{
	char *copied = scratch_make();

	if (c->source->fixture->judge) {
		copy(scratch_path(c->dir, "root"), copied);
		c->source->fixture->judge(
		    c->source, copied, c->source->n_changes);
	}
	scratch_remove(copied);
}

static bool has_chains(const struct source *source)
{
	return source->fixture->engine->apply != NULL;
}

static void take_full(struct chain *c)
{
	take(c, STILL_FULL);
	c->n_links = 0;
	copy(scratch_path(c->dir, c->id), scratch_path(c->dir, "root"));
}

void contract_builds_on(struct source *source)
{
	struct still_error err = STILL_ERROR_INIT;
	char full[STILL_SESSION_ID_BYTES];
	struct chain c;

	if (!has_chains(source))
		skip();
	open_chain(&c, source);
	assert_int_equal(
	    try_begin(&c, STILL_INCREMENTAL, &err), STILL_ERR_BASE);
	still_error_clear(&err);
	take_full(&c);
	memcpy(full, c.id, sizeof(full));
	/* Nothing has changed. */
	add_link(&c, full);
	for (unsigned i = 0; i < LINKS; i++) {
		change(&c);
		/* What was given up is in the next one. */
		if (i % 2) {
			begin(&c, STILL_INCREMENTAL);
			still_session_end(c.session, STILL_END_ABORT);
			change(&c);
		}
		add_link(&c, full);
		if (!source->fixture->tree)
			compare_files(&c);
	}
	if (source->fixture->tree)
		judge_tree(&c);
	close_chain(&c);
}

void contract_truncates(struct source *source)
{
	static const struct still_commit_options trial = {
	    .truncate = true, .dry_run = true};
	static const struct still_commit_options truncating = {
	    .truncate = true};
	struct still_truncation told = {0};
	struct still_truncation done = {0};
	char full[STILL_SESSION_ID_BYTES];
	struct chain c;

	if (!has_chains(source))
		skip();
	open_chain(&c, source);
	take_full(&c);
	memcpy(full, c.id, sizeof(full));
	change(&c);
	begin(&c, STILL_INCREMENTAL);
	store(&c);
	/* It serves on. */
	commit(&c, &trial, &told);
	assert_int_equal(told.error.code, 0);
	commit(&c, &truncating, &done);
	if (done.error.code)
		fail_msg("%s", still_error_msg(&done.error));
	assert_string_equal(done.range, told.range);
	assert_int_equal(done.sessions, told.sessions);
	{
		json_t *description = describe(&c);

		check_words(&c, description, full, full);
		apply(&c, description);
		json_decref(description);
	}
	change(&c);
	add_link(&c, full);
	if (source->fixture->tree)
		judge_tree(&c);
	else
		compare_files(&c);
	still_truncation_clear(&told);
	still_truncation_clear(&done);
	close_chain(&c);
}
