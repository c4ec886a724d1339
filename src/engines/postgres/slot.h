/* SPDX-License-Identifier: MIT */
/*
 * slot: replication slots, by which a server keeps WAL for us.
 *
 * Two kinds are made:
 *	stillfs_PID	temporary: it goes with its session (backup_mode.h)
 *	stillfs_XXXXXXXX
 *			permanent, for incremental sessions: eight hexadecimal
 *			digits, of the cluster (its system identifier) and of the
 *			user that stillfs runs as; so two users who back up one
 *			cluster do not release each other's WAL. A process number
 *			has fewer digits.
 *
 * The server keeps all WAL from restart_lsn of a slot on, until somebody advances
 * or drops it, or until it is more than max_slot_wal_keep_size (13; -1, the
 * default: no limit). Then the slot is "unreserved" (the next checkpoint may
 * remove WAL), then "lost" for good.
 *
 * A slot has no number of its own: one that was dropped and created again looks
 * the same. The server keeps it in a directory, pg_replslot/NAME, which lives as
 * long as the slot: its inode and the time of its birth tell.
 *
 * All of these need the attribute REPLICATION, none a grant. They fail as
 * still_pg_session_query() does.
 */
#ifndef POSTGRES_SLOT_H
#define POSTGRES_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "engines/postgres/session.h"

#define STILL_PG_SLOT_MAX 64 /* NAMEDATALEN */
#define STILL_PG_SLOT_MADE_MAX 64

enum still_pg_slot_state {
	STILL_PG_SLOT_NONE,    /* there is none of that name */
	STILL_PG_SLOT_FOREIGN, /* there is, but no permanent physical one */
	STILL_PG_SLOT_RESERVED,
	STILL_PG_SLOT_EXTENDED,   /* beyond max_wal_size: held by slots only */
	STILL_PG_SLOT_UNRESERVED, /* the next checkpoint may remove WAL */
	STILL_PG_SLOT_LOST        /* it keeps nothing */
};

struct still_pg_slot {
	char name[STILL_PG_SLOT_MAX];
	enum still_pg_slot_state state;
	uint64_t restart_lsn; /* WAL is kept from here; 0: none is */
	uint64_t current_lsn; /* where the server wrote when it was asked */
	uint64_t safe_bytes;  /* so many more may be written before it is lost;
				where there is a limit, and it is not yet */
	int64_t limit_bytes;  /* max_slot_wal_keep_size; negative: none */
};

/* The name of the permanent one. Pure. */
void still_pg_slot_name(
    uint64_t system_identifier, uid_t uid, char ret_name[STILL_PG_SLOT_MAX]);

/* What the server says of `name`. */
int still_pg_slot_look(struct still_pg_session *session, const char *name,
    int64_t limit_ns, struct still_pg_slot *ret, struct still_error *err);

/* How many bytes of WAL are kept for it. Pure. */
uint64_t still_pg_slot_held_bytes(const struct still_pg_slot *slot);

/* The same as of the server's last checkpoint, where that is later, which stands
 * in a file of it. Nobody is asked: of a slot that was advanced since `slot` was
 * looked at it is too much. Reads the disk. */
uint64_t still_pg_slot_kept_bytes(
    const struct still_pg_slot *slot, const char *pgdata);

/* What tells it from one of the same name that was made later, as text. The slot
 * is there. Reads the disk. NOTFOUND, ACCESS, IO. */
int still_pg_slot_made(const char *pgdata, const char *name,
    char ret_made[STILL_PG_SLOT_MADE_MAX], struct still_error *err);

/* Create one that keeps WAL from now on (from the last checkpoint's begin). AGAIN
 * too when no slot is free, UNSUPPORTED when the server gives none. Where the
 * name is taken the SQLSTATE is 42710. */
int still_pg_slot_create(struct still_pg_session *session, const char *name,
    bool temporary, struct still_error *err);

int still_pg_slot_drop(struct still_pg_session *session, const char *name,
    struct still_error *err);

/* Release the WAL before `lsn`, which is not before restart_lsn. */
int still_pg_slot_advance(struct still_pg_session *session, const char *name,
    uint64_t lsn, struct still_error *err);

#endif
