/* SPDX-License-Identifier: MIT */
/*
 * fault: makes the n-th call of a kind fail. A program is linked with this file
 * and with --wrap for each name in tests/fault/Makemodule.am, so that the calls
 * of our own objects come here; those of libraries do not.
 *
 *	STILL_FAULT=KIND:N:HOW[,KIND:N:HOW]
 *		KIND  open, list, read, write, sync, name, meta, alloc, thread
 *		N     from 1: which of these calls
 *		HOW   an errno by its number, for that call alone; with a "+"
 *		      behind it for all from there on; "short": half of what is
 *		      to be read or written; "kill": the process dies, and the
 *		      call is not made
 *	STILL_FAULT_FIRED=PATH
 *		a file that is made when it happens; of two, when both do
 *
 * Of two wishes, each counts the calls of its own kind from the beginning.
 *
 * Threads: any; calls are counted over all of them.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
	OPEN,
	LIST,
	READ,
	WRITE,
	SYNC,
	NAME,
	META,
	ALLOC,
	THREAD,
	N_KINDS
};

static const char *const kinds[N_KINDS] = {
    "open", "list", "read", "write", "sync", "name", "meta", "alloc", "thread"};

#define MAX_WISHES 2

static struct wish {
	enum kind kind;
	unsigned long n;
	int sys_errno; /* 0: short */
	int for_ever;
	int kills;
	atomic_ulong n_calls;
} wishes[MAX_WISHES];

static int n_wishes;
/* For each wish whether it has come true. Shared with children, which may be kept
 * from making files. */
static atomic_int *happened;

static int read_wish(const char *text, struct wish *ret)
{
	char kind[16];
	char how[16];

	ret->kind = N_KINDS;
	if (sscanf(text, "%15[a-z]:%lu:%15[^,]", kind, &ret->n, how) != 3)
		return 0;
	for (int i = 0; i < N_KINDS; i++)
		if (strcmp(kinds[i], kind) == 0)
			ret->kind = (enum kind) i;
	ret->sys_errno = strcmp(how, "short") == 0 ? 0 : atoi(how);
	ret->for_ever = strchr(how, '+') != NULL;
	ret->kills = strcmp(how, "kill") == 0;
	return ret->kind != N_KINDS;
}

__attribute__((constructor)) static void read_wishes(void)
{
	const char *text = getenv("STILL_FAULT");

	if (!text)
		return;
	while (text && n_wishes < MAX_WISHES) {
		if (!read_wish(text, &wishes[n_wishes++]))
			abort();
		text = strchr(text, ',');
		text = text ? text + 1 : NULL;
	}
	happened = mmap(NULL, MAX_WISHES * sizeof(*happened),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (happened == MAP_FAILED)
		abort();
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* By system calls of its own: this is no call that is counted. */
static void tell(void)
{
	const char *path = getenv("STILL_FAULT_FIRED");
	long fd;

	for (int i = 0; i < n_wishes; i++)
		if (!atomic_load(&happened[i]))
			return;
	if (!path)
		return;
	fd = __real_syscall(
	    SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd >= 0)
		__real_syscall(SYS_close, fd);
}

__attribute__((destructor)) static void tell_of_children(void)
{
	if (n_wishes)
		tell();
}

/* The wish that this call makes true, or NULL. */
static const struct wish *due(enum kind kind)
{
	const struct wish *found = NULL;

	for (int i = 0; i < n_wishes; i++) {
		struct wish *wish = &wishes[i];
		unsigned long n;

		if (kind != wish->kind)
			continue;
		n = atomic_fetch_add(&wish->n_calls, 1) + 1;
		if (n != wish->n && (!wish->for_ever || n < wish->n))
			continue;
		found = wish;
		atomic_store(&happened[i], 1);
	}
	if (found) {
		int saved = errno;

		tell();
		if (found->kills)
			kill(getpid(), SIGKILL);
		errno = saved;
	}
	return found;
}

/* 1: it fails, with errno set. */
static int fails(enum kind kind)
{
	const struct wish *wish = due(kind);

	if (!wish)
		return 0;
	errno = wish->sys_errno;
	return 1;
}

/* For what may be short: -1 fails, 0 as it is, 1 the half of it. */
static int shortens(enum kind kind)
{
	const struct wish *wish = due(kind);

	if (!wish)
		return 0;
	if (wish->sys_errno == 0)
		return 1;
	errno = wish->sys_errno;
	return -1;
}

static size_t half(size_t len)
{
	return len > 1 ? len / 2 : len;
}

/* ---- open ---------------------------------------------------------------- */

int __real_openat(int dirfd, const char *path, int flags, ...);
int __wrap_openat(int dirfd, const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);

static mode_t mode_of(int flags, va_list ap)
{
	int has_mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;

	return has_mode ? va_arg(ap, mode_t) : 0;
}

int __wrap_openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;
	va_list ap;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return fails(OPEN) ? -1 : __real_openat(dirfd, path, flags, mode);
}

int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode;
	va_list ap;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return fails(OPEN) ? -1 : __real_open(path, flags, mode);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return fails(OPEN) ? NULL : __real_fopen(path, mode);
}

