/* SPDX-License-Identifier: MIT */
/*
 * journal: where the events of a session go that stillctl itself serves: to
 * syslog, under the name and the facility that the daemon of a mount has, so that
 * who looks for one looks for both; and with --json also to stdout, as lines
 * {"event":"log", "level", "line"}, as long as somebody reads them.
 *
 * Events of the level debug are of single files; they go nowhere, as with the
 * daemon.
 */
#ifndef CTL_JOURNAL_H
#define CTL_JOURNAL_H

#include "ctl/options.h"
#include "still.h"

/* NULL without memory. `options` outlives it. Ended by still_events_free(). */
struct still_events *ctl_journal_new(const struct ctl_options *options);

#endif
