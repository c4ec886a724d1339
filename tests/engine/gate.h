/* SPDX-License-Identifier: MIT */
/*
 * gate: stops a thread of the governor, or a reader, at a point of points.h,
 * until the test lets it go on. There is one gate at each point.
 *
 * Whoever waits in vain ends the program, after half a minute.
 */
#ifndef TESTS_ENGINE_GATE_H
#define TESTS_ENGINE_GATE_H

#include <stdbool.h>

#include "engines/sqlite/points.h"

/* Open all gates, and forget what was counted. */
void gate_reset(void);

/* Stop who comes to `point`, after it was passed `skip` times from now on. At
 * SQLITE_POINT_LOOKED_UP only threads that called gate_is_reader(). */
void gate_close(enum sqlite_point point, unsigned skip);
void gate_is_reader(void);

/* Until somebody stands there. */
void gate_wait(enum sqlite_point point);

/* Let him go on, and all who come. */
void gate_open(enum sqlite_point point);

/* How often `point` was reached. */
unsigned gate_count(enum sqlite_point point);

/* Until it was reached more than `count` times. */
void gate_wait_count(enum sqlite_point point, unsigned count);

#endif
