/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/churner.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "tests/engine/memdb.h"
#include "tests/engine/moment.h"
#include "tests/unit/scratch.h"

#define COMMITS_AT_START 5
#define START_LIMIT_NS (30 * STILL_NS_PER_S)
#define ARGS_MAX (CHURNER_ROLES_MAX + 8)

extern char **environ;

/* ---- the plan ------------------------------------------------------------ */

static void add(struct churner_plan *plan, const char *role, size_t database)
{
	if (plan->n_roles == CHURNER_ROLES_MAX)
		moment_die(role, "too many roles");
	snprintf(plan->roles[plan->n_roles++], sizeof(plan->roles[0]),
	    "%.16s@%c", role, 'a' + (int) database);
}

void churner_plan_roles(struct churner_plan *plan, const char *words)
{
	while (*words) {
		size_t len = strcspn(words, " ");

		if (len >= sizeof(plan->roles[0]) || len == 0 ||
		    plan->n_roles == CHURNER_ROLES_MAX)
			moment_die(words, "not a list of roles");
		memcpy(plan->roles[plan->n_roles], words, len);
		plan->roles[plan->n_roles++][len] = '\0';
		words += len + (words[len] == ' ');
	}
}

/* One database has nothing but connections that come and go, sometimes; else
 * some writers, at most one checkpointer, readers of others now and then. */
static void choose_roles(
    struct churner_plan *plan, size_t database, uint64_t *seed)
{
	static const char *const writers[] = {"transfer", "update", "hot",
	    "append", "regrow", "shrink", "big", "blobs", "vacuum", "opens"};
	static const char *const checkpointers[] = {
	    "passive", "full", "restart", "truncate", "mixed", "rare"};
	static const unsigned readers[] = {0, 0, 0, 0, 0, 1, 2, 4};
	uint64_t n_writers = 1 + scratch_below(seed, plan->n == 1 ? 4 : 2);
	unsigned n_readers = readers[scratch_below(seed, 8)];

	if (scratch_below(seed, 6) == 0) {
		add(plan, "opens", database);
		add(plan, "opens", database);
		return;
	}
	/* There is always one that commits small and often. */
	add(plan, writers[scratch_below(seed, 4)], database);
	for (uint64_t i = 0; i < n_writers; i++) {
		uint64_t w = scratch_below(
		    seed, sizeof(writers) / sizeof(writers[0]));

		/* To rewrite it all takes long, and says the same. */
		if (plan->mib > 32 && strcmp(writers[w], "vacuum") == 0)
			w = 1;
		add(plan, writers[w], database);
	}
	if (plan->autocheckpoint == 0 || scratch_below(seed, 3) > 0)
		add(plan, checkpointers[scratch_below(seed, 6)], database);
	for (unsigned i = 0; i < n_readers; i++)
		add(plan, "reader", database);
}

static void choose(
    int *value, const int *values, uint64_t n_values, uint64_t *seed)
{
	uint64_t i = scratch_below(seed, n_values);

	if (*value == CHURNER_NOT_SAID)
		*value = values[i];
}

void churner_plan_choose(struct churner_plan *plan, uint64_t *seed)
{
	static const int page_sizes[] = {512, 4096, 4096, 65536};
	static const int sizes[] = {2, 4, 8, 16, 32};
	static const int counts[] = {1, 1, 2, 3};
	static const int vacuums[] = {0, 0, 1, 2};
	static const int autocheckpoints[] = {1000, 1000, 1, 0};
	static const int kills[] = {0, 1};

	choose(&plan->page_size_bytes, page_sizes, 4, seed);
	choose(&plan->mib, sizes, 5, seed);
	choose(&plan->n, counts, 4, seed);
	choose(&plan->auto_vacuum, vacuums, 4, seed);
	choose(&plan->autocheckpoint, autocheckpoints, 4, seed);
	choose(&plan->kill, kills, 2, seed);
	if (plan->n < 1 || plan->n > CHURN_DATABASES_MAX)
		moment_die("n", "one to three databases");
	if (plan->n_roles > 0)
		return;
	for (int i = 0; i < plan->n; i++)
		choose_roles(plan, (size_t) i, seed);
}

