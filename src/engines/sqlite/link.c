/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/sqlite/link.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/path.h"
#include "engines/sqlite/image.h"

/* As much log as is walked in a few tenths of a second; it is done while nobody
 * moves the pin on. */
#define WALK_BYTES (UINT64_C(256) << 20)

#define READ_BYTES ((size_t) 1 << 20)

/* ---- begin --------------------------------------------------------------- */

/* Without sums it is as good as new. */
static int get_sums(const struct sqlite_image *image,
    const struct still_base *base, struct still_page_sums *ret,
    struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	char *path = still_path_join("data", image->rel);
	int rc;

	if (!path)
		return still_error_nomem(err);
	rc = base->page_sums(base->arg, path, ret, &own);
	if (rc == STILL_ERR_CORRUPT)
		image->observer.warn(image->observer.arg, "base-damaged",
		    image->rel, still_error_msg(&own));
	if (rc == STILL_ERR_NOTFOUND || rc == STILL_ERR_CORRUPT) {
		memset(ret, 0, sizeof(*ret));
		rc = 0;
	} else if (rc < 0 && err) {
		still_error_copy(err, &own);
	}
	still_error_clear(&own);
	free(path);
	return rc;
}

static struct sqlite_link *new_link(const struct still_page_sums *sums)
{
	struct sqlite_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->kind = SQLITE_OBJECT_LINK;
	link->base = *sums;
	link->increment = (struct sqlite_increment) SQLITE_INCREMENT_INIT;
	return link;
}

int sqlite_link_begin(struct sqlite_image *image, const struct still_base *base,
    const struct sqlite_facts *noted, bool trust_times,
    const atomic_bool *cancel, struct still_error *err)
{
	struct still_page_sums sums = {0};
	int rc;

	if (image->refusal.code || image->damage.code || image->n_pages == 0)
		return 0;
	rc = get_sums(image, base, &sums, err);
	if (rc < 0 || !sums.sums || sums.n == 0 || sums.n > UINT32_MAX ||
	    sums.page_bytes != image->page_size_bytes)
		return rc;
	image->link = new_link(&sums);
	if (!image->link)
		return still_error_nomem(err);
	image->link->changes.n_may = image->n_pages;
	if (noted && trust_times && noted->n_pages == sums.n)
		rc = sqlite_changes_find(image, noted, WALK_BYTES, cancel,
		    &image->link->changes, err);
	return rc;
}

uint64_t sqlite_link_bytes(const struct sqlite_image *image)
{
	return (uint64_t) image->link->changes.n_may * image->page_size_bytes;
}

/* ---- make ---------------------------------------------------------------- */

struct making {
	struct sqlite_image *image;
	struct sqlite_link *link;
	struct sqlite_link_work *work;
	uint64_t *sums; /* to be filled */
	uint8_t *bytes; /* owned; of pages */
	bool spool;     /* the failure is the spool's */
};

static int add(struct making *making, uint32_t page, const void *data,
    struct still_error *err)
{
	struct sqlite_image *image = making->image;
	struct sqlite_link *link = making->link;
	int rc = 0;

	making->spool = true;
	if (!link->changed) {
		const struct sqlite_increment_target target = {
		    .rel = image->rel,
		    .page_size_bytes = image->page_size_bytes,
		    .n_pages = image->n_pages,
		};
		uint8_t salts[8];

		if (getrandom(salts, sizeof(salts), 0) != sizeof(salts))
			return still_error_sys(
			    err, EIO, NULL, "random numbers");
		rc = sqlite_increment_begin(
		    &link->increment, &target, salts, image->spool, err);
		link->changed = true;
	}
	if (rc == 0)
		rc = sqlite_increment_add(&link->increment, page, data, err);
	if (rc == 0)
		making->spool = false;
	return rc;
}

static bool is_lock_page(const struct sqlite_image *image, uint32_t page)
{
	return page - 1 == SQLITE_LOCK_BYTE / image->page_size_bytes;
}

/* Behind the base's end it is made of zeros by whoever makes the file longer. */
static int compare_lock_page(const struct making *making, uint32_t page,
    uint64_t sum, const uint8_t *data, struct still_error *err)
{
	const uint32_t size = making->image->page_size_bytes;

	if (page <= making->link->base.n
		? sum == making->link->base.sums[page - 1]
		: data[0] == 0 && memcmp(data, data + 1, size - 1) == 0)
		return 0;
	return sqlite_image_damaged(making->image, page, err,
	    "it has the lock bytes, and yet somebody wrote it");
}

