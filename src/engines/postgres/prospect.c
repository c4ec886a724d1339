/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/prospect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "engines/postgres/wal_name.h"

#define WAL_FILES 2

/* The walk of the freeze will tell of it. */
static void tell_nobody(
    void *arg, const char *event, const char *object, const char *text)
{
	(void) arg;
	(void) event;
	(void) object;
	(void) text;
}

/* One that the server renames meanwhile is none to ask. */
static int list_segment(const struct still_pg_walk *walk, const char *name,
    struct still_pg_list *list, struct still_error *err)
{
	struct still_error what = STILL_ERROR_INIT;
	int rc = still_pg_walk_wal(walk, name, list, &what);

	if (rc < 0 && rc != STILL_ERR_NOTFOUND)
		still_error_copy(err, &what);
	still_error_clear(&what);
	return rc == STILL_ERR_NOTFOUND ? 0 : rc;
}

/* Some segments of pg_wal, whichever are there. */
static int list_wal(const struct still_pg_walk *walk, uint32_t segment_bytes,
    struct still_pg_list *list, struct still_error *err)
{
	struct still_pg_wal_segment segment;
	int fd = openat(walk->roots[STILL_PG_ROOT_WAL].fd, ".",
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const char *name;
	int next = 0;
	int rc = 0;

	if (!dir) {
		rc = still_error_sys(err, errno, NULL, "`pg_wal`");
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && list->n < WAL_FILES &&
	    (next = still_sys_readdir(dir, &name)) > 0)
		if (still_pg_wal_name_parse(name, segment_bytes, &segment))
			rc = list_segment(walk, name, list, err);
	if (rc == 0 && next < 0)
		rc = still_error_sys(err, -next, NULL, "`pg_wal`");
	closedir(dir);
	return rc;
}

static int ask(const struct still_pg_walk *walk,
    const struct still_pg_capture_request *how, uint32_t wal_segment_bytes,
    struct still_error *err)
{
	struct still_pg_capture_request request = *how;
	struct still_pg_capture *capture = NULL;
	struct still_pg_list wal = {0};
	int rc = list_wal(walk, wal_segment_bytes, &wal, err);

	request.walk = walk;
	if (rc == 0)
		rc = still_pg_capture_new(&request, &capture, err);
	if (rc == 0)
		rc = still_pg_capture_foresee(capture, &walk->list, &wal, err);
	still_pg_capture_free(capture);
	still_pg_list_release(&wal);
	return rc;
}

int still_pg_prospect(const struct still_pg_walk_request *walk_request,
    const struct still_pg_capture_request *capture, uint32_t wal_segment_bytes,
    struct still_error *err)
{
	struct still_pg_walk_request request = *walk_request;
	struct still_pg_walk walk = STILL_PG_WALK_INIT;
	int rc;

	request.observer = (struct still_observer){.warn = tell_nobody};
	rc = still_pg_walk_run(&request, &walk, err);
	if (rc == 0)
		rc = ask(&walk, capture, wal_segment_bytes, err);
	still_pg_walk_release(&walk);
	return rc;
}
