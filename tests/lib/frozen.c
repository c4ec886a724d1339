/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/frozen.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engines/sqlite/cut.h"

#define LONG_NS INT64_C(60000000000)

static void warn(
    void *arg, const char *event, const char *object, const char *text)
{
	struct frozen *frozen = arg;

	(void) object;
	frozen->n_warnings++;
	snprintf(frozen->event, sizeof(frozen->event), "%s", event);
	snprintf(frozen->text, sizeof(frozen->text), "%s", text);
}

void frozen_open(struct frozen *frozen, const char *dir)
{
	memset(frozen, 0, sizeof(*frozen));
	sqlite_handle_init();
	frozen->dir = dir;
	frozen->root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(frozen->root_fd >= 0);
	frozen->spool.path = (char *) dir;
	frozen->spool_ops = still_spool_of(&frozen->spool);
	frozen->image.pin.hold.slot = -1;
	frozen->image.private.fd = -1;
	frozen->image.saved.fd = -1;
}

void frozen_release(struct frozen *frozen)
{
	sqlite_image_release(&frozen->image);
	frozen->image.pin.hold.slot = -1;
	frozen->image.private.fd = -1;
	frozen->image.saved.fd = -1;
	assert_int_equal(sqlite_files_open_count(), 0);
}

void frozen_close(struct frozen *frozen)
{
	frozen_release(frozen);
	close(frozen->root_fd);
}

void frozen_take(struct frozen *frozen, const char *name)
{
	struct sqlite_image_request request = {
	    .pin =
		{
		    .root_fd = frozen->root_fd,
		    .root = frozen->dir,
		    .rel = name,
		    .cancel = &frozen->cancel,
		    .limit_ns = LONG_NS,
		},
	    .observer = {.warn = warn, .arg = frozen},
	    .spool = &frozen->spool_ops,
	};
	struct sqlite_cut_request cut_request = {
	    &frozen->cancel, LONG_NS, LONG_NS};
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_cut cut;
	struct stat st = {.st_size = 0};
	int rc;

	frozen_release(frozen);
	frozen->n_warnings = 0;
	rc = sqlite_image_open(&frozen->image, &st, &request, &err);
	frozen->image.lost = &frozen->lost;
	if (rc == 0)
		rc = sqlite_cut_take(
		    &frozen->image, 1, &cut_request, &cut, &err);
	if (rc == 0)
		rc = sqlite_image_settle(&frozen->image, &frozen->cancel, &err);
	if (rc < 0)
		fail_msg("%s", still_error_msg(&err));
}

uint8_t *frozen_copy(struct frozen *frozen)
{
	size_t size = (size_t) sqlite_image_bytes(&frozen->image);
	struct still_error err = STILL_ERROR_INIT;
	uint8_t *copy = malloc(size);

	assert_non_null(copy);
	if (sqlite_image_read(&frozen->image, 0, copy, size, &err) < 0)
		fail_msg("%s", still_error_msg(&err));
	return copy;
}

static void differs(const uint8_t *a, const uint8_t *b, size_t len,
    size_t page_size, size_t off)
{
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i])
			fail_msg("page %zu is another one, from byte %zu on",
			    (off + i) / page_size + 1, (off + i) % page_size);
}

void frozen_is(struct frozen *frozen, const uint8_t *want)
{
	const size_t size = (size_t) sqlite_image_bytes(&frozen->image);
	const size_t page = frozen->image.page_size_bytes;
	/* Neither begins nor ends where pages do. */
	const size_t part = 3 * page + 7;
	uint8_t *got = frozen_copy(frozen);

	differs(got, want, size, page, 0);
	for (size_t off = page / 3; off < size; off += part) {
		size_t len = size - off < part ? size - off : part;

		assert_int_equal(
		    sqlite_image_read(&frozen->image, off, got, len, NULL), 0);
		differs(got, want + off, len, page, off);
	}
	free(got);
}
