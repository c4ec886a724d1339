/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/sys.h"

#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

still_sys_fault_fn *still_sys_fault;

static int fault(enum still_sys_call call)
{
	return still_sys_fault ? still_sys_fault(call) : 0;
}

int still_sys_open_beneath(int dirfd, const char *path, int flags)
{
	return still_sys_create_beneath(dirfd, path, flags, 0);
}

static int open_how(int dirfd, const char *path, const struct open_how *how)
{
	int injected = fault(STILL_SYS_OPEN);
	int tries = 0;
	long fd;

	if (injected)
		return -injected;
	for (;;) {
		fd = syscall(SYS_openat2, dirfd, path, how, sizeof(*how));
		if (fd >= 0)
			return (int) fd;
		/* EAGAIN: a rename raced with the walk, or somebody holds a
		 * lease, which may last. */
		if (errno != EINTR && (errno != EAGAIN || ++tries > 20))
			return -errno;
		if (errno == EAGAIN)
			still_sys_sleep_ns(5 * 1000 * 1000);
	}
}

int still_sys_create_beneath(
    int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
	    .flags = (uint64_t) (flags | O_CLOEXEC),
	    .mode = mode,
	    .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	if (path[0] != '/')
		how.resolve |= RESOLVE_BENEATH;
	return open_how(dirfd, path, &how);
}

int still_sys_open_plain(int dirfd, const char *path)
{
	int injected = fault(STILL_SYS_OPEN);
	char name[NAME_MAX + 1];
	int dir = dirfd;

	if (injected)
		return -injected;
	for (;;) {
		size_t n = strcspn(path, "/");
		bool last = !path[n];
		int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
		    (last ? O_NONBLOCK : O_DIRECTORY);
		int rc = n > NAME_MAX ? -ENAMETOOLONG : -EXDEV;

		if (n <= NAME_MAX && (n != 2 || memcmp(path, "..", 2) != 0)) {
			memcpy(name, path, n);
			name[n] = '\0';
			rc = openat(dir, name, flags);
			if (rc < 0)
				rc = -errno;
		}
		if (dir != dirfd)
			close(dir);
		if (rc < 0 || last)
			return rc;
		dir = rc;
		path += n + 1;
	}
}

int still_sys_enter(int dirfd, const char *name)
{
	struct open_how how = {
	    .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK |
		O_CLOEXEC,
	    .resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};

	return open_how(dirfd, name, &how);
}

int still_sys_fstat(int fd, struct stat *ret_st)
{
	int injected = fault(STILL_SYS_FSTAT);

	if (injected)
		return -injected;
	return fstat(fd, ret_st) == 0 ? 0 : -errno;
}

ssize_t still_sys_pread(int fd, void *data, size_t len, uint64_t off_bytes)
{
	size_t done = 0;

	while (done < len) {
		int injected = fault(STILL_SYS_PREAD);
		ssize_t n;

		if (injected)
			return -injected;
		n = pread(fd, (char *) data + done, len - done,
		    (off_t) (off_bytes + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t) n;
	}
	return (ssize_t) done;
}

ssize_t still_sys_pread_two(int fd, void *first, size_t first_len, void *second,
    size_t second_len, uint64_t off_bytes)
{
	struct iovec parts[] = {{first, first_len}, {second, second_len}};
	int injected = fault(STILL_SYS_PREAD);
	ssize_t n;
	ssize_t m;

	if (injected)
		return -injected;
	do
		n = preadv(fd, parts, 2, (off_t) off_bytes);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t) n == first_len + second_len || (size_t) n < first_len)
		return n;
	/* Cut short by a signal, or at the end of the file. */
	m = still_sys_pread(fd, (char *) second + ((size_t) n - first_len),
	    second_len - ((size_t) n - first_len), off_bytes + (uint64_t) n);
	return m < 0 ? m : n + m;
}

int still_sys_pwrite(int fd, const void *data, size_t len, uint64_t off_bytes)
{
	size_t done = 0;

	while (done < len) {
		int injected = fault(STILL_SYS_PWRITE);
		ssize_t n;

		if (injected)
			return -injected;
		n = pwrite(fd, (const char *) data + done, len - done,
		    (off_t) (off_bytes + done));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t) n;
	}
	return 0;
}

int still_sys_allocate(int fd, uint64_t bytes)
{
	int injected = fault(STILL_SYS_ALLOCATE);
	int rc;

	if (injected)
		return -injected;
	do
		rc = fallocate(fd, 0, 0, (off_t) bytes);
	while (rc != 0 && errno == EINTR);
	return rc == 0 ? 0 : -errno;
}

int still_sys_fsync(int fd)
{
	int injected = fault(STILL_SYS_FSYNC);
	int rc;

	if (injected)
		return -injected;
	do
		rc = fsync(fd);
	while (rc != 0 && errno == EINTR);
	return rc == 0 || errno == EINVAL ? 0 : -errno;
}

int still_sys_symlink(const char *target, int dirfd, const char *path)
{
	int injected = fault(STILL_SYS_MKDIR);

	if (injected)
		return -injected;
	return symlinkat(target, dirfd, path) == 0 ? 0 : -errno;
}

int still_sys_mkdir(int dirfd, const char *name, mode_t mode)
{
	int injected = fault(STILL_SYS_MKDIR);

	if (injected)
		return -injected;
	return mkdirat(dirfd, name, mode) == 0 ? 0 : -errno;
}

int still_sys_rename(
    int dirfd, const char *from, const char *to, unsigned flags)
{
	return still_sys_move(dirfd, from, dirfd, to, flags);
}

int still_sys_move(
    int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	int injected = fault(STILL_SYS_RENAME);

	if (injected)
		return -injected;
	return renameat2(from_fd, from, to_fd, to, flags) == 0 ? 0 : -errno;
}

int still_sys_opendir(int dirfd, DIR **ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int rc = dir ? 0 : -errno;

	if (!dir && fd >= 0)
		close(fd);
	if (dir)
		*ret = dir;
	return rc;
}

int still_sys_readdir(DIR *dir, const char **ret_name)
{
	int injected = fault(STILL_SYS_READDIR);
	const struct dirent *entry;

	if (injected)
		return -injected;
	do {
		/* NULL is the end, and an error. */
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
	} while (strcmp(entry->d_name, ".") == 0 ||
	    strcmp(entry->d_name, "..") == 0);
	*ret_name = entry->d_name;
	return 1;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec ts = {0, 0};

	clock_gettime(clock, &ts);
	return (int64_t) ts.tv_sec * STILL_NS_PER_S + ts.tv_nsec;
}

int64_t still_sys_now_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t still_sys_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t still_sys_thread_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void still_sys_sleep_ns(int64_t ns)
{
	struct timespec ts = {
	    .tv_sec = (time_t) (ns / STILL_NS_PER_S),
	    .tv_nsec = (long) (ns % STILL_NS_PER_S),
	};

	if (ns > 0)
		nanosleep(&ts, NULL);
}

int still_sys_thread_start(pthread_t *ret, void *(*run)(void *), void *arg)
{
	sigset_t all;
	sigset_t before;
	int rc;

	sigfillset(&all);
	rc = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (rc != 0)
		return rc;
	rc = pthread_create(ret, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

void still_sys_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
