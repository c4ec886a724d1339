/* SPDX-License-Identifier: MIT */
/*
 * help: --help, from the tables of verbs and options.
 */
#ifndef CTL_HELP_H
#define CTL_HELP_H

#include <stdio.h>

#include "ctl/verb.h"

/* Of stillctl: every verb in a line. */
void ctl_help(FILE *out);

/* Of one verb: every option, its own ones first. */
void ctl_help_verb(const struct ctl_verb *verb, FILE *out);

#endif
