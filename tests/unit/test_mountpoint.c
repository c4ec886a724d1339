/* SPDX-License-Identifier: MIT */
/* Where a mount would do harm. Nothing is mounted here, and what needs a dead
 * mount is left to the mount tests. */
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
#include "fs/mountpoint.h"
#include "tests/unit/scratch.h"

static void make_dir(const char *dir, const char *name)
{
	assert_int_equal(mkdir(scratch_path(dir, name), 0755), 0);
}

static char state_dir[PATH_MAX];

/* source/deep/er with a database in it, and an empty mnt */
static int setup(void **state)
{
	char *dir = scratch_make();

	*state = dir;
	make_dir(dir, "mnt");
	make_dir(dir, "source");
	make_dir(dir, "state");
	make_dir(dir, "state/deep");
	snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
	make_dir(dir, "source/deep");
	make_dir(dir, "source/deep/er");
	return scratch_write(scratch_path(dir, "source/a.db"), "x", 1);
}

static int teardown(void **state)
{
	scratch_remove(*state);
	return 0;
}

static void accepted(
    const char *mountpoint, const char *source, bool nonempty, const char *want)
{
	struct still_error err = STILL_ERROR_INIT;
	char *path = NULL;

	if (fs_mountpoint_prepare(
		mountpoint, source, state_dir, nonempty, &path, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_string_equal(path, want);
	free(path);
}

static void refused(const char *mountpoint, const char *source, bool nonempty,
    int code, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	char *path = NULL;

	assert_int_equal(fs_mountpoint_prepare(mountpoint, source, state_dir,
			     nonempty, &path, &err),
	    code);
	assert_null(path);
	assert_non_null(err.hint);
	if (!strstr(still_error_msg(&err), message))
		fail_msg("\"%s\" does not say \"%s\"", still_error_msg(&err),
		    message);
	still_error_clear(&err);
}

static void empty_directory(void **state)
{
	const char *dir = *state;
	char slashes[PATH_MAX];

	accepted(scratch_path(dir, "mnt"), scratch_path(dir, "source"), false,
	    scratch_path(dir, "mnt"));
	accepted(scratch_path(dir, "mnt"), scratch_path(dir, "source/a.db"),
	    false, scratch_path(dir, "mnt"));
	/* Resolved, whatever way it is written. */
	snprintf(slashes, sizeof(slashes), "%s//source/../mnt/./", dir);
	accepted(slashes, scratch_path(dir, "source"), false,
	    scratch_path(dir, "mnt"));
	assert_int_equal(symlink("mnt", scratch_path(dir, "link")), 0);
	accepted(scratch_path(dir, "link"), scratch_path(dir, "source"), false,
	    scratch_path(dir, "mnt"));
}

static int no_names(enum still_sys_call call)
{
	return call == STILL_SYS_READDIR ? EIO : 0;
}

/* What cannot be read is not empty. */
static void unreadable(void **state)
{
	const char *dir = *state;
	struct still_error err = STILL_ERROR_INIT;
	char *path = NULL;

	still_sys_fault = no_names;
	assert_int_equal(
	    fs_mountpoint_prepare(scratch_path(dir, "mnt"),
		scratch_path(dir, "source"), state_dir, false, &path, &err),
	    STILL_ERR_IO);
	still_sys_fault = NULL;
	assert_null(path);
	assert_non_null(strstr(still_error_msg(&err), "Input/output error"));
	still_error_clear(&err);
}

/* A name that begins alike is no overlap. */
static void neighbours(void **state)
{
	const char *dir = *state;

	make_dir(dir, "source-mnt");
	make_dir(dir, "sour");
	accepted(scratch_path(dir, "source-mnt"), scratch_path(dir, "source"),
	    false, scratch_path(dir, "source-mnt"));
	accepted(scratch_path(dir, "sour"), scratch_path(dir, "source"), false,
	    scratch_path(dir, "sour"));
}

static void overlap(void **state)
{
	const char *dir = *state;
	const char *source = scratch_path(dir, "source");

	refused(source, source, true, STILL_ERR_INVALID, "is the source");
	refused(scratch_path(dir, "source/deep/er"), source, true,
	    STILL_ERR_INVALID, "lies in the source");
	refused(scratch_path(dir, "source/deep"),
	    scratch_path(dir, "source/deep/er"), true, STILL_ERR_INVALID,
	    "lies above the source");
	refused("/", scratch_path(dir, "source"), true, STILL_ERR_INVALID,
	    "lies above the source");
	refused(scratch_path(dir, "state/deep"), source, true,
	    STILL_ERR_INVALID, "lies in the state directory");
	refused(scratch_path(dir, "state"), source, true, STILL_ERR_INVALID,
	    "is the state directory");
	/* The directory of a single database holds its log, too. */
	refused(scratch_path(dir, "source"), scratch_path(dir, "source/a.db"),
	    true, STILL_ERR_INVALID, "lies above the source");
	/* A way around by a link is found. */
	assert_int_equal(
	    symlink("source/deep/er", scratch_path(dir, "link")), 0);
	refused(scratch_path(dir, "link"), scratch_path(dir, "source"), false,
	    STILL_ERR_INVALID, "lies in the source");
}

static void not_empty(void **state)
{
	const char *dir = *state;
	const char *mnt = scratch_path(dir, "mnt");
	const char *source = scratch_path(dir, "source");

	assert_int_equal(
	    scratch_write(scratch_path(dir, "mnt/.hidden"), "", 0), 0);
	refused(mnt, source, false, STILL_ERR_INVALID, "is not empty");
	accepted(mnt, source, true, mnt);
}

static void no_directory(void **state)
{
	const char *dir = *state;
	const char *source = scratch_path(dir, "source/a.db");

	assert_int_equal(scratch_write(scratch_path(dir, "file"), "", 0), 0);
	refused(scratch_path(dir, "file"), source, true, STILL_ERR_INVALID,
	    "file`: is not a directory");
	refused(scratch_path(dir, "none"), source, true, STILL_ERR_NOTFOUND,
	    "none`: No such file or directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(empty_directory),
	    TEST(unreadable),
	    TEST(neighbours),
	    TEST(overlap),
	    TEST(not_empty),
	    TEST(no_directory),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
