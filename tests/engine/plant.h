/* SPDX-License-Identifier: MIT */
/*
 * plant: the whole tree of a snapshot, written into a directory, as a copy of the
 * mount would be: files, links, empty directories, and what the engine makes of
 * all others; but for the checksum list.
 *
 * Ends the test where it cannot be done. Blocks.
 */
#ifndef TESTS_ENGINE_PLANT_H
#define TESTS_ENGINE_PLANT_H

#include <stdint.h>

#include "core/snapshot.h"
#include "engines/engine.h"

/* `all` has the bytes of each file that the engine reads, by the entry's index;
 * `dir` is there and empty. */
void plant(struct still_engine_instance *instance,
    const struct still_snapshot *snapshot, uint8_t *const *all,
    const char *dir);

#endif
