/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/hand_over.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/acl.h"
#include "base/json.h"
#include "base/path.h"
#include "engines/sqlite/describe.h"
#include "engines/sqlite/incremental.h"

/* One that is not frozen was not opened. */
static uint32_t mode_of(
    const struct sqlite_instance *instance, const struct sqlite_image *image)
{
	if (!image->refusal.code)
		return image->mode;
	return still_acl_limit_at(
	    instance->source.root_fd, image->rel, image->st.st_mode & 07777);
}

/* ---- one database -------------------------------------------------------- */

static int add_whole(const struct sqlite_instance *instance,
    struct sqlite_image *image, const char *path, struct still_builder *builder,
    struct still_error *err)
{
	struct still_file_spec spec = {
	    .path = path,
	    .size_bytes = sqlite_image_listed_bytes(image),
	    .mode = mode_of(instance, image),
	    .uid = image->st.st_uid,
	    .gid = image->st.st_gid,
	    .object = image,
	};

	if (!instance->options.force)
		spec.identity = image->identity;
	if (!image->refusal.code && !image->damage.code)
		spec.page_bytes = image->page_size_bytes;
	return still_builder_file(builder, &spec, err);
}

/* The increment of one that changed. */
static int add_log(const struct sqlite_instance *instance,
    struct sqlite_image *image, const char *path, struct still_builder *builder,
    struct still_error *err)
{
	struct still_file_spec spec = {
	    .path = path,
	    .size_bytes = image->link->increment.size_bytes,
	    .mode = mode_of(instance, image),
	    .uid = image->st.st_uid,
	    .gid = image->st.st_gid,
	    .object = image->link,
	};

	return still_builder_file(builder, &spec, err);
}

static int hand_over_image(const struct sqlite_instance *instance,
    struct sqlite_image *image, struct still_builder *builder,
    struct still_error *err)
{
	const struct sqlite_link *link = image->link;
	char *path = still_path_join("data", image->rel);
	char *log = NULL;
	int rc = 0;

	if (!path || asprintf(&log, "logs/%s-wal", image->rel) < 0) {
		free(path);
		return still_error_nomem(err);
	}
	if (!link)
		rc = add_whole(instance, image, path, builder, err);
	else if (link->changed)
		rc = add_log(instance, image, log, builder, err);
	if (rc == 0)
		rc = still_builder_database(
		    builder, sqlite_describe_image(image, path, log), err);
	if (rc == 0 && image->refusal.code)
		rc = still_builder_unfrozen(
		    builder, path, &image->refusal, err);
	else if (rc == 0 && image->damage.code)
		rc = still_builder_damage(builder, path, &image->damage, err);
	free(path);
	free(log);
	return rc;
}

/* ---- directories --------------------------------------------------------- */

/* Does it lead to something that is whole, or to an increment? */
static bool leads(
    const struct sqlite_instance *instance, const char *rel, bool whole)
{
	size_t n = strlen(rel);

	for (size_t i = 0; i < instance->n_images; i++) {
		const struct sqlite_image *image = &instance->images[i];

		if (strncmp(image->rel, rel, n) == 0 && image->rel[n] == '/' &&
		    (whole ? !image->link
			   : image->link && image->link->changed))
			return true;
	}
	return false;
}

static int add_dir(const struct sqlite_instance *instance,
    const struct sqlite_found_dir *dir, const char *top,
    struct still_builder *builder, struct still_error *err)
{
	char *path = still_path_join(top, dir->rel);
	int rc;

	if (!path)
		return still_error_nomem(err);
	rc = still_builder_dir(builder, path,
	    still_acl_limit_at(
		instance->source.root_fd, dir->rel, dir->st.st_mode & 07777),
	    dir->st.st_uid, dir->st.st_gid, err);
	free(path);
	return rc;
}

static int hand_over_dirs(const struct sqlite_instance *instance,
    bool incremental, struct still_builder *builder, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < instance->listing.n_dirs; i++) {
		const struct sqlite_found_dir *dir = &instance->listing.dirs[i];

		if (!incremental || leads(instance, dir->rel, true))
			rc = add_dir(instance, dir, "data", builder, err);
		if (rc == 0 && incremental && leads(instance, dir->rel, false))
			rc = add_dir(instance, dir, "logs", builder, err);
	}
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int leave_note(const struct sqlite_instance *instance,
    struct still_builder *builder, struct still_error *err)
{
	return still_builder_note(builder,
	    sqlite_note_make(instance->images, instance->n_images,
		instance->listing.dirs, instance->listing.n_dirs),
	    err);
}

int sqlite_hand_over(struct sqlite_instance *instance,
    const struct still_freeze_request *request, const struct sqlite_cut *cut,
    struct still_builder *builder, struct still_error *err)
{
	bool pinned = false;
	int rc = hand_over_dirs(instance, request->incremental, builder, err);

	for (size_t i = 0; rc == 0 && i < instance->n_images; i++) {
		struct sqlite_image *image = &instance->images[i];

		pinned |= !image->link && sqlite_image_is_pinned(image);
		rc = hand_over_image(instance, image, builder, err);
	}
	if (rc == 0 && request->incremental)
		rc = sqlite_incremental_dropped(instance, builder, err);
	if (rc == 0)
		rc = leave_note(instance, builder, err);
	still_builder_cut(builder,
	    &(struct still_cut){
		.words = cut->words,
		.first_ns = cut->first_ns,
		.last_ns = cut->last_ns,
		.held_ns = cut->held_ns,
		.pinned = pinned,
	    });
	still_builder_verified(builder,
	    sqlite_verified_words(
		sqlite_verified_all(instance->images, instance->n_images)));
	return rc;
}
