/* SPDX-License-Identifier: MIT */
/*
 * environment: what this machine and this user lack for a mount, whatever the
 * source is.
 */
#ifndef CTL_ENVIRONMENT_H
#define CTL_ENVIRONMENT_H

#include "ctl/options.h"
#include "ctl/target.h"
#include "still.h"

struct ctl_findings {
	struct still_finding *list; /* owned */
	size_t n;
	bool failed; /* without memory */
};

#define CTL_FINDINGS_INIT      \
	{                      \
		NULL, 0, false \
	}

/* A finding; `object` is what it is about. */
void ctl_findings_add(struct ctl_findings *findings, enum still_level level,
    int code, const char *object, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void ctl_findings_release(struct ctl_findings *findings);

/* /dev/fuse, and what users other than root need. */
void ctl_check_fuse(struct ctl_findings *ret);

/*
 * The state directory: can it be used, or made? `*ret` is the catalog that is
 * in it, and belongs to the caller; NULL where there is none yet, or none that
 * can be used.
 */
void ctl_check_state(const struct ctl_options *options,
    const struct ctl_target *target, struct ctl_findings *ret_findings,
    struct still_catalog **ret);

/* Is it mounted, or will it be at the next boot? */
void ctl_check_place(const struct ctl_target *target, struct ctl_findings *ret);

#endif
