/* SPDX-License-Identifier: MIT */
/*
 * chronicle: sessions for a catalog, without a session: the calls that one
 * makes, in their order, with a snapshot made of a table. Nothing here judges;
 * every call returns what the catalog did, and leaves the detail in `err`.
 */
#ifndef TESTS_LIB_CHRONICLE_H
#define TESTS_LIB_CHRONICLE_H

#include "core/catalog.h"

struct chronicle_file {
	const char *path;
	const char *identity; /* or NULL */
	uint64_t size_bytes;
};

struct chronicle {
	struct still_catalog *catalog; /* borrowed */
	struct still_lock lock;
	char id[STILL_SESSION_ID_BYTES];
	enum still_session_kind kind; /* of sessions that begin; FULL */
	const char *note;             /* of them; NULL */
	uint64_t number;
	struct still_snapshot snapshot; /* of the session, until its end */
	struct still_builder builder;
	struct still_error err; /* of the last call that failed */
};

void chronicle_init(struct chronicle *c, struct still_catalog *catalog);
void chronicle_release(struct chronicle *c);

/* Lock and begin; an incremental one on what the catalog says. */
int chronicle_begin(struct chronicle *c, const char *source, const char *id,
    const char *place, int64_t now_s);

/* A snapshot of `files`; no catalog is asked. */
void chronicle_build(
    struct chronicle *c, const struct chronicle_file *files, size_t n);

/* Stamp it, and say that it is shown. */
int chronicle_stamp(struct chronicle *c, int64_t now_s);
int chronicle_frozen(struct chronicle *c, int64_t now_s);

int chronicle_seal(struct chronicle *c);

/* End, and unlock if that went well. */
int chronicle_end(
    struct chronicle *c, enum still_outcome outcome, int64_t now_s);

/* All of it, as COPIED and COMMITTED sessions go, others without the seal. */
int chronicle_whole(struct chronicle *c, const char *source, const char *id,
    const struct chronicle_file *files, size_t n, enum still_outcome outcome,
    int64_t now_s);

/* What chronicle_seal() says of a file. */
struct still_hash128 chronicle_digest(const char *path, const char *identity);

/* Of the snapshot: entry of this path, or 0. */
uint32_t chronicle_find(const struct chronicle *c, const char *path);

/* The one record with this id; false when there is none. The caller ends it
 * with still_records_free(). */
bool chronicle_record(
    struct still_catalog *catalog, const char *id, struct still_record **ret);

#endif
