/* SPDX-License-Identifier: MIT */
/* The sums of pages, from one session to the next. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "core/catalog.h"
#include "core/pages.h"
#include "tests/unit/scratch.h"

#define PAGE 4096
#define N 1000
#define PATH "data/sub/app.db"

struct fixture {
	char *dir;
	struct still_catalog *catalog;
	struct still_error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	if (still_catalog_open(
		scratch_path(f->dir, "state"), true, &f->catalog, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	still_error_clear(&f->err);
	still_catalog_close(f->catalog);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static void fill(struct still_pages *pages, uint64_t seed)
{
	for (uint64_t i = 0; i < pages->n; i++)
		pages->sums[i] = scratch_random(&seed);
}

static void make(struct fixture *f, uint64_t n, struct still_pages *ret)
{
	if (still_pages_new(f->catalog, PAGE, n, ret, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	assert_int_equal(ret->n, n);
	assert_int_equal(ret->page_bytes, PAGE);
}

static void keep(struct fixture *f, const char *id, const char *path,
    uint64_t n, uint64_t seed)
{
	struct still_pages pages = STILL_PAGES_INIT;

	make(f, n, &pages);
	fill(&pages, seed);
	if (still_pages_keep(f->catalog, &pages, id, path, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	still_pages_release(&pages);
	assert_int_equal(still_pages_sync(f->catalog, id, NULL), 0);
}

static void is_kept(struct fixture *f, const char *id, const char *path,
    uint64_t n, uint64_t seed)
{
	struct still_pages pages = STILL_PAGES_INIT;

	if (still_pages_open(f->catalog, id, path, &pages, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	assert_int_equal(pages.n, n);
	assert_int_equal(pages.page_bytes, PAGE);
	for (uint64_t i = 0; i < n; i++)
		assert_true(pages.sums[i] == scratch_random(&seed));
	still_pages_release(&pages);
}

static void gives(struct fixture *f, const char *id, const char *path, int want)
{
	struct still_pages pages = STILL_PAGES_INIT;

	assert_int_equal(
	    still_pages_open(f->catalog, id, path, &pages, &f->err), want);
	assert_null(pages.map);
	assert_int_equal(f->err.code, want);
	assert_non_null(strstr(still_error_msg(&f->err), path));
	still_error_clear(&f->err);
}

static const char *file_of(struct fixture *f, const char *id, const char *path)
{
	char hex[STILL_HASH128_HEX_CHARS + 1];
	char name[200];

	still_hash128_hex(still_hash128(path, strlen(path)), hex);
	snprintf(name, sizeof(name), "state/pages/%s/%s", id, hex);
	return scratch_path(f->dir, name);
}

struct names {
	unsigned n;
	char last[64];
};

static int name(void *arg, const char *id, struct still_error *err)
{
	struct names *names = arg;

	(void) err;
	names->n++;
	snprintf(names->last, sizeof(names->last), "%s", id);
	return 0;
}

static unsigned count(struct fixture *f)
{
	struct names names = {0};

	assert_int_equal(
	    still_pages_each(f->catalog, name, &names, &f->err), 0);
	return names.n;
}

/* ---- kept ---------------------------------------------------------------- */

static void kept(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(count(f), 0);
	keep(f, "one", PATH, N, 1);
	keep(f, "one", "data/other.db", 1, 2);
	keep(f, "one", "data/empty.db", 0, 3);
	keep(f, "two", PATH, N + 1, 4);
	assert_int_equal(count(f), 2);
	/* As another process, later. */
	still_catalog_close(f->catalog);
	assert_int_equal(still_catalog_open(scratch_path(f->dir, "state"),
			     false, &f->catalog, &f->err),
	    0);
	is_kept(f, "one", PATH, N, 1);
	is_kept(f, "one", "data/other.db", 1, 2);
	is_kept(f, "one", "data/empty.db", 0, 3);
	is_kept(f, "two", PATH, N + 1, 4);
	gives(f, "one", "data/third.db", STILL_ERR_NOTFOUND);
	gives(f, "three", PATH, STILL_ERR_NOTFOUND);
	assert_int_equal(still_pages_sync(f->catalog, "three", NULL), 0);
}

static void replaced(void **state)
{
	struct fixture *f = *state;

	keep(f, "one", PATH, N, 1);
	keep(f, "one", PATH, N - 1, 2);
	is_kept(f, "one", PATH, N - 1, 2);
}

static void forgotten(void **state)
{
	struct fixture *f = *state;
	struct still_pages pages = STILL_PAGES_INIT;
	uint64_t seed = 1;

	keep(f, "one", PATH, N, 1);
	keep(f, "two", PATH, N, 2);
	assert_int_equal(
	    still_pages_open(f->catalog, "one", PATH, &pages, NULL), 0);
	still_pages_forget(f->catalog, "one");
	still_pages_forget(f->catalog, "none");
	gives(f, "one", PATH, STILL_ERR_NOTFOUND);
	is_kept(f, "two", PATH, N, 2);
	assert_int_equal(count(f), 1);
	/* Whoever has them still has them. */
	for (uint64_t i = 0; i < N; i++)
		assert_true(pages.sums[i] == scratch_random(&seed));
	still_pages_release(&pages);
}

