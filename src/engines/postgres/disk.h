/* SPDX-License-Identifier: MIT */
/*
 * disk: where captures of the files of one file system go.
 *
 * Blocks can be shared within a file system only, so a container of clones lies
 * on that of its sources: in the spool, where that is on it; else in the
 * directory that the data directory, or a tablespace, lies in. Never inside one:
 * what is there is the server's. It has no name anywhere. Whether it works is
 * tried, with a block of a file that is to be captured: there are file systems
 * without reflinks, subvolumes with device numbers of their own, and directories
 * that may not be written to. Where none of them takes it, files are copied into
 * the spool; or the capture fails, where it was to be clones only.
 *
 * On btrfs a file that is not copied on write (chattr +C) has no checksums, and
 * shares blocks with its like only.
 *
 * Threads: any, once initialised.
 */
#ifndef POSTGRES_DISK_H
#define POSTGRES_DISK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/postgres/container.h"
#include "engines/postgres/walk.h"

enum still_pg_way {
	STILL_PG_WAY_AUTO,  /* clone where it can be done */
	STILL_PG_WAY_CLONE, /* or fail */
	STILL_PG_WAY_COPY
};

/* Files that can share a container. */
struct still_pg_disk {
	dev_t dev;
	bool nocow;
	bool clones;
	/* Constant where it clones. */
	bool in_spool;
	char *dir; /* owned; where its containers lie, if not in the spool */
	/* Why not, where it does not but was tried. */
	char *reason; /* owned */
	struct still_pg_disk *next;
};

struct still_pg_disks {
	const struct still_pg_walk *walk; /* for its roots */
	enum still_pg_way way;
	struct still_spool spool;
	pthread_mutex_t lock;
	unsigned n_unsure;           /* files that told nothing */
	struct still_pg_disk *first; /* owned, each constant */
};

/* `walk` outlives it. */
void still_pg_disks_init(struct still_pg_disks *disks,
    const struct still_pg_walk *walk, enum still_pg_way way,
    const struct still_spool *spool);
void still_pg_disks_release(struct still_pg_disks *disks);

/*
 * That of the open file `fd`, which has `st` and a byte at least; `name` is what
 * messages call it. Borrowed. `*ret` is NULL where this file tells nothing,
 * since it changed under our hands. UNSUPPORTED (clones cannot be had),
 * NOSPACE, NOMEM, IO.
 */
int still_pg_disks_find(struct still_pg_disks *disks, int fd,
    const struct stat *st, const char *name, const struct still_pg_disk **ret,
    struct still_error *err);

/* A new container for clones of the disk's files, or, with NULL, for copies. */
int still_pg_disks_open(struct still_pg_disks *disks,
    const struct still_pg_disk *disk, struct still_pg_container **ret,
    struct still_error *err);

/* Has the disk, whose files are cloned, room for so many bytes where its
 * containers lie? They are not taken. NOSPACE, NOMEM. */
int still_pg_disks_have(struct still_pg_disks *disks,
    const struct still_pg_disk *disk, uint64_t bytes, struct still_error *err);

/* What was used so far: some clone, some do not. `*ret_reason` (may be NULL) is
 * why the first of these does not, or NULL; borrowed. */
void still_pg_disks_tell(struct still_pg_disks *disks, bool *ret_clones,
    bool *ret_copies, const char **ret_reason);

#endif
