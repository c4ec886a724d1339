/* SPDX-License-Identifier: MIT */
/*
 * Capturing files, with nobody and with somebody who writes to them. Whatever
 * file system TMPDIR lies on is tested; STILL_TEST_CLONES=1 says that it can
 * share blocks. tests/engine/pg_capture.sh goes through some.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "core/spool.h"
#include "engines/postgres/capture.h"
#include "engines/postgres/identity.h"
#include "tests/unit/scratch.h"

#define PAGE 8192

struct fixture;

struct writer {
	struct fixture *f;
	pthread_t thread;
	bool runs;
	uint64_t seed;
	unsigned first; /* of its files */
	atomic_bool stop;
	atomic_uint n_done;
};

#define N_WRITERS 3

struct fixture {
	char *dir;
	char *data;
	unsigned n_fds;
	uint64_t seed;
	bool clones;
	struct still_spool_dir spool;
	struct still_pg_walk walk;
	struct still_pg_capture_request request;
	struct still_pg_capture *capture;
	struct still_pg_captures captures;
	struct still_error err;
	atomic_bool cancel;
	/* What the callbacks do and saw. */
	unsigned n_whole;
	unsigned bad_for;
	uint32_t bad_block;
	const char *cut;
	uint64_t done_bytes;
	unsigned n_told;
	bool cancel_when_told;
	struct writer writers[N_WRITERS];
};

static int setup(void **state)
{
	static const char *const dirs[] = {"spool", "data", "data/base",
	    "data/base/5", "data/global", "data/pg_wal", "data/pg_tblspc"};
	const char *clones = getenv("STILL_TEST_CLONES");
	struct fixture *f = calloc(1, sizeof(*f));
	struct still_error err = STILL_ERROR_INIT;

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	f->seed = scratch_seed();
	f->clones = clones && *clones;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		assert_int_equal(mkdir(scratch_path(f->dir, dirs[i]), 0700), 0);
	assert_int_equal(
	    scratch_write(
		scratch_path(f->dir, "data/global/pg_control"), "x", 1),
	    0);
	f->data = strdup(scratch_path(f->dir, "data"));
	assert_int_equal(
	    still_spool_init(&f->spool, scratch_path(f->dir, "spool"), &err),
	    0);
	f->request = (struct still_pg_capture_request){
	    .walk = &f->walk,
	    .spool = still_spool_of(&f->spool),
	    .cancel = &f->cancel,
	    .arg = f,
	};
	*state = f;
	return 0;
}

static void let_go(struct fixture *f)
{
	still_pg_captures_release(&f->captures);
	still_pg_capture_free(f->capture);
	f->capture = NULL;
	assert_int_equal(atomic_load(&f->spool.used_bytes), 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	for (unsigned i = 0; i < N_WRITERS; i++)
		if (f->writers[i].runs) {
			atomic_store(&f->writers[i].stop, true);
			pthread_join(f->writers[i].thread, NULL);
		}
	let_go(f);
	still_pg_walk_release(&f->walk);
	still_spool_release(&f->spool);
	still_error_clear(&f->err);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f->data);
	free(f);
	return 0;
}

/* ---- files --------------------------------------------------------------- */

/* A page that tells by itself whether it is whole: a number, and a digest of
 * all that follows. */
static void make_page(uint8_t *page, uint64_t *seed)
{
	uint64_t digest;

	for (size_t i = 8; i < PAGE; i += 8) {
		uint64_t value = scratch_random(seed);

		memcpy(page + i, &value, 8);
	}
	digest = still_hash64(page + 8, PAGE - 8);
	memcpy(page, &digest, 8);
}

static bool is_whole(const void *page)
{
	uint64_t digest;

	memcpy(&digest, page, 8);
	return digest == still_hash64((const uint8_t *) page + 8, PAGE - 8);
}

static void make_relation(struct fixture *f, const char *name, size_t n_pages)
{
	uint8_t page[PAGE];
	int fd = open(scratch_path(f->data, name),
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t i = 0; i < n_pages; i++) {
		make_page(page, &f->seed);
		assert_int_equal(write(fd, page, PAGE), PAGE);
	}
	close(fd);
}

