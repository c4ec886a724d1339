/* SPDX-License-Identifier: MIT */
/* core/attributes and base/acl: nobody gets at a copy who did not get at the
 * original. */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "base/acl.h"
#include "core/attributes.h"
#include "tests/unit/scratch.h"

#define ACCESS_LIST "system.posix_acl_access"
#define DEFAULT_LIST "system.posix_acl_default"
#define NOBODY UINT32_MAX

/* On the machines that this is run on a list is little endian as it is. */
struct entry {
	uint16_t tag;
	uint16_t rights;
	uint32_t id;
};

struct list {
	uint32_t version;
	struct entry entries[6];
};

#define LIST_BYTES(n) (sizeof(uint32_t) + (n) * sizeof(struct entry))

/* user::rw- user:1234:USER group::GROUP mask::MASK other::OTHER */
static struct list list_of(
    uint16_t user, uint16_t group, uint16_t mask, uint16_t other)
{
	return (struct list){2,
	    {{1, 6, NOBODY}, {2, user, 1234}, {4, group, NOBODY},
		{16, mask, NOBODY}, {32, other, NOBODY}}};
}

static int setup(void **state)
{
	*state = scratch_make();
	chmod(*state, 0755);
	return 0;
}

static int teardown(void **state)
{
	scratch_remove(*state);
	return 0;
}

static int make(const char *dir, const char *name, mode_t mode)
{
	int fd = open(scratch_path(dir, name), O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	return fd;
}

static void set_list(int fd, const char *name, const struct list *list)
{
	if (fsetxattr(fd, name, list, LIST_BYTES(5), 0) == 0)
		return;
	assert_int_equal(errno, EOPNOTSUPP);
	skip();
}

static mode_t mode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_mode & 07777;
}

/* ---- lists --------------------------------------------------------------- */

static void limits(void **state)
{
	static const struct {
		uint16_t user;
		uint16_t group;
		uint16_t mask;
		uint16_t other;
		mode_t want;
	} cases[] = {
	    {6, 0, 6, 0, 0600},
	    {6, 4, 6, 0, 0640},
	    {6, 6, 6, 4, 0664},
	    {4, 6, 4, 0, 0640},
	    {7, 7, 0, 0, 0600},
	    /* What is denied to one who is named is denied to all: he may be in
	     * the group, and is one of the others otherwise. */
	    {0, 4, 6, 4, 0600},
	    {4, 6, 6, 6, 0644},
	    {6, 4, 4, 6, 0644},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct list list = list_of(cases[i].user, cases[i].group,
		    cases[i].mask, cases[i].other);
		uint32_t mode = 0600u | (uint32_t) cases[i].mask << 3 |
		    cases[i].other;

		if (still_acl_limit_by(&list, LIST_BYTES(5), mode) !=
		    cases[i].want)
			fail_msg("case %zu: %o", i,
			    still_acl_limit_by(&list, LIST_BYTES(5), mode));
	}
}

static void strange_lists(void **state)
{
	struct list list = list_of(6, 6, 6, 4);
	char bytes[sizeof(list) + 1] = {0};

	(void) state;
	memcpy(bytes, &list, sizeof(list));
	/* None that we understand: the group has what others have. */
	for (size_t len = 0; len <= LIST_BYTES(5); len++)
		if (len < 4 || (len - 4) % 8 != 0)
			assert_int_equal(
			    still_acl_limit_by(bytes, len, 02664), 02644);
	bytes[0] = 3;
	assert_int_equal(still_acl_limit_by(bytes, LIST_BYTES(5), 0664), 0644);
}

static void of_files(void **state)
{
	const char *dir = *state;
	struct list list = list_of(6, 0, 6, 0);
	int fd = make(dir, "listed", 0600);
	int plain = make(dir, "plain", 0660);
	int dirfd = open(dir, O_PATH);
	int path = open(scratch_path(dir, "listed"), O_PATH);

	set_list(fd, ACCESS_LIST, &list);
	assert_int_equal(mode_of(fd), 0660);
	assert_int_equal(still_acl_limit(fd, 0660), 0600);
	assert_int_equal(still_acl_limit(path, 0660), 0600);
	assert_int_equal(still_acl_limit_at(dirfd, "listed", 0660), 0600);
	assert_int_equal(still_acl_limit(plain, 0660), 0660);
	assert_int_equal(still_acl_limit_at(dirfd, "plain", 0660), 0660);
	/* What cannot be asked. */
	assert_int_equal(still_acl_limit_at(dirfd, "none", 0664), 0644);
	assert_int_equal(still_acl_remove(fd), 0);
	assert_int_equal(still_acl_remove(plain), 0);
	assert_int_equal(fgetxattr(fd, ACCESS_LIST, NULL, 0), -1);
	close(fd);
	close(plain);
	close(dirfd);
	close(path);
}

/* ---- what is given ------------------------------------------------------- */

