/* SPDX-License-Identifier: MIT */
/* The list of a cluster's files, made of trees that look like one. */
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

#include "base/sys.h"
#include "engines/postgres/walk.h"
#include "tests/unit/scratch.h"

#define VERSION_DIR "PG_15_202209061"

struct fixture {
	char *dir;
	char *data;
	unsigned n_fds;
	struct still_pg_tablespace spaces[4];
	struct still_pg_walk_request request;
	atomic_bool cancel;
	struct still_pg_walk walk;
	struct still_error err;
	char warned[512]; /* objects, each with a blank behind it */
};

static void hear(
    void *arg, const char *event, const char *object, const char *text)
{
	struct fixture *f = arg;
	size_t len = strlen(f->warned);

	assert_string_equal(event, "skipped");
	assert_non_null(text);
	snprintf(f->warned + len, sizeof(f->warned) - len, "%s ", object);
}

static void make_dir(const char *top, const char *name)
{
	assert_int_equal(mkdir(scratch_path(top, name), 0700), 0);
}

static void make_file(const char *top, const char *name)
{
	assert_int_equal(
	    scratch_write(scratch_path(top, name), name, strlen(name)), 0);
}

static void make_link(const char *to, const char *top, const char *name)
{
	assert_int_equal(symlink(to, scratch_path(top, name)), 0);
}

static int setup(void **state)
{
	static const char *const dirs[] = {"data", "data/base", "data/base/1",
	    "data/base/5", "data/global", "data/pg_wal",
	    "data/pg_wal/archive_status", "data/pg_tblspc", "data/pg_xact",
	    "data/pg_notify", "ts", "ts/" VERSION_DIR, "ts/" VERSION_DIR "/5"};
	static const char *const files[] = {"data/PG_VERSION",
	    "data/postmaster.pid", "data/base/1/1259", "data/base/5/1259",
	    "data/base/5/1259_vm", "data/global/pg_control", "data/global/1262",
	    "data/pg_wal/000000010000000000000001",
	    "data/pg_wal/00000002.history", "data/pg_xact/0000",
	    "data/pg_notify/0000", "ts/" VERSION_DIR "/5/16400"};
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	umask(022);
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		make_dir(f->dir, dirs[i]);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		make_file(f->dir, files[i]);
	f->data = strdup(scratch_path(f->dir, "data"));
	f->request = (struct still_pg_walk_request){
	    .data_dir = f->data,
	    .version_dir = VERSION_DIR,
	    .tablespaces = f->spaces,
	    .cancel = &f->cancel,
	    .observer = {.warn = hear, .arg = f},
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	still_pg_walk_release(&f->walk);
	still_error_clear(&f->err);
	for (size_t i = 0; i < 4; i++)
		free((char *) f->spaces[i].location);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f->data);
	free(f);
	return 0;
}

static void add_space(struct fixture *f, uint32_t oid, const char *place)
{
	f->spaces[f->request.n_tablespaces++] = (struct still_pg_tablespace){
	    oid, strdup(place)};
}

/* As CREATE TABLESPACE does. */
static void make_space(struct fixture *f, const char *oid, const char *place)
{
	char name[64];

	snprintf(name, sizeof(name), "data/pg_tblspc/%s", oid);
	make_link(place, f->dir, name);
	add_space(f, (uint32_t) strtoul(oid, NULL, 10), place);
}

static void walk(struct fixture *f)
{
	int rc;

	still_pg_walk_release(&f->walk);
	f->warned[0] = '\0';
	rc = still_pg_walk_run(&f->request, &f->walk, &f->err);
	if (rc < 0)
		fail_msg("%s", still_error_msg(&f->err));
}

static void walk_fails(struct fixture *f, int code, const char *msg)
{
	still_error_clear(&f->err);
	assert_int_equal(
	    still_pg_walk_run(&f->request, &f->walk, &f->err), code);
	if (!strstr(still_error_msg(&f->err), msg))
		fail_msg("%s", still_error_msg(&f->err));
}

static const struct still_pg_entry *find(
    const struct fixture *f, const char *path)
{
	for (size_t i = 0; i < f->walk.list.n; i++)
		if (strcmp(f->walk.list.entries[i].path, path) == 0)
			return &f->walk.list.entries[i];
	return NULL;
}

/* The list is these, in this order. */
static void expect(const struct fixture *f, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < f->walk.list.n && i < n; i++)
		assert_string_equal(f->walk.list.entries[i].path, paths[i]);
	assert_int_equal(f->walk.list.n, n);
}

#define EXPECT(f, ...)                                              \
	do {                                                        \
		static const char *const paths[] = {__VA_ARGS__};   \
		expect(f, paths, sizeof(paths) / sizeof(paths[0])); \
	} while (0)

