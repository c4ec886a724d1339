/* SPDX-License-Identifier: MIT */
/* bar: how far something is, as part of a line. */
#ifndef CTL_BAR_H
#define CTL_BAR_H

#include "base/buf.h"

/* Append "[####....]  45%  1.2 GiB of 2.7 GiB", with `columns` in the brackets.
 * `bytes` is not 0. */
void ctl_bar_add(
    struct still_buf *buf, uint64_t done, uint64_t bytes, int columns);

#endif
