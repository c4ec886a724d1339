/* SPDX-License-Identifier: MIT */
/*
 * churn: what the processes of that load count, together, in DIR/counts, which
 * all of them map. What a process counted stays when it is killed.
 */
#ifndef TESTS_LIB_CHURN_H
#define TESTS_LIB_CHURN_H

#include <stdatomic.h>
#include <stdint.h>

struct churn_counts {
	atomic_uint_fast64_t n_commits;     /* or what else a writer did */
	atomic_uint_fast64_t n_busy;        /* given up, after the timeout */
	atomic_uint_fast64_t n_over_100_ms; /* that took so long */
	atomic_uint_fast64_t n_over_1_s;
	atomic_uint_fast64_t n_checkpoints;
	atomic_uint_fast64_t n_checkpoints_busy;
};

#define CHURN_COUNTS "counts"

/* Databases are called a.db, b.db, c.db. */
#define CHURN_DATABASES_MAX 3

/* Map DIR/counts, made when it is missing; NULL with errno. */
struct churn_counts *churn_counts_map(const char *dir);

#endif
