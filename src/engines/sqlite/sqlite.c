/* SPDX-License-Identifier: MIT */
/*
 * sqlite: the engine for SQLite databases.
 *
 * discover finds the databases, files owns every descriptor, pin fixes one
 * commit, cut one moment over all of them, private copies what cannot be
 * pinned, walmap proves the part of the log that belongs to the moment, image
 * serves its bytes, deep lets SQLite check them, governor moves the pins on, and
 * completes the images in the spool. changes tells what can have changed since a
 * committed session, rot sees what did although it cannot, and link makes an
 * increment of the rest, which apply puts into a set. This file is the engine
 * contract over them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/acl.h"
#include "base/connstr.h"
#include "base/path.h"
#include "engines/engine.h"
#include "engines/sqlite/apply.h"
#include "engines/sqlite/check.h"
#include "engines/sqlite/cut.h"
#include "engines/sqlite/deep.h"
#include "engines/sqlite/describe.h"
#include "engines/sqlite/files.h"
#include "engines/sqlite/hand_over.h"
#include "engines/sqlite/identity.h"
#include "engines/sqlite/incremental.h"
#include "engines/sqlite/instance.h"

/* How often a freeze looks for databases anew when one is gone meanwhile. */
#define FREEZE_LOOKS 5

/* What a pinned database holds open: three of ours (database, log, wal-index),
 * three of SQLite's, one in the spool, and the sums of its pages. While it is
 * frozen alone, and where it is assisted, two more; its increment is one. */
#define FDS_PER_DATABASE 8
#define FDS_PER_INCREMENT 1
#define FDS_PER_ASSIST 2
#define FDS_SPARE 64

extern const struct still_engine still_engine_sqlite;

static bool sqlite_match(const char *source)
{
	if (strncmp(source, "sqlite:", 7) == 0)
		return true;
	return !strstr(source, "://") && !still_connstr_is(source);
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
		infos[i].log = found->header.read_version == 2 ? "wal"
							       : "rollback";
	}
	*ret = infos;
	return 0;
}

/* Databases come and go while stillfs is mounted, so each freeze looks anew. */
static int list(struct sqlite_instance *instance, struct still_error *err)
{
	struct sqlite_listing listing;
	struct still_database_info *infos = NULL;
	int rc = sqlite_source_list(&instance->source, instance->options.force,
	    &instance->listing, &listing, err);

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

/* Before anything is opened, so that nothing is half done for want of it. */
static int make_room(
    const struct sqlite_instance *instance, struct still_error *err)
{
	size_t n = instance->listing.n_found;
	size_t fds_each = FDS_PER_DATABASE +
	    (instance->options.assist ? FDS_PER_ASSIST : 0) +
	    (instance->options.incremental ? FDS_PER_INCREMENT : 0);
	size_t fds = n * fds_each + FDS_SPARE;
	struct rlimit limit;

	if (n > instance->options.databases_max)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
		    "Raise `barrier_max`, or name a directory with fewer "
		    "databases: each takes descriptors and memory, and all "
		    "writers wait until the last one is held.",
		    "source `%s`: has %zu databases, and `barrier_max` allows "
		    "%u",
		    instance->source.path, n, instance->options.databases_max);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && fds > limit.rlim_cur)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, EMFILE,
		    "Raise the hard limit (ulimit -Hn, LimitNOFILE=), or name "
		    "a directory with fewer databases.",
		    "source `%s`: %zu databases take %zu descriptors, and this "
		    "process may have %llu",
		    instance->source.path, n, fds,
		    (unsigned long long) limit.rlim_cur);
	sqlite_files_reserve(instance->source.root_fd, (unsigned) fds);
	return 0;
}

static void sqlite_thaw(struct still_engine_instance *base)
{
	struct sqlite_instance *instance = (struct sqlite_instance *) base;

	sqlite_governor_stop(instance->governor);
	instance->governor = NULL;
	/* The last first: that is where registries of open files look first. */
	for (size_t i = instance->n_images; i > 0; i--)
		sqlite_image_release(&instance->images[i - 1]);
	free(instance->images);
	instance->images = NULL;
	instance->n_images = 0;
	sqlite_note_release(&instance->noted);
}

