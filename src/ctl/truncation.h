/* SPDX-License-Identifier: MIT */
/*
 * truncation: what was released of logs, or would be, for people and programs.
 */
#ifndef CTL_TRUNCATION_H
#define CTL_TRUNCATION_H

#include <jansson.h>

#include "control.h"
#include "ctl/options.h"
#include "still.h"

/* As a mount has told it. Cleared by the caller. */
void ctl_truncation_of(
    const struct still_control *answer, struct still_truncation *ret);

/* Set `truncation` of `line`: range, bytes, sessions, dry_run, and error where
 * nothing was released. 0, or -1 without memory. */
int ctl_truncation_json(
    json_t *line, const struct still_truncation *truncation, bool dry_run);

/* A line on stdout, unless --json or --quiet; a failure on stderr. Returns DONE,
 * or WARNINGS where nothing was released. */
int ctl_truncation_tell(const struct ctl_options *o,
    const struct still_truncation *truncation, bool dry_run);

#endif
