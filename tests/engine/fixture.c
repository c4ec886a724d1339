/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/fixture.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int fixture_start(char *const argv[], pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	assert_int_equal(posix_spawn(ret_pid, "/proc/self/exe", &actions, NULL,
			     argv, environ),
	    0);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	return ends[0];
}

pid_t fixture_start_work(const char *word, const char *argument)
{
	char self[] = "contract";
	char *argv[] = {self, (char *) word, (char *) argument, NULL};
	char ready[sizeof(FIXTURE_READY) - 1];
	pid_t pid;
	int fd = fixture_start(argv, &pid);

	assert_int_equal(read(fd, ready, sizeof(ready)), sizeof(ready));
	close(fd);
	return pid;
}
