/* SPDX-License-Identifier: MIT */
/*
 * walk_parts: what the files of a walk share: walk.c (directories), walk_list.c
 * (the list and its entries), walk_roots.c (where paths begin).
 */
#ifndef POSTGRES_WALK_PARTS_H
#define POSTGRES_WALK_PARTS_H

#include "engines/postgres/walk.h"

struct still_pg_walking {
	const struct still_pg_walk_request *request;
	struct still_pg_walk *walk;
	struct still_error *err;
};

/* What to do where permission is missing. */
extern const char still_pg_access_hint[];

/* What messages call `rel` below a root. The caller frees it; NULL without
 * memory. */
char *still_pg_walk_name(
    const struct still_pg_walk *walk, size_t root, const char *rel);

/* "`NAME`: " and the text of `sys_errno`. */
int still_pg_walk_failed(const struct still_pg_walk *walk, size_t root,
    const char *rel, int sys_errno, struct still_error *err);

/* Set the names of an entry. INVALID, NOMEM. */
int still_pg_walk_fill(const struct still_pg_walk *walk, size_t root,
    const char *rel, struct still_pg_entry *entry, struct still_error *err);

/* Add one with these facts and that name. */
int still_pg_walk_add(const struct still_pg_walk *walk,
    struct still_pg_list *list, size_t root, const char *rel,
    const struct still_pg_entry *facts, struct still_error *err);

/* A tablespace in place, which is refused. */
int still_pg_walk_in_place(
    const struct still_pg_walking *walking, const char *oid);

/* Open all roots of the request. */
int still_pg_walk_roots(const struct still_pg_walking *walking);
void still_pg_root_release(struct still_pg_root *root);

#endif
