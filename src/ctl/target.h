/* SPDX-License-Identifier: MIT */
/*
 * target: which mount, or which source, a verb is about.
 *
 * Named: a mountpoint of stillfs, or a source of which there is one mount, or
 * what fstab says of either. Otherwise it is only a path, which the catalog may
 * know. Not named: the only place that is mounted or configured; where there are
 * several, INVALID, naming them.
 */
#ifndef CTL_TARGET_H
#define CTL_TARGET_H

#include <stdbool.h>

#include "base/error.h"
#include "ctl/places.h"

struct ctl_options;

struct ctl_target {
	char *source;     /* owned, resolved; NULL: not known */
	char *mountpoint; /* owned, resolved; NULL: not known */
	char *state_dir;  /* owned; NULL: not said */
	char *path;       /* owned; as named, resolved, when neither the mount
			     table nor fstab has it; otherwise NULL */
	bool mounted;
	bool dead; /* mounted, and nobody answers */
};

/* INVALID: the command line is at fault. NOTFOUND: nothing is named and nothing
 * is configured. Release `ret` in every case. */
int ctl_target_find(
    const char *name, struct ctl_target *ret, struct still_error *err);

/* The same, in these places. */
int ctl_target_find_in(const struct ctl_places *places, const char *name,
    struct ctl_target *ret, struct still_error *err);

void ctl_target_release(struct ctl_target *target);

/* How to call it: its mountpoint, source or path. Borrowed. */
const char *ctl_target_name(const struct ctl_target *target);

/* Must be mounted, and alive. Otherwise NOTFOUND or LOST, with what to do. */
int ctl_target_require_mount(
    const struct ctl_target *target, struct still_error *err);

/* What a verb does with a target: an exit status, or a negative code. */
typedef int ctl_target_fn(const struct ctl_options *o,
    const struct ctl_target *target, struct still_error *err);

/* Find the target of a verb's options and let `mounted` deal with a mount that
 * lives, `other` with anything else; NULL: it must be a mount. Likewise. */
int ctl_target_run(const struct ctl_options *o, ctl_target_fn *mounted,
    ctl_target_fn *other, struct still_error *err);

/* The exit status for what ctl_target_find() returned. */
int ctl_target_status(int rc);

#endif
