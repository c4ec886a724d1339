/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

#define CHUNK_BYTES (256 * 1024)
#define REREAD_FRAMES_MAX 8

struct walk {
	const struct sqlite_frames *frames;
	size_t frame_bytes;
	const char *bad_header; /* what is wrong with the log's own; static */
	struct sqlite_checksum stored;   /* of the frame before */
	struct sqlite_checksum computed; /* of the frame before */
	unsigned n_wrong;
	bool by_page_sum; /* how the last frame was proven */

	uint8_t *chunk; /* owned; whole frames */
	uint32_t chunk_first;
	uint32_t chunk_frames;
	uint32_t chunk_capacity; /* frames */
};

static ssize_t read_log(
    const struct walk *walk, void *data, size_t len, uint64_t off_bytes)
{
	return still_sys_pread(
	    sqlite_file_fd(walk->frames->pin->wal), data, len, off_bytes);
}

static int read_failed(
    const struct walk *walk, int64_t n, struct still_error *err)
{
	return still_error_sys(
	    err, (int) -n, NULL, "`%s-wal`", walk->frames->pin->target.rel);
}

/* Make `frame` available; *ret is NULL when the file ends before its end. */
static int fetch(
    struct walk *walk, uint32_t frame, uint8_t **ret, struct still_error *err)
{
	uint32_t left = walk->frames->index.max_frame - frame + 1;
	int64_t n;

	if (frame >= walk->chunk_first + walk->chunk_frames) {
		if (atomic_load(walk->frames->cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "`%s-wal`: the scan was stopped",
			    walk->frames->pin->target.rel);
		if (left > walk->chunk_capacity)
			left = walk->chunk_capacity;
		n = read_log(walk, walk->chunk, left * walk->frame_bytes,
		    sqlite_frame_offset(frame, walk->frames->page_size_bytes));
		if (n < 0)
			return read_failed(walk, n, err);
		walk->chunk_first = frame;
		walk->chunk_frames =
		    (uint32_t) ((size_t) n / walk->frame_bytes);
	}
	*ret = frame < walk->chunk_first + walk->chunk_frames
	    ? walk->chunk + (frame - walk->chunk_first) * walk->frame_bytes
	    : NULL;
	return 0;
}

static struct sqlite_checksum frame_sum(
    const struct walk *walk, const uint8_t *frame, struct sqlite_checksum seed)
{
	seed = sqlite_checksum_add(
	    seed, walk->frames->index.big_endian, frame, 8);
	return sqlite_checksum_add(seed, walk->frames->index.big_endian,
	    frame + SQLITE_FRAME_HEADER_BYTES, walk->frames->page_size_bytes);
}

/* Rule 4. The sum of a page does not say which page it is, so the wal-index
 * must. */
static bool proven_by_page(const struct walk *walk, uint32_t number,
    const uint8_t *frame, const struct sqlite_frame_header *header)
{
	return walk->frames->page_sums && header->page > 0 &&
	    sqlite_page_sum_proves(frame + SQLITE_FRAME_HEADER_BYTES,
		walk->frames->page_size_bytes) &&
	    sqlite_pin_index_page(walk->frames->pin, number) == header->page;
}

/* Rules 1, 2 and 4. NULL, or what is wrong. */
static const char *judge(struct walk *walk, uint32_t number,
    const uint8_t *frame, struct sqlite_frame_header *header,
    struct sqlite_checksum *ret_computed)
{
	struct sqlite_checksum sum;

	walk->by_page_sum = false;
	if (!frame)
		return "the file ends before it";
	sqlite_frame_header_parse(frame, header);
	sum = frame_sum(walk, frame, walk->stored);
	if (!sqlite_checksum_equal(sum, header->checksum) &&
	    !sqlite_checksum_equal(walk->stored, walk->computed))
		sum = frame_sum(walk, frame, walk->computed);
	*ret_computed = sum;
	if (memcmp(header->salts, walk->frames->index.salts,
		sizeof(header->salts)) != 0)
		return "wrong salts";
	if (!sqlite_checksum_equal(sum, header->checksum)) {
		if (!proven_by_page(walk, number, frame, header))
			return "checksum mismatch";
		*ret_computed = header->checksum;
		walk->by_page_sum = true;
	}
	if (header->page == 0)
		return "page number 0";
	return NULL;
}

/* Rule 3. */
static const char *judge_again(struct walk *walk, uint32_t number,
    uint8_t *frame, struct sqlite_frame_header *header,
    struct sqlite_checksum *ret_computed, const char *wrong)
{
	int64_t pause_ns = SQLITE_REREAD_PAUSE_NS;

