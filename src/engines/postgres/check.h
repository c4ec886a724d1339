/* SPDX-License-Identifier: MIT */
/*
 * check: a cluster that lies in a set, proven to be one that a server can
 * recover.
 *
 *  1. PG_VERSION names a version that we know, and global/pg_control is one of
 *     that version. It is protected (control.h): somebody who put the server's own
 *     in its place, and mended the sums, made a cluster that starts without its
 *     backup_label, and is wrong then.
 *  2. backup_label is whole, and its segment is the one that its LSN lies in.
 *  3. backup_manifest is whole, and has the same range of WAL and the same
 *     cluster as the others. What backup.json says of these is the same, too,
 *     where it says it.
 *  4. pg_wal has each segment from the start to the stop of the backup, and each
 *     record in between is proven (wal_walk.h).
 *  5. Each file that the manifest lists is there, with that size and that CRC-32C,
 *     and each page of those that are relations is right (relation_pages.h).
 *     (The CRC-32C of a pg_control says nothing: it ends with a CRC-32C of its own,
 *     which makes that of the whole the same for all of them. The sums of the set
 *     do.)
 *  6. No other file is there, no link but those of the tablespaces, and each
 *     tablespace has one.
 *
 * What comes first is what the rest depends on: where one of 1 to 4 does not
 * hold, it is told, and the rest is not looked at. Of 5 and 6 the first
 * STILL_PG_CHECK_TOLD are told, in the order of their paths, one for each file.
 * Of a cluster without checksums, and of one that we do not know, it is told that
 * its pages, or all of it, could not be checked.
 *
 * It is made for a process that may do nothing but read (core/sandbox.h): no path
 * is opened with openat2, no thread is made, nothing outside of the set is read.
 *
 * Threads: one. Reads all of the cluster once, in pieces. Takes 2 MiB, what
 * manifest_read.h says of the manifest, and covered.h of the WAL.
 */
#ifndef POSTGRES_CHECK_H
#define POSTGRES_CHECK_H

#include "engines/engine.h"

#define STILL_PG_CHECK_TOLD 10

/* As a still_check_set_fn. */
int still_pg_check_set(
    const struct still_check_request *request, struct still_error *err);

#endif
