/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

extern char **environ;

static int busy(const char *mountpoint, struct still_error *err)
{
	struct still_buf hint = STILL_BUF_INIT;
	int rc;

	still_buf_str(&hint, "`fuser -vm ");
	still_buf_word(&hint, mountpoint);
	still_buf_str(&hint, "` tells who is in it; or use --lazy.");
	rc = still_error_set(err, STILL_ERR_BUSY, EBUSY,
	    hint.failed ? NULL : hint.data, "`%s`: is in use", mountpoint);
	still_buf_release(&hint);
	return rc;
}

/* What a child writes to its stderr, to our buffer. */
static int spawn(const char *const *argv, struct still_buf *said)
{
	posix_spawn_file_actions_t actions;
	int status = -1;
	int pipes[2];
	char data[256];
	pid_t pid;
	ssize_t n;
	int rc;

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO);
	/* posix_spawn(3) promises not to write to them. */
	rc = posix_spawnp(
	    &pid, argv[0], &actions, NULL, (char *const *) argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipes[1]);
	while (rc == 0 && (n = read(pipes[0], data, sizeof(data))) > 0)
		still_buf_add(said, data, (size_t) n);
	close(pipes[0]);
	if (rc != 0)
		return -rc;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

static int by_fusermount(
    const char *mountpoint, bool lazy, struct still_error *err)
{
	const char *argv[] = {"fusermount3", "-u", lazy ? "-z" : "--",
	    lazy ? "--" : mountpoint, lazy ? mountpoint : NULL, NULL};
	struct still_buf said = STILL_BUF_INIT;
	int rc = spawn(argv, &said);

	if (rc < 0) {
		rc = still_error_sys(err, -rc,
		    "Is the package fuse3 installed?", "`fusermount3`");
	} else if (rc > 0 && said.data && strcasestr(said.data, "busy")) {
		rc = busy(mountpoint, err);
	} else if (rc > 0) {
		if (said.data)
			said.data[strcspn(said.data, "\n")] = '\0';
		rc = still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "`%s`: cannot be unmounted: %s", mountpoint,
		    said.data ? said.data : "fusermount3 failed");
	}
	still_buf_release(&said);
	return rc;
}

int ctl_detach(const char *mountpoint, bool lazy, struct still_error *err)
{
	int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);

	if (geteuid() != 0)
		return by_fusermount(mountpoint, lazy, err);
	if (umount2(mountpoint, flags) == 0)
		return 0;
	if (errno == EBUSY)
		return busy(mountpoint, err);
	return still_error_sys(
	    err, errno, NULL, "`%s`: cannot be unmounted", mountpoint);
}
