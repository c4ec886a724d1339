/* SPDX-License-Identifier: MIT */
/*
 * rescue: pages of an image brought into the spool, from wherever they are.
 *
 * One by one, or, where half of a piece (64 KiB) or more is wanted, the piece:
 * one read and one write in place of many. A page that is damaged is marked as
 * such (saved.h), and is no failure.
 *
 * NOSPACE, IO (of the database's disk or the spool's), LOST, CANCELLED, NOMEM.
 * Threads: any, while the image's pin is held.
 */
#ifndef SQLITE_RESCUE_H
#define SQLITE_RESCUE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/sqlite/image.h"

/* `pages` are sorted by it. */
int sqlite_rescue_pages(struct sqlite_image *image, uint32_t *pages, size_t n,
    const atomic_bool *cancel, struct still_error *err);

/* From page `first` to the last. */
int sqlite_rescue_tail(struct sqlite_image *image, uint32_t first,
    const atomic_bool *cancel, struct still_error *err);

/* One piece, whatever was saved of it. */
int sqlite_rescue_piece(
    struct sqlite_image *image, uint64_t index, struct still_error *err);

#endif
