/* SPDX-License-Identifier: MIT */
/*
 * dest: the directory in which a source's last backup stands, and how a new one
 * takes its place.
 *
 *	full          the set
 *	incremental/  links that build on it, by their numbers (set_chain.h)
 *	.new-ID       a set that is being made; after the exchange, the last one
 *	.old-ID       the last one, where two names cannot be exchanged
 *	.links-ID/    links that have made room for the set of session ID
 *	lost+found    the file system's own
 *
 * ID is the new session's. Anything else is foreign, and refused: the directory
 * is ours alone, and what we remove is never somebody else's. So is a set that
 * is to be replaced and does not say that it is of the same source, in a
 * backup.json that can be understood so far; that it is damaged does not matter.
 *
 *  1. An exclusive flock(2) on the directory is held as long as it is worked
 *     with: leftovers that are found under it are of processes that have died.
 *  2. A leftover `.old-ID` without a `full` is the last set: its swap was cut,
 *     and it is put back. Every other leftover is removed. But a leftover whose
 *     name another user may have given is neither: it is refused.
 *  3. `.new-ID` and `full` are exchanged by one rename, and so are they back.
 *     Where the file system cannot do that, `full` becomes `.old-ID` and then
 *     `.new-ID` becomes `full`; who dies between the two leaves rule 2 a set.
 *  4. After each rename the directory is synced before the next step.
 *  5. Who made the directory for nothing removes it, but only under the lock:
 *     another one may have begun to work in it. Who gets the lock looks whether
 *     the directory still has its name.
 *  6. What does not belong to the new set goes aside before that gets its name:
 *     before a full one all links, by one rename of their directory; before a
 *     link those that are newer than its base, the newest first. (Their sessions
 *     were never committed, or the new one would build on them.) So whoever dies
 *     at whatever time, `full` and `incremental/` are one chain, though it may
 *     lack its newest links. A leftover `.links-ID` is put back, unless the set
 *     of session ID has its name: then it goes.
 *
 * Threads: one at a time.
 */
#ifndef STILL_CORE_DEST_H
#define STILL_CORE_DEST_H

#include <stdbool.h>

#include "base/error.h"
#include "still.h"

#define STILL_DEST_NAME_BYTES (STILL_SESSION_ID_BYTES + 8)

struct still_dest {
	int dirfd;                            /* locked; -1: closed */
	char *path;                           /* owned; resolved */
	bool made;                            /* it was not there before */
	char new_name[STILL_DEST_NAME_BYTES]; /* "": not made */
	char old_name[STILL_DEST_NAME_BYTES];
	char links_name[STILL_DEST_NAME_BYTES];
	bool had_full;   /* a set was there */
	bool had_links;  /* links were */
	uint64_t link;   /* the new one's number; 0: it is full */
	uint64_t behind; /* that of the link it builds on; 0: on `full` */
	bool placed;     /* the new one is `full` */
	bool exchanged; /* by one rename: the last one has the new one's name */
	bool aside;     /* the last one has its old name */
	bool links_aside; /* some are below `links_name` */
	bool made_links;  /* the directory of links was not there before */
};

/*
 * Resolve, make (with `create`; the last part of the path only), lock, look
 * through and clear it. `source`, resolved or NULL, must not lie in it, nor it in
 * `source`. NOTFOUND, ACCESS, INVALID, BUSY as for still_backup(). Closed in
 * every case. That a set is of `source` is asked only where that is not NULL.
 */
int still_dest_open(const char *path, const char *source, bool create,
    struct still_dest *ret, struct still_error *err);

/* Make `.new-ID`, empty. The descriptor belongs to the caller. */
int still_dest_make(struct still_dest *dest, const char *session, int *ret_fd,
    struct still_error *err);

/* What was made is the link of that number, and builds on the link `behind`; 0:
 * on `full`. Before it is placed. */
void still_dest_is_link(
    struct still_dest *dest, uint64_t number, uint64_t behind);

/* What was made becomes `full`, or that link. On failure it is not, and the last one is, unless
 * that could not be brought about either: `placed` and still_dest_last() tell. */
int still_dest_place(struct still_dest *dest, struct still_error *err);

/* And back again. On failure as above. */
int still_dest_unplace(struct still_dest *dest, struct still_error *err);

/* The name under which the last set stands; NULL when there is none. Borrowed. */
const char *still_dest_last(const struct still_dest *dest);

/* Remove what is no longer wanted: the last set, or the new one where it was not
 * put into its place. */
int still_dest_clear(struct still_dest *dest, struct still_error *err);

/* The path of what was placed, or would be: NULL without memory. The caller frees
 * it. */
char *still_dest_set_path(const struct still_dest *dest);

/* Unlock it. Where we made it, and no set is in it, it goes. */
void still_dest_close(struct still_dest *dest);

#endif
