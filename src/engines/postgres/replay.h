/* SPDX-License-Identifier: MIT */
/*
 * replay: WAL that is replayed into a copy, and not into the cluster that wrote
 * it. Pure functions; any thread.
 *
 * Two records must not be in it:
 *  - a tablespace that is made: replay makes it at its absolute place, which is
 *    that of the live one;
 *  - wal_level becoming minimal: what was written then is not in the WAL. The
 *    server looks at this when it recovers from an archive, and not when it
 *    recovers by a backup_label alone.
 */
#ifndef POSTGRES_REPLAY_H
#define POSTGRES_REPLAY_H

#include <stdint.h>

#include "engines/postgres/wal_record.h"

/* What the WAL of a session begins and ends with: by these two sessions are seen
 * to follow each other without a gap. */
struct still_pg_replay {
	uint64_t previous_lsn; /* the record that the first one names */
	uint64_t last_lsn;     /* of the last one; 0: there was none */
};

void still_pg_replay_see(
    struct still_pg_replay *replay, const struct still_pg_wal_record *record);

#define STILL_PG_OBSTACLE_MAX 1200 /* MAXPGPATH, and some words */

/* NULL, or why it must not be replayed into a copy, in `text`: to be read behind
 * "since then". */
const char *still_pg_replay_obstacle(
    const struct still_pg_wal_record *record, char text[STILL_PG_OBSTACLE_MAX]);

#endif
