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
 * Threads: built by one; sqlite_image_read() from any number at once.
 */
#ifndef SQLITE_IMAGE_H
#define SQLITE_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engines/sqlite/pin.h"
#include "engines/sqlite/walmap.h"

struct sqlite_image {
	char *rel; /* owned; below the source's directory */
	struct sqlite_pin pin;
	struct sqlite_walmap map;
	struct sqlite_header header; /* page 1 as of the pin */
	uint32_t page_size_bytes;
	uint32_t n_pages;
	struct still_error damage;      /* found at the freeze; code 0: none */
	struct still_observer observer; /* set by the freeze */
	const atomic_bool *lost; /* raised when the pin is no longer whole;
					   borrowed from the instance */
};

/* Take the pin, scan the log, check page 1. On success the caller ends the
 * image with sqlite_image_release(); damage is no failure and stands in
 * `damage`. Errors as sqlite_pin_take(), plus UNSUPPORTED for a database whose
 * log cannot be checked. */
int sqlite_image_freeze(struct sqlite_image *image,
    const struct sqlite_pin_request *request,
    const struct still_observer *observer, struct still_error *err);

/* As still_read_fn, for a range inside the image. */
int sqlite_image_read(const struct sqlite_image *image, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err);

static inline uint64_t sqlite_image_bytes(const struct sqlite_image *image)
{
	return (uint64_t) image->n_pages * image->page_size_bytes;
}

/* Accepts a zeroed image. */
void sqlite_image_release(struct sqlite_image *image);

#endif
