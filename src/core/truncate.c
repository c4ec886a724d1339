/* SPDX-License-Identifier: MIT */
/* truncate: what no session from the last committed one on needs is let go. */
#include "config.h"

#include "core/catalog.h"
#include "core/instance.h"

/* With the instance's lock. */
static int truncate_to_base(struct still_instance *instance,
    const struct still_instance_info *info, struct still_truncation *ret,
    struct still_error *err)
{
	struct still_record_filter last = {
	    .source = info->source, .committed = true, .limit = 1};
	struct still_record *record = NULL;
	size_t n = 0;
	int rc = still_catalog_list(instance->catalog, &last, &record, &n, err);

	still_records_free(record, n);
	if (rc == 0 && n == 0)
		rc = still_error_set(err, STILL_ERR_BASE, 0,
		    "Make a full backup, and commit it.",
		    "source `%s`: no session of it is committed", info->source);
	if (rc == 0)
		*ret = (struct still_truncation){0};
	return rc;
}

int still_truncate(const char *source, const struct still_options *options,
    bool dry_run, struct still_truncation *ret, struct still_error *err)
{
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_instance *instance = NULL;
	struct still_instance_info info;
	int rc = still_instance_attach(source, options, &instance, err);

	(void) dry_run;
	if (rc < 0)
		return rc;
	still_instance_describe(instance, &info);
	rc = still_catalog_lock(instance->catalog, info.engine, info.source,
	    "truncation", instance->place, &lock, err);
	if (rc == 0)
		rc = truncate_to_base(instance, &info, ret, err);
	still_catalog_unlock(&lock);
	still_instance_detach(instance);
	return rc;
}
