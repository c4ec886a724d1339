/* SPDX-License-Identifier: MIT */
/*
 * manifest_read: a backup_manifest, as manifest.h has its text, taken apart.
 *
 * Nothing that it says is believed before it was looked at:
 * 1. The lines are those of manifest.h, in that order, each at most
 *    STILL_PG_MANIFEST_LINE_MAX bytes; nothing follows the last.
 * 2. A file's line is one JSON object with the keys named there; a checksum is a
 *    CRC-32C. Manifests of other programs may have other checksums, which are
 *    told as such.
 * 3. A path is relative, and has no empty part, no "." and no "..". None is
 *    named twice.
 * 4. There is one range of WAL, on one timeline, and it does not end before it
 *    begins.
 * 5. The SHA-256 of all lines but the last is what that one says.
 *
 * Text comes in pieces, so that it need not be in memory as a whole. What is kept
 * takes 24 bytes for each file, and its path; up to twice that while it grows.
 *
 * Threads: one object belongs to one thread at a time. Does not block.
 */
#ifndef POSTGRES_MANIFEST_READ_H
#define POSTGRES_MANIFEST_READ_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/postgres/manifest.h"

/* A path of 4095 bytes, each as six of JSON, and the rest. */
#define STILL_PG_MANIFEST_LINE_MAX 32768

struct still_pg_manifest_entry {
	size_t path_at; /* see still_pg_manifest_path() */
	uint64_t size_bytes;
	uint32_t crc32c;
};

struct still_pg_manifest_text {
	struct still_pg_manifest_head head;
	struct still_pg_manifest_entry *entries; /* owned; sorted by path */
	size_t n;
	char *paths; /* owned; each with a NUL */
};

struct still_pg_manifest_reader; /* opaque */

/* NOMEM; FAILED: there is no SHA-256. */
int still_pg_manifest_reader_new(
    struct still_pg_manifest_reader **ret, struct still_error *err);

/* The next piece of the text. CORRUPT names the line that breaks a rule;
 * UNSUPPORTED (another version, or other checksums); NOMEM, FAILED. After a
 * failure only free may be called. */
int still_pg_manifest_reader_feed(struct still_pg_manifest_reader *reader,
    const void *data, size_t len, struct still_error *err);

/* There is no more text. Fails as feed does; else `ret` is the caller's, who
 * releases it. */
int still_pg_manifest_reader_end(struct still_pg_manifest_reader *reader,
    struct still_pg_manifest_text *ret, struct still_error *err);

/* Accepts NULL. */
void still_pg_manifest_reader_free(struct still_pg_manifest_reader *reader);

/* Accepts one that is all zeros. */
void still_pg_manifest_text_release(struct still_pg_manifest_text *text);

static inline const char *still_pg_manifest_path(
    const struct still_pg_manifest_text *text,
    const struct still_pg_manifest_entry *entry)
{
	return text->paths + entry->path_at;
}

/* The entry of that path, or NULL. */
struct still_pg_manifest_entry *still_pg_manifest_find(
    const struct still_pg_manifest_text *text, const char *path);

#endif
