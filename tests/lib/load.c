/* SPDX-License-Identifier: MIT */
/*
 * load: an application that keeps its databases busy, for tests.
 *
 *	load init DIR PAGE_SIZE     make DIR/app.db
 *	load storm DIR SEED         be the application until stdin ends: four
 *	                            writers, a checkpointer, a vacuumer, each a
 *	                            process, one of which dies by SIGKILL every
 *	                            fraction of a second and is started anew
 *	load init-many DIR PAGE_SIZE, load storm-many DIR SEED
 *	                            the same with three databases (load_many.h)
 *
 * What a snapshot must hold says ledger.h; the sequence's numbers are published
 * in DIR/acked and DIR/begun.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/actor.h"
#include "tests/lib/ledger.h"
#include "tests/lib/load_many.h"
#include "tests/lib/number.h"
#include "tests/lib/storm.h"

#define BLOBS 200
#define BLOB_BYTES_MAX 60000

static sqlite3 *open_db(const char *dir, int busy_ms)
{
	/* A killed process loses nothing that the kernel already has. */
	return actor_open(dir, "app.db", busy_ms, "OFF");
}

static int init(const char *dir, const char *page_size)
{
	sqlite3 *db = open_db(dir, 10000);

	ledger_create(db, page_size, "WAL");
	sqlite3_close(db);
	return EXIT_SUCCESS;
}

static void transfer(const char *dir, unsigned int arg)
{
	sqlite3 *db = open_db(dir, 10000);

	(void) arg;
	for (;;)
		ledger_transfer(db);
}

static void sequence(const char *dir, unsigned int arg)
{
	sqlite3 *db = open_db(dir, 10000);
	int begun = number_open(dir, "begun");
	int acked = number_open(dir, "acked");

	(void) arg;
	if (begun < 0 || acked < 0)
		actor_die(NULL, "sequence");
	for (;;)
		ledger_sequence(db, begun, acked);
}

static void churn(const char *dir, unsigned int arg)
{
	sqlite3 *db = open_db(dir, 10000);

	(void) arg;
	for (;;) {
		ledger_churn(db, BLOBS, BLOB_BYTES_MAX);
		actor_pause_ms((long) actor_rnd(10));
	}
}

static void checkpoint(const char *dir, unsigned int arg)
{
	/* One that waits long would stop everybody behind a pin. */
	sqlite3 *db = open_db(dir, 30);

	(void) arg;
	for (;;) {
		ledger_checkpoint(db);
		actor_pause_ms((long) actor_rnd(60));
	}
}

static void vacuum(const char *dir, unsigned int arg)
{
	sqlite3 *db = open_db(dir, 10000);

	(void) arg;
	for (;;) {
		actor_run(db, "VACUUM");
		actor_pause_ms(200 + (long) actor_rnd(600));
	}
}

static const struct storm_role roles[] = {
    {"transfer", transfer, 0, false},
    {"transfer", transfer, 1, false},
    {"sequence", sequence, 0, false},
    {"churn", churn, 0, false},
    {"checkpoint", checkpoint, 0, false},
    {"vacuum", vacuum, 0, false},
};

int main(int argc, char **argv)
{
	const char *verb = argc == 4 ? argv[1] : "";

	if (strcmp(verb, "init") == 0)
		return init(argv[2], argv[3]);
	if (strcmp(verb, "init-many") == 0)
		return load_many_init(argv[2], argv[3]);
	if (argc == 4)
		actor_seed = strtoull(argv[3], NULL, 10);
	if (strcmp(verb, "storm") == 0)
		return storm_run(
		    argv[2], roles, sizeof(roles) / sizeof(roles[0]));
	if (strcmp(verb, "storm-many") == 0)
		return load_many_storm(argv[2]);
	fprintf(stderr,
	    "usage: load init|init-many DIR PAGE_SIZE | "
	    "storm|storm-many DIR SEED\n");
	return 2;
}
