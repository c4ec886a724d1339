/* SPDX-License-Identifier: MIT */
/* Backups of a fake instance: what is stored, and that after each kind of
 * failure the last set is whole and nothing else is there. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mount.h>

#include "base/hash.h"
#include "base/sys.h"
#include "core/dest.h"
#include "core/instance.h"
#include "still_set.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

#define OLD_SEED 1
#define NEW_SEED 2

struct fixture {
	char *dir;
	char *dest;
	struct still_catalog *catalog;
	struct still_instance *instance;
	struct still_events *events;
	atomic_bool cancel;
	struct still_backup_options options;
	struct still_backup result;
	struct still_error err;
	/* What is done to the origin. */
	int commit_code; /* that it fails with, or 0 */
	unsigned n_commits;
	unsigned n_aborts;
	struct still_origin inner;
};

/* ---- the seam ------------------------------------------------------------ */

static struct {
	struct fixture *f;
	enum still_sys_call call;
	int sys_errno;
	atomic_uint countdown; /* the call at which it happens; 0: never */
	void (*act)(struct fixture *f); /* what happens; NULL: it fails */
	atomic_uint counts[STILL_SYS_COUNT];
	atomic_uint syncs_before_read;
} seam;

static int on_call(enum still_sys_call call)
{
	unsigned n = atomic_load(&seam.countdown);

	atomic_fetch_add(&seam.counts[call], 1);
	if (call == STILL_SYS_PREAD &&
	    atomic_load(&seam.counts[STILL_SYS_PREAD]) == 1)
		seam.syncs_before_read = atomic_load(
		    &seam.counts[STILL_SYS_FSYNC]);
	while (call == seam.call && n > 0)
		if (atomic_compare_exchange_weak(&seam.countdown, &n, n - 1)) {
			if (n > 1)
				return 0;
			if (!seam.act)
				return seam.sys_errno;
			seam.act(seam.f);
			return 0;
		}
	return 0;
}

/* At the n-th call from now on. */
static void at_call(struct fixture *f, enum still_sys_call call, unsigned n,
    int sys_errno, void (*act)(struct fixture *))
{
	memset(&seam, 0, sizeof(seam));
	seam.f = f;
	seam.call = call;
	seam.sys_errno = sys_errno;
	seam.act = act;
	atomic_store(&seam.countdown, n);
	still_sys_fault = on_call;
}

/* ---- the fixture --------------------------------------------------------- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_options options = {
	    .freeze_ms = 100000,
	    .stall_ms = 500,
	    .barrier_max = 100,
	};

	*state = f;
	still_fake_reset();
	still_fake.size_bytes[0] = 3 * 1024 * 1024 + 17;
	still_fake.seed = OLD_SEED;
	f->dir = scratch_make();
	f->dest = strdup(scratch_path(f->dir, "dest"));
	mkdir(f->dest, 0700);
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	options.catalog = f->catalog;
	if (still_instance_attach_engine(&still_engine_fake, "fake:one",
		&options, &f->instance, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	f->events = still_events_new(NULL, NULL);
	f->options.task.cancel = &f->cancel;
	f->options.task.n_threads = 3;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	still_backup_release(&f->result);
	still_error_clear(&f->err);
	still_events_free(f->events);
	still_instance_detach(f->instance);
	still_catalog_close(f->catalog);
	scratch_remove(f->dir);
	free(f->dest);
	free(f);
	return 0;
}

/* ---- steps --------------------------------------------------------------- */

static int counting_commit(void *arg, struct still_error *err)
{
	struct fixture *f = arg;

	f->n_commits++;
	if (!f->commit_code)
		return f->inner.commit(f->inner.arg, err);
	f->inner.abort(f->inner.arg);
	return still_error_set(err, f->commit_code, 0, NULL, "the commit");
}

static void counting_abort(void *arg)
{
	struct fixture *f = arg;

	f->n_aborts++;
	f->inner.abort(f->inner.arg);
}

static int pass_begin(
    void *arg, const atomic_bool *cancel, struct still_error *err)
{
	struct fixture *f = arg;

	return f->inner.begin(f->inner.arg, cancel, err);
}

static void pass_captured(
    void *arg, uint64_t *ret_done_bytes, uint64_t *ret_bytes)
{
	struct fixture *f = arg;

	f->inner.captured(f->inner.arg, ret_done_bytes, ret_bytes);
}

static const char *pass_session(void *arg)
{
	struct fixture *f = arg;

	return f->inner.session(f->inner.arg);
}

