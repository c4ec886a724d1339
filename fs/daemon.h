/* SPDX-License-Identifier: MIT */
/*
 * daemon: the life of one mount, from the fork to the last line of its log.
 *
 * The process that the user started waits for one byte from the daemon, which
 * comes when the mount answers, and exits with it. The instance is attached
 * only after the fork: database connections do not survive one.
 *
 * A mount ends by umount, by a signal (TERM, INT, HUP), or by force. The loop
 * of libfuse does not tell these apart and sometimes does not end at all (after
 * `umount -l`, while somebody holds a file), so a thread of our own watches
 * signals, the mount table and the clock.
 */
#ifndef FS_DAEMON_H
#define FS_DAEMON_H

#include "fs/options.h"

/* Mount and serve until the end, or, unless in the foreground, until the mount
 * answers. Returns the exit status of the process. Prints errors. */
int fs_daemon_run(const struct fs_options *options);

#endif
