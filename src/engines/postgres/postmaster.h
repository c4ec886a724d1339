/* SPDX-License-Identifier: MIT */
/*
 * postmaster: which server runs on a PGDATA, and where it listens.
 *
 * A running server keeps PGDATA/postmaster.pid (miscadmin.h of PostgreSQL,
 * LOCK_FILE_LINE_*), one fact a line:
 *
 *	1  process id (a minus before it: a single-user server)
 *	2  the data directory, as the server was told
 *	3  when it started, in seconds
 *	4  port
 *	5  the first socket directory; empty: there is none
 *	6  the first address of listen_addresses; empty: there is none
 *	7  key and id of its shared memory
 *	8  "starting", "stopping", "ready   " or "standby "
 *
 * Lines 5 to 8 are added while it starts. After a crash the file stays behind.
 */
#ifndef POSTGRES_POSTMASTER_H
#define POSTGRES_POSTMASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

enum still_pg_phase {
	STILL_PG_STARTING, /* also where line 8 is not there yet */
	STILL_PG_STOPPING,
	STILL_PG_READY,
	STILL_PG_STANDBY
};

#define STILL_PG_PATH_MAX 1024 /* MAXPGPATH of PostgreSQL */

struct still_pg_postmaster {
	pid_t pid;
	unsigned port;
	bool single; /* a single-user server, which takes no connection */
	enum still_pg_phase phase;
	char socket_dir[STILL_PG_PATH_MAX]; /* empty: there is none */
	char address[STILL_PG_PATH_MAX];    /* empty: there is none; "*": any */
};

/* Read the text of such a file. Pure. False when it is none: then `*ret` is
 * undefined. */
bool still_pg_postmaster_parse(
    const char *text, size_t len, struct still_pg_postmaster *ret);

/*
 * Who serves `pgdata`, an absolute path without symbolic links? ABSENT when nobody
 * does, AGAIN not yet, STOPPING not for long; UNSUPPORTED for a single-user server;
 * ACCESS, CORRUPT, IO. That a process of another host or container
 * serves it is not seen from here: it looks as if nobody did. Reads the disk.
 */
int still_pg_postmaster_find(const char *pgdata,
    struct still_pg_postmaster *ret, struct still_error *err);

#endif
