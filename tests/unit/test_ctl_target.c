/* SPDX-License-Identifier: MIT */
/* Which mount, or source, is meant: mount table, fstab, names. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctl/exit.h"
#include "ctl/places.h"
#include "ctl/target.h"
#include "tests/unit/scratch.h"

struct fixture {
	char *dir;
	struct ctl_places places;
};

/* A line of mountinfo. */
#define MOUNT(where, type, source)                                         \
	"41 29 0:52 / " where " ro,nosuid,nodev,relatime shared:7 - " type \
	" " source " ro,user_id=0,group_id=0,default_permissions\n"
#define STILL(where, source) MOUNT(where, "fuse.stillfs", source)
#define ROOT "29 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"

static void read_tables(
    struct fixture *f, const char *mountinfo, const char *fstab)
{
	struct still_error err = STILL_ERROR_INIT;
	const char *mounts = scratch_path(f->dir, "mountinfo");
	const char *lines = scratch_path(f->dir, "fstab");

	ctl_places_release(&f->places);
	assert_int_equal(
	    scratch_write(mounts, mountinfo, strlen(mountinfo)), 0);
	unlink(lines);
	if (fstab)
		assert_int_equal(scratch_write(lines, fstab, strlen(fstab)), 0);
	if (ctl_places_read(mounts, lines, &f->places, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void assert_place(const struct fixture *f, size_t i, const char *source,
    const char *mountpoint, const char *state_dir, bool mounted,
    bool configured)
{
	const struct ctl_place *place = &f->places.list[i];

	assert_true(i < f->places.n);
	assert_string_equal(place->source, source);
	assert_string_equal(place->mountpoint, mountpoint);
	if (state_dir)
		assert_string_equal(place->state_dir, state_dir);
	else
		assert_null(place->state_dir);
	assert_int_equal(place->mounted, mounted);
	assert_int_equal(place->configured, configured);
}

/* ---- tables -------------------------------------------------------------- */

static void only_ours(void **state)
{
	struct fixture *f = *state;

	read_tables(f,
	    ROOT MOUNT("/mnt/x", "fuse.sshfs", "x:/") STILL("/mnt/a", "/srv/a")
		MOUNT("/proc", "proc", "proc") STILL("/mnt/b", "/srv/b"),
	    NULL);
	assert_int_equal(f->places.n, 2);
	assert_place(f, 0, "/srv/a", "/mnt/a", NULL, true, false);
	assert_place(f, 1, "/srv/b", "/mnt/b", NULL, true, false);
}

/* What the kernel writes for space, tab, newline, backslash and hash. */
static void octal(void **state)
{
	struct fixture *f = *state;

	read_tables(f,
	    STILL(
		"/mnt/a\\040b\\011c\\012d\\134e", "/srv/\\043a\\040\\134040b"),
	    NULL);
	assert_int_equal(f->places.n, 1);
	assert_place(
	    f, 0, "/srv/#a \\040b", "/mnt/a b\tc\nd\\e", NULL, true, false);
}

static void odd_names(void **state)
{
	struct fixture *f = *state;

	/* " - " is a separator, and may be in a name, too. */
	read_tables(f,
	    STILL("/mnt/\\040-\\040fuse.stillfs", "/srv/a")
		STILL("/mnt/\xff\xfe", "/srv/\xc3\xa4"),
	    NULL);
	assert_int_equal(f->places.n, 2);
	assert_place(f, 0, "/srv/a", "/mnt/ - fuse.stillfs", NULL, true, false);
	assert_place(f, 1, "/srv/\xc3\xa4", "/mnt/\xff\xfe", NULL, true, false);
}

static void covered(void **state)
{
	struct fixture *f = *state;

	read_tables(f,
	    STILL("/mnt/a", "/srv/a") MOUNT("/mnt/a", "tmpfs", "tmpfs")
		STILL("/mnt/b", "/srv/b") STILL("/mnt/b", "/srv/c"),
	    NULL);
	assert_int_equal(f->places.n, 1);
	assert_place(f, 0, "/srv/c", "/mnt/b", NULL, true, false);
}

static void lines_of_fstab(void **state)
{
	struct fixture *f = *state;

	read_tables(f, ROOT,
	    "# /srv/no /mnt/no fuse.stillfs ro 0 0\n"
	    "/dev/sda1 / ext4 defaults 0 1\n"
	    "  /srv/a  /mnt/a\tfuse.stillfs  noauto,state=/var/s,ro 0 0\n"
	    "nonsense\n"
	    "\n"
	    "/srv/b\\040c /mnt/b stillfs\n"
	    "x:/ /mnt/x fuse.sshfs ro 0 0\n");
	assert_int_equal(f->places.n, 2);
	assert_place(f, 0, "/srv/a", "/mnt/a", "/var/s", false, true);
	assert_place(f, 1, "/srv/b c", "/mnt/b", NULL, false, true);
}

/* A mount and its line are one, by source or by mountpoint. */
static void counted_once(void **state)
{
	struct fixture *f = *state;

	read_tables(f, STILL("/mnt/a", "/srv/a") STILL("/mnt/b", "/srv/b"),
	    "/srv/a /mnt/a fuse.stillfs state=/s 0 0\n"
	    "/srv/b /mnt/other fuse.stillfs ro 0 0\n"
	    "/srv/third /mnt/b fuse.stillfs state=/t 0 0\n"
	    "/srv/c /mnt/c fuse.stillfs ro 0 0\n"
	    "/srv/c /mnt/c2 fuse.stillfs ro 0 0\n");
	assert_int_equal(f->places.n, 3);
	assert_place(f, 0, "/srv/a", "/mnt/a", "/s", true, true);
	assert_place(f, 1, "/srv/b", "/mnt/b", "/t", true, true);
	assert_place(f, 2, "/srv/c", "/mnt/c", NULL, false, true);
}

/* fstab has paths as somebody typed them. */
static void resolved(void **state)
{
	struct fixture *f = *state;
	char line[4 * PATH_MAX];
	const char *link = scratch_path(f->dir, "link");

	assert_int_equal(mkdir(scratch_path(f->dir, "real"), 0755), 0);
	assert_int_equal(symlink("real", link), 0);
	snprintf(line, sizeof(line), "name:%s %s/../mnt fuse.stillfs ro 0 0\n",
	    link, link);
	read_tables(f, ROOT, line);
	assert_int_equal(f->places.n, 1);
	assert_place(f, 0, scratch_path(f->dir, "real"),
	    scratch_path(f->dir, "mnt"), NULL, false, true);
}

static void paths(void **state)
{
	struct fixture *f = *state;
	char *path;

	assert_int_equal(chdir(f->dir), 0);
	mkdir("real", 0755);
	path = ctl_path_resolve("real/");
	assert_string_equal(path, scratch_path(f->dir, "real"));
	free(path);
	/* Not there yet, or a mount whose daemon has died. */
	path = ctl_path_resolve("real/./new//");
	assert_string_equal(path, scratch_path(f->dir, "real/new"));
	free(path);
	path = ctl_path_resolve("new");
	assert_string_equal(path, scratch_path(f->dir, "new"));
	free(path);
	path = ctl_path_resolve("/new-name-in-root");
	assert_string_equal(path, "/new-name-in-root");
	free(path);
	path = ctl_path_resolve("some-engine:real");
	assert_string_equal(path, scratch_path(f->dir, "real"));
	free(path);
	/* A name that looks like it has a scheme, and is there. */
	mkdir("a:real", 0755);
	path = ctl_path_resolve("a:real");
	assert_string_equal(path, scratch_path(f->dir, "a:real"));
	free(path);
	path = ctl_path_resolve("/");
	assert_string_equal(path, "/");
	free(path);
	assert_int_equal(chdir("/"), 0);
}

static void no_tables(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct fixture *f = *state;

	assert_int_equal(ctl_places_read(scratch_path(f->dir, "none"),
			     scratch_path(f->dir, "none"), &f->places, &err),
	    STILL_ERR_NOTFOUND);
	assert_non_null(strstr(still_error_msg(&err), "none"));
	still_error_clear(&err);
}

/* ---- targets ------------------------------------------------------------- */

#define TWO STILL("/mnt/a", "/srv/a") STILL("/mnt/b", "/srv/b")
#define FSTAB                                       \
	"/srv/a /mnt/a fuse.stillfs state=/s 0 0\n" \
	"/srv/c /mnt/c fuse.stillfs state=/t 0 0\n"

static void assert_found(struct fixture *f, const char *name,
    const char *source, const char *mountpoint, bool mounted)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_target target;

	if (ctl_target_find_in(&f->places, name, &target, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_string_equal(target.source, source);
	assert_string_equal(target.mountpoint, mountpoint);
	assert_string_equal(ctl_target_name(&target), mountpoint);
	assert_int_equal(target.mounted, mounted);
	assert_null(target.path);
	assert_false(target.dead);
	assert_int_equal(ctl_target_require_mount(&target, &err) == 0, mounted);
	still_error_clear(&err);
	ctl_target_release(&target);
}

static void assert_not_found(
    struct fixture *f, const char *name, int code, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_target target;

	assert_int_equal(
	    ctl_target_find_in(&f->places, name, &target, &err), code);
	assert_string_equal(still_error_msg(&err), message);
	still_error_clear(&err);
	ctl_target_release(&target);
}

static void named(void **state)
{
	struct fixture *f = *state;

	read_tables(f, TWO, FSTAB);
	assert_found(f, "/mnt/a", "/srv/a", "/mnt/a", true);
	assert_found(f, "/mnt/b/", "/srv/b", "/mnt/b", true);
	assert_found(f, "/srv/b", "/srv/b", "/mnt/b", true);
	assert_found(f, "name:/srv/b", "/srv/b", "/mnt/b", true);
	assert_found(f, "/srv/c", "/srv/c", "/mnt/c", false);
	assert_found(f, "/mnt/c", "/srv/c", "/mnt/c", false);
}

/* A mountpoint is nearer than a source of the same name. */
static void mountpoint_first(void **state)
{
	struct fixture *f = *state;

	read_tables(
	    f, STILL("/mnt/b", "/mnt/a") STILL("/mnt/a", "/srv/a"), NULL);
	assert_found(f, "/mnt/a", "/srv/a", "/mnt/a", true);
}

static void two_mounts_of_one(void **state)
{
	struct fixture *f = *state;

	read_tables(
	    f, STILL("/mnt/a", "/srv/a") STILL("/mnt/b", "/srv/a"), NULL);
	assert_not_found(f, "/srv/a", STILL_ERR_INVALID,
	    "several mounts; name one: /mnt/a, /mnt/b");
	assert_found(f, "/mnt/b", "/srv/a", "/mnt/b", true);
}

/* A path that no table has may still be known to the catalog. */
static void only_a_path(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct fixture *f = *state;
	struct ctl_target target;

	read_tables(f, TWO, FSTAB);
	assert_int_equal(
	    ctl_target_find_in(&f->places, "/srv/unknown", &target, &err), 0);
	assert_string_equal(target.path, "/srv/unknown");
	assert_null(target.source);
	assert_null(target.mountpoint);
	assert_false(target.mounted);
	assert_string_equal(ctl_target_name(&target), "/srv/unknown");
	assert_int_equal(
	    ctl_target_require_mount(&target, &err), STILL_ERR_NOTFOUND);
	assert_string_equal(still_error_msg(&err),
	    "`/srv/unknown`: no mount of stillfs, nor the source of one");
	still_error_clear(&err);
	ctl_target_release(&target);
}

static void the_only_one(void **state)
{
	struct fixture *f = *state;

	read_tables(f, ROOT STILL("/mnt/a", "/srv/a"), NULL);
	assert_found(f, NULL, "/srv/a", "/mnt/a", true);
	read_tables(f, ROOT, "/srv/c /mnt/c fuse.stillfs ro 0 0\n");
	assert_found(f, NULL, "/srv/c", "/mnt/c", false);
	read_tables(f, STILL("/mnt/a", "/srv/a"),
	    "/srv/a /mnt/a fuse.stillfs ro 0 0\n");
	assert_found(f, NULL, "/srv/a", "/mnt/a", true);
}

static void none_or_several(void **state)
{
	struct fixture *f = *state;

	read_tables(f, ROOT, NULL);
	assert_not_found(f, NULL, STILL_ERR_NOTFOUND,
	    "no instance: no stillfs is mounted, and none is configured");
	read_tables(f, TWO, FSTAB);
	assert_not_found(f, NULL, STILL_ERR_INVALID,
	    "several instances; name one: /mnt/a, /mnt/b, /mnt/c");
	assert_int_equal(ctl_target_status(STILL_ERR_INVALID), CTL_EXIT_USAGE);
	assert_int_equal(
	    ctl_target_status(STILL_ERR_NOTFOUND), STILL_ERR_NOTFOUND);
}

static void state_of_fstab(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct fixture *f = *state;
	struct ctl_target target;

	read_tables(f, TWO, FSTAB);
	assert_int_equal(
	    ctl_target_find_in(&f->places, "/srv/c", &target, &err), 0);
	assert_string_equal(target.state_dir, "/t");
	ctl_target_release(&target);
}

static void messages_of_mounts(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	char mountpoint[] = "/mnt/x";
	struct ctl_target dead = {
	    .mountpoint = mountpoint, .mounted = true, .dead = true};
	struct ctl_target absent = {.mountpoint = mountpoint};

	(void) state;
	assert_int_equal(ctl_target_require_mount(&dead, &err), STILL_ERR_LOST);
	assert_string_equal(still_error_msg(&err),
	    "`/mnt/x`: the daemon of this mount has died");
	assert_non_null(strstr(err.hint, "stillctl umount"));
	assert_int_equal(
	    ctl_target_require_mount(&absent, &err), STILL_ERR_NOTFOUND);
	assert_string_equal(still_error_msg(&err), "`/mnt/x`: is not mounted");
	still_error_clear(&err);
}

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){scratch_make(), CTL_PLACES_INIT};
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ctl_places_release(&f->places);
	scratch_remove(f->dir);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(only_ours),
	    TEST(octal),
	    TEST(odd_names),
	    TEST(covered),
	    TEST(lines_of_fstab),
	    TEST(counted_once),
	    TEST(resolved),
	    TEST(paths),
	    TEST(no_tables),
	    TEST(named),
	    TEST(mountpoint_first),
	    TEST(two_mounts_of_one),
	    TEST(only_a_path),
	    TEST(the_only_one),
	    TEST(none_or_several),
	    TEST(state_of_fstab),
	    TEST(messages_of_mounts),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
