/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/frozen.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
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
	    .observer = {warn, frozen},
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
