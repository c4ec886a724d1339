/* SPDX-License-Identifier: MIT */
/*
 * increment: an incremental session of a cluster: the WAL since the session that
 * it builds on (its base).
 *
 * The base's WAL ended with a switch to a new segment, and so does this one's:
 *
 *	base's stop   the rest of that segment is empty
 *	start         the begin of the next segment
 *	...           whole segments
 *	stop          what pg_switch_wal() returns
 *
 * Nothing is copied. The segments stay where they are, kept by the permanent
 * slot (slot.h), and are read there (served.h). Before that
 *  1. the base's note (note.h) says the same system identifier and timeline as
 *     the server, and the slot is there, is the one of then, keeps its WAL, and
 *     has not moved beyond the base's stop;
 *  2. each segment is present and whole, and every record is proven (wal_walk.h);
 *  3. the first record names the last one of the base as the one before;
 *  4. nothing in it must not be replayed into a copy (replay.h).
 * What of this does not hold is BASE: a full session can be had.
 *
 * A timeline's history file is in the full set, and the timeline does not change
 * within a chain: none is needed here.
 *
 * A trial switches no segment and walks over nothing: it looks at those that are
 * complete.
 *
 * In the set the segments lie in logs/, under their own names: restored, they go
 * into data/pg_wal of the base. A server that starts there recovers to the end of
 * the last one.
 *
 * Threads: as engines/engine.h says.
 */
#ifndef POSTGRES_INCREMENT_H
#define POSTGRES_INCREMENT_H

#include <stdint.h>
#include <sys/stat.h>

#include "engines/postgres/note.h"
#include "engines/postgres/served.h"

struct still_freeze_request;
struct still_builder;
struct still_pg_instance;
struct still_pg_frozen;

struct still_pg_increment {
	struct still_pg_note base;
	uint64_t start_lsn;
	struct still_pg_served served;
	struct stat *stats; /* owned; of each segment */
};

/* Fix the moment; hands nothing over. On failure `frozen` may hold a part, and
 * is to be released. */
int still_pg_increment_freeze(const struct still_pg_instance *instance,
    const struct still_freeze_request *request, struct still_pg_frozen *frozen,
    struct still_error *err);

/* Tell the builder of all of it, but for the note. */
int still_pg_increment_hand_over(struct still_pg_frozen *frozen,
    struct still_builder *builder, struct still_error *err);

/* Accepts NULL. */
void still_pg_increment_free(struct still_pg_increment *increment);

#endif
