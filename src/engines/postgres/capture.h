/* SPDX-License-Identifier: MIT */
/*
 * capture: the bytes of the files of a list, each as of some moment while the
 * capture ran, brought to where nobody changes them.
 *
 *  1. A file is cloned where its file system can share blocks, else copied
 *     (disk.h); which of them, and why, is told. A single file that cannot be
 *     cloned where others can is copied, or fails the capture where it was to be
 *     clones only.
 *  2. Copies need room: for all of them it is asked for before the first is made.
 *     Files that grew since they were listed ask for more. What was not used is
 *     given back at the end.
 *  3. A file that vanished since it was listed is left out, or fails the capture
 *     where all are wanted (WAL). One that shrinks or grows is captured up to
 *     the size that it had when it was opened, or less. That is right for a
 *     server whose WAL tells of all this. What a full disk
 *     left of a page behind a relation, zeros, is nothing to the server, and
 *     left out.
 *  4. Files are captured by some threads, each with containers of its own.
 *
 * Threads: one call at a time. What was captured may be read by any thread, not
 * beside a run.
 */
#ifndef POSTGRES_CAPTURE_H
#define POSTGRES_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "engines/engine.h"
#include "engines/postgres/container.h"
#include "engines/postgres/disk.h"
#include "engines/postgres/walk.h"

#define STILL_PG_THREADS_MAX 8

struct still_pg_capture_request {
	const struct still_pg_walk *walk; /* outlives the capture */
	enum still_pg_way way;
	struct still_spool spool;
	unsigned n_threads; /* 0: two */
	/* Of what is to be copied, unless all of a list is wanted, only the room
	 * is taken: there are no bytes to read. */
	bool trial;
	const atomic_bool *cancel;
	/* Is this page whole, as far as can be told? Any of the threads; NULL:
	 * not asked. Asked of copies only. */
	bool (*whole)(void *arg, const struct still_pg_relation *relation,
	    uint32_t block, const void *page);
	/* How far a run is; some ten times a second, one thread at a time. The
	 * last of a run that succeeds has all of it. May be NULL. */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *arg;
};

struct still_pg_captured {
	const struct still_pg_entry *entry; /* of the list, which outlives it */
	struct stat st;                     /* of the file that was opened */
	struct still_pg_extent extent;
	char *identity; /* owned; NULL: none */
};

struct still_pg_captures {
	struct still_pg_captured *files; /* owned; in the order of the list */
	size_t n;
	uint64_t bytes;
};

struct still_pg_capture;

/* NOMEM. */
int still_pg_capture_new(const struct still_pg_capture_request *request,
    struct still_pg_capture **ret, struct still_error *err);

/*
 * Can the files of `list`, and then those of `wal`, be captured? Clones are tried
 * where they are wanted, and for all copies the room is asked for and given back,
 * and so is what clones take beside the blocks that they share. Nothing is
 * captured. NOSPACE, UNSUPPORTED, CANCELLED, IO, NOMEM. Blocks on the disk.
 */
int still_pg_capture_foresee(struct still_pg_capture *capture,
    const struct still_pg_list *list, const struct still_pg_list *wal,
    struct still_error *err);

/*
 * Capture all files of `list`; `all`: none may be missing. May be called for
 * several lists, one after the other. NOSPACE, UNSUPPORTED (clones cannot be
 * had), ACCESS, NOTFOUND, CANCELLED, IO, NOMEM; what was captured by this call
 * is of no use then. Blocks, for minutes where files are copied.
 */
int still_pg_capture_run(struct still_pg_capture *capture,
    const struct still_pg_list *list, bool all, struct still_pg_captures *ret,
    struct still_error *err);

/* LOST where clones would soon leave their server no room (container.h, rule 6).
 * Not beside a run. Does not block. */
int still_pg_capture_watch(
    const struct still_pg_capture *capture, struct still_error *err);

/* How it was done so far: "clone", "copy", "clone+copy"; static. `*ret_reason`
 * is why not all were cloned, where that was tried, or NULL; borrowed. */
const char *still_pg_capture_way(
    struct still_pg_capture *capture, const char **ret_reason);

/* Bytes that copies take. */
uint64_t still_pg_capture_copied_bytes(const struct still_pg_capture *capture);

/* Lets go of every byte that was captured and gives back the room. Accepts
 * NULL. */
void still_pg_capture_free(struct still_pg_capture *capture);

void still_pg_captures_release(struct still_pg_captures *captures);

/* Bytes of a captured file; the range lies inside. CORRUPT, IO, NOMEM. Any
 * thread. */
static inline int still_pg_captured_read(const struct still_pg_captured *file,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	return still_pg_extent_read(
	    &file->extent, file->entry->path, off_bytes, data, len, err);
}

#endif