/* What was not kept leaves nothing, and what is ours is nobody else's. */
static void leftovers(void **state)
{
	struct fixture *f = *state;
	struct still_pages pages = STILL_PAGES_INIT;
	unsigned n_fds = scratch_count_fds();
	struct stat st;

	make(f, N, &pages);
	fill(&pages, 1);
	still_pages_release(&pages);
	still_pages_release(&pages);
	assert_int_equal(count(f), 0);
	keep(f, "one", PATH, N, 1);
	assert_int_equal(stat(file_of(f, "one", PATH), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 64 + 8 * N);
	assert_int_equal(stat(scratch_path(f->dir, "state/pages"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(scratch_count_fds(), n_fds);
}

static void remembered_by_nobody(void **state)
{
	struct fixture *f = *state;
	struct still_pages pages = STILL_PAGES_INIT;

	assert_int_equal(still_pages_new(NULL, PAGE, N, &pages, &f->err), 0);
	fill(&pages, 1);
	still_pages_release(&pages);
	assert_int_equal(
	    still_pages_new(NULL, PAGE, UINT64_MAX / 8, &pages, NULL),
	    STILL_ERR_NOMEM);
	assert_null(pages.map);
}

/* ---- damage -------------------------------------------------------------- */

static void change_file(const char *path, const uint8_t *data, size_t len)
{
	assert_int_equal(scratch_write(path, data, len), 0);
}

static size_t read_file(const char *path, uint8_t *out, size_t room)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	assert_non_null(file);
	n = fread(out, 1, room, file);
	fclose(file);
	return n;
}

/* Each byte of the header, and any of the sums. */
static void damaged(void **state)
{
	struct fixture *f = *state;
	uint8_t data[64 + 8 * N + 8];
	const char *path;
	size_t len;

	keep(f, "one", PATH, N, 1);
	path = strdup(file_of(f, "one", PATH));
	len = read_file(path, data, sizeof(data));
	assert_int_equal(len, 64 + 8 * N);
	for (size_t at = 0; at < len; at += at < 64 ? 1 : 97) {
		data[at] ^= 0x10;
		change_file(path, data, len);
		gives(f, "one", PATH, STILL_ERR_CORRUPT);
		data[at] ^= 0x10;
	}
	/* Pages of no size. */
	memset(data + 8, 0, 4);
	change_file(path, data, len);
	gives(f, "one", PATH, STILL_ERR_CORRUPT);
	data[9] = PAGE >> 8;
	for (size_t cut = 0; cut < len; cut += cut < 80 ? 1 : 1001) {
		change_file(path, data, cut);
		gives(f, "one", PATH, STILL_ERR_CORRUPT);
	}
	memset(data + len, 0, 8);
	change_file(path, data, len + 8);
	gives(f, "one", PATH, STILL_ERR_CORRUPT);
	change_file(path, data, len);
	is_kept(f, "one", PATH, N, 1);
	free((char *) path);
}

/* The sums of one file under the name of another. */
static void swapped(void **state)
{
	struct fixture *f = *state;

	keep(f, "one", PATH, N, 1);
	keep(f, "one", "data/other.db", N, 2);
	assert_int_equal(
	    rename(file_of(f, "one", PATH), file_of(f, "one", "data/other.db")),
	    0);
	gives(f, "one", "data/other.db", STILL_ERR_CORRUPT);
	gives(f, "one", PATH, STILL_ERR_NOTFOUND);
}

/* ---- what the disk does -------------------------------------------------- */

static enum still_sys_call failing;
static int failing_errno;

static int fault(enum still_sys_call call)
{
	return call == failing ? failing_errno : 0;
}

static void fail_at(enum still_sys_call call, int sys_errno)
{
	failing = call;
	failing_errno = sys_errno;
	still_sys_fault = fault;
}

static void full_disk(void **state)
{
	struct fixture *f = *state;
	struct still_pages pages = STILL_PAGES_INIT;
	unsigned n_fds = scratch_count_fds();

	fail_at(STILL_SYS_ALLOCATE, ENOSPC);
	assert_int_equal(still_pages_new(f->catalog, PAGE, N, &pages, &f->err),
	    STILL_ERR_NOSPACE);
	assert_non_null(strstr(still_error_msg(&f->err), "/pages"));
	assert_non_null(f->err.hint);
	assert_null(pages.map);
	assert_int_equal(scratch_count_fds(), n_fds);
	/* It can promise nothing, and has the room. */
	fail_at(STILL_SYS_ALLOCATE, EOPNOTSUPP);
	keep(f, "one", PATH, 20000, 1);
	is_kept(f, "one", PATH, 20000, 1);
	still_sys_fault = NULL;
	make(f, N, &pages);
	fill(&pages, 7);
	fail_at(STILL_SYS_FSYNC, EIO);
	assert_int_equal(
	    still_pages_keep(f->catalog, &pages, "two", PATH, &f->err),
	    STILL_ERR_IO);
	assert_int_equal(
	    still_pages_sync(f->catalog, "one", NULL), STILL_ERR_IO);
	still_sys_fault = NULL;
	gives(f, "two", PATH, STILL_ERR_NOTFOUND);
	/* They are as they were, for another try. */
	assert_int_equal(
	    still_pages_keep(f->catalog, &pages, "two", PATH, &f->err), 0);
	still_pages_release(&pages);
	is_kept(f, "two", PATH, N, 7);
	fail_at(STILL_SYS_OPEN, EIO);
	gives(f, "two", PATH, STILL_ERR_IO);
	still_sys_fault = NULL;
	assert_int_equal(scratch_count_fds(), n_fds);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(kept),
	    TEST(replaced),
	    TEST(forgotten),
	    TEST(leftovers),
	    TEST(remembered_by_nobody),
	    TEST(damaged),
	    TEST(swapped),
	    TEST(full_disk),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