static const struct still_entry *pass_entries(void *arg, uint32_t *ret_n)
{
	struct fixture *f = arg;

	return f->inner.entries(f->inner.arg, ret_n);
}

static ssize_t pass_read(void *arg, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	struct fixture *f = arg;

	return f->inner.read(f->inner.arg, index, off_bytes, data, len, err);
}

static int pass_check(void *arg, struct still_error *err)
{
	struct fixture *f = arg;

	return f->inner.check(f->inner.arg, err);
}

static int backup(struct fixture *f)
{
	struct still_own_session *own = still_own_session_new(
	    f->instance, f->events, STILL_FULL, NULL, &f->inner);
	struct still_origin outer = {pass_begin, pass_captured, pass_session,
	    pass_entries, pass_read, pass_check, counting_commit,
	    counting_abort, f};
	unsigned fds = scratch_count_fds();
	int rc;

	assert_non_null(own);
	f->n_commits = f->n_aborts = 0;
	still_backup_release(&f->result);
	still_error_clear(&f->err);
	rc = still_backup(f->dest, &outer, &f->options, &f->result, &f->err);
	still_own_session_free(own);
	assert_int_equal(rc, f->err.code);
	assert_true(f->n_commits + f->n_aborts <= 1);
	assert_int_equal(f->result.stored, f->result.set != NULL);
	/* The catalog may have closed one that it had kept. */
	assert_true(scratch_count_fds() <= fds);
	return rc;
}

