/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/wal_record.h"

#include <string.h>

#include "engines/postgres/versions.h"

#define ID_BLOCK_MAX 32
#define ID_TOP_TRANSACTION 252
#define ID_ORIGIN 253
#define ID_DATA_LONG 254
#define ID_DATA_SHORT 255

#define FORK_MASK 0x0f
#define BLOCK_IMAGE 0x10
#define BLOCK_DATA 0x20
#define BLOCK_INIT 0x40
#define BLOCK_SAME 0x80

#define IMAGE_HOLE 0x01

_Static_assert(STILL_PG_WAL_BLOCKS_MAX == ID_BLOCK_MAX + 1 &&
	STILL_PG_WAL_BLOCKS_MAX * (4 + 5 + 2 + 12 + 4) + 5 + 3 + 5 <=
	    STILL_PG_WAL_HEADERS_MAX_BYTES,
    "the longest headers");

static const char too_short[] = "has headers that it is too short for";

/* What is left to be read, and what the headers have announced. */
struct body {
	const uint8_t *at;
	size_t left;
	uint64_t announced_bytes; /* far from 2^64: 34 lengths of 32 bits */
	const struct still_pg_wal_format *format;
	const struct still_pg_version *version;
	struct still_pg_wal_record *record;
	const struct still_pg_locator *last; /* of the block before, or NULL */
	int last_id;
};

/* Take `len` bytes into `to`, if they are there. */
static bool take(struct body *body, void *to, size_t len)
{
	if (body->left < len)
		return false;
	memcpy(to, body->at, len);
	body->at += len;
	body->left -= len;
	return true;
}

struct image_head {
	uint16_t length;
	uint16_t hole_offset;
	uint8_t info;
	uint16_t hole_length;
};

static const char *check_image(
    const struct image_head *image, bool compressed, uint32_t block_bytes)
{
	bool hole = (image->info & IMAGE_HOLE) != 0;

	if (image->length == 0 || image->length > block_bytes)
		return "has an image of an impossible length";
	if (hole &&
	    (image->hole_offset == 0 || image->hole_length == 0 ||
		image->length == block_bytes))
		return "has an image with an impossible hole";
	if (!hole && image->hole_offset != 0)
		return "has an image with a hole that it denies";
	if ((uint32_t) image->hole_offset + image->hole_length > block_bytes)
		return "has an image whose hole leaves the page";
	if (compressed ? image->length == block_bytes
		       : !hole && image->length != block_bytes)
		return "has an image of another length than a page";
	return NULL;
}

static const char *parse_image(
    struct body *body, struct still_pg_wal_block *block)
{
	uint32_t block_bytes = body->format->block_bytes;
	struct image_head image = {0};
	bool compressed;
	const char *wrong;

	if (!take(body, &image.length, sizeof(image.length)) ||
	    !take(body, &image.hole_offset, sizeof(image.hole_offset)) ||
	    !take(body, &image.info, sizeof(image.info)))
		return too_short;
	compressed = (image.info & body->version->image_compressed) != 0;
	if (compressed && (image.info & IMAGE_HOLE)) {
		if (!take(body, &image.hole_length, sizeof(image.hole_length)))
			return too_short;
	} else if (image.info & IMAGE_HOLE && image.length <= block_bytes) {
		image.hole_length = (uint16_t) (block_bytes - image.length);
	}
	wrong = check_image(&image, compressed, block_bytes);
	if (wrong)
		return wrong;
	block->image_bytes = image.length;
	body->announced_bytes += image.length;
	if (image.info & body->version->image_applied)
		block->replaced = true;
	return NULL;
}

static const char *parse_locator(
    struct body *body, uint8_t flags, struct still_pg_wal_block *block)
{
	if (flags & BLOCK_SAME) {
		if (!body->last)
			return "has no relation to repeat";
		block->where = *body->last;
	} else if (!take(body, &block->where.tablespace, 4) ||
	    !take(body, &block->where.database, 4) ||
	    !take(body, &block->where.relation, 4)) {
		return too_short;
	}
	block->where.fork = flags & FORK_MASK;
	body->last = &block->where;
	return take(body, &block->block, 4) ? NULL : too_short;
}

