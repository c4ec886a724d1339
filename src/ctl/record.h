/* SPDX-License-Identifier: MIT */
/*
 * record: sessions of the past, as the catalog tells of them.
 */
#ifndef CTL_RECORD_H
#define CTL_RECORD_H

#include <jansson.h>
#include <stdbool.h>

#include "control.h"
#include "ctl/options.h"
#include "ctl/target.h"
#include "still.h"

/* All that is known of one; NULL without memory. */
json_t *ctl_record_json(const struct still_record *record);

/* Its outcome; of one that lives its state: "serving". Borrowed. */
const char *ctl_record_outcome(const struct still_record *record);

/* Did it end so that somebody has to do something about it? That it was not
 * read, or given up by who began it, is no such end. */
bool ctl_record_is_wrong(const struct still_record *record);

/*
 * Open the catalog that the options name, else the one of the target's mount,
 * else that of its line in fstab, else the default one. NOTFOUND when there is
 * none.
 */
int ctl_catalog_open(const struct ctl_options *options,
    const struct ctl_target *target, struct still_catalog **ret,
    struct still_error *err);

/*
 * What the catalog knows of a target, newest first: by its source; if it is
 * only a path, by that as a source or, if there is none, as a mountpoint.
 * `filter` has the other wishes. As still_catalog_list().
 */
int ctl_records_of(struct still_catalog *catalog,
    const struct ctl_target *target, struct still_record_filter filter,
    struct still_record **ret, size_t *ret_n, struct still_error *err);

/*
 * Where a mount has answered without an outcome, because its session is over
 * and another one is shown, or because its daemon has died: what the catalog has
 * on record of that session, and of a truncation for its sake, if there is none
 * as an error. Nothing changes when it cannot be read.
 */
void ctl_record_settle(
    const struct ctl_options *options, struct still_control *answer);

#endif
