/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/walmap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"

#define CHUNK_BYTES (256 * 1024)
#define REREAD_FRAMES_MAX 8

struct scan {
	struct sqlite_pin *pin;
	uint32_t page_size_bytes;
	size_t frame_bytes;
	bool big_endian;
	bool page_sums; /* the pages may have sums of their own */
	const struct still_observer *observer;
	const atomic_bool *cancel;
	struct sqlite_walmap *map;

	const char *bad_header; /* what is wrong with the log's own; static */
	struct sqlite_checksum stored;   /* of the frame before */
	struct sqlite_checksum computed; /* of the frame before */

	uint8_t *chunk; /* owned; whole frames */
	uint32_t chunk_first;
	uint32_t chunk_frames;
	uint32_t chunk_capacity; /* frames */
};

static void note_damage(struct scan *scan, uint32_t frame, const char *what)
{
	bool header = frame == 1 && scan->bad_header;
	char number[16];

	scan->map->n_damaged++;
	if (scan->map->damage.code)
		return;
	snprintf(number, sizeof(number), "%u", frame);
	still_error_set(&scan->map->damage, STILL_ERR_CORRUPT, 0,
	    "The live log is damaged; check the database, and its disk, before "
	    "its application restarts.",
	    "log %s%s of `%s-wal`: %s", header ? "header" : "frame ",
	    header ? "" : number, scan->pin->target.rel,
	    header ? scan->bad_header : what);
}

static ssize_t read_log(
    const struct scan *scan, void *data, size_t len, uint64_t off_bytes)
{
	return still_sys_pread(
	    sqlite_file_fd(scan->pin->wal), data, len, off_bytes);
}

static int read_failed(
    const struct scan *scan, int64_t n, struct still_error *err)
{
	return still_error_sys(
	    err, (int) -n, NULL, "`%s-wal`", scan->pin->target.rel);
}

/* Make `frame` available; *ret is NULL when the file ends before its end. */
static int fetch(
    struct scan *scan, uint32_t frame, uint8_t **ret, struct still_error *err)
{
	uint32_t left = scan->pin->header.max_frame - frame + 1;
	int64_t n;

	if (frame >= scan->chunk_first + scan->chunk_frames) {
		if (atomic_load(scan->cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "`%s-wal`: the scan was stopped",
			    scan->pin->target.rel);
		if (left > scan->chunk_capacity)
			left = scan->chunk_capacity;
		n = read_log(scan, scan->chunk, left * scan->frame_bytes,
		    sqlite_frame_offset(frame, scan->page_size_bytes));
		if (n < 0)
			return read_failed(scan, n, err);
		scan->chunk_first = frame;
		scan->chunk_frames =
		    (uint32_t) ((size_t) n / scan->frame_bytes);
	}
	*ret = frame < scan->chunk_first + scan->chunk_frames
	    ? scan->chunk + (frame - scan->chunk_first) * scan->frame_bytes
	    : NULL;
	return 0;
}

static struct sqlite_checksum frame_sum(
    const struct scan *scan, const uint8_t *frame, struct sqlite_checksum seed)
{
	seed = sqlite_checksum_add(seed, scan->big_endian, frame, 8);
	return sqlite_checksum_add(seed, scan->big_endian,
	    frame + SQLITE_FRAME_HEADER_BYTES, scan->page_size_bytes);
}

/* Rule 4. The sum of a page does not say which page it is, so the wal-index
 * must. */
static bool proven_by_page(const struct scan *scan, uint32_t number,
    const uint8_t *frame, const struct sqlite_frame_header *header)
{
	return scan->page_sums && header->page > 0 &&
	    sqlite_page_sum_proves(
		frame + SQLITE_FRAME_HEADER_BYTES, scan->page_size_bytes) &&
	    sqlite_pin_index_page(scan->pin, number) == header->page;
}

/* Rules 1, 2 and 4. NULL, or what is wrong. */
static const char *judge(struct scan *scan, uint32_t number,
    const uint8_t *frame, struct sqlite_frame_header *header,
    struct sqlite_checksum *ret_computed)
{
	struct sqlite_checksum sum;

	if (!frame)
		return "the file ends before it";
	sqlite_frame_header_parse(frame, header);
	sum = frame_sum(scan, frame, scan->stored);
	if (!sqlite_checksum_equal(sum, header->checksum) &&
	    !sqlite_checksum_equal(scan->stored, scan->computed))
		sum = frame_sum(scan, frame, scan->computed);
	*ret_computed = sum;
	if (memcmp(header->salts, scan->pin->header.salts,
		sizeof(header->salts)) != 0)
		return "wrong salts";
	if (!sqlite_checksum_equal(sum, header->checksum)) {
		if (!proven_by_page(scan, number, frame, header))
			return "checksum mismatch";
		*ret_computed = header->checksum;
		scan->map->n_page_sums++;
	}
	if (header->page == 0)
		return "page number 0";
	return NULL;
}

/* Rule 3. */
static const char *judge_again(struct scan *scan, uint32_t number,
    uint8_t *frame, struct sqlite_frame_header *header,
    struct sqlite_checksum *ret_computed, const char *wrong)
{
	int64_t pause_ns = SQLITE_REREAD_PAUSE_NS;