static void from_a_listed_one(void **state)
{
	const char *dir = *state;
	struct list list = list_of(6, 0, 6, 0);
	int from = make(dir, "from", 0600);
	int to = make(dir, "to", 0600);

	set_list(from, ACCESS_LIST, &list);
	assert_int_equal(still_attributes_give(to, from), 0);
	assert_int_equal(mode_of(to), 0600);
	close(from);
	close(to);
}

/* Made where a list is handed down, it has one, which a mode would open. */
static void inherited(void **state)
{
	const char *dir = *state;
	struct list list = list_of(7, 0, 7, 0);
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	int from = make(dir, "from", 0640);
	int to[3];

	set_list(dirfd, DEFAULT_LIST, &list);
	assert_int_equal(mkdir(scratch_path(dir, "sub"), 0700), 0);
	to[0] = make(dir, "given", 0600);
	to[1] = make(dir, "set", 0600);
	to[2] = open(scratch_path(dir, "sub"), O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3; i++)
		assert_true(fgetxattr(to[i], ACCESS_LIST, NULL, 0) > 0);
	assert_int_equal(still_attributes_give(to[0], from), 0);
	assert_int_equal(
	    still_attributes_set(to[1], geteuid(), getegid(), 0640), 0);
	assert_int_equal(
	    still_attributes_set(to[2], geteuid(), getegid(), 0750), 0);
	assert_int_equal(mode_of(to[0]), 0640);
	assert_int_equal(mode_of(to[1]), 0640);
	assert_int_equal(mode_of(to[2]), 0750);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fgetxattr(to[i], ACCESS_LIST, NULL, 0), -1);
		assert_int_equal(fgetxattr(to[i], DEFAULT_LIST, NULL, 0), -1);
		close(to[i]);
	}
	close(from);
	close(dirfd);
}

/* A directory that takes another's place has its lists, and no others. */
static void taken_over(void **state)
{
	const char *dir = *state;
	struct list handed_down = list_of(7, 0, 7, 0);
	struct list list = list_of(5, 5, 5, 0);
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	int from;
	int to;

	assert_int_equal(mkdir(scratch_path(dir, "from"), 0750), 0);
	from = open(scratch_path(dir, "from"), O_RDONLY | O_DIRECTORY);
	set_list(dirfd, DEFAULT_LIST, &handed_down);
	assert_int_equal(mkdir(scratch_path(dir, "to"), 0700), 0);
	to = open(scratch_path(dir, "to"), O_RDONLY | O_DIRECTORY);
	assert_int_equal(still_attributes_take_over(to, from), 0);
	assert_int_equal(mode_of(to), 0750);
	assert_int_equal(fgetxattr(to, ACCESS_LIST, NULL, 0), -1);
	assert_int_equal(fgetxattr(to, DEFAULT_LIST, NULL, 0), -1);
	set_list(from, ACCESS_LIST, &list);
	assert_int_equal(still_attributes_take_over(to, from), 0);
	assert_int_equal(fgetxattr(to, ACCESS_LIST, NULL, 0), LIST_BYTES(5));
	close(from);
	close(to);
	close(dirfd);
}

/* ---- without rights ------------------------------------------------------ */

#define SOMEBODY 1500
#define OWN_GROUP 100
#define OTHER_GROUP 4000

/* In a process of his: give 2000:4000 and `mode` to a file of his. */
static void given_by_somebody(
    const char *dir, bool is_member, mode_t mode, gid_t want_gid, mode_t want)
{
	const char *path = scratch_path(dir, "file");
	struct stat st;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		gid_t group = OTHER_GROUP;
		int fd;

		if (setgroups(is_member, &group) != 0 ||
		    setresgid(OWN_GROUP, OWN_GROUP, OWN_GROUP) != 0 ||
		    setresuid(SOMEBODY, SOMEBODY, SOMEBODY) != 0)
			_exit(10);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			_exit(11);
		_exit(-still_attributes_set(fd, 2000, OTHER_GROUP, mode));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, SOMEBODY);
	assert_int_equal(st.st_gid, want_gid);
	if ((st.st_mode & 07777) != want)
		fail_msg(
		    "%o became %o and not %o", mode, st.st_mode & 07777, want);
	assert_int_equal(unlink(path), 0);
}

static void by_somebody(void **state)
{
	const char *dir = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(dir, 0777), 0);
	given_by_somebody(dir, true, 0640, OTHER_GROUP, 0640);
	given_by_somebody(dir, true, 06755, OTHER_GROUP, 0755);
	given_by_somebody(dir, false, 0640, OWN_GROUP, 0600);
	given_by_somebody(dir, false, 0664, OWN_GROUP, 0644);
	given_by_somebody(dir, false, 0604, OWN_GROUP, 0600);
	given_by_somebody(dir, false, 02770, OWN_GROUP, 0700);
	assert_int_equal(chmod(dir, 0755), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(limits),
	    TEST(strange_lists),
	    TEST(of_files),
	    TEST(from_a_listed_one),
	    TEST(inherited),
	    TEST(taken_over),
	    TEST(by_somebody),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
