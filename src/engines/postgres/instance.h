/* SPDX-License-Identifier: MIT */
/*
 * instance: a cluster that is attached to, and what a freeze of it holds.
 *
 * A freeze (freeze.c) captures the files between start and stop of a base
 * backup, then the WAL in between, closes its connection, and proves the WAL.
 * Nothing of the server is held afterwards: what is served lies in containers
 * (container.h), which nobody else can reach. An incremental session
 * (increment.h) is WAL, and is served where the server has it.
 *
 * Where incremental sessions will be asked for (`chain`), a permanent slot is made
 * before the start of the backup, or there already, and takes the place of the
 * temporary one. It remains.
 *
 * Threads: as engines/engine.h says. Once frozen all of it is constant.
 */
#ifndef POSTGRES_INSTANCE_H
#define POSTGRES_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/engine.h"
#include "engines/postgres/capture.h"
#include "engines/postgres/control.h"
#include "engines/postgres/covered.h"
#include "engines/postgres/increment.h"
#include "engines/postgres/label.h"
#include "engines/postgres/obstacles.h"
#include "engines/postgres/replay.h"
#include "engines/postgres/session.h"
#include "engines/postgres/slot.h"
#include "engines/postgres/versions.h"
#include "engines/postgres/wal_record.h"
#include "engines/postgres/wal_walk.h"

enum still_pg_object_kind {
	STILL_PG_OBJECT_FILE,    /* as it was captured */
	STILL_PG_OBJECT_PAGES,   /* likewise, and each page is looked at */
	STILL_PG_OBJECT_SEGMENT, /* of the WAL, where the server has it */
	STILL_PG_OBJECT_TEXT,    /* made by us */
	STILL_PG_OBJECT_MANIFEST
};

/* What the core hands back to read. */
struct still_pg_object {
	enum still_pg_object_kind kind;
	const struct still_pg_captured *file; /* FILE, PAGES */
	struct still_pg_locator where;        /* PAGES */
	uint32_t first_block;                 /* PAGES: of this file */
	uint64_t segment;                     /* SEGMENT: its number */
	char *text;                           /* owned; TEXT */
	size_t len;
};

struct still_pg_frozen {
	/* Of the server, at the start. */
	struct still_pg_facts facts;
	const struct still_pg_version *version;
	struct still_pg_label label;
	char *label_text; /* owned */
	size_t label_len;
	uint64_t stop_lsn;
	struct still_pg_replay
	    replay;            /* of the WAL up to there; with `keeps` up
					  to the end of that segment */
	int64_t stop_first_ns; /* when the stop was asked for, and was done */
	int64_t stop_last_ns;
	struct still_pg_control control; /* as it was captured */
	char *control_bytes;             /* owned; protected */

	/* Where the server keeps WAL for a later session: */
	bool keeps;
	struct still_pg_slot slot;
	char slot_made[STILL_PG_SLOT_MADE_MAX];

	/* Owned; NULL: a full session. Of an incremental one the facts, the
	 * version, the stop and its times, the totals and objects are set, of
	 * the label its timeline. */
	struct still_pg_increment *increment;

	struct still_pg_walk walk;
	struct still_pg_capture *capture;
	struct still_pg_captures files; /* of walk.list */
	struct still_pg_list wal_list;
	struct still_pg_captures wal;
	struct still_pg_covered *covered;
	/* Of relations that became unlogged ones meanwhile, the first block of
	 * the init fork. */
	struct still_pg_covered *unlogged;
	struct still_pg_wal_totals totals;
	uint64_t first_segment; /* number of wal.files[0] */

	struct still_pg_object *objects; /* owned */
	size_t n_objects;
	size_t capacity;
	uint64_t manifest_bytes;
	bool verifies_pages;
	struct still_observer observer; /* of the freeze */
};

struct still_pg_instance {
	struct still_engine_instance base;
	struct still_pg_examined examined;
	enum still_freeze_way way;
	bool chain;       /* incremental sessions will be asked for */
	int64_t limit_ns; /* for each thing that the server is asked */
	struct stat st;   /* of the data directory */
	struct still_database_info info;
	char *log_dir;                  /* owned */
	struct still_pg_frozen *frozen; /* owned; NULL: not frozen */
};

/* Connect to the server as it listens now. `cancel` (may be NULL) as of
 * still_pg_session_open(), which says how this fails too. */
int still_pg_connect(const struct still_pg_instance *instance,
    const atomic_bool *cancel, struct still_pg_session **ret,
    struct still_error *err);

/* Connect, and fill the facts, the version and `verifies_pages` of `frozen`: the
 * server is the one that was attached to, and permits a freeze. `*ret` may be a
 * session also on failure, for the caller to close. */
int still_pg_enter(const struct still_pg_instance *instance,
    const struct still_freeze_request *request, struct still_pg_frozen *frozen,
    struct still_pg_session **ret, struct still_error *err);

/* Fix the moment; hands nothing over. On failure `frozen` may hold a part, and
 * is to be released. */
int still_pg_freeze(struct still_pg_instance *instance,
    const struct still_freeze_request *request, struct still_pg_frozen *ret,
    struct still_error *err);
void still_pg_frozen_release(struct still_pg_frozen *frozen);

/* What a record of the WAL tells of the files that were captured: as a
 * still_pg_wal_record_fn, `arg` is the struct still_pg_frozen. AGAIN where they
 * are not all that is needed. */
int still_pg_meanwhile_record(void *arg,
    const struct still_pg_wal_record *record, struct still_error *err);

/* The AGAIN of a tablespace that is none of those that were listed. */
int still_pg_meanwhile_refuse(struct still_error *err);

/* When all records were seen: leave out the files of relations that turned out to
 * be unlogged ones. */
void still_pg_meanwhile_leave_out(struct still_pg_frozen *frozen);

/* What each page of its WAL has; the facts, the version and the label's timeline
 * are known. */
struct still_pg_wal_format still_pg_format_of(
    const struct still_pg_frozen *frozen);

/* Tell the builder of all of it. */
int still_pg_hand_over(const struct still_pg_instance *instance,
    struct still_pg_frozen *frozen, struct still_builder *builder,
    struct still_error *err);

/* As a still_close_fn: backup_manifest. */
int still_pg_close_manifest(const struct still_pg_frozen *frozen,
    const struct still_closed_file *files, size_t n, char *data,
    struct still_error *err);

/* As a still_truncate_fn. */
int still_pg_truncate(const struct still_pg_instance *instance,
    const struct still_base *base, bool dry_run, struct still_truncated *ret,
    struct still_error *err);

/* As a still_read_fn. */
int still_pg_read(const struct still_pg_frozen *frozen,
    const struct still_pg_object *object, uint64_t off_bytes, void *data,
    size_t len, struct still_error *err);

#endif
