/* SPDX-License-Identifier: MIT */
#include "tests/lib/storm.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/actor.h"

static volatile sig_atomic_t over;

static void on_term(int sig)
{
	(void) sig;
	over = 1;
}

bool storm_goes_on(void)
{
	return !over;
}

static pid_t start(const char *dir, const struct storm_role *role)
{
	uint64_t own = actor_seed + actor_rnd(1u << 30);
	pid_t pid = fork();

	if (pid < 0)
		actor_die(NULL, "fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (role->left_alone)
		signal(SIGTERM, on_term);
	actor_seed = own;
	role->play(dir, role->arg);
	exit(EXIT_SUCCESS);
}

static bool all_live(const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (waitpid(pids[i], NULL, WNOHANG) != 0)
			return false;
	return true;
}

static bool stop(pid_t pid, bool left_alone)
{
	int status;

	kill(pid, left_alone ? SIGTERM : SIGKILL);
	waitpid(pid, &status, 0);
	return left_alone ? WIFEXITED(status) && WEXITSTATUS(status) == 0
			  : WIFSIGNALED(status);
}

int storm_run(const char *dir, const struct storm_role *roles, size_t n)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	pid_t *pids = calloc(n, sizeof(*pids));
	unsigned kills = 0;
	int status = EXIT_SUCCESS;

	if (!pids)
		actor_die(NULL, "storm");
	for (size_t i = 0; i < n; i++)
		pids[i] = start(dir, &roles[i]);
	while (poll(&in, 1, 50 + (int) actor_rnd(400)) == 0) {
		size_t i = actor_rnd((uint32_t) n);

		if (!all_live(pids, n))
			return EXIT_FAILURE;
		if (roles[i].left_alone)
			continue;
		if (!stop(pids[i], false))
			return EXIT_FAILURE;
		kills++;
		pids[i] = start(dir, &roles[i]);
	}
	/* All at once: each ends what it is at, which takes its time. */
	for (size_t i = 0; i < n; i++)
		if (roles[i].left_alone)
			kill(pids[i], SIGTERM);
	for (size_t i = 0; i < n; i++)
		if (!stop(pids[i], roles[i].left_alone))
			status = EXIT_FAILURE;
	free(pids);
	printf("load: %u processes killed\n", kills);
	return status;
}
