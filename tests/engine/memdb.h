/* SPDX-License-Identifier: MIT */
/*
 * memdb: the image of a database, opened in memory by stock SQLite.
 */
#ifndef TESTS_ENGINE_MEMDB_H
#define TESTS_ENGINE_MEMDB_H

#include <sqlite3.h>
#include <stddef.h>

/* Takes over `image`, which is from sqlite3_malloc64(). NULL when it cannot be
 * opened. */
sqlite3 *memdb_open(unsigned char *image, size_t len);

/* The first column of the first row, or the error, as text, which the caller
 * frees. */
char *memdb_ask(sqlite3 *db, const char *sql);

#endif
