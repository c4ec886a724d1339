/* SPDX-License-Identifier: MIT */
/* What points.h declares, for programs that are built with its points. */
#include "config.h"

#include "engines/sqlite/points.h"

void (*sqlite_point_hook)(
    enum sqlite_point point, const struct sqlite_image *image);
enum sqlite_fault sqlite_fault;
