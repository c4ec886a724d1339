/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/log.h"

/* Exit when the daemon says so, or as it exits. */
static int wait_for(pid_t pid, int fd)
{
	char byte;
	ssize_t n;
	int status;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return EXIT_SUCCESS;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status)
							: EXIT_FAILURE;
}

bool fs_background_begin(int *ret_ready_fd, int *ret_status)
{
	int fds[2];
	pid_t pid;

	*ret_status = EXIT_FAILURE;
	if (pipe2(fds, O_CLOEXEC) != 0)
		return false;
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		*ret_ready_fd = fds[1];
		return true;
	}
	close(fds[1]);
	if (pid > 0)
		*ret_status = wait_for(pid, fds[0]);
	close(fds[0]);
	return false;
}

void fs_background_leave(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	fs_log_detach();
	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	setsid();
}

bool fs_background_tell(int *ready_fd)
{
	char zero = 0;
	ssize_t n;

	do
		n = write(*ready_fd, &zero, 1);
	while (n < 0 && errno == EINTR);
	close(*ready_fd);
	*ready_fd = -1;
	return n == 1;
}
