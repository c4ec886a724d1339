/* SPDX-License-Identifier: MIT */
/*
 * fixture: what the contract suite knows of one engine: how a source is made,
 * how it is changed as its application would, and how a copy is judged.
 *
 * An application is another process where the engine minds: this program itself,
 * started anew with a word that main() hands to the engine's fixtures.
 *
 * Everything ends the test where it cannot be done.
 */
#ifndef TESTS_ENGINE_FIXTURE_H
#define TESTS_ENGINE_FIXTURE_H

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/types.h>

#include "engines/engine.h"

struct source {
	const struct fixture *fixture;
	char *dir; /* scratch */
	char path[PATH_MAX];
	char missing[PATH_MAX];
	unsigned n_changes;
};

#define ANY_CHANGE UINT_MAX

struct fixture {
	const char *name; /* NULL: behind the last */
	const struct still_engine *engine;
	size_t n_databases;
	/* A database is many files, which only the engine knows: empty ones
	 * and such that no change reaches, directories and links. Else it is
	 * one file. */
	bool tree;
	/* For how long nothing must have changed before an identity may be met
	 * again. */
	int64_t rest_ns;
	/* How many files are not met again even then: those that the moment
	 * itself makes. */
	size_t n_restless;
	/* How many descriptors a freeze holds, at most, for each database. */
	unsigned fds_max;
	/* Beside work, judge every so many freezes only: a judge is slow. */
	unsigned judge_every;
	/* What each freeze tells of, and nothing else. NULL: nothing. */
	const char *warning;

	/* Why it cannot be made here, or NULL. May be NULL. */
	const char *(*lacks)(void);
	/* Make the source; fills `path` and `missing`. */
	void (*make)(struct source *source);
	/* As its application: change what is in each database. */
	void (*change)(struct source *source);
	/* Begin to change all the time, elsewhere; ended by a signal. May be
	 * NULL. */
	pid_t (*work)(struct source *source);
	/* Is the copy what the engine's own tools take for whole? And which
	 * change does it show (ANY_CHANGE: do not ask)? `path` is the file; of
	 * a tree the directory in which all of backup/ lies. May be NULL. */
	void (*judge)(
	    struct source *source, const char *path, unsigned n_changes);
	/* Nothing is held, in this process or elsewhere. May be NULL. */
	void (*check_released)(struct source *source);
	/* Remove what is kept in the source for sessions that build on one
	 * another, as its administrator would. May be NULL: nothing is. */
	void (*drop_chain)(struct source *source);
	/* The test is over, well or not: end what make and judge began. May be
	 * called before make has come to its end. May be NULL. */
	void (*end)(struct source *source);
};

#ifdef WITH_SQLITE
extern const struct fixture sqlite_fixtures[];
/* What a process started anew does: its exit status, or -1 for a word that is
 * another's. */
int sqlite_fixture_main(int argc, char **argv);
#endif

#ifdef WITH_POSTGRES
extern const struct fixture postgres_fixtures[];
int postgres_fixture_main(int argc, char **argv);
#endif

/* Start this program anew, with the arguments behind argv[0]. Its output can be
 * read from the end returned. */
int fixture_start(char *const argv[], pid_t *ret_pid);

/* The same with `word` and `argument`; it is at work when this returns: it has
 * printed FIXTURE_READY. */
#define FIXTURE_READY "ready"
pid_t fixture_start_work(const char *word, const char *argument);

#endif
