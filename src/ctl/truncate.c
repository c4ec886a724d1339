/* SPDX-License-Identifier: MIT */
/*
 * stillctl truncate: release what no session from the last committed one on
 * needs, without a session. A mount of the source may be there; a session may not.
 */
#include "config.h"

#include <stdlib.h>

#include "ctl/exit.h"
#include "ctl/out.h"
#include "ctl/record.h"
#include "ctl/target.h"
#include "ctl/truncation.h"
#include "ctl/verb.h"

static const struct ctl_option options[] = {
    {"dry-run", 'n', CTL_FLAG, CTL_AT(dry_run), 0, 0, NULL,
	"only tell what would be released"},
    {"engine", 0, CTL_TEXT, CTL_AT(engine), 0, 0, "NAME",
	"use only the engine of this name"},
    {"force", 0, CTL_FLAG, CTL_AT(force), 0, 0, NULL,
	"take network and FUSE file systems, hard links"},
    CTL_OPTIONS_END,
};

static int tell(const struct ctl_options *o,
    const struct still_truncation *truncation, struct still_error *err)
{
	json_t *line;
	int rc;

	if (o->json) {
		line = json_pack("{s:s}", "event", "done");
		if (ctl_truncation_json(line, truncation, o->dry_run) < 0) {
			json_decref(line);
			return still_error_nomem(err);
		}
		rc = ctl_out_json_line(line, err);
		if (rc < 0)
			return rc;
	}
	return ctl_truncation_tell(o, truncation, o->dry_run);
}

static int truncate_source(const struct ctl_options *o,
    const struct ctl_target *target, const char *source,
    struct still_error *err)
{
	struct still_options wishes = {
	    .engine = o->engine,
	    .force = o->force,
	    .freeze_ms = STILL_FREEZE_MS_DEFAULT,
	    .stall_ms = STILL_STALL_MS_DEFAULT,
	    .barrier_max = STILL_BARRIER_MAX_DEFAULT,
	    .pin_ms = STILL_PIN_MS_DEFAULT,
	    .wal_max_bytes = STILL_WAL_MAX_BYTES_DEFAULT,
	    .incremental = true,
	};
	struct still_truncation truncation = {0};
	int rc = ctl_catalog_open(o, target, &wishes.catalog, err);

	if (rc == 0)
		rc = still_truncate(
		    source, &wishes, o->dry_run, &truncation, err);
	if (rc == 0)
		rc = tell(o, &truncation, err);
	still_truncation_clear(&truncation);
	still_catalog_close(wishes.catalog);
	return rc;
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	struct ctl_target target = {0};
	int rc = ctl_target_find(o->target, &target, err);

	/* As it was given, if it is no mount: it may have a scheme. */
	if (rc < 0)
		rc = ctl_target_status(rc);
	else
		rc = truncate_source(
		    o, &target, target.source ? target.source : o->target, err);
	ctl_target_release(&target);
	return rc;
}

const struct ctl_verb ctl_verb_truncate = {
    .name = "truncate",
    .summary = "release logs that no backup needs any more",
    .help =
	"Release of SOURCE what is kept for incremental backups, as far as no\n"
	"session from the last committed one on needs it: logs, the oldest first,\n"
	"and sums of pages. The application's own files are not touched.\n",
    .target = CTL_TARGET_SOURCE,
    .usage = "[SOURCE]",
    .max_words = 1,
    .options = options,
    .run = run,
};
