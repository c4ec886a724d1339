/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/daemon.h"
#include "fs/log.h"
#include "fs/options.h"

#define EXIT_USAGE 2

/* A descriptor of ours with the number of a standard stream would be written to
 * by whoever means the stream, and closed when the daemon lets go of it. */
static bool fill_standard_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct fs_options options;
	struct still_error err = STILL_ERROR_INIT;
	int status = EXIT_SUCCESS;

	if (!fill_standard_streams())
		return EXIT_FAILURE;
	if (fs_options_parse(argc, argv, &options, &err) < 0) {
		fs_log_error(&err);
		still_error_clear(&err);
		fs_options_release(&options);
		return EXIT_USAGE;
	}
	if (options.help)
		fs_options_usage(stdout);
	else if (options.version)
		printf("stillfs %s\n", still_version());
	else
		status = fs_daemon_run(&options);
	fs_options_release(&options);
	return status;
}
