/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/walmap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"

struct scan {
	struct sqlite_pin *pin;
	uint32_t page_size_bytes;
	struct sqlite_walmap *map;
	struct sqlite_frame_header last; /* of the frame before */
	bool good;                       /* it was proven */
};

static void note_damage(
    struct scan *scan, uint32_t frame, const char *log_wrong, const char *what)
{
	bool header = frame == 1 && log_wrong;
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
	    header ? log_wrong : what);
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

static int note_frame(
    void *arg, const struct sqlite_frame *frame, struct still_error *err)
{
	struct scan *scan = arg;
	struct sqlite_walmap_entry entry = {
	    .frame = frame->number,
	    .page = frame->header.page,
	};

	scan->last = frame->header;
	scan->good = !frame->wrong;
	scan->map->n_page_sums += frame->by_page_sum;
	if (frame->wrong) {
		note_damage(
		    scan, frame->number, frame->log_wrong, frame->wrong);
		entry.damaged = 1;
		if (entry.page == 0 ||
		    sqlite_pin_index_page(scan->pin, frame->number) !=
			entry.page)
			scan->map->all_damaged = true;
	} else {
		entry.digest = sqlite_frame_digest(frame->bytes,
		    frame->bytes + SQLITE_FRAME_HEADER_BYTES,
		    scan->page_size_bytes);
	}
	if (add_entry(scan->map, &entry) < 0)
		return still_error_nomem(err);
	return 0;
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
		    SQLITE_FRAME_HEADER_BYTES + scan->page_size_bytes)
		return false;
	note_damage(scan, last, NULL, "the file ends before it");
	scan->map->all_damaged = true;
	return true;
}

static int scan_frames(struct scan *scan, const struct sqlite_frames *frames,
    struct still_error *err)
{
	const struct sqlite_index_header *index = &frames->index;
	int rc;

	if (ends_early(scan))
		return 0;
	rc = sqlite_frames_walk(frames, err);
	if (rc < 0 || !scan->good)
		return rc;
	/* The end of the scan is the commit that the wal-index names. */
	if (scan->last.n_pages_commit != index->n_pages ||
	    !sqlite_checksum_equal(
		scan->last.checksum, index->frame_checksum)) {
		note_damage(scan, index->max_frame, NULL,
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
	    .map = &map,
	    .good = true,
	};
	struct sqlite_frames frames = {
	    .pin = pin,
	    .index = pin->header,
	    .first = pin->backfill + 1,
	    .page_size_bytes = page_size_bytes,
	    .page_sums = page_sums,
	    .observer = observer,
	    .cancel = cancel,
	    .each = note_frame,
	    .arg = &scan,
	};
	int rc = 0;

	if (pin->backfill < pin->header.max_frame)
		rc = scan_frames(&scan, &frames, err);
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