static void a_cluster_is_listed(void **state)
{
	struct fixture *f = *state;
	const struct still_pg_entry *entry;
	uint64_t bytes = 0;

	make_space(f, "16384", scratch_path(f->dir, "ts"));
	walk(f);
	EXPECT(f, "data", "data/PG_VERSION", "data/base", "data/global",
	    "data/pg_notify", "data/pg_tblspc", "data/pg_wal", "data/pg_xact",
	    "data/base/1", "data/base/5", "data/global/1262",
	    "data/pg_xact/0000", "data/base/1/1259", "data/base/5/1259",
	    "data/base/5/1259_vm", "data/pg_wal/archive_status",
	    "data/pg_wal/00000002.history", "tablespaces/16384",
	    "tablespaces/16384/" VERSION_DIR,
	    "tablespaces/16384/" VERSION_DIR "/5",
	    "tablespaces/16384/" VERSION_DIR "/5/16400");
	assert_string_equal(f->walk.control.path, "data/global/pg_control");
	assert_string_equal(f->warned, "");
	entry = find(f, "data/base/5/1259_vm");
	assert_int_equal(entry->rule, STILL_PG_RELATION);
	assert_int_equal(entry->relation.relfilenode, 1259);
	assert_int_equal(entry->relation.fork, STILL_PG_FORK_VM);
	assert_string_equal(still_pg_entry_rel(entry), "base/5/1259_vm");
	assert_int_equal(find(f, "data/pg_wal")->rule, STILL_PG_EMPTY_DIR);
	for (size_t i = 0; i < f->walk.list.n; i++)
		if (S_ISREG(f->walk.list.entries[i].st.st_mode))
			bytes += (uint64_t) f->walk.list.entries[i].st.st_size;
	assert_int_equal(f->walk.list.bytes, bytes);
}

static void files_are_opened_and_named(void **state)
{
	struct fixture *f = *state;
	const struct still_pg_entry *entry;
	struct stat st;
	char *name;
	int fd;

	make_space(f, "16384", scratch_path(f->dir, "ts"));
	walk(f);
	entry = find(f, "data/base/5/1259");
	fd = still_pg_entry_open(&f->walk, entry, 0, &st);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(st.st_ino, entry->st.st_ino);
	name = still_pg_entry_name(&f->walk, entry);
	assert_string_equal(name, "base/5/1259");
	free(name);
	/* What takes its name is not followed, and waits for nobody. */
	unlink(scratch_path(f->data, "base/5/1259"));
	assert_int_equal(still_pg_entry_open(&f->walk, entry, 0, &st), -ENOENT);
	make_link("1259_vm", f->data, "base/5/1259");
	assert_int_equal(still_pg_entry_open(&f->walk, entry, 0, &st), -ELOOP);
	unlink(scratch_path(f->data, "base/5/1259"));
	assert_int_equal(mkfifo(scratch_path(f->data, "base/5/1259"), 0600), 0);
	assert_int_equal(still_pg_entry_open(&f->walk, entry, 0, &st), -ENOENT);
	entry = find(f, "tablespaces/16384/" VERSION_DIR "/5/16400");
	name = still_pg_entry_name(&f->walk, entry);
	assert_string_equal(
	    name, scratch_path(f->dir, "ts/" VERSION_DIR "/5/16400"));
	free(name);
	entry = find(f, "data/pg_wal/00000002.history");
	name = still_pg_entry_name(&f->walk, entry);
	assert_string_equal(name, "pg_wal/00000002.history");
	free(name);
}

static void segments_are_asked_for_by_name(void **state)
{
	struct fixture *f = *state;
	struct still_pg_list list = {0};

	walk(f);
	assert_int_equal(still_pg_walk_wal(&f->walk, "000000010000000000000001",
			     &list, &f->err),
	    0);
	assert_string_equal(
	    list.entries[0].path, "data/pg_wal/000000010000000000000001");
	assert_int_equal(list.bytes, list.entries[0].st.st_size);
	assert_int_equal(still_pg_walk_wal(&f->walk, "000000010000000000000002",
			     &list, &f->err),
	    STILL_ERR_NOTFOUND);
	assert_non_null(strstr(
	    still_error_msg(&f->err), "`pg_wal/000000010000000000000002`: "));
	assert_int_equal(
	    still_pg_walk_wal(&f->walk, "archive_status", &list, &f->err),
	    STILL_ERR_INVALID);
	assert_int_equal(list.n, 1);
	still_pg_list_release(&list);
}

static void unlogged_relations_keep_their_init_fork(void **state)
{
	static const char *const gone[] = {"data/base/5/16400",
	    "data/base/5/16400.1", "data/base/5/16400_fsm",
	    "data/base/5/16400_vm.1", "data/base/5/t3_16402"};
	static const char *const kept[] = {"data/base/5/16400_init",
	    "data/base/5/16401", "data/base/5/16400x", "data/base/1/16400"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 5; i++)
		make_file(f->dir, gone[i]);
	for (size_t i = 0; i < 4; i++)
		make_file(f->dir, kept[i]);
	walk(f);
	for (size_t i = 0; i < 5; i++)
		assert_null(find(f, gone[i]));
	for (size_t i = 0; i < 4; i++)
		assert_non_null(find(f, kept[i]));
}