static int compare(struct making *making, uint32_t page, const uint8_t *data,
    struct still_error *err)
{
	const struct still_page_sums *base = &making->link->base;
	uint64_t sum = still_hash64(data, making->image->page_size_bytes);

	making->sums[page - 1] = sum;
	if (is_lock_page(making->image, page))
		return compare_lock_page(making, page, sum, data, err);
	if (page <= base->n && base->sums[page - 1] == sum)
		return 0;
	return add(making, page, data, err);
}

/* `n` pages from `page` on, which may have changed. */
static int read_run(
    struct making *making, uint32_t page, uint32_t n, struct still_error *err)
{
	const uint32_t size = making->image->page_size_bytes;
	struct sqlite_link_work *work = making->work;
	int rc;

	if (atomic_load(work->cancel))
		return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
		    "database `%s`: the look for changes was stopped",
		    making->image->rel);
	rc = sqlite_image_read(making->image, (uint64_t) (page - 1) * size,
	    making->bytes, (size_t) n * size, err);
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = compare(
		    making, page + i, making->bytes + (size_t) i * size, err);
	work->done_bytes += (uint64_t) n * size;
	if (rc == 0 && work->observer->progress)
		work->observer->progress(
		    work->observer->arg, work->done_bytes, work->total_bytes);
	return rc;
}

static int compare_all(struct making *making, struct still_error *err)
{
	const struct sqlite_image *image = making->image;
	const uint32_t most = (uint32_t) (READ_BYTES / image->page_size_bytes);
	uint32_t page = 1;
	int rc = 0;

	while (rc == 0 && page <= image->n_pages) {
		uint32_t left = image->n_pages - page + 1;
		bool may = sqlite_changes_may(&making->link->changes, page);
		uint32_t n = sqlite_changes_run(&making->link->changes, page,
		    may && left > most ? most : left);

		if (may)
			rc = read_run(making, page, n, err);
		else
			memcpy(making->sums + page - 1,
			    making->link->base.sums + page - 1,
			    n * sizeof(*making->sums));
		page += n;
	}
	return rc;
}

/* Nothing but the length is another one. */
static int add_first(struct making *making, struct still_error *err)
{
	int rc = sqlite_image_read(making->image, 0, making->bytes,
	    making->image->page_size_bytes, err);

	return rc < 0 ? rc : add(making, 1, making->bytes, err);
}

static int make(struct making *making, struct still_error *err)
{
	struct sqlite_link *link = making->link;
	int rc = compare_all(making, err);

	if (rc == 0 && !link->changed && link->base.n != making->image->n_pages)
		rc = add_first(making, err);
	if (rc == 0 && link->changed) {
		making->spool = true;
		rc = sqlite_increment_end(&link->increment, err);
	}
	return rc;
}

static void sum_up(const struct sqlite_image *image, const uint64_t *sums,
    char *ret_hex, struct still_hash_state *state)
{
	uint64_t some[512];

	for (uint32_t at = 0; at < image->n_pages;) {
		uint32_t n = image->n_pages - at;

		if (n > sizeof(some) / sizeof(some[0]))
			n = sizeof(some) / sizeof(some[0]);
		for (uint32_t i = 0; i < n; i++)
			some[i] = htole64(sums[at + i]);
		still_hash_update(state, some, n * sizeof(some[0]));
		at += n;
	}
	still_hash128_hex(still_hash_digest(state), ret_hex);
}

int sqlite_link_make(struct sqlite_image *image, uint64_t *sums,
    struct sqlite_link_work *work, bool *ret_spool, struct still_error *err)
{
	struct making making = {
	    .image = image,
	    .link = image->link,
	    .work = work,
	    .sums = sums,
	    .bytes = malloc(READ_BYTES),
	};
	struct still_hash_state *state = still_hash_new();
	int rc = making.bytes && state ? make(&making, err)
				       : still_error_nomem(err);

	if (rc == 0)
		sum_up(image, sums, image->link->pages_xxh128, state);
	else
		memset(sums, 0, image->n_pages * sizeof(*sums));
	still_hash_free(state);
	free(making.bytes);
	*ret_spool = making.spool;
	return rc;
}

void sqlite_link_end(struct sqlite_image *image)
{
	struct sqlite_link *link = image->link;

	if (!link)
		return;
	sqlite_changes_release(&link->changes);
	sqlite_increment_release(&link->increment);
	free(link);
	image->link = NULL;
}
