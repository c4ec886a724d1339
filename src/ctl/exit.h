/* SPDX-License-Identifier: MIT */
/*
 * exit: with what stillctl ends. The only table of its exit codes; scripts rely
 * on them, so a number never gets another meaning.
 */
#ifndef CTL_EXIT_H
#define CTL_EXIT_H

#include "still.h"

enum ctl_exit {
	CTL_EXIT_DONE,
	CTL_EXIT_FAILED,
	CTL_EXIT_USAGE,    /* the command line is at fault */
	CTL_EXIT_WARNINGS, /* done, but somebody should look */
	CTL_EXIT_BUSY,     /* somebody else has it; later it may work */
	CTL_EXIT_CORRUPT,  /* what was read failed its check */
	CTL_EXIT_ABORTED,  /* the session ended without a backup */
	CTL_EXIT_COUNT
};

/* "done", "failed" ... Static. */
const char *ctl_exit_word(enum ctl_exit status);

/* For a failure of that `code`. INVALID is FAILED here: who knows that the
 * command line is at fault says CTL_EXIT_USAGE itself. */
enum ctl_exit ctl_exit_of_error(int code);

/* For a session that ended so. */
enum ctl_exit ctl_exit_of_outcome(enum still_outcome outcome);

/* For a job that failed with `code`, about a session in this state: what became
 * of the session counts, where the job was about to decide that. */
enum ctl_exit ctl_exit_of_job(
    int code, enum still_state state, enum still_outcome outcome);

#endif
