/* SPDX-License-Identifier: MIT */
/*
 * backup_mode: between start and stop of a base backup, in the server.
 *
 * While a server is in backup mode it writes full-page images of whatever is
 * changed, also with full_page_writes = off. The sequence is
 *
 *	a slot             so that no WAL from before the start is recycled:
 *	                   without one the first segment can be gone at the stop,
 *	                   and the stop does not complain
 *	start              asks for a checkpoint at once and waits for it
 *	...                the files are captured
 *	stop               tells where the WAL ends that the copy needs, and the
 *	                   backup_label; it never waits for archive_command
 *	WAL is captured
 *	close              the slot goes with the session, if it is temporary
 *
 * Backup mode and temporary slot belong to the session. Whatever ends it, at any step (our
 * death, the server's restart, a lost connection), the server leaves backup mode
 * and drops the slot: nothing is ever to be cleaned up in the server.
 *
 * A temporary slot is named stillfs_PID, or stillfs_PID_BACKEND where that name is taken
 * by a process of another container.
 */
#ifndef POSTGRES_BACKUP_MODE_H
#define POSTGRES_BACKUP_MODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/session.h"
#include "engines/postgres/slot.h"

struct still_pg_begun {
	uint64_t start_lsn;
	char slot[STILL_PG_SLOT_MAX]; /* the temporary one, or "" */
};

struct still_pg_ended {
	uint64_t stop_lsn;
	char *label; /* owned; the text of backup_label */
	size_t label_len;
	char *tablespace_map; /* owned; may be empty */
};

/*
 * Slot and start. With `keeps` a permanent slot is there, which keeps the WAL, and
 * no other is made. `label` is what the backup_label shows. The checkpoint takes
 * as long as it takes: the cancel flag of the session ends it. Fails as
 * still_pg_session_query() does; AGAIN too when no slot is free, UNSUPPORTED
 * when the server writes too little WAL (wal_level). After any failure the
 * session is to be closed.
 */
int still_pg_backup_begin(struct still_pg_session *session, const char *label,
    bool keeps, struct still_pg_begun *ret, struct still_error *err);

/* Stop. On success the slot still holds the WAL until the session is closed.
 * LOST means that the backup is void. The caller releases `*ret`. */
int still_pg_backup_end(struct still_pg_session *session,
    struct still_pg_ended *ret, struct still_error *err);
void still_pg_ended_release(struct still_pg_ended *ended);

#endif
