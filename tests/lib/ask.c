/* SPDX-License-Identifier: MIT */
/*
 * ask: a bare client of the control protocol (src/control.h), for tests.
 *
 *	ask MNT begin|copy|commit|abort|query [nowait]
 *
 * Waits for the end of the job, if there is one and it is not told otherwise.
 * Prints "CODE OUTCOME SESSION BYTES_SERVED", spaces in OUTCOME as they are, and
 * behind it the message, if any. Exit status: 0; 1 when CODE is not 0; 2 when the
 * daemon did not answer, with the name of the error.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/sys.h"
#include "control.h"

#define POLL_NS INT64_C(2000000)
#define EXIT_NO_ANSWER 2

struct verb {
	const char *name;
	unsigned long request;
	uint32_t flags;
};

static const struct verb verbs[] = {
    {"begin", STILL_CONTROL_BEGIN, 0},
    {"copy", STILL_CONTROL_BEGIN, STILL_CONTROL_COPY},
    {"commit", STILL_CONTROL_COMMIT, 0},
    {"abort", STILL_CONTROL_ABORT, 0},
    {"query", STILL_CONTROL_QUERY, 0},
    {NULL, 0, 0},
};

static void ask(int fd, unsigned long request, struct still_control *control)
{
	control->version = STILL_CONTROL_VERSION;
	if (ioctl(fd, request, control) == 0)
		return;
	printf("%s\n", strerrorname_np(errno));
	exit(EXIT_NO_ANSWER);
}

static void await(int fd, struct still_control *control)
{
	uint64_t job = control->job;

	do {
		still_sys_sleep_ns(POLL_NS);
		*control = (struct still_control){.job = job};
		ask(fd, STILL_CONTROL_QUERY, control);
	} while (control->job_state == STILL_JOB_RUNNING);
}

int main(int argc, char **argv)
{
	static struct still_control control;
	const struct verb *verb = verbs;
	int fd;

	while (argc > 2 && verb->name && strcmp(verb->name, argv[2]) != 0)
		verb++;
	if (argc < 3 || argc > 4 || !verb->name) {
		fprintf(stderr, "usage: see the head of ask.c\n");
		return EXIT_NO_ANSWER;
	}
	fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		printf("%s\n", strerrorname_np(errno));
		return EXIT_NO_ANSWER;
	}
	control.flags = verb->flags;
	ask(fd, verb->request, &control);
	if (control.job_state == STILL_JOB_RUNNING && argc == 3)
		await(fd, &control);
	printf("%d %s %s %" PRIu64 " %s\n", control.code, control.outcome_text,
	    control.session, control.bytes_served, control.message);
	return control.code != 0;
}
