/* SPDX-License-Identifier: MIT */
/*
 * watch: one pinned database under the governor's eye: when its pin is to hop.
 * The reasons are those of governor.h.
 *
 * Threads: the governor's.
 */
#ifndef SQLITE_WATCH_H
#define SQLITE_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engines/sqlite/assist.h"
#include "engines/sqlite/image.h"

enum sqlite_reason {
	SQLITE_REASON_NONE,
	SQLITE_REASON_WAITER,    /* 1 */
	SQLITE_REASON_FULL,      /* 2 */
	SQLITE_REASON_OVERTAKEN, /* 3 */
	SQLITE_REASON_BYTES,     /* 4 */
	SQLITE_REASON_AGE        /* 5 */
};

struct sqlite_watch {
	struct sqlite_image *image;
	atomic_bool copied;            /* all of it is in the spool, or nobody
					  will read it any more */
	atomic_bool unread;            /* the latter; set before */
	bool prepared;                 /* its pin can hop */
	atomic_int_fast64_t stands_ns; /* when the pin stood at the newest
					  commit last; any thread may look */
	int64_t overtaken_ns;  /* since when there is a newer one; 0: there is
				  none */
	int64_t not_before_ns; /* after a failure */
	int64_t backoff_ns;
	pid_t waiter;        /* who is in the way of the writers; 0: nobody */
	int64_t waited_ns;   /* since when it waits, as long as the pin has not
				 moved for it */
	bool waiter_counted; /* the pin has moved away for it */
	int64_t stepped_ns;  /* when it did last */
	int avoid;           /* the slot not to land in; -1 */
	char *complaint;     /* owned; what was told of a failure last */
	bool no_space;       /* for pages that it would have to save; under the
				governor's lock */
	bool no_space_told;
	struct sqlite_assist assist;
};

/* What a look at the wal-index shows. */
struct sqlite_sight {
	bool whole; /* else a writer is at it, or died at it */
	struct sqlite_index_header header;
	uint32_t backfill;
	pid_t waiter;
};

void sqlite_watch_look(
    const struct sqlite_watch *watch, struct sqlite_sight *ret);

/* Judge a sight; `pin_limit_ns` as in still_attach_options. Updates the watch.
 * Pure otherwise. */
enum sqlite_reason sqlite_watch_judge(struct sqlite_watch *watch,
    const struct sqlite_sight *sight, int64_t pin_limit_ns, int64_t now_ns);

/* Bytes of the log that a sight shows to be in use, behind frame `after`. */
uint64_t sqlite_watch_log_bytes(const struct sqlite_watch *watch,
    const struct sqlite_sight *sight, uint32_t after);

/* The pin moved for `reason`. True: a checkpoint that waited is let by, and was
 * not counted yet. */
bool sqlite_watch_moved(
    struct sqlite_watch *watch, enum sqlite_reason reason, int64_t now_ns);

/* Has a checkpoint waited for the pin, with all writers behind it, for as long as
 * it may? */
bool sqlite_watch_is_overdue(const struct sqlite_watch *watch, int64_t now_ns);

/* It could not be moved: not again before 20 ms, longer each time where nobody
 * waits for it. */
void sqlite_watch_failed(struct sqlite_watch *watch, int64_t now_ns);

#endif
