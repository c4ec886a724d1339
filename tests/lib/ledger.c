/* SPDX-License-Identifier: MIT */
#include "tests/lib/ledger.h"

#include <stdio.h>

#include "tests/lib/actor.h"
#include "tests/lib/number.h"

void ledger_create(sqlite3 *db, const char *page_size, const char *journal_mode)
{
	char *sql = sqlite3_mprintf(
	    "PRAGMA page_size=%s; PRAGMA journal_mode=%s;"
	    "CREATE TABLE account(id INTEGER PRIMARY KEY,"
	    " balance INTEGER);"
	    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL"
	    " SELECT i+1 FROM c WHERE i<%d)"
	    " INSERT INTO account SELECT i, %d FROM c;"
	    "CREATE TABLE seq(n INTEGER PRIMARY KEY, pad);"
	    "CREATE INDEX seq_pad ON seq(pad);"
	    "CREATE TABLE blob(id INTEGER PRIMARY KEY, data);",
	    page_size, journal_mode, LEDGER_ACCOUNTS, LEDGER_BALANCE);

	if (!actor_run(db, sql))
		actor_die(db, "init");
	sqlite3_free(sql);
}

void ledger_transfer(sqlite3 *db)
{
	char sql[256];
	uint32_t amount = actor_rnd(20);

	snprintf(sql, sizeof(sql),
	    "BEGIN IMMEDIATE;"
	    "UPDATE account SET balance=balance-%u WHERE id=%u;"
	    "UPDATE account SET balance=balance+%u WHERE id=%u;"
	    "COMMIT",
	    amount, 1 + actor_rnd(LEDGER_ACCOUNTS), amount,
	    1 + actor_rnd(LEDGER_ACCOUNTS));
	actor_run(db, sql);
}

void ledger_sequence(sqlite3 *db, int begun_fd, int acked_fd)
{
	char sql[160];
	uint64_t n;

	if (!actor_ask(db, "SELECT coalesce(max(n),0) FROM seq", &n))
		return;
	n++;
	if (!number_publish(begun_fd, n))
		actor_die(NULL, "publish");
	snprintf(sql, sizeof(sql),
	    "INSERT INTO seq VALUES(%llu, hex(randomblob(%u)))",
	    (unsigned long long) n, 4 + actor_rnd(60));
	if (actor_run(db, sql) && !number_publish(acked_fd, n))
		actor_die(NULL, "publish");
}

void ledger_churn(sqlite3 *db, unsigned int blobs, unsigned int bytes_max)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
	    actor_rnd(3)
		? "INSERT OR REPLACE INTO blob VALUES(%u, randomblob(%u))"
		: "DELETE FROM blob WHERE id>=%u AND id<%u",
	    actor_rnd(blobs), actor_rnd(bytes_max));
	actor_run(db, sql);
}

void ledger_checkpoint(sqlite3 *db)
{
	static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE,
	    SQLITE_CHECKPOINT_FULL, SQLITE_CHECKPOINT_RESTART,
	    SQLITE_CHECKPOINT_TRUNCATE};
	int rc = sqlite3_wal_checkpoint_v2(
	    db, NULL, modes[actor_rnd(4)], NULL, NULL);

	if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		actor_die(db, "checkpoint");
}
