/* SPDX-License-Identifier: MIT */
/* The spool: which directories it takes, and files that have room and no
 * name. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/sys.h"
#include "core/spool.h"
#include "tests/unit/scratch.h"

struct fixture {
	char *dir;
	unsigned n_fds;
	struct still_spool_dir spool;
};

static int open_in(struct still_spool_dir *dir, const char *what,
    uint64_t bytes, int *ret_fd, struct still_error *err)
{
	struct still_spool spool = still_spool_of(dir);

	return spool.open(spool.arg, what, bytes, ret_fd, err);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	umask(022);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	still_spool_release(&f->spool);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	umount2(scratch_path(f->dir, "small"), MNT_DETACH);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* Root takes on another name until the test ends. */
static void be_a_user(struct fixture *f)
{
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(f->dir, 65534, 65534), 0);
	assert_int_equal(seteuid(65534), 0);
}

/* ---- steps --------------------------------------------------------------- */

static void init(struct fixture *f, const char *path)
{
	struct still_error err = STILL_ERROR_INIT;

	if (still_spool_init(&f->spool, path, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void refused(
    struct fixture *f, const char *path, int code, const char *why)
{
	struct still_error err = STILL_ERROR_INIT;
	char words[PATH_MAX + 128];

	snprintf(words, sizeof(words), "spool `%s`: %s", path, why);
	assert_int_equal(still_spool_init(&f->spool, path, &err), code);
	assert_string_equal(still_error_msg(&err), words);
	assert_non_null(strstr(err.hint, "spool="));
	assert_null(f->spool.path);
	still_error_clear(&err);
}

static int open_spool(struct fixture *f, uint64_t bytes)
{
	struct still_error err = STILL_ERROR_INIT;
	int fd = -1;

	if (open_in(&f->spool, "a.db", bytes, &fd, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(fd >= 0);
	return fd;
}

static void open_fails(
    struct fixture *f, uint64_t bytes, int code, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;
	int fd = -7;

	assert_int_equal(open_in(&f->spool, "a.db", bytes, &fd, &err), code);
	assert_string_equal(still_error_msg(&err), words);
	assert_non_null(strstr(err.hint, "spool="));
	assert_int_equal(fd, -7);
	still_error_clear(&err);
	assert_int_equal(scratch_count_fds(), f->n_fds);
}

static bool is_empty(const char *path)
{
	return rmdir(path) == 0 && mkdir(path, 0700) == 0;
}

/* ---- the directory ------------------------------------------------------- */

static void given(void **state)
{
	struct fixture *f = *state;

	/* As the user named it, and by a link: it is resolved. */
	assert_int_equal(mkdir(scratch_path(f->dir, "real"), 0700), 0);
	assert_int_equal(symlink("real", scratch_path(f->dir, "link")), 0);
	init(f, scratch_path(f->dir, "link"));
	assert_string_equal(f->spool.path, scratch_path(f->dir, "real"));
	still_spool_release(&f->spool);
	assert_null(f->spool.path);
	/* A group may write to it. */
	assert_int_equal(chmod(scratch_path(f->dir, "real"), 0770), 0);
	init(f, scratch_path(f->dir, "real"));
	assert_true(is_empty(scratch_path(f->dir, "real")));
}

static void refusals(void **state)
{
	struct fixture *f = *state;
	const char *path;

	refused(f, scratch_path(f->dir, "none"), STILL_ERR_NOTFOUND,
	    "No such file or directory");
	path = scratch_path(f->dir, "file");
	assert_int_equal(scratch_write(path, "", 0), 0);
	refused(f, path, STILL_ERR_INVALID, "not a directory");
	path = scratch_path(f->dir, "open");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0703), 0);
	refused(f, path, STILL_ERR_INVALID, "everybody may write to it");
	assert_int_equal(chmod(path, 01777), 0);
	refused(f, path, STILL_ERR_INVALID, "everybody may write to it");
}

/* Who is not root is told of the wrong owner first. */
static void without_nameless_files(void **state)
{
	if (geteuid() != 0)
		skip();
	refused(*state, "/proc", STILL_ERR_UNSUPPORTED,
	    "its file system has no files without a name");
}

static void not_ours(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_path(f->dir, "theirs");

	be_a_user(f);
	assert_int_equal(mkdir(path, 0500), 0);
	refused(f, path, STILL_ERR_ACCESS, "Permission denied");
}

/* Nobody is asked before a copy is needed: then it is made. */
static void by_default(void **state)
{
	static const char *const dirs[] = {
	    "state/stillfs/spool", "state/stillfs", "state"};
	struct fixture *f = *state;
	struct stat st;
	int fd;

	/* Root's is no test's to write to. */
	be_a_user(f);
	setenv("XDG_STATE_HOME", scratch_path(f->dir, "state"), 1);
	umask(0);
	init(f, NULL);
	assert_null(f->spool.path);
	assert_int_equal(access(scratch_path(f->dir, "state"), F_OK), -1);
	for (int i = 0; i < 2; i++) {
		fd = open_spool(f, 1000);
		close(fd);
	}
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(stat(scratch_path(f->dir, dirs[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
	unsetenv("XDG_STATE_HOME");
	/* One that is no path counts as none. */
	setenv("HOME", f->dir, 1);
	close(open_spool(f, 0));
	setenv("XDG_STATE_HOME", "relative", 1);
	close(open_spool(f, 0));
	assert_int_equal(
	    access(scratch_path(f->dir, ".local/state/stillfs/spool"), F_OK),
	    0);
	unsetenv("HOME");
	open_fails(f, 0, STILL_ERR_INVALID,
	    "spool: there is no home directory to have it in");
}

static void by_default_barred(void **state)
{
	struct fixture *f = *state;
	char words[PATH_MAX + 64];

	be_a_user(f);
	setenv("XDG_STATE_HOME", scratch_path(f->dir, "file"), 1);
	assert_int_equal(scratch_write(scratch_path(f->dir, "file"), "", 0), 0);
	init(f, NULL);
	snprintf(words, sizeof(words), "spool `%s`: Not a directory",
	    scratch_path(f->dir, "file/stillfs/spool"));
	open_fails(f, 0, STILL_ERR_NOTFOUND, words);
}

/* It was good when it was looked at. */
static void gone_meanwhile(void **state)
{
	struct fixture *f = *state;
	char words[PATH_MAX + 64];

	assert_int_equal(mkdir(scratch_path(f->dir, "spool"), 0700), 0);
	init(f, scratch_path(f->dir, "spool"));
	assert_int_equal(rmdir(scratch_path(f->dir, "spool")), 0);
	snprintf(words, sizeof(words), "spool `%s`: No such file or directory",
	    scratch_path(f->dir, "spool"));
	open_fails(f, 10, STILL_ERR_NOTFOUND, words);
	assert_int_equal(access(scratch_path(f->dir, "spool"), F_OK), -1);
}

/* ---- the file ------------------------------------------------------------ */

static void nameless(void **state)
{
	struct fixture *f = *state;
	const uint64_t sizes[] = {0, 1, 100000, 3 * 1024 * 1024};

	assert_int_equal(mkdir(scratch_path(f->dir, "spool"), 0700), 0);
	init(f, scratch_path(f->dir, "spool"));
	umask(0);
	for (size_t i = 0; i < 4; i++) {
		int fd = open_spool(f, sizes[i]);
		struct stat st;

		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_nlink, 0);
		assert_int_equal(st.st_mode, S_IFREG | 0600);
		assert_int_equal(st.st_uid, geteuid());
		/* Its blocks are there. */
		assert_true((uint64_t) st.st_blocks * 512 >= sizes[i]);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(pwrite(fd, "x", 1, 0), 1);
		/* And nobody gives it a name. */
		assert_int_equal(
		    linkat(fd, "", AT_FDCWD, scratch_path(f->dir, "name"),
			AT_EMPTY_PATH),
		    -1);
		assert_true(is_empty(scratch_path(f->dir, "spool")));
		close(fd);
	}
}

static int no_blocks;

static int fail_allocate(enum still_sys_call call)
{
	return call == STILL_SYS_ALLOCATE ? no_blocks : 0;
}

static void no_room_words(
    struct fixture *f, const char *dir, uint64_t bytes, char *words, size_t len)
{
	struct statvfs vfs;

	(void) f;
	assert_int_equal(statvfs(dir, &vfs), 0);
	snprintf(words, len,
	    "spool `%s`: a private copy of `a.db` takes %llu bytes, and %llu "
	    "are free",
	    dir, (unsigned long long) bytes,
	    (unsigned long long) vfs.f_bavail * vfs.f_frsize);
}

/* Somebody else took the room between the question and the blocks. */
static void no_blocks_left(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	int fd = -7;

	init(f, f->dir);
	still_sys_fault = fail_allocate;
	no_blocks = ENOSPC;
	assert_int_equal(
	    open_in(&f->spool, "a.db", 1000, &fd, &err), STILL_ERR_NOSPACE);
	assert_int_equal(err.sys_errno, ENOSPC);
	assert_non_null(strstr(still_error_msg(&err),
	    "a private copy of `a.db` takes 1000 bytes, and "));
	still_error_clear(&err);
	assert_int_equal(fd, -7);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	/* An empty one needs none. */
	close(open_spool(f, 0));
	/* A file system that cannot promise blocks was asked how many it has:
	 * that must do. */
	no_blocks = EOPNOTSUPP;
	close(open_spool(f, 1000));
}

static void no_room(void **state)
{
	struct fixture *f = *state;
	char words[PATH_MAX + 128];
	const char *path = scratch_path(f->dir, "small");
	uint64_t much = UINT64_C(1) << 60;

	/* More than any disk has. */
	init(f, f->dir);
	{
		struct still_error err = STILL_ERROR_INIT;
		int fd = -7;

		assert_int_equal(open_in(&f->spool, "a.db", much, &fd, &err),
		    STILL_ERR_NOSPACE);
		still_error_clear(&err);
		assert_int_equal(scratch_count_fds(), f->n_fds);
	}
	still_spool_release(&f->spool);

	assert_int_equal(mkdir(path, 0700), 0);
	if (mount("small", path, "tmpfs", 0, "size=64k,mode=700") != 0)
		skip();
	init(f, path);
	no_room_words(f, path, 65537, words, sizeof(words));
	assert_non_null(strstr(words, "and 65536 are free"));
	open_fails(f, 65537, STILL_ERR_NOSPACE, words);
	close(open_spool(f, 65536));
	{
		int fd = open_spool(f, 40000);

		/* What is promised to one is not there for another. */
		no_room_words(f, path, 40000, words, sizeof(words));
		f->n_fds++;
		open_fails(f, 40000, STILL_ERR_NOSPACE, words);
		f->n_fds--;
		close(fd);
	}
	close(open_spool(f, 40000));
}

/* ---- room that is taken bit by bit --------------------------------------- */

static int try_take(struct fixture *f, uint64_t bytes, struct still_error *err)
{
	struct still_spool spool = still_spool_of(&f->spool);

	return spool.take(spool.arg, "a.db", bytes, err);
}

static void take(struct fixture *f, uint64_t bytes)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_take(f, bytes, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void give(struct fixture *f, uint64_t bytes)
{
	struct still_spool spool = still_spool_of(&f->spool);

	spool.give(spool.arg, bytes);
}

static uint64_t used(struct fixture *f)
{
	return atomic_load(&f->spool.used_bytes);
}

/* Refused, by these words, and nothing is counted for it. */
static void take_fails(
    struct fixture *f, uint64_t bytes, const char *words, const char *hint)
{
	struct still_error err = STILL_ERROR_INIT;
	uint64_t before = used(f);

	assert_int_equal(try_take(f, bytes, &err), STILL_ERR_NOSPACE);
	assert_string_equal(still_error_msg(&err), words);
	assert_string_equal(err.hint, hint);
	still_error_clear(&err);
	assert_int_equal(used(f), before);
}

static void over_max(
    struct fixture *f, uint64_t bytes, uint64_t taken, uint64_t max)
{
	char words[256];

	snprintf(words, sizeof(words),
	    "spool: a private copy of `a.db` takes %llu bytes, %llu are taken "
	    "already, and `spool_max` allows %llu",
	    (unsigned long long) bytes, (unsigned long long) taken,
	    (unsigned long long) max);
	take_fails(f, bytes, words, "Raise `spool_max`.");
}

/* Files and what grows count together. */
static void limited(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	int fd;
	int none = -7;

	init(f, f->dir);
	f->spool.max_bytes = 100000;
	take(f, 0);
	take(f, 60000);
	over_max(f, 40001, 60000, 100000);
	over_max(f, UINT64_MAX, 60000, 100000);
	take(f, 40000);
	over_max(f, 1, 100000, 100000);
	take(f, 0);
	give(f, 70000);
	fd = open_spool(f, 70000);
	assert_int_equal(used(f), 100000);
	over_max(f, 1, 100000, 100000);
	/* Who closes a file gives its room back. */
	close(fd);
	over_max(f, 1, 100000, 100000);
	give(f, 70000);
	take(f, 1);
	assert_int_equal(
	    open_in(&f->spool, "a.db", 70000, &none, &err), STILL_ERR_NOSPACE);
	assert_string_equal(still_error_msg(&err),
	    "spool: a private copy of `a.db` takes 70000 bytes, 30001 are "
	    "taken already, and `spool_max` allows 100000");
	still_error_clear(&err);
	assert_int_equal(none, -7);
	assert_int_equal(used(f), 30001);
	give(f, 30001);
}

/* No file, no count: whatever it was that failed. */
static void failed_is_not_counted(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	int fd = -7;

	init(f, f->dir);
	still_sys_fault = fail_allocate;
	no_blocks = ENOSPC;
	assert_int_equal(
	    open_in(&f->spool, "a.db", 1000, &fd, NULL), STILL_ERR_NOSPACE);
	assert_int_equal(used(f), 0);
	still_sys_fault = NULL;
	assert_int_equal(
	    open_in(&f->spool, "a.db", UINT64_C(1) << 60, &fd, NULL),
	    STILL_ERR_NOSPACE);
	assert_int_equal(used(f), 0);
	assert_int_equal(
	    try_take(f, UINT64_C(1) << 60, &err), STILL_ERR_NOSPACE);
	still_error_clear(&err);
	assert_int_equal(used(f), 0);
	still_spool_release(&f->spool);
	f->spool.path = strdup(scratch_path(f->dir, "none"));
	assert_int_equal(
	    open_in(&f->spool, "a.db", 1000, &fd, NULL), STILL_ERR_NOTFOUND);
	assert_int_equal(used(f), 0);
	assert_int_equal(fd, -7);
}

/* A tenth of the disk is the application's, unless somebody set a limit; what is
 * copied at once may have it. */
static void spare_tenth(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_path(f->dir, "small");
	const uint64_t size = 1000 * 4096;
	char words[PATH_MAX + 128];
	int fd;

	assert_int_equal(mkdir(path, 0700), 0);
	if (mount("small", path, "tmpfs", 0, "size=4096000,mode=700") != 0)
		skip();
	init(f, path);
	no_room_words(f, path, size / 10 * 9 + 1, words, sizeof(words));
	take_fails(f, size / 10 * 9 + 1, words,
	    "Make room there, or name another directory with `spool=`.");
	/* It looks at the disk, so what is taken and not written is not seen. */
	take(f, size / 10 * 9);
	give(f, size / 10 * 9);
	fd = open_spool(f, size / 10 * 4);
	give(f, size / 10 * 4);
	take(f, size / 10 * 5);
	give(f, size / 10 * 5);
	no_room_words(f, path, size / 10 * 5 + 1, words, sizeof(words));
	take_fails(f, size / 10 * 5 + 1, words,
	    "Make room there, or name another directory with `spool=`.");
	close(fd);
	/* All of it, by a copy that is made at once. */
	close(open_spool(f, size));
	give(f, size);
	/* Or up to the limit, where there is one. */
	f->spool.max_bytes = 10 * size;
	take(f, size);
	give(f, size);
	no_room_words(f, path, size + 1, words, sizeof(words));
	take_fails(f, size + 1, words,
	    "Make room there, or name another directory with `spool=`.");
	assert_int_equal(used(f), 0);
}

/* Two engines have one spool: a limit holds for both. */
static void two_users(void **state)
{
	struct fixture *f = *state;
	struct still_spool one;
	struct still_spool two;

	init(f, f->dir);
	f->spool.max_bytes = 1000;
	one = still_spool_of(&f->spool);
	two = still_spool_of(&f->spool);
	assert_int_equal(one.take(one.arg, "a.db", 700, NULL), 0);
	assert_int_equal(
	    two.take(two.arg, "b.db", 301, NULL), STILL_ERR_NOSPACE);
	assert_int_equal(two.take(two.arg, "b.db", 300, NULL), 0);
	one.give(one.arg, 700);
	assert_int_equal(used(f), 300);
	assert_int_equal(two.take(two.arg, "b.db", 700, NULL), 0);
	two.give(two.arg, 1000);
	assert_int_equal(used(f), 0);
}

#define USERS 4
#define TURNS 5000
#define USER_BYTES 300
#define LIMIT_BYTES 1000

struct user {
	struct fixture *f;
	atomic_uint *n_having; /* users that have room */
	bool too_many;
	pthread_t thread;
};

static void *take_and_give(void *arg)
{
	struct user *user = arg;

	for (unsigned n = 0; n < TURNS;) {
		if (try_take(user->f, USER_BYTES, NULL) != 0) {
			sched_yield();
			continue;
		}
		n++;
		if (atomic_fetch_add(user->n_having, 1) >=
		    LIMIT_BYTES / USER_BYTES)
			user->too_many = true;
		atomic_fetch_sub(user->n_having, 1);
		give(user->f, USER_BYTES);
	}
	return NULL;
}

/* Room for three, and four want it: each has it often, never all at once. */
static void threads(void **state)
{
	struct fixture *f = *state;
	struct user users[USERS];
	atomic_uint n_having;

	init(f, f->dir);
	f->spool.max_bytes = LIMIT_BYTES;
	atomic_init(&n_having, 0);
	for (int i = 0; i < USERS; i++) {
		users[i] = (struct user){.f = f, .n_having = &n_having};
		assert_int_equal(pthread_create(&users[i].thread, NULL,
				     take_and_give, &users[i]),
		    0);
	}
	for (int i = 0; i < USERS; i++) {
		assert_int_equal(pthread_join(users[i].thread, NULL), 0);
		assert_false(users[i].too_many);
	}
	assert_int_equal(used(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(given),
	    TEST(refusals),
	    TEST(without_nameless_files),
	    TEST(not_ours),
	    TEST(by_default),
	    TEST(by_default_barred),
	    TEST(gone_meanwhile),
	    TEST(nameless),
	    TEST(no_blocks_left),
	    TEST(no_room),
	    TEST(limited),
	    TEST(failed_is_not_counted),
	    TEST(spare_tenth),
	    TEST(two_users),
	    TEST(threads),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
