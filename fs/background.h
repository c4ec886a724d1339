/* SPDX-License-Identifier: MIT */
/*
 * background: a daemon whose parent waits until there is something to return
 * for. The daemon is the child, so that nothing it opens has to survive a fork;
 * what goes wrong before the mount answers is still said on the terminal, and is
 * the exit status of the command.
 */
#ifndef FS_BACKGROUND_H
#define FS_BACKGROUND_H

#include <stdbool.h>

/*
 * Fork. In the child: true, and `*ret_ready_fd` is for fs_background_tell(). In
 * the parent, when the child has told or has ended: false, and `*ret_status` is
 * what to exit with. Before any thread.
 */
bool fs_background_begin(int *ret_ready_fd, int *ret_status);

/* Let go of the terminal: standard streams, log, process group. */
void fs_background_leave(void);

/* The parent may return. False when it does not wait any more: who was told to
 * give up must not find a mount. Closes the descriptor. */
bool fs_background_tell(int *ready_fd);

#endif
