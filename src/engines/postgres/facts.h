/* SPDX-License-Identifier: MIT */
/*
 * facts: what a server says of itself and of what our role may do, read in one
 * go. Nothing is judged here (obstacles.h).
 */
#ifndef POSTGRES_FACTS_H
#define POSTGRES_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/session.h"
#include "engines/postgres/slot.h"
#include "engines/postgres/tablespace.h"

struct still_pg_database {
	uint32_t oid;
	char *name; /* owned */
};

struct still_pg_facts {
	int major;            /* 15 */
	char *version;        /* owned; "15.20 (Debian 15.20-0+deb12u1)" */
	char *data_directory; /* owned; NULL: the role may not see it */
	uint64_t system_identifier;
	uint32_t catalog_version; /* as in the names of tablespaces' folders */
	uint32_t timeline;
	uint32_t block_bytes;
	uint32_t wal_block_bytes;
	uint32_t wal_segment_bytes;
	bool data_checksums;
	bool full_page_writes; /* the setting; a backup turns them on anyway */
	bool in_recovery;      /* a standby */
	char *wal_level;       /* owned; "minimal", "replica", "logical" */
	uint32_t max_wal_senders;
	uint32_t max_slots;
	uint32_t n_slots; /* in use, or reserved by somebody who is away */

	char *role; /* owned */
	char
	    *database; /* owned; the one that we are connected to: privileges on
			   functions hold in one database */
	bool superuser;
	bool may_replicate; /* the attribute REPLICATION; superusers have it */
	/* EXECUTE on what starts a backup, and on what stops it. Not asked of a
	 * version that we do not know. */
	bool may_start;
	bool may_stop;
	bool may_switch; /* and on what ends a segment of the WAL */

	struct still_pg_slot slot; /* the permanent one of incremental sessions,
				      for whoever we are; or that there is none */

	struct still_pg_tablespace *tablespaces; /* owned, locations too */
	size_t n_tablespaces;
	struct still_pg_database *databases; /* owned */
	size_t n_databases;
};

/* Ask for all of it; each statement may take `limit_ns`. Fails as
 * still_pg_session_query() does, or with CORRUPT where an answer makes no
 * sense. */
int still_pg_facts_read(struct still_pg_session *session, int64_t limit_ns,
    struct still_pg_facts *ret, struct still_error *err);

/* Ask again which tablespaces there are by now, and put these into `facts`. */
int still_pg_facts_tablespaces(struct still_pg_session *session,
    int64_t limit_ns, struct still_pg_facts *facts, struct still_error *err);

/* Accepts what is all zeros. */
void still_pg_facts_release(struct still_pg_facts *facts);

/* The function that ends a segment, with its arguments, for GRANT. */
#define STILL_PG_SWITCH_FUNCTION "pg_switch_wal()"

#endif
