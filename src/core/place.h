/* SPDX-License-Identifier: MIT */
/*
 * place: where a restore puts what it makes, and how that gets its name.
 *
 * Everything is made in a stage (stage.h) on the file system of the place, and is
 * durable there before it gets the name under which it would be opened:
 *
 *	STILL_PLACE_BESIDE  A directory. The stage, `.NAME.restoring` beside it,
 *	                    becomes it in one rename(2), which the kernel refuses
 *	                    where the directory is not empty any more. Owner, mode
 *	                    and extended attributes of the directory that it
 *	                    replaces are taken over.
 *	STILL_PLACE_WITHIN  A directory that cannot be replaced: a mountpoint, one
 *	                    whose parent we may not write to, or whose attributes
 *	                    we cannot give. The stage, `.restoring`, is in it, and
 *	                    what it holds is moved up, a rename(2) for each entry.
 *	STILL_PLACE_FILE    One file. The stage, `.NAME.restoring`, is in the
 *	                    directory where the file is to be.
 *
 * Who is killed leaves the stage at most, or in STILL_PLACE_WITHIN, in the instant
 * between the first rename and the last, a part of the entries and the stage.
 * The first is cleared by the next restore to the same place, the second is
 * refused by it.
 *
 * Threads: one opens, publishes and closes it.
 */
#ifndef STILL_CORE_PLACE_H
#define STILL_CORE_PLACE_H

#include <stdbool.h>

#include "core/stage.h"

enum still_place_kind {
	STILL_PLACE_BESIDE,
	STILL_PLACE_WITHIN,
	STILL_PLACE_FILE
};

struct still_place {
	char *path;   /* owned; resolved: of the directory, or of the file */
	char *parent; /* owned; of the directory that it is in */
	char *name;   /* owned; in there */
	enum still_place_kind kind;
	int parent_fd;            /* -1: it has no parent, or is not needed */
	int dest_fd;              /* of the directory; -1: it is to be made */
	bool made_parent;         /* which goes if nothing is published */
	struct still_stage stage; /* from still_place_begin() */
};

#define STILL_PLACE_INIT                                                  \
	{                                                                 \
		.parent_fd = -1, .dest_fd = -1, .stage = STILL_STAGE_INIT \
	}

/*
 * Resolve `dest`, which is to become a directory with databases. With `create` it
 * may be missing; its parent may not. NOTFOUND, INVALID, ACCESS. Changes
 * nothing. `ret` is released in every case.
 */
int still_place_find_dir(const char *dest, bool create, struct still_place *ret,
    struct still_error *err);

/*
 * The same for a file. Where `dest` is a directory, or ends with a slash, the
 * file is the one called `name` in it. With `create` the directory is made, if
 * its parent is there; it goes again if nothing is published.
 */
int still_place_find_file(const char *dest, const char *name, bool create,
    struct still_place *ret, struct still_error *err);

/*
 * Refuse what is not free (still_set.h), and make the stage. Whatever is made
 * is made below place->stage.fd: the entries of the directory, or the file
 * under its name. BUSY, INVALID, ACCESS, NOSPACE, IO.
 */
int still_place_begin(struct still_place *place, struct still_error *err);

/* All is made, and durable: give it its name, and make that durable. On failure
 * the place is what it was. */
int still_place_publish(struct still_place *place, struct still_error *err);

/* What was not published goes. Accepts one that is half open. */
void still_place_release(struct still_place *place);

#endif
