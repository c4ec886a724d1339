/* SPDX-License-Identifier: MIT */
/* stillctl begin: a session, before anybody reads. */
#include "config.h"

#include <stdio.h>

#include "ctl/exit.h"
#include "ctl/job.h"
#include "ctl/target.h"
#include "ctl/verb.h"

static const struct ctl_option options[] = {
    {"copy", 'c', CTL_FLAG, CTL_AT(copy), 0, 0, NULL,
	"a session that no incremental backup builds on"},
    {"incremental", 'i', CTL_FLAG, CTL_AT(incremental), 0, 0, NULL,
	"only what was added since the last one"},
    CTL_OPTIONS_END,
};

static int begin(const struct ctl_options *o, const struct ctl_target *target,
    struct still_error *err)
{
	const struct ctl_job job = {
	    .request = STILL_CONTROL_BEGIN,
	    .flags = o->incremental ? STILL_CONTROL_INCREMENTAL
		: o->copy           ? STILL_CONTROL_COPY
				    : 0,
	    .doing = "freezing",
	    .goes_on = "interrupted; the freeze goes on, `stillctl abort` ends "
		       "it",
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
	if (o->json)
		return ctl_job_tell(&answer, err);
	if (!o->quiet)
		printf("%s\n", answer.session);
	return CTL_EXIT_DONE;
}

static int run(const struct ctl_options *o, struct still_error *err)
{
	if (o->copy && o->incremental) {
		still_error_set(err, STILL_ERR_INVALID, 0, NULL,
		    "option `--copy`: does not go with `--incremental`");
		return CTL_EXIT_USAGE;
	}
	return ctl_target_run(o, begin, NULL, err);
}

const struct ctl_verb ctl_verb_begin = {
    .name = "begin",
    .summary = "begin a session: freeze a snapshot",
    .help =
	"Begin a session of a mount. When it serves, its name is printed, and\n"
	"backup/ can be copied, or incremental/NUMBER. To list backup/, or\n"
	"incremental/, begins one just as well.\n",
    .target = CTL_TARGET_MOUNT,
    .usage = "[TARGET]",
    .max_words = 1,
    .options = options,
    .run = run,
};
