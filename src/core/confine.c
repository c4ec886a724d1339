/* SPDX-License-Identifier: MIT */
/*
 * confine: how a process gives up whatever it does not need to read some files
 * (sandbox.h). Each step takes more than the ones before; the filter of system
 * calls is last, because it forbids the others.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sanitized.h"
#include "core/sandbox.h"

#define FILES_MAX 32

/* ---- limits -------------------------------------------------------------- */

/* Of address space that is taken now; 0: not known. */
static uint64_t taken_bytes(void)
{
	unsigned long long pages = 0;
	char text[64];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n > 0) {
		text[n] = '\0';
		if (sscanf(text, "%llu", &pages) != 1)
			pages = 0;
	}
	return pages * (uint64_t) sysconf(_SC_PAGESIZE);
}

static int limit(int what, uint64_t value)
{
	struct rlimit limits = {value, value};

	return setrlimit((__rlimit_resource_t) what, &limits) == 0 ? 0 : errno;
}

static int set_limits(uint64_t memory_bytes)
{
	int rc = 0;

	if (memory_bytes && !STILL_SANITIZED)
		rc = limit(RLIMIT_AS, taken_bytes() + memory_bytes);
	if (rc == 0)
		rc = limit(RLIMIT_FSIZE, 0);
	if (rc == 0)
		rc = limit(RLIMIT_CORE, 0);
	if (rc == 0)
		rc = limit(RLIMIT_NOFILE, FILES_MAX);
	if (rc == 0)
		rc = limit(RLIMIT_NPROC, 0);
	if (rc == 0 && prctl(PR_SET_DUMPABLE, 0) != 0)
		rc = errno;
	return rc;
}

/* Whoever could read the files before can do so afterwards. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
	    .version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
	uint32_t kept = 1u << CAP_DAC_READ_SEARCH;

	if (syscall(SYS_capget, &header, data) != 0)
		return errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= i == 0 ? kept : 0;
		data[i].effective &= i == 0 ? kept : 0;
		data[i].inheritable = 0;
	}
	/* Root may read what others may not by another one, too. */
	return syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

static bool leave_network(void)
{
	if (unshare(CLONE_NEWNET) == 0)
		return true;
	return geteuid() != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

/* ---- Landlock ------------------------------------------------------------ */

/* As the kernel's header has it in later versions: a kernel takes the first so
 * many bytes that it knows, and no others. */
struct ruleset {
	uint64_t access_fs;
	uint64_t access_net; /* from version 4 */
	uint64_t scoped;     /* from version 6 */
};

static int make_ruleset(void)
{
	/* What a version can forbid: so many of the lowest bits. */
	static const int fs_bits[] = {13, 14, 15, 15, 16};
	struct ruleset rules = {0};
	size_t size = sizeof(rules.access_fs);
	int version = (int) syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	if (version < 1)
		return -1;
	rules.access_fs =
	    (UINT64_C(1) << fs_bits[version > 5 ? 4 : version - 1]) - 1;
	if (version >= 4) {
		rules.access_net = 3; /* bind, connect */
		size += sizeof(rules.access_net);
	}
	if (version >= 6) {
		rules.scoped = 3; /* abstract sockets, signals */
		size += sizeof(rules.scoped);
	}
	return (int) syscall(SYS_landlock_create_ruleset, &rules, size, 0);
}

static bool shut_in(int dirfd)
{
	struct landlock_path_beneath_attr below = {
	    .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
		LANDLOCK_ACCESS_FS_READ_DIR,
	    .parent_fd = dirfd,
	};
	int ruleset = make_ruleset();
	bool done;

	if (ruleset < 0)
		return false;
	done = syscall(SYS_landlock_add_rule, ruleset,
		   LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0 &&
	    syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
	close(ruleset);
	return done;
}

/* ---- system calls -------------------------------------------------------- */

/* Whatever their arguments are. What the C library, its allocator and the
 * sanitizers need is among them. */
static const int plain[] = {
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(readv),
    SCMP_SYS(preadv),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(fadvise64),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrandom),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

#define IS(arg, value) SCMP_CMP64((arg), SCMP_CMP_EQ, (scmp_datum_t) (value), 0)
#define NONE_OF(arg, bits) \
	SCMP_CMP64((arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t) (bits), 0)

#define WRITE_FLAGS (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

/* Those that may be called with some arguments only. */
static int allow_some(scmp_filter_ctx filter, int out_fd)
{
	uint32_t allow = SCMP_ACT_ALLOW;
	int rc = 0;

#define RULE(name, ...) \
	if (rc == 0)    \
	rc = seccomp_rule_add(filter, allow, SCMP_SYS(name), __VA_ARGS__)
	RULE(write, 1, IS(0, out_fd));
	RULE(write, 1, IS(0, STDERR_FILENO));
	RULE(open, 1, NONE_OF(1, WRITE_FLAGS));
	RULE(openat, 1, NONE_OF(2, WRITE_FLAGS));
	RULE(mmap, 1, NONE_OF(2, PROT_EXEC));
	RULE(mprotect, 1, NONE_OF(2, PROT_EXEC));
	RULE(fcntl, 1, IS(1, F_GETFD));
	RULE(fcntl, 1, IS(1, F_SETFD));
	RULE(fcntl, 1, IS(1, F_GETFL));
	/* To ask for a limit, of itself. */
	RULE(prlimit64, 2, IS(0, 0), IS(2, 0));
	/* abort() */
	RULE(tgkill, 1, IS(0, getpid()));
#undef RULE
	return rc;
}

/* What is not allowed fails with EPERM: that is not the end of a check. */
static int filter_calls(int out_fd)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = 0;

	if (!filter)
		return ENOMEM;
	for (size_t i = 0; rc == 0 && i < sizeof(plain) / sizeof(plain[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain[i], 0);
	if (rc == 0)
		rc = allow_some(filter, out_fd);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return -rc;
}

/* ---- all of it ----------------------------------------------------------- */

int still_sandbox_confine(int dirfd, int out_fd, uint64_t memory_bytes,
    bool *ret_landlock, bool *ret_network, const char **ret_step)
{
	int rc;

	*ret_network = leave_network();
	*ret_step = "limits";
	rc = set_limits(memory_bytes);
	if (rc != 0)
		return rc;
	*ret_step = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return errno;
	*ret_landlock = shut_in(dirfd);
	*ret_step = "capabilities";
	rc = drop_capabilities();
	if (rc != 0)
		return rc;
	*ret_step = "seccomp";
	return filter_calls(out_fd);
}
