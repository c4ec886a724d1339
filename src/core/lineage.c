/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/lineage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pages.h"
#include "core/store.h"

/* ---- what is on record --------------------------------------------------- */

#define COLUMNS                                                     \
	"SELECT id, number, chain, link, seal_xxh128, note, forced" \
	" FROM session"

static void copy_id(sqlite3_stmt *stmt, int i, char out[STILL_SESSION_ID_BYTES])
{
	const char *text = (const char *) sqlite3_column_text(stmt, i);

	snprintf(out, STILL_SESSION_ID_BYTES, "%s", text ? text : "");
}

static int read_link(struct still_catalog *catalog, sqlite3_stmt *stmt,
    struct still_link *ret, struct still_error *err)
{
	const char *note = (const char *) sqlite3_column_text(stmt, 5);

	memset(ret, 0, sizeof(*ret));
	copy_id(stmt, 0, ret->id);
	ret->number = (uint64_t) sqlite3_column_int64(stmt, 1);
	copy_id(stmt, 2, ret->chain);
	ret->link = (uint32_t) sqlite3_column_int64(stmt, 3);
	ret->forced = sqlite3_column_int(stmt, 6) != 0;
	ret->sealed = sqlite3_column_bytes(stmt, 4) == sizeof(ret->seal.bytes);
	if (ret->sealed)
		memcpy(ret->seal.bytes, sqlite3_column_blob(stmt, 4),
		    sizeof(ret->seal.bytes));
	if (!note)
		return 0;
	ret->note = json_loads(note, JSON_DECODE_ANY, NULL);
	if (!ret->note)
		return still_store_damaged(
		    catalog, "the note of a session is no JSON", err);
	return 0;
}

/* The row of a statement that gives one or none. 1, 0 or negative. */
static int take_link(struct still_catalog *catalog, sqlite3_stmt *stmt,
    struct still_link *ret, struct still_error *err)
{
	int rc = still_store_step(catalog, stmt, err);

	if (rc > 0 && read_link(catalog, stmt, ret, err) < 0)
		rc = STILL_ERR_CORRUPT;
	return rc;
}

/* Reads only: what it found is found, also if the end fails. */
static int end_look(struct still_catalog *catalog, sqlite3_stmt *stmt, int rc,
    struct still_error *err)
{
	int end;

	sqlite3_finalize(stmt);
	end = still_store_finish(catalog, rc < 0 ? rc : 0, err);
	return end < 0 ? end : rc;
}

int still_lineage_base(struct still_catalog *catalog, int64_t instance_id,
    struct still_link *ret, struct still_error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = still_store_prepare(catalog,
	    COLUMNS " WHERE instance=?1 AND outcome=?2 AND kind<>'copy'"
		    " ORDER BY seq DESC LIMIT 1",
	    &stmt, err);
	if (rc == 0) {
		sqlite3_bind_int64(stmt, 1, instance_id);
		sqlite3_bind_int(stmt, 2, STILL_COMMITTED);
		rc = take_link(catalog, stmt, ret, err);
	}
	return end_look(catalog, stmt, rc, err);
}

int still_lineage_look(struct still_catalog *catalog, const char *id,
    struct still_link *ret, struct still_error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = still_store_prepare(catalog, COLUMNS " WHERE id=?1", &stmt, err);
	if (rc == 0) {
		sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
		rc = take_link(catalog, stmt, ret, err);
	}
	rc = end_look(catalog, stmt, rc, err);
	if (rc == 0)
		return still_catalog_no_session(catalog, id, err);
	return rc < 0 ? rc : 0;
}

int still_lineage_copied(struct still_catalog *catalog, int64_t instance_id,
    char ret_id[STILL_SESSION_ID_BYTES], struct still_error *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	rc = still_store_prepare(catalog,
	    "SELECT id FROM session WHERE outcome=?2 AND kind<>'copy' AND seq="
	    "(SELECT max(seq) FROM session WHERE instance=?1)",
	    &stmt, err);
	if (rc == 0) {
		sqlite3_bind_int64(stmt, 1, instance_id);
		sqlite3_bind_int(stmt, 2, STILL_COPIED);
		rc = still_store_step(catalog, stmt, err);
		if (rc > 0)
			copy_id(stmt, 0, ret_id);
	}
	return end_look(catalog, stmt, rc, err);
}

void still_link_release(struct still_link *link)
{
	json_decref(link->note);
	memset(link, 0, sizeof(*link));
}

/* ---- what is kept -------------------------------------------------------- */

struct kept {
	char (*ids)[STILL_SESSION_ID_BYTES]; /* owned */
	size_t n;
};

/* A look of still_pages_each() over struct kept. Longer names are not ours. */
static int add_kept(void *arg, const char *id, struct still_error *err)
{
	struct kept *kept = arg;
	size_t n = kept->n;

	if (strlen(id) >= STILL_SESSION_ID_BYTES)
		return 0;
	if ((n & (n - 1)) == 0) {
		void *grown = realloc(
		    kept->ids, (n ? 2 * n : 1) * sizeof(kept->ids[0]));

		if (!grown)
			return still_error_nomem(err);
		kept->ids = grown;
	}
	strcpy(kept->ids[kept->n++], id);
	return 0;
}

