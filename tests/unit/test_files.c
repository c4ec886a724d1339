/* SPDX-License-Identifier: MIT */
/* The registry of descriptors, and the locks that it is there for. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/sqlite/files.h"
#include "tests/unit/scratch.h"

struct fixture {
	char *dir;
	int dirfd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return f->dirfd < 0 ||
		scratch_write(scratch_path(f->dir, "a"), "AAAA", 4) != 0 ||
		scratch_write(scratch_path(f->dir, "b"), "BBBB", 4) != 0
	    ? -1
	    : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->dirfd);
	scratch_remove(f->dir);
	free(f);
	still_sys_fault = NULL;
	return sqlite_files_open_count() == 0 ? 0 : -1;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ---- references ---------------------------------------------------------- */

static void opens_and_closes(void **state)
{
	struct fixture *f = *state;
	struct sqlite_file *file = NULL;
	struct stat st;
	char text[4];
	int fd;

	assert_int_equal(sqlite_file_open(f->dirfd, "a", &file, &st, NULL), 0);
	fd = sqlite_file_fd(file);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(pread(fd, text, 4, 0), 4);
	assert_memory_equal(text, "AAAA", 4);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(sqlite_files_open_count(), 1);
	sqlite_file_close(file);
	assert_int_equal(sqlite_files_open_count(), 0);
	assert_false(is_open(fd));
	sqlite_file_close(NULL);
}

static void same_inode_same_descriptor(void **state)
{
	struct fixture *f = *state;
	struct sqlite_file *one = NULL;
	struct sqlite_file *two = NULL;
	struct sqlite_file *link_of_one = NULL;
	struct sqlite_file *other = NULL;
	struct stat st = {0};
	int fd;

	assert_int_equal(
	    link(scratch_path(f->dir, "a"), scratch_path(f->dir, "hard")), 0);
	assert_int_equal(sqlite_file_open(f->dirfd, "a", &one, NULL, NULL), 0);
	assert_int_equal(sqlite_file_open(f->dirfd, "a", &two, &st, NULL), 0);
	assert_int_equal(
	    sqlite_file_open(f->dirfd, "hard", &link_of_one, NULL, NULL), 0);
	assert_int_equal(
	    sqlite_file_open(f->dirfd, "b", &other, NULL, NULL), 0);
	fd = sqlite_file_fd(one);
	assert_int_equal(sqlite_file_fd(two), fd);
	assert_int_equal(sqlite_file_fd(link_of_one), fd);
	assert_int_not_equal(sqlite_file_fd(other), fd);
	assert_int_equal(st.st_nlink, 2);
	assert_true(sqlite_file_shared(one));
	assert_false(sqlite_file_shared(other));
	assert_int_equal(sqlite_files_open_count(), 2);

	sqlite_file_close(one);
	assert_true(is_open(fd));
	sqlite_file_close(link_of_one);
	assert_true(is_open(fd));
	assert_false(sqlite_file_shared(two));
	assert_int_equal(sqlite_file_fd(two), fd);
	sqlite_file_close(two);
	assert_false(is_open(fd));
	assert_true(is_open(sqlite_file_fd(other)));
	sqlite_file_close(other);
}

/* A name that gets another file leads to that file, and the old one stays. */
static void replaced_file(void **state)
{
	struct fixture *f = *state;
	struct sqlite_file *old = NULL;
	struct sqlite_file *new = NULL;
	char text[4];

	assert_int_equal(sqlite_file_open(f->dirfd, "a", &old, NULL, NULL), 0);
	assert_int_equal(
	    rename(scratch_path(f->dir, "b"), scratch_path(f->dir, "a")), 0);
	assert_int_equal(sqlite_file_open(f->dirfd, "a", &new, NULL, NULL), 0);
	assert_ptr_not_equal(old, new);
	assert_int_equal(pread(sqlite_file_fd(old), text, 4, 0), 4);
	assert_memory_equal(text, "AAAA", 4);
	assert_int_equal(pread(sqlite_file_fd(new), text, 4, 0), 4);
	assert_memory_equal(text, "BBBB", 4);
	sqlite_file_close(old);
	sqlite_file_close(new);
}