static void sqlite_detach(struct still_engine_instance *base)
{
	struct sqlite_instance *instance = (struct sqlite_instance *) base;

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
	struct sqlite_instance *instance = calloc(1, sizeof(*instance));
	int rc;

	if (!instance)
		return still_error_nomem(err);
	sqlite_handle_init();
	instance->base.engine = &still_engine_sqlite;
	instance->options = *options;
	instance->source = (struct sqlite_source) SQLITE_SOURCE_INIT;
	rc = sqlite_source_open(source, options->force, &instance->source, err);
	if (rc == 0)
		rc = list(instance, err);
	if (rc == 0)
		rc = make_room(instance, err);
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
	struct sqlite_instance *instance = (struct sqlite_instance *) base;
	const struct stat *st = &instance->source.root_st;
	uint32_t dir_mode = still_acl_limit(
	    instance->source.root_fd, st->st_mode & 07777);

	/* A single database says by its own mode who may look at it. */
	if (instance->source.is_file) {
		uint32_t mode;

		st = &instance->source.st;
		mode = still_acl_limit_at(
			   AT_FDCWD, instance->source.path, st->st_mode) &
		    0444;
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

/* Make one database ready for the cut, or list why it has no part in it. */
static int open_one(struct sqlite_instance *instance,
    const struct still_freeze_request *request,
    const struct sqlite_found *found, struct sqlite_image *image,
    struct still_error *err)
{
	struct sqlite_image_request image_request = {
	    .pin =
		{
		    .root_fd = instance->source.root_fd,
		    .root = instance->source.root,
		    .rel = found->rel,
		    .cancel = request->cancel,
		    .limit_ns = instance->options.freeze_limit_ns,
		},
	    .logged = request->incremental,
	    .observer = request->observer,
	    .spool = &instance->spool,
	};
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	if (found->obstacle.code)
		return sqlite_image_refuse(
		    image, found->rel, &found->st, &found->obstacle, err);
	rc = sqlite_image_open(image, &found->st, &image_request, &own);
	if (rc < 0 && !image->private.no_spool && !image->circular &&
	    sqlite_image_refusable(&own)) {
		sqlite_image_release(image);
		rc = sqlite_image_refuse(
		    image, found->rel, &found->st, &own, err);
	} else if (rc < 0) {
		sqlite_image_release(image);
		still_error_copy(err, &own);
	}
	still_error_clear(&own);
	if (rc == 0)
		image->lost = &instance->lost;
	return rc;
}

static int open_all(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_error *err)
{
	size_t n = instance->listing.n_found;
	int rc = 0;

	instance->images = calloc(n, sizeof(*instance->images));
	if (!instance->images)
		return still_error_nomem(err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = open_one(instance, request, &instance->listing.found[i],
		    &instance->images[i], err);
		if (rc == 0)
			instance->n_images = i + 1;
	}
	return rc;
}

/* A snapshot of nothing is none. */
static int check_any(
    const struct sqlite_instance *instance, struct still_error *err)
{
	for (size_t i = 0; i < instance->n_images; i++)
		if (!instance->images[i].refusal.code)
			return 0;
	still_error_copy(err, &instance->images[0].refusal);
	return instance->images[0].refusal.code;
}

/* What the disk does not give of one database is no reason to lose the others.
 */
static int settle_one(struct sqlite_image *image, enum sqlite_depth depth,
    const atomic_bool *cancel, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc = 0;

	if (image->refusal.code)
		return 0;
	rc = depth == SQLITE_DEPTH_HEADER
	    ? sqlite_image_settle(image, cancel, &own)
	    : sqlite_deep_check(image, depth, cancel, &own);
	if (rc == STILL_ERR_IO && sqlite_image_refusable(&own)) {
		sqlite_image_give_up(image, &own);
		rc = 0;
	} else if (rc < 0 && err) {
		still_error_copy(err, &own);
	}
	still_error_clear(&own);
	/* Nobody will read it, and nobody would move its pin on. A check that
	 * refuses it later leaves that to the governor. */
	if (image->refusal.code && depth == SQLITE_DEPTH_HEADER)
		sqlite_pin_release(&image->pin);
	return rc;
}

/* What is looked at in the live files, while nobody has moved a pin on yet. */
static int look_at_live(struct sqlite_image *image, struct still_error *err)
{
	char identity[SQLITE_IDENTITY_BYTES];

	sqlite_warn_of_log(image);
	image->has_facts = sqlite_identity_facts(image, &image->facts);
	if (!sqlite_identity_of(image, identity))
		return 0;
	image->identity = strdup(identity);
	return image->identity ? 0 : still_error_nomem(err);
}

static int govern(struct sqlite_instance *instance,
    const struct still_freeze_request *freeze, struct still_error *err)
{
	struct sqlite_governor_request request = {
	    .images = instance->images,
	    .n_images = instance->n_images,
	    .root_fd = instance->source.root_fd,
	    .options = &instance->options,
	    .observer = &instance->observer,
	    .lost = &instance->lost,
	    .cancel = freeze->cancel,
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < instance->n_images; i++)
		rc = look_at_live(&instance->images[i], err);
	if (rc == 0)
		rc = sqlite_incremental_prepare(instance, freeze, err);
	return rc < 0
	    ? rc
	    : sqlite_governor_start(&request, &instance->governor, err);
}

static int settle_all(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_error *err)
{
	static const enum sqlite_depth depths[] = {
	    [STILL_CHECK_BASIC] = SQLITE_DEPTH_HEADER,
	    [STILL_CHECK_QUICK] = SQLITE_DEPTH_STRUCTURE,
	    [STILL_CHECK_FULL] = SQLITE_DEPTH_INTEGRITY,
	};
	enum sqlite_depth depth = depths[instance->options.check];
	int rc = 0;

	/* First whatever holds somebody up, or may be overtaken. */
	for (size_t i = 0; rc == 0 && i < instance->n_images; i++)
		rc = settle_one(&instance->images[i], SQLITE_DEPTH_HEADER,
		    request->cancel, err);
	/* To look deeper takes long. */
	if (rc == 0)
		rc = govern(instance, request, err);
	if (depth == SQLITE_DEPTH_HEADER)
		return rc;
	for (size_t i = 0; rc == 0 && i < instance->n_images; i++)
		rc = settle_one(
		    &instance->images[i], depth, request->cancel, err);
	return rc;
}

/* One look at the directory, and one cut over what it shows. */
static int freeze_once(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct sqlite_cut *cut,
    struct still_error *err)
{
	struct sqlite_cut_request cut_request = {
	    .cancel = request->cancel,
	    .limit_ns = instance->options.freeze_limit_ns,
	    .stall_ns = instance->options.stall_limit_ns,
	};
	int rc = sqlite_incremental_begin(instance, request, err);

	if (rc == 0)
		rc = list(instance, err);
	if (rc == 0)
		rc = make_room(instance, err);
	if (rc == 0)
		rc = open_all(instance, request, err);
	if (rc == 0)
		rc = check_any(instance, err);
	if (rc == 0)
		rc = sqlite_cut_take(instance->images, instance->n_images,
		    &cut_request, cut, err);
	if (rc == 0)
		rc = check_any(instance, err);
	if (rc == 0)
		rc = settle_all(instance, request, err);
	if (rc == 0)
		rc = check_any(instance, err);
	return rc;
}

static int sqlite_freeze(struct still_engine_instance *base,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	struct sqlite_instance *instance = (struct sqlite_instance *) base;
	struct sqlite_cut cut;
	int rc = STILL_ERR_NOTFOUND;

	assert(!instance->images);
	assert(request->base || !request->incremental);
	atomic_store(&instance->lost, false);
	instance->spool = request->spool;
	instance->observer = request->observer;
	/* A database that vanishes between the look and the lock, or is another
	 * one then, was replaced by its application: look again. */
	for (int i = 0; i < FREEZE_LOOKS && rc == STILL_ERR_NOTFOUND; i++) {
		sqlite_thaw(base);
		still_error_clear(err);
		rc = freeze_once(instance, request, &cut, err);
	}
	if (rc == 0 && request->incremental)
		rc = sqlite_incremental_make(instance, request, builder, err);
	if (rc == 0)
		rc = sqlite_hand_over(instance, request, &cut, builder, err);
	if (rc < 0)
		sqlite_thaw(base);
	return rc;
}

static int sqlite_read(struct still_engine_instance *base, void *object,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	struct sqlite_instance *instance = (struct sqlite_instance *) base;
	const enum sqlite_object *kind = object;
	struct still_error lost = STILL_ERROR_INIT;
	struct still_held held;
	int rc;

	if (*kind == SQLITE_OBJECT_LINK)
		return sqlite_increment_read(
		    &((const struct sqlite_link *) object)->increment,
		    off_bytes, data, len, err);
	rc = sqlite_image_read(object, off_bytes, data, len, err);
	/* A page that is wrong because nothing protects it any more is not
	 * damaged. */
	if (rc == STILL_ERR_CORRUPT &&
	    sqlite_governor_keep(instance->governor, &held, &lost) < 0) {
		rc = lost.code;
		if (err)
			still_error_copy(err, &lost);
	}
	still_error_clear(&lost);
	return rc;
}

static int sqlite_keep(struct still_engine_instance *base,
    struct still_held *ret_held, struct still_error *err)
{
	struct sqlite_instance *instance = (struct sqlite_instance *) base;
	int rc = sqlite_governor_keep(instance->governor, ret_held, err);

	for (size_t i = 0; rc == 0 && i < instance->n_images; i++)
		ret_held->n_compared += sqlite_rot_compared(
		    &instance->images[i].rot);
	return rc;
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
    .check_set = sqlite_check_set,
    .apply = sqlite_apply,
};
