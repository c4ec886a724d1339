/* SPDX-License-Identifier: MIT */
#include "tests/lib/load_many.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/actor.h"
#include "tests/lib/ledger.h"
#include "tests/lib/number.h"
#include "tests/lib/storm.h"

/* Small, since each image is checked whole. */
#define BLOBS 60
#define BLOB_BYTES_MAX 30000
#define JOINT_BLOB_BYTES_MAX 8000

#define N_DATABASES 3

static const char *const names[N_DATABASES] = {"a", "b", "c"};
static const char *const files[N_DATABASES] = {"a.db", "b.db", "c.db"};
static const char *const journal_modes[N_DATABASES] = {"WAL", "DELETE", "WAL"};
static const char *synchronous = "FULL";

int load_many_init(const char *dir, const char *page_size)
{
	for (int i = 0; i < N_DATABASES; i++) {
		sqlite3 *db = actor_open(dir, files[i], 10000, "OFF");

		ledger_create(db, page_size, journal_modes[i]);
		if (!actor_run(db,
			"CREATE TABLE step(id INTEGER PRIMARY KEY, n);"
			"INSERT INTO step VALUES(1, 0);"
			"CREATE TABLE joint(n INTEGER PRIMARY KEY, pad);"))
			actor_die(db, "init");
		sqlite3_close(db);
	}
	return EXIT_SUCCESS;
}

static int open_number(const char *dir, const char *name, const char *what)
{
	char file[64];
	int fd;

	snprintf(file, sizeof(file), "%s.%s", name, what);
	fd = number_open(dir, file);
	if (fd < 0)
		actor_die(NULL, file);
	return fd;
}

/* ---- joint writers ------------------------------------------------------- */

struct joint {
	sqlite3 *db;
	const char *schemas[N_DATABASES]; /* "main", or its name */
	int begun;
	int acked;
};

static void attach(struct joint *joint, const char *dir, unsigned int i)
{
	char *sql = sqlite3_mprintf("ATTACH '%q/%q' AS %s;"
				    "PRAGMA %s.synchronous=%s",
	    dir, files[i], names[i], names[i], synchronous);
	char *again = sqlite3_mprintf("DETACH %s", names[i]);

	joint->schemas[i] = names[i];
	/* It may be attached when a lock stops what follows. */
	while (!actor_run(joint->db, sql))
		sqlite3_exec(joint->db, again, NULL, NULL, NULL);
	sqlite3_free(sql);
	sqlite3_free(again);
}

/* Each writer has another main database and another order of the rest, and
 * another patience, so that two who wait for each other do not for ever. */
static void open_joint(struct joint *joint, const char *dir, unsigned int which)
{
	static const unsigned int orders[][N_DATABASES] = {
	    {0, 1, 2}, {2, 1, 0}, {1, 0, 2}};
	const unsigned int *order = orders[which];

	joint->db = actor_open(
	    dir, files[order[0]], 20 + 15 * (int) which, synchronous);
	joint->schemas[order[0]] = "main";
	for (unsigned int i = 1; i < N_DATABASES; i++)
		attach(joint, dir, order[i]);
	joint->begun = open_number(dir, "joint", "begun");
	joint->acked = open_number(dir, "joint", "acked");
}

