/* SPDX-License-Identifier: MIT */
/*
 * task: what the verbs that work with sets have in common: they show how far
 * they are, and stop when they are interrupted.
 *
 * On a terminal a line of stderr is drawn anew a few times a second; with --json
 * stdout gets lines {"event":"progress", "phase", "path", "files", "files_done",
 * "bytes", "bytes_done"}. A line that a reader does not make room for is left
 * out.
 *
 * The first SIGINT or SIGTERM raises the task's flag; the second one ends the
 * process.
 */
#ifndef CTL_TASK_H
#define CTL_TASK_H

#include "base/buf.h"
#include "ctl/options.h"
#include "still_set.h"

struct ctl_task {
	const struct ctl_options *options; /* borrowed */
	struct still_task task;            /* for the library */
	bool drawn;                        /* a line of the terminal is ours */
	struct still_progress last;        /* that was told, without its path */
};

/* One at a time. The task's threads inherit the signals' handling. */
void ctl_task_begin(struct ctl_task *task, const struct ctl_options *options);

/* The library is done with it. The line that was drawn goes. */
void ctl_task_end(struct ctl_task *task);

/* Was it interrupted? */
bool ctl_task_interrupted(void);

/* Is there somebody who reads stdout, and has he read so far? */
bool ctl_task_has_room(void);

/* Append "copying    [####....]  45%  1.2 GiB of 2.7 GiB  310.0 MiB/s  0:05
 * data/a.db", or without a count "freezing  3 s"; at most `columns` wide. */
void ctl_task_bar(struct still_buf *buf, const struct still_progress *progress,
    size_t columns);

#endif
