/* SPDX-License-Identifier: MIT */
/*
 * governor_hooks: what governor_hammer does at the points of points.h. It breaks
 * the governor where it is told to, and makes the moments long in which that
 * would show; a governor that is not broken must bear the same.
 *
 * In a program that is built without points there is nothing of this, and no
 * option is known.
 */
#ifndef TESTS_ENGINE_GOVERNOR_HOOKS_H
#define TESTS_ENGINE_GOVERNOR_HOOKS_H

#include <stdbool.h>

/* fault=NAME of points.h. slow_us=N: a piece that is copied takes that much
 * longer. linger=1: so does a hop, once it knows what it must save.
 * hold_readers=1: a few readers stop between look-up and read. False: no such
 * option. */
bool governor_hooks_set(const char *key, const char *value);

/* Before the governor is started, and after it was stopped. */
void governor_hooks_start(void);
void governor_hooks_stop(void);

#endif
