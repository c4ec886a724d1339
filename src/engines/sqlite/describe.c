/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/describe.h"

#include <stdio.h>

#include "base/json.h"

/* SQLite's own bound, after which it writes a log back, is about 4 MB. */
#define LONG_LOG_BYTES (UINT64_C(64) * 1024 * 1024)

static void hex(char *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static json_t *describe_log(const struct sqlite_image *image)
{
	const struct sqlite_index_header *index = &image->pin.header;
	char salts[17];
	char checksum[24];

	if (image->private.fd >= 0)
		return json_pack("{s:s, s:s, s:I}", "mode", "rollback", "copy",
		    image->private.clone ? "clone" : "copy", "locked_ns",
		    (json_int_t) image->private.stall_ns);
	hex(salts, index->salts, sizeof(index->salts));
	snprintf(checksum, sizeof(checksum), "%08x%08x",
	    index->frame_checksum.s0, index->frame_checksum.s1);
	return json_pack("{s:s, s:s, s:I, s:I, s:s, s:s}", "mode", "wal",
	    "salts", salts, "backfilled_frames",
	    (json_int_t) image->pin.backfill, "last_frame",
	    (json_int_t) index->max_frame, "checksum", checksum, "proven_by",
	    image->map.n_page_sums ? "salts and page checksums"
				   : "salts and frame checksums");
}

static int describe_refused(json_t *object, const struct sqlite_image *image)
{
	int rc = 0;

	rc |= json_object_set_new(object, "frozen", json_false());
	rc |= still_json_set_text(
	    object, "error", still_error_msg(&image->refusal));
	return rc;
}

static int describe_frozen(json_t *object, const struct sqlite_image *image)
{
	int rc = 0;

	rc |= json_object_set_new(object, "frozen", json_true());
	rc |= json_object_set_new(
	    object, "page_size_bytes", json_integer(image->page_size_bytes));
	rc |= json_object_set_new(
	    object, "pages", json_integer(image->n_pages));
	rc |= json_object_set_new(object, "change_counter",
	    json_integer(image->header.change_counter));
	rc |= still_json_set_time(object, "frozen_at", image->frozen_at_ns);
	rc |= json_object_set_new(object, "verified",
	    json_string(sqlite_verified_words(sqlite_verified_of(image))));
	rc |= json_object_set_new(object, "log", describe_log(image));
	return rc;
}

/* Of one that is handed over as what changed. */
static int describe_link(
    json_t *object, const struct sqlite_link *link, const char *log)
{
	int rc = link->changed
	    ? still_json_set_name(object, "increment", log) |
		json_object_set_new(object, "increment_bytes",
		    json_integer((json_int_t) link->increment.size_bytes))
	    : json_object_set_new(object, "increment", json_null());

	return rc |
	    json_object_set_new(
		object, "pages_xxh128", json_string(link->pages_xxh128));
}

json_t *sqlite_describe_image(
    const struct sqlite_image *image, const char *path, const char *log)
{
	json_t *object = json_object();
	int rc = object ? 0 : -1;

	rc |= still_json_set_name(object, "path", path);
	rc |= json_object_set_new(object, "size_bytes",
	    json_integer((json_int_t) sqlite_image_listed_bytes(image)));
	rc |= image->refusal.code ? describe_refused(object, image)
				  : describe_frozen(object, image);
	if (image->link)
		rc |= describe_link(object, image->link, log);
	if (rc == 0)
		return object;
	json_decref(object);
	return NULL;
}

struct sqlite_verified sqlite_verified_of(const struct sqlite_image *image)
{
	return (struct sqlite_verified){
	    .depth = image->depth,
	    .pages = image->page_checksums,
	    .logs = image->private.fd < 0,
	};
}

const char *sqlite_verified_words(struct sqlite_verified verified)
{
	static const char *const words[3][2][2] = {
	    [SQLITE_DEPTH_HEADER] = {{"header", "header+logs"},
		{"pages", "pages+logs"}},
	    [SQLITE_DEPTH_STRUCTURE] = {{"structure", "structure+logs"},
		{"pages+structure", "pages+structure+logs"}},
	    [SQLITE_DEPTH_INTEGRITY] = {{"integrity", "integrity+logs"},
		{"pages+integrity", "pages+integrity+logs"}},
	};

	return words[verified.depth][verified.pages][verified.logs];
}

struct sqlite_verified sqlite_verified_all(
    const struct sqlite_image *images, size_t n)
{
	struct sqlite_verified all = {SQLITE_DEPTH_INTEGRITY, true, false};

	for (size_t i = 0; i < n; i++) {
		struct sqlite_verified one = sqlite_verified_of(&images[i]);

		if (images[i].refusal.code)
			continue;
		if (one.depth < all.depth)
			all.depth = one.depth;
		all.pages &= one.pages;
		all.logs |= one.logs;
	}
	return all;
}

void sqlite_warn_of_log(const struct sqlite_image *image)
{
	const struct sqlite_pin *pin = &image->pin;
	uint64_t bytes;
	char text[160];

	if (!sqlite_image_is_pinned(image))
		return;
	bytes = (uint64_t) (pin->header.max_frame - pin->backfill) *
	    (SQLITE_FRAME_HEADER_BYTES + (uint64_t) image->page_size_bytes);
	if (bytes <= LONG_LOG_BYTES || bytes <= sqlite_image_bytes(image))
		return;
	snprintf(text, sizeof(text),
	    "%llu bytes of its log are not written back to the database, which "
	    "has %llu",
	    (unsigned long long) bytes,
	    (unsigned long long) sqlite_image_bytes(image));
	image->observer.warn(image->observer.arg, "long-log", image->rel, text);
}
