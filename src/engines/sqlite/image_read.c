/* SPDX-License-Identifier: MIT */
/* Reading an image: where each page is, and the proof of it. */
#include "config.h"

#include <string.h>

#include "base/sys.h"
#include "engines/sqlite/image.h"
#include "engines/sqlite/points.h"

int sqlite_image_damaged(const struct sqlite_image *image, uint32_t page,
    struct still_error *err, const char *why)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "The snapshot cannot be completed; check the live database with "
	    "`PRAGMA integrity_check`, and its disk.",
	    "page %u of `%s`: %s", page, image->rel, why);
}

/* ---- reading ------------------------------------------------------------- */

int sqlite_image_fd(const struct sqlite_image *image)
{
	return image->private.fd >= 0 ? image->private.fd
				      : sqlite_file_fd(image->pin.db);
}

/* Bytes of the database file, as they are. */
int sqlite_image_read_stored(const struct sqlite_image *image,
    uint64_t off_bytes, uint8_t *data, size_t len, struct still_error *err)
{
	const char *why = "the database file ends before it";
	uint64_t end;
	uint64_t page;
	ssize_t n;

	if (image->private.fd >= 0) {
		n = sqlite_private_read(
		    &image->private, image->rel, off_bytes, data, len, err);
		if (n < 0)
			return (int) n;
	} else {
		n = still_sys_pread(
		    sqlite_file_fd(image->pin.db), data, len, off_bytes);
	}
	if (n < 0)
		return still_error_sys(err, (int) -n,
		    "The disk of the live database failed; see the kernel log.",
		    "page %llu of `%s`",
		    (unsigned long long) (off_bytes / image->page_size_bytes) +
			1,
		    image->rel);
	if ((size_t) n == len)
		return 0;
	end = off_bytes + (uint64_t) n;
	page = end / image->page_size_bytes;
	/* Zeros stand for the page with the lock bytes, and for no other. */
	if (page != SQLITE_LOCK_BYTE / image->page_size_bytes)
		return sqlite_image_damaged(
		    image, (uint32_t) page + 1, err, why);
	if (off_bytes + len > (page + 1) * image->page_size_bytes)
		return sqlite_image_damaged(
		    image, (uint32_t) page + 2, err, why);
	memset(data + n, 0, len - (size_t) n);
	return 0;
}

/* NULL, or what is wrong with a whole page. Static. */
static const char *judge(
    const struct sqlite_image *image, uint32_t page, const uint8_t *data)
{
	const uint32_t page_size = image->page_size_bytes;

	if (page - 1 == SQLITE_LOCK_BYTE / page_size)
		return NULL;
	if (image->page_checksums && !sqlite_page_sum_valid(data, page_size))
		return "its checksum (of the checksum VFS) does not match";
	if (sqlite_rot_is_armed(&image->rot) &&
	    sqlite_rot_has(&image->rot, page, data, page_size))
		return "it is not what it was in the last committed backup, "
		       "and its application has not written it since";
	return NULL;
}

/* A whole page that can be checked, again while it is not the right one. */
static int check_page(const struct sqlite_image *image, uint32_t page,
    uint8_t *data, struct still_error *err)
{
	const uint32_t page_size = image->page_size_bytes;
	int64_t pause_ns = SQLITE_REREAD_PAUSE_NS;
	const char *wrong = judge(image, page, data);
	int rc;

	for (int i = 0; wrong && i < SQLITE_REREADS; i++) {
		still_sys_sleep_ns(pause_ns);
		pause_ns *= 4;
		rc = sqlite_image_read_stored(image,
		    (uint64_t) (page - 1) * page_size, data, page_size, err);
		if (rc < 0)
			return rc;
		wrong = judge(image, page, data);
		if (!wrong)
			image->observer.warn(image->observer.arg,
			    "transient-read", image->rel,
			    "a page was right only when read again");
	}
	return wrong ? sqlite_image_damaged(image, page, err, wrong) : 0;
}

/* Pages are checked whole, wherever the range begins and ends. */
static int read_checked(const struct sqlite_image *image, uint64_t off_bytes,
    uint8_t *data, size_t len, struct still_error *err)
{
	const size_t page_size = image->page_size_bytes;
	uint8_t scratch[SQLITE_PAGE_SIZE_MAX];
	int rc = 0;

	while (rc == 0 && len > 0) {
		uint32_t page = (uint32_t) (off_bytes / page_size) + 1;
		size_t from = (size_t) (off_bytes % page_size);
		size_t n = len - len % page_size;

		if (from == 0 && n > 0) {
			rc = sqlite_image_read_stored(
			    image, off_bytes, data, n, err);
			for (size_t at = 0; rc == 0 && at < n; at += page_size)
				rc = check_page(image, page++, data + at, err);
		} else {
			n = page_size - from < len ? page_size - from : len;
			rc = sqlite_image_read_stored(
			    image, off_bytes - from, scratch, page_size, err);
			if (rc == 0)
				rc = check_page(image, page, scratch, err);
			if (rc == 0)
				memcpy(data, scratch + from, n);
		}
		off_bytes += n;
		data += n;
		len -= n;
	}
	return rc;
}