void churner_plan_print(const struct churner_plan *plan)
{
	printf("page_size=%d mib=%d n=%d auto_vacuum=%d autocheckpoint=%d "
	       "kill=%d roles='",
	    plan->page_size_bytes, plan->mib, plan->n, plan->auto_vacuum,
	    plan->autocheckpoint, plan->kill);
	for (unsigned i = 0; i < plan->n_roles; i++)
		printf("%s%s", i ? " " : "", plan->roles[i]);
	printf("'\n");
	fflush(stdout);
}

/* ---- the processes ------------------------------------------------------- */

static pid_t start(char *const *argv, int stdin_fd)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	if (stdin_fd >= 0)
		posix_spawn_file_actions_adddup2(
		    &actions, stdin_fd, STDIN_FILENO);
	errno = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (errno)
		moment_die(argv[0], strerror(errno));
	return pid;
}

static void reap(pid_t pid, const char *what)
{
	int status = -1;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		moment_die(what, "the load met an error");
}

static char *program(void)
{
	char *name = getenv("CHURN");

	if (!name)
		moment_die("CHURN", "does not name the program of the load");
	return name;
}

static void init(const struct churner_plan *plan, char *dir)
{
	char words[4][16];
	char *argv[] = {program(), (char[]){"init"}, dir, words[0], words[1],
	    words[2], words[3], NULL};

	snprintf(words[0], sizeof(words[0]), "%d", plan->page_size_bytes);
	snprintf(words[1], sizeof(words[1]), "%d", plan->mib);
	snprintf(words[2], sizeof(words[2]), "%d", plan->n);
	snprintf(words[3], sizeof(words[3]), "%d", plan->auto_vacuum);
	reap(start(argv, -1), "churn init");
}

static void wait_for_commits(const struct churner *churner)
{
	int64_t end_ns = still_sys_monotonic_ns() + START_LIMIT_NS;

	while (atomic_load(&churner->counts->n_commits) < COMMITS_AT_START) {
		if (still_sys_monotonic_ns() > end_ns)
			moment_die("churn storm", "the load is no load");
		still_sys_sleep_ns(1000000);
	}
}

void churner_start(struct churner *churner, const struct churner_plan *plan,
    const char *dir, uint64_t seed)
{
	char number[24];
	char autocheckpoint[16];
	char *argv[ARGS_MAX] = {program(), (char[]){"storm"}, (char *) dir,
	    number, plan->kill ? (char[]){"kill"} : (char[]){"calm"},
	    autocheckpoint};
	int ends[2];

	init(plan, (char *) dir);
	snprintf(number, sizeof(number), "%llu", (unsigned long long) seed);
	snprintf(
	    autocheckpoint, sizeof(autocheckpoint), "%d", plan->autocheckpoint);
	for (unsigned i = 0; i < plan->n_roles; i++)
		argv[6 + i] = (char *) plan->roles[i];
	churner->counts = churn_counts_map(dir);
	if (!churner->counts || pipe2(ends, O_CLOEXEC) != 0)
		moment_die(dir, strerror(errno));
	churner->pid = start(argv, ends[0]);
	close(ends[0]);
	churner->stop_fd = ends[1];
	wait_for_commits(churner);
}

void churner_stop(struct churner *churner)
{
	close(churner->stop_fd);
	reap(churner->pid, "churn storm");
}

void churner_check(const struct churner_plan *plan, const char *dir)
{
	for (int i = 0; i < plan->n; i++) {
		char path[4096];
		sqlite3 *db;
		char *answer;

		snprintf(path, sizeof(path), "%s/%c.db", dir, 'a' + i);
		if (sqlite3_open(path, &db) != SQLITE_OK)
			moment_die(path, sqlite3_errmsg(db));
		answer = memdb_ask(db, "PRAGMA integrity_check");
		if (strcmp(answer, "ok") != 0)
			moment_die(path, answer);
		free(answer);
		sqlite3_close(db);
	}
}
