/* SPDX-License-Identifier: MIT */
/*
 * check: SQLite's own check of databases that lie in a set.
 *
 * Each is read through a connection that trusts nothing (reader.h) and gets
 * PRAGMA integrity_check: every page of every b-tree, rows in order, indexes
 * that agree with their tables. What stands beside it (a log, a journal) is not
 * looked at: the set's list knows none.
 *
 * A schema that needs what the application brings along (a collation, a
 * function, a virtual table) may keep SQLite from checking.
 *
 * Threads: one. Reads each database once: seconds for each gigabyte.
 */
#ifndef SQLITE_CHECK_H
#define SQLITE_CHECK_H

#include "engines/engine.h"

int sqlite_check_set(
    const struct still_check_request *request, struct still_error *err);

#endif
