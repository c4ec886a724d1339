/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/check_parts.h"
#include "engines/postgres/layout.h"
#include "engines/postgres/link.h"
#include "engines/postgres/wal_name.h"

#define WAL_DIR STILL_PG_DATA "pg_wal/"
#define STATUS_DIR WAL_DIR "archive_status"
#define PIECE_BYTES ((size_t) 1 << 20)

struct applying {
	const struct still_apply_request *request;
	struct still_pg_link link;
	struct still_pg_checking cluster; /* version, control, label */
	struct stat like;                 /* what new files are like */
	struct still_error *err;
};

static const char hint[] =
    "Restore the whole chain, from its full set on, in its order.";

/* ---- whose it is ----------------------------------------------------------- */

static int refuse_number(
    struct applying *applying, const char *what, uint64_t has, uint64_t wants)
{
	return still_error_set(applying->err, STILL_ERR_CORRUPT, 0, hint,
	    "`%s`: is not of this cluster: its %s is %" PRIu64 ", not %" PRIu64,
	    applying->request->set, what, wants, has);
}

static int compare(struct applying *applying)
{
	const struct still_pg_link *link = &applying->link;
	const struct still_pg_control *control = &applying->cluster.control;

	if (link->system_identifier != control->system_identifier)
		return refuse_number(applying, "system identifier",
		    control->system_identifier, link->system_identifier);
	if (link->major != applying->cluster.version->major)
		return refuse_number(applying, "version",
		    (uint64_t) applying->cluster.version->major,
		    (uint64_t) link->major);
	if (link->segment_bytes != control->wal_segment_bytes)
		return refuse_number(applying, "segments' size",
		    control->wal_segment_bytes, link->segment_bytes);
	if (link->wal_block_bytes != control->wal_block_bytes)
		return refuse_number(applying, "WAL pages' size",
		    control->wal_block_bytes, link->wal_block_bytes);
	if (link->timeline != applying->cluster.label.timeline)
		return refuse_number(applying, "timeline",
		    applying->cluster.label.timeline, link->timeline);
	return 0;
}

/* ---- that it is the next one ------------------------------------------------ */

static bool has_segment(const struct applying *applying, uint64_t number)
{
	char path[64];
	struct stat st;

	still_pg_link_path(&applying->link, WAL_DIR, number, path);
	return fstatat(applying->request->root_fd, path, &st,
		   AT_SYMLINK_NOFOLLOW) == 0;
}

static int look_at_gap(struct applying *applying)
{
	const struct still_pg_link *link = &applying->link;
	uint64_t first = still_pg_link_first(link);
	uint64_t at = applying->cluster.label.start_lsn / link->segment_bytes;
	uint64_t lsn;

	while (at < first && has_segment(applying, at))
		at++;
	lsn = at * link->segment_bytes;
	if (at < first)
		return still_error_set(applying->err, STILL_ERR_CORRUPT, 0,
		    hint,
		    "`%s`: begins at " STILL_PG_LSN
		    ", and the WAL before it ends at " STILL_PG_LSN
		    ": a link between them is missing",
		    applying->request->set, STILL_PG_LSN_ARGS(link->start_lsn),
		    STILL_PG_LSN_ARGS(lsn));
	if (at > first || has_segment(applying, first))
		return still_error_set(applying->err, STILL_ERR_CORRUPT, 0,
		    hint,
		    "`%s`: begins at " STILL_PG_LSN
		    ", and the WAL before it goes beyond that: it was applied "
		    "already, or is of another chain",
		    applying->request->set, STILL_PG_LSN_ARGS(link->start_lsn));
	return 0;
}

/* ---- segments --------------------------------------------------------------- */

static int failed(
    const struct applying *applying, int negative_errno, const char *path)
{
	return still_error_sys(applying->err, -negative_errno, NULL, "`%s`",
	    still_pg_known_as(path));
}

