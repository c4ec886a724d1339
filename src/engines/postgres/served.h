/* SPDX-License-Identifier: MIT */
/*
 * served: completed segments of the WAL, read where the server has them.
 *
 * A segment behind which the server writes already is never written to again.
 * It is removed, or renamed and used once more, when no slot needs it. So it is
 * opened by its name each time, and every 64 KiB of it are compared with their
 * digest from when it was first read: whatever is handed out is what was proven
 * then.
 *
 * Threads: made by one; then `read` and `alive` by any.
 */
#ifndef POSTGRES_SERVED_H
#define POSTGRES_SERVED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "engines/postgres/wal_name.h"
#include "engines/postgres/wal_page.h"

#define STILL_PG_SERVED_PIECE_BYTES 65536

struct still_pg_served {
	int fd; /* pg_wal, O_PATH; negative: it is not open */
	struct still_pg_wal_format format;
	uint64_t first;    /* number of the first segment */
	size_t n;          /* how many; consecutive */
	uint64_t *digests; /* owned; of the pieces of all of them */
};

/* Release all that it has; accepts what was set to this. */
#define STILL_PG_SERVED_INIT \
	{                    \
		.fd = -1     \
	}
void still_pg_served_release(struct still_pg_served *served);

/* Segments `first` and the `n - 1` behind it, of the cluster at `pgdata`. NOMEM,
 * ACCESS, IO. */
int still_pg_served_open(const char *pgdata,
    const struct still_pg_wal_format *format, uint64_t first, size_t n,
    struct still_pg_served *ret, struct still_error *err);

/* The name of one. */
void still_pg_served_name(const struct still_pg_served *served, uint64_t number,
    char ret_name[STILL_PG_WAL_NAME_CHARS + 1]);

/* Read all of a segment and remember its digests. NOTFOUND (without a detail that
 * anybody would want), CORRUPT (it is not whole), IO, NOMEM. */
int still_pg_served_take(const struct still_pg_served *served, uint64_t number,
    struct stat *ret_st, struct still_error *err);

/* Bytes of a segment that was taken; the range lies inside. LOST (the server has
 * it no more), CORRUPT (it is another one now), IO, NOMEM. */
int still_pg_served_read(const struct still_pg_served *served, uint64_t number,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err);

/* Is the oldest still there? The server removes them from there on. LOST. */
int still_pg_served_alive(
    const struct still_pg_served *served, struct still_error *err);

#endif
