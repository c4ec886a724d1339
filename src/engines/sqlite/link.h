/* SPDX-License-Identifier: MIT */
/*
 * link: one database's part in an incremental session: what changed since the
 * base, as an increment (increment.h) in the spool.
 *
 * A page is in it that may have changed (changes.h) and has another sum than in
 * the base (struct still_base), and each one behind the base's end. Where nothing
 * is known, all pages are read and compared. What is handed over whole has no
 * link:
 *  - a database that the base has no sums of, or of pages of another size: it is
 *    new, or was damaged then;
 *  - one that is damaged or not frozen, as in a full session;
 *  - one whose page with the lock bytes is another one, for no log can say so.
 *
 * The sums of the state after it are handed to the builder, each from the base
 * or of what was read. XXH128 over all of them, 8 bytes each, little-endian, is
 * what backup.json calls `pages_xxh128`.
 *
 * To make it takes as long as to read what may have changed. Meanwhile the
 * governor moves the pin on; after that nothing of the database is needed.
 *
 * Threads: begun and made by one; read by any.
 */
#ifndef SQLITE_LINK_H
#define SQLITE_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "engines/engine.h"
#include "engines/sqlite/changes.h"
#include "engines/sqlite/increment.h"

struct sqlite_image;

/* What the engine's objects begin with, as read is given them. */
enum sqlite_object {
	SQLITE_OBJECT_IMAGE,
	SQLITE_OBJECT_LINK /* its increment */
};

struct sqlite_link {
	enum sqlite_object kind;       /* first */
	struct still_page_sums base;   /* borrowed */
	struct sqlite_changes changes; /* since then */
	struct sqlite_increment increment;

	/* Set by sqlite_link_make(). */
	bool changed; /* there is an increment */
	char pages_xxh128[STILL_HASH128_HEX_CHARS + 1];
};

/*
 * Give the image a link, if it is not to be handed over whole. It is settled; its
 * facts are taken; `noted` are the base's, NULL where it has none. NOMEM, IO,
 * CANCELLED.
 */
int sqlite_link_begin(struct sqlite_image *image, const struct still_base *base,
    const struct sqlite_facts *noted, bool trust_times,
    const atomic_bool *cancel, struct still_error *err);

/* How far it is. */
struct sqlite_link_work {
	const atomic_bool *cancel;
	const struct still_observer *observer;
	uint64_t done_bytes;
	uint64_t total_bytes;
};

/* How much is to be read for it, at most. */
uint64_t sqlite_link_bytes(const struct sqlite_image *image);

/*
 * Make it. `sums` is room for one of each page of the image, and is filled.
 * CORRUPT, IO (of the database): it must be handed over whole, as what it is;
 * then the sums are zeros. NOSPACE, IO (of the spool: `*ret_spool`), LOST,
 * CANCELLED, NOMEM.
 */
int sqlite_link_make(struct sqlite_image *image, uint64_t *sums,
    struct sqlite_link_work *work, bool *ret_spool, struct still_error *err);

/* As what it is: without a link. Accepts an image that has none. */
void sqlite_link_end(struct sqlite_image *image);

#endif
