/* SPDX-License-Identifier: MIT */
/*
 * churner: what the load of one run does (tests/lib/churn.c), chosen by chance
 * where nobody said it, and the processes that do it.
 *
 * The program that is started is named by CHURN in the environment. Whatever
 * goes wrong ends this program, with EXIT_SETUP.
 */
#ifndef TESTS_ENGINE_CHURNER_H
#define TESTS_ENGINE_CHURNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/lib/churn.h"

#define CHURNER_ROLES_MAX 24
#define CHURNER_NOT_SAID (-1)

struct churner_plan {
	/* CHURNER_NOT_SAID, or what was asked for. */
	int page_size_bytes;
	int mib; /* of each database */
	int n;   /* databases */
	int auto_vacuum;
	int autocheckpoint;
	int kill;
	char roles[CHURNER_ROLES_MAX][24];
	unsigned n_roles; /* 0: not said */
};

#define CHURNER_PLAN_INIT                                                     \
	{                                                                     \
		.page_size_bytes = CHURNER_NOT_SAID, .mib = CHURNER_NOT_SAID, \
		.n = CHURNER_NOT_SAID, .auto_vacuum = CHURNER_NOT_SAID,       \
		.autocheckpoint = CHURNER_NOT_SAID, .kill = CHURNER_NOT_SAID  \
	}

/* "ROLE@DB ROLE@DB ...". */
void churner_plan_roles(struct churner_plan *plan, const char *words);

/* Fill in what was not said. */
void churner_plan_choose(struct churner_plan *plan, uint64_t *seed);
void churner_plan_print(const struct churner_plan *plan);

struct churner {
	pid_t pid;
	int stop_fd; /* it ends when this is closed */
	struct churn_counts *counts;
};

/* Make the databases in `dir`, start the load, wait until it writes. */
void churner_start(struct churner *churner, const struct churner_plan *plan,
    const char *dir, uint64_t seed);

/* It must have met no error. */
void churner_stop(struct churner *churner);

/* By SQLite itself, of what the load left behind. */
void churner_check(const struct churner_plan *plan, const char *dir);

#endif
