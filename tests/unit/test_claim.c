/* SPDX-License-Identifier: MIT */
/* One session at a time: the locks of instances, and of their neighbours. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "base/sys.h"
#include "core/claim.h"
#include "core/holder.h"
#include "tests/lib/chronicle.h"
#include "tests/unit/scratch.h"

#define SOURCE "/srv/shop"

struct fixture {
	char *dir;
	unsigned n_fds;
	struct still_catalog *catalog;
	struct still_lock lock;
};

static struct still_catalog *open_catalog(struct fixture *f, const char *name)
{
	struct still_error err = STILL_ERROR_INIT;
	struct still_catalog *catalog = NULL;

	if (still_catalog_open(
		scratch_path(f->dir, name), true, &catalog, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	return catalog;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->catalog = open_catalog(f, "state");
	f->lock.fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	still_catalog_unlock(&f->lock);
	still_catalog_close(f->catalog);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static void take(struct still_catalog *catalog, const char *source,
    const char *place, struct still_lock *ret)
{
	struct still_error err = STILL_ERROR_INIT;

	if (still_catalog_lock(
		catalog, "fake", source, "id-1", place, ret, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	assert_true(ret->fd >= 0);
	assert_true(ret->instance_id > 0);
}

static void refused_as(struct still_catalog *catalog, const char *engine,
    const char *source, int code, const char *words)
{
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(still_catalog_lock(catalog, engine, source, "id-2",
			     "/mnt/b", &lock, &err),
	    code);
	assert_string_equal(still_error_msg(&err), words);
	assert_int_equal(lock.fd, -1);
	still_error_clear(&err);
}

static void refused(
    struct still_catalog *catalog, const char *source, const char *words)
{
	refused_as(catalog, "fake", source, STILL_ERR_BUSY, words);
}

static const char *lock_path(struct fixture *f, const char *key)
{
	char hex[STILL_HASH128_HEX_CHARS + 1];
	char name[64];

	still_hash128_hex(still_hash128(key, strlen(key)), hex);
	snprintf(name, sizeof(name), "state/locks/%s", hex);
	return scratch_path(f->dir, name);
}

static void holds_text(const char *path, const char *text)
{
	char found[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, found, sizeof(found) - 1);

	assert_true(n >= 0);
	close(fd);
	found[n] = '\0';
	assert_string_equal(found, text);
}

/* ---- one instance -------------------------------------------------------- */

static void second_taker(void **state)
{
	struct fixture *f = *state;
	struct still_catalog *other = open_catalog(f, "state");
	char words[160];

	take(f->catalog, SOURCE, "/mnt/a", &f->lock);
	snprintf(words, sizeof(words),
	    "source `/srv/shop`: has a session at `/mnt/a` (process %ld)",
	    (long) getpid());
	/* By the same handle, and by another. */
	refused(f->catalog, SOURCE, words);
	refused(other, SOURCE, words);
	/* It is still held. */
	refused(other, SOURCE, words);
	still_catalog_unlock(&f->lock);
	assert_int_equal(f->lock.fd, -1);
	take(other, SOURCE, NULL, &f->lock);
	snprintf(words, sizeof(words),
	    "source `/srv/shop`: has a session (process %ld)", (long) getpid());
	refused(f->catalog, SOURCE, words);
	still_catalog_close(other);
	/* One that is not held. */
	still_catalog_unlock(&f->lock);
	still_catalog_unlock(&f->lock);
}

/* Who takes it, says so, until something comes through the pipe. */
static pid_t hold(struct fixture *f, const char *source, int ret_pipe[2])
{
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_catalog *catalog;
	char c;
	pid_t pid;

	assert_int_equal(pipe(ret_pipe), 0);
	pid = fork();
	if (pid != 0) {
		assert_true(pid > 0);
		assert_int_equal(read(ret_pipe[0], &c, 1), 1);
		return pid;
	}
	/* A connection of SQLite's does not survive a fork. */
	catalog = open_catalog(f, "state");
	take(catalog, source, "/mnt/child", &lock);
	if (write(ret_pipe[1], "x", 1) == 1)
		pause();
	_exit(0);
}

static void let_go(pid_t pid, int ends[2])
{
	int status;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(ends[0]);
	close(ends[1]);
}

