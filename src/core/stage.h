/* SPDX-License-Identifier: MIT */
/*
 * stage: a directory in which something is made that is to appear at once, and
 * of which nothing stays when its maker is killed.
 *
 *  1. It has a fixed name, so that who comes next finds it.
 *  2. Who has the flock(2) of the directory that has the name owns it. Between
 *     the two steps it may have been replaced, so that is looked at again.
 *  3. Whoever dies drops the lock. The next one takes it, and what is left in
 *     the directory goes.
 *  4. It is for its owner alone (mode 0700). One that belongs to another user is
 *     not taken, but by root, who makes it his own.
 *
 * Threads: one opens and closes it.
 */
#ifndef STILL_CORE_STAGE_H
#define STILL_CORE_STAGE_H

#include <stdbool.h>

#include "base/error.h"

#define STILL_STAGE_NAME_BYTES 256

struct still_stage {
	int base_fd; /* borrowed: the directory that it is in */
	char name[STILL_STAGE_NAME_BYTES];
	int fd; /* -1: there is none */
	bool
	    own; /* it is ours, under its name, and goes with still_stage_end() */
};

#define STILL_STAGE_INIT                 \
	{                                \
		.base_fd = -1, .fd = -1, \
	}

/* Has somebody the stage of this name? False where there is none, or one that
 * was left. */
bool still_stage_is_taken(int base_fd, const char *name);

/* Make it, or take it over and empty it. `where` is the path of its directory,
 * for messages. BUSY when somebody has it; INVALID, ACCESS, IO, NOSPACE. */
int still_stage_begin(struct still_stage *stage, int base_fd, const char *name,
    const char *where, struct still_error *err);

/* Remove it with what is in it, and drop the lock. Accepts one that was never
 * begun. */
void still_stage_end(struct still_stage *stage);

#endif