/* A session that is not on record is nobody's. */
static int is_needed(struct still_catalog *catalog, int64_t instance_id,
    const char *id, const char *committed, int64_t *ret,
    struct still_error *err)
{
	return still_store_number(catalog, ret, err,
	    "SELECT count(*) FROM session WHERE id=?1 AND (instance<>?2"
	    " OR (?5 IS NOT NULL AND id=?5)"
	    " OR (?5 IS NULL AND (state<>'ended'"
	    "  OR seq=(SELECT max(seq) FROM session WHERE instance=?2"
	    "   AND outcome=?3 AND kind<>'copy')"
	    "  OR seq=(SELECT max(seq) FROM session WHERE instance=?2"
	    "   AND outcome IN (?3,?4)))))",
	    "tiiit", id, instance_id, (int64_t) STILL_COMMITTED,
	    (int64_t) STILL_COPIED, committed);
}

/* What is needed leaves the list. */
static int sift(struct still_catalog *catalog, int64_t instance_id,
    const char *committed, struct kept *kept, struct still_error *err)
{
	size_t n = kept->n;
	int rc = still_store_begin(catalog, false, err);

	if (rc < 0)
		return rc;
	kept->n = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		int64_t needed = 0;

		rc = is_needed(catalog, instance_id, kept->ids[i], committed,
		    &needed, err);
		if (rc == 0 && !needed)
			memmove(kept->ids[kept->n++], kept->ids[i],
			    sizeof(kept->ids[0]));
	}
	return still_store_finish(catalog, rc, err);
}

int still_lineage_forget(struct still_catalog *catalog, int64_t instance_id,
    const char *committed, bool dry_run, uint32_t *ret_n,
    struct still_error *err)
{
	struct kept kept = {0};
	int rc = still_pages_each(catalog, add_kept, &kept, err);

	if (rc == 0 && kept.n > 0)
		rc = sift(catalog, instance_id, committed, &kept, err);
	for (size_t i = 0; rc == 0 && !dry_run && i < kept.n; i++)
		still_pages_forget(catalog, kept.ids[i]);
	if (rc == 0)
		*ret_n = (uint32_t) kept.n;
	free(kept.ids);
	return rc;
}

/* ---- the base, as an engine sees it -------------------------------------- */

struct opened {
	char *path; /* owned */
	struct still_pages pages;
	struct opened *next;
};

struct still_ground {
	struct still_catalog *catalog; /* borrowed */
	struct still_link link;
	struct still_base base;
	struct opened *opened; /* owned */
};

static struct opened *find_opened(
    const struct still_ground *ground, const char *path)
{
	struct opened *at = ground->opened;

	while (at && strcmp(at->path, path) != 0)
		at = at->next;
	return at;
}

static int open_sums(struct still_ground *ground, const char *path,
    struct opened **ret, struct still_error *err)
{
	struct opened *new = calloc(1, sizeof(*new));
	int rc;

	if (new)
		new->path = strdup(path);
	if (!new || !new->path) {
		free(new);
		return still_error_nomem(err);
	}
	new->pages = (struct still_pages) STILL_PAGES_INIT;
	rc = still_pages_open(
	    ground->catalog, ground->link.id, path, &new->pages, err);
	if (rc < 0) {
		free(new->path);
		free(new);
		return rc;
	}
	new->next = ground->opened;
	ground->opened = new;
	*ret = new;
	return 0;
}

static int page_sums(void *arg, const char *path, struct still_page_sums *ret,
    struct still_error *err)
{
	struct still_ground *ground = arg;
	struct opened *opened = find_opened(ground, path);
	int rc = opened ? 0 : open_sums(ground, path, &opened, err);

	if (rc == 0)
		*ret = (struct still_page_sums){opened->pages.sums,
		    opened->pages.n, opened->pages.page_bytes};
	return rc;
}

struct still_ground *still_ground_new(
    struct still_catalog *catalog, struct still_link *link)
{
	struct still_ground *ground = calloc(1, sizeof(*ground));

	if (!ground) {
		still_link_release(link);
		return NULL;
	}
	ground->catalog = catalog;
	ground->link = *link;
	memset(link, 0, sizeof(*link));
	ground->base = (struct still_base){
	    .session = ground->link.id,
	    .number = ground->link.number,
	    .note = ground->link.note,
	    .page_sums = page_sums,
	    .arg = ground,
	};
	return ground;
}

const struct still_link *still_ground_link(const struct still_ground *ground)
{
	return &ground->link;
}

const struct still_base *still_ground_base(const struct still_ground *ground)
{
	return &ground->base;
}

void still_ground_free(struct still_ground *ground)
{
	if (!ground)
		return;
	while (ground->opened) {
		struct opened *opened = ground->opened;

		ground->opened = opened->next;
		still_pages_release(&opened->pages);
		free(opened->path);
		free(opened);
	}
	still_link_release(&ground->link);
	free(ground);
}