static int read_file(const struct sqlite_image *image, uint64_t off_bytes,
    uint8_t *data, size_t len, struct still_error *err)
{
	return image->page_checksums || sqlite_rot_is_armed(&image->rot)
	    ? read_checked(image, off_bytes, data, len, err)
	    : sqlite_image_read_stored(image, off_bytes, data, len, err);
}

/* A whole page from the log, into `page`. */
static int read_frame(const struct sqlite_image *image,
    const struct sqlite_walmap_entry *entry, uint8_t *page,
    struct still_error *err)
{
	const ssize_t frame_bytes = SQLITE_FRAME_HEADER_BYTES +
	    (ssize_t) image->page_size_bytes;
	uint8_t header[SQLITE_FRAME_HEADER_BYTES];
	int64_t pause_ns = SQLITE_REREAD_PAUSE_NS;
	ssize_t n = 0;

	for (int i = 0; i <= SQLITE_REREADS; i++) {
		n = still_sys_pread_two(sqlite_file_fd(image->pin.wal), header,
		    sizeof(header), page, image->page_size_bytes,
		    sqlite_frame_offset(entry->frame, image->page_size_bytes));
		if (n == frame_bytes &&
		    sqlite_frame_digest(header, page, image->page_size_bytes) ==
			entry->digest) {
			if (i > 0)
				image->observer.warn(image->observer.arg,
				    "transient-read", image->rel,
				    "a log frame was right only when read "
				    "again");
			if (image->page_checksums)
				sqlite_page_sum_set(
				    page, image->page_size_bytes);
			return 0;
		}
		if (i < SQLITE_REREADS)
			still_sys_sleep_ns(pause_ns);
		pause_ns *= 4;
	}
	if (n < 0)
		return still_error_sys(err, (int) -n,
		    "The disk of the live database failed; see the kernel log.",
		    "log frame %u of `%s-wal`", entry->frame, image->rel);
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "The live log is damaged; check the database, and its disk, before "
	    "its application restarts.",
	    "log frame %u of `%s-wal`: changed since the freeze (page %u)",
	    entry->frame, image->rel, entry->page);
}

static int read_logged(const struct sqlite_image *image,
    const struct sqlite_walmap_entry *entry, size_t from, uint8_t *data,
    size_t len, struct still_error *err)
{
	uint8_t scratch[SQLITE_PAGE_SIZE_MAX];
	int rc;

	if (entry->damaged)
		return sqlite_image_damaged(
		    image, entry->page, err, "its log frame is damaged");
	/* The digest covers the page, so a part of it is read by the whole. */
	if (from == 0 && len == image->page_size_bytes)
		return read_frame(image, entry, data, err);
	rc = read_frame(image, entry, scratch, err);
	if (rc == 0)
		memcpy(data, scratch + from, len);
	return rc;
}

/* ---- where a page is ------------------------------------------------------- */

enum place {
	IN_SPOOL,
	IN_LOG,
	IN_FILE
};

/* A look at the map goes on from page to page. */
struct cursor {
	const struct sqlite_walmap_entry *entry; /* of this page or a later one;
						    NULL: there is none */
	const struct sqlite_walmap_entry *end;
	bool flat;
};

static void seek(
    const struct sqlite_image *image, uint32_t page, struct cursor *ret)
{
	ret->entry = sqlite_walmap_from(&image->map, page);
	ret->end = image->map.entries + image->map.n;
	ret->flat = atomic_load(&image->flat);
}

/* The entry of `page`, or NULL; pages only go up. */
static const struct sqlite_walmap_entry *entry_of(
    struct cursor *cursor, uint32_t page)
{
	while (cursor->entry && cursor->entry->page < page)
		if (++cursor->entry == cursor->end)
			cursor->entry = NULL;
	return cursor->entry && cursor->entry->page == page ? cursor->entry
							    : NULL;
}

static bool is_damaged(const struct sqlite_walmap_entry *entry)
{
	return entry && entry->damaged;
}

static enum place place_of(
    const struct sqlite_image *image, struct cursor *cursor, uint32_t page)
{
	const struct sqlite_walmap_entry *entry = entry_of(cursor, page);

	/* It can be had from nowhere, and the log is what says so. */
	if (is_damaged(entry))
		return IN_LOG;
	if (sqlite_saved_has(&image->saved, page))
		return IN_SPOOL;
	return entry && !cursor->flat ? IN_LOG : IN_FILE;
}

