/* SPDX-License-Identifier: MIT */
/*
 * check_parts: what the files that check a cluster in a set (check.h) share.
 *
 * Threads: one.
 */
#ifndef POSTGRES_CHECK_PARTS_H
#define POSTGRES_CHECK_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "engines/postgres/control.h"
#include "engines/postgres/covered.h"
#include "engines/postgres/findings.h"
#include "engines/postgres/label.h"
#include "engines/postgres/manifest_read.h"
#include "engines/postgres/versions.h"

#define STILL_PG_CLUSTER "data" /* as the path of a database */

struct still_pg_checking {
	int set_fd;
	bool is_link; /* an incremental set: the others are not set */
	const struct still_pg_version *version;
	struct still_pg_control control;
	struct still_pg_label label;
	struct still_pg_manifest_text manifest;
	struct still_pg_covered *covered; /* owned */
	/* What is wrong with files, and how many more are. */
	struct still_pg_findings findings;
	uint64_t n_more;
};

/* Open a file of the set, by its path in it. CORRUPT: it is missing, or is no
 * file; ACCESS, IO. `*ret_fd` is the caller's. */
int still_pg_check_open(const struct still_pg_checking *checking,
    const char *path, int *ret_fd, struct stat *ret_st,
    struct still_error *err);

/* Read what it should have of it. IO, also where it is shorter now. */
int still_pg_check_read(int fd, const char *path, void *data, size_t len,
    uint64_t off_bytes, struct still_error *err);

/* Rule 1 of check.h: version, control and label are known then. CORRUPT,
 * UNSUPPORTED, ACCESS, IO, NOMEM. */
int still_pg_check_cluster(
    struct still_pg_checking *checking, struct still_error *err);

/* backup.json, for the caller to release; NULL where it is no JSON, which is for
 * those to tell who know its format. Likewise. */
int still_pg_check_description(const struct still_pg_checking *checking,
    json_t **ret, struct still_error *err);

/* Rules 1 to 3 of check.h: all but `covered` and the findings are known then.
 * CORRUPT, UNSUPPORTED, ACCESS, IO, NOMEM. */
int still_pg_check_head(
    struct still_pg_checking *checking, struct still_error *err);

/* Rule 4, which tells what is covered. Likewise. */
int still_pg_check_wal(
    struct still_pg_checking *checking, struct still_error *err);

/* Rules 5 and 6; what is wrong becomes a finding. ACCESS, IO, NOMEM. */
int still_pg_check_files(
    struct still_pg_checking *checking, struct still_error *err);

#endif