	/* A log that is bad all over is not in flight. */
	if (scan->map->n_damaged >= REREAD_FRAMES_MAX)
		return wrong;
	for (int i = 0; frame && wrong && i < SQLITE_REREADS; i++) {
		still_sys_sleep_ns(pause_ns);
		pause_ns *= 4;
		if (read_log(scan, frame, scan->frame_bytes,
			sqlite_frame_offset(number, scan->page_size_bytes)) !=
		    (int64_t) scan->frame_bytes)
			continue;
		wrong = judge(scan, number, frame, header, ret_computed);
		if (!wrong) {
			char text[80];

			snprintf(text, sizeof(text),
			    "log frame %u was right only when read again",
			    number);
			scan->observer->warn(scan->observer->arg,
			    "transient-read", scan->pin->target.rel, text);
		}
	}
	return wrong;
}

static int add_entry(
    struct sqlite_walmap *map, const struct sqlite_walmap_entry *entry)
{
	uint32_t n = map->n;

	if ((n & (n - 1)) == 0) {
		struct sqlite_walmap_entry *grown = realloc(
		    map->entries, (n ? 2 * (size_t) n : 1) * sizeof(*grown));

		if (!grown)
			return STILL_ERR_NOMEM;
		map->entries = grown;
	}
	map->entries[map->n++] = *entry;
	return 0;
}

uint64_t sqlite_frame_digest(
    const void *header, const void *page, uint32_t page_size_bytes)
{
	return still_hash64_seeded(page, page_size_bytes,
	    still_hash64(header, SQLITE_FRAME_HEADER_BYTES));
}

static int scan_frame(struct scan *scan, uint32_t number, bool *ret_good,
    struct sqlite_frame_header *header, struct still_error *err)
{
	struct sqlite_checksum computed = {0, 0};
	struct sqlite_walmap_entry entry = {.frame = number};
	const char *wrong;
	uint8_t *frame;
	int rc = fetch(scan, number, &frame, err);