static unsigned count(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void has_content(const char *path, uint64_t seed, size_t number)
{
	size_t size = (size_t) still_fake.size_bytes[number];
	char *want = malloc(size + 1);
	char *got = malloc(size + 1);
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	still_fake_content(seed, number, 0, want, size);
	assert_int_equal(still_sys_pread(fd, got, size + 1, 0), size);
	assert_memory_equal(got, want, size);
	close(fd);
	free(want);
	free(got);
}

/* The set of this seed, whole, and nothing else. */
static void holds(struct fixture *f, uint64_t seed)
{
	char command[8192];
	char *full = strdup(scratch_path(f->dest, "full"));

	still_sys_fault = NULL;
	for (size_t i = 0; i < still_fake.n_databases; i++)
		has_content(scratch_path(full, still_fake_path(i)), seed, i);
	assert_int_equal(count(f->dest), 1);
	snprintf(command, sizeof(command),
	    "cd '%s' && xxhsum --quiet -c verify/XXH128SUMS >/dev/null 2>&1",
	    full);
	assert_int_equal(system(command), 0);
	free(full);
}

static void recorded(struct fixture *f, enum still_outcome want)
{
	struct still_record_filter filter = {.limit = 1};
	struct still_record *record = NULL;
	size_t n = 0;

	assert_int_equal(
	    still_catalog_list(f->catalog, &filter, &record, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(record->outcome, want);
	still_records_free(record, n);
}

/* The set that failures must not touch. */
static void first(struct fixture *f)
{
	if (backup(f) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	still_fake.seed = NEW_SEED;
}

static void fails(struct fixture *f, int code, enum still_outcome outcome)
{
	assert_int_equal(backup(f), code);
	assert_non_null(f->err.msg);
	assert_false(f->result.stored);
	recorded(f, outcome);
	holds(f, OLD_SEED);
}

/* ---- what is stored ------------------------------------------------------ */

static void stored(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	first(f);
	assert_int_equal(f->n_commits, 1);
	assert_int_equal(f->n_aborts, 0);
	assert_string_equal(f->result.set, scratch_path(f->dest, "full"));
	assert_int_equal(f->result.files, still_fake.n_databases + 2);
	assert_true(f->result.bytes > still_fake.size_bytes[0]);
	assert_int_equal(strlen(f->result.session), 25);
	recorded(f, STILL_COMMITTED);
	holds(f, OLD_SEED);
	assert_int_equal(
	    stat(scratch_path(f->result.set, still_fake_path(0)), &st), 0);
	assert_true(st.st_mtime > 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 0);
	/* And the next one takes its place. */
	assert_int_equal(backup(f), 0);
	recorded(f, STILL_COMMITTED);
	holds(f, NEW_SEED);
}

static void without_a_catalog(void **state)
{
	struct fixture *f = *state;

	f->instance->catalog = NULL;
	first(f);
	holds(f, OLD_SEED);
}

/* Sizes around those of pieces, and any number of threads. */
static void sizes(void **state)
{
	static const unsigned threads[] = {0, 1, 2, 5, 6, 32, 1000};
	static const uint64_t sizes_bytes[] = {0, 1, 65536, 1048575, 1048576,
	    1048577, 9 * 1048576 + 5, 4096, 0, 2097152};
	struct fixture *f = *state;

	still_fake.n_databases = sizeof(sizes_bytes) / sizeof(sizes_bytes[0]);
	memcpy(still_fake.size_bytes, sizes_bytes, sizeof(sizes_bytes));
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		still_fake.seed = 100 + i;
		f->options.task.n_threads = threads[i];
		if (backup(f) != 0)
			fail_msg("%u threads: %s", threads[i],
			    still_error_msg(&f->err));
		holds(f, 100 + i);
	}
}

/* ---- failures ------------------------------------------------------------ */

/* Each call that stores. */
struct failure {
	enum still_sys_call call;
	int sys_errno;
	int code;
};

/* The n-th one fails. True: it came to nothing, and the last set stands. */
static bool fails_at(
    struct fixture *f, const struct failure *failure, unsigned n)
{
	at_call(f, failure->call, n, failure->sys_errno, NULL);
	if (backup(f) == 0) {
		if (atomic_load(&seam.countdown) > 0)
			return false;
		/* It did no harm, as where something old is tidied away. */
		holds(f, NEW_SEED);
		still_sys_fault = NULL;
		still_fake.seed = OLD_SEED;
		assert_int_equal(backup(f), 0);
		still_fake.seed = NEW_SEED;
		return true;
	}
	assert_int_equal(f->err.code, failure->code);
	assert_int_equal(f->err.sys_errno, failure->sys_errno);
	/* When the old set goes, and the last sync of all: by then the new one
	 * is there to stay. */
	if (f->result.stored)
		return false;
	/* The lock of the instance is written, too. */
	recorded(f, f->n_aborts ? STILL_ABORTED_CALLER : STILL_COMMITTED);
	holds(f, OLD_SEED);
	return true;
}

/* The set that could not be removed, and is in nobody's way. */
static void clear_last(struct fixture *f)
{
	struct still_dest dest;

	still_sys_fault = NULL;
	assert_true(f->result.stored);
	assert_int_equal(count(f->dest), 2);
	assert_int_equal(still_dest_open(f->dest, NULL, false, &dest, NULL), 0);
	still_dest_close(&dest);
}

static void nth_call(void **state)
{
	static const struct failure list[] = {
	    {STILL_SYS_OPEN, EMFILE, STILL_ERR_IO},
	    {STILL_SYS_PWRITE, ENOSPC, STILL_ERR_NOSPACE},
	    {STILL_SYS_PWRITE, EDQUOT, STILL_ERR_NOSPACE},
	    {STILL_SYS_PREAD, EIO, STILL_ERR_IO},
	    {STILL_SYS_FSYNC, EIO, STILL_ERR_IO},
	    {STILL_SYS_FSTAT, EIO, STILL_ERR_IO},
	    {STILL_SYS_MKDIR, EROFS, STILL_ERR_IO},
	    {STILL_SYS_RENAME, EIO, STILL_ERR_IO},
	};
	struct fixture *f = *state;
	unsigned total = 0;

	/* What a backup does without is no failure of it. */
	still_fake.page_bytes = 0;
	still_fake.heedless = true;
	first(f);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		unsigned n = 1;

		while (fails_at(f, &list[i], n))
			n++;
		recorded(f, STILL_COMMITTED);
		if (list[i].call == STILL_SYS_OPEN)
			clear_last(f);
		holds(f, NEW_SEED);
		assert_int_equal(f->err.code != 0,
		    list[i].call == STILL_SYS_FSYNC ||
			list[i].call == STILL_SYS_OPEN);
		assert_true(n > 1);
		total += n - 1;
		still_fake.seed = OLD_SEED;
		assert_int_equal(backup(f), 0);
		still_fake.seed = NEW_SEED;
	}
	printf("%u failures\n", total);
}

static void damage(void **state)
{
	struct fixture *f = *state;

	first(f);
	still_fake.fault = (struct still_fake_fault){
	    0, 2000000, 2000001, STILL_ERR_CORRUPT, 0};
	fails(f, STILL_ERR_CORRUPT, STILL_ABORTED_CORRUPT);
	assert_int_equal(f->n_aborts, 1);
	still_fake.fault = (struct still_fake_fault){
	    1, 0, 1, STILL_ERR_IO, EIO};
	fails(f, STILL_ERR_IO, STILL_ABORTED_CALLER);
	still_fake.fault.number = -1;
	still_fake.damaged_at_freeze = 2;
	fails(f, STILL_ERR_CORRUPT, STILL_ABORTED_CORRUPT);
}

static void lost(void **state)
{
	struct fixture *f = *state;

	first(f);
	still_fake.fault = (struct still_fake_fault){
	    2, 0, 1, STILL_ERR_LOST, 0};
	fails(f, STILL_ERR_LOST, STILL_ABORTED_LOST);
}

static void no_freeze(void **state)
{
	struct fixture *f = *state;

	first(f);
	still_fake.freeze_code = STILL_ERR_AGAIN;
	fails(f, STILL_ERR_AGAIN, STILL_ABORTED_FREEZE);
	/* Nothing was begun. */
	assert_int_equal(f->n_aborts, 0);
}

static void commit_fails(void **state)
{
	struct fixture *f = *state;

	f->commit_code = STILL_ERR_IO;
	assert_int_equal(backup(f), STILL_ERR_IO);
	assert_int_equal(count(f->dest), 0);
	f->commit_code = 0;
	first(f);
	f->commit_code = STILL_ERR_IO;
	fails(f, STILL_ERR_IO, STILL_ABORTED_CALLER);
	assert_int_equal(f->n_commits, 1);
	assert_int_equal(f->n_aborts, 0);
}

static char *new_path(struct fixture *f, const char *name);

/* The exchange, whose sync fails, and each call after it. */
static int sync_and_rename(enum still_sys_call call)
{
	static const int broken = EIO;

	if (call == STILL_SYS_RENAME && atomic_fetch_add(&seam.countdown, 1))
		return broken;
	return call == STILL_SYS_FSYNC && atomic_load(&seam.countdown) ? broken
								       : 0;
}

static void not_taken_back(void **state)
{
	struct fixture *f = *state;
	char *last;
	size_t i = 0;

	first(f);
	memset(&seam, 0, sizeof(seam));
	still_sys_fault = sync_and_rename;
	/* The catalog renames nothing on the way there. */
	assert_int_equal(backup(f), STILL_ERR_IO);
	still_sys_fault = NULL;
	assert_true(f->result.stored);
	assert_false(f->result.committed);
	recorded(f, STILL_ABORTED_CALLER);
	assert_non_null(strstr(f->err.msg, "though it is not committed"));
	last = new_path(f, still_fake_path(i));
	has_content(last, OLD_SEED, i);
	free(last);
	assert_int_equal(count(f->dest), 2);
	assert_int_equal(backup(f), 0);
	holds(f, NEW_SEED);
}

/* ---- what the disk does -------------------------------------------------- */

static const char *spoilt; /* in the new set */

static char *new_path(struct fixture *f, const char *name)
{
	DIR *dir = opendir(f->dest);
	struct dirent *entry;
	char *path = NULL;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, ".new-", 5) == 0)
			assert_true(asprintf(&path, "%s/%s/%s", f->dest,
					entry->d_name, name) > 0);
	closedir(dir);
	assert_non_null(path);
	return path;
}