static void make_bytes(struct fixture *f, const char *name, size_t bytes)
{
	uint8_t *data = malloc(bytes + 1);

	assert_non_null(data);
	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t value = scratch_random(&f->seed);

		memcpy(data + i, &value, bytes - i < 8 ? bytes - i : 8);
	}
	assert_int_equal(
	    scratch_write(scratch_path(f->data, name), data, bytes), 0);
	free(data);
}

static void walk(struct fixture *f)
{
	const struct still_pg_walk_request request = {
	    .data_dir = f->data, .version_dir = "PG_15_202209061"};

	still_pg_walk_release(&f->walk);
	if (still_pg_walk_run(&request, &f->walk, &f->err) < 0)
		fail_msg("%s", still_error_msg(&f->err));
}

static int run(struct fixture *f)
{
	still_error_clear(&f->err);
	if (!f->capture)
		assert_int_equal(
		    still_pg_capture_new(&f->request, &f->capture, &f->err), 0);
	return still_pg_capture_run(
	    f->capture, &f->walk.list, false, &f->captures, &f->err);
}

static void must_run(struct fixture *f)
{
	if (run(f) < 0)
		fail_msg("%s", still_error_msg(&f->err));
}

static const struct still_pg_captured *find(
    const struct fixture *f, const char *path)
{
	for (size_t i = 0; i < f->captures.n; i++)
		if (strcmp(f->captures.files[i].entry->path, path) == 0)
			return &f->captures.files[i];
	return NULL;
}

/* The whole capture and some ranges of it are what the file holds. */
static void same(struct fixture *f, const struct still_pg_captured *file)
{
	size_t size = (size_t) file->extent.size_bytes;
	const char *rel = still_pg_entry_rel(file->entry);
	uint8_t *want = malloc(size + 1);
	uint8_t *got = malloc(size + 1);
	int fd = open(scratch_path(f->data, rel), O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && want && got);
	assert_int_equal(still_sys_pread(fd, want, size + 1, 0), size);
	assert_int_equal(
	    still_pg_captured_read(file, 0, got, size, &f->err), 0);
	assert_memory_equal(want, got, size);
	for (int i = 0; i < 20; i++) {
		size_t off = scratch_below(&f->seed, size + 1);
		size_t len = scratch_below(&f->seed, size - off + 1);

		assert_int_equal(
		    still_pg_captured_read(file, off, got, len, &f->err), 0);
		assert_memory_equal(want + off, got, len);
	}
	close(fd);
	free(want);
	free(got);
}

/* ---- nobody writes ------------------------------------------------------- */

static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 8192, 12288, 65535,
    65536, 65537, 131072, 1048575, 1048576, 1056768, 3000000, 8388608, 8388609};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void make_sizes(struct fixture *f)
{
	for (size_t i = 0; i < N_SIZES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "base/5/f%zu", 16384 + i);
		make_bytes(f, name, sizes[i]);
	}
	/* Holes stay holes, or are zeros. */
	make_bytes(f, "base/5/20000", 10);
	assert_int_equal(
	    truncate(scratch_path(f->data, "base/5/20000"), 1100 * PAGE), 0);
	walk(f);
}

static void every_size_is_captured(struct fixture *f)
{
	uint64_t bytes = 0;

	must_run(f);
	assert_int_equal(f->captures.n, N_SIZES + 1);
	for (size_t i = 0; i < f->captures.n; i++) {
		same(f, &f->captures.files[i]);
		bytes += f->captures.files[i].extent.size_bytes;
	}
	assert_int_equal(f->captures.bytes, bytes);
	assert_int_equal(f->captures.bytes, f->walk.list.bytes);
}

static void files_are_captured(void **state)
{
	struct fixture *f = *state;
	const char *reason;

	make_sizes(f);
	every_size_is_captured(f);
	assert_string_equal(still_pg_capture_way(f->capture, &reason),
	    f->clones ? "clone" : "copy");
	if (f->clones)
		assert_null(reason);
	else
		assert_string_equal(
		    reason, "its file system cannot share blocks");
	assert_int_equal(
	    still_pg_capture_copied_bytes(f->capture) == 0, f->clones);
	/* More can be captured by the same. */
	still_pg_captures_release(&f->captures);
	every_size_is_captured(f);
}