	if (rc < 0)
		return rc;
	memset(header, 0, sizeof(*header));
	wrong = judge(scan, number, frame, header, &computed);
	if (wrong)
		wrong = judge_again(
		    scan, number, frame, header, &computed, wrong);
	*ret_good = !wrong;
	scan->stored = header->checksum;
	scan->computed = computed;
	entry.page = header->page;
	if (wrong) {
		note_damage(scan, number, wrong);
		entry.damaged = 1;
		if (entry.page == 0 ||
		    sqlite_pin_index_page(scan->pin, number) != entry.page)
			scan->map->all_damaged = true;
	} else {
		entry.digest = sqlite_frame_digest(frame,
		    frame + SQLITE_FRAME_HEADER_BYTES, scan->page_size_bytes);
	}
	if (add_entry(scan->map, &entry) < 0)
		return still_error_nomem(err);
	return 0;
}

/* The checksum that frame 1 continues: the log header's. */
static int seed_from_header(struct scan *scan, struct still_error *err)
{
	uint8_t bytes[SQLITE_WAL_HEADER_BYTES];
	struct sqlite_wal_header header = {0};
	const char *wrong = "the file ends inside its header";
	ssize_t n = read_log(scan, bytes, sizeof(bytes), 0);

	if (n < 0)
		return read_failed(scan, n, err);
	if (n == sizeof(bytes))
		wrong = sqlite_wal_header_parse(bytes, &header);
	/* A wrong seed makes frame 1 fail; then this is why. */
	scan->bad_header = wrong;
	if (!wrong)
		scan->stored = header.checksum;
	scan->computed = scan->stored;
	return 0;
}

/* The checksum before frame `first`: what the frame before it stores. If that
 * does not lead to `first`, it may itself be damaged, which is none of our
 * business: sum the log up from its beginning. */
static int seed(struct scan *scan, uint32_t first, struct still_error *err)
{
	uint8_t bytes[SQLITE_FRAME_HEADER_BYTES] = {0};
	struct sqlite_frame_header header;
	struct sqlite_checksum computed;
	uint8_t *frame;
	int64_t n;
	int rc;

	if (first == 1)
		return seed_from_header(scan, err);
	n = read_log(scan, bytes, sizeof(bytes),
	    sqlite_frame_offset(first - 1, scan->page_size_bytes));
	if (n < 0)
		return read_failed(scan, n, err);
	sqlite_frame_header_parse(bytes, &header);
	scan->stored = scan->computed = header.checksum;
	rc = fetch(scan, first, &frame, err);
	if (rc < 0 || !judge(scan, first, frame, &header, &computed))
		return rc;

	rc = seed_from_header(scan, err);
	computed = scan->stored;
	for (uint32_t f = 1; rc == 0 && f < first; f++) {
		if (f == 1)
			scan->chunk_frames = scan->chunk_first = 0;
		rc = fetch(scan, f, &frame, err);
		if (rc == 0 && frame)
			computed = frame_sum(scan, frame, computed);
	}
	scan->computed = computed;
	sqlite_frame_header_parse(bytes, &header);
	scan->stored = header.checksum;
	scan->chunk_frames = scan->chunk_first = 0;
	return rc;
}

/* A log that ends too early is one damage, however much is missing: a
 * wal-index can name four thousand million frames. */
static bool ends_early(struct scan *scan)
{
	uint32_t last = scan->pin->header.max_frame;
	struct stat st;

	if (still_sys_fstat(sqlite_file_fd(scan->pin->wal), &st) < 0 ||
	    (uint64_t) st.st_size >=
		sqlite_frame_offset(last, scan->page_size_bytes) +
		    scan->frame_bytes)
		return false;
	note_damage(scan, last, "the file ends before it");
	scan->map->all_damaged = true;
	return true;
}

static int scan_frames(struct scan *scan, struct still_error *err)
{
	const struct sqlite_index_header *index = &scan->pin->header;
	uint32_t first = scan->pin->backfill + 1;
	struct sqlite_frame_header header = {0};
	bool good = true;
	int rc;

	if (ends_early(scan))
		return 0;
	rc = seed(scan, first, err);
	for (uint32_t f = first; rc == 0 && f <= index->max_frame; f++)
		rc = scan_frame(scan, f, &good, &header, err);
	if (rc < 0 || !good)
		return rc;
	/* The end of the scan is the commit that the wal-index names. */
	if (header.n_pages_commit != index->n_pages ||
	    !sqlite_checksum_equal(header.checksum, index->frame_checksum)) {
		note_damage(scan, index->max_frame,
		    "is not the commit that the wal-index names");
		scan->map->all_damaged = true;
	}
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct sqlite_walmap_entry *x = a;
	const struct sqlite_walmap_entry *y = b;

	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return x->frame < y->frame ? -1 : x->frame > y->frame;
}

/* Keep the newest frame of each page, and no page behind the end. */
static void settle(struct sqlite_walmap *map, uint32_t n_pages)
{
	uint32_t kept = 0;

	if (map->n)
		qsort(map->entries, map->n, sizeof(*map->entries),
		    compare_entries);
	for (uint32_t i = 0; i < map->n; i++) {
		const struct sqlite_walmap_entry *e = &map->entries[i];

		if (e->page == 0 || e->page > n_pages ||
		    (i + 1 < map->n && e[1].page == e->page))
			continue;
		map->entries[kept++] = *e;
	}
	map->n = kept;
}

int sqlite_walmap_build(struct sqlite_pin *pin, uint32_t page_size_bytes,
    bool page_sums, const struct still_observer *observer,
    const atomic_bool *cancel, struct sqlite_walmap *ret,
    struct still_error *err)
{
	struct sqlite_walmap map = {0};
	struct scan scan = {
	    .pin = pin,
	    .page_size_bytes = page_size_bytes,
	    .frame_bytes = SQLITE_FRAME_HEADER_BYTES + page_size_bytes,
	    .big_endian = pin->header.big_endian,
	    .page_sums = page_sums,
	    .observer = observer,
	    .cancel = cancel,
	    .map = &map,
	};
	int rc = 0;

	if (pin->backfill < pin->header.max_frame) {
		scan.chunk_capacity =
		    (uint32_t) (CHUNK_BYTES / scan.frame_bytes) + 1;
		scan.chunk = malloc(scan.chunk_capacity * scan.frame_bytes);
		rc = scan.chunk ? scan_frames(&scan, err)
				: still_error_nomem(err);
		free(scan.chunk);
	}
	if (rc < 0) {
		sqlite_walmap_release(&map);
		return rc;
	}
	settle(&map, pin->header.n_pages);
	*ret = map;
	return 0;
}

const struct sqlite_walmap_entry *sqlite_walmap_from(
    const struct sqlite_walmap *map, uint32_t page)
{
	uint32_t low = 0;
	uint32_t high = map->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (map->entries[mid].page < page)
			low = mid + 1;
		else
			high = mid;
	}
	return low < map->n ? &map->entries[low] : NULL;
}

void sqlite_walmap_release(struct sqlite_walmap *map)
{
	free(map->entries);
	still_error_clear(&map->damage);
	memset(map, 0, sizeof(*map));
}
