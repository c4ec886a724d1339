/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"

/* The checksum VFS keeps 8 bytes at the end of each page, and changes them
 * after the log's checksum was made. */
#define CHECKSUM_VFS_RESERVED_BYTES 8

static int page_damaged(const struct sqlite_image *image, uint32_t page,
    struct still_error *err, const char *why)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "The snapshot cannot be completed; check the live database with "
	    "`PRAGMA integrity_check`, and its disk.",
	    "page %u of `%s`: %s", page, image->rel, why);
}

/* ---- reading ------------------------------------------------------------- */

/* Bytes of the database file; `page` is the one at `off_bytes`. */
static int read_file(const struct sqlite_image *image, uint64_t off_bytes,
    uint8_t *data, size_t len, struct still_error *err)
{
	ssize_t n = still_sys_pread(
	    sqlite_file_fd(image->pin.db), data, len, off_bytes);
	const char *why = "the database file ends before it";
	uint64_t end;
	uint64_t page;

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
		return page_damaged(image, (uint32_t) page + 1, err, why);
	if (off_bytes + len > (page + 1) * image->page_size_bytes)
		return page_damaged(image, (uint32_t) page + 2, err, why);
	memset(data + n, 0, len - (size_t) n);
	return 0;
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
		return page_damaged(
		    image, entry->page, err, "its log frame is damaged");
	/* The digest covers the page, so a part of it is read by the whole. */
	if (from == 0 && len == image->page_size_bytes)
		return read_frame(image, entry, data, err);
	rc = read_frame(image, entry, scratch, err);
	if (rc == 0)
		memcpy(data, scratch + from, len);
	return rc;
}

int sqlite_image_read(const struct sqlite_image *image, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	const uint64_t page_size = image->page_size_bytes;
	const struct sqlite_walmap_entry *end = image->map.entries +
	    image->map.n;
	const struct sqlite_walmap_entry *entry;
	uint8_t *to = data;
	int rc = 0;

	if (image->lost && atomic_load(image->lost))
		return still_error_set(err, STILL_ERR_LOST, 0, NULL,
		    "database `%s`: the snapshot is no longer protected",
		    image->rel);
	if (image->map.all_damaged)
		return page_damaged(image,
		    (uint32_t) (off_bytes / page_size) + 1, err,
		    "a log frame is damaged that may be its own");
	entry = sqlite_walmap_from(
	    &image->map, (uint32_t) (off_bytes / page_size) + 1);
	while (rc == 0 && len > 0) {
		uint64_t page = off_bytes / page_size + 1;
		size_t from = (size_t) (off_bytes % page_size);
		bool logged = entry && entry != end && entry->page == page;
		uint64_t run = len;

		if (logged)
			run = page_size - from;
		else if (entry && entry != end)
			run = (entry->page - 1) * page_size - off_bytes;
		if (run > len)
			run = len;
		rc = logged
		    ? read_logged(image, entry++, from, to, (size_t) run, err)
		    : read_file(image, off_bytes, to, (size_t) run, err);
		off_bytes += run;
		to += run;
		len -= (size_t) run;
	}
	return rc;
}

/* ---- freezing ------------------------------------------------------------ */

/* Page size and number of pages as of the pin. */
static int measure(struct sqlite_image *image, struct still_error *err)
{
	const struct sqlite_index_header *index = &image->pin.header;
	uint8_t bytes[SQLITE_HEADER_BYTES] = {0};
	struct sqlite_header header = {0};
	const char *wrong;
	struct stat st;
	ssize_t n;

	if (index->max_frame > 0) {
		image->page_size_bytes = sqlite_index_page_size(index);
		image->n_pages = index->n_pages;
		/* Nobody proves the wal-index to us; sizes that would lead
		 * astray are checked by hand. */
		if (!sqlite_page_size_valid(image->page_size_bytes) ||
		    image->n_pages == 0)
			return still_error_set(err, STILL_ERR_CORRUPT, 0,
			    "Close all that have the database open, and remove "
			    "the -shm file: it is made anew.",
			    "`%s-shm`: names impossible sizes", image->rel);
		return 0;
	}
	/* An empty log: the file alone, as SQLite itself would size it. */
	n = still_sys_pread(
	    sqlite_file_fd(image->pin.db), bytes, sizeof(bytes), 0);
	if (n < 0 || fstat(sqlite_file_fd(image->pin.db), &st) != 0)
		return still_error_sys(err, n < 0 ? (int) -n : errno, NULL,
		    "page 1 of `%s`", image->rel);
	wrong = sqlite_header_parse(bytes, &header);
	if (wrong)
		return page_damaged(image, 1, err, wrong);
	image->page_size_bytes = header.page_size_bytes;
	image->n_pages = header.n_pages;
	if (image->n_pages == 0) /* not known to the header */
		image->n_pages = (uint32_t) (((uint64_t) st.st_size +
						 header.page_size_bytes - 1) /
		    header.page_size_bytes);
	return 0;
}

