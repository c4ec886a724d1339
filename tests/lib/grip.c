/* SPDX-License-Identifier: MIT */
/*
 * grip: hold a command in the middle of its work, for tests.
 *
 *	grip PATH BYTES COMMAND...
 *
 * Runs COMMAND in a process group of its own, and stops the group as soon as
 * PATH, a file or the files in a directory, has BYTES bytes. Prints "held", waits
 * for the end of stdin, and lets it go on. The exit status is COMMAND's; 99 when
 * it ended before it was held.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_EARLY 99
#define EXIT_NO_COMMAND 127

static long long bytes_in(DIR *dir)
{
	const struct dirent *entry;
	long long bytes = 0;
	struct stat st;

	while ((entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st,
			AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			bytes += st.st_size;
	return bytes;
}

/* What is not there has none. */
static long long bytes_at(const char *path)
{
	long long bytes;
	struct stat st;
	DIR *dir;

	if (stat(path, &st) != 0)
		return 0;
	if (!S_ISDIR(st.st_mode))
		return (long long) st.st_size;
	dir = opendir(path);
	if (!dir)
		return 0;
	bytes = bytes_in(dir);
	closedir(dir);
	return bytes;
}

static pid_t start(char **command)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			execvp(command[0], command);
		_exit(EXIT_NO_COMMAND);
	}
	if (pid > 0)
		setpgid(pid, pid);
	return pid;
}

static int status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	int status;
	char byte;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: grip PATH BYTES COMMAND...\n");
		return 2;
	}
	pid = start(argv + 3);
	if (pid < 0)
		return EXIT_FAILURE;
	while (bytes_at(argv[1]) < atoll(argv[2]))
		if (waitpid(pid, &status, WNOHANG) == pid)
			return EXIT_EARLY;
	kill(-pid, SIGSTOP);
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		return EXIT_EARLY;
	puts("held");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	kill(-pid, SIGCONT);
	if (waitpid(pid, &status, 0) != pid)
		return EXIT_FAILURE;
	return status_of(status);
}
