/* SPDX-License-Identifier: MIT */
/*
 * manifest: the text of backup_manifest, by which pg_verifybackup proves a copy.
 *
 * Byte for byte as the server writes it (backup_manifest.c); lines end with a
 * newline:
 *
 *	{ "PostgreSQL-Backup-Manifest-Version": 1,
 *	"System-Identifier": 7412345678901234567,          version 2 only
 *	"Files": [
 *	{ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2026-11-21
 *	17:00:00 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "64440205" },
 *	                               one line for each file, commas between
 *	],
 *	"WAL-Ranges": [
 *	{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }
 *	],
 *	"Manifest-Checksum": "64 hexadecimal digits"}
 *
 * RULES
 * 1. Every regular file of the backup is listed but backup_manifest itself and
 *    those in pg_wal. Files of a tablespace are pg_tblspc/OID/PG_...
 * 2. A path that is not valid UTF-8 stands under "Encoded-Path", in hexadecimal
 *    digits. In another, `"`, `\` and bytes below 0x20 are escaped as JSON
 *    wants it.
 * 3. A checksum is the CRC-32C as its four bytes lie in the memory of the server
 *    (which is of our byte order: control.h).
 * 4. WAL is needed from the Start-LSN to the End-LSN, which pg_backup_stop gave.
 * 5. Manifest-Checksum is the SHA-256 of all lines before its own.
 *
 * SIZE. How long the text is does not depend on the CRCs: the same calls with
 * any CRC and no sink tell it beforehand.
 *
 * Threads: one object belongs to one thread at a time. Blocks only where the
 * caller's sink does.
 */
#ifndef POSTGRES_MANIFEST_H
#define POSTGRES_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct still_pg_manifest; /* opaque */

/* Takes the next bytes of the text. A negative result ends the manifest; every
 * later call returns it again. */
typedef int still_pg_manifest_sink_fn(
    void *arg, const char *text, size_t len, struct still_error *err);

struct still_pg_manifest_head {
	int version;                /* 1, or 2 with a system identifier */
	uint64_t system_identifier; /* for version 2 */
	/* The WAL that the backup needs; one timeline. */
	uint32_t timeline;
	uint64_t start_lsn;
	uint64_t end_lsn;
};

struct still_pg_manifest_file {
	const char *path; /* relative to the PGDATA */
	uint64_t size_bytes;
	int64_t mtime_s; /* since 1970 */
	uint32_t crc32c; /* ended, as still_crc32c_end() gives it */
};

/*
 * Begin. `head` is copied. With `sink` NULL nothing is written and only the size
 * is counted. The object is the caller's, who ends it with free. INVALID (a
 * version that is not known), NOMEM, and what the sink returns.
 */
int still_pg_manifest_new(const struct still_pg_manifest_head *head,
    still_pg_manifest_sink_fn *sink, void *arg, struct still_pg_manifest **ret,
    struct still_error *err);

/* The next file; the order is the caller's. NOMEM, and what the sink returns. */
int still_pg_manifest_file(struct still_pg_manifest *manifest,
    const struct still_pg_manifest_file *file, struct still_error *err);

/* The rest of the text. No file may follow. */
int still_pg_manifest_end(
    struct still_pg_manifest *manifest, struct still_error *err);

/* How many bytes the text has up to here. */
uint64_t still_pg_manifest_size(const struct still_pg_manifest *manifest);

/* Accepts NULL, and one that was not ended. */
void still_pg_manifest_free(struct still_pg_manifest *manifest);

#endif