static void flip(struct fixture *f)
{
	char *path = new_path(f, spoilt);
	int fd = open(path, O_RDWR);
	char byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, 5), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, 5), 1);
	close(fd);
	free(path);
}

static void shorten(struct fixture *f)
{
	char *path = new_path(f, spoilt);

	assert_int_equal(truncate(path, 4096), 0);
	free(path);
}

static void lengthen(struct fixture *f)
{
	char *path = new_path(f, spoilt);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size + 1), 0);
	free(path);
}

static void swallow(struct fixture *f)
{
	char *path = new_path(f, spoilt);

	assert_int_equal(unlink(path), 0);
	free(path);
}

/* A link to something with the right bytes, even. */
static void relink(struct fixture *f)
{
	char *path = new_path(f, spoilt);
	const char *other = scratch_path(f->dir, "other");

	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	free(path);
}

/* Who opens that without care waits until somebody writes to it. */
static void make_pipe(struct fixture *f)
{
	char *path = new_path(f, spoilt);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	free(path);
}

static void make_dir(struct fixture *f)
{
	char *path = new_path(f, spoilt);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
}

static void read_back(void **state)
{
	static const struct {
		const char *path;
		void (*act)(struct fixture *f);
		int code;
	} list[] = {
	    {"data/000.db", flip, STILL_ERR_CORRUPT},
	    {"data/000.db", shorten, STILL_ERR_CORRUPT},
	    {"data/000.db", lengthen, STILL_ERR_CORRUPT},
	    {"data/000.db", swallow, STILL_ERR_NOTFOUND},
	    {"data/000.db", relink, STILL_ERR_IO},
	    {"data/000.db", make_pipe, STILL_ERR_CORRUPT},
	    {"data/000.db", make_dir, STILL_ERR_CORRUPT},
	    {"backup.json", flip, STILL_ERR_CORRUPT},
	    {"verify/XXH128SUMS", flip, STILL_ERR_CORRUPT},
	    {"verify/XXH128SUMS", lengthen, STILL_ERR_CORRUPT},
	    {"verify/XXH128SUMS", make_pipe, STILL_ERR_CORRUPT},
	};
	struct fixture *f = *state;
	unsigned n_syncs;

	still_sys_fault = on_call;
	at_call(f, STILL_SYS_PREAD, 0, 0, NULL);
	first(f);
	n_syncs = seam.syncs_before_read;
	assert_true(n_syncs > 5);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		spoilt = list[i].path;
		/* When all is on the disk. */
		at_call(f, STILL_SYS_FSYNC, n_syncs, 0, list[i].act);
		fails(f, list[i].code, STILL_ABORTED_CALLER);
		if (!strstr(still_error_msg(&f->err), list[i].path))
			fail_msg("%zu: %s", i, still_error_msg(&f->err));
	}
}

