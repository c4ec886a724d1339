/* SPDX-License-Identifier: MIT */
/*
 * sqlite: the engine for SQLite databases in WAL mode.
 *
 * discover finds the databases, files owns every descriptor, pin fixes one
 * commit, walmap proves the part of the log that belongs to it, image serves
 * its bytes; this file is the engine contract over them.
 */
#include "config.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/path.h"
#include "engines/engine.h"
#include "engines/sqlite/discover.h"
#include "engines/sqlite/image.h"

/* How often a freeze looks for databases anew when one is gone meanwhile. */
#define FREEZE_LOOKS 5

struct instance {
	struct still_engine_instance base;
	struct still_attach_options options;
	struct sqlite_source source;
	struct sqlite_listing listing;     /* as of attach or the last freeze */
	struct still_database_info *infos; /* one per listing.found */

	struct sqlite_image *images; /* NULL while not frozen */
	size_t n_images;
	atomic_bool lost; /* raised by keep, lowered by freeze */
};

extern const struct still_engine still_engine_sqlite;

static bool sqlite_match(const char *source)
{
	if (strncmp(source, "sqlite:", 7) == 0)
		return true;
	return !strstr(source, "://");
}

static int make_infos(const struct sqlite_listing *listing,
    struct still_database_info **ret, struct still_error *err)
{
	struct still_database_info *infos = calloc(
	    listing->n_found, sizeof(*infos));

	if (!infos)
		return still_error_nomem(err);
	for (size_t i = 0; i < listing->n_found; i++) {
		const struct sqlite_found *found = &listing->found[i];

		infos[i].path = found->rel;
		infos[i].size_bytes = (uint64_t) found->st.st_size;
		infos[i].page_size_bytes = found->header.page_size_bytes;
		infos[i].log = "wal";
	}
	*ret = infos;
	return 0;
}

/* Databases come and go while stillfs is mounted, so each freeze looks anew. */
static int list(struct instance *instance, struct still_error *err)
{
	struct sqlite_listing listing;
	struct still_database_info *infos = NULL;
	int rc = sqlite_source_list(
	    &instance->source, instance->options.force, &listing, err);

	if (rc < 0)
		return rc;
	rc = make_infos(&listing, &infos, err);
	if (rc < 0) {
		sqlite_listing_release(&listing);
		return rc;
	}
	sqlite_listing_release(&instance->listing);
	free(instance->infos);
	instance->listing = listing;
	instance->infos = infos;
	return 0;
}

static void sqlite_thaw(struct still_engine_instance *base)
{
	struct instance *instance = (struct instance *) base;

	for (size_t i = 0; i < instance->n_images; i++)
		sqlite_image_release(&instance->images[i]);
	free(instance->images);
	instance->images = NULL;
	instance->n_images = 0;
}

static void sqlite_detach(struct still_engine_instance *base)
{
	struct instance *instance = (struct instance *) base;

	sqlite_thaw(base);
	sqlite_listing_release(&instance->listing);
	sqlite_source_close(&instance->source);
	free(instance->infos);
	free(instance);
}

static int sqlite_attach(const char *source,
    const struct still_attach_options *options,
    struct still_engine_instance **ret, struct still_error *err)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	int rc;

	if (!instance)
		return still_error_nomem(err);
	instance->base.engine = &still_engine_sqlite;
	instance->options = *options;
	instance->source = (struct sqlite_source) SQLITE_SOURCE_INIT;
	rc = sqlite_source_open(source, options->force, &instance->source, err);
	if (rc == 0)
		rc = list(instance, err);
	if (rc < 0) {
		sqlite_detach(&instance->base);
		return rc;
	}
	*ret = &instance->base;
	return 0;
}

static void sqlite_describe(
    struct still_engine_instance *base, struct still_description *ret)
{
	struct instance *instance = (struct instance *) base;
	const struct stat *st = &instance->source.root_st;
	uint32_t dir_mode = st->st_mode & 07777;

	/* A single database says by its own mode who may look at it. */
	if (instance->source.is_file) {
		uint32_t mode;

		st = &instance->source.st;
		mode = st->st_mode & 0444;
		dir_mode = mode | (mode >> 2) | 0700;
	}
	*ret = (struct still_description){
	    .source = instance->source.path,
	    .engine_version = sqlite3_libversion(),
	    .dir_mode = dir_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .databases = instance->infos,
	    .n_databases = instance->listing.n_found,
	};
}

/* ---- the freeze ---------------------------------------------------------- */

