/* SPDX-License-Identifier: MIT */
/* The private copy: prepared without a lock, taken under it, of a file that
 * changes in between. */
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
#include "core/spool.h"
#include "engines/sqlite/private.h"
#include "tests/unit/scratch.h"

#define MIB ((size_t) 1024 * 1024)
#define NEVER INT64_MAX

struct fixture {
	char *dir;
	unsigned n_fds;
	struct still_spool_dir spool;
	int source_fd;
	uint64_t random;
	atomic_bool cancel;
	struct sqlite_private private;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->spool.path = f->dir;
	f->source_fd = open(
	    scratch_path(f->dir, "a.db"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	f->random = 4711;
	f->private = (struct sqlite_private) SQLITE_PRIVATE_INIT;
	*state = f;
	return f->source_fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	sqlite_private_release(&f->private);
	sqlite_private_release(&f->private);
	close(f->source_fd);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

/* The source is `len` bytes now, all of them others than before. */
static void fill(struct fixture *f, size_t len)
{
	uint64_t *words = malloc(len + sizeof(*words));

	assert_non_null(words);
	for (size_t i = 0; i <= len / sizeof(*words); i++)
		words[i] = scratch_random(&f->random);
	assert_int_equal(pwrite(f->source_fd, words, len, 0), len);
	assert_int_equal(ftruncate(f->source_fd, (off_t) len), 0);
	free(words);
}

static int try_prepare(struct fixture *f, struct still_error *err)
{
	struct still_spool spool = still_spool_of(&f->spool);

	sqlite_private_release(&f->private);
	return sqlite_private_prepare(
	    &f->private, f->source_fd, "a.db", &spool, &f->cancel, err);
}

static void prepare(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_prepare(f, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(f->private.fd >= 0);
}

static int try_take(
    struct fixture *f, int64_t deadline_ns, struct still_error *err)
{
	return sqlite_private_take(
	    &f->private, f->source_fd, "a.db", deadline_ns, &f->cancel, err);
}

static void take(struct fixture *f)
{
	struct still_error err = STILL_ERROR_INIT;

	if (try_take(f, NEVER, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
}

static void prepare_fails(struct fixture *f, int code, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(try_prepare(f, &err), code);
	assert_string_equal(still_error_msg(&err), words);
	still_error_clear(&err);
	/* And nothing is left of it. */
	assert_int_equal(f->private.fd, -1);
	assert_int_equal(scratch_count_fds(), f->n_fds + 1);
}

static void take_fails(
    struct fixture *f, int64_t deadline_ns, int code, const char *words)
{
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(try_take(f, deadline_ns, &err), code);
	assert_string_equal(still_error_msg(&err), words);
	still_error_clear(&err);
}

/* The copy is what the source is, and ends where it ends. */
static void assert_copied(struct fixture *f)
{
	struct stat st;
	uint8_t *want;
	uint8_t *got;
	size_t len;

	assert_int_equal(fstat(f->source_fd, &st), 0);
	len = (size_t) st.st_size;
	assert_true(f->private.size_bytes == len);
	want = malloc(len + 1);
	got = malloc(len + 1);
	assert_non_null(want);
	assert_non_null(got);
	assert_int_equal(pread(f->source_fd, want, len + 1, 0), len);
	assert_int_equal(pread(f->private.fd, got, len + 1, 0), len);
	assert_int_equal(memcmp(want, got, len), 0);
	free(want);
	free(got);
}

/* ---- what is copied ------------------------------------------------------ */

static void sizes(void **state)
{
	static const size_t table[] = {
	    0, 1, 512, 4096, MIB - 1, MIB, MIB + 1, 5 * MIB + 77};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		fill(f, table[i]);
		prepare(f);
		/* An estimate, then what it was. */
		assert_true(table[i] == 0 || f->private.stall_ns > 0);
		f->private.stall_ns = 0;
		take(f);
		assert_true(f->private.stall_ns > 0);
		assert_copied(f);
	}
}

static unsigned n_syncs;

/* In the place of the C library's. */
int fdatasync(int fd)
{
	n_syncs++;
	return fsync(fd);
}

/* The application's file is flushed for a clone, and for nothing else. */
static void not_flushed(void **state)
{
	struct fixture *f = *state;

	fill(f, 40 * MIB);
	n_syncs = 0;
	prepare(f);
	assert_int_equal(n_syncs, f->private.clone ? 1 : 0);
}

/* What can share blocks may be cloned; a copy it is all the same. */
static void large(void **state)
{
	struct fixture *f = *state;

	fill(f, 40 * MIB);
	prepare(f);
	assert_true(f->private.stall_ns > 0);
	take(f);
	assert_copied(f);
	fill(f, 40 * MIB);
	prepare(f);
	fill(f, 41 * MIB);
	take(f);
	assert_copied(f);
}

static void changed(void **state)
{
	struct fixture *f = *state;

	fill(f, 3 * MIB);
	prepare(f);
	fill(f, 3 * MIB);
	take(f);
	assert_copied(f);
}

static void grown(void **state)
{
	struct fixture *f = *state;

	fill(f, 0);
	prepare(f);
	fill(f, 2 * MIB);
	take(f);
	assert_copied(f);
	/* It may be taken again: a cut has more than one try. */
	fill(f, 4 * MIB + 1);
	take(f);
	assert_copied(f);
}

/* Nothing of what was copied without a lock is left behind the end: it would
 * be served where the database is cut short. */
static void shrunk(void **state)
{
	struct fixture *f = *state;

	fill(f, 4 * MIB);
	prepare(f);
	fill(f, MIB + 512);
	take(f);
	assert_copied(f);
	fill(f, 0);
	take(f);
	assert_copied(f);
}

/* ---- what fails ---------------------------------------------------------- */

static void too_late(void **state)
{
	static const char words[] =
	    "database `a.db`: its private copy took longer than `stall_ms`";
	struct fixture *f = *state;

	fill(f, 2 * MIB);
	prepare(f);
	take_fails(f, 1, STILL_ERR_AGAIN, words);
	/* The time is looked at after each piece, and not when it was the
	 * last. */
	fill(f, MIB);
	assert_int_equal(try_take(f, 1, NULL), 0);
	assert_copied(f);
}

static void cancelled(void **state)
{
	static const char words[] = "private copy of `a.db`: was stopped";
	struct fixture *f = *state;

	fill(f, 2 * MIB);
	atomic_store(&f->cancel, true);
	prepare_fails(f, STILL_ERR_CANCELLED, words);
	atomic_store(&f->cancel, false);
	prepare(f);
	atomic_store(&f->cancel, true);
	take_fails(f, NEVER, STILL_ERR_CANCELLED, words);
}

static struct {
	enum still_sys_call call;
	int n_good; /* that many succeed first */
	int sys_errno;
	int truncate_fd; /* ... and this is made empty instead */
} fault;

static int fail_one(enum still_sys_call call)
{
	if (call != fault.call || fault.n_good-- > 0)
		return 0;
	if (fault.truncate_fd >= 0)
		assert_int_equal(ftruncate(fault.truncate_fd, MIB), 0);
	return fault.sys_errno;
}

static void set_fault(enum still_sys_call call, int n_good, int sys_errno)
{
	fault.call = call;
	fault.n_good = n_good;
	fault.sys_errno = sys_errno;
	fault.truncate_fd = -1;
	still_sys_fault = fail_one;
}

static void disk_fails(void **state)
{
	static const char eio[] = "private copy of `a.db`: Input/output error";
	static const char full[] =
	    "private copy of `a.db`: No space left on device";
	struct fixture *f = *state;

	fill(f, 2 * MIB);
	set_fault(STILL_SYS_FSTAT, 0, EIO);
	prepare_fails(f, STILL_ERR_IO, eio);
	for (int n = 0; n < 4; n++) { /* two pieces, twice */
		set_fault(STILL_SYS_PREAD, n, EIO);
		prepare_fails(f, STILL_ERR_IO, eio);
		set_fault(STILL_SYS_PWRITE, n, ENOSPC);
		prepare_fails(f, STILL_ERR_NOSPACE, full);
	}
	still_sys_fault = NULL;
	prepare(f);
	set_fault(STILL_SYS_FSTAT, 0, EIO);
	take_fails(f, NEVER, STILL_ERR_IO, eio);
	for (int n = 0; n < 2; n++) {
		set_fault(STILL_SYS_PREAD, n, EIO);
		take_fails(f, NEVER, STILL_ERR_IO, eio);
		set_fault(STILL_SYS_PWRITE, n, ENOSPC);
		take_fails(f, NEVER, STILL_ERR_NOSPACE, full);
	}
	still_sys_fault = NULL;
	take(f);
	assert_copied(f);
}

/* Cut short while it is read: before the lock that is anybody's right, under
 * it nothing can be trusted any more. */
static void cut_short(void **state)
{
	struct fixture *f = *state;

	fill(f, 4 * MIB);
	set_fault(STILL_SYS_PREAD, 1, 0);
	fault.truncate_fd = f->source_fd;
	prepare(f);
	still_sys_fault = NULL;
	fill(f, 4 * MIB);
	set_fault(STILL_SYS_PREAD, 1, 0);
	fault.truncate_fd = f->source_fd;
	take_fails(f, NEVER, STILL_ERR_IO,
	    "private copy of `a.db`: Input/output error");
}

static void no_room(void **state)
{
	struct fixture *f = *state;
	struct still_error err = STILL_ERROR_INIT;

	fill(f, 2 * MIB);
	set_fault(STILL_SYS_ALLOCATE, 0, ENOSPC);
	assert_int_equal(try_prepare(f, &err), STILL_ERR_NOSPACE);
	assert_non_null(strstr(still_error_msg(&err),
	    ": a private copy of `a.db` takes 2097152 bytes, and "));
	still_error_clear(&err);
	assert_int_equal(f->private.fd, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(sizes),
	    TEST(not_flushed),
	    TEST(large),
	    TEST(changed),
	    TEST(grown),
	    TEST(shrunk),
	    TEST(too_late),
	    TEST(cancelled),
	    TEST(disk_fails),
	    TEST(cut_short),
	    TEST(no_room),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
