/* SPDX-License-Identifier: MIT */
/*
 * prospect: whether a capture can be had as it was asked for, before the server
 * begins a backup for it, which is a checkpoint.
 *
 *  1. Files that were to be cloned only can be: those of each file system that
 *     the data directory, its tablespaces and its WAL lie on.
 *  2. There is room for what will be copied: for files that are not cloned, and
 *     two segments of the WAL, where that is not (the start and the stop lie in
 *     two, mostly; how many there will be, nobody knows yet).
 *  3. There is room for what a file system writes down of a clone, beside the
 *     blocks that are shared.
 *
 * What comes after may be otherwise, since nothing is reserved. The label, the
 * manifest and pg_control take no room: they are made in memory.
 */
#ifndef POSTGRES_PROSPECT_H
#define POSTGRES_PROSPECT_H

#include "engines/postgres/capture.h"

/*
 * `capture` is as for the capture, but for its walk, which is made here and
 * tells of nothing that it meets. Fails as still_pg_walk_run() and
 * still_pg_capture_run() do. Reads directories; blocks on the disk.
 */
int still_pg_prospect(const struct still_pg_walk_request *walk,
    const struct still_pg_capture_request *capture, uint32_t wal_segment_bytes,
    struct still_error *err);

#endif
