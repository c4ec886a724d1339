/* SPDX-License-Identifier: MIT */
/*
 * identity: a text that is another one whenever the bytes of a captured file may
 * be.
 *
 * A file has one if it is captured as a whole and nobody wrote to it
 * from its first byte to its last: its size, mtime and ctime are the same before
 * and after. They are believed where they are older than 2 s, the ticks of the
 * coarsest clock of a file system, and are good for one boot: the server writes
 * data without its times (fdatasync), which a power failure may lose, and
 * device numbers mean nothing in another. The server writes its files with
 * write(2), which sets times; a map would not.
 *
 * Pure; any thread.
 */
#ifndef POSTGRES_IDENTITY_H
#define POSTGRES_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "engines/engine.h"

/* The identity of what was captured of a file that was `before` at `look_ns`
 * (CLOCK_REALTIME), just before, and is `after`; `boot` is the digest of the
 * boot's name. False: none. Pure. */
bool still_pg_identity(const struct stat *before, const struct stat *after,
    int64_t look_ns, uint64_t boot, char out[STILL_IDENTITY_MAX_BYTES + 1]);

#endif
