/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/truncate.h"

#include <errno.h>
#include <stdio.h>

#include "core/lineage.h"

/* ---- up to where --------------------------------------------------------- */

static int no_base(struct still_instance *instance, struct still_error *err)
{
	struct still_instance_info info;

	still_instance_describe(instance, &info);
	return still_error_set(err, STILL_ERR_BASE, 0,
	    "Make a full backup, and commit it.",
	    "source `%s`: no session of it is committed", info.source);
}

/* Whoever needs the logs before it needs them still. */
static int damaged_base(const struct still_link *link, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_BASE, EPERM,
	    "Make a full backup, and commit it.",
	    "session `%s`: nothing can build on it, so nothing is released "
	    "for it",
	    link->id);
}

static int find_link(struct still_instance *instance, int64_t instance_id,
    const char *committed, struct still_link *ret, struct still_error *err)
{
	int rc;

	if (committed)
		return still_lineage_look(
		    instance->catalog, committed, ret, err);
	rc = still_lineage_base(instance->catalog, instance_id, ret, err);
	if (rc == 0)
		return no_base(instance, err);
	if (rc > 0 && !ret->sealed) {
		rc = damaged_base(ret, err);
		still_link_release(ret);
	}
	return rc < 0 ? rc : 0;
}

/* ---- what goes ----------------------------------------------------------- */

static int release_logs(struct still_instance *instance,
    const struct still_ground *ground, bool dry_run,
    struct still_truncation *ret, struct still_error *err)
{
	const struct still_engine *engine = instance->engine->engine;
	struct still_truncated released = {0};
	int rc;

	if (!engine->truncate)
		return 0;
	rc = engine->truncate(instance->engine, still_ground_base(ground),
	    dry_run, &released, err);
	/* It keeps nothing, of this source. */
	if (rc == STILL_ERR_UNSUPPORTED) {
		still_error_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	snprintf(ret->range, sizeof(ret->range), "%s", released.range);
	ret->bytes = released.bytes;
	return 0;
}

int still_truncate_locked(struct still_instance *instance, int64_t instance_id,
    const char *committed, bool dry_run, struct still_truncation *ret,
    struct still_error *err)
{
	struct still_catalog *catalog = instance->catalog;
	struct still_truncation done = {0};
	struct still_ground *ground;
	struct still_link link;
	int rc = find_link(instance, instance_id, committed, &link, err);

	if (rc < 0)
		return rc;
	ground = still_ground_new(catalog, &link);
	if (!ground)
		return still_error_nomem(err);
	rc = release_logs(instance, ground, dry_run, &done, err);
	if (rc == 0)
		rc = still_lineage_forget(catalog, instance_id, committed,
		    dry_run, &done.sessions, err);
	if (rc == 0 && !dry_run)
		rc = still_catalog_truncated(catalog,
		    still_ground_link(ground)->id,
		    done.range[0] ? done.range : NULL, err);
	still_ground_free(ground);
	if (rc == 0)
		*ret = done;
	return rc;
}

int still_truncate_instance(struct still_instance *instance,
    const char *committed, bool dry_run, struct still_truncation *ret,
    struct still_error *err)
{
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_instance_info info;
	int rc;

	still_instance_describe(instance, &info);
	rc = still_catalog_lock(instance->catalog, info.engine, info.source,
	    "truncation", instance->place, &lock, err);
	if (rc < 0)
		return rc;
	rc = still_truncate_locked(
	    instance, lock.instance_id, committed, dry_run, ret, err);
	still_catalog_unlock(&lock);
	return rc;
}

int still_truncate_source(const char *source,
    const struct still_options *options, const char *committed, bool dry_run,
    struct still_truncation *ret, struct still_error *err)
{
	struct still_instance *instance = NULL;
	int rc;

	if (!options->catalog)
		return still_error_set(err, STILL_ERR_INVALID, 0,
		    "Name the state directory with `state=`.",
		    "source `%s`: nobody remembers what is committed of it",
		    source);
	rc = still_instance_attach(source, options, &instance, err);
	if (rc < 0)
		return rc;
	rc = still_truncate_instance(instance, committed, dry_run, ret, err);
	still_instance_detach(instance);
	return rc;
}

int still_truncate(const char *source, const struct still_options *options,
    bool dry_run, struct still_truncation *ret, struct still_error *err)
{
	return still_truncate_source(source, options, NULL, dry_run, ret, err);
}
