/* SPDX-License-Identifier: MIT */
/*
 * complete: the completion scripts of bash and zsh, from the tables of verbs and
 * options. Mountpoints are completed from the mount table.
 */
#ifndef CTL_COMPLETE_H
#define CTL_COMPLETE_H

#include <stdbool.h>
#include <stdio.h>

/* False: no such shell. */
bool ctl_complete(const char *shell, FILE *out);

#endif