/* Page 1 as of the pin, and the last page, without which sizes are not what
 * they seem. Damage goes to `damage`; that they cannot be read fails. */
static int check_ends(struct sqlite_image *image, struct still_error *err)
{
	uint8_t bytes[SQLITE_HEADER_BYTES];
	const char *wrong;
	uint8_t last;
	int rc;

	if (image->damage.code)
		return 0;
	rc = sqlite_image_read(image, 0, bytes, sizeof(bytes), err);
	if (rc == 0) {
		wrong = sqlite_header_parse(bytes, &image->header);
		if (!wrong &&
		    image->header.page_size_bytes != image->page_size_bytes)
			wrong = "its page size is not the log's";
		if (!wrong && image->header.n_pages > image->n_pages)
			wrong = "it names more pages than the database has";
		if (wrong)
			rc = page_damaged(image, 1, err, wrong);
	}
	if (rc == 0)
		rc = sqlite_image_read(
		    image, sqlite_image_bytes(image) - 1, &last, 1, err);
	if (rc != STILL_ERR_CORRUPT)
		return rc;
	still_error_copy(&image->damage, err);
	still_error_clear(err);
	return 0;
}

static int refuse_checksum_vfs(
    const struct sqlite_image *image, struct still_error *err)
{
	uint8_t bytes[SQLITE_HEADER_BYTES] = {0};
	struct sqlite_header header = {0};

	if (!image->map.n_damaged ||
	    still_sys_pread(sqlite_file_fd(image->pin.db), bytes, sizeof(bytes),
		0) != sizeof(bytes) ||
	    sqlite_header_parse(bytes, &header) ||
	    header.reserved_bytes != CHECKSUM_VFS_RESERVED_BYTES)
		return 0;
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "Such databases are not frozen yet, because damage in their log "
	    "could not be told from their way of writing it.",
	    "database `%s`: reserves 8 bytes per page as the checksum VFS "
	    "does, and its log does not match its own checksums",
	    image->rel);
}

int sqlite_image_freeze(struct sqlite_image *image,
    const struct sqlite_pin_request *request,
    const struct still_observer *observer, struct still_error *err)
{
	int rc;

	memset(image, 0, sizeof(*image));
	image->pin.slot = -1;
	image->observer = *observer;
	image->rel = strdup(request->rel);
	if (!image->rel)
		return still_error_nomem(err);
	rc = sqlite_pin_take(&image->pin, request, err);
	if (rc == 0)
		rc = measure(image, err);
	if (rc == 0)
		rc = sqlite_walmap_build(&image->pin, image->page_size_bytes,
		    observer, request->cancel, &image->map, err);
	if (rc == 0)
		rc = refuse_checksum_vfs(image, err);
	if (rc == 0 && image->map.damage.code)
		still_error_copy(&image->damage, &image->map.damage);
	if (rc == 0)
		rc = check_ends(image, err);
	if (rc < 0)
		sqlite_image_release(image);
	return rc;
}

void sqlite_image_release(struct sqlite_image *image)
{
	sqlite_walmap_release(&image->map);
	sqlite_pin_release(&image->pin);
	still_error_clear(&image->damage);
	free(image->rel);
	memset(image, 0, sizeof(*image));
	image->pin.slot = -1;
}
