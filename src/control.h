/* SPDX-License-Identifier: MIT */
/*
 * control: how stillctl speaks to the daemon of a mount.
 *
 * An ioctl on a descriptor of the mount's root directory. The daemon answers
 * root, its own user and the owner of the source; everybody else gets EPERM,
 * whatever the mode bits say. Other errno: ENOTTY (no such request, or no mount
 * of stillfs), EPROTO (another version of this protocol). Everything else that
 * goes wrong is told in `code`, `message` and `hint`, with the ioctl's result 0.
 *
 * BEGIN, COMMIT and ABORT start a job and return at once, with its number in
 * `job`, or with a `code` why not. QUERY tells how far it is. So nobody waits in
 * the kernel for what may take minutes. There is one job at a time: a COMMIT
 * during a COMMIT gets the same job, an ABORT stops whatever is under way.
 *
 * All fields are little or big endian as the machine is; texts are
 * NUL-terminated, and cut if they do not fit.
 */
#ifndef STILL_CONTROL_H
#define STILL_CONTROL_H

#include <linux/ioctl.h>
#include <stdint.h>

#include "still.h"

#define STILL_CONTROL_VERSION 2

/* The file system type of a mount, in the mount table. */
#define STILL_FSTYPE "fuse.stillfs"

enum still_control_flag {
	STILL_CONTROL_COPY = 1, /* BEGIN: a session outside the chain */
	STILL_CONTROL_INCREMENTAL =
	    2, /* BEGIN: what was added since the last */
	/* COMMIT: those of struct still_commit_options. */
	STILL_CONTROL_TRUNCATE = 4,
	STILL_CONTROL_DRY_RUN = 8,
	STILL_CONTROL_ELSEWHERE = 16,
	STILL_CONTROL_FORCE = 32
};
#define STILL_CONTROL_OF_BEGIN (STILL_CONTROL_COPY | STILL_CONTROL_INCREMENTAL)
#define STILL_CONTROL_OF_COMMIT                           \
	(STILL_CONTROL_TRUNCATE | STILL_CONTROL_DRY_RUN | \
	    STILL_CONTROL_ELSEWHERE | STILL_CONTROL_FORCE)

enum still_job_state {
	STILL_JOB_NONE, /* no job has this number */
	STILL_JOB_RUNNING,
	STILL_JOB_DONE /* `code` is its result, 0 or an enum still_err_code */
};

struct still_control {
	uint32_t version; /* in, out */
	uint32_t flags;   /* in: enum still_control_flag */
	uint64_t job;     /* out; QUERY: in, 0: of none in particular */

	/* Out from here, but for `session`. */
	int32_t job_state; /* enum still_job_state */
	int32_t code;      /* of the request, or of the job once it is done */
	char message[1024];
	char hint[512];

	/* COMMIT and ABORT, in: the session that is meant, PROTO when it is
	 * another; "": whichever is there. Out: the session that the job is
	 * about; of QUERY without a job, the present one, or the last one that
	 * served a byte, or the last; "": none yet. */
	char session[STILL_SESSION_ID_BYTES];
	int32_t state;        /* enum still_state */
	int32_t outcome;      /* enum still_outcome */
	int32_t kind;         /* enum still_session_kind */
	uint32_t n_truncated; /* sessions; as struct still_truncation has it,
				 and the next three; of a COMMIT that is done */
	uint64_t number;      /* of the session; 0: not known */
	uint64_t truncated_bytes;
	char truncated_range[128];
	int32_t truncate_code; /* and why nothing was, though it is committed */
	char truncate_message[1024];
	char truncate_hint[512];
	char outcome_text[STILL_OUTCOME_TEXT_BYTES];
	uint64_t bytes;
	uint64_t bytes_served;
	uint64_t bytes_verified;
	uint64_t capture_bytes; /* of a freeze; 0: nothing is captured */
	uint64_t captured_bytes;
	uint32_t files;
	uint32_t files_whole;

	int32_t pid; /* the daemon */
	int32_t reserved;
	char source[4096];
	char state_dir[4096];
};

#define STILL_CONTROL_BEGIN _IOWR('s', 0x10, struct still_control)
#define STILL_CONTROL_COMMIT _IOWR('s', 0x11, struct still_control)
#define STILL_CONTROL_ABORT _IOWR('s', 0x12, struct still_control)
#define STILL_CONTROL_QUERY _IOWR('s', 0x13, struct still_control)

#endif
