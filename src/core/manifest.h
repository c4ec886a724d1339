/* SPDX-License-Identifier: MIT */
/*
 * manifest: the two files that the core itself adds to a set.
 *
 * backup.json, rendered at the freeze, holds only what is fixed by then: no
 * outcome, no end, no digest of a file. Its keys are described in
 * stillfs-backup.json(5).
 *
 * verify/XXH128SUMS has one line for each file but itself:
 *
 *	32 hexadecimal digits, two spaces, the path relative to backup/, newline
 *
 * in the order of the snapshot, as `xxhsum -H128` writes it and `xxhsum -c`
 * reads it. All parts but the digests are known at the freeze, so the size is.
 */
#ifndef STILL_CORE_MANIFEST_H
#define STILL_CORE_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "core/lineage.h"
#include "core/snapshot.h"

struct still_manifest {
	const char *session_id;
	const char *kind;              /* "full" */
	uint64_t number;               /* 0: nobody counts */
	const struct still_link *base; /* core/lineage.h; NULL: on nothing */
	const char *chain; /* its full session; "" or NULL: it is in none */
	uint32_t link;
	const struct still_instance_info *instance;
	int64_t begun_at_ns;
	int64_t frozen_at_ns;
	const struct still_builder *builder;
};

/* The text of backup.json. The caller frees it; NULL without memory. */
char *still_manifest_text(
    const struct still_manifest *manifest, size_t *ret_len);

/* The size of verify/XXH128SUMS. */
uint64_t still_sums_bytes(const struct still_snapshot *snapshot);

/* Its text; `digests` has one element per entry. The caller frees it; NULL
 * without memory. */
char *still_sums_text(
    const struct still_snapshot *snapshot, const struct still_hash128 *digests);

#endif
