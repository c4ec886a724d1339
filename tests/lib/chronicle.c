/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/chronicle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "core/lineage.h"

void chronicle_init(struct chronicle *c, struct still_catalog *catalog)
{
	memset(c, 0, sizeof(*c));
	c->lock.fd = -1;
	c->catalog = catalog;
}

static void drop_snapshot(struct chronicle *c)
{
	still_snapshot_release(&c->snapshot);
	if (c->builder.databases)
		still_builder_release(&c->builder);
}

void chronicle_release(struct chronicle *c)
{
	drop_snapshot(c);
	still_catalog_unlock(&c->lock);
	still_error_clear(&c->err);
}

int chronicle_begin(struct chronicle *c, const char *source, const char *id,
    const char *place, int64_t now_s)
{
	struct still_link base = {.id = ""};
	struct still_catalog_begin begin = {
	    .id = id,
	    .kind = c->kind,
	    .place = place,
	    .begun_at_ns = now_s * STILL_NS_PER_S,
	};
	int rc = still_catalog_lock(
	    c->catalog, "fake", source, id, place, &c->lock, &c->err);

	if (rc < 0)
		return rc;
	snprintf(c->id, sizeof(c->id), "%s", id);
	if (c->kind == STILL_INCREMENTAL) {
		rc = still_lineage_base(
		    c->catalog, c->lock.instance_id, &base, &c->err);
		if (rc <= 0)
			return rc < 0 ? rc : STILL_ERR_BASE;
		begin.base = &base;
	}
	rc = still_catalog_begin(
	    c->catalog, &c->lock, &begin, &c->number, &c->err);
	still_link_release(&base);
	return rc;
}

void chronicle_build(
    struct chronicle *c, const struct chronicle_file *files, size_t n)
{
	int rc;

	drop_snapshot(c);
	rc = still_builder_init(&c->builder, 0755, 0, 0, &c->err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct still_file_spec spec = {
		    .path = files[i].path,
		    .size_bytes = files[i].size_bytes,
		    .mode = 0600,
		    .identity = files[i].identity,
		};

		rc = still_builder_file(&c->builder, &spec, &c->err);
	}
	if (rc == 0)
		rc = still_builder_finish(&c->builder, strdup("{}\n"), 3, 1, 2,
		    &c->snapshot, &c->err);
	if (rc == 0)
		return;
	fprintf(stderr, "%s\n", still_error_msg(&c->err));
	abort();
}

int chronicle_stamp(struct chronicle *c, int64_t now_s)
{
	return still_catalog_stamp(
	    c->catalog, &c->lock, now_s, &c->snapshot, &c->err);
}

int chronicle_frozen(struct chronicle *c, int64_t now_s)
{
	struct still_catalog_frozen frozen = {
	    .id = c->id,
	    .kind = c->kind,
	    .note = c->note,
	    .frozen_at_ns = now_s * STILL_NS_PER_S,
	    .verified = "header+logs",
	    .cut = "one moment",
	    .databases = "[]",
	    .n_databases = (uint32_t) c->builder.n_files,
	    .n_files = (uint32_t) c->builder.n_files + 2,
	    .n_bytes = c->builder.n_bytes,
	    .snapshot = &c->snapshot,
	};

	return still_catalog_frozen(c->catalog, &c->lock, &frozen, &c->err);
}

struct still_hash128 chronicle_digest(const char *path, const char *identity)
{
	char text[1024];
	int len = snprintf(
	    text, sizeof(text), "%s %s", path, identity ? identity : "(none)");

	return still_hash128(text, (size_t) len);
}

int chronicle_seal(struct chronicle *c)
{
	struct still_hash128 *digests = calloc(c->snapshot.n, sizeof(*digests));
	struct still_hash128 seal = chronicle_digest("seal", c->id);
	int rc;

	for (uint32_t i = 0; i < c->snapshot.n; i++)
		digests[i] = chronicle_digest(
		    c->snapshot.entries[i].path, c->snapshot.identities[i]);
	rc = still_catalog_sealed(
	    c->catalog, c->id, &c->snapshot, digests, &seal, &c->err);
	free(digests);
	return rc;
}

int chronicle_end(
    struct chronicle *c, enum still_outcome outcome, int64_t now_s)
{
	struct still_session_status status = {
	    .outcome = outcome,
	    .ended_at_ns = now_s * STILL_NS_PER_S,
	    .files = 7,
	    .files_whole = 3,
	    .files_known = 2,
	    .bytes_served = 1234,
	};
	int rc;

	memcpy(status.id, c->id, sizeof(status.id));
	rc = still_catalog_end(c->catalog, &status, &c->err);
	if (rc == 0)
		still_catalog_unlock(&c->lock);
	return rc;
}

int chronicle_whole(struct chronicle *c, const char *source, const char *id,
    const struct chronicle_file *files, size_t n, enum still_outcome outcome,
    int64_t now_s)
{
	int rc = chronicle_begin(c, source, id, NULL, now_s);

	if (rc < 0)
		return rc;
	chronicle_build(c, files, n);
	rc = chronicle_stamp(c, now_s);
	if (rc == 0)
		rc = chronicle_frozen(c, now_s);
	if (rc == 0 && still_outcome_is_good(outcome))
		rc = chronicle_seal(c);
	if (rc == 0)
		rc = chronicle_end(c, outcome, now_s);
	return rc;
}

uint32_t chronicle_find(const struct chronicle *c, const char *path)
{
	for (uint32_t i = 0; i < c->snapshot.n; i++)
		if (strcmp(c->snapshot.entries[i].path, path) == 0)
			return i;
	return 0;
}

bool chronicle_record(
    struct still_catalog *catalog, const char *id, struct still_record **ret)
{
	struct still_record_filter filter = {.id = id};
	size_t n = 0;

	return still_catalog_list(catalog, &filter, ret, &n, NULL) == 0 &&
	    n == 1;
}
