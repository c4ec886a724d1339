/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/shot.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "core/spool.h"

#define CHUNK_BYTES 65536

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	fprintf(stderr, "%s %s: %s\n", event, object, text);
}

struct still_engine_instance *shot_attach(
    const char *dir, struct still_error *err)
{
	struct still_attach_options options = {
	    .freeze_limit_ns = 20 * STILL_NS_PER_S,
	    .stall_limit_ns = 10 * STILL_NS_PER_S,
	    .databases_max = 100,
	    .pin = STILL_PIN_HOLD};
	struct still_engine_instance *instance;

	if (still_engine_attach(still_engine_find("sqlite", dir), dir, &options,
		&instance, err) < 0)
		return NULL;
	return instance;
}

int shot_take(struct shot *shot, struct still_engine_instance *instance,
    const char *spool, struct still_error *err)
{
	atomic_bool cancel = false;
	struct still_freeze_request request = {.cancel = &cancel,
	    .observer = {.warn = warn, .arg = NULL},
	    .spool = still_spool_of(&shot->spool)};
	int rc = still_builder_init(&shot->builder, 0755, 0, 0, err);

	if (rc < 0)
		return rc;
	shot->instance = instance;
	shot->spool = (struct still_spool_dir){.path = (char *) spool};
	rc = still_engine_freeze(instance, &request, &shot->builder, err);
	if (rc == 0) {
		rc = still_builder_finish(&shot->builder, strdup("{}"), 2, 0, 0,
		    &shot->snapshot, err);
		if (rc < 0)
			still_engine_thaw(instance);
	}
	if (rc < 0)
		still_builder_release(&shot->builder);
	return rc;
}

static uint32_t find(const struct shot *shot, const char *name)
{
	const struct still_snapshot *snapshot = &shot->snapshot;

	return still_snapshot_find(
	    snapshot, still_snapshot_find(snapshot, 0, "data"), name);
}

void *shot_object(const struct shot *shot, const char *name)
{
	uint32_t file = find(shot, name);

	return file ? shot->snapshot.sources[file].object : NULL;
}

unsigned char *shot_read(const struct shot *shot, const char *name,
    size_t *ret_len, struct still_error *err)
{
	uint32_t file = find(shot, name);
	uint64_t len = file ? shot->snapshot.entries[file].size_bytes : 0;
	unsigned char *data = sqlite3_malloc64(len);

	if (!data) {
		still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL,
		    "`%s`: is not in the snapshot, or empty", name);
		return NULL;
	}
	for (uint64_t off = 0; off < len; off += CHUNK_BYTES) {
		size_t n = len - off < CHUNK_BYTES ? (size_t) (len - off)
						   : CHUNK_BYTES;

		if (still_engine_read(shot->instance,
			shot->snapshot.sources[file].object, off, data + off, n,
			err) < 0) {
			sqlite3_free(data);
			return NULL;
		}
	}
	*ret_len = (size_t) len;
	return data;
}

void shot_thaw(struct shot *shot)
{
	still_engine_thaw(shot->instance);
	still_snapshot_release(&shot->snapshot);
	still_builder_release(&shot->builder);
}