static void copies_can_be_forced(void **state)
{
	struct fixture *f = *state;
	const char *reason;

	f->request.way = STILL_PG_WAY_COPY;
	make_sizes(f);
	every_size_is_captured(f);
	assert_string_equal(still_pg_capture_way(f->capture, &reason), "copy");
	assert_null(reason);
	assert_true(
	    still_pg_capture_copied_bytes(f->capture) >= f->captures.bytes);
	assert_int_equal(still_pg_capture_copied_bytes(f->capture),
	    atomic_load(&f->spool.used_bytes));
}

static bool note_step(void *arg, uint64_t bytes)
{
	uint64_t *most = arg;

	if (bytes > *most)
		*most = bytes;
	return true;
}

/* A writer of the file waits while a step is made. */
static void a_clone_is_made_in_steps(void **state)
{
	struct fixture *f = *state;
	uint64_t most = 0;
	struct still_pg_capturing how = {.tick = note_step, .arg = &most};
	struct still_pg_container *container;
	struct still_pg_extent extent;
	size_t size = 3 * STILL_PG_CLONE_STEP_BYTES + 12345;
	int from;
	int to;

	if (!f->clones)
		skip();
	make_bytes(f, "base/5/16384", size);
	from = open(
	    scratch_path(f->data, "base/5/16384"), O_RDONLY | O_CLOEXEC);
	to = open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(from >= 0 && to >= 0);
	assert_int_equal(still_pg_container_new(to, true, &container), 0);
	assert_int_equal(
	    still_pg_container_clone(container, from, size, &how, &extent), 0);
	assert_int_equal(extent.size_bytes, size);
	assert_int_equal(most, STILL_PG_CLONE_STEP_BYTES);
	still_pg_container_free(container);
	close(from);
}

/* There must be room for copies that nobody will read, and no bytes. */
static void a_trial_copies_nothing(void **state)
{
	struct fixture *f = *state;

	f->request.way = STILL_PG_WAY_COPY;
	f->request.trial = true;
	make_sizes(f);
	must_run(f);
	for (size_t i = 0; i < f->captures.n; i++)
		assert_null(f->captures.files[i].extent.container);
	assert_true(f->captures.bytes > 0);
	assert_true(
	    still_pg_capture_copied_bytes(f->capture) >= f->captures.bytes);
	assert_int_equal(still_pg_capture_copied_bytes(f->capture),
	    atomic_load(&f->spool.used_bytes));
	/* But what must be whole is read, and so it is copied. */
	still_pg_captures_release(&f->captures);
	assert_int_equal(still_pg_capture_run(f->capture, &f->walk.list, true,
			     &f->captures, &f->err),
	    0);
	for (size_t i = 0; i < f->captures.n; i++)
		assert_true(f->captures.files[i].extent.size_bytes == 0 ||
		    f->captures.files[i].extent.container);
}

static void clones_can_be_forced(void **state)
{
	struct fixture *f = *state;

	f->request.way = STILL_PG_WAY_CLONE;
	make_sizes(f);
	if (f->clones) {
		every_size_is_captured(f);
		return;
	}
	assert_int_equal(run(f), STILL_ERR_UNSUPPORTED);
	assert_non_null(strstr(still_error_msg(&f->err),
	    "`base/5/20000`: cannot be cloned: "
	    "its file system cannot share blocks"));
	assert_non_null(strstr(f->err.hint, "freeze=copy"));
}

/* Where the spool is on another disk, a clone lies beside the data directory,
 * and leaves no name there. */
