/* SPDX-License-Identifier: MIT */
/*
 * exclude: what of a data directory belongs into a copy of it. The rules are
 * those of pg_basebackup, that is, of sendDir() in the server's
 * src/backend/backup/basebackup.c (until 14 src/backend/replication/), as read
 * in 16 and 18; tests/engine/pg_walk.sh compares them with the server that is
 * installed. Servers before 15 also leave out what is in stats_temp_directory,
 * where that is a directory of another name below the data directory: statistics
 * that a restored server throws away. They are taken here.
 *
 *  1. At any depth, by name: what begins with pgsql_tmp or pg_internal.init is
 *     out, and postgresql.auto.conf.tmp, current_logfiles.tmp, backup_label,
 *     tablespace_map, backup_manifest, postmaster.pid, postmaster.opts and
 *     .DS_Store.
 *  2. At any depth a directory, or a link, with the name of one whose contents
 *     the server makes anew at its start is empty: pg_stat_tmp, pg_replslot,
 *     pg_dynshmem, pg_notify, pg_serial, pg_snapshots, pg_subtrans. So is
 *     pg_wal, whose segments are chosen by another rule, and the directories
 *     archive_status and (from 17) summaries in it.
 *  3. global/pg_control is read last, by itself.
 *  4. In a database's directory (base/N, and PG_VERSION_CATALOG/N of a
 *     tablespace) temporary relations are out, and all forks but _init of a
 *     relation that has an _init fork: it is not logged.
 *  5. Links elsewhere are not followed, and left out, with a word of warning.
 *     Those of pg_tblspc are looked at by who knows the server's tablespaces.
 *     Here alone we are stricter than pg_basebackup: the files of databases that
 *     are silently missing make no backup, so a link in place of what the server
 *     keeps them in, or below it, is refused.
 *  6. Sockets, pipes and devices are left out.
 *
 * A relation's file is named by common/relpath.c:
 *
 *	[t BACKEND _] RELFILENODE [_ FORK] [. SEGMENT]
 *
 * with numbers in decimal, without leading zeros, the relfilenode from 1 to
 * 2^32 - 1, the fork "fsm", "vm" or "init" (none: the main fork), and the
 * segment from 1 (none: segment 0). The server's own parser took more until 16
 * (leading zeros); what only it would take is no relation's file here, but is
 * temporary or not logged if it says so.
 *
 * Pure functions; any thread.
 */
#ifndef POSTGRES_EXCLUDE_H
#define POSTGRES_EXCLUDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where a path begins. */
enum still_pg_top {
	STILL_PG_TOP_DATA, /* at the data directory: "base/5/1259" */
	STILL_PG_TOP_SPACE /* at a tablespace: "PG_15_202209061/5/1259" */
};

enum still_pg_fork {
	STILL_PG_FORK_MAIN,
	STILL_PG_FORK_FSM,
	STILL_PG_FORK_VM,
	STILL_PG_FORK_INIT
};

/* What a relation's file is named for. */
struct still_pg_relation {
	uint32_t relfilenode;
	uint32_t segment;
	enum still_pg_fork fork;
	bool temporary;
};

enum still_pg_rule {
	STILL_PG_IN,        /* a file as it is, or a directory to go into */
	STILL_PG_OUT,       /* not at all, and nobody needs to know */
	STILL_PG_EMPTY_DIR, /* the directory, and nothing of what is in it */
	STILL_PG_RELATION,  /* a file of pages that can be verified */
	STILL_PG_CONTROL,   /* pg_control */
	STILL_PG_SKIP,      /* left out, and to be told of */
	STILL_PG_REFUSE     /* there is no backup with it, nor without */
};

/*
 * What becomes of `rel`, whose file type is that of `mode`. `ret` is set for
 * a relation. Unlogged relations need still_pg_unlogged_init() on top. A link in
 * pg_tblspc is STILL_PG_SKIP.
 */
enum still_pg_rule still_pg_exclude(enum still_pg_top top, const char *rel,
    mode_t mode, struct still_pg_relation *ret);

/* Is `rel` a directory that holds one database's files? */
bool still_pg_is_database_dir(enum still_pg_top top, const char *rel);

/* The name of a relation's file, temporary ones too. */
bool still_pg_relation_parse(const char *name, struct still_pg_relation *ret);

/* Bytes that a name of still_pg_unlogged_init() takes, with its NUL. */
#define STILL_PG_INIT_NAME_BYTES 16

/* For a name in a database's directory: is it out when `out`, the name of an
 * init fork, is there too? */
bool still_pg_unlogged_init(
    const char *name, char out[STILL_PG_INIT_NAME_BYTES]);

#endif