static void pg_wal_may_lie_elsewhere(void **state)
{
	struct fixture *f = *state;
	const struct still_pg_entry *entry;
	char *wal = strdup(scratch_path(f->dir, "wal"));

	assert_int_equal(rename(scratch_path(f->data, "pg_wal"), wal), 0);
	make_link(wal, f->data, "pg_wal");
	make_dir(f->dir, "wal/summaries");
	assert_int_equal(chmod(f->data, 0750), 0);
	walk(f);
	entry = find(f, "data/pg_wal");
	assert_int_equal(entry->rule, STILL_PG_EMPTY_DIR);
	assert_int_equal(entry->st.st_mode, S_IFDIR | 0750);
	assert_non_null(find(f, "data/pg_wal/archive_status"));
	assert_non_null(find(f, "data/pg_wal/summaries"));
	assert_non_null(find(f, "data/pg_wal/00000002.history"));
	assert_string_equal(f->walk.roots[STILL_PG_ROOT_WAL].path, wal);
	/* A relative link is one from the data directory. */
	unlink(scratch_path(f->data, "pg_wal"));
	make_link("../wal", f->data, "pg_wal");
	walk(f);
	assert_string_equal(f->walk.roots[STILL_PG_ROOT_WAL].path, wal);
	free(wal);
}

static void links_are_skipped_with_a_word(void **state)
{
	struct fixture *f = *state;

	make_link("/etc/passwd", f->data, "postgresql.conf");
	make_link("/", f->data, "log");
	make_link("/nowhere", f->data, "pg_tblspc/77");
	make_link("/", f->data, "pg_stat_tmp");
	assert_int_equal(mkfifo(scratch_path(f->data, "pipe"), 0600), 0);
	walk(f);
	assert_string_equal(
	    f->warned, "log pipe postgresql.conf pg_tblspc/77 ");
	assert_null(find(f, "data/postgresql.conf"));
	assert_null(find(f, "data/pipe"));
	assert_int_equal(
	    find(f, "data/pg_stat_tmp")->st.st_mode, S_IFDIR | 0700);
}

static void links_that_hide_data_are_refused(void **state)
{
	struct fixture *f = *state;

	make_link("1259_vm", f->data, "base/5/1260");
	walk_fails(
	    f, STILL_ERR_UNSUPPORTED, "`base/5/1260`: is a symbolic link");
	assert_non_null(f->err.hint);
	unlink(scratch_path(f->data, "base/5/1260"));
	assert_int_equal(rename(scratch_path(f->data, "base/1"),
			     scratch_path(f->dir, "elsewhere")),
	    0);
	make_link("../../elsewhere", f->data, "base/1");
	walk_fails(f, STILL_ERR_UNSUPPORTED, "`base/1`: is a symbolic link");
}

static void tablespaces_are_the_servers(void **state)
{
	struct fixture *f = *state;

	/* Of other versions, and what is no version's, nothing is taken. */
	make_dir(f->dir, "ts/PG_14_202107181");
	make_file(f->dir, "ts/PG_14_202107181/x");
	make_file(f->dir, "ts/notes");
	make_space(f, "16384", scratch_path(f->dir, "ts"));
	/* One that was dropped since. */
	add_space(f, 16999, "/nowhere");
	walk(f);
	assert_non_null(find(f, "tablespaces/16384/" VERSION_DIR "/5/16400"));
	assert_null(find(f, "tablespaces/16384/PG_14_202107181"));
	assert_null(find(f, "tablespaces/16384/notes"));
	assert_null(find(f, "data/pg_tblspc/16384"));
	assert_null(find(f, "tablespaces/16999"));
	assert_string_equal(f->warned, "");
}

static void a_tablespace_may_lie_behind_links(void **state)
{
	struct fixture *f = *state;

	make_dir(f->dir, "far");
	make_link("../ts", f->dir, "far/near");
	make_space(f, "16384", scratch_path(f->dir, "far/near"));
	walk(f);
	assert_non_null(find(f, "tablespaces/16384/" VERSION_DIR "/5/16400"));
}

static void a_tablespace_inside_is_taken_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
	    rename(scratch_path(f->dir, "ts"), scratch_path(f->data, "ts")), 0);
	make_space(f, "16384", scratch_path(f->data, "ts"));
	walk(f);
	assert_int_equal(find(f, "data/ts")->rule, STILL_PG_EMPTY_DIR);
	assert_null(find(f, "data/ts/" VERSION_DIR));
	assert_non_null(find(f, "tablespaces/16384/" VERSION_DIR "/5/16400"));
}

