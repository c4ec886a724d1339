/* SPDX-License-Identifier: MIT */
/*
 * sets: the sets of a chain in a directory of backups, and what a restore must
 * refuse of them: each one removed, out of its turn, twice, taken from another
 * chain, and each of these with a single file of a link.
 *
 * What is not refused, or refused without the name of what is wrong, or leaves
 * something behind, fails the test.
 */
#ifndef TESTS_LIB_SETS_H
#define TESTS_LIB_SETS_H

#include <stddef.h>
#include <stdint.h>

struct sets {
	char *dir;    /* owned */
	char **paths; /* owned; the full one first */
	size_t n;
	char ***logs; /* owned; of each, the files below logs/, by their paths
			 in the set; ends with NULL */
};

/* Those in the directory of backups `dir`. */
void sets_open(const char *dir, struct sets *ret);
/* Accepts a zeroed one. */
void sets_release(struct sets *sets);

/* Restore as a whole into `out`, which is made; up to set `last` (from 0). */
void sets_restore(const struct sets *sets, size_t last, const char *out);

/* How often something was refused. */
struct sets_refused {
	unsigned removed;
	unsigned swapped;
	unsigned repeated;
	unsigned foreign;
	unsigned files;
};

/* Each set; `other` is another chain. `out` does not exist. */
void sets_refuse_order(const struct sets *sets, const struct sets *other,
    uint64_t *random, const char *out, struct sets_refused *count);

/* A file of each link that has one. What is done is undone. */
void sets_refuse_files(const struct sets *sets, const struct sets *other,
    uint64_t *random, const char *out, struct sets_refused *count);

#endif
