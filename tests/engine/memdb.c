/* SPDX-License-Identifier: MIT */
#include "tests/engine/memdb.h"

#include <string.h>

sqlite3 *memdb_open(unsigned char *image, size_t len)
{
	sqlite3 *db = NULL;

	/* A database in memory has no log. */
	image[18] = image[19] = 1;
	if (sqlite3_open(":memory:", &db) == SQLITE_OK &&
	    sqlite3_deserialize(db, "main", image, (sqlite3_int64) len,
		(sqlite3_int64) len,
		SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY) ==
		SQLITE_OK)
		return db;
	sqlite3_close(db);
	return NULL;
}

char *memdb_ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	const unsigned char *text = NULL;
	char *answer;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return strdup(sqlite3_errmsg(db));
	if (sqlite3_step(stmt) == SQLITE_ROW)
		text = sqlite3_column_text(stmt, 0);
	answer = strdup(text ? (const char *) text : sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	return answer;
}