static void clones_need_no_spool(void **state)
{
	struct fixture *f = *state;
	struct stat here;
	struct stat there;

	if (!f->clones || stat("/dev/shm", &there) != 0 ||
	    stat(f->dir, &here) != 0 || here.st_dev == there.st_dev)
		skip();
	still_spool_release(&f->spool);
	char *elsewhere = strdup("/dev/shm/stillfs-test-XXXXXX");

	assert_non_null(mkdtemp(elsewhere));
	assert_int_equal(still_spool_init(&f->spool, elsewhere, &f->err), 0);
	f->request.way = STILL_PG_WAY_CLONE;
	make_sizes(f);
	every_size_is_captured(f);
	let_go(f);
	assert_int_equal(rmdir(elsewhere), 0);
	free(elsewhere);
}

static void what_vanished_is_left_out(void **state)
{
	struct fixture *f = *state;

	make_sizes(f);
	unlink(scratch_path(f->data, "base/5/f16390"));
	must_run(f);
	assert_int_equal(f->captures.n, N_SIZES);
	assert_null(find(f, "data/base/5/f16390"));
	assert_non_null(find(f, "data/base/5/f16391"));
	still_pg_captures_release(&f->captures);
	assert_int_equal(still_pg_capture_run(f->capture, &f->walk.list, true,
			     &f->captures, &f->err),
	    STILL_ERR_NOTFOUND);
	assert_non_null(
	    strstr(still_error_msg(&f->err), "`base/5/f16390`: No such file"));
}

static void files_that_grew_are_captured(void **state)
{
	struct fixture *f = *state;

	make_sizes(f);
	for (size_t i = 0; i < N_SIZES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "base/5/f%zu", 16384 + i);
		make_bytes(f, name, sizes[i] + 5000000);
	}
	must_run(f);
	for (size_t i = 0; i < f->captures.n; i++)
		same(f, &f->captures.files[i]);
}

/* A relation may end within a page for ever. */
static void odd_relations_are_captured(void **state)
{
	struct fixture *f = *state;

	make_bytes(f, "base/5/16384", 5 * PAGE + 4096);
	walk(f);
	must_run(f);
	assert_int_equal(
	    f->captures.files[0].extent.size_bytes, 5 * PAGE + 4096);
	same(f, &f->captures.files[0]);
}

/* But what a full disk left behind its last page is nothing. */
static void left_overs_are_left_out(void **state)
{
	struct fixture *f = *state;

	make_bytes(f, "base/5/16384", 5 * PAGE);
	assert_int_equal(
	    truncate(scratch_path(f->data, "base/5/16384"), 5 * PAGE + 4096),
	    0);
	walk(f);
	must_run(f);
	assert_int_equal(f->captures.files[0].extent.size_bytes, 5 * PAGE);
	assert_int_equal(
	    truncate(scratch_path(f->data, "base/5/16384"), 5 * PAGE), 0);
	same(f, &f->captures.files[0]);
}

static void many_files_are_captured(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < 20000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "base/5/f%zu", 16384 + i);
		assert_int_equal(scratch_write(scratch_path(f->data, name),
				     name, i % sizeof(name)),
		    0);
	}
	walk(f);
	must_run(f);
	assert_int_equal(f->captures.n, 20000);
	for (size_t i = 0; i < f->captures.n; i += 7)
		same(f, &f->captures.files[i]);
	/* Two threads, and a container for each at most. */
	assert_true(scratch_count_fds() <= f->n_fds + 2 + 4);
}

/* ---- pages --------------------------------------------------------------- */

static pthread_mutex_t callback_lock = PTHREAD_MUTEX_INITIALIZER;

/* Says `bad_for` times of one block that it is torn. */
static bool judge(void *arg, const struct still_pg_relation *relation,
    uint32_t block, const void *page)
{
	struct fixture *f = arg;
	bool good = true;

	pthread_mutex_lock(&callback_lock);
	assert_non_null(page);
	assert_int_equal(relation->relfilenode, 16384);
	f->n_whole++;
	if (block == f->bad_block && f->bad_for > 0) {
		f->bad_for--;
		good = false;
		if (f->cut)
			assert_int_equal(
			    truncate(f->cut, (off_t) block * PAGE), 0);
	}
	pthread_mutex_unlock(&callback_lock);
	return good;
}

