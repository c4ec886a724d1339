/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "core/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"

/* The descriptors of the child: none of its parent's is among them. */
#define DIR_FD 3
#define OUT_FD 4

#define LOOK_MS 100
/* A child that is not confined after so long hangs. Its parent may have threads,
 * and one of them may have held a lock when it was forked: a C library knows of
 * its own, and not of a sanitizer's. The next one is luckier. */
#define READY_NS (5 * STILL_NS_PER_S)
#define TRIES 4
#define PIECE_BYTES 65536

/* What the child says first: whether it is confined. */
struct ready {
	uint32_t magic;
	int32_t error; /* errno; 0: it is */
	uint8_t landlock;
	uint8_t network;
	char step[22]; /* that failed; ends with a NUL */
};

#define READY_MAGIC 0x5717f5u

/* ---- the child ----------------------------------------------------------- */

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	/* A key that stops the parent reaches this process too; the parent says
	 * when it ends. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Keep these two, under known numbers, and nothing else. */
static bool keep_descriptors(int dirfd, int out_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Out of each other's way first. */
	int dir = fcntl(dirfd, F_DUPFD_CLOEXEC, 10);
	int out = fcntl(out_fd, F_DUPFD_CLOEXEC, 10);

	if (null < 0 || dir < 0 || out < 0)
		return false;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return false;
	if (dup3(dir, DIR_FD, O_CLOEXEC) < 0 ||
	    dup3(out, OUT_FD, O_CLOEXEC) < 0)
		return false;
	return syscall(SYS_close_range, OUT_FD + 1, ~0u, 0) == 0;
}

__attribute__((noreturn)) static void child(
    const struct still_sandbox_job *job, int out_fd, pid_t parent)
{
	struct ready ready = {.magic = READY_MAGIC};
	bool landlock = false;
	bool network = false;
	const char *step = "descriptors";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	reset_signals();
	if (!keep_descriptors(job->dirfd, out_fd) || fchdir(DIR_FD) != 0)
		_exit(1);
	ready.error = still_sandbox_confine(
	    DIR_FD, OUT_FD, job->memory_bytes, &landlock, &network, &step);
	ready.landlock = landlock;
	ready.network = network;
	strncpy(ready.step, step, sizeof(ready.step) - 1);
	if (write(OUT_FD, &ready, sizeof(ready)) != sizeof(ready) ||
	    ready.error)
		_exit(1);
	/* Nothing that the parent registered for its end is run. */
	_exit(job->run(job->arg, DIR_FD, OUT_FD));
}

/* ---- the parent ---------------------------------------------------------- */

struct talk {
	const struct still_sandbox_job *job;
	pid_t pid;
	int fd;
	struct ready ready;
	size_t n_ready; /* bytes of it that came */
	int64_t begun_ns;
	bool refused;
	bool hangs; /* before it was confined */
};

static const char *words_of(const struct ready *ready)
{
	static const char *const words[2][2] = {
	    {"seccomp+limits", "network+seccomp+limits"},
	    {"landlock+seccomp+limits", "landlock+network+seccomp+limits"},
	};

	return words[ready->landlock != 0][ready->network != 0];
}

/* False: it says what it must not. */
static bool take(struct talk *talk, const char *data, size_t len)
{
	if (talk->n_ready < sizeof(talk->ready)) {
		size_t n = sizeof(talk->ready) - talk->n_ready;

		if (n > len)
			n = len;
		memcpy((char *) &talk->ready + talk->n_ready, data, n);
		talk->n_ready += n;
		data += n;
		len -= n;
	}
	if (talk->n_ready == sizeof(talk->ready) &&
	    talk->ready.magic != READY_MAGIC)
		return false;
	return len == 0 || talk->job->take(talk->job->arg, data, len);
}

static bool is_late(const struct talk *talk)
{
	return talk->n_ready == 0 &&
	    still_sys_monotonic_ns() - talk->begun_ns > READY_NS;
}

/* Until the child closes the pipe. 0, or CANCELLED, or -errno made an error. */
static int listen_to(struct talk *talk, struct still_error *err)
{
	char piece[PIECE_BYTES];

	for (;;) {
		struct pollfd poller = {.fd = talk->fd, .events = POLLIN};
		ssize_t n;

		if (talk->job->is_cancelled(talk->job->arg))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "it was stopped");
		if (poll(&poller, 1, LOOK_MS) <= 0) {
			talk->hangs = is_late(talk);
			if (talk->hangs)
				return 0;
			continue;
		}
		n = read(talk->fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return still_error_sys(
			    err, errno, NULL, "the check's pipe");
		if (n == 0)
			return 0;
		if (!take(talk, piece, (size_t) n)) {
			talk->refused = true;
			return 0;
		}
	}
}

static int judge(
    struct talk *talk, struct still_sandbox_end *ret, struct still_error *err)
{
	struct ready *ready = &talk->ready;

	ready->step[sizeof(ready->step) - 1] = '\0';
	if (talk->n_ready < sizeof(*ready))
		return still_error_set(err, STILL_ERR_UNSUPPORTED, 0, NULL,
		    "the check's process ended before it was confined");
	if (ready->error)
		return still_error_set(err, STILL_ERR_UNSUPPORTED, ready->error,
		    "Nothing is checked by a process that could do harm.",
		    "the check's process cannot be confined (%s): %s",
		    ready->step, strerror(ready->error));
	ret->words = words_of(ready);
	ret->refused = talk->refused;
	return 0;
}

static int wait_for(pid_t pid, struct still_sandbox_end *ret)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	ret->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return 0;
}

static int start(const struct still_sandbox_job *job, struct talk *talk,
    struct still_error *err)
{
	pid_t parent = getpid();
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return still_error_sys(err, errno, NULL, "the check's pipe");
	if (job->around)
		job->around(job->arg, true);
	talk->pid = fork();
	if (talk->pid == 0)
		child(job, ends[1], parent);
	if (job->around)
		job->around(job->arg, false);
	close(ends[1]);
	talk->fd = ends[0];
	talk->begun_ns = still_sys_monotonic_ns();
	if (talk->pid > 0)
		return 0;
	still_error_sys(err, errno, NULL, "the check's process");
	close(ends[0]);
	return STILL_ERR_IO;
}

static int run_once(
    struct talk *talk, struct still_sandbox_end *ret, struct still_error *err)
{
	int rc = start(talk->job, talk, err);
	int waited;

	if (rc < 0)
		return rc;
	memset(ret, 0, sizeof(*ret));
	rc = listen_to(talk, err);
	close(talk->fd);
	/* Who has closed the pipe has nothing to say any more, and may yet run
	 * on. To who has ended it does nothing. */
	kill(talk->pid, SIGKILL);
	waited = wait_for(talk->pid, ret);
	if (rc == 0 && waited < 0)
		return still_error_sys(
		    err, -waited, NULL, "the check's process");
	return rc;
}

int still_sandbox_run(const struct still_sandbox_job *job,
    struct still_sandbox_end *ret, struct still_error *err)
{
	for (int tries = 1;; tries++) {
		struct talk talk = {.job = job};
		int rc = run_once(&talk, ret, err);

		if (rc < 0)
			return rc;
		if (!talk.hangs || tries == TRIES)
			return judge(&talk, ret, err);
	}
}