static void a_tablespace_that_disagrees_is_refused(void **state)
{
	struct fixture *f = *state;

	make_space(f, "16384", scratch_path(f->dir, "ts"));
	free((char *) f->spaces[0].location);
	f->spaces[0].location = strdup("/elsewhere");
	walk_fails(
	    f, STILL_ERR_FAILED, "tablespace 16384: its link leads to `");
	assert_non_null(strstr(
	    still_error_msg(&f->err), "and the server says `/elsewhere`"));
	unlink(scratch_path(f->data, "pg_tblspc/16384"));
	make_link("/elsewhere", f->data, "pg_tblspc/16384");
	walk_fails(f, STILL_ERR_NOTFOUND, "tablespace 16384 at `/elsewhere`: ");
}

static void a_tablespace_in_place_is_refused(void **state)
{
	struct fixture *f = *state;

	make_dir(f->data, "pg_tblspc/16384");
	walk_fails(f, STILL_ERR_UNSUPPORTED, "tablespace 16384: lies in place");
	add_space(f, 16384, "pg_tblspc/16384");
	walk_fails(f, STILL_ERR_UNSUPPORTED, "tablespace 16384: lies in place");
}

static void names_that_no_list_can_hold_are_refused(void **state)
{
	struct fixture *f = *state;

	make_file(f->data, "pgsql_tmp\n1");
	walk(f);
	make_file(f->data, "a\nb");
	walk_fails(f, STILL_ERR_INVALID, "the name has a newline in it");
	unlink(scratch_path(f->data, "a\nb"));
	make_dir(f->data, "a\nb");
	walk_fails(f, STILL_ERR_INVALID, "the name has a newline in it");
}

static void other_bytes_are_names(void **state)
{
	struct fixture *f = *state;

	make_file(f->data, "\xff \t\x01`'\"");
	walk(f);
	assert_non_null(find(f, "data/\xff \t\x01`'\""));
}

static void what_is_no_cluster_is_told(void **state)
{
	struct fixture *f = *state;

	f->request.data_dir = "/nowhere/at/all";
	walk_fails(f, STILL_ERR_NOTFOUND, "`/nowhere/at/all`: ");
	f->request.data_dir = f->data;
	unlink(scratch_path(f->data, "global/pg_control"));
	walk_fails(f, STILL_ERR_CORRUPT, "`global/pg_control`: is missing");
}

static void what_cannot_be_read_fails(void **state)
{
	struct fixture *f = *state;

	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(chmod(f->data, 0755), 0);
	assert_int_equal(chmod(scratch_path(f->data, "pg_wal"), 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	walk_fails(f, STILL_ERR_ACCESS, "`base`: Permission denied");
	assert_non_null(strstr(f->err.hint, "owner of the data directory"));
}

static void it_stops_when_told_to(void **state)
{
	struct fixture *f = *state;

	atomic_store(&f->cancel, true);
	walk_fails(f, STILL_ERR_CANCELLED, "stopped");
}

static unsigned calls;
static unsigned fail_at;

static int fault(enum still_sys_call call)
{
	(void) call;
	return calls++ == fail_at ? EMFILE : 0;
}

/* Whichever call fails: an error, and nothing left open (teardown). */
static void every_call_may_fail(void **state)
{
	struct fixture *f = *state;
	unsigned n_failed = 0;

	make_space(f, "16384", scratch_path(f->dir, "ts"));
	still_sys_fault = fault;
	for (fail_at = 0;; fail_at++) {
		calls = 0;
		still_error_clear(&f->err);
		if (still_pg_walk_run(&f->request, &f->walk, &f->err) == 0)
			break;
		assert_int_equal(f->err.code, STILL_ERR_IO);
		n_failed++;
	}
	assert_true(n_failed > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_cluster_is_listed),
	    TEST(files_are_opened_and_named),
	    TEST(segments_are_asked_for_by_name),
	    TEST(unlogged_relations_keep_their_init_fork),
	    TEST(pg_wal_may_lie_elsewhere),
	    TEST(links_are_skipped_with_a_word),
	    TEST(links_that_hide_data_are_refused),
	    TEST(tablespaces_are_the_servers),
	    TEST(a_tablespace_may_lie_behind_links),
	    TEST(a_tablespace_inside_is_taken_once),
	    TEST(a_tablespace_that_disagrees_is_refused),
	    TEST(a_tablespace_in_place_is_refused),
	    TEST(names_that_no_list_can_hold_are_refused),
	    TEST(other_bytes_are_names),
	    TEST(what_is_no_cluster_is_told),
	    TEST(what_cannot_be_read_fails),
	    TEST(it_stops_when_told_to),
	    TEST(every_call_may_fail),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
