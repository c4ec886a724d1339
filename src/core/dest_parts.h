/* SPDX-License-Identifier: MIT */
/* dest_parts: what the files of dest have in common. */
#ifndef STILL_CORE_DEST_PARTS_H
#define STILL_CORE_DEST_PARTS_H

#include "core/set_chain.h"
#include "core/dest.h"

#define STILL_DEST_FULL "full"
#define STILL_DEST_NEW_PREFIX ".new-"
#define STILL_DEST_OLD_PREFIX ".old-"
#define STILL_DEST_LINKS_PREFIX ".links-"

/* Is it a session's id? */
bool still_dest_is_id(const char *text);

/* Rename and sync. `*ret_errno` is 0 when it was renamed, whatever became of the
 * sync. */
int still_dest_rename(struct still_dest *dest, const char *from, const char *to,
    unsigned flags, int *ret_errno, struct still_error *err);

/* Rules 1 and 2: refuse what is foreign, put the last set back, remove leftovers;
 * sets `had_full`. */
int still_dest_look_through(
    struct still_dest *dest, const char *source, struct still_error *err);

/* Returns 0 to go on, or a negative code. */
typedef int still_dest_visit_fn(struct still_dest *dest, const char *name,
    void *arg, struct still_error *err);

/* Each name in the directory `sub` ("": in `dest` itself), in no order. */
int still_dest_for_each(struct still_dest *dest, const char *sub,
    still_dest_visit_fn *visit, void *arg, struct still_error *err);

/* Is `name` a set of `source` (NULL: of any)? INVALID: it is another's, or does
 * not say. */
int still_dest_judge(const struct still_dest *dest, const char *name,
    const char *source, struct still_error *err);

/* Has the set of session `id` its name in that directory, or one of its links?
 * 1, 0, or a negative code. */
int still_dest_has(int dirfd, const char *id, struct still_error *err);

/* Rule 6: `name` becomes the leftover that is to be put back; "" where there is
 * none. `path` is the directory's, for messages. */
int still_dest_find_aside(int dirfd, const char *path,
    char name[STILL_DEST_NAME_BYTES], struct still_error *err);

/* Refuse what is foreign among the links. Sets `had_links`. */
int still_dest_look_at_links(
    struct still_dest *dest, const char *source, struct still_error *err);

/* Put back what rule 6 says, when `full` is settled. */
int still_dest_recover_links(struct still_dest *dest, struct still_error *err);

/* Rule 6, and back again. What cannot be put back is where it is, and the next
 * one puts it back. */
int still_dest_put_links_aside(
    struct still_dest *dest, struct still_error *err);
int still_dest_put_links_back(struct still_dest *dest, struct still_error *err);

/* The new one becomes a link, and back again; sets `placed`. */
int still_dest_place_link(struct still_dest *dest, struct still_error *err);
int still_dest_unplace_link(struct still_dest *dest, struct still_error *err);

#endif
