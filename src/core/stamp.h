/* SPDX-License-Identifier: MIT */
/* stamp: what the catalog knows of files. Its functions are in core/catalog.h,
 * but for this one, which the catalog needs itself. */
#ifndef STILL_CORE_STAMP_H
#define STILL_CORE_STAMP_H

#include "core/catalog.h"

/* Delete the rows of files that nobody will ask for: only those of a session
 * that is not over, of the last good one and of the last committed one are ever
 * read, and of these no incremental one. In a transaction. */
int still_stamp_forget(struct still_catalog *catalog, int64_t instance_id,
    struct still_error *err);

#endif
