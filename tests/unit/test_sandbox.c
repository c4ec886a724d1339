/* SPDX-License-Identifier: MIT */
/* core/sandbox: what a process that is confined cannot do any more, and what
 * becomes of one that does not end as it should. */
#include "config.h"

#include <errno.h>
#include <linux/landlock.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/sanitized.h"
#include "core/sandbox.h"
#include "tests/unit/scratch.h"

/* In the child nothing can be said but by its exit status: the line. */
#define NEED(condition)                               \
	do {                                          \
		if (!(condition))                     \
			return (__LINE__ % 200) + 20; \
	} while (0)

#define SPARE_FD 77

struct fixture {
	char *dir;
	int dirfd;
	struct still_sandbox_end end;
	struct still_buf said;
	bool cancels;     /* once something was said */
	bool understands; /* what is said */
	pid_t parent;
	volatile int *shared; /* with the child */
};

/* ---- what every case has ------------------------------------------------- */

static bool take(void *arg, const void *data, size_t len)
{
	struct fixture *f = arg;

	still_buf_add(&f->said, data, len);
	return f->understands;
}

static bool is_cancelled(void *arg)
{
	const struct fixture *f = arg;

	return f->cancels && f->said.len > 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	assert_int_equal(mkdir(scratch_path(f->dir, "set"), 0755), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "set/inside"), "in", 2), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "outside"), "out", 3), 0);
	f->dirfd = open(
	    scratch_path(f->dir, "set"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dirfd >= 0);
	f->understands = true;
	f->parent = getpid();
	f->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->shared, MAP_FAILED);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->dirfd);
	still_buf_release(&f->said);
	munmap((void *) f->shared, 4096);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static int run(struct fixture *f, still_sandbox_fn *fn)
{
	struct still_sandbox_job job = {
	    .dirfd = f->dirfd,
	    .memory_bytes = UINT64_C(64) << 20,
	    .run = fn,
	    .take = take,
	    .arg = f,
	    .is_cancelled = is_cancelled,
	};
	struct still_error err = STILL_ERROR_INIT;
	int rc = still_sandbox_run(&job, &f->end, &err);

	if (rc < 0 && rc != STILL_ERR_CANCELLED)
		print_error("%s\n", still_error_msg(&err));
	still_error_clear(&err);
	/* Whatever it was, it is gone. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return rc;
}

static void passes(struct fixture *f, still_sandbox_fn *fn)
{
	assert_int_equal(run(f, fn), 0);
	assert_int_equal(f->end.signal, 0);
	assert_int_equal(f->end.status, 0);
}

static bool has(const struct fixture *f, const char *word)
{
	return strstr(f->end.words, word);
}

/* ---- what it can do ------------------------------------------------------ */

static int reads(void *arg, int dirfd, int out_fd)
{
	char text[8];
	int fd = openat(dirfd, "inside", O_RDONLY);

	(void) arg;
	NEED(fd >= 0);
	NEED(read(fd, text, sizeof(text)) == 2);
	close(fd);
	NEED(open("inside", O_RDONLY) >= 0);
	NEED(write(out_fd, text, 2) == 2);
	free(malloc(1 << 20));
	return 0;
}

static void can_read(void **state)
{
	struct fixture *f = *state;

	passes(f, reads);
	assert_int_equal(f->said.len, 2);
	assert_memory_equal(f->said.data, "in", 2);
	assert_true(has(f, "seccomp+limits"));
	assert_false(f->end.refused);
	/* Again, and again: nothing of it stays. */
	passes(f, reads);
	assert_int_equal(f->said.len, 4);
}

static int says_much(void *arg, int dirfd, int out_fd)
{
	static const char piece[4096];

	(void) arg;
	(void) dirfd;
	for (int i = 0; i < 1000; i++)
		NEED(write(out_fd, piece, sizeof(piece)) == sizeof(piece));
	return 7;
}

static void all_of_it_is_heard(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, says_much), 0);
	assert_int_equal(f->said.len, 4096000);
	assert_int_equal(f->end.status, 7);
}

/* ---- what it cannot ------------------------------------------------------ */

