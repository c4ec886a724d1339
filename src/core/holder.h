/* SPDX-License-Identifier: MIT */
/*
 * holder: who has an instance, by an OFD write lock on the first byte of a file
 * in the directory locks/. The lock dies with its process. The file's text is
 * for others' messages:
 *
 *	pid PID ID PLACE\n
 *
 * It is whole from before the first use of the lock until its end, and empty
 * otherwise, but for what a dead process left. PLACE may be missing, and may
 * hold any byte. The files are never removed: a lock on a name that somebody
 * else replaces meanwhile keeps nobody out.
 *
 * An OFD lock, because one of the process (POSIX) would be dropped by any other
 * close of the file here, and would not keep two sessions of one process apart.
 *
 * Threads: any. Nothing here waits for a holder.
 */
#ifndef STILL_CORE_HOLDER_H
#define STILL_CORE_HOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "still.h"

struct still_holder {
	pid_t pid;                       /* 0: not known */
	char id[STILL_SESSION_ID_BYTES]; /* "": not known */
	char *place;                     /* owned; or NULL */
};

/* Take the lock of the file `name` in `dirfd`, made if it is missing, and say
 * there who has it. BUSY without detail when somebody has it. On success the
 * caller ends `*ret_fd` with still_holder_release(). */
int still_holder_take(int dirfd, const char *name, const char *id,
    const char *place, int *ret_fd, struct still_error *err);

/* Wipe the text, drop the lock, close. */
void still_holder_release(int fd);

/* Has anybody the lock? 1, 0 (also where there is no such file) or a negative
 * code. With `ret` (may be NULL), when the answer is 1, as much as can be told
 * of who it is; the caller ends it with still_holder_clear(). */
int still_holder_look(int dirfd, const char *name, struct still_holder *ret,
    struct still_error *err);
void still_holder_clear(struct still_holder *holder);

/* Fill `err` with BUSY: `source` is what is held, `wanted` what the caller came
 * for, the same or one that shares databases with it. */
int still_holder_busy(const struct still_holder *holder, const char *source,
    const char *wanted, struct still_error *err);

#endif
