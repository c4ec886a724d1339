/* SPDX-License-Identifier: MIT */
/*
 * snapshot: the immutable tree of one session, and the builder that an engine's
 * freeze fills (its calls are declared in engines/engine.h).
 *
 * The entries are one array, breadth first: by depth, then by path with '/'
 * lower than any other byte. So the children of a directory stand together,
 * sorted by name; a name is found by bisection; and "verify", which closes a
 * set, comes after "backup.json", "data" and "tablespaces" in every listing. A
 * closing file is listed behind the others of its directory (listed_last).
 *
 * Threads: built by one, then constant.
 */
#ifndef STILL_CORE_SNAPSHOT_H
#define STILL_CORE_SNAPSHOT_H

#include <jansson.h>
#include <stdint.h>

#include "base/hash.h"
#include "core/pages.h"
#include "core/source.h"
#include "engines/engine.h"
#include "still.h"

#define STILL_SEAL_PATH "verify/XXH128SUMS"
#define STILL_MANIFEST_PATH "backup.json"

struct still_node; /* an entry that has no index yet */

struct still_damage {
	char *object;  /* owned */
	bool unfrozen; /* all of it, for the reason that `what` is */
	struct still_error what;
};

/* The sums of the pages of a file. */
struct still_summed {
	char *path; /* owned */
	struct still_pages pages;
};

struct still_builder {
	struct still_node *nodes; /* owned */
	size_t n_nodes;
	uint64_t n_files; /* of the engine */
	uint64_t n_bytes;
	json_t *databases;           /* owned; an array */
	json_t *dropped;             /* likewise */
	json_t *note;                /* owned; NULL: none */
	struct still_summed *summed; /* owned; by the engine */
	size_t n_summed;
	struct still_catalog *catalog; /* borrowed; where sums are kept. NULL:
					  nowhere */
	/* Where the session shows its tree, closed by a slash, when that is not
	 * where the others do: part of its inode numbers. Borrowed; NULL. */
	const char *place;
	struct still_cut cut;
	const char *verified;
	struct still_damage *damages; /* owned */
	size_t n_damages;
	bool closes;       /* there are closing files */
	uint32_t dir_mode; /* for what the engine does not hand over */
	uid_t uid;
	gid_t gid;
};

struct still_snapshot {
	struct still_entry *entries;  /* owned, with their paths */
	struct still_source *sources; /* owned; one per entry */
	uint32_t n;
	uint32_t seal; /* index of verify/XXH128SUMS */
	bool closes;   /* there are closing files of the engine */

	/* Owned; one per entry. NULL: never the same. That of a directory is
	 * made of its children's names and kinds. */
	char **identities;
	/* Owned; one per entry, false until still_catalog_stamp() knows better:
	 * the identity is that of the last good session. */
	bool *known;
	struct still_hash128 *known_digests; /* then, the digest in that one */
};

int still_builder_init(struct still_builder *builder, uint32_t dir_mode,
    uid_t uid, gid_t gid, struct still_error *err);
void still_builder_release(struct still_builder *builder);

/* The sums that the engine handed over, which become the caller's. */
struct still_summed *still_builder_take_summed(
    struct still_builder *builder, size_t *ret_n);
void still_summed_free(struct still_summed *summed, size_t n);

/* Add the keys `links` and `empty_directories` to backup.json, where there are
 * any: what no list of sums can name. 0, or negative without memory. */
int still_builder_describe(const struct still_builder *builder, json_t *root);

/*
 * Add backup.json, whose text `manifest` is (taken over, also on failure), and
 * the seal; sort; number. Files get the time `time_s`, entry 0 `dir_time_s`.
 */
int still_builder_finish(struct still_builder *builder, char *manifest,
    size_t manifest_len, int64_t time_s, int64_t dir_time_s,
    struct still_snapshot *ret, struct still_error *err);

/* The child of `parent` called `name`, or 0. */
uint32_t still_snapshot_find(
    const struct still_snapshot *snapshot, uint32_t parent, const char *name);

void still_snapshot_release(struct still_snapshot *snapshot);

#endif
