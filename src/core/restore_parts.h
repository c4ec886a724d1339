/* SPDX-License-Identifier: MIT */
/* restore_parts: what the files of restore have in common. */
#ifndef STILL_CORE_RESTORE_PARTS_H
#define STILL_CORE_RESTORE_PARTS_H

#include "core/place.h"
#include "core/set.h"
#include "core/ticker.h"
#include "core/transfer.h"
#include "still_set.h"

#define STILL_RESTORE_DATA "data/"

struct still_restore_work {
	const struct still_restore_options *options;
	struct still_set set;
	char *given;    /* owned; the directory that was named, resolved */
	char *database; /* owned; path of the one in the set; NULL: all */
	struct still_place place;
	struct still_ticker ticker;

	struct still_transfer_file *files; /* owned */
	size_t n_files;
	uint64_t bytes;
	size_t strip; /* of a path in the set, to get the one in the place */
	char **dirs;  /* owned; made in the stage, each behind its parent */
	size_t n_dirs;

	struct still_error flaw; /* the first that counts */
	uint64_t n_flaws;        /* that do */
};

/* Is it restored, and not only about the set? */
bool still_restore_wants(
    const struct still_restore_work *restore, const char *path);

/* Each directory that a chosen file, a link or nothing is in, for now ours alone;
 * and the links. */
int still_restore_make_dirs(
    struct still_restore_work *restore, struct still_error *err);
int still_restore_make_links(
    struct still_restore_work *restore, struct still_error *err);

/* Give the directories what those in the set have, and sync them. */
int still_restore_finish_dirs(
    struct still_restore_work *restore, struct still_error *err);

#endif
