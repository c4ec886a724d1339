/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

#define FORMAT 1

/* `xxhsum -H2 verify/XXH128SUMS` in the base's set says whether it is that one. A
 * full set builds on nothing. */
static json_t *base_json(const struct still_link *base)
{
	char hex[STILL_HASH128_HEX_CHARS + 1];

	if (!base)
		return json_null();
	still_hash128_hex(base->seal, hex);
	return json_pack("{s:s, s:I, s:s}", "session", base->id, "number",
	    (json_int_t) base->number, "xxh128", hex);
}

static int fill(json_t *root, const struct still_manifest *manifest)
{
	const struct still_builder *builder = manifest->builder;
	int rc = 0;

	rc |= json_object_set_new(root, "format", json_integer(FORMAT));
	rc |= json_object_set_new(
	    root, "program", json_string("stillfs " PACKAGE_VERSION));
	rc |= json_object_set_new(
	    root, "session", json_string(manifest->session_id));
	rc |= json_object_set_new(root, "kind", json_string(manifest->kind));
	rc |= json_object_set_new(root, "number",
	    manifest->number ? json_integer((json_int_t) manifest->number)
			     : json_null());
	rc |= json_object_set_new(root, "base", base_json(manifest->base));
	rc |= json_object_set_new(root, "chain",
	    manifest->chain && manifest->chain[0]
		? json_pack("{s:s, s:I}", "full", manifest->chain, "link",
		      (json_int_t) manifest->link)
		: json_null());
	rc |= json_object_set_new(
	    root, "engine", json_string(manifest->instance->engine));
	rc |= json_object_set_new(root, "engine_version",
	    json_string(manifest->instance->engine_version));
	rc |= still_json_set_name(root, "source", manifest->instance->source);
	rc |= still_json_set_time(root, "begun_at", manifest->begun_at_ns);
	rc |= still_json_set_time(root, "frozen_at", manifest->frozen_at_ns);
	rc |= json_object_set_new(root, "cut", json_string(builder->cut.words));
	rc |= json_object_set_new(root, "cut_width_ns",
	    json_integer(builder->cut.last_ns - builder->cut.first_ns));
	rc |= json_object_set_new(
	    root, "writers_held_ns", json_integer(builder->cut.held_ns));
	if (builder->cut.way)
		rc |= json_object_set_new(
		    root, "freeze", json_string(builder->cut.way));
	rc |= json_object_set_new(
	    root, "verified", json_string(builder->verified));
	rc |= json_object_set_new(
	    root, "data_files", json_integer((json_int_t) builder->n_files));
	rc |= json_object_set_new(
	    root, "data_bytes", json_integer((json_int_t) builder->n_bytes));
	rc |= json_object_set_new(
	    root, "checksums", json_string(STILL_SEAL_PATH));
	rc |= still_builder_describe(builder, root);
	rc |= json_object_set(root, "databases", builder->databases);
	if (manifest->base)
		rc |= json_object_set(root, "dropped", builder->dropped);
	return rc;
}

char *still_manifest_text(
    const struct still_manifest *manifest, size_t *ret_len)
{
	json_t *root = json_object();
	char *text = NULL;

	if (root && fill(root, manifest) == 0)
		text = still_json_text(root, ret_len);
	json_decref(root);
	return text;
}

uint64_t still_sums_bytes(const struct still_snapshot *snapshot)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < snapshot->n; i++)
		if (snapshot->entries[i].kind == STILL_FILE &&
		    i != snapshot->seal)
			bytes += STILL_HASH128_HEX_CHARS + 2 +
			    strlen(snapshot->entries[i].path) + 1;
	return bytes;
}

char *still_sums_text(
    const struct still_snapshot *snapshot, const struct still_hash128 *digests)
{
	struct still_buf text = STILL_BUF_INIT;
	char hex[STILL_HASH128_HEX_CHARS + 1];

	for (uint32_t i = 0; i < snapshot->n; i++) {
		if (snapshot->entries[i].kind != STILL_FILE ||
		    i == snapshot->seal)
			continue;
		still_hash128_hex(digests[i], hex);
		still_buf_printf(
		    &text, "%s  %s\n", hex, snapshot->entries[i].path);
	}
	return still_buf_take(&text, NULL);
}
