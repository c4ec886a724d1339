/* SPDX-License-Identifier: MIT */
#include "tests/lib/actor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t actor_seed;

uint32_t actor_rnd(uint32_t n)
{
	actor_seed = actor_seed * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (uint32_t) (actor_seed >> 33) % n;
}

static void pause_ns(int64_t ns)
{
	struct timespec ts = {ns / 1000000000, ns % 1000000000};

	nanosleep(&ts, NULL);
}

void actor_pause_ms(long ms)
{
	pause_ns(ms * INT64_C(1000000));
}

int64_t actor_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

void actor_breathe(int64_t start_ns)
{
	int64_t took_ns = actor_now_ns() - start_ns;

	pause_ns(took_ns * actor_rnd(4) + actor_rnd(2000) * INT64_C(1000));
}

void actor_die(sqlite3 *db, const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what,
	    db ? sqlite3_errmsg(db) : strerror(errno));
	exit(EXIT_FAILURE);
}

/* Busy is part of the game; anything else is not. */
static bool gave_way(sqlite3 *db, int rc, const char *sql)
{
	if (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		actor_die(db, sql);
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool actor_run(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK || gave_way(db, rc, sql);
}

bool actor_ask(sqlite3 *db, const char *sql, uint64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		*ret = (uint64_t) sqlite3_column_int64(stmt, 0);
	if (rc == SQLITE_OK)
		rc = sqlite3_finalize(stmt);
	return rc == SQLITE_OK || gave_way(db, rc, sql);
}

sqlite3 *actor_open(
    const char *dir, const char *name, int busy_ms, const char *synchronous)
{
	char path[4096];
	char sql[64];
	sqlite3 *db = NULL;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		actor_die(db, path);
	sqlite3_busy_timeout(db, busy_ms);
	snprintf(sql, sizeof(sql), "PRAGMA synchronous=%s", synchronous);
	while (!actor_run(db, sql))
		;
	return db;
}
