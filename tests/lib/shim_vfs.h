/* SPDX-License-Identifier: MIT */
/*
 * shim_vfs: a layer between SQLite and its files, for all who open with the
 * default VFS while it is on. It fails calls, or writes down what was done
 * (tests/lib/power.h). Temporary files without a name are not looked at.
 *
 * For programs of one thread.
 */
#ifndef TESTS_LIB_SHIM_VFS_H
#define TESTS_LIB_SHIM_VFS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/power.h"

void shim_on(void);
void shim_off(void); /* no connection through it may be open */

/*
 * Fail call number `at`, counted from 1 from now on, of all opens, writes,
 * truncations, syncs and removals; with `forever` every later one too. A write
 * fails half done: with "disk full" if `full`, else with an I/O error. `at` 0:
 * none fails.
 */
void shim_fail(uint64_t at, bool forever, bool full);

/* How many such calls there were since. */
uint64_t shim_calls(void);

/* Write everything down; NULL: no more. */
void shim_trace(struct power_trace *trace);

#endif
