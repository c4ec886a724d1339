/* SPDX-License-Identifier: MIT */
/*
 * job: starts a job of the daemon and follows it to its end. The job is the
 * daemon's: whatever becomes of us, it goes on.
 */
#ifndef CTL_JOB_H
#define CTL_JOB_H

#include "base/buf.h"
#include "ctl/channel.h"
#include "ctl/options.h"

struct ctl_job {
	unsigned long request; /* STILL_CONTROL_BEGIN ... */
	uint32_t flags;
	const char *doing;   /* for people: "freezing" */
	const char *goes_on; /* what is said when we are interrupted */
	bool counts_bytes;   /* its progress is bytes_verified of bytes */
};

/*
 * Start it and wait until it is done. Shows progress on stderr where that is a
 * terminal, or with --json as lines {"event":"progress", ...} on stdout.
 * Returns the job's result; `ret` has the last answer that came, also on
 * failure. An interrupt says that the job goes on, and ends the process by the
 * signal.
 */
int ctl_job_run(const struct ctl_channel *channel, const struct ctl_job *job,
    const struct ctl_options *options, struct still_control *ret,
    struct still_error *err);

/*
 * Ask once for the job of that number: 1 while it runs, 0 when it is done; fails
 * with its result, with CANCELLED where another has taken its place, or as
 * ctl_channel_ask() does. ctl_job_rest() waits before the next question, number
 * `n` from 0: shortly at first.
 */
int ctl_job_poll(const struct ctl_channel *channel, uint64_t job,
    struct still_control *io, struct still_error *err);
void ctl_job_rest(unsigned n);

/* {"event":"done", "session", "state", "outcome", ...} as a line. */
int ctl_job_tell(const struct still_control *answer, struct still_error *err);

/* Append "verifying [####....]  45%  1.2 GiB of 2.7 GiB", or without a count
 * "freezing  3 s". */
void ctl_job_bar(struct still_buf *buf, const struct ctl_job *job,
    const struct still_control *answer, int64_t elapsed_ns);

#endif
