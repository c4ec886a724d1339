/* SPDX-License-Identifier: MIT */
/*
 * pages: the sums of the pages of files (struct still_page_sums), kept from one
 * session to the next.
 *
 * THE FILES, in the state directory: pages/SESSION/HEX, where HEX is the XXH128 of
 * the file's path in the set. Little-endian:
 *	 0   8  "stillpg1"
 *	 8   4  bytes of a page
 *	12   4  0
 *	16   8  number of pages
 *	24   8  XXH3-64 of the sums, its seed the bytes of a page
 *	32  16  XXH128 of the path
 *	48  16  zeros
 *	64      the sums, 8 bytes each
 *
 * New ones have no name until they are kept, so that a process that dies leaves
 * none. A session's directory is there, whole and durable, before its seal is
 * on record; it goes when nothing can build on the session any more.
 *
 * The sums are mapped, and their blocks taken before: to fill them cannot fail.
 *
 * Threads: one at a time for each object; a finished one may be read by any.
 */
#ifndef STILL_CORE_PAGES_H
#define STILL_CORE_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/engine.h"

struct still_catalog;

struct still_pages {
	uint32_t page_bytes; /* 0: there are none */
	uint64_t n;
	uint64_t *sums;   /* mapped; behind the header */
	void *map;        /* owned */
	size_t map_bytes; /* all of the file */
	int fd;           /* of a new one; -1 */
};

#define STILL_PAGES_INIT                \
	{                               \
		0, 0, NULL, NULL, 0, -1 \
	}

/* New ones, to be filled. With `catalog` NULL they are in memory, and cannot be
 * kept. NOSPACE, ACCESS, IO, NOMEM; UNSUPPORTED: the file system has no files
 * without a name. */
int still_pages_new(struct still_catalog *catalog, uint32_t page_bytes,
    uint64_t n, struct still_pages *ret, struct still_error *err);

/* All are filled: give them the name of `path` in session `id`, and sync them. A
 * name that is there is replaced. */
int still_pages_keep(struct still_catalog *catalog, struct still_pages *pages,
    const char *id, const char *path, struct still_error *err);

/* The directory of session `id`, and that of all sessions, are durable. Accepts a
 * session that keeps none. */
int still_pages_sync(
    struct still_catalog *catalog, const char *id, struct still_error *err);

/* Those of `path` in session `id`, proven. NOTFOUND, CORRUPT, IO, NOMEM. */
int still_pages_open(struct still_catalog *catalog, const char *id,
    const char *path, struct still_pages *ret, struct still_error *err);

/* Remove the directory of session `id`, if it is there. */
void still_pages_forget(struct still_catalog *catalog, const char *id);

/* Ask `look` about each session that keeps some. Its negative code ends it. */
int still_pages_each(struct still_catalog *catalog,
    int (*look)(void *arg, const char *id, struct still_error *err), void *arg,
    struct still_error *err);

/* Accepts what was initialised only. */
void still_pages_release(struct still_pages *pages);

#endif
