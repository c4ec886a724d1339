/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/exit.h"

const char *ctl_exit_word(enum ctl_exit status)
{
	static const char *const words[CTL_EXIT_COUNT] = {
	    [CTL_EXIT_DONE] = "done",
	    [CTL_EXIT_FAILED] = "failed",
	    [CTL_EXIT_USAGE] = "usage",
	    [CTL_EXIT_WARNINGS] = "done with warnings",
	    [CTL_EXIT_BUSY] = "busy",
	    [CTL_EXIT_CORRUPT] = "verification failed",
	    [CTL_EXIT_ABORTED] = "aborted",
	};

	return words[status];
}

enum ctl_exit ctl_exit_of_error(int code)
{
	switch (code) {
	case 0:
		return CTL_EXIT_DONE;
	case STILL_ERR_BUSY:
	case STILL_ERR_AGAIN:
	case STILL_ERR_ABSENT:
	case STILL_ERR_STOPPING:
		return CTL_EXIT_BUSY;
	case STILL_ERR_CORRUPT:
		return CTL_EXIT_CORRUPT;
	default:
		return CTL_EXIT_FAILED;
	}
}

enum ctl_exit ctl_exit_of_outcome(enum still_outcome outcome)
{
	if (outcome == STILL_NO_OUTCOME)
		return CTL_EXIT_FAILED;
	if (still_outcome_is_good(outcome))
		return CTL_EXIT_DONE;
	return outcome == STILL_ABORTED_CORRUPT ? CTL_EXIT_CORRUPT
						: CTL_EXIT_ABORTED;
}

enum ctl_exit ctl_exit_of_job(
    int code, enum still_state state, enum still_outcome outcome)
{
	switch (code) {
	case 0:
	case STILL_ERR_BUSY:
	case STILL_ERR_AGAIN:
	case STILL_ERR_ABSENT:
	case STILL_ERR_STOPPING:
	case STILL_ERR_CORRUPT:
	case STILL_ERR_PROTO: /* the outcome is that of an older session */
		return ctl_exit_of_error(code);
	default:
		break;
	}
	if (state == STILL_ENDED && outcome != STILL_NO_OUTCOME &&
	    !still_outcome_is_good(outcome))
		return ctl_exit_of_outcome(outcome);
	return ctl_exit_of_error(code);
}