static int writes(void *arg, int dirfd, int out_fd)
{
	(void) arg;
	(void) out_fd;
	NEED(openat(dirfd, "new", O_WRONLY | O_CREAT, 0600) < 0);
	NEED(openat(dirfd, "inside", O_WRONLY) < 0);
	NEED(openat(dirfd, "inside", O_RDWR) < 0);
	NEED(openat(dirfd, "inside", O_RDONLY | O_TRUNC) < 0);
	NEED(openat(dirfd, ".", O_WRONLY | O_TMPFILE, 0600) < 0);
	NEED(open("inside", O_WRONLY | O_APPEND) < 0);
	NEED(truncate("inside", 0) < 0);
	NEED(unlinkat(dirfd, "inside", 0) < 0);
	NEED(mkdirat(dirfd, "dir", 0700) < 0);
	NEED(renameat(dirfd, "inside", dirfd, "other") < 0);
	NEED(linkat(dirfd, "inside", dirfd, "other", 0) < 0);
	NEED(symlinkat("inside", dirfd, "other") < 0);
	NEED(fchmodat(dirfd, "inside", 0777, 0) < 0);
	NEED(fchownat(dirfd, "inside", 1, 1, 0) < 0);
	NEED(utimensat(dirfd, "inside", NULL, 0) < 0);
	NEED(ftruncate(out_fd, 0) < 0);
	NEED(write(STDOUT_FILENO, "x", 1) < 0);
	return 0;
}

static void cannot_write(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	passes(f, writes);
	assert_int_equal(stat(scratch_path(f->dir, "set/inside"), &st), 0);
	assert_int_equal(st.st_size, 2);
	assert_int_equal(f->said.len, 0);
}

static int looks_outside(void *arg, int dirfd, int out_fd)
{
	(void) arg;
	(void) out_fd;
	NEED(openat(dirfd, "inside", O_RDONLY) >= 0);
	NEED(openat(dirfd, "../outside", O_RDONLY) < 0);
	NEED(openat(dirfd, "link", O_RDONLY) < 0);
	NEED(open("/etc/passwd", O_RDONLY) < 0);
	NEED(open("/proc/self/maps", O_RDONLY) < 0);
	NEED(open("/", O_RDONLY | O_DIRECTORY) < 0);
	return 0;
}

static void cannot_look_outside(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    symlink("../outside", scratch_path(f->dir, "set/link")), 0);
	/* Without the kernel's help it can, and the words say so. */
	if (syscall(SYS_landlock_create_ruleset, NULL, 0,
		LANDLOCK_CREATE_RULESET_VERSION) < 1) {
		passes(f, reads);
		assert_false(has(f, "landlock"));
		return;
	}
	passes(f, looks_outside);
	assert_true(has(f, "landlock"));
}

static int talks(void *arg, int dirfd, int out_fd)
{
	int ends[2];

	(void) arg;
	(void) dirfd;
	(void) out_fd;
	NEED(socket(AF_INET, SOCK_STREAM, 0) < 0);
	NEED(socket(AF_UNIX, SOCK_STREAM, 0) < 0);
	NEED(socket(AF_NETLINK, SOCK_RAW, 0) < 0);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0);
	return 0;
}

static int starts(void *arg, int dirfd, int out_fd)
{
	char *argv[] = {(char *) "true", NULL};

	(void) arg;
	(void) dirfd;
	(void) out_fd;
	/* Past the sanitizers, which do not expect that it fails. */
	NEED(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0);
	NEED(syscall(SYS_clone3, NULL, 0) < 0);
	execv("/bin/true", argv);
	NEED(errno == EPERM);
	return 0;
}

static int meddles(void *arg, int dirfd, int out_fd)
{
	const struct fixture *f = arg;

	(void) dirfd;
	(void) out_fd;
	NEED(kill(f->parent, SIGTERM) < 0);
	NEED(kill(getpid(), SIGTERM) < 0);
	NEED(syscall(SYS_tgkill, f->parent, f->parent, SIGTERM) < 0);
	NEED(ptrace(PTRACE_ATTACH, f->parent, NULL, NULL) < 0);
	NEED(mount("none", ".", "tmpfs", 0, NULL) < 0);
	NEED(unshare(CLONE_NEWUSER) < 0);
	NEED(syscall(SYS_bpf, 0, NULL, 0) < 0);
	NEED(prctl(PR_SET_DUMPABLE, 1) < 0);
	NEED(syscall(SYS_setuid, 1) < 0);
	NEED(chroot(".") < 0);
	NEED(syscall(SYS_io_uring_setup, 1, NULL) < 0);
	NEED(syscall(SYS_openat2, AT_FDCWD, "inside", NULL, 0) < 0);
	NEED(syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1);
	return 0;
}

static void cannot_reach_others(void **state)
{
	passes(*state, talks);
	passes(*state, starts);
	passes(*state, meddles);
}

static int looks_for_descriptors(void *arg, int dirfd, int out_fd)
{
	(void) arg;
	NEED(dirfd == 3 && out_fd == 4);
	for (int fd = 5; fd < 100; fd++)
		NEED(fcntl(fd, F_GETFD) < 0);
	return 0;
}

static void takes_no_descriptor_along(void **state)
{
	assert_int_equal(dup2(STDERR_FILENO, SPARE_FD), SPARE_FD);
	passes(*state, looks_for_descriptors);
	close(SPARE_FD);
}