static void dies_with_its_process(void **state)
{
	struct fixture *f = *state;
	char words[160];
	int ends[2];
	pid_t pid = hold(f, SOURCE, ends);

	snprintf(words, sizeof(words),
	    "source `/srv/shop`: has a session at `/mnt/child` (process %ld)",
	    (long) pid);
	refused(f->catalog, SOURCE, words);
	let_go(pid, ends);
	/* What it has said about itself is still there, and means nothing. */
	take(f->catalog, SOURCE, "/mnt/a", &f->lock);
}

/* A daemon starts programs; one of them must not keep the instance. */
static void not_inherited(void **state)
{
	struct fixture *f = *state;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	take(f->catalog, SOURCE, "/mnt/a", &f->lock);
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	still_catalog_unlock(&f->lock);
	take(f->catalog, SOURCE, "/mnt/a", &f->lock);
	let_go(pid, ends);
}

static void what_it_says(void **state)
{
	struct fixture *f = *state;
	const char *path = lock_path(f, "fake:" SOURCE);
	char own[PATH_MAX];
	char text[160];
	struct stat st;

	snprintf(own, sizeof(own), "%s", path);
	umask(0);
	/* Longer than the next one. */
	take(f->catalog, SOURCE, "/mnt/some/long/place", &f->lock);
	snprintf(text, sizeof(text), "pid %ld id-1 /mnt/some/long/place\n",
	    (long) getpid());
	holds_text(own, text);
	assert_int_equal(stat(own, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	still_catalog_unlock(&f->lock);
	holds_text(own, "");
	take(f->catalog, SOURCE, NULL, &f->lock);
	snprintf(text, sizeof(text), "pid %ld id-1\n", (long) getpid());
	holds_text(own, text);
	umask(022);
}

static void any_byte(void **state)
{
	struct fixture *f = *state;
	char place[256 + 8] = "/mnt/";
	char words[1024];

	for (int c = 1; c < 256; c++)
		place[4 + c] = (char) c;
	take(f->catalog, SOURCE "\n'\xff", place, &f->lock);
	snprintf(words, sizeof(words),
	    "source `/srv/shop\n'\xff`: has a session at `%s` (process %ld)",
	    place, (long) getpid());
	refused(f->catalog, SOURCE "\n'\xff", words);
}

/* Who cannot say who it is does not get it, and holds nothing. */
static int no_write(enum still_sys_call call)
{
	return call == STILL_SYS_PWRITE ? ENOSPC : 0;
}

static void mute(void **state)
{
	struct fixture *f = *state;
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_error err = STILL_ERROR_INIT;

	still_sys_fault = no_write;
	assert_int_equal(still_catalog_lock(f->catalog, "fake", SOURCE, "id",
			     NULL, &lock, &err),
	    STILL_ERR_NOSPACE);
	assert_int_equal(lock.fd, -1);
	still_error_clear(&err);
	still_sys_fault = NULL;
	take(f->catalog, SOURCE, NULL, &f->lock);
}

/* Somebody else's file is not written to. */
static void no_link(void **state)
{
	struct fixture *f = *state;
	struct still_lock lock = STILL_LOCK_INIT;
	const char *victim = scratch_path(f->dir, "victim");

	assert_int_equal(scratch_write(victim, "precious", 8), 0);
	assert_int_equal(symlink(victim, lock_path(f, "fake:" SOURCE)), 0);
	assert_int_equal(still_catalog_lock(f->catalog, "fake", SOURCE, "id",
			     NULL, &lock, NULL),
	    STILL_ERR_IO);
	holds_text(victim, "precious");
}

/* The rule holds per state directory. */
static void other_state(void **state)
{
	struct fixture *f = *state;
	struct still_catalog *other = open_catalog(f, "other");
	struct still_lock lock = STILL_LOCK_INIT;

	take(f->catalog, SOURCE, NULL, &f->lock);
	take(other, SOURCE, NULL, &lock);
	still_catalog_unlock(&lock);
	still_catalog_close(other);
}

/* ---- neighbours ---------------------------------------------------------- */

static void neighbours(void **state)
{
	static const struct {
		const char *held;
		const char *wanted;
		bool refused;
	} table[] = {
	    {"/a/b", "/a/b/c", true},
	    {"/a/b", "/a/b/c/d", true},
	    {"/a/b/c", "/a/b", true},
	    {"/a/b/c/d", "/a/b", true},
	    {"/a/b", "/", true},
	    {"/", "/a/b", true},
	    {"/a/b.db", "/a", true},
	    {"/a/b", "/a/bc", false},
	    {"/a/bc", "/a/b", false},
	    {"/a/b", "/a/c", false},
	    {"/a/b", "/b", false},
	    {"/a/b", "/a/B/c", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_lock lock = STILL_LOCK_INIT;
		char words[200];

		print_message("%s, then %s\n", table[i].held, table[i].wanted);
		take(f->catalog, table[i].held, "/mnt/a", &f->lock);
		snprintf(words, sizeof(words),
		    "source `%s`: shares databases with `%s`, which has a "
		    "session at `/mnt/a` (process %ld)",
		    table[i].wanted, table[i].held, (long) getpid());
		if (table[i].refused) {
			refused(f->catalog, table[i].wanted, words);
			still_catalog_unlock(&f->lock);
		}
		/* Without its neighbour, or beside one that is none; and one
		 * that was refused has kept nothing. */
		take(f->catalog, table[i].wanted, NULL, &lock);
		still_catalog_unlock(&lock);
		still_catalog_unlock(&f->lock);
	}
}

/* The same files under another engine are the same files. */
static void other_engine(void **state)
{
	struct fixture *f = *state;
	char words[200];

	take(f->catalog, SOURCE, "/mnt/a", &f->lock);
	snprintf(words, sizeof(words),
	    "source `/srv/shop`: has a session at `/mnt/a` (process %ld)",
	    (long) getpid());
	refused_as(f->catalog, "other", SOURCE, STILL_ERR_BUSY, words);
	still_catalog_unlock(&f->lock);
	assert_int_equal(still_catalog_lock(f->catalog, "other", SOURCE, "id",
			     NULL, &f->lock, NULL),
	    0);
}

/* ---- at once ------------------------------------------------------------- */

#define ROUNDS 3000

struct arena {
	atomic_int inside;
	atomic_int together; /* how often two were */
	atomic_int n_taken;
	atomic_int n_failed; /* for another reason than BUSY */
};

static void contend(struct fixture *f, const char *source, struct arena *arena)
{
	struct still_catalog *catalog = open_catalog(f, "state");

	for (int i = 0; i < ROUNDS; i++) {
		struct still_lock lock = STILL_LOCK_INIT;
		int rc = still_catalog_lock(
		    catalog, "fake", source, "id", NULL, &lock, NULL);

		if (rc == STILL_ERR_BUSY)
			continue;
		if (rc < 0) {
			atomic_fetch_add(&arena->n_failed, 1);
			continue;
		}
		if (atomic_fetch_add(&arena->inside, 1) != 0)
			atomic_fetch_add(&arena->together, 1);
		atomic_fetch_add(&arena->n_taken, 1);
		sched_yield();
		atomic_fetch_sub(&arena->inside, 1);
		still_catalog_unlock(&lock);
	}
	still_catalog_close(catalog);
	_exit(0);
}

/* Of several who want databases that one can have, never two have them. */
static void at_once(void **state)
{
	static const char *const sources[] = {"/a", "/a/b", "/a/b/c", "/a/b"};
	struct fixture *f = *state;
	struct arena *arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[4];

	assert_ptr_not_equal(arena, MAP_FAILED);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			contend(f, sources[i], arena);
		assert_true(pids[i] > 0);
	}
	for (int i = 0; i < 4; i++) {
		int status = -1;

		waitpid(pids[i], &status, 0);
		assert_int_equal(status, 0);
	}
	print_message("taken %d times\n", arena->n_taken);
	assert_int_equal(arena->together, 0);
	assert_int_equal(arena->n_failed, 0);
	assert_true(arena->n_taken > 0);
	munmap(arena, sizeof(*arena));
}

/* ---- what the dead left -------------------------------------------------- */

/* The session of a process that dies at one of its steps. */
static void die_at(struct fixture *f, const char *id, int step)
{
	static const struct chronicle_file a = {"data/a.db", "1", 10};
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		struct chronicle c;
		int rc;

		chronicle_init(&c, open_catalog(f, "state"));
		rc = chronicle_begin(&c, SOURCE, id, "/mnt/a", 1000);
		chronicle_build(&c, &a, 1);
		if (rc == 0 && step > 0)
			rc = chronicle_frozen(&c, 1000);
		if (rc == 0 && step > 1)
			rc = chronicle_seal(&c);
		if (rc == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
}

static void told_as(
    struct fixture *f, const char *id, enum still_state state, const char *text)
{
	struct still_record *record = NULL;

	assert_true(chronicle_record(f->catalog, id, &record));
	assert_int_equal(record->state, state);
	assert_string_equal(record->outcome_text, text);
	still_records_free(record, 1);
}

/* Of a copy, because closing the store itself would drop SQLite's locks. */
static struct still_hash128 file_digest(struct fixture *f)
{
	struct still_hash128 digest;
	char command[2 * PATH_MAX];
	char data[65536];
	ssize_t n;
	int fd;

	snprintf(command, sizeof(command), "cp '%s' '%s'",
	    scratch_path(f->dir, "state/catalog.db"),
	    scratch_path(f->dir, "copy"));
	assert_int_equal(system(command), 0);
	fd = open(scratch_path(f->dir, "copy"), O_RDONLY | O_CLOEXEC);
	n = read(fd, data, sizeof(data));
	close(fd);
	assert_in_range(n, 4096, sizeof(data) - 1);
	digest = still_hash128(data, (size_t) n);
	return digest;
}

static void crashed(void **state)
{
	static const char *const ids[] = {"preparing", "serving", "sealed"};
	struct fixture *f = *state;

	for (int step = 0; step < 3; step++) {
		struct still_record *record = NULL;
		struct still_hash128 before;
		struct still_hash128 after;

		die_at(f, ids[step], step);
		before = file_digest(f);
		/* Told before it is written: looking leaves it as it is. */
		told_as(f, ids[step], STILL_ENDED, "ABORTED(crash)");
		after = file_digest(f);
		assert_memory_equal(&before, &after, sizeof(before));
		/* Written by whoever comes next. */
		take(f->catalog, SOURCE, NULL, &f->lock);
		told_as(f, ids[step], STILL_ENDED, "ABORTED(crash)");
		assert_true(chronicle_record(f->catalog, ids[step], &record));
		assert_int_equal(record->outcome, STILL_ABORTED_CRASH);
		assert_int_equal(record->ended_at_ns, 0);
		still_records_free(record, 1);
		still_catalog_unlock(&f->lock);
	}
}

/* The lock of a dead session's instance may be somebody else's: that does not
 * bring it to life again. A live one is told as what it is. */
static void alive(void **state)
{
	struct fixture *f = *state;
	struct chronicle c;
	int fd = -1;

	die_at(f, "dead", 1);
	assert_int_equal(still_claim_take(f->catalog, "fake", SOURCE, "living",
			     NULL, &fd, NULL),
	    0);
	told_as(f, "dead", STILL_ENDED, "ABORTED(crash)");
	still_holder_release(fd);
	chronicle_init(&c, f->catalog);
	assert_int_equal(
	    chronicle_begin(&c, SOURCE, "living", "/mnt/a", 1000), 0);
	told_as(f, "dead", STILL_ENDED, "ABORTED(crash)");
	told_as(f, "living", STILL_PREPARING, "none");
	chronicle_build(&c, NULL, 0);
	assert_int_equal(chronicle_frozen(&c, 1000), 0);
	told_as(f, "living", STILL_SERVING, "none");
	assert_int_equal(chronicle_end(&c, STILL_ABORTED_UNREAD, 2000), 0);
	told_as(f, "living", STILL_ENDED, "ABORTED(unread)");
	chronicle_release(&c);
}

static struct chronicle *ending;

/* Its lock was seen, and who has it is about to be read. */
static int end_it(enum still_sys_call call)
{
	struct chronicle *c = ending;

	if (call != STILL_SYS_PREAD || !c)
		return 0;
	ending = NULL;
	assert_int_equal(chronicle_end(c, STILL_COPIED, 2000), 0);
	return 0;
}

/* Between the look at the row and the one at the lock: it has not crashed. */
static void ends_meanwhile(void **state)
{
	static const struct chronicle_file a = {"data/a.db", "1", 10};
	struct fixture *f = *state;
	struct chronicle c;

	chronicle_init(&c, f->catalog);
	assert_int_equal(chronicle_begin(&c, SOURCE, "id", "/mnt/a", 1000), 0);
	chronicle_build(&c, &a, 1);
	assert_int_equal(chronicle_frozen(&c, 1000), 0);
	assert_int_equal(chronicle_seal(&c), 0);
	ending = &c;
	still_sys_fault = end_it;
	told_as(f, "id", STILL_ENDED, "COPIED");
	assert_null(ending);
	chronicle_release(&c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(second_taker),
	    TEST(dies_with_its_process),
	    TEST(not_inherited),
	    TEST(what_it_says),
	    TEST(any_byte),
	    TEST(mute),
	    TEST(no_link),
	    TEST(other_state),
	    TEST(neighbours),
	    TEST(other_engine),
	    TEST(at_once),
	    TEST(crashed),
	    TEST(alive),
	    TEST(ends_meanwhile),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
