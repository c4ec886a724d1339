/* SPDX-License-Identifier: MIT */
/*
 * load: an application that keeps its databases busy, for tests.
 *
 *	load init DIR PAGE_SIZE     make DIR/app.db
 *	load storm DIR SEED         be the application until stdin ends: four
 *	                            writers, a checkpointer, a vacuumer, each a
 *	                            process, one of which dies by SIGKILL every
 *	                            fraction of a second and is started anew
 *	load one DIR ROLE SEED      one such process, until SIGTERM
 *
 * What a snapshot must hold, whenever it is taken:
 *	- transfers move money between accounts: the sum is constant;
 *	- the sequence 1, 2, 3 ... has no gap, and holds every number that was
 *	  acknowledged (DIR/acked) before the freeze, none that was begun
 *	  (DIR/begun) after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ACCOUNTS 100
#define BALANCE 1000
#define BLOBS 200
#define BLOB_BYTES_MAX 60000

static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) +
	    UINT64_C(1442695040888963407);
	return (uint32_t) (seed >> 33) % n;
}

static void pause_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static void die(sqlite3 *db, const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what,
	    db ? sqlite3_errmsg(db) : strerror(errno));
	exit(EXIT_FAILURE);
}

/* Busy is part of the game; anything else is not. */
static bool run(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		return true;
	if (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		die(db, sql);
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

static sqlite3 *open_db(const char *dir, int busy_ms)
{
	char path[4096];
	sqlite3 *db = NULL;

	snprintf(path, sizeof(path), "%s/app.db", dir);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		die(db, path);
	sqlite3_busy_timeout(db, busy_ms);
	/* A killed process loses nothing that the kernel already has. */
	while (!run(db, "PRAGMA synchronous=OFF"))
		;
	return db;
}

static int init(const char *dir, const char *page_size)
{
	char *sql;
	sqlite3 *db = open_db(dir, 10000);

	sql = sqlite3_mprintf(
	    "PRAGMA page_size=%d; PRAGMA journal_mode=WAL;"
	    "CREATE TABLE account(id INTEGER PRIMARY KEY,"
	    " balance INTEGER);"
	    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL"
	    " SELECT i+1 FROM c WHERE i<%d)"
	    " INSERT INTO account SELECT i, %d FROM c;"
	    "CREATE TABLE seq(n INTEGER PRIMARY KEY, pad);"
	    "CREATE INDEX seq_pad ON seq(pad);"
	    "CREATE TABLE blob(id INTEGER PRIMARY KEY, data);",
	    atoi(page_size), ACCOUNTS, BALANCE);
	if (!run(db, sql))
		die(db, "init");
	sqlite3_free(sql);
	sqlite3_close(db);
	return EXIT_SUCCESS;
}

static void transfer(sqlite3 *db)
{
	char sql[256];
	uint32_t amount = rnd(20);

	snprintf(sql, sizeof(sql),
	    "BEGIN IMMEDIATE;"
	    "UPDATE account SET balance=balance-%u WHERE id=%u;"
	    "UPDATE account SET balance=balance+%u WHERE id=%u;"
	    "COMMIT",
	    amount, 1 + rnd(ACCOUNTS), amount, 1 + rnd(ACCOUNTS));
	run(db, sql);
}

static void publish(int fd, uint64_t n)
{
	char text[24];
	int len = snprintf(
	    text, sizeof(text), "%020llu\n", (unsigned long long) n);

	if (pwrite(fd, text, (size_t) len, 0) != len)
		die(NULL, "publish");
}

static int open_in(const char *dir, const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		die(NULL, path);
	return fd;
}

static uint64_t last_number(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	uint64_t n = 0;

	if (sqlite3_prepare_v2(db, "SELECT coalesce(max(n),0) FROM seq", -1,
		&stmt, NULL) != SQLITE_OK)
		return 0;
	if (sqlite3_step(stmt) == SQLITE_ROW)
		n = (uint64_t) sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

static void sequence(sqlite3 *db, const char *dir)
{
	static int begun = -1;
	static int acked = -1;
	char sql[160];
	uint64_t n;

	if (begun < 0) {
		begun = open_in(dir, "begun");
		acked = open_in(dir, "acked");
	}
	n = last_number(db) + 1;
	if (n == 1 && sqlite3_errcode(db) == SQLITE_BUSY)
		return;
	publish(begun, n);
	snprintf(sql, sizeof(sql),
	    "INSERT INTO seq VALUES(%llu, hex(randomblob(%u)))",
	    (unsigned long long) n, 4 + rnd(60));
	if (run(db, sql))
		publish(acked, n);
}

static void churn(sqlite3 *db)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
	    rnd(3) ? "INSERT OR REPLACE INTO blob VALUES(%u, randomblob(%u))"
		   : "DELETE FROM blob WHERE id>=%u AND id<%u",
	    rnd(BLOBS), rnd(BLOB_BYTES_MAX));
	run(db, sql);
	pause_ms((long) rnd(10));
}

static void checkpoint(sqlite3 *db)
{
	static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE,
	    SQLITE_CHECKPOINT_FULL, SQLITE_CHECKPOINT_RESTART,
	    SQLITE_CHECKPOINT_TRUNCATE};
	int rc = sqlite3_wal_checkpoint_v2(db, NULL, modes[rnd(4)], NULL, NULL);

	if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		die(db, "checkpoint");
	pause_ms((long) rnd(60));
}

