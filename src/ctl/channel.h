/* SPDX-License-Identifier: MIT */
/*
 * channel: asks the daemon of a mount, as src/control.h says.
 */
#ifndef CTL_CHANNEL_H
#define CTL_CHANNEL_H

#include "base/error.h"
#include "control.h"

/* The root of a mount, held open: meanwhile it is busy for umount(8). */
struct ctl_channel {
	int fd;                 /* -1: closed */
	const char *mountpoint; /* borrowed */
};

/* Opens the root directory only, which begins no session. LOST: its daemon has
 * died. */
int ctl_channel_open(
    const char *mountpoint, struct ctl_channel *ret, struct still_error *err);
void ctl_channel_close(struct ctl_channel *channel);

/*
 * Ask. `io` has flags, job and session filled in, and the answer afterwards; its
 * version is seen to here. What the daemon refuses comes back as it said it, with
 * its code; ACCESS: it does not listen to this user; LOST: it is no longer there;
 * UNSUPPORTED: it speaks another version. Returns at once.
 */
int ctl_channel_ask(const struct ctl_channel *channel, unsigned long request,
    struct still_control *io, struct still_error *err);

/* ioctl(2), 0 or -errno. Tests put a daemon of their own here. */
typedef int ctl_ioctl_fn(
    int fd, unsigned long request, struct still_control *io);
extern ctl_ioctl_fn *ctl_channel_ioctl;

#endif
