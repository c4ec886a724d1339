/* SPDX-License-Identifier: MIT */
/*
 * obstacles: everything that keeps a cluster from being frozen, all of it at
 * once, so that nobody mends one thing only to hear of the next.
 *
 * Errors:
 *	- the source is none, or holds a secret; the server is not running, is
 *	  starting or stopping, lets us not in, or is a pooler
 *	- it runs on another host, or in a container whose files are not here
 *	- its data directory is not the one that was named, or its system
 *	  identifier is not that of the files (a standby has its primary's, so
 *	  both are compared)
 *	- a version that is not 13 to 17; blocks that have not 8192 bytes
 *	- a standby; wal_level = minimal; no replication slot is free
 *	- a privilege is missing: REPLICATION for the slot, EXECUTE on the
 *	  functions that start and stop a backup, pg_monitor for the name of the
 *	  data directory; each with the statement that gives it
 *	- a directory or file that we may not read
 *	- for incremental sessions: EXECUTE on pg_switch_wal() is missing, the
 *	  name of our slot is taken by another kind of slot
 * Warnings:
 *	- data_checksums = off: pages cannot be verified
 *	- our slot is there, and nobody asks for incremental sessions
 *	- it is, or will soon be, lost
 *	- when all is told: what it keeps, and what limits that
 *
 * No obstacle is full_page_writes = off: in backup mode a primary writes
 * full-page images all the same (do_pg_backup_start() counts runningBackups up
 * before its checkpoint, and XLogInsert() looks at that), so a page that is
 * caught torn has its image in the WAL. Nor are max_wal_senders (a slot that is
 * made by a function needs none) and archiving.
 */
#ifndef POSTGRES_OBSTACLES_H
#define POSTGRES_OBSTACLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/conn.h"
#include "engines/postgres/facts.h"
#include "engines/postgres/findings.h"

/* What the server is wanted for. */
enum still_pg_want {
	STILL_PG_WANT_FULL,     /* sessions on which nothing is built */
	STILL_PG_WANT_COPY,     /* one of those, beside others on which is */
	STILL_PG_WANT_CHAIN,    /* on which incremental ones are */
	STILL_PG_WANT_INCREMENT /* one of those */
};

struct still_pg_examined {
	struct still_pg_conn conn; /* how to connect again */
	struct still_pg_facts facts;
	char *pgdata; /* owned; the server's, resolved, on this host */
};

/*
 * Resolve `source`, connect, look at everything, disconnect. What is found is
 * appended to `findings`; the calls fails with CANCELLED and NOMEM only.
 * `*ret_whole` tells that nothing stopped the look before its end: then
 * `*ret` is filled, for the caller to release, whatever the findings are.
 * `limit_ns` is for each thing that the server is asked. Blocks on the server,
 * and on the disk.
 */
int still_pg_examine(const char *source, enum still_pg_want want,
    const atomic_bool *cancel, int64_t limit_ns, struct still_pg_examined *ret,
    bool *ret_whole, struct still_pg_findings *findings,
    struct still_error *err);
void still_pg_examined_release(struct still_pg_examined *examined);

/* What of it can be told from the server's own words; `shown` names it. Pure. */
void still_pg_obstacles_of_facts(const struct still_pg_facts *facts,
    enum still_pg_want want, const char *shown,
    struct still_pg_findings *findings);

/* Whether one can be had that is needed: part of the above; `object` is the
 * server. Pure. */
void still_pg_obstacles_of_slots(const struct still_pg_facts *facts,
    enum still_pg_want want, const char *object,
    struct still_pg_findings *findings);

/* What of our slot is trouble: part of the above. Pure. */
void still_pg_obstacles_of_slot(const struct still_pg_slot *slot,
    enum still_pg_want want, struct still_pg_findings *findings);

/* What it keeps, and what limits that, where it is no trouble. Pure. */
void still_pg_obstacles_tell_slot(
    const struct still_pg_slot *slot, struct still_pg_findings *findings);

#endif
