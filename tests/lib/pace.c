/* SPDX-License-Identifier: MIT */
/*
 * pace: an application that commits small transactions at a steady rate and
 * says how long each took, for benchmarks.
 *
 *	pace DIR RATE     RATE commits a second over all *.db below DIR in turn,
 *	                  0 for as many as go, until stdin ends
 *
 * A line `mark NAME` on stdin ends a window. When all commits that were under
 * way then are done, the window is told, and at the end the sum of all windows
 * of a name:
 *
 *	ready databases=N threads=N
 *	window n=N failed=N rate=N p50=N p99=N max=N
 *		commit_p50=N commit_p99=N commit_max=N name=NAME    (one line)
 *	total ...                                                   (the same)
 *
 * Times are in microseconds. p50, p99 and max count from the moment at which a
 * commit was due, so one that is held off makes those late that queue behind
 * it. commit_* count from its own begin. `failed` were busy for 10 s.
 *
 * All databases stay open: a writer must meet a lock, not the cost of an open.
 * A database belongs to one of a few threads, so no two of ours wait for each
 * other. Whatever holds any database off is met by the next commit that is due
 * there, and from then on by all that are due in that thread.
 */
#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#define THREADS_MAX 4
#define BUSY_MS 10000
#define NS_PER_S INT64_C(1000000000)

struct database {
	sqlite3 *db;
	sqlite3_stmt *commit;
};

struct sample {
	uint32_t due_us;
	uint32_t commit_us;
};

struct window {
	char *name;
	struct sample *samples;
	size_t n;
	size_t room;
	size_t failed;
	int64_t begin_ns;
	int64_t length_ns;
};

struct writer {
	pthread_t thread;
	size_t index;
	/* The mark that it has seen. */
	unsigned mark;
};

static struct database *databases;
static size_t n_databases;
static size_t n_threads;
static double rate;
static int64_t start_ns;

/* Guards all that follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t marked;
static pthread_cond_t seen = PTHREAD_COND_INITIALIZER;
static unsigned mark;
static size_t n_seen;
static bool stop;
static struct window current;

/* Of the main thread alone. */
static struct window *closed;
static size_t n_closed;

static void die(sqlite3 *db, const char *what)
{
	fprintf(stderr, "pace: %s: %s\n", what,
	    db ? sqlite3_errmsg(db) : strerror(errno));
	exit(EXIT_FAILURE);
}