static const char *parse_block(struct body *body, uint8_t id)
{
	/* Rising identifiers, so there is room for all. */
	struct still_pg_wal_block *block =
	    &body->record->blocks[body->record->n_blocks];
	uint16_t length;
	uint8_t flags;

	if (id <= body->last_id)
		return "has blocks out of their order";
	body->last_id = id;
	if (!take(body, &flags, sizeof(flags)) ||
	    !take(body, &length, sizeof(length)))
		return too_short;
	if (((flags & BLOCK_DATA) != 0) != (length != 0))
		return "has a block that contradicts its flags";
	body->announced_bytes += length;
	block->image_bytes = 0;
	block->replaced = (flags & BLOCK_INIT) != 0;
	if (flags & BLOCK_IMAGE) {
		const char *wrong = parse_image(body, block);

		if (wrong)
			return wrong;
	}
	body->record->n_blocks++;
	return parse_locator(body, flags, block);
}

static const char *parse_data(struct body *body, uint8_t id)
{
	uint32_t length;
	uint8_t short_length;

	if (id == ID_DATA_LONG) {
		if (!take(body, &length, sizeof(length)))
			return too_short;
	} else {
		if (!take(body, &short_length, sizeof(short_length)))
			return too_short;
		length = short_length;
	}
	body->record->data_bytes = length;
	body->announced_bytes += length;
	return NULL;
}

static const char *parse_header(struct body *body, uint8_t id)
{
	uint8_t unused[4];

	if (id <= ID_BLOCK_MAX)
		return parse_block(body, id);
	if (id >= ID_DATA_LONG)
		return parse_data(body, id);
	if (id == ID_ORIGIN)
		return take(body, unused, 2) ? NULL : too_short;
	if (id == ID_TOP_TRANSACTION && body->version->has_top_transaction)
		return take(body, unused, 4) ? NULL : too_short;
	return "has a header of an unknown kind";
}

void still_pg_wal_record_head(
    const uint8_t bytes[STILL_PG_WAL_RECORD_HEAD_BYTES],
    struct still_pg_wal_record *ret)
{
	memcpy(&ret->total_bytes, bytes, 4);
	memcpy(&ret->previous_lsn, bytes + 8, 8);
	ret->info = bytes[16];
	ret->rmgr = bytes[17];
	memcpy(&ret->crc, bytes + 20, 4);
}

const char *still_pg_wal_record_body(const uint8_t *bytes, size_t len,
    const struct still_pg_wal_format *format,
    struct still_pg_wal_record *record)
{
	size_t body_bytes = (size_t) record->total_bytes -
	    STILL_PG_WAL_RECORD_HEAD_BYTES;
	const struct still_pg_version *version = still_pg_version(
	    (int) format->major);
	struct body body = {bytes, len, 0, format, version, record, NULL, -1};

	if (record->total_bytes < STILL_PG_WAL_RECORD_HEAD_BYTES)
		return "is shorter than its header";
	if (body.left > body_bytes)
		body.left = body_bytes;
	record->n_blocks = 0;
	record->data_bytes = 0;
	record->data = NULL;
	/* The headers end where as much is left as they announce. */
	while (body_bytes - (size_t) (body.at - bytes) > body.announced_bytes) {
		const char *wrong;
		uint8_t id;

		if (!take(&body, &id, sizeof(id)))
			return too_short;
		wrong = parse_header(&body, id);
		if (wrong)
			return wrong;
		if (id >= ID_DATA_LONG)
			break;
	}
	if (body_bytes - (size_t) (body.at - bytes) != body.announced_bytes)
		return "is not as long as its headers say";
	if (len >= body_bytes)
		record->data = bytes + body_bytes - record->data_bytes;
	return NULL;
}