static void torn_pages_are_read_again(void **state)
{
	struct fixture *f = *state;

	make_relation(f, "base/5/16384", 1000);
	make_bytes(f, "base/5/PG_VERSION", 100000);
	walk(f);
	f->request.way = STILL_PG_WAY_COPY;
	f->request.whole = judge;
	f->bad_block = 333;
	f->bad_for = 2;
	must_run(f);
	assert_int_equal(f->n_whole, 1002);
	same(f, &f->captures.files[0]);
	same(f, &f->captures.files[1]);
	/* One that stays so is captured as it is. */
	still_pg_captures_release(&f->captures);
	f->bad_for = 1000000;
	must_run(f);
	same(f, find(f, "data/base/5/16384"));
}

static void a_file_that_ends_before_a_torn_page_ends_there(void **state)
{
	struct fixture *f = *state;
	char *cut = strdup(scratch_path(f->data, "base/5/16384"));
	const struct still_pg_captured *file;

	make_relation(f, "base/5/16384", 1000);
	walk(f);
	f->request.way = STILL_PG_WAY_COPY;
	f->request.whole = judge;
	f->bad_block = 333;
	f->bad_for = 1;
	f->cut = cut;
	must_run(f);
	file = find(f, "data/base/5/16384");
	assert_int_equal(file->extent.size_bytes, 333 * PAGE);
	assert_null(file->identity);
	same(f, file);
	free(cut);
}

/* ---- somebody writes ----------------------------------------------------- */

#define WRITER_FILES 20
#define ROUNDS 5

static void write_once(struct writer *writer)
{
	unsigned number = writer->first +
	    (unsigned) scratch_below(&writer->seed, 20);
	uint8_t page[PAGE];
	char name[PATH_MAX];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "%s/base/5/%u", writer->f->data, number);
	if (scratch_below(&writer->seed, 200) == 0)
		unlink(name);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) != 0)
		abort();
	make_page(page, &writer->seed);
	switch (scratch_below(&writer->seed, 8)) {
	case 0:
	case 1:
	case 2:
		/* Not for ever. */
		if (st.st_size < 400 * PAGE &&
		    pwrite(fd, page, PAGE, st.st_size) != PAGE)
			abort();
		break;
	case 3:
		if (scratch_below(&writer->seed, 20) == 0 &&
		    ftruncate(fd,
			(off_t) scratch_below(
			    &writer->seed, (uint64_t) st.st_size / PAGE + 1) *
			    PAGE) != 0)
			abort();
		break;
	default:
		if (st.st_size &&
		    pwrite(fd, page, PAGE,
			(off_t) scratch_below(
			    &writer->seed, (uint64_t) st.st_size / PAGE) *
			    PAGE) != PAGE)
			abort();
	}
	close(fd);
}

static void *write_on(void *arg)
{
	struct writer *writer = arg;

	while (!atomic_load(&writer->stop)) {
		write_once(writer);
		atomic_fetch_add(&writer->n_done, 1);
	}
	return NULL;
}

static const char line[10] = "log line\n";

/* Lines of a log, whose end is hardly ever that of a block. */
static void *log_on(void *arg)
{
	struct writer *writer = arg;
	char name[PATH_MAX];
	int fd;

	snprintf(name, sizeof(name), "%s/log.txt", writer->f->data);
	fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		abort();
	while (!atomic_load(&writer->stop)) {
		if (write(fd, line, sizeof(line)) != sizeof(line))
			abort();
		if (lseek(fd, 0, SEEK_CUR) > 1000000 && ftruncate(fd, 0) != 0)
			abort();
		atomic_fetch_add(&writer->n_done, 1);
	}
	close(fd);
	return NULL;
}

static bool judge_page(void *arg, const struct still_pg_relation *relation,
    uint32_t block, const void *page)
{
	(void) arg;
	(void) relation;
	(void) block;
	return is_whole(page);
}

