/* SPDX-License-Identifier: MIT */
/*
 * value: what stands behind an option, read strictly: "12abc" is not 12.
 *
 * `option` is what messages call the option by, as its user writes it. Every
 * failure is INVALID. Pure functions; any thread.
 */
#ifndef STILL_BASE_VALUE_H
#define STILL_BASE_VALUE_H

#include <stdint.h>

#include "base/error.h"

/* Decimal digits and nothing else, from `min` to `max`. */
int still_value_number(const char *option, const char *text, uint32_t min,
    uint32_t max, uint32_t *ret, struct still_error *err);

/* Decimal digits with K, M, G or T behind them, KiB, MiB, GiB or TiB, or nothing:
 * bytes, by powers of 1024. From `min` to `max`. */
int still_value_size(const char *option, const char *text, uint64_t min,
    uint64_t max, uint64_t *ret, struct still_error *err);

/* One of the words "a|b|c"; its place in them, from 0. */
int still_value_choice(const char *option, const char *words, const char *text,
    uint32_t *ret, struct still_error *err);

#endif