/* Another link in the place of the link. */
static void turn(struct fixture *f)
{
	char *path = new_path(f, spoilt);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("su", path), 0);
	free(path);
}

/* Links, empty directories and closing files come along. */
static void shaped(void **state)
{
	struct fixture *f = *state;
	struct still_verify_options options = {.quick = true};
	struct still_verified verified;
	char target[16] = {0};
	unsigned n_syncs;
	struct stat st;
	char *full;

	still_fake.shaped = true;
	still_sys_fault = on_call;
	at_call(f, STILL_SYS_PREAD, 0, 0, NULL);
	first(f);
	n_syncs = seam.syncs_before_read;
	assert_int_equal(atomic_load(&still_fake.n_close), 1);
	full = strdup(scratch_path(f->dest, "full"));
	assert_int_equal(
	    readlink(scratch_path(full, "data/link"), target, sizeof(target)),
	    3);
	assert_string_equal(target, "sub");
	assert_int_equal(lstat(scratch_path(full, "data/link"), &st), 0);
	assert_int_equal(st.st_uid, geteuid() == 0 ? 4715 : geteuid());
	assert_true(st.st_mtime > 1000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 0);
	assert_int_equal(rmdir(scratch_path(full, "data/empty")), 0);
	assert_int_equal(mkdir(scratch_path(full, "data/empty"), 0700), 0);
	holds(f, OLD_SEED);
	assert_int_equal(still_verify_set(full, &options, &verified, NULL), 0);
	assert_int_equal(verified.n_flaws, 0);
	still_verified_release(&verified);
	free(full);
	spoilt = "data/link";
	at_call(f, STILL_SYS_FSYNC, n_syncs, 0, turn);
	fails(f, STILL_ERR_CORRUPT, STILL_ABORTED_CALLER);
	assert_non_null(strstr(still_error_msg(&f->err),
	    "data/link`: is not the link that was made"));
}

static void full_disk(void **state)
{
	struct fixture *f = *state;

	if (mount("tmpfs", f->dest, "tmpfs", 0, "size=8m") != 0)
		skip();
	first(f);
	/* Two of them do not fit. */
	still_fake.size_bytes[1] = 6 * 1024 * 1024;
	assert_int_equal(backup(f), STILL_ERR_NOSPACE);
	assert_non_null(f->err.hint);
	still_fake_reset();
	still_fake.size_bytes[0] = 3 * 1024 * 1024 + 17;
	holds(f, OLD_SEED);
	assert_int_equal(umount(f->dest), 0);
}

