/* SPDX-License-Identifier: MIT */
/*
 * ledger: the tables of one database under load, and what one writer does with
 * them.
 *
 * What a snapshot must hold, whenever it is taken:
 *	- transfers move money between accounts: the sum is constant;
 *	- the sequence 1, 2, 3 ... has no gap, and holds every number that was
 *	  acknowledged before the freeze, none that was begun after it.
 */
#ifndef TESTS_LIB_LEDGER_H
#define TESTS_LIB_LEDGER_H

#include <sqlite3.h>

#define LEDGER_ACCOUNTS 100
#define LEDGER_BALANCE 1000

/* In a new database. `journal_mode` as in the pragma of that name. */
void ledger_create(
    sqlite3 *db, const char *page_size, const char *journal_mode);

/* Each of these is one transaction, or nothing where a lock is held. */
void ledger_transfer(sqlite3 *db);
void ledger_sequence(sqlite3 *db, int begun_fd, int acked_fd);
void ledger_churn(sqlite3 *db, unsigned int blobs, unsigned int bytes_max);
void ledger_checkpoint(sqlite3 *db); /* in any mode */

#endif
