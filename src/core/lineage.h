/* SPDX-License-Identifier: MIT */
/*
 * lineage: which session the next one builds on, and what is kept for its sake.
 *
 * A chain is a full session and incremental ones, each of which builds on the
 * one before. All of them are COMMITTED, and none is a copy: those stand
 * outside. Of an instance only one chain goes on: that of its last session that
 * was committed and is no copy, which is the BASE of the next one, whatever was
 * begun, copied or given up since.
 *
 * Of what is kept in pages/ (core/pages.h) two sessions' are needed: the base's,
 * and those of the last good session, which may become the base yet. All others
 * go when a session begins or ends, and so does what a dead process left.
 *
 * Threads: as the catalog.
 */
#ifndef STILL_CORE_LINEAGE_H
#define STILL_CORE_LINEAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/catalog.h"
#include "engines/engine.h"

/* A session that another one can build on. */
struct still_link {
	char id[STILL_SESSION_ID_BYTES];
	uint64_t number;
	char chain[STILL_SESSION_ID_BYTES]; /* "": an older stillfs made it */
	uint32_t link;
	bool forced;
	bool sealed; /* there is a seal; none has what is forced */
	struct still_hash128 seal; /* the XXH128 of its text */
	json_t *note;              /* owned; NULL: none */
};

/* The base of the instance. 1: there is one, which the caller ends with
 * still_link_release(); 0; or a negative code. */
int still_lineage_base(struct still_catalog *catalog, int64_t instance_id,
    struct still_link *ret, struct still_error *err);

/* Likewise for the session `id`, which need not be committed. NOTFOUND. */
int still_lineage_look(struct still_catalog *catalog, const char *id,
    struct still_link *ret, struct still_error *err);

/* The instance's last session, if that is COPIED and no copy: it could be
 * committed, and be the base. 1, 0 or a negative code. */
int still_lineage_copied(struct still_catalog *catalog, int64_t instance_id,
    char ret_id[STILL_SESSION_ID_BYTES], struct still_error *err);

void still_link_release(struct still_link *link);

/*
 * Remove the page sums that no session of the instance needs, with its lock; with
 * `dry_run` only count. `committed` (may be NULL) is a session that is to be taken
 * for the base. `*ret_n` is of how many sessions they are.
 */
int still_lineage_forget(struct still_catalog *catalog, int64_t instance_id,
    const char *committed, bool dry_run, uint32_t *ret_n,
    struct still_error *err);

/* ---- the base, as an engine sees it -------------------------------------- */

struct still_ground;

/* Takes `link` over, also on failure. NULL without memory. */
struct still_ground *still_ground_new(
    struct still_catalog *catalog, struct still_link *link);

const struct still_link *still_ground_link(const struct still_ground *ground);
const struct still_base *still_ground_base(const struct still_ground *ground);

/* Accepts NULL. */
void still_ground_free(struct still_ground *ground);

#endif
