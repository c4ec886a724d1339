/* SPDX-License-Identifier: MIT */
/*
 * churn: an application that changes its databases in every way that matters to
 * a pin, for tests.
 *
 *	churn init DIR PAGE_SIZE MIB N AUTO_VACUUM
 *		make N databases (a.db, b.db, c.db) of about that size
 *	churn storm DIR SEED kill|calm AUTOCHECKPOINT ROLE@DB...
 *		be the application until stdin ends; each ROLE is a process that
 *		has the database DB (a, b, c) open. `kill`: every fraction of a
 *		second one of them dies by SIGKILL and is started anew
 *
 * Beside the tables of ledger.h, whose sum is constant, there is a table `bulk`
 * with an index that scatters its writes, and a table `tail` that is appended
 * to. Each role says what it does where it is written. A statement waits up to
 * 5 s for a lock; what took long is counted (churn.h), what failed otherwise
 * ends the load with an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/actor.h"
#include "tests/lib/churn.h"
#include "tests/lib/ledger.h"
#include "tests/lib/storm.h"

#define BUSY_MS 5000
#define NS_PER_MS INT64_C(1000000)
#define ROLES_MAX 32
#define TAIL_ROWS 3000
#define BIG_ROWS 4000
#define REGROW_BYTES (6 << 20)
#define BLOBS 60
#define BLOB_BYTES_MAX 200000

/* One connection, and what its database is like. */
struct self {
	sqlite3 *db;
	uint64_t n_rows; /* of `bulk`, when it is whole */
	uint64_t pad_bytes;
};

static struct churn_counts *counts;
static unsigned autocheckpoint;

/* ---- statements ---------------------------------------------------------- */

static void account_for(int64_t start_ns, bool done)
{
	int64_t took_ns = actor_now_ns() - start_ns;

	if (done)
		atomic_fetch_add(&counts->n_commits, 1);
	else
		atomic_fetch_add(&counts->n_busy, 1);
	if (took_ns > 100 * NS_PER_MS)
		atomic_fetch_add(&counts->n_over_100_ms, 1);
	if (took_ns > 1000 * NS_PER_MS)
		atomic_fetch_add(&counts->n_over_1_s, 1);
}

static bool run(struct self *self, const char *sql)
{
	int64_t start_ns = actor_now_ns();
	bool done = actor_run(self->db, sql);

	account_for(start_ns, done);
	return done;
}

