/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/backup_base.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "core/set_chain.h"
#include "core/set_parts.h"

#define FULL_HINT                                                              \
	"Make a full backup, which begins a new chain, or name the directory " \
	"that holds this one."

int still_backup_expect_base(
    const struct still_dest *dest, struct still_error *err)
{
	if (dest->had_full)
		return 0;
	return still_error_set(err, STILL_ERR_BASE, 0, FULL_HINT,
	    "`%s`: holds no full set that an incremental one could build on",
	    dest->path);
}

/* ---- what it says -------------------------------------------------------- */

static void keep_first(
    void *arg, const char *path, const struct still_error *what)
{
	struct still_error *first = arg;

	(void) path;
	if (!first->code)
		still_error_copy(first, what);
}

static int parse(const char *text, size_t len, struct still_set *ret,
    struct still_error *err)
{
	struct still_error first = STILL_ERROR_INIT;
	struct still_set_judge judge = {keep_first, &first, 0};
	int rc = still_set_parse_description(ret, &judge, text, len, err);

	if (rc == 0 && !ret->described)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, NULL, "%s",
		    still_error_msg(&first));
	else if (rc == 0 && (!ret->base || ret->number == 0))
		rc = still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "session %s: is not incremental", ret->session);
	still_error_clear(&first);
	return rc;
}

static const struct still_entry *find_description(
    const struct still_origin *origin, uint32_t *ret_index)
{
	uint32_t n;
	const struct still_entry *entries = origin->entries(origin->arg, &n);

	for (uint32_t i = 0; i < n; i++)
		if (entries[i].kind == STILL_FILE &&
		    strcmp(entries[i].path, STILL_SET_DESCRIPTION) == 0 &&
		    entries[i].size_bytes <= STILL_SET_JSON_MAX_BYTES) {
			*ret_index = i;
			return &entries[i];
		}
	return NULL;
}

static int read_description(const struct still_origin *origin,
    struct still_set *ret, struct still_error *err)
{
	uint32_t index = 0;
	const struct still_entry *entry = find_description(origin, &index);
	size_t len = entry ? (size_t) entry->size_bytes : 0;
	char *text = malloc(len + 1);
	ssize_t n = 0;
	int rc = 0;

	if (!text)
		return still_error_nomem(err);
	for (size_t at = 0; rc == 0 && at < len; at += (size_t) n) {
		n = origin->read(
		    origin->arg, index, at, text + at, len - at, err);
		if (n <= 0)
			rc = n < 0 ? (int) n
				   : still_error_set(err, STILL_ERR_IO, 0, NULL,
					 "`" STILL_SET_DESCRIPTION
					 "`: ends before its size");
	}
	text[len] = '\0';
	if (rc == 0)
		rc = parse(text, len, ret, err);
	free(text);
	return rc;
}

/* ---- what is there ------------------------------------------------------- */

/* What is wrong with a set that is in the way is seen by its sum. */
static void ignore(
    void *arg, size_t index, const char *path, const struct still_error *what)
{
	(void) arg;
	(void) index;
	(void) path;
	(void) what;
}

/* One of them that is the base; chain->n: none. */
static size_t find(
    const struct still_set_chain *chain, const struct still_set *set)
{
	size_t i = 0;

	while (i < chain->n &&
	    (!chain->sets[i].session ||
		strcmp(chain->sets[i].session, set->base) != 0))
		i++;
	return i;
}

static int check(struct still_dest *dest, struct still_set_chain *chain,
    const struct still_set *set, struct still_error *err)
{
	struct still_set_chain needed = *chain;
	size_t base = find(chain, set);

	if (base == chain->n)
		return still_error_set(err, STILL_ERR_BASE, 0, FULL_HINT,
		    "`%s`: does not hold session %s, number %" PRIu64
		    ", on which this one builds",
		    dest->path, set->base, set->base_number);
	if (!chain->sets[base].summed ||
	    memcmp(&chain->sets[base].list_sum, &set->base_sum,
		sizeof(set->base_sum)) != 0)
		return still_error_set(err, STILL_ERR_BASE, 0, FULL_HINT,
		    "`%s`: is not what session %s was, on which this one "
		    "builds: its `" STILL_SET_LIST "` has another XXH128",
		    chain->sets[base].path, set->base);
	still_dest_is_link(dest, set->number,
	    base ? still_set_chain_number(
		       still_path_base(chain->sets[base].path))
		 : 0);
	needed.n = base + 1;
	return still_set_chain_check(&needed, err);
}

int still_backup_find_base(const struct still_origin *origin,
    struct still_dest *dest, struct still_error *err)
{
	struct still_set_chain chain = STILL_SET_CHAIN_INIT;
	struct still_set set = {.dirfd = -1};
	char **paths = NULL;
	size_t n = 0;
	int rc = read_description(origin, &set, err);

	if (rc == 0)
		rc = still_set_chain_find(dest->path, 0, &paths, &n, err);
	if (rc == 0)
		rc = still_set_chain_open(
		    (const char *const *) paths, n, ignore, NULL, &chain, err);
	if (rc == 0)
		rc = check(dest, &chain, &set, err);
	still_set_chain_release(&chain);
	still_set_chain_free_paths(paths, n);
	still_set_release(&set);
	return rc;
}
