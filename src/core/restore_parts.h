/* SPDX-License-Identifier: MIT */
/* restore_parts: what the files of restore have in common. */
#ifndef STILL_CORE_RESTORE_PARTS_H
#define STILL_CORE_RESTORE_PARTS_H

#include "core/set_chain.h"
#include "core/place.h"
#include "core/set.h"
#include "core/ticker.h"
#include "core/transfer.h"
#include "still_set.h"

#define STILL_RESTORE_DATA "data/"

#define STILL_RESTORE_LOGS "logs/"

struct still_restore_work {
	const struct still_restore_options *options;
	struct still_set_chain chain; /* one set, or a full one and its links */
	size_t first;                 /* the first of these that is needed */
	const struct still_set *set;  /* of these, the one that is at work */
	char *given;    /* owned; the directory that was named, resolved */
	char *database; /* owned; path of the one in the set; NULL: all */
	struct still_place place;
	struct still_ticker ticker;
	/* What is made is made here: the stage, or a directory in it that has
	 * the layout of a set as long as links are applied. */
	int root_fd; /* borrowed, if it is the stage */

	struct still_transfer_file *files; /* owned; of the set at work */
	size_t n_files;
	uint64_t bytes; /* of these */
	size_t strip;   /* of a path in the set, to get the one in the place */
	char **dirs;    /* owned; made in the root, each behind its parent */
	size_t n_dirs;

	struct still_error flaw; /* the first that counts */
	size_t flawed;           /* the set that has it */
	uint64_t n_flaws;        /* that do */

	uint64_t files_done; /* of all sets */
	uint64_t bytes_done;
};

/* Are links to be applied? */
static inline bool still_restore_has_links(
    const struct still_restore_work *restore)
{
	return restore->first + 1 < restore->chain.n;
}

static inline const struct still_set *still_restore_last(
    const struct still_restore_work *restore)
{
	return &restore->chain.sets[restore->chain.n - 1];
}

/* Choose the files of the set at work, make their directories and links in the
 * root, and copy them. */
int still_restore_put_set(
    struct still_restore_work *restore, struct still_error *err);

/* Is there an engine that can apply links? UNSUPPORTED. */
int still_restore_check_engine(
    struct still_restore_work *restore, struct still_error *err);

/* Put the first set into a root of its own, apply the links to it, one after the
 * other, and make of it what the place is to have. All of it is synced but for
 * directories. */
int still_restore_put_chain(
    struct still_restore_work *restore, struct still_error *err);

/* Is it restored, and not only about the set? */
bool still_restore_wants(
    const struct still_restore_work *restore, const char *path);

/* Each directory that a chosen file, a link or nothing is in, for now ours alone;
 * and the links. */
int still_restore_make_dirs(
    struct still_restore_work *restore, struct still_error *err);
int still_restore_make_links(
    struct still_restore_work *restore, struct still_error *err);

/* Make all files durable that are below the directory. */
int still_restore_sync_tree(
    struct still_restore_work *restore, int dirfd, struct still_error *err);

/* Give the directories what those in the (last) set have, and sync them. */
int still_restore_finish_dirs(
    struct still_restore_work *restore, struct still_error *err);

#endif