	/* A log that is bad all over is not in flight. */
	if (walk->n_wrong >= REREAD_FRAMES_MAX)
		return wrong;
	for (int i = 0; frame && wrong && i < SQLITE_REREADS; i++) {
		still_sys_sleep_ns(pause_ns);
		pause_ns *= 4;
		if (read_log(walk, frame, walk->frame_bytes,
			sqlite_frame_offset(
			    number, walk->frames->page_size_bytes)) !=
		    (int64_t) walk->frame_bytes)
			continue;
		wrong = judge(walk, number, frame, header, ret_computed);
		if (!wrong) {
			char text[80];

			snprintf(text, sizeof(text),
			    "log frame %u was right only when read again",
			    number);
			walk->frames->observer->warn(
			    walk->frames->observer->arg, "transient-read",
			    walk->frames->pin->target.rel, text);
		}
	}
	return wrong;
}

/* The checksum that frame 1 continues: the log header's. */
static int seed_from_header(struct walk *walk, struct still_error *err)
{
	uint8_t bytes[SQLITE_WAL_HEADER_BYTES];
	struct sqlite_wal_header header = {0};
	const char *wrong = "the file ends inside its header";
	ssize_t n = read_log(walk, bytes, sizeof(bytes), 0);

	if (n < 0)
		return read_failed(walk, n, err);
	if (n == sizeof(bytes))
		wrong = sqlite_wal_header_parse(bytes, &header);
	/* A wrong seed makes frame 1 fail; then this is why. */
	walk->bad_header = wrong;
	if (!wrong)
		walk->stored = header.checksum;
	walk->computed = walk->stored;
	return 0;
}

/* The checksum before frame `first`: what the frame before it stores. If that
 * does not lead to `first`, it may itself be damaged, which is none of our
 * business: sum the log up from its beginning. */
static int seed(struct walk *walk, uint32_t first, struct still_error *err)
{
	uint8_t bytes[SQLITE_FRAME_HEADER_BYTES] = {0};
	struct sqlite_frame_header header;
	struct sqlite_checksum computed;
	uint8_t *frame;
	int64_t n;
	int rc;

	if (first == 1)
		return seed_from_header(walk, err);
	n = read_log(walk, bytes, sizeof(bytes),
	    sqlite_frame_offset(first - 1, walk->frames->page_size_bytes));
	if (n < 0)
		return read_failed(walk, n, err);
	sqlite_frame_header_parse(bytes, &header);
	walk->stored = walk->computed = header.checksum;
	rc = fetch(walk, first, &frame, err);
	if (rc < 0 || !judge(walk, first, frame, &header, &computed))
		return rc;

	rc = seed_from_header(walk, err);
	computed = walk->stored;
	for (uint32_t f = 1; rc == 0 && f < first; f++) {
		if (f == 1)
			walk->chunk_frames = walk->chunk_first = 0;
		rc = fetch(walk, f, &frame, err);
		if (rc == 0 && frame)
			computed = frame_sum(walk, frame, computed);
	}
	walk->computed = computed;
	sqlite_frame_header_parse(bytes, &header);
	walk->stored = header.checksum;
	walk->chunk_frames = walk->chunk_first = 0;
	return rc;
}

static int step(struct walk *walk, uint32_t number, struct still_error *err)
{
	struct sqlite_frame frame = {.number = number};
	struct sqlite_checksum computed = {0, 0};
	uint8_t *bytes;
	int rc = fetch(walk, number, &bytes, err);

	if (rc < 0)
		return rc;
	frame.wrong = judge(walk, number, bytes, &frame.header, &computed);
	if (frame.wrong)
		frame.wrong = judge_again(
		    walk, number, bytes, &frame.header, &computed, frame.wrong);
	if (frame.wrong)
		walk->n_wrong++;
	walk->stored = frame.header.checksum;
	walk->computed = computed;
	frame.bytes = bytes;
	frame.by_page_sum = walk->by_page_sum;
	frame.log_wrong = walk->bad_header;
	return walk->frames->each(walk->frames->arg, &frame, err);
}

int sqlite_frames_walk(
    const struct sqlite_frames *frames, struct still_error *err)
{
	struct walk walk = {
	    .frames = frames,
	    .frame_bytes = SQLITE_FRAME_HEADER_BYTES + frames->page_size_bytes,
	};
	int rc;

	if (frames->first > frames->index.max_frame)
		return 0;
	walk.chunk_capacity = (uint32_t) (CHUNK_BYTES / walk.frame_bytes) + 1;
	walk.chunk = malloc(walk.chunk_capacity * walk.frame_bytes);
	if (!walk.chunk)
		return still_error_nomem(err);
	rc = seed(&walk, frames->first, err);
	for (uint32_t f = frames->first;
	     rc == 0 && f <= frames->index.max_frame; f++)
		rc = step(&walk, f, err);
	free(walk.chunk);
	return rc;
}
