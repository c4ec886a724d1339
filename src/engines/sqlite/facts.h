/* SPDX-License-Identifier: MIT */
/*
 * facts: what tells the image of one moment from that of another, taken while
 * nobody can change what the image shows: its pin is held, or its copy is made.
 *
 * An identity is made of them (identity.h); and they are noted with the session,
 * so that a later one knows which pages cannot have changed since (changes.h).
 * The note is one JSON object for each database:
 *
 *	path            below the source's directory (base/json.h)
 *	page_bytes, pages, change_counter, page_checksums, rollback
 *	last_frame, backfilled_frames, frame_checksum (two numbers), salts (hex)
 *	boot, dev, ino, size, mtime_ns, ctime_ns
 *	settled         its times are old enough to tell of each change
 *
 * Of a database that was damaged or not frozen there is `path` alone. Numbers of
 * 64 bits are noted as if they had a sign.
 *
 * Threads: any; pure.
 */
#ifndef SQLITE_FACTS_H
#define SQLITE_FACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "engines/sqlite/format.h"

struct sqlite_facts {
	struct stat st; /* of the database file */
	int64_t frozen_at_ns;
	uint64_t boot; /* a digest of its name */
	uint32_t page_size_bytes;
	uint32_t n_pages;
	uint32_t change_counter;
	bool page_checksums;
	bool rollback; /* it is a copy, made under the lock */
	bool settled;  /* mtime and ctime are not racy (identity.h, rule 5) */
	/* Zeros where there is no log. */
	uint32_t max_frame;
	uint32_t backfill;
	struct sqlite_checksum frame_checksum;
	uint8_t salts[8];
};

/* Are its times older than the ticks of any clock that sets them? */
bool sqlite_facts_are_settled(const struct sqlite_facts *facts);

/* The same file, of the same length and times, in the same boot? */
bool sqlite_facts_same_file(
    const struct sqlite_facts *a, const struct sqlite_facts *b);

/* What is noted; `facts` may be NULL. NULL without memory. */
json_t *sqlite_facts_note(const char *rel, const struct sqlite_facts *facts);

/* Read it. False: there is the path alone, or nothing that can be read. Of `st`
 * there is what is noted, and no more. */
bool sqlite_facts_read(const json_t *noted, struct sqlite_facts *ret);

#endif
