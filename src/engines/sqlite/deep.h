/* SPDX-License-Identifier: MIT */
/*
 * deep: SQLite's own check of an image's structure.
 *
 * A page's role is not in the page, so only SQLite, from the schema down, can
 * tell whether the pages fit together. It is given the image itself (reader.h):
 * what is checked is what is served, to the byte, log frames and all, and no lock
 * of the live database is touched.
 *
 *	structure   PRAGMA quick_check: every page of every b-tree, rows in order
 *	integrity   PRAGMA integrity_check: also that indexes and tables agree
 *
 * A schema that needs what the application brings along (a collation, a
 * function, a virtual table) may keep SQLite from checking. That is told as a
 * warning, and the image's depth stays what it was.
 *
 * Threads: one. Reads the whole image: seconds for each gigabyte.
 */
#ifndef SQLITE_DEEP_H
#define SQLITE_DEEP_H

#include "engines/sqlite/image.h"

/* Check, and set the image's depth, or its damage. Fails with CANCELLED, NOMEM,
 * LOST, IO. */
int sqlite_deep_check(struct sqlite_image *image, enum sqlite_depth depth,
    const atomic_bool *cancel, struct still_error *err);

#endif
