/* SPDX-License-Identifier: MIT */
/*
 * capture_parts: what the files of a capture share: capture.c (runs and their
 * threads), capture_file.c (one file), capture_room.c (the room for copies).
 */
#ifndef POSTGRES_CAPTURE_PARTS_H
#define POSTGRES_CAPTURE_PARTS_H

#include <pthread.h>

#include "engines/postgres/capture.h"

/* A worker's container for one disk, or for copies (NULL). */
struct still_pg_slot {
	const struct still_pg_disk *disk;
	struct still_pg_container *container; /* borrowed */
};

struct still_pg_worker {
	struct still_pg_capture *capture;
	void *buffer; /* owned */
	struct still_pg_slot *slots;
	size_t n_slots;
};

/* One call of run. */
struct still_pg_run {
	const struct still_pg_list *list;
	bool all;
	/* One for each entry; `entry` is NULL where nothing was captured. Each
	 * belongs to the thread that took its index. */
	struct still_pg_captured *files;
	atomic_size_t next;
	uint64_t done_bytes; /* under the lock */
};

struct still_pg_capture {
	struct still_pg_capture_request request;
	struct still_pg_disks disks;
	uint64_t boot; /* a digest of its name; 0: not known */
	struct still_pg_worker workers[STILL_PG_THREADS_MAX];
	struct still_pg_run run;
	atomic_bool stop;  /* one failed */
	atomic_uint n_odd; /* relations that end within a page */

	pthread_mutex_t lock;                   /* of what follows */
	struct still_pg_container **containers; /* owned */
	size_t n_containers;
	uint64_t taken_bytes; /* of the spool's room */
	uint64_t left_bytes;  /* of these */
	int64_t told_ns;      /* when progress was told */
	int rc;               /* the first failure */
	struct still_error err;
};

/* Has one failed, or the caller enough? */
bool still_pg_capture_stopped(const struct still_pg_capture *capture);

/* Capture one file of the run's list; `file->entry` stays NULL where it has
 * vanished and may. */
int still_pg_capture_file(struct still_pg_worker *worker,
    const struct still_pg_entry *entry, struct still_pg_captured *file,
    struct still_error *err);

/* Add up what the copies of a list take. Where its files are cloned, there is
 * room for that on their disk, or it is NOSPACE. One thread. */
int still_pg_room_count(struct still_pg_capture *capture,
    const struct still_pg_list *list, uint64_t *bytes, struct still_error *err);

/* Room for so many bytes of copies, before the first. One thread. */
int still_pg_room_ask(
    struct still_pg_capture *capture, uint64_t bytes, struct still_error *err);

/* `bytes` are about to be written, or were not after all. Any thread. */
int still_pg_room_use(
    struct still_pg_capture *capture, uint64_t bytes, struct still_error *err);
void still_pg_room_return(struct still_pg_capture *capture, uint64_t bytes);

/* Give back what was taken and not used. One thread. */
void still_pg_room_give(struct still_pg_capture *capture);

#endif
