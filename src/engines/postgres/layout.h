/* SPDX-License-Identifier: MIT */
/*
 * layout: where the files of a cluster lie in backup/, and what they are called
 * elsewhere.
 *
 *	backup/                        backup_manifest, and the server
 *	data/base/5/1259               base/5/1259
 *	tablespaces/16400/PG_15_.../5  pg_tblspc/16400/PG_15_.../5
 *	data/pg_tblspc/16400           a link, ../../tablespaces/16400
 *
 * backup_manifest lists neither itself nor what is in pg_wal.
 *
 * Pure functions; any thread.
 */
#ifndef POSTGRES_LAYOUT_H
#define POSTGRES_LAYOUT_H

#include <limits.h>
#include <stdbool.h>

#include "engines/postgres/exclude.h"

#define STILL_PG_DATA "data/"
#define STILL_PG_SPACES "tablespaces/"
#define STILL_PG_LINKS "pg_tblspc/"              /* in data/ */
#define STILL_PG_LINK_BEGIN "../../tablespaces/" /* then the OID */

/* What the manifest calls the file that lies at `path` in backup/: below `path`,
 * or in `out`. NULL: it does not list it. */
const char *still_pg_to_manifest(const char *path, char out[PATH_MAX]);

/* And where in backup/ a file lies that the manifest calls `name`, which is
 * plain. False: nowhere, it is too long. */
bool still_pg_from_manifest(const char *name, char out[PATH_MAX]);

/* What messages call a file: as its server's users know it, where it lies in the
 * data directory. Borrowed from its path in backup/. */
const char *still_pg_known_as(const char *path);

/* Below which top `path` in backup/ lies, and what is left of it: for
 * still_pg_exclude(). NULL: below none. */
const char *still_pg_below_top(const char *path, enum still_pg_top *ret_top);

#endif