/* Every page of it is one that was written, and every line. */
static void all_is_whole(
    struct fixture *f, const struct still_pg_captured *file)
{
	size_t size = (size_t) file->extent.size_bytes;
	bool is_log = strcmp(file->entry->path, "data/log.txt") == 0;
	size_t unit = is_log ? sizeof(line) : PAGE;
	uint8_t *data = malloc(size + 1);

	assert_non_null(data);
	assert_int_equal(
	    still_pg_captured_read(file, 0, data, size, &f->err), 0);
	/* A log has no pages: its last line may be half there. */
	assert_true(is_log || size % unit == 0);
	for (size_t off = 0; off + unit <= size; off += unit)
		if (is_log ? memcmp(data + off, line, unit) != 0
			   : !is_whole(data + off))
			fail_msg("%s: unit %zu of %zu is torn",
			    file->entry->path, off / unit, size / unit);
	free(data);
}

static void start(struct fixture *f, struct writer *writer, unsigned i)
{
	*writer = (struct writer){
	    .f = f, .first = 16384 + WRITER_FILES * i, .seed = f->seed + i};
	assert_int_equal(pthread_create(&writer->thread, NULL,
			     i == 2 ? log_on : write_on, writer),
	    0);
	writer->runs = true;
}

static void captured_beside_writers(struct fixture *f)
{
	struct writer *writers = f->writers;
	unsigned done[N_WRITERS];
	unsigned n_files = 0;

	for (unsigned i = 0; i < 2 * WRITER_FILES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "base/5/%u", 16384 + i);
		make_relation(f, name, 200);
	}
	make_bytes(f, "log.txt", 0);
	for (unsigned i = 0; i < N_WRITERS; i++)
		start(f, &writers[i], i);
	f->request.whole = judge_page;
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < N_WRITERS; i++)
			done[i] = atomic_load(&writers[i].n_done);
		walk(f);
		must_run(f);
		for (unsigned i = 0; i < N_WRITERS; i++)
			while (atomic_load(&writers[i].n_done) < done[i] + 50)
				still_sys_sleep_ns(1000000);
		for (size_t i = 0; i < f->captures.n; i++)
			all_is_whole(f, &f->captures.files[i]);
		n_files += (unsigned) f->captures.n;
		let_go(f);
	}
	assert_true(n_files > ROUNDS * WRITER_FILES);
}

static void writers_do_no_harm(void **state)
{
	captured_beside_writers(*state);
}

static void writers_do_copies_no_harm(void **state)
{
	struct fixture *f = *state;

	f->request.way = STILL_PG_WAY_COPY;
	captured_beside_writers(f);
}

static void writers_do_clones_no_harm(void **state)
{
	struct fixture *f = *state;

	if (!f->clones)
		skip();
	f->request.way = STILL_PG_WAY_CLONE;
	captured_beside_writers(f);
}

/* The end of a log is elsewhere at each look, and none is that of a block. */
static void a_moving_end_is_cloned(void **state)
{
	struct fixture *f = *state;

	if (!f->clones)
		skip();
	f->request.way = STILL_PG_WAY_CLONE;
	make_bytes(f, "log.txt", 0);
	start(f, &f->writers[2], 2);
	for (int round = 0; round < 300; round++) {
		walk(f);
		must_run(f);
		for (size_t i = 0; i < f->captures.n; i++)
			all_is_whole(f, &f->captures.files[i]);
		still_pg_captures_release(&f->captures);
	}
}

/* ---- what can go wrong --------------------------------------------------- */

static void a_full_spool_is_told_before(void **state)
{
	struct fixture *f = *state;

	f->request.way = STILL_PG_WAY_COPY;
	make_sizes(f);
	f->spool.max_bytes = f->walk.list.bytes - 1;
	assert_int_equal(run(f), STILL_ERR_NOSPACE);
	assert_non_null(strstr(still_error_msg(&f->err), f->data));
	assert_int_equal(atomic_load(&f->spool.used_bytes), 0);
	assert_true(scratch_count_fds() <= f->n_fds + 2);
}