DIR *__wrap_fdopendir(int fd)
{
	return fails(OPEN) ? NULL : __real_fdopendir(fd);
}

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);

struct dirent *__wrap_readdir(DIR *dir)
{
	return fails(LIST) ? NULL : __real_readdir(dir);
}

static enum kind kind_of_syscall(long number)
{
	switch (number) {
	case SYS_openat2:
		return OPEN;
	case SYS_renameat2:
		return NAME;
	default:
		return META;
	}
}

long __wrap_syscall(long number, ...)
{
	long args[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(ap, long);
	va_end(ap);
	if (fails(kind_of_syscall(number)))
		return -1;
	return __real_syscall(
	    number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* ---- read and write ------------------------------------------------------ */

#define WRAP_IO(kind, name, params, call)  \
	ssize_t __real_##name params;      \
	ssize_t __wrap_##name params;      \
	ssize_t __wrap_##name params       \
	{                                  \
		int how = shortens(kind);  \
                                           \
		if (how < 0)               \
			return -1;         \
		if (how > 0)               \
			(len) = half(len); \
		return __real_##name call; \
	}

WRAP_IO(READ, read, (int fd, void *data, size_t len), (fd, data, len))
WRAP_IO(READ, pread, (int fd, void *data, size_t len, off_t off),
    (fd, data, len, off))
WRAP_IO(WRITE, write, (int fd, const void *data, size_t len), (fd, data, len))
WRAP_IO(WRITE, pwrite, (int fd, const void *data, size_t len, off_t off),
    (fd, data, len, off))

ssize_t __real_preadv(int fd, const struct iovec *vec, int n, off_t off);
ssize_t __wrap_preadv(int fd, const struct iovec *vec, int n, off_t off);
ssize_t __wrap_preadv(int fd, const struct iovec *vec, int n, off_t off)
{
	int how = shortens(READ);

	if (how < 0)
		return -1;
	return __real_preadv(fd, vec, how > 0 ? 1 : n, off);
}

/* ---- what only fails ----------------------------------------------------- */

#define WRAP_INT(kind, name, params, call)                    \
	int __real_##name params;                             \
	int __wrap_##name params;                             \
	int __wrap_##name params                              \
	{                                                     \
		return fails(kind) ? -1 : __real_##name call; \
	}

WRAP_INT(SYNC, fsync, (int fd), (fd))
WRAP_INT(SYNC, fdatasync, (int fd), (fd))
WRAP_INT(SYNC, syncfs, (int fd), (fd))
WRAP_INT(NAME, rename, (const char *from, const char *to), (from, to))
WRAP_INT(NAME, renameat, (int a, const char *from, int b, const char *to),
    (a, from, b, to))
WRAP_INT(NAME, renameat2,
    (int a, const char *from, int b, const char *to, unsigned flags),
    (a, from, b, to, flags))
WRAP_INT(NAME, linkat,
    (int a, const char *from, int b, const char *to, int flags),
    (a, from, b, to, flags))
WRAP_INT(META, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP_INT(
    META, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAP_INT(META, unlink, (const char *path), (path))
WRAP_INT(
    META, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP_INT(META, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP_INT(META, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
WRAP_INT(META, futimens, (int fd, const struct timespec *times), (fd, times))
WRAP_INT(META, ftruncate, (int fd, off_t len), (fd, len))
WRAP_INT(META, fstat, (int fd, struct stat *st), (fd, st))
WRAP_INT(META, fstatat, (int fd, const char *path, struct stat *st, int flags),
    (fd, path, st, flags))
WRAP_INT(META, flock, (int fd, int op), (fd, op))
WRAP_INT(META, pipe2, (int *fds, int flags), (fds, flags))

int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attr,
    void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr,
    void *(*run)(void *), void *arg);
int __wrap_pthread_create(
    pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return fails(THREAD) ? errno
			     : __real_pthread_create(ret, attr, run, arg);
}

WRAP_INT(THREAD, fork, (void), ())

/* ---- memory -------------------------------------------------------------- */

#define WRAP_POINTER(type, name, params, call)                   \
	type __real_##name params;                               \
	type __wrap_##name params;                               \
	type __wrap_##name params                                \
	{                                                        \
		return fails(ALLOC) ? NULL : __real_##name call; \
	}

WRAP_POINTER(void *, malloc, (size_t len), (len))
WRAP_POINTER(void *, calloc, (size_t n, size_t len), (n, len))
WRAP_POINTER(void *, realloc, (void *data, size_t len), (data, len))
WRAP_POINTER(char *, strdup, (const char *text), (text))
WRAP_POINTER(char *, strndup, (const char *text, size_t len), (text, len))

int __real_posix_memalign(void **ret, size_t align, size_t len);
int __wrap_posix_memalign(void **ret, size_t align, size_t len);
int __wrap_posix_memalign(void **ret, size_t align, size_t len)
{
	return fails(ALLOC) ? ENOMEM : __real_posix_memalign(ret, align, len);
}
