/* SPDX-License-Identifier: MIT */
/*
 * preflight: a trial freeze, and what it tells. Its functions are in still.h;
 * tests have it look at an engine of their own.
 */
#ifndef STILL_CORE_PREFLIGHT_H
#define STILL_CORE_PREFLIGHT_H

#include "engines/engine.h"
#include "still.h"

/* As still_preflight(), with the engine given. */
int still_preflight_engine(const struct still_engine *engine,
    const char *source, const struct still_options *options,
    struct still_preflight *ret, struct still_error *err);

#endif