/* It is enough for what was listed, and not for what the file is now. */
static void a_spool_that_fills_up_is_told(void **state)
{
	struct fixture *f = *state;

	f->request.way = STILL_PG_WAY_COPY;
	make_sizes(f);
	f->spool.max_bytes = f->walk.list.bytes + 200000;
	make_bytes(f, "base/5/f16384", 1000000);
	assert_int_equal(run(f), STILL_ERR_NOSPACE);
	let_go(f);
	make_bytes(f, "base/5/f16384", 100000);
	must_run(f);
	same(f, find(f, "data/base/5/f16384"));
}

static void note_progress(void *arg, uint64_t done, uint64_t total)
{
	struct fixture *f = arg;

	assert_true(done >= f->done_bytes && done <= total);
	f->done_bytes = done;
	f->n_told++;
	if (f->cancel_when_told)
		atomic_store(&f->cancel, true);
}

static void progress_is_told(void **state)
{
	struct fixture *f = *state;

	f->request.progress = note_progress;
	make_sizes(f);
	must_run(f);
	assert_int_equal(f->done_bytes, f->walk.list.bytes);
	assert_true(f->n_told >= 1);
}

static void a_capture_can_be_stopped(void **state)
{
	struct fixture *f = *state;

	f->request.progress = note_progress;
	f->cancel_when_told = true;
	make_sizes(f);
	assert_int_equal(run(f), STILL_ERR_CANCELLED);
	assert_int_equal(f->captures.n, 0);
	assert_true(f->done_bytes < f->walk.list.bytes);
}

static void a_changed_copy_is_not_served(void **state)
{
	struct fixture *f = *state;
	const struct still_pg_captured *file;
	uint8_t data[100];
	unsigned n_hit = 0;

	f->request.way = STILL_PG_WAY_COPY;
	f->request.n_threads = 1;
	make_bytes(f, "base/5/16384", 200000);
	walk(f);
	must_run(f);
	file = find(f, "data/base/5/16384");
	for (int fd = 3; fd < 64; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0 && st.st_nlink == 0 &&
		    st.st_size == 200000) {
			assert_int_equal(pwrite(fd, "\0\0\0\0", 4, 70000), 4);
			n_hit++;
		}
	}
	assert_int_equal(n_hit, 1);
	assert_int_equal(
	    still_pg_captured_read(file, 0, data, 100, &f->err), 0);
	assert_int_equal(
	    still_pg_captured_read(file, 65536, data, 100, &f->err),
	    STILL_ERR_CORRUPT);
	assert_string_equal(still_error_msg(&f->err),
	    "private copy of `data/base/5/16384`: changed since it was made");
	assert_int_equal(
	    still_pg_captured_read(file, 131072, data, 100, &f->err), 0);
}

static atomic_uint calls;
static unsigned fail_at;

static int fault(enum still_sys_call call)
{
	(void) call;
	return atomic_fetch_add(&calls, 1) == fail_at ? EIO : 0;
}

/* Whichever call fails: an error or another way, and everything is given
 * back. */
static void every_call_may_fail(void **state)
{
	struct fixture *f = *state;
	unsigned n_failed = 0;

	for (int i = 0; i < 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "base/5/%d", 16384 + i);
		make_relation(f, name, 150);
	}
	walk(f);
	for (fail_at = 0; fail_at < 1000; fail_at++) {
		int rc;

		atomic_store(&calls, 0);
		still_sys_fault = fault;
		rc = run(f);
		still_sys_fault = NULL;
		if (rc < 0) {
			assert_int_equal(rc, STILL_ERR_IO);
			n_failed++;
		} else {
			for (size_t i = 0; i < f->captures.n; i++)
				same(f, &f->captures.files[i]);
		}
		let_go(f);
		if (atomic_load(&calls) <= fail_at)
			break;
	}
	assert_in_range(fail_at, 10, 999);
	assert_true(n_failed >= 10);
}

/* ---- identities ---------------------------------------------------------- */

#define S STILL_NS_PER_S

