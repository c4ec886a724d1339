/* SPDX-License-Identifier: MIT */
/*
 * note: what this engine wants to know of a session when a later one builds on it
 * (still_builder_note()).
 *
 *	{ "version": 1,
 *	  "databases": [facts (facts.h), ...],   all that there were
 *	  "directories": [{path}, ...] }         below the source's directory
 *
 * Another version is none of ours: nothing is known then.
 *
 * Threads: any; one at a time for each object.
 */
#ifndef SQLITE_NOTE_H
#define SQLITE_NOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "engines/sqlite/discover.h"
#include "engines/sqlite/facts.h"
#include "engines/sqlite/image.h"

struct sqlite_noted {
	char *rel; /* owned */
	bool has_facts;
	struct sqlite_facts facts;
};

struct sqlite_note {
	struct sqlite_noted *databases; /* owned; sorted by rel */
	size_t n;
	struct sqlite_noted *dirs; /* owned; likewise, without facts */
	size_t n_dirs;
};

/* Of what is handed over. NULL without memory. */
json_t *sqlite_note_make(const struct sqlite_image *images, size_t n,
    const struct sqlite_found_dir *dirs, size_t n_dirs);

/* Read one; `note` may be NULL. NOTFOUND: it is none of ours. NOMEM. On failure
 * there is nothing to release. */
int sqlite_note_read(
    const json_t *note, struct sqlite_note *ret, struct still_error *err);

/* The database called `rel`, or NULL. */
const struct sqlite_noted *sqlite_note_find(
    const struct sqlite_note *note, const char *rel);

/* Accepts a zeroed one. */
void sqlite_note_release(struct sqlite_note *note);

#endif