/* ---- what it may take ---------------------------------------------------- */

/* Or a compiler sees that nobody needs the memory. */
static char *volatile eaten;

static int eats(void *arg, int dirfd, int out_fd)
{
	(void) arg;
	(void) dirfd;
	(void) out_fd;
	for (int i = 0; i < 1000; i++) {
		char *piece = malloc(1 << 20);

		if (!piece)
			return i > 30 ? 0 : 1;
		memset(piece, i, 1 << 20);
		eaten = piece;
	}
	return 2;
}

static int opens(void *arg, int dirfd, int out_fd)
{
	(void) arg;
	(void) out_fd;
	for (int i = 0; i < 1000; i++)
		if (openat(dirfd, "inside", O_RDONLY) < 0)
			return errno == EMFILE ? 0 : 1;
	return 2;
}

static void is_limited(void **state)
{
	/* A sanitizer takes too much for a limit. */
	if (!STILL_SANITIZED)
		passes(*state, eats);
	passes(*state, opens);
}

/* ---- how it ends --------------------------------------------------------- */

static int aborts(void *arg, int dirfd, int out_fd)
{
	(void) arg;
	(void) dirfd;
	(void) out_fd;
	abort();
}

static void killed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, aborts), 0);
	assert_int_equal(f->end.signal, SIGABRT);
	assert_int_equal(f->end.status, -1);
}

static int loops(void *arg, int dirfd, int out_fd)
{
	struct fixture *f = arg;

	(void) dirfd;
	f->shared[0] = getpid();
	NEED(write(out_fd, "x", 1) == 1);
	while (!f->shared[2])
		f->shared[1] = 1;
	return 0;
}

static void cancelled(void **state)
{
	struct fixture *f = *state;

	f->cancels = true;
	assert_int_equal(run(f, loops), STILL_ERR_CANCELLED);
	assert_true(f->shared[0] > 0);
}

static void not_understood(void **state)
{
	struct fixture *f = *state;

	f->understands = false;
	assert_int_equal(run(f, loops), 0);
	assert_true(f->end.refused);
	assert_int_equal(f->end.signal, SIGKILL);
}

static int goes_silent(void *arg, int dirfd, int out_fd)
{
	struct fixture *f = arg;

	(void) dirfd;
	close(out_fd);
	while (!f->shared[2])
		f->shared[1] = 1;
	return 0;
}

static void closes_the_pipe(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, goes_silent), 0);
	assert_int_equal(f->end.signal, SIGKILL);
}

/* The keys of the terminal reach it, too. */
static int is_interrupted(void *arg, int dirfd, int out_fd)
{
	(void) arg;
	(void) dirfd;
	(void) out_fd;
	NEED(syscall(SYS_tgkill, getpid(), getpid(), SIGINT) == 0);
	NEED(syscall(SYS_tgkill, getpid(), getpid(), SIGTERM) == 0);
	return 0;
}

static void ignores_keys(void **state)
{
	passes(*state, is_interrupted);
}

static volatile int *at_end;

static void leave_mark(void)
{
	if (at_end)
		(*at_end)++;
}

static void runs_no_handlers_of_the_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(atexit(leave_mark), 0);
	at_end = f->shared;
	passes(f, reads);
	assert_int_equal(f->shared[0], 0);
	at_end = NULL;
}

static void dies_with_its_parent(void **state)
{
	struct fixture *f = *state;
	pid_t middle;

	/* Whom nobody waits for any more comes to us. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	middle = fork();
	if (middle == 0) {
		alarm(0);
		run(f, loops);
		_exit(0);
	}
	while (f->shared[1] == 0)
		sched_yield();
	assert_int_equal(kill(middle, SIGKILL), 0);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	/* It comes only when it has ended. */
	assert_int_equal(waitpid(f->shared[0], NULL, 0), f->shared[0]);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static void nothing_stays_open(void **state)
{
	struct fixture *f = *state;
	unsigned before = scratch_count_fds();

	passes(f, reads);
	assert_int_equal(run(f, aborts), 0);
	assert_int_equal(scratch_count_fds(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(can_read),
	    TEST(all_of_it_is_heard),
	    TEST(cannot_write),
	    TEST(cannot_look_outside),
	    TEST(cannot_reach_others),
	    TEST(takes_no_descriptor_along),
	    TEST(is_limited),
	    TEST(killed),
	    TEST(cancelled),
	    TEST(not_understood),
	    TEST(closes_the_pipe),
	    TEST(ignores_keys),
	    TEST(runs_no_handlers_of_the_end),
	    TEST(dies_with_its_parent),
	    TEST(nothing_stays_open),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
