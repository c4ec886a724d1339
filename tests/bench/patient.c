/* SPDX-License-Identifier: MIT */
/*
 * patient: an application that writes to one database all the time, and tells
 * of each time that it was held up.
 *
 *	patient DB RATE auto|truncate
 *
 *	auto       checkpoints come from SQLite itself: PASSIVE, when a commit
 *	           leaves 1000 pages in the log
 *	truncate   a second connection calls wal_checkpoint(TRUNCATE) each
 *	           second, with a busy timeout of 5 s; nothing else checkpoints
 *
 * RATE commits a second, each an UPDATE of a row anywhere in the table `big`
 * and one of a row of the table `t`, which is small. The writer's busy timeout
 * is 10 s, longer than any checkpoint waits.
 *
 * It says `ready`, and counts from the first line on stdin to the second. What
 * takes more than 50 ms is told, and each checkpoint, with the wall clock's
 * seconds at which it began:
 *
 *	slow at=S ms=N
 *	checkpoint at=S ms=N rc=ok|busy
 *
 * and at the end, in ms, from the begin of a commit, and from when it was due:
 *
 *	commits n=N failed=N rate=N p50=N p99=N p999=N max=N due_p99=N due_max=N
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define SLOW_NS (50 * NS_PER_MS)
#define WRITER_BUSY_MS 10000
#define CHECKPOINT_BUSY_MS 5000

/* Only the writer touches them while it runs. */
static int64_t *took_ns;
static int64_t *late_ns;
static size_t n_commits;
static size_t room;
static size_t n_failed;

static const char *file;
static double rate;
static atomic_bool counting;
static atomic_bool stop;