static void read_only(void **state)
{
	struct fixture *f = *state;

	if (mount("tmpfs", f->dest, "tmpfs", 0, NULL) != 0)
		skip();
	first(f);
	assert_int_equal(
	    mount(NULL, f->dest, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(backup(f), STILL_ERR_IO);
	assert_int_equal(f->err.sys_errno, EROFS);
	assert_int_equal(mount(NULL, f->dest, NULL, MS_REMOUNT, NULL), 0);
	holds(f, OLD_SEED);
	assert_int_equal(umount(f->dest), 0);
}

/* ---- cancel -------------------------------------------------------------- */

static void cancel(struct fixture *f)
{
	atomic_store(&f->cancel, true);
}

static void *cancel_at_gate(void *arg)
{
	struct fixture *f = arg;

	still_fake_gate_await(&still_fake.read_gate);
	cancel(f);
	still_fake_gate_open(&still_fake.read_gate);
	return NULL;
}

static void *cancel_at_freeze(void *arg)
{
	struct fixture *f = arg;

	still_fake_gate_await(&still_fake.freeze_gate);
	cancel(f);
	return NULL;
}

static void cancelled(struct fixture *f, enum still_outcome outcome)
{
	fails(f, STILL_ERR_CANCELLED, outcome);
	assert_non_null(strstr(still_error_msg(&f->err), f->dest));
	atomic_store(&f->cancel, false);
}

static void cancel_early(void **state)
{
	struct fixture *f = *state;

	first(f);
	cancel(f);
	cancelled(f, STILL_COMMITTED); /* that is the first one */
	assert_int_equal(atomic_load(&still_fake.n_freeze), 1);
}

static void cancel_waiting(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	first(f);
	still_fake_gate_close(&still_fake.freeze_gate);
	pthread_create(&thread, NULL, cancel_at_freeze, f);
	cancelled(f, STILL_ABORTED_FREEZE);
	pthread_join(thread, NULL);
	still_fake_gate_open(&still_fake.freeze_gate);

	still_fake_gate_close(&still_fake.read_gate);
	pthread_create(&thread, NULL, cancel_at_gate, f);
	cancelled(f, STILL_ABORTED_CALLER);
	pthread_join(thread, NULL);
}

static void cancel_storing(void **state)
{
	static const enum still_sys_call calls[] = {STILL_SYS_MKDIR,
	    STILL_SYS_PWRITE, STILL_SYS_FSYNC, STILL_SYS_PREAD};
	struct fixture *f = *state;

	first(f);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		/* The first that is written is the lock of the instance, before
		 * the freeze, which may or may not be done when it is seen; the
		 * first that is read is the last set's description. */
		at_call(f, calls[i],
		    calls[i] == STILL_SYS_PWRITE      ? 3
			: calls[i] == STILL_SYS_PREAD ? 2
						      : 1,
		    0, cancel);
		cancelled(f, STILL_ABORTED_CALLER);
	}
}

/* Once it is in its place, it stays there. */
static void cancel_late(void **state)
{
	struct fixture *f = *state;

	first(f);
	at_call(f, STILL_SYS_RENAME, 1, 0, cancel);
	assert_int_equal(backup(f), 0);
	assert_true(atomic_load(&f->cancel));
	recorded(f, STILL_COMMITTED);
	holds(f, NEW_SEED);
}

/* ---- progress ------------------------------------------------------------ */

struct listener {
	sem_t told;
	sem_t release;
	bool blocks;
	unsigned phases[STILL_PHASE_COUNT];
	enum still_phase last;
	struct still_progress frozen;
	struct still_progress copied;
	bool back; /* a phase came before an earlier one */
};

static void listen_to(void *arg, const struct still_progress *progress)
{
	struct listener *l = arg;

	l->phases[progress->phase]++;
	l->back |= progress->phase < l->last;
	l->last = progress->phase;
	if (progress->phase == STILL_PHASE_FREEZING)
		l->frozen = *progress;
	if (progress->phase == STILL_PHASE_COPYING)
		l->copied = *progress;
	assert_true(progress->bytes_done <= progress->bytes);
	assert_true(
	    progress->files_done <= progress->files || progress->files == 0);
	sem_post(&l->told);
	if (l->blocks)
		sem_wait(&l->release);
}

static void told(void **state)
{
	struct fixture *f = *state;
	struct listener l = {.blocks = false};

	sem_init(&l.told, 0, 0);
	f->options.task.progress = listen_to;
	f->options.task.progress_arg = &l;
	still_fake.captured_bytes = 123;
	still_fake.capture_bytes = 456;
	first(f);
	for (int i = 0; i < STILL_PHASE_CHECKING; i++)
		assert_true(l.phases[i] > 0);
	assert_false(l.back);
	assert_int_equal(l.frozen.bytes, 456);
	assert_int_equal(l.frozen.bytes_done, 123);
	assert_int_equal(l.copied.bytes, f->result.bytes);
	assert_int_equal(l.copied.bytes_done, f->result.bytes);
	assert_int_equal(l.copied.files_done, f->result.files);
	sem_destroy(&l.told);
}

static void *backup_thread(void *arg)
{
	struct fixture *f = arg;

	return backup(f) == 0 ? f : NULL;
}

/* Who is told and does not come back keeps it from returning, and nothing
 * else: the set is in its place, and another can be made. */
static void blocking(void **state)
{
	struct fixture *f = *state;
	struct listener l = {.blocks = true};
	struct still_record_filter filter = {.committed = true};
	struct still_record *records = NULL;
	pthread_t thread;
	void *result;
	size_t n = 0;

	sem_init(&l.told, 0, 0);
	sem_init(&l.release, 0, 0);
	f->options.task.progress = listen_to;
	f->options.task.progress_arg = &l;
	pthread_create(&thread, NULL, backup_thread, f);
	sem_wait(&l.told);
	while (n == 0) {
		assert_int_equal(
		    still_catalog_list(f->catalog, &filter, &records, &n, NULL),
		    0);
		still_records_free(records, n);
	}
	for (int i = 0; i < 100; i++)
		sem_post(&l.release);
	pthread_join(thread, &result);
	assert_non_null(result);
	holds(f, OLD_SEED);
	sem_destroy(&l.told);
	sem_destroy(&l.release);
}

/* ---- two at once --------------------------------------------------------- */

static void two_at_once(void **state)
{
	struct fixture *f = *state;
	struct fixture other = *f;
	pthread_t thread;
	void *result;

	other.result = (struct still_backup){0};
	other.err = (struct still_error) STILL_ERROR_INIT;
	still_fake_gate_close(&still_fake.read_gate);
	pthread_create(&thread, NULL, backup_thread, f);
	still_fake_gate_await(&still_fake.read_gate);
	assert_int_equal(still_backup(other.dest, NULL, &other.options,
			     &other.result, &other.err),
	    STILL_ERR_BUSY);
	assert_non_null(strstr(
	    still_error_msg(&other.err), "another backup is writing to it"));
	still_error_clear(&other.err);
	still_fake_gate_open(&still_fake.read_gate);
	pthread_join(thread, &result);
	assert_non_null(result);
	recorded(f, STILL_COMMITTED);
	holds(f, OLD_SEED);
}

/* ---- origins that are not to be believed --------------------------------- */

static struct still_entry told_entries[6];
static unsigned told_aborts;

static int told_begin(
    void *arg, const atomic_bool *cancel, struct still_error *err)
{
	(void) arg;
	(void) cancel;
	(void) err;
	return 0;
}

static const char *told_session(void *arg)
{
	return arg;
}

static const struct still_entry *told_list(void *arg, uint32_t *ret_n)
{
	(void) arg;
	*ret_n = 5;
	return told_entries;
}

static const char told_description[] =
    "{\"format\": 1, \"engine\": \"told\", \"source\": \"/told\"}";
static char told_seal[128];

static ssize_t told_read(void *arg, uint32_t index, uint64_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	(void) arg;
	(void) err;
	if (!told_entries[index].seal && index != 1)
		return 0;
	memcpy(
	    data, (index == 1 ? told_description : told_seal) + off_bytes, len);
	return (ssize_t) len;
}

static int told_check(void *arg, struct still_error *err)
{
	(void) arg;
	(void) err;
	return 0;
}

static int told_commit(void *arg, struct still_error *err)
{
	return told_check(arg, err);
}

static void told_abort(void *arg)
{
	(void) arg;
	told_aborts++;
}

static void told_reset(void)
{
	char sum[STILL_HASH128_HEX_CHARS + 1];
	size_t len = strlen(told_description);

	still_hash128_hex(still_hash128(told_description, len), sum);
	snprintf(told_seal, sizeof(told_seal),
	    "%s  backup.json\n99aa06d3014798d86001c324468d497f  data/a\n", sum);
	told_aborts = 0;
	memcpy(told_entries,
	    (struct still_entry[]){
		{.kind = STILL_DIR, .path = "", .mode = 0550, .time_s = 11},
		{.kind = STILL_FILE,
		    .path = "backup.json",
		    .mode = 0440,
		    .size_bytes = len},
		{.kind = STILL_DIR, .path = "data", .mode = 0500, .time_s = 12},
		{.kind = STILL_FILE,
		    .path = "data/a",
		    .parent = 2,
		    .mode = 0400,
		    .uid = 12,
		    .gid = 13,
		    .time_s = 14},
		{.kind = STILL_FILE,
		    .path = "sums",
		    .mode = 0444,
		    .seal = true,
		    .size_bytes = strlen(told_seal)},
	    },
	    5 * sizeof(told_entries[0]));
}

static int told_backup(struct fixture *f, const char *session)
{
	struct still_origin origin = {told_begin, NULL, told_session, told_list,
	    told_read, told_check, told_commit, told_abort, (char *) session};

	still_backup_release(&f->result);
	still_error_clear(&f->err);
	return still_backup(f->dest, &origin, &f->options, &f->result, &f->err);
}

#define TOLD_ID "20261121T010203Z-0123abcd"

static void dressed(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	told_reset();
	if (told_backup(f, TOLD_ID) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	assert_int_equal(told_aborts, 0);
	assert_int_equal(stat(scratch_path(f->dest, "full"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0550);
	assert_int_equal(st.st_mtime, 11);
	assert_int_equal(stat(scratch_path(f->dest, "full/data"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0500);
	assert_int_equal(st.st_mtime, 12);
	assert_int_equal(stat(scratch_path(f->dest, "full/data/a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(st.st_mtime, 14);
	if (geteuid() == 0) {
		assert_int_equal(st.st_uid, 12);
		assert_int_equal(st.st_gid, 13);
	}
	/* Nor is what cannot be written to in the way of the next one. */
	assert_int_equal(told_backup(f, TOLD_ID), 0);
	assert_int_equal(count(f->dest), 1);
}

static struct stat seen; /* of the new set, while it was read back */

static void look(struct fixture *f)
{
	char *path = new_path(f, "");

	assert_int_equal(stat(path, &seen), 0);
	free(path);
}

/* The files in it belong to others when they are read back: until that is done
 * they do not get at them. */
static void closed(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	told_reset();
	told_entries[0].mode = 0777;
	told_entries[0].uid = 12;
	told_entries[0].gid = 13;
	at_call(f, STILL_SYS_PREAD, 1, 0, look);
	if (told_backup(f, TOLD_ID) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	assert_int_equal(atomic_load(&seam.countdown), 0);
	assert_int_equal(seen.st_mode & 07777, 0700);
	assert_int_equal(seen.st_uid, geteuid());
	assert_int_equal(stat(scratch_path(f->dest, "full"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	assert_int_equal(st.st_mtime, 11);
	if (geteuid() == 0) {
		assert_int_equal(st.st_uid, 12);
		assert_int_equal(st.st_gid, 13);
	}
}

static void unbelievable(struct fixture *f, const char *session)
{
	assert_true(told_backup(f, session) < 0);
	assert_int_equal(told_aborts, 1);
	assert_int_equal(count(f->dest), 0);
	told_reset();
}

static void not_believed(void **state)
{
	static const char *const paths[] = {
	    "..", "../x", "/etc/x", "data/../x", "data//x", "data/.", "data/"};
	struct fixture *f = *state;

	told_reset();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		told_entries[3].path = paths[i];
		unbelievable(f, TOLD_ID);
		assert_int_equal(count(f->dir), 2);
	}
	unbelievable(f, "../" TOLD_ID);
	told_entries[3].parent = 1;
	unbelievable(f, TOLD_ID);
	told_entries[1].seal = true;
	unbelievable(f, TOLD_ID);
	told_entries[4].seal = false;
	unbelievable(f, TOLD_ID);
	/* Ends before its size. */
	told_entries[3].size_bytes = 10;
	unbelievable(f, TOLD_ID);
	/* A list that names other files. */
	told_entries[3].path = "data/b";
	unbelievable(f, TOLD_ID);
	told_entries[4].size_bytes--;
	unbelievable(f, TOLD_ID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(stored),
	    TEST(without_a_catalog),
	    TEST(sizes),
	    TEST(nth_call),
	    TEST(damage),
	    TEST(lost),
	    TEST(no_freeze),
	    TEST(commit_fails),
	    TEST(not_taken_back),
	    TEST(read_back),
	    TEST(shaped),
	    TEST(full_disk),
	    TEST(read_only),
	    TEST(cancel_early),
	    TEST(cancel_waiting),
	    TEST(cancel_storing),
	    TEST(cancel_late),
	    TEST(told),
	    TEST(blocking),
	    TEST(two_at_once),
	    TEST(dressed),
	    TEST(closed),
	    TEST(not_believed),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
