/* SPDX-License-Identifier: MIT */
/*
 * places: where stillfs is mounted, and where it is configured to be: the lines
 * of type fuse.stillfs in the mount table, and those of fuse.stillfs or stillfs
 * in fstab(5). libmount reads both.
 *
 * A mount and a line of fstab are one place when they have the source or the
 * mountpoint in common. A mount that another one covers is none: nobody can
 * reach it.
 */
#ifndef CTL_PLACES_H
#define CTL_PLACES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define CTL_MOUNTINFO "/proc/self/mountinfo"
#define CTL_FSTAB "/etc/fstab"

/* Owned; resolved as far as they can be. A connection string is kept as it is. */
struct ctl_place {
	char *source;
	/* The connection string by which fstab calls a source that is mounted,
	 * and so has another name in the mount table; NULL: none. */
	char *alias;
	char *mountpoint;
	char *state_dir; /* `state=` of fstab; NULL: not said there */
	bool mounted;
	bool configured; /* in fstab */
};

struct ctl_places {
	struct ctl_place *list; /* owned; mounts first */
	size_t n;
};

#define CTL_PLACES_INIT \
	{               \
		NULL, 0 \
	}

/* Read both tables. A missing `fstab` is an empty one. Blocks on no mount.
 * Release `ret` in every case. */
int ctl_places_read(const char *mountinfo, const char *fstab,
    struct ctl_places *ret, struct still_error *err);
void ctl_places_release(struct ctl_places *places);

/* This machine's; $STILLCTL_FSTAB is read instead of /etc/fstab. */
int ctl_places_here(struct ctl_places *ret, struct still_error *err);

/*
 * `path` absolute and without symbolic links, as far as it exists; a dead mount
 * as its last part is no obstacle, nor is a scheme ("NAME:") before a path.
 * A connection string is returned as it is. The caller frees it; NULL without
 * memory.
 */
char *ctl_path_resolve(const char *path);

#endif
