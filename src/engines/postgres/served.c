/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "engines/postgres/served.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/path.h"
#include "base/sys.h"

#define PIECE ((size_t) STILL_PG_SERVED_PIECE_BYTES)

void still_pg_served_release(struct still_pg_served *served)
{
	if (served->fd >= 0)
		close(served->fd);
	free(served->digests);
	*served = (struct still_pg_served) STILL_PG_SERVED_INIT;
}

/* Its link, where pg_wal is one, is followed, as the server follows it. */
static int open_wal_dir(
    const char *pgdata, int *ret_fd, struct still_error *err)
{
	char *path = still_path_join(pgdata, "pg_wal");
	char *real = path ? realpath(path, NULL) : NULL;
	int rc = 0;

	if (!path) {
		rc = still_error_nomem(err);
	} else if (!real) {
		rc = still_error_sys(err, errno, NULL, "`%s`", path);
	} else {
		*ret_fd = still_sys_open_beneath(
		    AT_FDCWD, real, O_PATH | O_DIRECTORY);
		if (*ret_fd < 0)
			rc = still_error_sys(err, -*ret_fd, NULL, "`%s`", real);
	}
	free(path);
	free(real);
	return rc;
}

static size_t pieces_of(const struct still_pg_served *served)
{
	return served->format.segment_bytes / PIECE;
}

int still_pg_served_open(const char *pgdata,
    const struct still_pg_wal_format *format, uint64_t first, size_t n,
    struct still_pg_served *ret, struct still_error *err)
{
	struct still_pg_served it = STILL_PG_SERVED_INIT;
	int rc;

	it.format = *format;
	it.first = first;
	it.n = n;
	it.digests = calloc(n * pieces_of(&it) + 1, sizeof(it.digests[0]));
	if (!it.digests)
		return still_error_nomem(err);
	rc = open_wal_dir(pgdata, &it.fd, err);
	if (rc < 0)
		still_pg_served_release(&it);
	else
		*ret = it;
	return rc;
}

void still_pg_served_name(const struct still_pg_served *served, uint64_t number,
    char ret_name[STILL_PG_WAL_NAME_CHARS + 1])
{
	struct still_pg_wal_segment segment = {served->format.timeline, number};

	still_pg_wal_name(&segment, served->format.segment_bytes, ret_name);
}

static uint64_t *digests_of(
    const struct still_pg_served *served, uint64_t number)
{
	return &served->digests[(number - served->first) * pieces_of(served)];
}

/* ---- when it is taken ----------------------------------------------------- */

static int take_pieces(const struct still_pg_served *served, uint64_t number,
    int fd, const char *name, struct still_error *err)
{
	uint64_t *digests = digests_of(served, number);
	char *piece = malloc(PIECE);
	int rc = piece ? 0 : still_error_nomem(err);

	for (size_t i = 0; rc == 0 && i < pieces_of(served); i++) {
		ssize_t n = still_sys_pread(fd, piece, PIECE, i * PIECE);

		if (n < 0)
			rc = still_error_sys(
			    err, (int) -n, NULL, "`pg_wal/%s`", name);
		else if ((size_t) n < PIECE)
			rc = still_error_set(err, STILL_ERR_CORRUPT, 0,
			    "Somebody shortens WAL beside the server. Find out "
			    "who.",
			    "`pg_wal/%s`: is not whole", name);
		else
			digests[i] = still_hash64(piece, PIECE);
	}
	free(piece);
	return rc;
}

int still_pg_served_take(const struct still_pg_served *served, uint64_t number,
    struct stat *ret_st, struct still_error *err)
{
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	int fd;
	int rc;

	still_pg_served_name(served, number, name);
	fd = still_sys_open_beneath(served->fd, name, O_RDONLY);
	if (fd < 0)
		return still_error_sys(err, -fd, NULL, "`pg_wal/%s`", name);
	rc = still_sys_fstat(fd, ret_st);
	if (rc < 0)
		rc = still_error_sys(err, -rc, NULL, "`pg_wal/%s`", name);
	else if (!S_ISREG(ret_st->st_mode) ||
	    (uint64_t) ret_st->st_size != served->format.segment_bytes)
		rc = still_error_set(err, STILL_ERR_CORRUPT, 0,
		    "Somebody changes WAL beside the server. Find out who.",
		    "`pg_wal/%s`: is not whole", name);
	else
		rc = take_pieces(served, number, fd, name, err);
	close(fd);
	return rc;
}

/* ---- when it is read ------------------------------------------------------ */

static int lost(const char *name, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_LOST, 0,
	    "The replication slot does not keep it any more: it was advanced or "
	    "dropped, or max_slot_wal_keep_size is too small.",
	    "`pg_wal/%s`: the server has removed it", name);
}

/* Not what it was; or removed, renamed and used again while it was read. */
static int changed(const struct still_pg_served *served, const char *name,
    uint64_t off_bytes, struct still_error *err)
{
	if (faccessat(served->fd, name, F_OK, 0) != 0 && errno == ENOENT)
		return lost(name, err);
	return still_error_set(err, STILL_ERR_CORRUPT, 0,
	    "The server writes to no completed segment: check the disk and the "
	    "memory.",
	    "`pg_wal/%s`: is not what it was, at byte %" PRIu64
	    " and in the %zu behind it",
	    name, off_bytes, PIECE);
}

/* One piece, into `data`. */
static int read_piece(const struct still_pg_served *served, uint64_t number,
    int fd, size_t i, void *data, struct still_error *err)
{
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	ssize_t n = still_sys_pread(fd, data, PIECE, i * PIECE);

	still_pg_served_name(served, number, name);
	if (n < 0)
		return still_error_sys(
		    err, (int) -n, NULL, "`pg_wal/%s`", name);
	if ((size_t) n < PIECE ||
	    still_hash64(data, PIECE) != digests_of(served, number)[i])
		return changed(served, name, i * PIECE, err);
	return 0;
}

static int read_open(const struct still_pg_served *served, uint64_t number,
    int fd, uint64_t off_bytes, char *data, size_t len, char *piece,
    struct still_error *err)
{
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t i = (size_t) (off_bytes / PIECE);
		size_t from = (size_t) (off_bytes % PIECE);
		size_t n = PIECE - from < len ? PIECE - from : len;
		bool whole = n == PIECE;

		rc = read_piece(
		    served, number, fd, i, whole ? data : piece, err);
		if (rc == 0 && !whole)
			memcpy(data, piece + from, n);
		off_bytes += n;
		data += n;
		len -= n;
	}
	return rc;
}

int still_pg_served_read(const struct still_pg_served *served, uint64_t number,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	char *piece;
	int fd;
	int rc;

	still_pg_served_name(served, number, name);
	fd = still_sys_open_beneath(served->fd, name, O_RDONLY);
	if (fd == -ENOENT)
		return lost(name, err);
	if (fd < 0)
		return still_error_sys(err, -fd, NULL, "`pg_wal/%s`", name);
	piece = malloc(PIECE);
	rc = piece
	    ? read_open(served, number, fd, off_bytes, data, len, piece, err)
	    : still_error_nomem(err);
	free(piece);
	close(fd);
	return rc;
}

int still_pg_served_alive(
    const struct still_pg_served *served, struct still_error *err)
{
	char name[STILL_PG_WAL_NAME_CHARS + 1];

	if (served->n == 0)
		return 0;
	still_pg_served_name(served, served->first, name);
	if (faccessat(served->fd, name, F_OK, 0) == 0 || errno != ENOENT)
		return 0;
	return lost(name, err);
}