static void an_identity_is_of_old_files(void **state)
{
	struct stat st = {.st_ino = 7, .st_dev = 3, .st_size = 8192};
	char one[STILL_IDENTITY_MAX_BYTES + 1];
	char other[STILL_IDENTITY_MAX_BYTES + 1];
	struct stat after;

	(void) state;
	st.st_mtim.tv_sec = 1000;
	st.st_ctim.tv_sec = 1001;
	assert_true(still_pg_identity(&st, &st, 1010 * S, 0xb00, one));
	assert_string_equal(
	    one, "postgres1:b00:3:7:2000:e8d4a51000:e9103fda00");
	assert_false(still_pg_identity(&st, &st, 1002 * S, 0xb00, other));
	assert_false(still_pg_identity(&st, &st, 1003 * S, 0xb00, other));
	assert_true(still_pg_identity(&st, &st, 1004 * S, 0xb00, other));
	assert_string_equal(one, other);
	assert_false(still_pg_identity(&st, &st, 900 * S, 0xb00, other));
	assert_false(still_pg_identity(&st, &st, 1010 * S, 0, other));
	assert_true(still_pg_identity(&st, &st, 1010 * S, 0xb01, other));
	assert_string_not_equal(one, other);
	after = st;
	after.st_mtim.tv_nsec++;
	assert_false(still_pg_identity(&st, &after, 1010 * S, 0xb00, other));
	assert_true(still_pg_identity(&after, &after, 1010 * S, 0xb00, other));
	assert_string_not_equal(one, other);
	after = st;
	after.st_ctim.tv_nsec++;
	assert_false(still_pg_identity(&st, &after, 1010 * S, 0xb00, other));
	assert_true(still_pg_identity(&after, &after, 1010 * S, 0xb00, other));
	assert_string_not_equal(one, other);
	after = st;
	after.st_size++;
	assert_false(still_pg_identity(&st, &after, 1010 * S, 0xb00, other));
	assert_true(still_pg_identity(&after, &after, 1010 * S, 0xb00, other));
	assert_string_not_equal(one, other);
}

/* Until the file is older than the two seconds in which its times are not
 * believed. */
static void settle(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	while (still_sys_now_ns() < (int64_t) st.st_ctim.tv_sec * S +
		st.st_ctim.tv_nsec + 2100 * (S / 1000))
		still_sys_sleep_ns(S / 50);
}

static void files_have_identities(void **state)
{
	struct fixture *f = *state;
	const char *first;
	char *before;

	make_relation(f, "base/5/16384", 10);
	make_relation(f, "base/5/16385", 0);
	settle(scratch_path(f->data, "base/5/16385"));
	make_relation(f, "base/5/16386", 10);
	walk(f);
	must_run(f);
	first = find(f, "data/base/5/16384")->identity;
	assert_non_null(first);
	assert_non_null(find(f, "data/base/5/16385")->identity);
	assert_null(find(f, "data/base/5/16386")->identity);
	before = strdup(first);
	still_pg_captures_release(&f->captures);
	must_run(f);
	assert_string_equal(find(f, "data/base/5/16384")->identity, before);
	free(before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(files_are_captured),
	    TEST(copies_can_be_forced),
	    TEST(a_trial_copies_nothing),
	    TEST(a_clone_is_made_in_steps),
	    TEST(clones_can_be_forced),
	    TEST(clones_need_no_spool),
	    TEST(what_vanished_is_left_out),
	    TEST(files_that_grew_are_captured),
	    TEST(odd_relations_are_captured),
	    TEST(left_overs_are_left_out),
	    TEST(many_files_are_captured),
	    TEST(torn_pages_are_read_again),
	    TEST(a_file_that_ends_before_a_torn_page_ends_there),
	    TEST(writers_do_no_harm),
	    TEST(writers_do_copies_no_harm),
	    TEST(writers_do_clones_no_harm),
	    TEST(a_moving_end_is_cloned),
	    TEST(a_full_spool_is_told_before),
	    TEST(a_spool_that_fills_up_is_told),
	    TEST(progress_is_told),
	    TEST(a_capture_can_be_stopped),
	    TEST(a_changed_copy_is_not_served),
	    TEST(every_call_may_fail),
	    cmocka_unit_test(an_identity_is_of_old_files),
	    TEST(files_have_identities),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