/* ---- refusals ------------------------------------------------------------ */

static void refused(
    struct fixture *f, const char *name, int code, const char *message)
{
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_file *file = NULL;
	unsigned n_fds = scratch_count_fds();

	assert_int_equal(
	    sqlite_file_open(f->dirfd, name, &file, NULL, &err), code);
	assert_null(file);
	assert_non_null(strstr(still_error_msg(&err), name));
	assert_non_null(strstr(still_error_msg(&err), message));
	still_error_clear(&err);
	assert_int_equal(scratch_count_fds(), n_fds);
}

static void only_regular_files(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(scratch_path(f->dir, "dir"), 0755), 0);
	assert_int_equal(mkfifo(scratch_path(f->dir, "fifo"), 0644), 0);
	refused(f, "dir", STILL_ERR_INVALID, "not a regular file");
	/* Without O_NONBLOCK this would wait for a writer. */
	refused(f, "fifo", STILL_ERR_INVALID, "not a regular file");
	refused(f, "none", STILL_ERR_NOTFOUND, "No such file");
}

static void links_not_followed(void **state)
{
	struct fixture *f = *state;
	char outside[PATH_MAX];

	assert_int_equal(mkdir(scratch_path(f->dir, "dir"), 0755), 0);
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, "dir/c"), "C", 1), 0);
	assert_int_equal(symlink("a", scratch_path(f->dir, "link")), 0);
	assert_int_equal(symlink("dir", scratch_path(f->dir, "dirlink")), 0);
	refused(f, "link", STILL_ERR_INVALID, "not a regular file");
	refused(f, "dirlink/c", STILL_ERR_IO, "symbolic link");
	snprintf(outside, sizeof(outside), "../%s/a", still_path_base(f->dir));
	refused(f, outside, STILL_ERR_IO, "cross-device");
}

/* The link must not be followed even by one who knows the inode already. */
static void link_to_open_file(void **state)
{
	struct fixture *f = *state;
	struct sqlite_file *file = NULL;

	assert_int_equal(symlink("a", scratch_path(f->dir, "link")), 0);
	assert_int_equal(sqlite_file_open(f->dirfd, "a", &file, NULL, NULL), 0);
	refused(f, "link", STILL_ERR_INVALID, "not a regular file");
	sqlite_file_close(file);
}

static enum still_sys_call failing;

static int fail_with_eio(enum still_sys_call call)
{
	return call == failing ? EIO : 0;
}

static void failing_calls(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;
	struct sqlite_file *file = NULL;

	still_sys_fault = fail_with_eio;
	failing = STILL_SYS_OPEN;
	refused(f, "a", STILL_ERR_IO, "Input/output error");
	/* Of a file that cannot be examined it is not known whether its locks
	 * matter, so its descriptor is leaked on purpose. */
	failing = STILL_SYS_FSTAT;
	assert_int_equal(
	    sqlite_file_open(f->dirfd, "a", &file, NULL, &err), STILL_ERR_IO);
	assert_non_null(strstr(still_error_msg(&err), "Input/output error"));
	still_error_clear(&err);
	still_sys_fault = NULL;
	assert_int_equal(sqlite_files_open_count(), 0);
}

/* ---- locks --------------------------------------------------------------- */

static struct flock whole_file(short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

/* Is there a lock of this process on `path`? Asked by another process, because
 * nobody is in his own way. */
static bool locked_by_us(const char *path)
{
	pid_t parent = getpid();
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		struct flock lock = whole_file(F_WRLCK);
		int fd = open(path, O_RDWR);

		if (fd < 0 || fcntl(fd, F_GETLK, &lock) != 0)
			_exit(2);
		_exit(lock.l_type != F_UNLCK && lock.l_pid == parent);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 2);
	return WEXITSTATUS(status) == 1;
}

