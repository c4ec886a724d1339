/* SPDX-License-Identifier: MIT */
/*
 * scratch: what the test programs share: a directory to write in, random
 * numbers that can be had again, and an end for a program that hangs.
 */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* The tests wait for conditions and never for a time; a condition that does
 * not come ends the program by a signal instead of stopping the suite. */
static inline void scratch_watchdog(void)
{
	alarm(300);
}

/* ---- random numbers ------------------------------------------------------ */

/* The seed of this run, printed; STILL_TEST_SEED repeats one. */
static inline uint64_t scratch_seed(void)
{
	const char *given = getenv("STILL_TEST_SEED");
	uint64_t seed = 0;

	if (given)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t) getpid();
	printf(
	    "repeat with STILL_TEST_SEED=0x%llx\n", (unsigned long long) seed);
	fflush(stdout);
	return seed;
}

/* splitmix64 */
static inline uint64_t scratch_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* One of 0 .. n-1. */
static inline uint64_t scratch_below(uint64_t *state, uint64_t n)
{
	return scratch_random(state) % n;
}

/* ---- files --------------------------------------------------------------- */

/* A new directory, resolved; ended by scratch_remove(). */
static inline char *scratch_make(void)
{
	const char *tmp = getenv("TMPDIR");
	char name[PATH_MAX];
	char *path = NULL;

	snprintf(name, sizeof(name), "%s/stillfs-test-XXXXXX",
	    tmp && *tmp ? tmp : "/tmp");
	if (mkdtemp(name))
		path = realpath(name, NULL);
	if (!path) {
		perror(name);
		exit(EXIT_FAILURE);
	}
	return path;
}

static inline int scratch_remove_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void) st;
	(void) type;
	(void) ftw;
	return remove(path);
}

static inline void scratch_remove(char *path)
{
	nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}

/* "dir/name" in one of a few static buffers: for the arguments of one call. */
static inline const char *scratch_path(const char *dir, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

/* 0, or -1 with errno. */
static inline int scratch_write(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, data, len);
	close(fd);
	return n == (ssize_t) len ? 0 : -1;
}

/* How many descriptors this process has open. */
static inline unsigned scratch_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#endif