/* A new file of the cluster, like its others; `*ret_fd` is the caller's. */
static int create(struct applying *applying, const char *path, int *ret_fd)
{
	const struct stat *like = &applying->like;
	int fd = still_sys_create_beneath(applying->request->root_fd, path,
	    O_WRONLY | O_CREAT | O_EXCL, like->st_mode & 0777);

	if (fd < 0)
		return failed(applying, fd, path);
	if (fchown(fd, like->st_uid, like->st_gid) != 0 && errno != EPERM) {
		int rc = failed(applying, -errno, path);

		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

static int copy_bytes(struct applying *applying, int from,
    const char *from_path, int to, const char *to_path)
{
	uint64_t size = applying->link.segment_bytes;
	char *piece = malloc(PIECE_BYTES);
	int rc = piece ? 0 : still_error_nomem(applying->err);

	for (uint64_t at = 0; rc == 0 && at < size; at += PIECE_BYTES) {
		if (atomic_load(applying->request->cancel))
			rc = still_error_set(applying->err, STILL_ERR_CANCELLED,
			    0, NULL, "the restore was stopped");
		else
			rc = still_pg_check_read(from, from_path, piece,
			    PIECE_BYTES, at, applying->err);
		if (rc < 0)
			break;
		rc = still_sys_pwrite(to, piece, PIECE_BYTES, at);
		if (rc < 0)
			rc = failed(applying, rc, to_path);
	}
	free(piece);
	return rc;
}

static int open_segment(
    struct applying *applying, const char *path, int *ret_fd)
{
	struct still_pg_checking set = {.set_fd = applying->request->set_fd};
	struct stat st;
	int rc = still_pg_check_open(&set, path, ret_fd, &st, applying->err);

	if (rc == 0 && (uint64_t) st.st_size != applying->link.segment_bytes) {
		close(*ret_fd);
		rc = still_error_set(applying->err, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: is no whole segment of the WAL", path);
	}
	return rc;
}

static int put_segment(struct applying *applying, uint64_t number)
{
	char from_path[64];
	char to_path[64];
	int from;
	int to = -1;
	int rc;

	still_pg_link_path(&applying->link, STILL_PG_LOGS, number, from_path);
	still_pg_link_path(&applying->link, WAL_DIR, number, to_path);
	rc = open_segment(applying, from_path, &from);
	if (rc < 0)
		return rc;
	rc = create(applying, to_path, &to);
	if (rc == 0)
		rc = copy_bytes(applying, from, from_path, to, to_path);
	if (to >= 0)
		close(to);
	close(from);
	return rc;
}

static int put_done(struct applying *applying, uint64_t number)
{
	char path[80];
	int fd;
	int rc;

	still_pg_link_path(&applying->link, STATUS_DIR "/", number, path);
	strcat(path, ".done");
	rc = create(applying, path, &fd);
	if (rc == 0)
		close(fd);
	return rc;
}

static int put_all(struct applying *applying)
{
	uint64_t first = still_pg_link_first(&applying->link);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < still_pg_link_count(&applying->link);
	     i++) {
		rc = put_segment(applying, first + i);
		if (rc == 0)
			rc = put_done(applying, first + i);
	}
	return rc;
}

/* ---- that it joins ---------------------------------------------------------- */

static int walk(struct applying *applying, uint64_t start_lsn,
    uint64_t stop_lsn, struct still_pg_replay *ret)
{
	return still_pg_link_walk(&applying->link, applying->request->root_fd,
	    WAL_DIR, start_lsn, stop_lsn, applying->request->cancel, ret,
	    applying->err);
}

static int prove(struct applying *applying)
{
	const struct still_pg_link *link = &applying->link;
	struct still_pg_replay of_link;
	struct still_pg_replay before;
	struct still_error what = STILL_ERROR_INIT;
	struct still_error *err = applying->err;
	int rc = walk(applying, link->start_lsn, link->stop_lsn, &of_link);

	if (rc < 0)
		return rc;
	/* From the record that is named, to the end of that segment. */
	applying->err = &what;
	rc = walk(applying, of_link.previous_lsn, link->start_lsn, &before);
	applying->err = err;
	if (rc == STILL_ERR_CORRUPT ||
	    (rc == 0 && before.last_lsn != of_link.previous_lsn))
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0, hint,
		    "`%s`: does not go on where the link before it ends: its "
		    "first record follows one at " STILL_PG_LSN,
		    applying->request->set,
		    STILL_PG_LSN_ARGS(of_link.previous_lsn));
	else if (rc < 0)
		still_error_copy(err, &what);
	still_error_clear(&what);
	return rc;
}

/* ---- all of it -------------------------------------------------------------- */

static int look(struct applying *applying)
{
	int rc = still_pg_link_parse(
	    applying->request->description, &applying->link, applying->err);

	if (rc == 0)
		rc = still_pg_check_cluster(&applying->cluster, applying->err);
	if (rc == 0)
		rc = compare(applying);
	if (rc == 0)
		rc = look_at_gap(applying);
	if (rc < 0)
		return rc;
	if (fstatat(applying->request->root_fd,
		STILL_PG_DATA "global/pg_control", &applying->like,
		AT_SYMLINK_NOFOLLOW) != 0)
		return failed(
		    applying, -errno, STILL_PG_DATA "global/pg_control");
	return 0;
}

static int make_status_dir(struct applying *applying)
{
	int rc = still_sys_mkdir(applying->request->root_fd, STATUS_DIR, 0700);

	if (rc == -EEXIST)
		return 0;
	if (rc == 0 &&
	    fchownat(applying->request->root_fd, STATUS_DIR,
		applying->like.st_uid, applying->like.st_gid,
		AT_SYMLINK_NOFOLLOW) != 0 &&
	    errno != EPERM)
		rc = -errno;
	return rc < 0 ? failed(applying, rc, STATUS_DIR) : 0;
}

int still_pg_apply(
    const struct still_apply_request *request, struct still_error *err)
{
	struct applying applying = {
	    .request = request,
	    .cluster = {.set_fd = request->root_fd},
	    .err = err,
	};
	int rc = look(&applying);

	if (rc < 0 || still_pg_link_count(&applying.link) == 0)
		return rc;
	rc = make_status_dir(&applying);
	if (rc == 0)
		rc = put_all(&applying);
	return rc == 0 ? prove(&applying) : rc;
}
