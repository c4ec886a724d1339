/* SPDX-License-Identifier: MIT */
/* What is mounted: by path, by device, and by the number that no other mount
 * gets. Mounts are made in a namespace of this program's own, by root. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/mount_id.h"
#include "base/mounts.h"
#include "tests/unit/scratch.h"

static int setup(void **state)
{
	*state = scratch_make();
	return 0;
}

static int teardown(void **state)
{
	scratch_remove(*state);
	return 0;
}

static void table(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_mounted mount;
	struct stat st;

	assert_int_equal(still_mounts_at("/proc", &mount, &err), 0);
	assert_int_equal(stat("/proc", &st), 0);
	assert_string_equal(mount.fstype, "proc");
	assert_true(mount.dev == st.st_dev);
	assert_int_equal(still_mounts_have(st.st_dev, NULL), 1);
	assert_int_equal(still_mounts_have(st.st_dev, "proc"), 1);
	assert_int_equal(still_mounts_have(st.st_dev, "fuse.stillfs"), 0);
	/* A directory with nothing mounted on it, and no device at all. */
	assert_int_equal(
	    still_mounts_at(*state, &mount, &err), STILL_ERR_NOTFOUND);
	assert_non_null(strstr(still_error_msg(&err), *state));
	still_error_clear(&err);
	assert_int_equal(still_mounts_have((dev_t) -2, NULL), 0);
}

/* Mount a file system in memory, and tell its device. */
static dev_t mounted(const char *dir)
{
	struct stat st;

	assert_int_equal(mount("none", dir, "tmpfs", 0, "size=64k"), 0);
	assert_int_equal(stat(dir, &st), 0);
	return st.st_dev;
}

static void ids(void **state)
{
	uint64_t proc = still_mount_id_at("/proc");
	uint64_t first;
	uint64_t second;

	if (geteuid() != 0)
		skip();
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	mounted(*state);
	first = still_mount_id_at(*state);
	umount2(*state, 0);
	mounted(*state);
	second = still_mount_id_at(*state);
	if (proc == 0) {
		/* The kernel is older: then it says so, each time. */
		assert_int_equal(first, 0);
		assert_int_equal(second, 0);
		umount2(*state, 0);
		return;
	}
	assert_true(first != 0 && second != 0 && first != second);
	assert_int_equal(still_mount_id_is_there(second), 1);
	assert_int_equal(still_mount_id_is_there(first), 0);
	umount2(*state, 0);
	assert_int_equal(still_mount_id_is_there(second), 0);
	assert_int_equal(still_mount_id_at("/nowhere"), 0);
}

/* What is on top of others at the same path, and what is left of it. */
static void on_top(void **state)
{
	struct still_mounted there;
	dev_t below;
	dev_t above;

	if (geteuid() != 0)
		skip();
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	below = mounted(*state);
	above = mounted(*state);
	assert_int_equal(still_mounts_at(*state, &there, NULL), 0);
	assert_true(there.dev == above && above != below);
	assert_int_equal(still_mounts_have(below, "tmpfs"), 1);
	umount2(*state, 0);
	assert_int_equal(still_mounts_at(*state, &there, NULL), 0);
	assert_true(there.dev == below);
	umount2(*state, 0);
	assert_int_equal(
	    still_mounts_at(*state, &there, NULL), STILL_ERR_NOTFOUND);
}

static void assert_around(const char *path, const char *point, bool read_only)
{
	struct still_error err = STILL_ERROR_INIT;
	bool found = !read_only;
	char *around = NULL;

	if (still_mounts_around(path, &around, &found, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_string_equal(around, point);
	assert_int_equal(found, read_only);
	free(around);
}

/* Nobody can write to the one; to the other only not from here. */
static void around(void **state)
{
	char *point = NULL;
	bool found;

	if (geteuid() != 0)
		skip();
	assert_int_equal(still_mounts_around("/nowhere", &point, &found, NULL),
	    STILL_ERR_NOTFOUND);
	assert_null(point);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	mounted(*state);
	assert_int_equal(mkdir(scratch_path(*state, "in"), 0755), 0);
	assert_around(scratch_path(*state, "in"), *state, false);
	assert_int_equal(
	    mount(NULL, *state, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL),
	    0);
	assert_around(scratch_path(*state, "in"), *state, false);
	assert_int_equal(
	    mount(NULL, *state, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_around(*state, *state, true);
	umount2(*state, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(table),
	    TEST(ids),
	    TEST(on_top),
	    TEST(around),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
