/* SPDX-License-Identifier: MIT */
/*
 * examine: an engine's own check of a set's databases (engine.h), in sandboxed
 * processes (sandbox.h), several at once.
 *
 * THE PIPE. What a child says is a sequence of records; each is a head of 8
 * bytes, in the byte order of the machine, and a text:
 *
 *	0  4  index of the database, in the list that the child was given
 *	4  1  what: 1 begin, 2 sound, 3 damaged, 4 not to be checked, 5 failed
 *	5  1  of a failure: its code, negated
 *	6  2  length of the text, at most 4096
 *
 *	1. Databases are begun in their order, none is left out.
 *	2. After its begin each gets exactly one of the others; after a failure
 *	   nothing follows.
 *	3. Begin and sound have no text. The others' begins with the database in
 *	   ticks, and has no NUL.
 *
 * A child that does not keep to this is killed. One that ends before its last
 * database has failed at the one that it had begun, or was about to; for those
 * behind it there is another child.
 */
#ifndef STILL_CORE_EXAMINE_H
#define STILL_CORE_EXAMINE_H

#include "core/set.h"
#include "core/ticker.h"
#include "engines/engine.h"

enum still_verdict {
	STILL_VERDICT_SOUND,
	STILL_VERDICT_DAMAGED,
	STILL_VERDICT_UNCHECKED, /* its application would be needed */
	STILL_VERDICT_FAILED     /* the check itself */
};

struct still_examination {
	const struct still_engine *engine; /* has check_set */
	const struct still_set *set;
	const char *const *paths; /* sorted */
	size_t n;
	struct still_ticker *ticker;
	unsigned n_threads;
	/* Exactly once for each path, from any thread. `text` is NULL for
	 * SOUND. */
	void (*tell)(void *arg, const char *path, enum still_verdict verdict,
	    const char *text);
	void *arg;
};

/* 0 when all were told. UNSUPPORTED: they cannot be checked here (sandbox.h);
 * CANCELLED, NOMEM, IO. `*ret_sandbox` is static. */
int still_examine(const struct still_examination *examination,
    const char **ret_sandbox, struct still_error *err);

#endif
