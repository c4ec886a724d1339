/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/plant.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "tests/unit/scratch.h"

struct planting {
	struct still_engine_instance *instance;
	const struct still_snapshot *snapshot;
	uint8_t *const *all;
	const char *dir;
};

static const void *bytes_of(const struct planting *planting, uint32_t index)
{
	const struct still_source *source = &planting->snapshot->sources[index];

	return source->kind == STILL_SOURCE_MEMORY
	    ? (const void *) source->memory
	    : planting->all[index];
}

static uint32_t crc_of(const void *data, size_t len)
{
	return still_crc32c_end(still_crc32c(STILL_CRC32C_INIT, data, len));
}

static void write_file(const struct planting *planting, uint32_t index,
    const void *data, size_t len)
{
	const struct still_entry *e = &planting->snapshot->entries[index];
	const char *path = scratch_path(planting->dir, e->path);

	assert_int_equal(scratch_write(path, data, len), 0);
	assert_int_equal(chmod(path, e->mode), 0);
	assert_int_equal(chown(path, e->uid, e->gid), 0);
}

static void write_entry(const struct planting *planting, uint32_t index)
{
	const struct still_entry *e = &planting->snapshot->entries[index];
	const char *path = scratch_path(planting->dir, e->path);

	if (e->kind == STILL_LINK) {
		assert_int_equal(symlink(e->target, path), 0);
		return;
	}
	if (e->kind == STILL_DIR) {
		assert_true(index == 0 || mkdir(path, 0700) == 0);
		assert_int_equal(chmod(path, e->mode), 0);
		assert_int_equal(chown(path, e->uid, e->gid), 0);
		return;
	}
	if (!e->closing)
		write_file(planting, index, bytes_of(planting, index),
		    (size_t) e->size_bytes);
}

/* As the core tells it: all that is there before. */
static struct still_closed_file *list_closed(
    const struct planting *planting, size_t *ret_n)
{
	const struct still_snapshot *snapshot = planting->snapshot;
	struct still_closed_file *files = calloc(snapshot->n, sizeof(*files));
	size_t n = 0;

	assert_non_null(files);
	for (uint32_t i = 0; i < snapshot->n; i++) {
		const struct still_entry *e = &snapshot->entries[i];

		if (e->kind == STILL_FILE && !e->closing)
			files[n++] = (struct still_closed_file){e->path,
			    e->size_bytes, e->time_s,
			    crc_of(
				bytes_of(planting, i), (size_t) e->size_bytes)};
	}
	*ret_n = n;
	return files;
}

static void write_closing(const struct planting *planting)
{
	const struct still_snapshot *snapshot = planting->snapshot;
	struct still_error err = STILL_ERROR_INIT;
	struct still_closed_file *files;
	size_t n;

	files = list_closed(planting, &n);
	for (uint32_t i = 0; i < snapshot->n; i++) {
		size_t size = (size_t) snapshot->entries[i].size_bytes;
		char *data;

		if (snapshot->sources[i].kind != STILL_SOURCE_CLOSING)
			continue;
		data = malloc(size + 1);
		assert_non_null(data);
		if (still_engine_close(planting->instance,
			snapshot->sources[i].object, files, n, data, &err) != 0)
			fail_msg("%s", still_error_msg(&err));
		write_file(planting, i, data, size);
		free(data);
	}
	free(files);
}

void plant(struct still_engine_instance *instance,
    const struct still_snapshot *snapshot, uint8_t *const *all, const char *dir)
{
	const struct planting planting = {instance, snapshot, all, dir};

	/* A directory comes before what is in it. */
	for (uint32_t i = 0; i < snapshot->n; i++)
		write_entry(&planting, i);
	write_closing(&planting);
}
