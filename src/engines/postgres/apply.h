/* SPDX-License-Identifier: MIT */
/*
 * apply: one link of a chain (link.h) brought into a cluster that is being
 * restored: its segments go into data/pg_wal, where the server finds them when it
 * starts, and recovers to the end of the last one. No page is written here.
 *
 *  1. The cluster has the system identifier, the sizes and the version that the
 *     link says, and its backup_label, of the same timeline: nothing has started
 *     it.
 *  2. Its WAL has every segment from the label's start to the link's, and none
 *     behind that: the link is the next one.
 *  3. The last record before the link is the one that the link's first record
 *     names; the WAL from there to the link's stop is proven (wal_walk.h), as it
 *     lies in the cluster.
 *
 * Each segment gets a .done in pg_wal/archive_status: what the source archives,
 * the copy does not archive again.
 */
#ifndef POSTGRES_APPLY_H
#define POSTGRES_APPLY_H

#include "engines/engine.h"

/* As a still_apply_fn. */
int still_pg_apply(
    const struct still_apply_request *request, struct still_error *err);

#endif
