/* SPDX-License-Identifier: MIT */
/*
 * sys: the seam through which the library reads files and clocks.
 *
 * Tests put a function in `still_sys_fault` and so make the n-th call fail; a
 * program that does not is served by the plain system calls. The seam covers
 * the calls whose failure decides whether a byte may be served, or is stored.
 *
 * Threads: every function here may be called from any thread. The fault hook
 * is set before threads start.
 */
#ifndef STILL_BASE_SYS_H
#define STILL_BASE_SYS_H

#include <dirent.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum still_sys_call {
	STILL_SYS_OPEN,
	STILL_SYS_PREAD,
	STILL_SYS_PWRITE,
	STILL_SYS_ALLOCATE,
	STILL_SYS_FSTAT,
	STILL_SYS_FSYNC,
	STILL_SYS_MKDIR,
	STILL_SYS_RENAME,
	STILL_SYS_READDIR,
	STILL_SYS_COUNT
};

/* Returns 0 to let the call through, or the errno with which it fails. */
typedef int still_sys_fault_fn(enum still_sys_call call);
extern still_sys_fault_fn *still_sys_fault;

/* openat(2) with O_CLOEXEC; no symbolic link is followed in any component of
 * `path`, and nothing above `dirfd` is reached. AT_FDCWD with an absolute path
 * lifts the second rule only. Returns a descriptor or -errno. */
int still_sys_open_beneath(int dirfd, const char *path, int flags);

/* The same; with O_CREAT in `flags` the file is made with `mode`. */
int still_sys_create_beneath(
    int dirfd, const char *path, int flags, mode_t mode);

/*
 * As still_sys_open_beneath(), step by step and with openat(2) alone: for who may
 * not call openat2(2), as where a filter of system calls must see the flags. It
 * does not wait for the other end of a FIFO; to open a device may do something
 * to it. `path` is relative; -EXDEV where it has "..".
 */
int still_sys_open_plain(int dirfd, const char *path);

/* Open the directory `name` in `dirfd`, which is no symbolic link and nothing that
 * is mounted there: for that -EXDEV. Returns a descriptor or -errno. */
int still_sys_enter(int dirfd, const char *name);

/* fstat(2); 0 or -errno. */
int still_sys_fstat(int fd, struct stat *ret_st);

/*
 * Read `len` bytes at `off_bytes`, retrying short reads and EINTR. Returns the
 * bytes read, which are fewer than `len` only at the end of the file, or
 * -errno. Blocks on the disk.
 */
ssize_t still_sys_pread(int fd, void *data, size_t len, uint64_t off_bytes);

/* As above, into two buffers one after the other. */
ssize_t still_sys_pread_two(int fd, void *first, size_t first_len, void *second,
    size_t second_len, uint64_t off_bytes);

/* Write all of it at `off_bytes`; 0 or -errno. Blocks on the disk. */
int still_sys_pwrite(int fd, const void *data, size_t len, uint64_t off_bytes);

/* fallocate(2) of the first `bytes`; 0 or -errno. */
int still_sys_allocate(int fd, uint64_t bytes);

/* fsync(2) of a file or a directory; 0 or -errno. File systems that have nothing
 * to write for a directory say EINVAL, which is 0. Blocks on the disk. */
int still_sys_fsync(int fd);

/* symlinkat(2); 0 or -errno. */
int still_sys_symlink(const char *target, int dirfd, const char *path);

/* mkdirat(2); 0 or -errno. */
int still_sys_mkdir(int dirfd, const char *name, mode_t mode);

/* renameat2(2) inside one directory; 0 or -errno. */
int still_sys_rename(
    int dirfd, const char *from, const char *to, unsigned flags);

/* renameat2(2) from one directory to another. 0 or -errno. */
int still_sys_move(
    int from_fd, const char *from, int to_fd, const char *to, unsigned flags);

/* What is in the directory `dirfd`, from its beginning, by a descriptor of its
 * own: 0 or -errno. Closed with closedir(3). */
int still_sys_opendir(int dirfd, DIR **ret);

/* The next name but "." and "..", which is valid until the next call; 1, 0 at
 * the end, or -errno. One thread at a time. */
int still_sys_readdir(DIR *dir, const char **ret_name);

/* CLOCK_REALTIME and CLOCK_MONOTONIC in nanoseconds. */
int64_t still_sys_now_ns(void);
int64_t still_sys_monotonic_ns(void);

/* For how long the calling thread has run on a processor. */
int64_t still_sys_thread_ns(void);

/* Sleep; returns early when a signal arrives. */
void still_sys_sleep_ns(int64_t ns);

/* A thread that no signal is delivered to: they are the program's. 0 or the
 * errno. */
int still_sys_thread_start(pthread_t *ret, void *(*run)(void *), void *arg);

/* Every database costs some descriptors: the process may have as many as the
 * system allows it. Before there are threads. */
void still_sys_raise_descriptors(void);

#define STILL_NS_PER_S INT64_C(1000000000)

#endif
