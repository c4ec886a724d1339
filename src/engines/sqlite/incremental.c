/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/incremental.h"

#include <stdlib.h>
#include <string.h>

#include "base/path.h"

static const char full_hint[] = "Make a full backup; the next one can be "
				"incremental again.";

int sqlite_incremental_begin(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	sqlite_note_release(&instance->noted);
	if (!request->base)
		return 0;
	rc = sqlite_note_read(request->base->note, &instance->noted, &own);
	if (rc == STILL_ERR_NOTFOUND && !request->incremental)
		rc = 0;
	else if (rc == STILL_ERR_NOTFOUND)
		rc = still_error_set(err, STILL_ERR_BASE, 0, full_hint,
		    "source `%s`: session %s, the last that was committed, left "
		    "nothing that an incremental backup can build on",
		    instance->source.path, request->base->session);
	else if (rc < 0 && err)
		still_error_copy(err, &own);
	still_error_clear(&own);
	return rc;
}

/* ---- what became of it --------------------------------------------------- */

static bool has_database(
    const struct sqlite_instance *instance, const char *rel)
{
	const struct sqlite_listing *listing = &instance->listing;
	size_t low = 0;
	size_t high = listing->n_found;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(listing->found[mid].rel, rel);

		if (order == 0)
			return true;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static bool has_dir(const struct sqlite_instance *instance, const char *rel)
{
	for (size_t i = 0; i < instance->listing.n_dirs; i++)
		if (strcmp(instance->listing.dirs[i].rel, rel) == 0)
			return true;
	return false;
}

static int turned(
    const char *rel, const char *from, const char *to, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_BASE, 0, full_hint,
	    "`%s`: was a %s in the last committed backup, and is a %s now", rel,
	    from, to);
}

static int check_shapes(
    const struct sqlite_instance *instance, struct still_error *err)
{
	const struct sqlite_note *noted = &instance->noted;

	for (size_t i = 0; i < noted->n; i++)
		if (has_dir(instance, noted->databases[i].rel))
			return turned(noted->databases[i].rel, "database",
			    "directory", err);
	for (size_t i = 0; i < noted->n_dirs; i++)
		if (has_database(instance, noted->dirs[i].rel))
			return turned(
			    noted->dirs[i].rel, "directory", "database", err);
	return 0;
}

static int tell_dropped(
    struct still_builder *builder, const char *rel, struct still_error *err)
{
	char *path = still_path_join("data", rel);
	int rc = path ? still_builder_dropped(builder, path, err)
		      : still_error_nomem(err);

	free(path);
	return rc;
}

int sqlite_incremental_dropped(const struct sqlite_instance *instance,
    struct still_builder *builder, struct still_error *err)
{
	const struct sqlite_note *noted = &instance->noted;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < noted->n; i++)
		if (!has_database(instance, noted->databases[i].rel))
			rc = tell_dropped(
			    builder, noted->databases[i].rel, err);
	/* A name stands before all that begin with it. */
	for (size_t i = noted->n_dirs; rc == 0 && i > 0; i--)
		if (!has_dir(instance, noted->dirs[i - 1].rel))
			rc = tell_dropped(builder, noted->dirs[i - 1].rel, err);
	return rc;
}

/* ---- before the governor ------------------------------------------------- */

static int prepare(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct sqlite_image *image,
    struct still_error *err)
{
	const struct sqlite_noted *noted = sqlite_note_find(
	    &instance->noted, image->rel);
	const struct sqlite_facts *facts =
	    noted && noted->has_facts ? &noted->facts : NULL;

	if (!image->has_facts || !noted)
		return 0;
	if (request->incremental)
		return sqlite_link_begin(image, request->base, facts,
		    !instance->options.force, request->cancel, err);
	/* Of what lies on another machine neither times nor bytes are those of
	 * one moment. */
	return !facts || instance->options.force
	    ? 0
	    : sqlite_rot_arm(image, request->base, facts, request->cancel, err);
}

int sqlite_incremental_prepare(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_error *err)
{
	int rc = 0;

	if (!request->base)
		return 0;
	if (request->incremental)
		rc = check_shapes(instance, err);
	for (size_t i = 0; rc == 0 && i < instance->n_images; i++)
		rc = prepare(instance, request, &instance->images[i], err);
	return rc;
}

/* ---- beside the governor ------------------------------------------------- */

/* The image's own fault: it is served as what it is. A page that is wrong because
 * the pin is lost is none. */
static int give_up(struct sqlite_instance *instance, struct sqlite_image *image,
    const struct still_error *what, struct still_error *err)
{
	struct still_held held;
	int rc = sqlite_governor_keep(instance->governor, &held, err);

	if (rc < 0)
		return rc;
	sqlite_link_end(image);
	if (what->code == STILL_ERR_CORRUPT)
		still_error_copy(&image->damage, what);
	else
		sqlite_image_give_up(image, what);
	return 0;
}

static int failed(struct sqlite_instance *instance, struct sqlite_image *image,
    const struct still_error *what, bool spool, struct still_error *err)
{
	struct still_held held;

	if (!spool && what->code != STILL_ERR_NOSPACE &&
	    sqlite_image_refusable(what))
		return give_up(instance, image, what, err);
	/* The governor knows why. */
	if (what->code == STILL_ERR_LOST &&
	    sqlite_governor_keep(instance->governor, &held, err) < 0)
		return STILL_ERR_LOST;
	if (err)
		still_error_copy(err, what);
	return what->code;
}

static int make(struct sqlite_instance *instance, struct sqlite_image *image,
    struct still_builder *builder, struct sqlite_link_work *work,
    struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	char *path = still_path_join("data", image->rel);
	uint64_t *sums = NULL;
	bool spool = false;
	int rc;

	if (!path)
		return still_error_nomem(err);
	rc = still_builder_page_sums(
	    builder, path, image->page_size_bytes, image->n_pages, &sums, err);
	free(path);
	if (rc < 0)
		return rc;
	rc = sqlite_link_make(image, sums, work, &spool, &own);
	if (rc == 0)
		rc = sqlite_governor_let_go(instance->governor, image, err);
	else
		rc = failed(instance, image, &own, spool, err);
	still_error_clear(&own);
	return rc;
}

int sqlite_incremental_make(struct sqlite_instance *instance,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	struct sqlite_link_work work = {
	    .cancel = request->cancel,
	    .observer = &request->observer,
	};
	int rc = 0;

	for (size_t i = 0; i < instance->n_images; i++)
		if (instance->images[i].link)
			work.total_bytes += sqlite_link_bytes(
			    &instance->images[i]);
	/* First those that need no look at each page: their pins go soonest. */
	for (int known = 1; known >= 0; known--)
		for (size_t i = 0; rc == 0 && i < instance->n_images; i++) {
			struct sqlite_image *image = &instance->images[i];

			if (image->link &&
			    image->link->changes.known == (known > 0))
				rc = make(instance, image, builder, &work, err);
		}
	return rc;
}
