/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/acl.h"
#include "base/sys.h"

/* How many pages are asked whether the checksum VFS wrote them. */
#define CHECKSUM_SAMPLES 16

/* ---- after the cut ------------------------------------------------------- */

static int read_header(const struct sqlite_image *image,
    struct sqlite_header *ret, struct stat *ret_st, struct still_error *err)
{
	uint8_t bytes[SQLITE_HEADER_BYTES] = {0};
	ssize_t n = still_sys_pread(
	    sqlite_image_fd(image), bytes, sizeof(bytes), 0);
	const char *wrong;

	if (n < 0 || fstat(sqlite_image_fd(image), ret_st) != 0)
		return still_error_sys(err, n < 0 ? (int) -n : errno, NULL,
		    "page 1 of `%s`", image->rel);
	wrong = sqlite_header_parse(bytes, ret);
	return wrong ? sqlite_image_damaged(image, 1, err, wrong) : 0;
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
			return sqlite_image_damaged(image, 1, err,
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
		return sqlite_image_damaged(image, 1, err, wrong);
	return sqlite_image_read(
	    image, sqlite_image_bytes(image) - 1, &last, 1, err);
}

/* Did the checksum VFS write this page? Zeros prove nothing. */
static bool has_sum(struct sqlite_image *image, uint32_t page)
{
	uint8_t bytes[SQLITE_PAGE_SIZE_MAX];
	const uint32_t size = image->page_size_bytes;

	return sqlite_image_read(image, (uint64_t) (page - 1) * size, bytes,
		   size, NULL) == 0 &&
	    sqlite_page_sum_proves(bytes, size);
}

static bool has_sums(struct sqlite_image *image)
{
	uint32_t step = image->n_pages / CHECKSUM_SAMPLES + 1;

	uint8_t bytes[SQLITE_PAGE_SIZE_MAX];

	/* Page 1 in the file may be older than the one of the image, whose sum
	 * is made by the checkpoint to come. */
	if (image->map.n_page_sums > 0 ||
	    (sqlite_image_read_stored(
		 image, 0, bytes, image->page_size_bytes, NULL) == 0 &&
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

/* A drain must not wait for readers that come after it. */
static void init_lock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(
	    &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static int begin(struct sqlite_image *image, const char *rel,
    const struct stat *st, struct still_error *err)
{
	memset(image, 0, sizeof(*image));
	init_lock(&image->use);
	image->saved.fd = -1;
	image->pin.hold.slot = -1;
	image->private.fd = -1;
	image->st = *st;
	image->rel = strdup(rel);
	return image->rel ? 0 : still_error_nomem(err);
}

static int refuse_circular(struct sqlite_image *image, struct still_error *err)
{
	image->circular = true;
	return still_error_set(err, STILL_ERR_UNSUPPORTED, 0,
	    "Make a full backup, or let its application set `PRAGMA "
	    "journal_mode=WAL`.",
	    "database `%s`: has a rollback journal, which keeps nothing that an "
	    "incremental backup could be made of (circular logging)",
	    image->rel);
}

int sqlite_image_open(struct sqlite_image *image, const struct stat *st,
    const struct sqlite_image_request *request, struct still_error *err)
{
	int rc = begin(image, request->pin.rel, st, err);

	image->observer = request->observer;
	image->spool = request->spool;
	if (rc == 0)
		rc = sqlite_pin_open(&image->pin, &request->pin, err);
	if (rc < 0)
		return rc;
	image->st = image->pin.target.st;
	/* Of the file that is read, whatever has its name by now. The governor
	 * may close it as soon as it is frozen. */
	image->mode = still_acl_limit(
	    sqlite_file_fd(image->pin.db), image->st.st_mode & 07777);
	if (image->pin.log == SQLITE_LOG_ROLLBACK && request->logged)
		rc = refuse_circular(image, err);
	else if (image->pin.log == SQLITE_LOG_ROLLBACK)
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
	if (!image->rel)
		return;
	sqlite_link_end(image);
	sqlite_rot_release(&image->rot);
	sqlite_walmap_release(&image->map);
	sqlite_saved_release(&image->saved);
	sqlite_pin_release(&image->pin);
	sqlite_private_release(&image->private);
	still_error_clear(&image->damage);
	still_error_clear(&image->refusal);
	pthread_rwlock_destroy(&image->use);
	free(image->identity);
	free(image->rel);
	memset(image, 0, sizeof(*image));
	image->saved.fd = -1;
	image->pin.hold.slot = -1;
	image->private.fd = -1;
}
