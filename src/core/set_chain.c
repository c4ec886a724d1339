/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/set_chain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_ORDER "Name the full set first, then each link behind its base."

void still_set_chain_name(uint64_t number, char ret[STILL_SET_CHAIN_NAME_BYTES])
{
	snprintf(ret, STILL_SET_CHAIN_NAME_BYTES, "%06" PRIu64, number);
}

uint64_t still_set_chain_number(const char *name)
{
	char again[STILL_SET_CHAIN_NAME_BYTES];
	uint64_t number = strtoull(name, NULL, 10);

	still_set_chain_name(number, again);
	return strcmp(name, again) == 0 ? number : 0;
}

/* ---- open ---------------------------------------------------------------- */

struct flawing {
	still_set_chain_flaw_fn *flaw;
	void *arg;
	size_t index;
};

static void pass_on(void *arg, const char *path, const struct still_error *what)
{
	const struct flawing *flawing = arg;

	flawing->flaw(flawing->arg, flawing->index, path, what);
}

int still_set_chain_open(const char *const *paths, size_t n,
    still_set_chain_flaw_fn *flaw, void *arg, struct still_set_chain *ret,
    struct still_error *err)
{
	int rc = 0;

	*ret = (struct still_set_chain) STILL_SET_CHAIN_INIT;
	ret->sets = calloc(n, sizeof(ret->sets[0]));
	if (!ret->sets)
		return still_error_nomem(err);
	while (rc == 0 && ret->n < n) {
		struct flawing flawing = {flaw, arg, ret->n};

		rc = still_set_open(
		    paths[ret->n], pass_on, &flawing, &ret->sets[ret->n], err);
		ret->n++;
	}
	return rc;
}

void still_set_chain_release(struct still_set_chain *chain)
{
	for (size_t i = 0; i < chain->n; i++)
		still_set_release(&chain->sets[i]);
	free(chain->sets);
	*chain = (struct still_set_chain) STILL_SET_CHAIN_INIT;
}

/* ---- rules 1 and 2 ------------------------------------------------------- */

static bool is_known(const struct still_set *set)
{
	return set->described && set->summed;
}

/* One of them that is that session, or NULL. */
static const struct still_set *find(
    const struct still_set_chain *chain, const char *session)
{
	for (size_t i = 0; i < chain->n; i++)
		if (is_known(&chain->sets[i]) &&
		    strcmp(chain->sets[i].session, session) == 0)
			return &chain->sets[i];
	return NULL;
}

/* What is said of a set that stands where it cannot. */
static int misplaced(
    const struct still_set_chain *chain, size_t i, struct still_error *err)
{
	const struct still_set *set = &chain->sets[i];
	const struct still_set *twin = find(chain, set->session);

	if (twin < set)
		return still_error_set(err, STILL_ERR_INVALID, 0, IN_ORDER,
		    "`%s`: is named twice: `%s` is session %s, too", set->path,
		    twin->path, set->session);
	if (!set->base)
		return still_error_set(err, STILL_ERR_INVALID, 0, IN_ORDER,
		    "`%s`: is a full set, and builds on nothing: it can only "
		    "be the first",
		    set->path);
	return 0;
}

/* The base of a link is not the set before it. */
static int apart(
    const struct still_set_chain *chain, size_t i, struct still_error *err)
{
	const struct still_set *set = &chain->sets[i];
	const struct still_set *base = find(chain, set->base);
	const struct still_set *last = i > 0 ? set - 1 : NULL;

	if (base > set)
		return still_error_set(err, STILL_ERR_INVALID, 0, IN_ORDER,
		    "`%s`: stands before `%s`, on which it builds", set->path,
		    base->path);
	if (base)
		return still_error_set(err, STILL_ERR_BASE, 0,
		    "Only one of the two can be in a chain.",
		    "`%s`: builds on `%s`, and so does `%s`", set->path,
		    base->path, base[1].path);
	if (last && strcmp(set->chain, chain->sets[0].session) != 0)
		return still_error_set(err, STILL_ERR_BASE, 0,
		    "Name links of one chain only.",
		    "`%s`: is of another chain: that of the full set of "
		    "session %s, and `%s` is session %s",
		    set->path, set->chain, chain->sets[0].path,
		    chain->sets[0].session);
	return still_error_set(err, STILL_ERR_BASE, 0,
	    set->link == 1 ? "Name that full set before it."
			   : "Name the set of that session before it.",
	    "`%s`: builds on session %s, number %" PRIu64
	    ", %s of its chain, which is missing",
	    set->path, set->base, set->base_number,
	    set->link == 1 ? "the full set" : "a link");
}

static int check_base(const struct still_set *set, const struct still_set *base,
    struct still_error *err)
{
	char is[STILL_HASH128_HEX_CHARS + 1];
	char was[STILL_HASH128_HEX_CHARS + 1];

	if (memcmp(&set->base_sum, &base->list_sum, sizeof(set->base_sum)) !=
	    0) {
		still_hash128_hex(base->list_sum, is);
		still_hash128_hex(set->base_sum, was);
		return still_error_set(err, STILL_ERR_BASE, 0,
		    "Take another copy of the set that it builds on.",
		    "`%s`: is not what `%s` builds on: the XXH128 of its "
		    "`" STILL_SET_LIST "` is %s, and was %s",
		    base->path, set->path, is, was);
	}
	if (set->link == base->link + 1 && set->number > base->number &&
	    set->base_number == base->number &&
	    strcmp(set->chain, base->base ? base->chain : base->session) == 0 &&
	    strcmp(set->engine, base->engine) == 0 &&
	    strcmp(set->source, base->source) == 0)
		return 0;
	return still_error_set(err, STILL_ERR_CORRUPT, 0, NULL,
	    "`%s`: its `" STILL_SET_DESCRIPTION
	    "` does not agree with that of `%s`, on which it builds",
	    set->path, base->path);
}

static int check_link(
    const struct still_set_chain *chain, size_t i, struct still_error *err)
{
	const struct still_set *set = &chain->sets[i];
	const struct still_set *last = i > 0 ? set - 1 : NULL;
	int rc = i > 0 ? misplaced(chain, i, err) : 0;

	if (rc < 0 || !set->base)
		return rc;
	if (!last || strcmp(set->base, last->session) != 0)
		return apart(chain, i, err);
	return check_base(set, last, err);
}

int still_set_chain_check(
    const struct still_set_chain *chain, struct still_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < chain->n; i++)
		if (!is_known(&chain->sets[i]))
			return 0;
	for (size_t i = 0; rc == 0 && i < chain->n; i++)
		rc = check_link(chain, i, err);
	return rc;
}
