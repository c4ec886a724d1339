/* SPDX-License-Identifier: MIT */
/*
 * log: where a daemon's words go: stderr in the foreground and until it has
 * detached, syslog (facility daemon) afterwards. Any thread.
 *
 * Events of the level debug are of single files, and there may be thousands a
 * second: journald would drop the lines that matter with them, and a reader of a
 * file would wait for a log that is full. They go there only when asked for.
 */
#ifndef FS_LOG_H
#define FS_LOG_H

#include <stdbool.h>

#include "still.h"

/* Before any thread. Also routes libfuse's messages here. */
void fs_log_open(bool foreground, bool debug);

/* From now on syslog only, unless in the foreground. */
void fs_log_detach(void);

/* A still_event_sink_fn. May block where the log does. */
void fs_log_event(void *arg, enum still_level level, const char *line);

/* A failure that ends the program: message and hint. */
void fs_log_error(const struct still_error *err);

#endif
