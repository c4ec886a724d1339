/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/kept.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "core/node.h"

#define PART_BYTES 4096

static const atomic_bool never;

/* ---- as a base ----------------------------------------------------------- */

static int page_sums(void *arg, const char *path, struct still_page_sums *ret,
    struct still_error *err)
{
	const struct kept *kept = arg;

	for (size_t i = 0; i < kept->n_summed; i++) {
		const struct still_pages *pages = &kept->summed[i].pages;

		if (strcmp(kept->summed[i].path, path) != 0)
			continue;
		*ret = (struct still_page_sums){
		    .sums = pages->sums,
		    .n = pages->n,
		    .page_bytes = pages->page_bytes,
		};
		return 0;
	}
	return still_error_set(
	    err, STILL_ERR_NOTFOUND, 0, NULL, "no sums of `%s`", path);
}

/* ---- reading ------------------------------------------------------------- */

/* Part by part, where it cannot be had at one go. */
static void read_parts(struct still_engine_instance *instance, void *object,
    struct kept_file *file, size_t part)
{
	for (size_t at = 0; at < file->size; at += part) {
		size_t len = file->size - at < part ? file->size - at : part;
		struct still_error err = STILL_ERROR_INIT;

		if (still_engine_read(instance, object, at, file->bytes + at,
			len, &err) != 0) {
			memset(file->bytes + at, 0, len);
			if (file->n_bad++ == 0) {
				file->first_bad = at / part;
				snprintf(file->why, sizeof(file->why), "%s",
				    still_error_msg(&err));
			}
		}
		still_error_clear(&err);
	}
}

static void read_file(struct still_engine_instance *instance,
    const struct still_source *source, const struct still_entry *entry,
    struct kept_file *ret)
{
	*ret = (struct kept_file){
	    .path = strdup(entry->path),
	    .size = (size_t) entry->size_bytes,
	    .bytes = malloc(entry->size_bytes + 1),
	    .page_bytes = source->page_bytes,
	};
	assert_non_null(ret->bytes);
	if (ret->size > 0 &&
	    still_engine_read(
		instance, source->object, 0, ret->bytes, ret->size, NULL) != 0)
		read_parts(instance, source->object, ret,
		    ret->page_bytes ? ret->page_bytes : PART_BYTES);
}

/* The sums that the core would make. */
static void sum_up(const struct kept_request *request, struct kept *kept,
    const struct kept_file *file)
{
	struct still_summed *new;
	struct still_error err = STILL_ERROR_INIT;

	if (file->page_bytes == 0 || file->n_bad > 0 || file->size == 0)
		return;
	kept->summed = realloc(
	    kept->summed, (kept->n_summed + 1) * sizeof(*new));
	assert_non_null(kept->summed);
	new = &kept->summed[kept->n_summed++];
	*new = (struct still_summed){
	    .path = strdup(file->path),
	    .pages = STILL_PAGES_INIT,
	};
	if (still_pages_new(request->catalog, file->page_bytes,
		file->size / file->page_bytes, &new->pages, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	for (uint64_t i = 0; i < new->pages.n; i++)
		new->pages.sums[i] = still_hash64(
		    file->bytes + i * file->page_bytes, file->page_bytes);
}

static void read_all(const struct kept_request *request,
    const struct still_snapshot *snapshot, struct kept *kept)
{
	kept->files = calloc(snapshot->n, sizeof(*kept->files));
	assert_non_null(kept->files);
	for (uint32_t i = 0; i < snapshot->n; i++) {
		struct kept_file *file = &kept->files[kept->n_files];

		if (snapshot->sources[i].kind != STILL_SOURCE_ENGINE)
			continue;
		read_file(request->instance, &snapshot->sources[i],
		    &snapshot->entries[i], file);
		kept->n_files++;
		sum_up(request, kept, file);
	}
}

/* ---- taking -------------------------------------------------------------- */

/* What the builder holds for the core. */
static void take_over(struct still_builder *builder, struct kept *kept)
{
	static unsigned n;

	kept->summed = still_builder_take_summed(builder, &kept->n_summed);
	kept->n_damages = builder->n_damages;
	kept->note = json_incref(builder->note);
	kept->description = json_pack("{s:O, s:O}", "databases",
	    builder->databases, "dropped", builder->dropped);
	assert_non_null(kept->description);
	kept->base = (struct still_base){
	    .session = "kept",
	    .number = ++n,
	    .note = kept->note,
	    .page_sums = page_sums,
	};
}

int kept_take(const struct kept_request *request, struct kept *ret,
    struct still_error *err)
{
	struct still_base base;
	struct still_freeze_request freeze = {
	    .incremental = request->incremental,
	    .cancel = &never,
	    .observer = request->observer,
	    .spool = still_spool_of(request->spool),
	};
	struct still_snapshot snapshot = {0};
	struct still_builder builder;
	struct still_held held;
	int rc;

	memset(ret, 0, sizeof(*ret));
	if (request->base) {
		base = request->base->base;
		base.arg = (void *) request->base;
		freeze.base = &base;
	}
	assert_int_equal(still_builder_init(&builder, 0700, 0, 0, err), 0);
	builder.catalog = request->catalog;
	rc = still_engine_freeze(request->instance, &freeze, &builder, err);
	if (rc == 0) {
		take_over(&builder, ret);
		rc = still_builder_finish(
		    &builder, strdup("{}"), 2, 0, 0, &snapshot, err);
	}
	still_builder_release(&builder);
	if (rc == 0 && request->frozen)
		request->frozen(request->arg);
	if (rc == 0)
		read_all(request, &snapshot, ret);
	if (rc == 0 && still_engine_keep(request->instance, &held, NULL) == 0)
		ret->n_compared = held.n_compared;
	still_engine_thaw(request->instance);
	still_snapshot_release(&snapshot);
	if (rc < 0)
		kept_release(ret);
	return rc;
}

const struct kept_file *kept_find(const struct kept *kept, const char *path)
{
	for (size_t i = 0; i < kept->n_files; i++)
		if (strcmp(kept->files[i].path, path) == 0)
			return &kept->files[i];
	return NULL;
}

/* ---- writing ------------------------------------------------------------- */

static void make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
		*slash = '/';
	}
}

void kept_write(const struct kept *kept, const char *path)
{
	for (size_t i = 0; i < kept->n_files; i++) {
		const struct kept_file *file = &kept->files[i];
		char *name;
		int fd;

		assert_true(asprintf(&name, "%s/%s", path, file->path) > 0);
		make_parents(name);
		fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(
		    write(fd, file->bytes, file->size), file->size);
		close(fd);
		free(name);
	}
}

void kept_release(struct kept *kept)
{
	for (size_t i = 0; i < kept->n_files; i++) {
		free(kept->files[i].path);
		free(kept->files[i].bytes);
	}
	free(kept->files);
	still_summed_free(kept->summed, kept->n_summed);
	json_decref(kept->description);
	json_decref(kept->note);
	memset(kept, 0, sizeof(*kept));
}
