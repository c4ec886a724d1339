/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "fs/readers.h"
#include "tests/unit/scratch.h"

static struct fs_readers readers;

static int setup(void **state)
{
	(void) state;
	fs_readers_init(&readers);
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	pthread_mutex_destroy(&readers.lock);
	return 0;
}

/* A process that does nothing until it is ended. */
static pid_t child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void late(void **state)
{
	pid_t one = child();
	pid_t two = child();

	(void) state;
	assert_false(fs_readers_is_late(&readers, one, 1));
	fs_readers_join(&readers, one, 1);
	assert_false(fs_readers_is_late(&readers, one, 1));
	assert_true(fs_readers_is_late(&readers, one, 2));
	assert_true(fs_readers_is_late(&readers, one, 7));
	/* Who was never there is nobody's reader. */
	assert_false(fs_readers_is_late(&readers, two, 2));
	fs_readers_join(&readers, two, 2);
	assert_false(fs_readers_is_late(&readers, two, 2));
	assert_true(fs_readers_is_late(&readers, one, 2));
	end(one);
	end(two);
}

static void anew(void **state)
{
	pid_t one = child();

	(void) state;
	fs_readers_join(&readers, one, 1);
	fs_readers_forget(&readers, one, 2);
	assert_false(fs_readers_is_late(&readers, one, 2));
	fs_readers_join(&readers, one, 2);
	assert_false(fs_readers_is_late(&readers, one, 2));
	assert_true(fs_readers_is_late(&readers, one, 3));
	end(one);
}

/* Who reads in the present session and opens what it has of a former one. */
static void looking_back(void **state)
{
	pid_t one = child();

	(void) state;
	fs_readers_join(&readers, one, 1);
	fs_readers_forget(&readers, one, 2);
	fs_readers_join(&readers, one, 2);
	fs_readers_forget(&readers, one, 2);
	assert_true(fs_readers_is_late(&readers, one, 3));
	end(one);
}

static void nobody(void **state)
{
	(void) state;
	fs_readers_join(&readers, 0, 1);
	fs_readers_forget(&readers, 0, 2);
	assert_false(fs_readers_is_late(&readers, 0, 2));
	/* One that is not there any more. */
	fs_readers_join(&readers, 0x3ffffffe, 1);
	assert_false(fs_readers_is_late(&readers, 0x3ffffffd, 2));
}

struct thread {
	pid_t id;
	int ready[2];
	int go[2];
};

static void *idle(void *arg)
{
	struct thread *thread = arg;
	char byte = 0;

	thread->id = (pid_t) syscall(SYS_gettid);
	if (write(thread->ready[1], &byte, 1) != 1 ||
	    read(thread->go[0], &byte, 1) != 0)
		abort();
	return NULL;
}

/* One thread reads on where another has begun. */
static void threads(void **state)
{
	struct thread thread;
	pthread_t handle;
	char byte;

	(void) state;
	assert_int_equal(pipe(thread.ready), 0);
	assert_int_equal(pipe(thread.go), 0);
	assert_int_equal(pthread_create(&handle, NULL, idle, &thread), 0);
	assert_int_equal(read(thread.ready[0], &byte, 1), 1);
	assert_int_not_equal(thread.id, getpid());
	fs_readers_join(&readers, thread.id, 1);
	assert_true(fs_readers_is_late(&readers, getpid(), 2));
	close(thread.go[1]);
	pthread_join(handle, NULL);
	close(thread.go[0]);
	close(thread.ready[0]);
	close(thread.ready[1]);
}

/* The same process number, and another process: pids are used again. */
static void another_process(void **state)
{
	pid_t one = child();

	(void) state;
	fs_readers_join(&readers, one, 1);
	for (size_t i = 0; i < FS_READERS_MAX; i++)
		if (readers.readers[i].process == one)
			readers.readers[i].start_ticks--;
	assert_false(fs_readers_is_late(&readers, one, 2));
	end(one);
}

/* A thread that is new may have the number of one that is gone: what is known of
 * that is believed for a moment only. */
static void another_thread(void **state)
{
	struct fs_reader_thread *seen;
	pid_t one = child();

	(void) state;
	fs_readers_join(&readers, one, 1);
	seen = &readers.threads[(unsigned) one % FS_READER_THREADS];
	seen->epoch = 2;
	/* However long this takes. */
	seen->seen_at_ns += INT64_C(1000000000000);
	assert_false(fs_readers_is_late(&readers, one, 2));
	assert_true(fs_readers_is_late(&readers, one, 3));
	seen->seen_at_ns = still_sys_monotonic_ns() - FS_READER_FRESH_NS;
	assert_true(fs_readers_is_late(&readers, one, 2));
	/* It takes part now, which is noticed though its number was seen. */
	fs_readers_join(&readers, one, 2);
	assert_false(fs_readers_is_late(&readers, one, 2));
	seen->seen_at_ns = 0;
	assert_false(fs_readers_is_late(&readers, one, 2));
	assert_true(fs_readers_is_late(&readers, one, 3));
	end(one);
}

/* The oldest are forgotten, the last are not. */
static void many(void **state)
{
	pid_t one = child();

	(void) state;
	fs_readers_join(&readers, one, 1);
	for (int i = 0; i < FS_READERS_MAX; i++)
		fs_readers_join(&readers, 0x3f000000 + i, 1);
	assert_false(fs_readers_is_late(&readers, one, 2));
	assert_true(fs_readers_is_late(&readers, 0x3f000000, 2));
	end(one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
	    TEST(late),
	    TEST(anew),
	    TEST(looking_back),
	    TEST(nobody),
	    TEST(threads),
	    TEST(another_process),
	    TEST(another_thread),
	    TEST(many),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
