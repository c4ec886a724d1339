/* SPDX-License-Identifier: MIT */
/*
 * moment: some databases of a directory, frozen at one cut as the SQLite engine
 * does it, below the engine contract, and governed or not.
 *
 * Whatever goes wrong ends the program, with EXIT_SETUP.
 */
#ifndef TESTS_ENGINE_MOMENT_H
#define TESTS_ENGINE_MOMENT_H

#include "core/spool.h"
#include "engines/sqlite/governor.h"
#include "engines/sqlite/image.h"

#define MOMENT_DATABASES_MAX 3

/* Not 1, with which a program says that an image was wrong. */
#define EXIT_SETUP 3

struct moment {
	const char *dir; /* borrowed */
	int root_fd;
	struct still_spool_dir spool_dir;
	struct still_spool spool;
	struct still_observer observer;
	atomic_bool cancel;
	atomic_bool lost;
	struct sqlite_image images[MOMENT_DATABASES_MAX];
	size_t n;
	size_t n_open;                    /* images to be released */
	struct sqlite_governor *governor; /* NULL while there is none */
	unsigned n_tries;                 /* cuts, until none was refused */
};

/* Prints "what: why", and exits. */
void moment_die(const char *what, const char *why) __attribute__((noreturn));

/* Freeze a.db, b.db ..., `n` of them; again while their application has to
 * recover one of them first. */
void moment_take(struct moment *moment, const char *dir, size_t n);

void moment_govern(
    struct moment *moment, const struct still_attach_options *options);

/* What it bears by now; the program ends where the moment is lost. */
struct still_held moment_held(struct moment *moment);

/* The governor stops; the images stay. */
void moment_stop(struct moment *moment);

/* All is given back, or the program ends. */
void moment_release(struct moment *moment);

/* Has this process a lock on the database or its -shm, by /proc/locks? */
bool moment_locks(const struct moment *moment, size_t i);

/* How many read slots of its wal-index has this process? */
unsigned moment_slots(const struct moment *moment, size_t i);

#endif
