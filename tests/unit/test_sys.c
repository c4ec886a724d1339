/* SPDX-License-Identifier: MIT */
/* The seam under the library: opening, reading, and making both fail. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "tests/unit/scratch.h"

static int setup(void **state)
{
	char *dir = scratch_make();

	*state = dir;
	return mkdir(scratch_path(dir, "sub"), 0755) ||
	    scratch_write(scratch_path(dir, "sub/a"), "0123456789", 10) ||
	    symlink("a", scratch_path(dir, "sub/link")) ||
	    symlink("sub", scratch_path(dir, "dirlink"));
}

static int teardown(void **state)
{
	still_sys_fault = NULL;
	scratch_remove(*state);
	return 0;
}

/* Open below the scratch directory and close again: 0 or -errno. */
static int try_open(const char *dir, const char *path)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = still_sys_open_beneath(dirfd, path, O_RDONLY);

	if (fd >= 0) {
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		close(fd);
	}
	close(dirfd);
	return fd < 0 ? fd : 0;
}

static void opens_beneath(void **state)
{
	const char *dir = *state;
	char sub[PATH_MAX];
	int fd;

	snprintf(sub, sizeof(sub), "%s/sub", dir);
	assert_int_equal(try_open(dir, "sub/a"), 0);
	assert_int_equal(try_open(dir, "."), 0);
	assert_int_equal(try_open(dir, "sub/../sub/a"), 0);
	assert_int_equal(try_open(dir, "none"), -ENOENT);
	assert_int_equal(try_open(sub, "link"), -ELOOP);
	assert_int_equal(try_open(dir, "dirlink/a"), -ELOOP);
	assert_int_equal(try_open(sub, "../sub/a"), -EXDEV);
	assert_int_equal(try_open(sub, ".."), -EXDEV);
	/* An absolute path may lead anywhere, but over no link. */
	fd = still_sys_open_beneath(
	    AT_FDCWD, scratch_path(dir, "sub/a"), O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(still_sys_open_beneath(AT_FDCWD,
			     scratch_path(dir, "dirlink/a"), O_RDONLY),
	    -ELOOP);
}

static void opens_plainly(void **state)
{
	static const struct {
		const char *path;
		int rc;
	} rows[] = {
	    {"sub/a", 0},
	    {"sub", 0},
	    {"./sub/a", 0},
	    {"none", -ENOENT},
	    {"sub/none", -ENOENT},
	    {"none/a", -ENOENT},
	    {"", -ENOENT},
	    {"sub//a", -ENOENT},
	    {"/sub/a", -ENOENT},
	    {"sub/a/b", -ENOTDIR},
	    {"sub/link", -ELOOP},
	    {"dirlink", -ELOOP},
	    {"dirlink/a", -ENOTDIR},
	    {"..", -EXDEV},
	    {"sub/../sub/a", -EXDEV},
	};
	int dirfd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char longest[NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = still_sys_open_plain(dirfd, rows[i].path);

		assert_int_equal(fd < 0 ? fd : 0, rows[i].rc);
		if (fd < 0)
			continue;
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(close(fd), 0);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(still_sys_open_plain(dirfd, longest), -ENAMETOOLONG);
	/* It has closed all directories on the way, but not that one. */
	assert_int_equal(close(dirfd), 0);
}

static void reads_to_the_end(void **state)
{
	int fd = open(scratch_path(*state, "sub/a"), O_RDONLY | O_CLOEXEC);
	char data[16];

	assert_int_equal(still_sys_pread(fd, data, 16, 0), 10);
	assert_memory_equal(data, "0123456789", 10);
	assert_int_equal(still_sys_pread(fd, data, 3, 4), 3);
	assert_memory_equal(data, "456", 3);
	assert_int_equal(still_sys_pread(fd, data, 16, 10), 0);
	assert_int_equal(still_sys_pread(fd, data, 16, 100), 0);
	close(fd);
	assert_int_equal(still_sys_pread(-1, data, 16, 0), -EBADF);
}

static unsigned calls[STILL_SYS_COUNT];

static int fail_the_second(enum still_sys_call call)
{
	return ++calls[call] == 2 ? EIO : 0;
}

static void faults(void **state)
{
	int fd = open(scratch_path(*state, "sub/a"), O_RDONLY | O_CLOEXEC);
	struct stat st;
	char data[16];

	still_sys_fault = fail_the_second;
	assert_int_equal(try_open(*state, "sub/a"), 0);
	assert_int_equal(try_open(*state, "sub/a"), -EIO);
	assert_int_equal(try_open(*state, "sub/a"), 0);
	assert_int_equal(still_sys_fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 10);
	assert_int_equal(still_sys_fstat(fd, &st), -EIO);
	assert_int_equal(still_sys_fstat(fd, &st), 0);
	assert_int_equal(still_sys_pread(fd, data, 5, 0), 5);
	assert_int_equal(still_sys_pread(fd, data, 5, 0), -EIO);
	assert_int_equal(still_sys_pread(fd, data, 5, 0), 5);
	close(fd);
}

static void clocks(void **state)
{
	int64_t before_ns = still_sys_monotonic_ns();
	int64_t run_ns = still_sys_thread_ns();

	(void) state;
	still_sys_sleep_ns(-1);
	still_sys_sleep_ns(0);
	still_sys_sleep_ns(2000000);
	assert_true(still_sys_monotonic_ns() - before_ns >= 2000000);
	/* What is slept is not run. */
	before_ns = still_sys_monotonic_ns();
	still_sys_sleep_ns(STILL_NS_PER_S / 5);
	run_ns = still_sys_thread_ns() - run_ns;
	assert_true(run_ns > 0);
	assert_true(run_ns < (still_sys_monotonic_ns() - before_ns) / 2);
	/* This was written in 2026. */
	assert_true(still_sys_now_ns() > INT64_C(1767225600) * STILL_NS_PER_S);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(opens_beneath),
	    TEST(opens_plainly),
	    TEST(reads_to_the_end),
	    TEST(faults),
	    TEST(clocks),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