static void *grown(void *array, size_t n, size_t size)
{
	array = realloc(array, n * size);
	if (!array)
		die(NULL, "realloc");
	return array;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void open_database(const char *path)
{
	struct database d = {0};
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

	if (sqlite3_open_v2(path, &d.db, flags, NULL) != SQLITE_OK)
		die(d.db, path);
	sqlite3_busy_timeout(d.db, BUSY_MS);
	if (sqlite3_exec(d.db,
		"PRAGMA synchronous=NORMAL;"
		"CREATE TABLE IF NOT EXISTS pace(id INTEGER PRIMARY KEY, pad)",
		NULL, NULL, NULL) != SQLITE_OK)
		die(d.db, path);
	/* As many rows as stay: the database does not grow for ever. */
	if (sqlite3_prepare_v2(d.db,
		"INSERT OR REPLACE INTO pace"
		" VALUES(abs(random()) % 1000, randomblob(200))",
		-1, &d.commit, NULL) != SQLITE_OK)
		die(d.db, path);
	databases = grown(databases, n_databases + 1, sizeof(*databases));
	databases[n_databases++] = d;
}

static int visit(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *dot = strrchr(path, '.');

	(void) st;
	(void) ftw;
	if (type == FTW_F && dot && strcmp(dot, ".db") == 0)
		open_database(path);
	return 0;
}

/* Three descriptors for each database: the file, its log, its -shm. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die(NULL, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die(NULL, "setrlimit");
}

static bool commit(struct database *d)
{
	int rc;

	sqlite3_step(d->commit);
	rc = sqlite3_reset(d->commit);
	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		die(d->db, "commit");
	return rc == SQLITE_OK;
}

static uint32_t us_between(int64_t from_ns, int64_t to_ns)
{
	int64_t us = (to_ns - from_ns) / 1000;

	return us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t) us;
}

static void record(int64_t due_ns, int64_t begin_ns, bool done)
{
	int64_t end_ns = now_ns();

	if (current.n == current.room) {
		current.room = current.room ? 2 * current.room : 4096;
		current.samples = grown(
		    current.samples, current.room, sizeof(*current.samples));
	}
	current.samples[current.n++] = (struct sample){
	    us_between(due_ns, end_ns), us_between(begin_ns, end_ns)};
	current.failed += !done;
}

/* When the writer's k-th commit is due; they take turns. */
static int64_t due_at(const struct writer *w, uint64_t k)
{
	double turn = (double) (k * n_threads + w->index);

	return rate > 0 ? start_ns + (int64_t) (turn / rate * 1e9) : now_ns();
}

/* Until then, or until somebody marks. Holds the lock. */
static void wait_until(int64_t ns)
{
	struct timespec ts = {ns / NS_PER_S, ns % NS_PER_S};

	pthread_cond_timedwait(&marked, &lock, &ts);
}

static void *write_on(void *arg)
{
	struct writer *w = arg;
	size_t i = w->index;
	uint64_t k = 0;

	/* A timer may be late by its slack; 50 us would be seen. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	pthread_mutex_lock(&lock);
	while (!stop) {
		int64_t due_ns = due_at(w, k);
		int64_t begin_ns = now_ns();
		bool done;

		if (w->mark != mark) {
			w->mark = mark;
			n_seen++;
			pthread_cond_signal(&seen);
		}
		if (begin_ns < due_ns) {
			wait_until(due_ns);
			continue;
		}
		pthread_mutex_unlock(&lock);
		done = commit(&databases[i]);
		pthread_mutex_lock(&lock);
		record(due_ns, begin_ns, done);
		k++;
		i = i + n_threads < n_databases ? i + n_threads : w->index;
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int by_due(const void *a, const void *b)
{
	const struct sample *x = a;
	const struct sample *y = b;

	return (x->due_us > y->due_us) - (x->due_us < y->due_us);
}

static int by_commit(const void *a, const void *b)
{
	const struct sample *x = a;
	const struct sample *y = b;

	return (x->commit_us > y->commit_us) - (x->commit_us < y->commit_us);
}

static struct sample at(const struct window *w, unsigned percent)
{
	struct sample none = {0, 0};

	return w->n ? w->samples[(w->n - 1) * percent / 100] : none;
}

static void tell(const char *what, struct window *w)
{
	double s = (double) w->length_ns / 1e9;

	printf("%s n=%zu failed=%zu rate=%.1f", what, w->n, w->failed,
	    s > 0 ? (double) w->n / s : 0);
	if (w->n)
		qsort(w->samples, w->n, sizeof(*w->samples), by_due);
	printf(" p50=%u p99=%u max=%u", at(w, 50).due_us, at(w, 99).due_us,
	    at(w, 100).due_us);
	if (w->n)
		qsort(w->samples, w->n, sizeof(*w->samples), by_commit);
	printf(" commit_p50=%u commit_p99=%u commit_max=%u name=%s\n",
	    at(w, 50).commit_us, at(w, 99).commit_us, at(w, 100).commit_us,
	    w->name);
	fflush(stdout);
}

/* Waits for the commits that are under way: they belong to this window. */
static void close_window(const char *name)
{
	struct window w;

	pthread_mutex_lock(&lock);
	mark++;
	n_seen = 0;
	pthread_cond_broadcast(&marked);
	while (n_seen < n_threads)
		pthread_cond_wait(&seen, &lock);
	w = current;
	w.length_ns = now_ns() - w.begin_ns;
	current = (struct window){.begin_ns = w.begin_ns + w.length_ns};
	pthread_mutex_unlock(&lock);
	w.name = strdup(name);
	if (!w.name)
		die(NULL, "strdup");
	tell("window", &w);
	closed = grown(closed, n_closed + 1, sizeof(*closed));
	closed[n_closed++] = w;
}

/* Adds the windows of the same name that follow, and takes them away. */
static void gather(struct window *w)
{
	for (struct window *v = w + 1; v < closed + n_closed; v++) {
		if (!v->name || strcmp(v->name, w->name) != 0)
			continue;
		w->samples = grown(
		    w->samples, w->n + v->n + 1, sizeof(*w->samples));
		if (v->n)
			memcpy(w->samples + w->n, v->samples,
			    v->n * sizeof(*v->samples));
		w->n += v->n;
		w->failed += v->failed;
		w->length_ns += v->length_ns;
		free(v->name);
		v->name = NULL;
	}
}

static void tell_totals(void)
{
	for (size_t i = 0; i < n_closed; i++) {
		if (!closed[i].name)
			continue;
		gather(&closed[i]);
		tell("total", &closed[i]);
	}
}

static void start_writers(struct writer *writers)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&marked, &attr);
	n_threads = n_databases < THREADS_MAX ? n_databases : THREADS_MAX;
	start_ns = now_ns();
	current.begin_ns = start_ns;
	for (size_t i = 0; i < n_threads; i++) {
		writers[i].index = i;
		errno = pthread_create(
		    &writers[i].thread, NULL, write_on, &writers[i]);
		if (errno)
			die(NULL, "pthread_create");
	}
}

static void stop_writers(struct writer *writers)
{
	pthread_mutex_lock(&lock);
	stop = true;
	pthread_cond_broadcast(&marked);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < n_threads; i++)
		pthread_join(writers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	struct writer writers[THREADS_MAX] = {0};
	char line[256];

	if (argc != 3 || (rate = atof(argv[2])) < 0) {
		fprintf(stderr, "usage: pace DIR RATE\n");
		return 2;
	}
	/* A counter that all threads share would be what is measured. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	raise_limit();
	if (nftw(argv[1], visit, 16, FTW_PHYS) < 0)
		die(NULL, argv[1]);
	if (n_databases == 0) {
		fprintf(stderr, "pace: %s: no *.db below\n", argv[1]);
		return EXIT_FAILURE;
	}
	start_writers(writers);
	printf("ready databases=%zu threads=%zu\n", n_databases, n_threads);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "mark ", 5) == 0)
			close_window(line + 5);
	}
	stop_writers(writers);
	tell_totals();
	for (size_t i = 0; i < n_databases; i++) {
		sqlite3_finalize(databases[i].commit);
		sqlite3_close(databases[i].db);
	}
	return EXIT_SUCCESS;
}
