/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sys.h"

/* How many pages are asked whether the checksum VFS wrote them. */
#define CHECKSUM_SAMPLES 16

static int page_damaged(const struct sqlite_image *image, uint32_t page,
    struct still_error *err, const char *why)
{
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "The snapshot cannot be completed; check the live database with "
	    "`PRAGMA integrity_check`, and its disk.",
	    "page %u of `%s`: %s", page, image->rel, why);
}

/* ---- reading ------------------------------------------------------------- */

static int image_fd(const struct sqlite_image *image)
{
	return image->private.fd >= 0 ? image->private.fd
				      : sqlite_file_fd(image->pin.db);
}

/* Bytes of the database file, as they are. */
static int read_raw(const struct sqlite_image *image, uint64_t off_bytes,
    uint8_t *data, size_t len, struct still_error *err)
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
		return page_damaged(image, (uint32_t) page + 1, err, why);
	if (off_bytes + len > (page + 1) * image->page_size_bytes)
		return page_damaged(image, (uint32_t) page + 2, err, why);
	memset(data + n, 0, len - (size_t) n);
	return 0;
}

/* A whole page that has a checksum, again while it is not the right one. */
static int check_page(const struct sqlite_image *image, uint32_t page,
    uint8_t *data, struct still_error *err)
{
	const uint32_t page_size = image->page_size_bytes;
	int64_t pause_ns = SQLITE_REREAD_PAUSE_NS;
	int rc;

	if (page - 1 == SQLITE_LOCK_BYTE / page_size ||
	    sqlite_page_sum_valid(data, page_size))
		return 0;
	for (int i = 0; i < SQLITE_REREADS; i++) {
		still_sys_sleep_ns(pause_ns);
		pause_ns *= 4;
		rc = read_raw(image, (uint64_t) (page - 1) * page_size, data,
		    page_size, err);
		if (rc < 0)
			return rc;
		if (sqlite_page_sum_valid(data, page_size)) {
			image->observer.warn(image->observer.arg,
			    "transient-read", image->rel,
			    "a page was right only when read again");
			return 0;
		}
	}
	return page_damaged(image, page, err,
	    "its checksum (of the checksum VFS) does not match");
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
			rc = read_raw(image, off_bytes, data, n, err);
			for (size_t at = 0; rc == 0 && at < n; at += page_size)
				rc = check_page(image, page++, data + at, err);
		} else {
			n = page_size - from < len ? page_size - from : len;
			rc = read_raw(
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
	return image->page_checksums
	    ? read_checked(image, off_bytes, data, len, err)
	    : read_raw(image, off_bytes, data, len, err);
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

	if (image->refusal.code)
		return still_error_set(err, STILL_ERR_IO, 0,
		    image->refusal.hint, "database `%s`: is not frozen: %s",
		    image->rel, still_error_msg(&image->refusal));
	if (image->lost && image->private.fd < 0 && atomic_load(image->lost))
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

/* ---- after the cut ------------------------------------------------------- */

static int read_header(const struct sqlite_image *image,
    struct sqlite_header *ret, struct stat *ret_st, struct still_error *err)
{
	uint8_t bytes[SQLITE_HEADER_BYTES] = {0};
	ssize_t n = still_sys_pread(image_fd(image), bytes, sizeof(bytes), 0);
	const char *wrong;

	if (n < 0 || fstat(image_fd(image), ret_st) != 0)
		return still_error_sys(err, n < 0 ? (int) -n : errno, NULL,
		    "page 1 of `%s`", image->rel);
	wrong = sqlite_header_parse(bytes, ret);
	return wrong ? page_damaged(image, 1, err, wrong) : 0;
}

/* The file alone, as SQLite itself would size it. */
static int measure_file(struct sqlite_image *image, struct still_error *err)
{
	struct sqlite_header header;
	struct stat st;
	int rc = read_header(image, &header, &st, err);

	if (rc < 0)
		return rc;
	image->page_size_bytes = header.page_size_bytes;
	image->n_pages = header.n_pages;
	if (image->n_pages == 0) { /* not known to the header */
		uint64_t size = image->private.fd >= 0
		    ? image->private.size_bytes
		    : (uint64_t) st.st_size;

		size = (size + header.page_size_bytes - 1) /
		    header.page_size_bytes;
		if (size > UINT32_MAX)
			return page_damaged(image, 1, err,
			    "the file has more pages than can be numbered");
		image->n_pages = (uint32_t) size;
	}
	return 0;
}

/* Page size and number of pages as of the pin. */
static int measure(struct sqlite_image *image, struct still_error *err)
{
	const struct sqlite_index_header *index = &image->pin.header;

	if (image->private.fd >= 0)
		return image->private.size_bytes ? measure_file(image, err) : 0;
	if (index->max_frame == 0)
		return measure_file(image, err);
	image->page_size_bytes = sqlite_index_page_size(index);
	image->n_pages = index->n_pages;
	/* Nobody proves the wal-index to us; sizes that would lead astray are
	 * checked by hand. */
	if (!sqlite_page_size_valid(image->page_size_bytes))
		image->n_pages = 0;
	if (image->n_pages == 0)
		return still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "Close all that have the database open, and remove the "
		    "-shm file: it is made anew.",
		    "`%s-shm`: names impossible sizes", image->rel);
	return 0;
}

/* Page 1 as of the pin, and the last page, without which sizes are not what
 * they seem. */
static int check_ends(struct sqlite_image *image, struct still_error *err)
{
	uint8_t bytes[SQLITE_HEADER_BYTES];
	const char *wrong;
	uint8_t last;
	int rc = sqlite_image_read(image, 0, bytes, sizeof(bytes), err);

	if (rc < 0)
		return rc;
	wrong = sqlite_header_parse(bytes, &image->header);
	if (!wrong && image->header.page_size_bytes != image->page_size_bytes)
		wrong = "its page size is not the log's";
	/* A commit that changes the size writes it into page 1 too. */
	if (!wrong && image->header.n_pages &&
	    image->header.n_pages != image->n_pages)
		wrong = "it names another number of pages than the log";
	if (wrong)
		return page_damaged(image, 1, err, wrong);
	return sqlite_image_read(
	    image, sqlite_image_bytes(image) - 1, &last, 1, err);
}

/* Did the checksum VFS write this page? Zeros prove nothing. */
static bool has_sum(const struct sqlite_image *image, uint32_t page)
{
	uint8_t bytes[SQLITE_PAGE_SIZE_MAX];
	const uint32_t size = image->page_size_bytes;

	return sqlite_image_read(image, (uint64_t) (page - 1) * size, bytes,
		   size, NULL) == 0 &&
	    sqlite_page_sum_proves(bytes, size);
}

static bool has_sums(const struct sqlite_image *image)
{
	uint32_t step = image->n_pages / CHECKSUM_SAMPLES + 1;

	uint8_t bytes[SQLITE_PAGE_SIZE_MAX];

	/* Page 1 in the file may be older than the one of the image, whose sum
	 * is made by the checkpoint to come. */
	if (image->map.n_page_sums > 0 ||
	    (read_raw(image, 0, bytes, image->page_size_bytes, NULL) == 0 &&
		sqlite_page_sum_proves(bytes, image->page_size_bytes)))
		return true;
	for (uint32_t page = 1; page <= image->n_pages; page += step)
		if (has_sum(image, page))
			return true;
	return false;
}

/* Only the file's own page 1 can tell before the log is scanned; the reserve
 * changes with VACUUM only. */
static bool reserves_sums(const struct sqlite_image *image)
{
	struct sqlite_header header;
	struct stat st;

	return read_header(image, &header, &st, NULL) == 0 &&
	    header.reserved_bytes == SQLITE_PAGE_SUM_BYTES;
}

static int settle(struct sqlite_image *image, const atomic_bool *cancel,
    struct still_error *err)
{
	bool reserved;
	int rc = measure(image, err);

	if (rc < 0 || image->n_pages == 0)
		return rc;
	reserved = reserves_sums(image);
	if (image->private.fd < 0)
		rc = sqlite_walmap_build(&image->pin, image->page_size_bytes,
		    reserved, &image->observer, cancel, &image->map, err);
	if (rc < 0)
		return rc;
	image->page_checksums = reserved && has_sums(image);
	if (!image->map.damage.code)
		return check_ends(image, err);
	still_error_copy(err, &image->map.damage);
	return image->map.damage.code;
}

int sqlite_image_settle(struct sqlite_image *image, const atomic_bool *cancel,
    struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	image->frozen_at_ns = image->pin.frozen_at_ns;
	/* The application has its database to itself again. */
	if (image->private.fd >= 0)
		sqlite_pin_release(&image->pin);
	rc = settle(image, cancel, &own);
	if (rc == STILL_ERR_CORRUPT) {
		still_error_copy(&image->damage, &own);
		rc = 0;
		/* Of a size that is not known no byte can be served. */
		if (image->n_pages == 0)
			still_error_copy(&image->refusal, &own);
	} else if (rc < 0 && err) {
		still_error_copy(err, &own);
	}
	still_error_clear(&own);
	return rc;
}

/* ---- before the cut ------------------------------------------------------ */

bool sqlite_image_refusable(const struct still_error *what)
{
	switch (what->code) {
	case STILL_ERR_BUSY:
	case STILL_ERR_AGAIN:
	case STILL_ERR_ACCESS:
	case STILL_ERR_UNSUPPORTED:
	case STILL_ERR_CORRUPT:
		return true;
	case STILL_ERR_IO:
		return what->sys_errno != EMFILE && what->sys_errno != ENFILE;
	default:
		return false;
	}
}

static int begin(struct sqlite_image *image, const char *rel,
    const struct stat *st, struct still_error *err)
{
	memset(image, 0, sizeof(*image));
	image->pin.slot = -1;
	image->private.fd = -1;
	image->st = *st;
	image->rel = strdup(rel);
	return image->rel ? 0 : still_error_nomem(err);
}

int sqlite_image_open(struct sqlite_image *image, const struct stat *st,
    const struct sqlite_image_request *request, struct still_error *err)
{
	int rc = begin(image, request->pin.rel, st, err);

	image->observer = request->observer;
	if (rc == 0)
		rc = sqlite_pin_open(&image->pin, &request->pin, err);
	if (rc < 0)
		return rc;
	image->st = image->pin.target.st;
	if (image->pin.log == SQLITE_LOG_ROLLBACK)
		rc = sqlite_private_prepare(&image->private,
		    sqlite_file_fd(image->pin.db), image->rel, request->spool,
		    request->pin.cancel, err);
	return rc;
}

int sqlite_image_refuse(struct sqlite_image *image, const char *rel,
    const struct stat *st, const struct still_error *why,
    struct still_error *err)
{
	int rc = begin(image, rel, st, err);

	if (rc == 0)
		still_error_copy(&image->refusal, why);
	return rc;
}

uint64_t sqlite_image_listed_bytes(const struct sqlite_image *image)
{
	if (!image->refusal.code)
		return sqlite_image_bytes(image);
	return image->st.st_size > 0 ? (uint64_t) image->st.st_size : 1;
}

void sqlite_image_release(struct sqlite_image *image)
{
	sqlite_walmap_release(&image->map);
	sqlite_pin_release(&image->pin);
	sqlite_private_release(&image->private);
	still_error_clear(&image->damage);
	still_error_clear(&image->refusal);
	free(image->rel);
	memset(image, 0, sizeof(*image));
	image->pin.slot = -1;
	image->private.fd = -1;
}