static char *joint_sql(const struct joint *joint, uint64_t n)
{
	sqlite3_str *sql = sqlite3_str_new(joint->db);
	uint32_t from = actor_rnd(N_DATABASES);
	uint32_t to = (from + 1 + actor_rnd(N_DATABASES - 1)) % N_DATABASES;
	uint32_t amount = 1 + actor_rnd(20);
	bool large = actor_rnd(4) == 0;

	sqlite3_str_appendf(sql,
	    "UPDATE %s.account SET balance=balance-%u WHERE id=%u;"
	    "UPDATE %s.account SET balance=balance+%u WHERE id=%u;",
	    joint->schemas[from], amount, 1 + actor_rnd(LEDGER_ACCOUNTS),
	    joint->schemas[to], amount, 1 + actor_rnd(LEDGER_ACCOUNTS));
	for (int i = 0; i < N_DATABASES; i++) {
		const char *schema = joint->schemas[i];

		sqlite3_str_appendf(sql,
		    "UPDATE %s.step SET n=%llu;"
		    "INSERT INTO %s.joint VALUES(%llu, randomblob(%u));",
		    schema, n, schema, n, 4 + actor_rnd(60));
		if (large)
			sqlite3_str_appendf(sql,
			    "INSERT OR REPLACE INTO %s.blob"
			    " VALUES(%u, randomblob(%u));",
			    schema, actor_rnd(BLOBS),
			    actor_rnd(JOINT_BLOB_BYTES_MAX));
	}
	sqlite3_str_appendall(sql, "COMMIT");
	return sqlite3_str_finish(sql);
}

static void commit_joint(struct joint *joint)
{
	uint64_t n;
	char *sql;

	/* The write locks of all three. */
	if (!actor_run(joint->db, "BEGIN IMMEDIATE") ||
	    !actor_ask(
		joint->db, "SELECT coalesce(max(n),0) FROM main.joint", &n))
		return;
	n++;
	if (!number_publish(joint->begun, n))
		actor_die(NULL, "publish");
	sql = joint_sql(joint, n);
	if (actor_run(joint->db, sql) && !number_publish(joint->acked, n))
		actor_die(NULL, "publish");
	sqlite3_free(sql);
}

static void play_joint(const char *dir, unsigned int which)
{
	struct joint joint;

	open_joint(&joint, dir, which);
	while (storm_goes_on()) {
		int64_t start_ns = actor_now_ns();

		commit_joint(&joint);
		actor_breathe(start_ns);
	}
	sqlite3_close(joint.db);
}

/* ---- all others ---------------------------------------------------------- */

static void play_own(const char *dir, unsigned int i)
{
	sqlite3 *db = actor_open(dir, files[i], 10000, synchronous);
	int begun = open_number(dir, names[i], "begun");
	int acked = open_number(dir, names[i], "acked");

	for (;;) {
		int64_t start_ns = actor_now_ns();

		switch (actor_rnd(4)) {
		case 0:
			ledger_churn(db, BLOBS, BLOB_BYTES_MAX);
			break;
		case 1:
			ledger_transfer(db);
			break;
		default:
			ledger_sequence(db, begun, acked);
		}
		actor_breathe(start_ns);
	}
}

static void play_checkpoint(const char *dir, unsigned int arg)
{
	/* Who waits long would stop everybody behind a pin. */
	sqlite3 *a = actor_open(dir, files[0], 30, synchronous);
	sqlite3 *c = actor_open(dir, files[2], 30, synchronous);

	(void) arg;
	for (;;) {
		ledger_checkpoint(actor_rnd(2) ? a : c);
		actor_pause_ms((long) actor_rnd(60));
	}
}

static void play_vacuum(const char *dir, unsigned int arg)
{
	(void) arg;
	for (;;) {
		sqlite3 *db = actor_open(
		    dir, files[actor_rnd(N_DATABASES)], 10000, synchronous);

		actor_run(db, "VACUUM");
		sqlite3_close(db);
		actor_pause_ms(300 + (long) actor_rnd(900));
	}
}

static const struct storm_role roles[] = {
    {"joint", play_joint, 0, true},
    {"joint", play_joint, 1, true},
    {"joint", play_joint, 2, true},
    {"own", play_own, 0, false},
    {"own", play_own, 1, false},
    {"own", play_own, 2, false},
    {"checkpoint", play_checkpoint, 0, false},
    {"vacuum", play_vacuum, 0, false},
};

int load_many_storm(const char *dir)
{
	if (actor_seed % 2 == 0)
		synchronous = "OFF";
	return storm_run(dir, roles, sizeof(roles) / sizeof(roles[0]));
}
