/* SPDX-License-Identifier: MIT */
/*
 * set_chain: a full set, and incremental ones that build on it, one on the other.
 *
 *	full  <-  link 1  <-  link 2  <-  ...
 *
 *  1. Each link names the session that it builds on, and the XXH128 of that
 *     one's list of sums. As the list covers all of its set, a link belongs to
 *     that very set and to no other, and what is not so is seen without reading
 *     the set.
 *  2. Each link names the full set's session, and how many links lead to it: so
 *     one that is missing can be told from one that is of another chain.
 *  3. A chain may end with any of its links: what is behind it is newer.
 *
 * IN A DIRECTORY OF BACKUPS (dest.h) the full set is `full`, and each link is
 * `incremental/NUMBER`, the number of its session with six digits or more.
 *
 * Threads: opened by one, then constant.
 */
#ifndef STILL_CORE_SET_CHAIN_H
#define STILL_CORE_SET_CHAIN_H

#include "core/set.h"

#define STILL_SET_CHAIN_LINKS "incremental"
#define STILL_SET_CHAIN_NAME_BYTES 24

/* What a link of that number is called in its directory. */
void still_set_chain_name(
    uint64_t number, char ret[STILL_SET_CHAIN_NAME_BYTES]);

/* Is it what a link is called? False, or its number; which is not 0. */
uint64_t still_set_chain_number(const char *name);

struct still_set_chain {
	struct still_set *sets; /* owned; the full one first */
	size_t n;
};

#define STILL_SET_CHAIN_INIT \
	{                    \
		NULL, 0      \
	}

/*
 * The paths of the sets of a chain in a directory, in the order of their numbers:
 * `path` is a directory of backups. Where it is a set itself, or has only a full
 * one, that alone. With `upto` (not 0) none behind the link of that number;
 * NOTFOUND when there is no such link. A process that died while it replaced a
 * chain may have left its links under another name: BUSY, naming it. INVALID:
 * something foreign is among the links. The caller frees the paths and the array
 * with still_set_chain_free_paths(), in every case.
 */
int still_set_chain_find(const char *path, uint64_t upto, char ***ret,
    size_t *ret_n, struct still_error *err);
void still_set_chain_free_paths(char **paths, size_t n);

/* What is wrong with the set at `index`, as still_set_flaw_fn. */
typedef void still_set_chain_flaw_fn(
    void *arg, size_t index, const char *path, const struct still_error *what);

/* Open the sets at `paths`. Fails as still_set_open() does. Release it in every
 * case. */
int still_set_chain_open(const char *const *paths, size_t n,
    still_set_chain_flaw_fn *flaw, void *arg, struct still_set_chain *ret,
    struct still_error *err);

/*
 * Rules 1 and 2. BASE: one is missing, foreign, or not what was built on;
 * INVALID: one is named twice, or out of its turn. A set that is not described,
 * or has no list, is not looked at: something else is wrong with it.
 */
int still_set_chain_check(
    const struct still_set_chain *chain, struct still_error *err);

void still_set_chain_release(struct still_set_chain *chain);

#endif