static void hex(char *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static json_t *describe_image(
    const struct sqlite_image *image, const char *path)
{
	const struct sqlite_index_header *index = &image->pin.header;
	json_t *object = json_object();
	json_t *log = NULL;
	char salts[17];
	char checksum[24];

	hex(salts, index->salts, sizeof(index->salts));
	snprintf(checksum, sizeof(checksum), "%08x%08x",
	    index->frame_checksum.s0, index->frame_checksum.s1);
	log = json_pack("{s:s, s:s, s:I, s:I, s:s}", "mode", "wal", "salts",
	    salts, "backfilled_frames", (json_int_t) image->pin.backfill,
	    "last_frame", (json_int_t) index->max_frame, "checksum", checksum);
	if (!object || !log || still_json_set_name(object, "path", path) < 0 ||
	    json_object_set_new(object, "size_bytes",
		json_integer((json_int_t) sqlite_image_bytes(image))) < 0 ||
	    json_object_set_new(object, "page_size_bytes",
		json_integer(image->page_size_bytes)) < 0 ||
	    json_object_set_new(object, "pages", json_integer(image->n_pages)) <
		0 ||
	    json_object_set_new(object, "change_counter",
		json_integer(image->header.change_counter)) < 0 ||
	    still_json_set_time(object, "frozen_at", image->pin.frozen_at_ns) <
		0 ||
	    json_object_set(object, "log", log) < 0) {
		json_decref(object);
		object = NULL;
	}
	json_decref(log);
	return object;
}

static int hand_over(struct sqlite_image *image, struct still_builder *builder,
    struct still_error *err)
{
	char *path = still_path_join("data", image->rel);
	struct still_file_spec spec = {
	    .path = path,
	    .size_bytes = sqlite_image_bytes(image),
	    .mode = image->pin.target.st.st_mode & 07777,
	    .uid = image->pin.target.st.st_uid,
	    .gid = image->pin.target.st.st_gid,
	    .object = image,
	};
	int rc;

	if (!path)
		return still_error_nomem(err);
	rc = still_builder_file(builder, &spec, err);
	if (rc == 0)
		rc = still_builder_database(
		    builder, describe_image(image, path), err);
	if (rc == 0 && image->damage.code &&
	    still_builder_damage(builder, path, &image->damage) < 0)
		rc = still_error_nomem(err);
	free(path);
	return rc;
}

static int hand_over_dirs(const struct instance *instance,
    struct still_builder *builder, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < instance->listing.n_dirs; i++) {
		const struct sqlite_found_dir *dir = &instance->listing.dirs[i];
		char *path = still_path_join("data", dir->rel);

		if (!path)
			return still_error_nomem(err);
		rc = still_builder_dir(builder, path, dir->st.st_mode & 07777,
		    dir->st.st_uid, dir->st.st_gid, err);
		free(path);
	}
	return rc;
}

/* Pin every database of the listing, one after another. */
static int pin_all(struct instance *instance,
    const struct still_freeze_request *request, struct still_error *err)
{
	size_t n = instance->listing.n_found;
	int rc = 0;

	instance->images = calloc(n, sizeof(*instance->images));
	if (!instance->images)
		return still_error_nomem(err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct sqlite_pin_request pin_request = {
		    .root_fd = instance->source.root_fd,
		    .root = instance->source.root,
		    .rel = instance->listing.found[i].rel,
		    .cancel = request->cancel,
		    .limit_ns = instance->options.freeze_limit_ns,
		};

		rc = sqlite_image_freeze(&instance->images[i], &pin_request,
		    &request->observer, err);
		if (rc < 0)
			break;
		instance->images[i].lost = &instance->lost;
		instance->n_images = i + 1;
	}
	return rc;
}

static int hand_over_all(struct instance *instance,
    struct still_builder *builder, struct still_error *err)
{
	int64_t first_ns = INT64_MAX;
	int64_t last_ns = 0;
	int rc = hand_over_dirs(instance, builder, err);

	for (size_t i = 0; rc == 0 && i < instance->n_images; i++) {
		int64_t at_ns = instance->images[i].pin.frozen_at_ns;

		first_ns = at_ns < first_ns ? at_ns : first_ns;
		last_ns = at_ns > last_ns ? at_ns : last_ns;
		rc = hand_over(&instance->images[i], builder, err);
	}
	still_builder_cut(builder, "per database", first_ns, last_ns);
	still_builder_verified(builder, "header+logs");
	return rc;
}

static int sqlite_freeze(struct still_engine_instance *base,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	struct instance *instance = (struct instance *) base;
	bool again = true;
	int rc = 0;

	assert(!instance->images);
	atomic_store(&instance->lost, false);
	/* A database that vanishes between the look and the lock, or is another
	 * one then, was replaced by its application: look again. */
	for (int i = 0; i < FREEZE_LOOKS && again; i++) {
		sqlite_thaw(base);
		still_error_clear(err);
		rc = list(instance, err);
		if (rc < 0)
			return rc;
		rc = pin_all(instance, request, err);
		again = rc == STILL_ERR_NOTFOUND || rc == STILL_ERR_AGAIN;
	}
	if (rc == 0)
		rc = hand_over_all(instance, builder, err);
	if (rc < 0)
		sqlite_thaw(base);
	return rc;
}

static int sqlite_read(struct still_engine_instance *base, void *object,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	(void) base;
	return sqlite_image_read(object, off_bytes, data, len, err);
}

static int sqlite_keep(
    struct still_engine_instance *base, struct still_error *err)
{
	struct instance *instance = (struct instance *) base;

	for (size_t i = 0; i < instance->n_images; i++) {
		int rc = sqlite_pin_check(
		    &instance->images[i].pin, instance->source.root_fd, err);

		if (rc < 0) {
			atomic_store(&instance->lost, true);
			return rc;
		}
	}
	return 0;
}

const struct still_engine still_engine_sqlite = {
    .name = "sqlite",
    .match = sqlite_match,
    .attach = sqlite_attach,
    .describe = sqlite_describe,
    .freeze = sqlite_freeze,
    .read = sqlite_read,
    .keep = sqlite_keep,
    .thaw = sqlite_thaw,
    .detach = sqlite_detach,
};
