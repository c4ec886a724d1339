/* SPDX-License-Identifier: MIT */
/*
 * hand_over: what a freeze gives to the builder.
 *
 *	data/REL        an image, whole
 *	logs/REL-wal    incremental: what changed of one that has a link (link.h)
 *
 * and each directory that leads to one of them, with the attributes that it has
 * in the source; so nobody sees in logs/ what he may not see in data/.
 *
 * What read is asked for begins with its kind.
 */
#ifndef SQLITE_HAND_OVER_H
#define SQLITE_HAND_OVER_H

#include "engines/sqlite/cut.h"
#include "engines/sqlite/instance.h"

/* All of it, with the cut, the note, and what was dropped since the base. */
int sqlite_hand_over(struct sqlite_instance *instance,
    const struct still_freeze_request *request, const struct sqlite_cut *cut,
    struct still_builder *builder, struct still_error *err);

#endif
