/* SPDX-License-Identifier: MIT */
/*
 * set_parts: what the files that read a set (set.h) share.
 *
 * Threads: one.
 */
#ifndef STILL_CORE_SET_PARTS_H
#define STILL_CORE_SET_PARTS_H

#include "core/set.h"

/* Where flaws are told, and which part of the set they are in. */
struct still_set_judge {
	still_set_flaw_fn *flaw;
	void *arg;
	uint64_t n_flaws; /* that were told */
};

/* Tell one flaw. */
void still_set_tell(struct still_set_judge *judge, const char *path, int code,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* 32 lowercase hexadecimal digits; false where there is another byte. */
bool still_set_parse_sum(const char *text, struct still_hash128 *ret);

/* Read text of `len` bytes, with a NUL behind it, into the set. What is wrong is
 * told. 0 or NOMEM. */
int still_set_parse_list(struct still_set *set, struct still_set_judge *judge,
    const char *text, size_t len, struct still_error *err);
int still_set_parse_description(struct still_set *set,
    struct still_set_judge *judge, const char *text, size_t len,
    struct still_error *err);

/* The description's links and empty directories. 0 or NOMEM. */
int still_set_parse_shape(struct still_set *set, struct still_set_judge *judge);
void still_set_release_shape(struct still_set *set);

/* The keys that say what it builds on. 0 or NOMEM. */
int still_set_parse_base(struct still_set *set, struct still_set_judge *judge);

/* What a described database says of its increment: `*ret_there` when it says
 * anything, `*ret` (owned by the caller) when there is one. What is no path is
 * told. 0 or NOMEM. */
int still_set_take_increment(const json_t *database, const char *path,
    struct still_set_judge *judge, bool *ret_there, char **ret);

/* Is `path` that of a link of the description? */
bool still_set_has_link(const struct still_set *set, const char *path);

/* Compare them with what is there. */
void still_set_judge_shape(
    const struct still_set *set, struct still_set_judge *judge);

#endif
