/* SPDX-License-Identifier: MIT */
/*
 * describe: what backup.json says of an image (stillfs-backup.json(5)), and in
 * which words its checks are told.
 *
 * Threads: any; pure.
 */
#ifndef SQLITE_DESCRIBE_H
#define SQLITE_DESCRIBE_H

#include <jansson.h>

#include "engines/sqlite/image.h"

/* One element of `databases`; NULL without memory. `path` is in the set, and so is
 * `log`, its increment, which counts where the image has a link that changed. */
json_t *sqlite_describe_image(
    const struct sqlite_image *image, const char *path, const char *log);

/* Which checks of an image, or of all images of a snapshot, were or will be
 * made before a byte is served. */
struct sqlite_verified {
	enum sqlite_depth depth;
	bool pages; /* the checksum of each page */
	bool logs;  /* each log that is part of an image */
};

struct sqlite_verified sqlite_verified_of(const struct sqlite_image *image);

/* "header+logs", "pages+structure+logs" ... Static. */
const char *sqlite_verified_words(struct sqlite_verified verified);

/* What holds for every one of `n` images, refused ones apart; a log is part of
 * those that have one. */
struct sqlite_verified sqlite_verified_all(
    const struct sqlite_image *images, size_t n);

/*
 * Tell the observer (`long-log`) of a log that is not written back: more than
 * 64 MiB of it, and more than the database has, are not in the database file.
 * That costs the application whenever it looks for a page, and it was so before
 * this freeze.
 */
void sqlite_warn_of_log(const struct sqlite_image *image);

#endif