/* How many bytes from `off` on, of `len`, are where the first of them is. Of the
 * log one page, whose entry the cursor is at. */
static size_t run_of(const struct sqlite_image *image, struct cursor *cursor,
    uint64_t off_bytes, size_t len, enum place *ret)
{
	const uint32_t page_size = image->page_size_bytes;
	uint32_t page = (uint32_t) (off_bytes / page_size) + 1;
	uint64_t end = (uint64_t) page * page_size;

	*ret = place_of(image, cursor, page);
	if (*ret != IN_LOG)
		while (end < off_bytes + len &&
		    place_of(image, cursor, ++page) == *ret)
			end += page_size;
	return end - off_bytes < len ? (size_t) (end - off_bytes) : len;
}

static int read_run(struct sqlite_image *image, enum place place,
    const struct sqlite_walmap_entry *entry, uint64_t off_bytes, uint8_t *data,
    size_t len, struct still_error *err)
{
	size_t from = (size_t) (off_bytes % image->page_size_bytes);

	SQLITE_POINT(SQLITE_POINT_LOOKED_UP, image);
	switch (place) {
	case IN_SPOOL:
		return sqlite_saved_read(
		    &image->saved, off_bytes, data, len, err);
	case IN_LOG:
		return read_logged(image, entry, from, data, len, err);
	default:
		still_ahead_of(&image->ahead, sqlite_file_fd(image->pin.db),
		    off_bytes, len);
		return read_file(image, off_bytes, data, len, err);
	}
}

static int read_all(struct sqlite_image *image, uint64_t off_bytes,
    uint8_t *data, size_t len, struct still_error *err)
{
	struct cursor cursor;
	int rc = 0;

	seek(image, (uint32_t) (off_bytes / image->page_size_bytes) + 1,
	    &cursor);
	while (rc == 0 && len > 0) {
		struct cursor at = cursor;
		enum place place;
		size_t run = run_of(image, &cursor, off_bytes, len, &place);

		entry_of(
		    &at, (uint32_t) (off_bytes / image->page_size_bytes) + 1);
		rc = read_run(
		    image, place, at.entry, off_bytes, data, run, err);
		off_bytes += run;
		data += run;
		len -= run;
	}
	return rc;
}

static int lost(const struct sqlite_image *image, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_LOST, 0, NULL,
	    "database `%s`: the snapshot is no longer protected", image->rel);
}

/* Under the lock. */
static int read_locked(struct sqlite_image *image, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	if (image->refusal.code)
		return still_error_set(err, STILL_ERR_IO, 0,
		    image->refusal.hint, "database `%s`: is not frozen: %s",
		    image->rel, still_error_msg(&image->refusal));
	if (image->map.all_damaged)
		return sqlite_image_damaged(image,
		    (uint32_t) (off_bytes / image->page_size_bytes) + 1, err,
		    "a log frame is damaged that may be its own");
	if (image->private.fd >= 0)
		return read_file(image, off_bytes, data, len, err);
	if (image->lost && atomic_load(image->lost))
		return lost(image, err);
	return read_all(image, off_bytes, data, len, err);
}

int sqlite_image_read(struct sqlite_image *image, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	int rc;

	pthread_rwlock_rdlock(&image->use);
	rc = read_locked(image, off_bytes, data, len, err);
	pthread_rwlock_unlock(&image->use);
	return rc;
}

void sqlite_image_give_up(
    struct sqlite_image *image, const struct still_error *why)
{
	pthread_rwlock_wrlock(&image->use);
	still_error_copy(&image->refusal, why);
	pthread_rwlock_unlock(&image->use);
}

static bool has_saved(struct sqlite_image *image)
{
	bool has;

	pthread_rwlock_rdlock(&image->use);
	has = image->saved.fd >= 0;
	pthread_rwlock_unlock(&image->use);
	return has;
}

/* Readers look into it under the lock, and need not be waited for again. */
int sqlite_image_prepare_saved(
    struct sqlite_image *image, struct still_error *err)
{
	int rc = 0;

	if (has_saved(image))
		return 0;
	pthread_rwlock_wrlock(&image->use);
	if (image->saved.fd < 0)
		rc = sqlite_saved_open(&image->saved, image->rel,
		    image->page_size_bytes, image->n_pages, image->spool, err);
	pthread_rwlock_unlock(&image->use);
	return rc;
}

void sqlite_image_drain(struct sqlite_image *image)
{
	pthread_rwlock_wrlock(&image->use);
	pthread_rwlock_unlock(&image->use);
}
