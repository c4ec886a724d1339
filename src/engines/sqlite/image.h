/* SPDX-License-Identifier: MIT */
/*
 * image: one database as of its pin, as a sequence of bytes.
 *
 * Page p is its newest frame in the walmap, proven against the digest taken at
 * the freeze each time it is read; or what stands in the database file, which
 * the pin keeps checkpointers from changing. The page with SQLite's lock bytes
 * (at 2^30) is never written by anybody: where the file ends before it, it is
 * zeros, as for every reader of the format.
 *
 * A page that was saved (saved.h) is read from the spool, wherever else it stood.
 * Once the pin has seen the whole log in the file, the log is not looked at any
 * more (`flat`): what was written since was saved before. Whoever changes where
 * a page is to be found drains the readers before the old place is let go.
 *
 * A database with a rollback journal is read from its private copy.
 *
 * CHECKSUM VFS. A database that reserves 8 bytes at the end of each page may
 * have been written through SQLite's checksum VFS, which keeps there a sum of
 * the rest of the page (checksum in format.h, little-endian words). Whether it
 * was, its pages tell: page 1, or any of some others that are not all zeros,
 * has a right sum. Then each page of the file is checked each time it is read,
 * before it is handed out. A page of the log is proven as every other is; what
 * it ends in is the sum of its predecessor, with the VFS as it is since 2024,
 * until a checkpoint puts the right one there. So it is put there, or the copy
 * could not be read through the VFS. https://www.sqlite.org/cksumvfs.html
 *
 * A page that cannot have changed since the last committed session is compared
 * with what it was then (rot.h), where it is read from the file or the copy.
 *
 * An image that is refused could not be frozen, for the reason that it holds;
 * it is listed all the same, and every read of it fails.
 *
 * Threads: built by one; sqlite_image_read() from any number at once.
 */
#ifndef SQLITE_IMAGE_H
#define SQLITE_IMAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ahead.h"
#include "engines/sqlite/facts.h"
#include "engines/sqlite/link.h"
#include "engines/sqlite/pin.h"
#include "engines/sqlite/private.h"
#include "engines/sqlite/rot.h"
#include "engines/sqlite/saved.h"
#include "engines/sqlite/walmap.h"

/* How deep its structure was looked at (deep.h). */
enum sqlite_depth {
	SQLITE_DEPTH_HEADER,
	SQLITE_DEPTH_STRUCTURE,
	SQLITE_DEPTH_INTEGRITY
};

struct sqlite_image {
	enum sqlite_object kind; /* first */
	char *rel;               /* owned; below the source's directory */
	char *identity; /* owned; of the moment (identity.h); NULL: none */
	struct stat st;
	uint32_t mode; /* of the copy (base/acl.h); set when it is opened */
	struct sqlite_pin pin;         /* WAL mode; else until it is copied */
	struct sqlite_private private; /* rollback journal */
	struct sqlite_walmap map;
	struct sqlite_saved saved; /* what need not be where it was any more */
	struct still_ahead ahead;  /* of the database file */
	atomic_bool flat;     /* of what is not saved, no page needs the log */
	pthread_rwlock_t use; /* read: from the look where a page is
					until it is read */
	struct sqlite_header header; /* page 1 as of the pin */
	int64_t frozen_at_ns;        /* CLOCK_REALTIME */
	uint32_t page_size_bytes;
	uint32_t n_pages;
	bool page_checksums;        /* written by the checksum VFS */
	bool circular;              /* it was refused because it keeps no log */
	bool has_facts;             /* the next are set, and it is sound */
	struct sqlite_facts facts;  /* of the moment */
	struct sqlite_rot rot;      /* what is compared when it is read */
	struct sqlite_link *link;   /* owned; it is handed over as what changed.
				       NULL: whole */
	enum sqlite_depth depth;    /* of the check of its structure */
	struct still_error refusal; /* why it is not frozen; code 0: it is */
	unsigned n_refusals;        /* how often in a row the cut heard it */
	struct still_error damage;  /* found at the freeze; code 0: none */
	struct still_observer observer;  /* set by the opening */
	const struct still_spool *spool; /* likewise; borrowed, until release */
	atomic_bool *lost; /* raised when a pin is no longer whole; borrowed
			      from the instance */
	bool released;     /* nothing of it is held any more: all is saved, or
			      it is lost. The governor's */
};

struct sqlite_image_request {
	struct sqlite_pin_request pin;
	bool logged; /* refuse one with a rollback journal, which keeps no log
			(`circular`, UNSUPPORTED) */
	struct still_observer observer;
	const struct still_spool *spool;
};

/* Is this a reason for which one database is left out, and not the whole? */
bool sqlite_image_refusable(const struct still_error *what);

/*
 * Make ready for the cut: open the database, prepare its private copy where it
 * needs one. Errors as sqlite_pin_open() and sqlite_private_prepare(). The
 * caller ends the image with sqlite_image_release() in every case.
 */
int sqlite_image_open(struct sqlite_image *image, const struct stat *st,
    const struct sqlite_image_request *request, struct still_error *err);

/* List it as one that cannot be frozen. `image` was released or never used. */
int sqlite_image_refuse(struct sqlite_image *image, const char *rel,
    const struct stat *st, const struct still_error *why,
    struct still_error *err);

/*
 * After the cut: let the locks of a copied database go, scan the log, check
 * page 1 and the last page. Damage is no failure and stands in `damage`. IO,
 * NOMEM, CANCELLED.
 */
int sqlite_image_settle(struct sqlite_image *image, const atomic_bool *cancel,
    struct still_error *err);

/* As still_read_fn, for a range inside the image. */
int sqlite_image_read(struct sqlite_image *image, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err);

/* What was frozen cannot be served after all: each read fails with `why`. Any
 * thread. */
void sqlite_image_give_up(
    struct sqlite_image *image, const struct still_error *why);

/* Have a place in the spool for pages that are saved; once. Errors as
 * sqlite_saved_open(). Any thread. */
int sqlite_image_prepare_saved(
    struct sqlite_image *image, struct still_error *err);

/* Wait until nobody reads from a place that he looked up before: an order
 * between what was marked as saved, and what may be overwritten from now on. */
void sqlite_image_drain(struct sqlite_image *image);

/* Bytes of the database file, or of its private copy, as they are. Any thread,
 * while the pin is held. */
int sqlite_image_read_stored(const struct sqlite_image *image,
    uint64_t off_bytes, uint8_t *data, size_t len, struct still_error *err);

/* The descriptor behind it. */
int sqlite_image_fd(const struct sqlite_image *image);

/* CORRUPT, of a page. */
int sqlite_image_damaged(const struct sqlite_image *image, uint32_t page,
    struct still_error *err, const char *why);

/* What it is listed with: one that is refused is never empty, because an empty
 * file would never be read, and so never fail. */
uint64_t sqlite_image_listed_bytes(const struct sqlite_image *image);

/* Once frozen: does it need its pin to be read? */
static inline bool sqlite_image_is_pinned(const struct sqlite_image *image)
{
	return !image->refusal.code && image->private.fd < 0;
}

static inline uint64_t sqlite_image_bytes(const struct sqlite_image *image)
{
	return (uint64_t) image->n_pages * image->page_size_bytes;
}

/* Accepts a zeroed image. */
void sqlite_image_release(struct sqlite_image *image);

#endif