/* As SQLite does: a descriptor of its own, and a lock through it. */
static int lock_file(const char *path)
{
	struct flock lock = whole_file(F_RDLCK);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETLK, &lock), 0);
	assert_true(locked_by_us(path));
	return fd;
}

static void locks_survive_the_registry(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_path(f->dir, "a");
	struct sqlite_file *held = NULL;
	int fd;

	assert_int_equal(sqlite_file_open(f->dirfd, "a", &held, NULL, NULL), 0);
	fd = lock_file(path);
	for (int i = 0; i < 3; i++) {
		struct sqlite_file *again = NULL;

		assert_int_equal(
		    sqlite_file_open(f->dirfd, "a", &again, NULL, NULL), 0);
		sqlite_file_close(again);
		assert_true(locked_by_us(path));
	}
	/* Other files come and go without a trace. */
	for (int i = 0; i < 3; i++) {
		struct sqlite_file *other = NULL;

		assert_int_equal(
		    sqlite_file_open(f->dirfd, "b", &other, NULL, NULL), 0);
		sqlite_file_close(other);
		assert_true(locked_by_us(path));
	}
	close(fd);
	sqlite_file_close(held);
}

/* The negative control: what the registry is there to prevent does happen. */
static void locks_do_not_survive_close(void **state)
{
	struct fixture *f = *state;
	const char *path = scratch_path(f->dir, "a");
	int fd = lock_file(path);

	close(open(path, O_RDONLY | O_CLOEXEC));
	assert_false(locked_by_us(path));
	close(fd);
}

/* ---- threads ------------------------------------------------------------- */

struct crowd {
	struct fixture *fixture;
	atomic_uint failures;
};

static void *open_and_close(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; i < 500; i++) {
		bool a = i % 2;
		struct sqlite_file *file = NULL;
		char byte = 0;

		if (sqlite_file_open(crowd->fixture->dirfd, a ? "a" : "b",
			&file, NULL, NULL) != 0 ||
		    pread(sqlite_file_fd(file), &byte, 1, 0) != 1 ||
		    byte != (a ? 'A' : 'B'))
			atomic_fetch_add(&crowd->failures, 1);
		sqlite_file_close(file);
	}
	return NULL;
}

static void threads(void **state)
{
	struct crowd crowd = {.fixture = *state};
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(
		    pthread_create(&thread[i], NULL, open_and_close, &crowd),
		    0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(atomic_load(&crowd.failures), 0);
	assert_int_equal(sqlite_files_open_count(), 0);
}

/* What the kernel says of this process's table of descriptors. */
static unsigned table_size(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned size = 0;
	char line[256];

	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "FDSize: %u", &size) == 1)
			break;
	fclose(status);
	return size;
}

static void room_for_many(void **state)
{
	struct fixture *f = *state;
	unsigned before = table_size();

	assert_in_range(before, 1, 900);
	sqlite_files_reserve(f->dirfd, before);
	assert_int_equal(table_size(), before);
	sqlite_files_reserve(f->dirfd, 1000);
	assert_in_range(table_size(), 1000, 1U << 20);
	/* It took the highest of them, and gave it back. */
	assert_int_equal(fcntl(999, F_GETFD), -1);
	/* More than there may be is no failure. */
	sqlite_files_reserve(f->dirfd, INT_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(opens_and_closes),
	    TEST(same_inode_same_descriptor),
	    TEST(replaced_file),
	    TEST(only_regular_files),
	    TEST(links_not_followed),
	    TEST(link_to_open_file),
	    TEST(failing_calls),
	    TEST(locks_survive_the_registry),
	    TEST(locks_do_not_survive_close),
	    TEST(threads),
	    TEST(room_for_many),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