static void vacuum(sqlite3 *db)
{
	run(db, "VACUUM");
	pause_ms(200 + (long) rnd(600));
}

static int one(const char *dir, const char *role)
{
	bool checkpoints = strcmp(role, "checkpoint") == 0;
	/* A checkpointer that waits long would stop everybody behind a pin. */
	sqlite3 *db = open_db(dir, checkpoints ? 30 : 10000);

	for (;;) {
		if (strcmp(role, "transfer") == 0)
			transfer(db);
		else if (strcmp(role, "sequence") == 0)
			sequence(db, dir);
		else if (strcmp(role, "churn") == 0)
			churn(db);
		else if (checkpoints)
			checkpoint(db);
		else if (strcmp(role, "vacuum") == 0)
			vacuum(db);
		else
			return 2;
	}
}

static const char *const roles[] = {
    "transfer", "transfer", "sequence", "churn", "checkpoint", "vacuum"};
#define N_ROLES (sizeof(roles) / sizeof(roles[0]))

static pid_t start(const char *dir, size_t i)
{
	uint64_t own = seed + rnd(1u << 30);
	pid_t pid = fork();

	if (pid < 0)
		die(NULL, "fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed = own;
	exit(one(dir, roles[i]));
}

static int storm(const char *dir)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	pid_t pids[N_ROLES];
	unsigned kills = 0;

	for (size_t i = 0; i < N_ROLES; i++)
		pids[i] = start(dir, i);
	while (poll(&in, 1, 50 + (int) rnd(400)) == 0) {
		size_t i = rnd(N_ROLES);
		int status;

		kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
		/* Who ended by himself met an error, and said so. */
		if (!WIFSIGNALED(status))
			return EXIT_FAILURE;
		kills++;
		pids[i] = start(dir, i);
	}
	for (size_t i = 0; i < N_ROLES; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	printf("load: %u processes killed\n", kills);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "init") == 0)
		return init(argv[2], argv[3]);
	if (argc == 4 && strcmp(argv[1], "storm") == 0) {
		seed = strtoull(argv[3], NULL, 10);
		return storm(argv[2]);
	}
	if (argc == 5 && strcmp(argv[1], "one") == 0) {
		seed = strtoull(argv[4], NULL, 10);
		return one(argv[2], argv[3]);
	}
	fprintf(stderr,
	    "usage: load init DIR PAGE_SIZE | storm DIR SEED | "
	    "one DIR ROLE SEED\n");
	return 2;
}
