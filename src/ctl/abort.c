/* SPDX-License-Identifier: MIT */
/* stillctl abort: the copy is not wanted. */
#include "config.h"

#include <stdio.h>

#include "ctl/exit.h"
#include "ctl/job.h"
#include "ctl/record.h"
#include "ctl/verb.h"

static const struct ctl_option options[] = {
    {"session", 's', CTL_TEXT, CTL_AT(session), 0, 0, "ID",
	"only this session, and no other"},
    CTL_OPTIONS_END,
};

static int give_up(const struct ctl_options *o, const struct ctl_target *target,
    struct still_error *err)
{
	static const struct ctl_job job = {
	    .request = STILL_CONTROL_ABORT,
	    .doing = "ending the session",
	    .goes_on = "interrupted; the session is being ended all the same",
	};
	struct ctl_channel channel;
	struct still_control answer;
	int rc = ctl_channel_open(target->mountpoint, &channel, err);

	if (rc < 0)
		return rc;
	rc = ctl_job_run(&channel, &job, o, &answer, err);
	ctl_channel_close(&channel);
	if (rc < 0)
		return rc;
	ctl_record_settle(o, &answer);
	if (o->json)
		return ctl_job_tell(&answer, err);
	if (!o->quiet)
		printf("%s %s\n", answer.session, answer.outcome_text);
	return CTL_EXIT_DONE;
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	return ctl_target_run(o, give_up, NULL, err);
}

const struct ctl_verb ctl_verb_abort = {
    .name = "abort",
    .summary = "give a session up: it is no backup",
    .help = "End the present session of a mount: it is no backup. Readers get\n"
	    "errors, and the instance is let go. The mount stays.\n",
    .target = CTL_TARGET_MOUNT,
    .usage = "[TARGET]",
    .max_words = 1,
    .options = options,
    .run = run,
};