static bool run_format(struct self *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool run_format(struct self *self, const char *format, ...)
{
	char sql[600];
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	return run(self, sql);
}

static uint64_t row(const struct self *self)
{
	return 1 + actor_rnd((uint32_t) self->n_rows);
}

/* ---- writers ------------------------------------------------------------- */

static void transfer(struct self *self)
{
	int64_t start_ns = actor_now_ns();

	ledger_transfer(self->db);
	account_for(start_ns, true);
}

static void blobs(struct self *self)
{
	int64_t start_ns = actor_now_ns();

	ledger_churn(self->db, BLOBS, BLOB_BYTES_MAX);
	account_for(start_ns, true);
}

/* Some rows anywhere. */
static void update(struct self *self)
{
	run_format(self,
	    "UPDATE bulk SET k=random(), pad=randomblob(%llu)"
	    " WHERE id IN (%llu, %llu, %llu, %llu)",
	    (unsigned long long) self->pad_bytes,
	    (unsigned long long) row(self), (unsigned long long) row(self),
	    (unsigned long long) row(self), (unsigned long long) row(self));
}

/* The same few rows all the time. */
static void hot(struct self *self)
{
	run_format(self, "UPDATE bulk SET pad=randomblob(%llu) WHERE id=%u",
	    (unsigned long long) self->pad_bytes, 1 + actor_rnd(40));
}

/* At the end, and the oldest go, sometimes. */
static void append(struct self *self)
{
	run_format(self,
	    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c"
	    " WHERE i<%u) INSERT INTO tail(pad) SELECT randomblob(%llu) FROM c",
	    1 + actor_rnd(30), (unsigned long long) self->pad_bytes);
	if (actor_rnd(50) == 0)
		run_format(self,
		    "DELETE FROM tail WHERE id <="
		    " (SELECT max(id) FROM tail) - %u",
		    actor_rnd(TAIL_ROWS));
}

static void put_back(struct self *self, uint64_t low, uint64_t high)
{
	run_format(self,
	    "WITH RECURSIVE c(i) AS (SELECT %llu UNION ALL SELECT i+1 FROM c"
	    " WHERE i < %llu) INSERT OR REPLACE INTO bulk"
	    " SELECT i, random(), randomblob(%llu) FROM c",
	    (unsigned long long) (low + 1), (unsigned long long) high,
	    (unsigned long long) self->pad_bytes);
}

/* Many rows are taken out, the file is made shorter where it can be, and they
 * are put back. Mostly so many that the pages that go still come into the log,
 * because they do not fit into the cache; sometimes not. */
static void regrow(struct self *self)
{
	uint64_t n = REGROW_BYTES / self->pad_bytes;
	uint64_t low;

	if (n > self->n_rows / 2)
		n = self->n_rows / 2;
	if (actor_rnd(3) == 0)
		n = n / 8 + 1;
	/* Mostly the last ones, which lie at the end when nobody moved them. */
	low = actor_rnd(3) ? self->n_rows - n : row(self) / 2;
	run_format(self, "DELETE FROM bulk WHERE id > %llu AND id <= %llu",
	    (unsigned long long) low, (unsigned long long) (low + n));
	run(self, "PRAGMA incremental_vacuum");
	actor_pause_ms((long) actor_rnd(150));
	put_back(self, low, low + n);
	actor_pause_ms((long) actor_rnd(150));
}

/* The last rows go, a few at a time, so that what is cut off never comes into
 * the log; half of them is put back at once. */
static void shrink(struct self *self)
{
	uint64_t last;

	if (!actor_ask(self->db, "SELECT max(id) FROM bulk", &last))
		return;
	if (last <= self->n_rows / 2)
		put_back(self, last, self->n_rows);
	else
		run_format(self, "DELETE FROM bulk WHERE id > %llu",
		    (unsigned long long) (last - 1 - self->n_rows / 100));
	run(self, "PRAGMA incremental_vacuum");
	actor_pause_ms((long) actor_rnd(100));
}

/* So much that it goes into the log before it is committed; some of it never
 * is. */
static void big(struct self *self)
{
	uint64_t low = row(self);

	if (!run(self, "PRAGMA cache_size=50; BEGIN IMMEDIATE"))
		return;
	if (run_format(self,
		"UPDATE bulk SET pad=randomblob(%llu)"
		" WHERE id >= %llu AND id < %llu",
		(unsigned long long) self->pad_bytes, (unsigned long long) low,
		(unsigned long long) low + BIG_ROWS))
		run(self, actor_rnd(4) ? "COMMIT" : "ROLLBACK");
	actor_pause_ms((long) actor_rnd(300));
}

static void vacuum(struct self *self)
{
	run(self, "VACUUM");
	actor_pause_ms(100 + (long) actor_rnd(500));
}

/* ---- checkpointers ------------------------------------------------------- */

static void checkpoint(struct self *self, int mode)
{
	static const int waits_ms[] = {0, 50, 1000, BUSY_MS};
	int rc;

	sqlite3_busy_timeout(self->db, waits_ms[actor_rnd(4)]);
	rc = sqlite3_wal_checkpoint_v2(self->db, NULL, mode, NULL, NULL);
	sqlite3_busy_timeout(self->db, BUSY_MS);
	atomic_fetch_add(&counts->n_checkpoints, 1);
	if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		atomic_fetch_add(&counts->n_checkpoints_busy, 1);
	else if (rc != SQLITE_OK)
		actor_die(self->db, "checkpoint");
	actor_pause_ms((long) actor_rnd(100));
}

static void passive(struct self *self)
{
	checkpoint(self, SQLITE_CHECKPOINT_PASSIVE);
}

static void full(struct self *self)
{
	checkpoint(self, SQLITE_CHECKPOINT_FULL);
}

static void restart(struct self *self)
{
	checkpoint(self, SQLITE_CHECKPOINT_RESTART);
}

static void truncate_log(struct self *self)
{
	checkpoint(self, SQLITE_CHECKPOINT_TRUNCATE);
}

static void mixed(struct self *self)
{
	checkpoint(self, (int) actor_rnd(4));
}

static void rare(struct self *self)
{
	actor_pause_ms(500 + (long) actor_rnd(2500));
	checkpoint(self, SQLITE_CHECKPOINT_TRUNCATE);
}

/* ---- others -------------------------------------------------------------- */

/* Holds a read mark for 1 to 10 s. */
static void reader(struct self *self)
{
	long left_ms = 1000 + (long) actor_rnd(9000);
	uint64_t n;

	if (!run(self, "BEGIN") ||
	    !actor_ask(self->db, "SELECT count(*) FROM account", &n))
		return;
	for (; left_ms > 0 && storm_goes_on(); left_ms -= 20)
		actor_pause_ms(20);
	run(self, "COMMIT");
}

static const struct part {
	const char *name;
	void (*step)(struct self *self);
	bool opens; /* a connection of its own for each step */
} parts[] = {
    {"transfer", transfer, false},
    {"blobs", blobs, false},
    {"update", update, false},
    {"hot", hot, false},
    {"append", append, false},
    {"regrow", regrow, false},
    {"shrink", shrink, false},
    {"big", big, false},
    {"vacuum", vacuum, false},
    {"passive", passive, false},
    {"full", full, false},
    {"restart", restart, false},
    {"truncate", truncate_log, false},
    {"mixed", mixed, false},
    {"rare", rare, false},
    {"reader", reader, false},
    /* The last to close checkpoints, and removes the log. */
    {"opens", update, true},
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

/* ---- processes ----------------------------------------------------------- */

static void open_self(struct self *self, const char *dir, unsigned database)
{
	char name[8];
	char sql[64];

	snprintf(name, sizeof(name), "%c.db", 'a' + (int) database);
	self->db = actor_open(dir, name, BUSY_MS, "OFF");
	snprintf(
	    sql, sizeof(sql), "PRAGMA wal_autocheckpoint=%u", autocheckpoint);
	while (!actor_run(self->db, sql) ||
	    !actor_ask(self->db, "SELECT n FROM shape", &self->n_rows) ||
	    !actor_ask(self->db, "SELECT pad FROM shape", &self->pad_bytes))
		;
}

static void play(const char *dir, unsigned int arg)
{
	const struct part *part = &parts[arg / CHURN_DATABASES_MAX];
	struct self self;

	open_self(&self, dir, arg % CHURN_DATABASES_MAX);
	while (storm_goes_on()) {
		int64_t start_ns = actor_now_ns();

		part->step(&self);
		if (part->opens) {
			sqlite3_close(self.db);
			open_self(&self, dir, arg % CHURN_DATABASES_MAX);
		}
		actor_breathe(start_ns);
	}
	sqlite3_close(self.db);
}

static void usage(void) __attribute__((noreturn));

static void usage(void)
{
	fprintf(stderr,
	    "usage: churn init DIR PAGE_SIZE MIB N AUTO_VACUUM |\n"
	    "       churn storm DIR SEED kill|calm AUTOCHECKPOINT "
	    "ROLE@DB...\n");
	exit(2);
}

static struct storm_role role_named(const char *word, bool left_alone)
{
	const char *at = strchr(word, '@');
	unsigned database = at ? (unsigned) (at[1] - 'a') : 0;

	if (!at || database >= CHURN_DATABASES_MAX)
		usage();
	for (unsigned i = 0; i < N_PARTS; i++)
		if (strlen(parts[i].name) == (size_t) (at - word) &&
		    strncmp(parts[i].name, word, (size_t) (at - word)) == 0)
			return (struct storm_role){word, play,
			    i * CHURN_DATABASES_MAX + database, left_alone};
	usage();
}

static int storm(int argc, char **argv)
{
	struct storm_role roles[ROLES_MAX];
	bool left_alone = strcmp(argv[4], "calm") == 0;
	size_t n = (size_t) (argc - 6);

	if (n > ROLES_MAX)
		usage();
	actor_seed = strtoull(argv[3], NULL, 0);
	autocheckpoint = (unsigned) strtoul(argv[5], NULL, 10);
	counts = churn_counts_map(argv[2]);
	if (!counts)
		actor_die(NULL, "counts");
	for (size_t i = 0; i < n; i++)
		roles[i] = role_named(argv[6 + i], left_alone);
	return storm_run(argv[2], roles, n);
}

/* Rows of a third of a page, so that pages are shared and split. */
static void init_one(const char *dir, unsigned database, const char *page_size,
    unsigned long mib, const char *auto_vacuum)
{
	unsigned long pad = strtoul(page_size, NULL, 10) / 3;
	char name[8];
	char *sql;
	sqlite3 *db;

	if (pad > 6000)
		pad = 6000;
	snprintf(name, sizeof(name), "%c.db", 'a' + (int) database);
	db = actor_open(dir, name, BUSY_MS, "OFF");
	sql = sqlite3_mprintf("PRAGMA page_size=%s; PRAGMA auto_vacuum=%s",
	    page_size, auto_vacuum);
	if (!actor_run(db, sql))
		actor_die(db, "init");
	sqlite3_free(sql);
	ledger_create(db, page_size, "WAL");
	sql = sqlite3_mprintf(
	    "CREATE TABLE shape(n, pad); INSERT INTO shape VALUES(%lu, %lu);"
	    "CREATE TABLE bulk(id INTEGER PRIMARY KEY, k, pad);"
	    "CREATE INDEX bulk_k ON bulk(k);"
	    "CREATE TABLE tail(id INTEGER PRIMARY KEY AUTOINCREMENT, pad);"
	    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c"
	    " WHERE i < (SELECT n FROM shape)) INSERT INTO bulk"
	    " SELECT i, random(), randomblob(%lu) FROM c",
	    (mib << 20) / (pad + 40), pad, pad);
	if (!actor_run(db, sql))
		actor_die(db, "init");
	sqlite3_free(sql);
	sqlite3_close(db);
}

int main(int argc, char **argv)
{
	if (argc > 6 && strcmp(argv[1], "storm") == 0)
		return storm(argc, argv);
	if (argc != 7 || strcmp(argv[1], "init") != 0)
		usage();
	for (unsigned i = 0; i < (unsigned) atoi(argv[5]); i++)
		init_one(
		    argv[2], i, argv[3], strtoul(argv[4], NULL, 10), argv[6]);
	return EXIT_SUCCESS;
}