static void die(sqlite3 *db, const char *what)
{
	fprintf(stderr, "patient: %s: %s\n", what,
	    db ? sqlite3_errmsg(db) : strerror(errno));
	exit(EXIT_FAILURE);
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void sleep_until(int64_t ns)
{
	struct timespec ts = {ns / NS_PER_S, ns % NS_PER_S};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static double ms(int64_t ns)
{
	return (double) ns / (double) NS_PER_MS;
}

/* When what took so long, and ends now, began. */
static double began_at(int64_t took)
{
	return (double) (clock_ns(CLOCK_REALTIME) - took) / (double) NS_PER_S;
}

static sqlite3 *open_database(int busy_ms, bool checkpoints)
{
	sqlite3 *db;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

	if (sqlite3_open_v2(file, &db, flags, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL) !=
		SQLITE_OK)
		die(db, file);
	sqlite3_busy_timeout(db, busy_ms);
	if (!checkpoints)
		sqlite3_wal_autocheckpoint(db, 0);
	return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		die(db, sql);
	return stmt;
}

static int64_t ask_number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = prepare(db, sql);
	int64_t n;

	if (sqlite3_step(stmt) != SQLITE_ROW)
		die(db, sql);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

/* ---- the writer ------------------------------------------------------------ */

struct commit {
	sqlite3 *db;
	sqlite3_stmt *steps[4];
};

static void prepare_commit(struct commit *c, sqlite3 *db)
{
	char sql[256];
	int64_t n_rows = ask_number(db, "SELECT max(rowid) FROM big");

	c->db = db;
	c->steps[0] = prepare(db, "BEGIN IMMEDIATE");
	snprintf(sql, sizeof(sql),
	    "UPDATE big SET b = randomblob(900)"
	    " WHERE rowid = 1 + abs(random()) %% %lld",
	    (long long) n_rows);
	c->steps[1] = prepare(db, sql);
	c->steps[2] = prepare(db,
	    "UPDATE t SET b = randomblob(900)"
	    " WHERE a = 1 + abs(random()) % 100");
	c->steps[3] = prepare(db, "COMMIT");
}

static bool commit(struct commit *c)
{
	for (size_t i = 0; i < 4; i++) {
		int rc;

		sqlite3_step(c->steps[i]);
		rc = sqlite3_reset(c->steps[i]);
		if (rc == SQLITE_BUSY && i == 0)
			return false;
		if (rc != SQLITE_OK)
			die(c->db, "commit");
	}
	return true;
}

static void record(int64_t due, int64_t begun, bool done)
{
	int64_t now = now_ns();

	if (n_commits == room) {
		room = room ? 2 * room : 65536;
		took_ns = realloc(took_ns, room * sizeof(*took_ns));
		late_ns = realloc(late_ns, room * sizeof(*late_ns));
		if (!took_ns || !late_ns)
			die(NULL, "realloc");
	}
	took_ns[n_commits] = now - begun;
	late_ns[n_commits++] = now - due;
	n_failed += !done;
	if (now - begun > SLOW_NS)
		printf("slow at=%.3f ms=%.1f\n", began_at(now - begun),
		    ms(now - begun));
}

static void *write_on(void *arg)
{
	struct commit c;
	int64_t start;
	uint64_t k = 0;

	prctl(PR_SET_TIMERSLACK, 1UL);
	prepare_commit(&c, arg);
	start = now_ns();
	while (!stop) {
		bool counts = counting;
		int64_t due = start + (int64_t) ((double) k++ / rate * 1e9);
		int64_t begun;
		bool done;

		sleep_until(due);
		begun = now_ns();
		done = commit(&c);
		if (counts)
			record(due, begun, done);
	}
	for (size_t i = 0; i < 4; i++)
		sqlite3_finalize(c.steps[i]);
	return NULL;
}

/* ---- the checkpointer ------------------------------------------------------ */

static void checkpoint(sqlite3 *db)
{
	int64_t begun = now_ns();
	int64_t took;
	int rc = sqlite3_wal_checkpoint_v2(
	    db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	took = now_ns() - begun;
	if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		die(db, "checkpoint");
	if (counting)
		printf("checkpoint at=%.3f ms=%.1f rc=%s\n", began_at(took),
		    ms(took), rc == SQLITE_OK ? "ok" : "busy");
}

static void *checkpoint_on(void *arg)
{
	int64_t start = now_ns();

	prctl(PR_SET_TIMERSLACK, 1UL);
	while (!stop) {
		int64_t passed_s = (now_ns() - start) / NS_PER_S;

		sleep_until(start + (passed_s + 1) * NS_PER_S);
		if (!stop)
			checkpoint(arg);
	}
	return NULL;
}

/* ---- what it says ---------------------------------------------------------- */

static int by_length(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a;
	int64_t y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

static double at(const int64_t *sorted, size_t per_mille)
{
	return n_commits ? ms(sorted[(n_commits - 1) * per_mille / 1000]) : 0;
}

static void tell(int64_t length)
{
	double s = (double) length / (double) NS_PER_S;

	qsort(took_ns, n_commits, sizeof(*took_ns), by_length);
	qsort(late_ns, n_commits, sizeof(*late_ns), by_length);
	printf("commits n=%zu failed=%zu rate=%.1f p50=%.3f p99=%.3f p999=%.3f"
	       " max=%.1f due_p99=%.3f due_max=%.1f\n",
	    n_commits, n_failed, (double) n_commits / s, at(took_ns, 500),
	    at(took_ns, 990), at(took_ns, 999), at(took_ns, 1000),
	    at(late_ns, 990), at(late_ns, 1000));
}

static void start_thread(pthread_t *ret, void *(*run)(void *), sqlite3 *db)
{
	errno = pthread_create(ret, NULL, run, db);
	if (errno)
		die(NULL, "pthread_create");
}

/* From the first line on stdin to the second. Returns how long that was. */
static int64_t count(void)
{
	char line[64];
	int64_t start;

	if (!fgets(line, sizeof(line), stdin))
		return 0;
	start = now_ns();
	counting = true;
	if (!fgets(line, sizeof(line), stdin))
		fprintf(stderr, "patient: stdin ended\n");
	counting = false;
	return now_ns() - start;
}

int main(int argc, char **argv)
{
	sqlite3 *db[2] = {NULL, NULL};
	pthread_t threads[2];
	bool truncates = argc == 4 && strcmp(argv[3], "truncate") == 0;
	int64_t length;

	if (argc != 4 || (rate = atof(argv[2])) <= 0 ||
	    (!truncates && strcmp(argv[3], "auto") != 0)) {
		fprintf(stderr, "usage: patient DB RATE auto|truncate\n");
		return 2;
	}
	file = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* A counter that all threads share would be what is measured. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	db[0] = open_database(WRITER_BUSY_MS, !truncates);
	start_thread(&threads[0], write_on, db[0]);
	if (truncates) {
		db[1] = open_database(CHECKPOINT_BUSY_MS, false);
		start_thread(&threads[1], checkpoint_on, db[1]);
	}
	puts("ready");
	length = count();
	stop = true;
	for (size_t i = 0; i < 2 && db[i]; i++)
		pthread_join(threads[i], NULL);
	tell(length);
	for (size_t i = 0; i < 2 && db[i]; i++)
		sqlite3_close(db[i]);
	return EXIT_SUCCESS;
}
