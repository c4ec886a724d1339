/* SPDX-License-Identifier: MIT */
/*
 * What is asked for ahead is in the page cache soon, by itself. The kernel's own
 * read-ahead is turned off here, and nothing is ever read; so what is there was
 * asked for.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/ahead.h"
#include "tests/unit/scratch.h"

#define MIB ((size_t) 1 << 20)
#define SIZE (24 * MIB)
#define PAGE 4096

struct fixture {
	char *dir;
	int fd;
	void *map;
	struct still_ahead ahead;
};

/* A file on a disk, of which nothing is in memory. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char *data = malloc(SIZE);
	const char *path;

	f->dir = scratch_make();
	path = scratch_path(f->dir, "file");
	memset(data, 7, SIZE);
	scratch_write(path, data, SIZE);
	free(data);
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	f->map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, f->fd, 0);
	*state = f;
	return f->fd < 0 || f->map == MAP_FAILED || fsync(f->fd) != 0 ||
	    posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED) != 0 ||
	    posix_fadvise(f->fd, 0, 0, POSIX_FADV_RANDOM) != 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	munmap(f->map, SIZE);
	close(f->fd);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* How much of [from, to) is in memory, in pages. */
static size_t resident(const struct fixture *f, size_t from, size_t to)
{
	unsigned char there[SIZE / PAGE];
	size_t n = 0;

	assert_int_equal(mincore(f->map, SIZE, there), 0);
	for (size_t i = from / PAGE; i < to / PAGE; i++)
		n += there[i] & 1;
	return n;
}

/* A file system in memory has no disk to be ahead of. */
static bool has_disk(const struct fixture *f)
{
	struct statfs fs;

	assert_int_equal(fstatfs(f->fd, &fs), 0);
	return fs.f_type != TMPFS_MAGIC;
}

static void wait_for(const struct fixture *f, size_t from, size_t to)
{
	const struct timespec tick = {0, 2 * 1000 * 1000};

	while (resident(f, from, to) < (to - from) / PAGE)
		nanosleep(&tick, NULL);
}

static void follows(void **state)
{
	struct fixture *f = *state;

	if (!has_disk(f))
		skip();
	assert_int_equal(resident(f, 0, SIZE), 0);
	still_ahead_of(&f->ahead, f->fd, 0, MIB);
	wait_for(f, 0, 5 * MIB);
	assert_int_equal(resident(f, 5 * MIB, SIZE), 0);
	/* Half of it is left, and no more is asked for. */
	still_ahead_of(&f->ahead, f->fd, 2 * MIB, MIB);
	assert_int_equal(resident(f, 5 * MIB, SIZE), 0);
	/* Of two that come in the wrong order, the second asks for nothing. */
	still_ahead_of(&f->ahead, f->fd, 4 * MIB, MIB);
	wait_for(f, 5 * MIB, 9 * MIB);
	still_ahead_of(&f->ahead, f->fd, 3 * MIB, MIB);
	assert_int_equal(resident(f, 9 * MIB, SIZE), 0);
}

static void jumps(void **state)
{
	struct fixture *f = *state;

	if (!has_disk(f))
		skip();
	still_ahead_of(&f->ahead, f->fd, 12 * MIB, MIB);
	wait_for(f, 12 * MIB, 13 * MIB);
	assert_int_equal(resident(f, 0, 12 * MIB), 0);
	assert_int_equal(resident(f, 13 * MIB, SIZE), 0);
	/* Who goes on from there is ahead. */
	still_ahead_of(&f->ahead, f->fd, 13 * MIB, MIB);
	wait_for(f, 13 * MIB, 18 * MIB);
	/* A small one, and backwards, is left to its reader. */
	still_ahead_of(&f->ahead, f->fd, 0, PAGE);
	assert_int_equal(resident(f, 0, 12 * MIB), 0);
}

/* At the end there is nothing more, and that is no failure. */
static void ends(void **state)
{
	struct fixture *f = *state;

	if (!has_disk(f))
		skip();
	atomic_store(&f->ahead.asked_bytes, SIZE - MIB);
	still_ahead_of(&f->ahead, f->fd, SIZE - MIB, MIB);
	wait_for(f, SIZE - MIB, SIZE);
	still_ahead_of(&f->ahead, -1, 0, MIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(follows),
	    TEST(jumps),
	    TEST(ends),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
