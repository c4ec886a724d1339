/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/rot.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/path.h"
#include "engines/sqlite/bits.h"
#include "engines/sqlite/image.h"

/* As much log as is walked in a few hundredths of a second. */
#define WALK_BYTES (UINT64_C(64) << 20)

/* Not found: there is nothing to compare with, and whoever keeps the sums tells
 * what became of them. */
static int get_sums(const struct still_base *base, const char *rel,
    struct still_page_sums *ret, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	char *path = still_path_join("data", rel);
	int rc;

	if (!path)
		return still_error_nomem(err);
	rc = base->page_sums(base->arg, path, ret, &own);
	if (rc == STILL_ERR_NOTFOUND || rc == STILL_ERR_CORRUPT) {
		memset(ret, 0, sizeof(*ret));
		rc = 0;
	} else if (rc < 0 && err) {
		still_error_copy(err, &own);
	}
	still_error_clear(&own);
	free(path);
	return rc;
}

int sqlite_rot_arm(struct sqlite_image *image, const struct still_base *base,
    const struct sqlite_facts *noted, const atomic_bool *cancel,
    struct still_error *err)
{
	struct sqlite_changes changes = SQLITE_CHANGES_INIT;
	struct still_page_sums sums = {0};
	_Atomic uint64_t *compared;
	int rc = 0;

	if (image->facts.page_checksums || noted->page_checksums)
		return 0;
	rc = sqlite_changes_find(
	    image, noted, WALK_BYTES, cancel, &changes, err);
	if (rc == 0 && changes.known)
		rc = get_sums(base, image->rel, &sums, err);
	if (rc < 0 || !sums.sums || sums.n != noted->n_pages ||
	    sums.page_bytes != image->page_size_bytes) {
		sqlite_changes_release(&changes);
		return rc;
	}
	compared = sqlite_bits_new(sums.n);
	if (!compared) {
		sqlite_changes_release(&changes);
		return still_error_nomem(err);
	}
	image->rot = (struct sqlite_rot){
	    .sums = sums.sums,
	    .n = (uint32_t) sums.n,
	    .changes = changes,
	    .compared = compared,
	};
	return 0;
}

bool sqlite_rot_has(const struct sqlite_rot *rot, uint32_t page,
    const void *data, uint32_t page_size_bytes)
{
	if (page > rot->n || page - 1 == SQLITE_LOCK_BYTE / page_size_bytes ||
	    sqlite_changes_may(&rot->changes, page))
		return false;
	if (!sqlite_bits_has(rot->compared, page - 1))
		sqlite_bits_set(rot->compared, page - 1);
	return still_hash64(data, page_size_bytes) != rot->sums[page - 1];
}

uint64_t sqlite_rot_compared(const struct sqlite_rot *rot)
{
	return rot->compared ? sqlite_bits_count(rot->compared, rot->n) : 0;
}

void sqlite_rot_release(struct sqlite_rot *rot)
{
	free((void *) rot->compared);
	sqlite_changes_release(&rot->changes);
	memset(rot, 0, sizeof(*rot));
}
