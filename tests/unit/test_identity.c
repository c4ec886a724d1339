/* SPDX-License-Identifier: MIT */
/* The identity of an image: whatever an application does, the same one never
 * stands for other bytes; and who does nothing keeps his. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sys.h"
#include "engines/sqlite/identity.h"
#include "tests/lib/app.h"
#include "tests/lib/frozen.h"
#include "tests/unit/scratch.h"

#define HOUR_NS (3600 * STILL_NS_PER_S)
#define RACY_NS (2 * STILL_NS_PER_S + 10 * 1000 * 1000)

/* A freeze, and what came of it. */
struct shot {
	bool has;
	char identity[SQLITE_IDENTITY_BYTES];
	uint64_t digest; /* of the bytes */
};

struct fixture {
	char *dir;
	unsigned n_fds;
	struct frozen frozen;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->dir = scratch_make();
	f->n_fds = scratch_count_fds();
	frozen_open(&f->frozen, f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	frozen_close(&f->frozen);
	assert_int_equal(scratch_count_fds(), f->n_fds);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- what it is made of -------------------------------------------------- */

static const struct sqlite_facts facts = {
    .st =
	{
	    .st_dev = 1,
	    .st_ino = 2,
	    .st_size = 3,
	    .st_mtim = {1000, 4},
	    .st_ctim = {1000, 5},
	},
    .frozen_at_ns = 2000 * STILL_NS_PER_S,
    .boot = 6,
    .page_size_bytes = 4096,
    .n_pages = 7,
    .change_counter = 8,
    .max_frame = 9,
    .frame_checksum = {10, 11},
    .salts = {1, 2, 3, 4, 5, 6, 7, 8},
};

static void assert_text(const char *text)
{
	assert_true(strlen(text) > 0);
	assert_true(strlen(text) <= STILL_IDENTITY_MAX_BYTES);
	for (const char *p = text; *p; p++)
		assert_true(isgraph((unsigned char) *p));
}

static void assert_other(const struct sqlite_facts *other)
{
	char want[SQLITE_IDENTITY_BYTES];
	char got[SQLITE_IDENTITY_BYTES];

	sqlite_identity_write(&facts, want);
	sqlite_identity_write(other, got);
	assert_text(got);
	assert_string_not_equal(got, want);
}

#define OTHER(field, value)                         \
	do {                                        \
		struct sqlite_facts other_ = facts; \
                                                    \
		other_.field = (value);             \
		assert_other(&other_);              \
	} while (0)

/* Each of them counts. */
static void every_fact(void **state)
{
	(void) state;
	OTHER(st.st_dev, 2);
	OTHER(st.st_ino, 3);
	OTHER(st.st_size, 4);
	OTHER(st.st_mtim.tv_sec, 999);
	OTHER(st.st_mtim.tv_nsec, 5);
	OTHER(st.st_ctim.tv_sec, 999);
	OTHER(st.st_ctim.tv_nsec, 4);
	OTHER(boot, 7);
	OTHER(page_size_bytes, 8192);
	OTHER(n_pages, 8);
	OTHER(change_counter, 9);
	OTHER(page_checksums, true);
	OTHER(max_frame, 10);
	OTHER(frame_checksum.s0, 11);
	OTHER(frame_checksum.s1, 10);
	for (int i = 0; i < 8; i++)
		OTHER(salts[i], 99);
}

/* No two of them run into one another. */
static void neighbours(void **state)
{
	struct sqlite_facts a = facts;
	struct sqlite_facts b = facts;
	char text[2][SQLITE_IDENTITY_BYTES];

	(void) state;
	a.frame_checksum = (struct sqlite_checksum){0x1, 0x11};
	b.frame_checksum = (struct sqlite_checksum){0x11, 0x1};
	sqlite_identity_write(&a, text[0]);
	sqlite_identity_write(&b, text[1]);
	assert_string_not_equal(text[0], text[1]);
	a = b = facts;
	a.n_pages = 0x12;
	a.change_counter = 0x3;
	b.n_pages = 0x1;
	b.change_counter = 0x23;
	sqlite_identity_write(&a, text[0]);
	sqlite_identity_write(&b, text[1]);
	assert_string_not_equal(text[0], text[1]);
}

static void longest(void **state)
{
	struct sqlite_facts most;
	char text[SQLITE_IDENTITY_BYTES];

	(void) state;
	memset(&most, 0xff, sizeof(most));
	most.page_checksums = true;
	/* The latest time that there is. */
	most.st.st_mtim = (struct timespec){9223372036, 854775807};
	most.st.st_ctim = most.st.st_mtim;
	most.frozen_at_ns = INT64_MAX;
	sqlite_identity_write(&most, text);
	assert_text(text);
	assert_non_null(strstr(text, ":at-7fffffffffffffff"));
}

/* What was written in the tick of a clock, or later than now, may be written
 * again without a trace. */
static void racy(void **state)
{
	static const struct {
		int64_t age_ns;
		bool racy;
	} table[] = {
	    {INT64_C(-10) * HOUR_NS, true},
	    {-1, true},
	    {0, true},
	    {STILL_NS_PER_S, true},
	    {RACY_NS - 1, true},
	    {RACY_NS, false},
	    {HOUR_NS, false},
	};

	(void) state;
	for (size_t i = 0; i < 2 * sizeof(table) / sizeof(table[0]); i++) {
		struct sqlite_facts now = facts;
		struct timespec *time = i % 2 ? &now.st.st_mtim
					      : &now.st.st_ctim;
		int64_t at_ns = now.frozen_at_ns - table[i / 2].age_ns;
		char text[2][SQLITE_IDENTITY_BYTES];

		time->tv_sec = at_ns / STILL_NS_PER_S;
		time->tv_nsec = at_ns % STILL_NS_PER_S;
		sqlite_identity_write(&now, text[0]);
		/* The next freeze, and nothing has happened. */
		now.frozen_at_ns++;
		sqlite_identity_write(&now, text[1]);
		assert_text(text[0]);
		assert_int_equal(
		    strstr(text[0], ":at-") != NULL, table[i / 2].racy);
		if (table[i / 2].racy)
			assert_string_not_equal(text[0], text[1]);
		else
			assert_string_equal(text[0], text[1]);
	}
}

/* ---- real databases ------------------------------------------------------ */

static void sql(struct fixture *f, const char *name, const char *statements)
{
	char out[64];

	app_once(scratch_path(f->dir, name), statements, out, sizeof(out));
}

static void make(struct fixture *f, const char *name, const char *mode)
{
	char statements[512];

	snprintf(statements, sizeof(statements),
	    "PRAGMA page_size = 1024; PRAGMA journal_mode = %s;"
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, n, v BLOB);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c "
	    "WHERE n < 30) INSERT INTO t(n, v) SELECT 1, randomblob(600) "
	    "FROM c;",
	    mode);
	sql(f, name, statements);
}

/* As the last application leaves it. */
static void close_log(struct fixture *f, const char *name)
{
	static const char *const suffixes[] = {"-wal", "-shm"};
	char path[64];

	sql(f, name, "PRAGMA wal_checkpoint(TRUNCATE)");
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s", name, suffixes[i]);
		unlink(scratch_path(f->dir, path));
	}
}

static uint64_t digest_of(struct sqlite_image *image)
{
	uint64_t size = sqlite_image_bytes(image);
	uint8_t *data = malloc((size_t) size + 1);
	struct still_error err = STILL_ERROR_INIT;
	uint64_t digest;

	assert_non_null(data);
	if (size && sqlite_image_read(image, 0, data, (size_t) size, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	digest = still_hash64_seeded(data, (size_t) size, size);
	free(data);
	return digest;
}

/* A freeze that is `later` than it is. */
static void take_later(
    struct fixture *f, const char *name, int64_t later_ns, struct shot *ret)
{
	struct sqlite_image *image = &f->frozen.image;

	frozen_take(&f->frozen, name);
	image->frozen_at_ns += later_ns;
	ret->has = sqlite_identity_of(image, ret->identity);
	ret->digest = image->damage.code ? 0 : digest_of(image);
	frozen_release(&f->frozen);
	if (ret->has)
		assert_text(ret->identity);
}

/* As it is when it has been left alone for long; so a test does not wait. */
static void take(struct fixture *f, const char *name, struct shot *ret)
{
	take_later(f, name, HOUR_NS, ret);
	assert_true(ret->has);
	assert_null(strstr(ret->identity, ":at-"));
}

static bool same(const struct shot *a, const struct shot *b)
{
	return a->has && b->has && strcmp(a->identity, b->identity) == 0;
}

/* Until the clock of the files has moved on. */
static void next_tick(struct fixture *f, const char *name)
{
	struct stat then;
	struct stat now;

	assert_int_equal(stat(scratch_path(f->dir, name), &then), 0);
	do {
		assert_int_equal(
		    scratch_write(scratch_path(f->dir, "tick"), "", 0), 0);
		assert_int_equal(stat(scratch_path(f->dir, "tick"), &now), 0);
	} while (now.st_ctim.tv_sec == then.st_ctim.tv_sec &&
	    now.st_ctim.tv_nsec == then.st_ctim.tv_nsec);
}

/* What a database may look like that is left alone. */
static const struct {
	const char *mode;
	const char *then;
	bool closed;
} idle_states[] = {
    {"WAL", "", false},
    {"WAL", "PRAGMA wal_checkpoint(PASSIVE)", false},
    {"WAL", "PRAGMA wal_checkpoint(TRUNCATE)", false},
    {"WAL", "PRAGMA wal_checkpoint(RESTART); INSERT INTO t(n) VALUES(3)",
	false},
    {"WAL", "", true},
    {"DELETE", "", false},
    {"PERSIST", "", false},
    {"TRUNCATE", "", false},
};

static void left_alone(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(idle_states) / sizeof(idle_states[0]);
	     i++) {
		struct shot shots[3];
		struct app *app;
		char name[16];

		snprintf(name, sizeof(name), "%zu.db", i);
		make(f, name, idle_states[i].mode);
		sql(f, name, idle_states[i].then);
		if (idle_states[i].closed)
			close_log(f, name);
		take(f, name, &shots[0]);
		take(f, name, &shots[1]);
		/* Readers are nobody's business. */
		app = app_open(scratch_path(f->dir, name));
		app_sql(app, "BEGIN; SELECT count(*) FROM t");
		take(f, name, &shots[2]);
		app_close(app);
		for (int k = 1; k < 3; k++) {
			assert_string_equal(
			    shots[k].identity, shots[0].identity);
			assert_true(shots[k].digest == shots[0].digest);
		}
	}
}

/* A file of no bytes is a database too. */
static void empty(void **state)
{
	struct fixture *f = *state;
	struct shot before;
	struct shot after;

	assert_int_equal(scratch_write(scratch_path(f->dir, "a.db"), "", 0), 0);
	take(f, "a.db", &before);
	take(f, "a.db", &after);
	assert_true(same(&before, &after));
	make(f, "a.db", "DELETE");
	take(f, "a.db", &after);
	assert_false(same(&before, &after));
}

/* Just written: it is not believed, until it is left alone. */
static void just_written(void **state)
{
	static const char *const modes[] = {"WAL", "DELETE"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		struct shot before;
		struct shot after;
		char name[16];

		snprintf(name, sizeof(name), "%zu.db", i);
		make(f, name, modes[i]);
		sql(f, name, "PRAGMA wal_checkpoint(TRUNCATE)");
		take_later(f, name, 0, &before);
		take_later(f, name, 0, &after);
		assert_non_null(strstr(before.identity, ":at-"));
		assert_false(same(&before, &after));
		assert_true(before.digest == after.digest);
	}
}

/* ---- what is done between two freezes ------------------------------------ */

static void commit(struct fixture *f)
{
	sql(f, "a.db", "UPDATE t SET n = n + 1 WHERE id = 7");
}

static void commit_and_write_back(struct fixture *f)
{
	sql(f, "a.db",
	    "UPDATE t SET n = n + 1 WHERE id = 7;"
	    "PRAGMA wal_checkpoint(TRUNCATE)");
}

static void commit_and_close(struct fixture *f)
{
	commit(f);
	close_log(f, "a.db");
}

static void write_back(struct fixture *f)
{
	sql(f, "a.db", "PRAGMA wal_checkpoint(PASSIVE)");
}

static void restart(struct fixture *f)
{
	sql(f, "a.db", "PRAGMA wal_checkpoint(TRUNCATE)");
}

static void close_it(struct fixture *f)
{
	close_log(f, "a.db");
}

/* Back and forth, so that what it holds stays what it was. */
static void nothing_gained(struct fixture *f)
{
	sql(f, "a.db",
	    "UPDATE t SET n = n + 1 WHERE id = 7;"
	    "UPDATE t SET n = n - 1 WHERE id = 7");
}

static void vacuum(struct fixture *f)
{
	sql(f, "a.db", "DELETE FROM t WHERE id % 3 = 0; VACUUM");
}

static void other_mode(struct fixture *f)
{
	sql(f, "a.db", "PRAGMA journal_mode = DELETE");
	sql(f, "a.db", "PRAGMA journal_mode = WAL");
}

static void touch(struct fixture *f)
{
	const char *path = scratch_path(f->dir, "a.db");
	struct timespec times[2] = {{0, UTIME_OMIT}, {1500000000, 0}};

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void set_mtime_of(const char *path, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};

	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* By another of the same size and mtime, that is not the same. */
static void replace(struct fixture *f)
{
	const char *path = scratch_path(f->dir, "a.db");
	const char *other = scratch_path(f->dir, "other.db");
	struct stat st;
	char *data;
	int fd;

	assert_int_equal(stat(path, &st), 0);
	data = malloc((size_t) st.st_size);
	assert_non_null(data);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, data, (size_t) st.st_size, 0), st.st_size);
	close(fd);
	data[st.st_size - 1] ^= 1;
	assert_int_equal(scratch_write(other, data, (size_t) st.st_size), 0);
	free(data);
	set_mtime_of(other, &st);
	assert_int_equal(rename(other, path), 0);
}

/* In its place, behind SQLite's back, and the mtime is put back. */
static void overwrite(struct fixture *f)
{
	const char *path = scratch_path(f->dir, "a.db");
	struct stat st;
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &byte, 1, st.st_size - 1), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 1), 1);
	close(fd);
	set_mtime_of(path, &st);
}

enum wanted {
	OTHER_IDENTITY,
	EITHER /* the bytes are the same, and so may it be */
};

static const struct {
	const char *name;
	const char *mode;
	bool closed; /* before */
	void (*act)(struct fixture *f);
	enum wanted wanted;
} steps[] = {
    {"commit, WAL", "WAL", false, commit, OTHER_IDENTITY},
    {"commit, closed WAL", "WAL", true, commit, OTHER_IDENTITY},
    {"commit, rollback", "DELETE", false, commit, OTHER_IDENTITY},
    {"commit and write back", "WAL", false, commit_and_write_back,
	OTHER_IDENTITY},
    {"commit and write back, closed", "WAL", true, commit_and_write_back,
	OTHER_IDENTITY},
    {"commit and close", "WAL", true, commit_and_close, OTHER_IDENTITY},
    {"back and forth, WAL", "WAL", false, nothing_gained, OTHER_IDENTITY},
    {"back and forth, rollback", "DELETE", false, nothing_gained,
	OTHER_IDENTITY},
    {"write back", "WAL", false, write_back, EITHER},
    {"restart", "WAL", false, restart, EITHER},
    {"close", "WAL", false, close_it, EITHER},
    {"close again", "WAL", true, close_it, EITHER},
    {"vacuum, WAL", "WAL", false, vacuum, OTHER_IDENTITY},
    {"vacuum, rollback", "DELETE", false, vacuum, OTHER_IDENTITY},
    {"other mode", "WAL", false, other_mode, OTHER_IDENTITY},
    {"touch, WAL", "WAL", false, touch, EITHER},
    {"touch, rollback", "DELETE", false, touch, EITHER},
    {"replace, closed WAL", "WAL", true, replace, OTHER_IDENTITY},
    {"replace, rollback", "DELETE", false, replace, OTHER_IDENTITY},
    {"overwrite, closed WAL", "WAL", true, overwrite, OTHER_IDENTITY},
    {"overwrite, rollback", "DELETE", false, overwrite, OTHER_IDENTITY},
};

static void one_step(void **state)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct fixture *f;
		struct shot before;
		struct shot after;

		assert_int_equal(setup(state), 0);
		f = *state;
		make(f, "a.db", steps[i].mode);
		if (steps[i].closed)
			close_log(f, "a.db");
		take(f, "a.db", &before);
		next_tick(f, "a.db");
		steps[i].act(f);
		take(f, "a.db", &after);
		if (steps[i].wanted == EITHER)
			assert_true(before.digest == after.digest);
		else if (same(&before, &after))
			fail_msg("%s: the same identity", steps[i].name);
		assert_int_equal(teardown(state), 0);
	}
}

/* Within one tick of the files' clock what follows can only be told by what
 * SQLite itself leaves behind; it is what the racy rule is for. */
static void many_in_a_tick(void **state)
{
	struct fixture *f = *state;
	struct app *app;
	struct shot last = {.has = false};

	make(f, "a.db", "DELETE");
	app = app_open(scratch_path(f->dir, "a.db"));
	for (int i = 0; i < 50; i++) {
		struct shot shot;

		app_sql(app, "UPDATE t SET n = n + 1 WHERE id = 7");
		take(f, "a.db", &shot);
		assert_false(same(&shot, &last));
		assert_true(shot.digest != last.digest);
		last = shot;
	}
	app_close(app);
}

/* ---- none ---------------------------------------------------------------- */

static void damaged(void **state)
{
	struct fixture *f = *state;
	struct app *probe = app_open("");
	struct app *app;
	struct shot shot;
	struct stat st;

	make(f, "a.db", "WAL");
	/* Or the log would be taken to end before the damage. */
	app = app_open(scratch_path(f->dir, "a.db"));
	app_sql(app, "SELECT count(*) FROM t");
	assert_int_equal(stat(scratch_path(f->dir, "a.db-wal"), &st), 0);
	app_flip(probe, scratch_path(f->dir, "a.db-wal"), st.st_size - 100);
	take_later(f, "a.db", HOUR_NS, &shot);
	assert_false(shot.has);
	app_close(app);
	app_close(probe);
}

static void refused(void **state)
{
	struct fixture *f = *state;
	struct still_error why = STILL_ERROR_INIT;
	char identity[SQLITE_IDENTITY_BYTES];
	struct stat st;

	make(f, "a.db", "WAL");
	assert_int_equal(stat(scratch_path(f->dir, "a.db"), &st), 0);
	still_error_set(&why, STILL_ERR_BUSY, 0, NULL, "is locked");
	assert_int_equal(
	    sqlite_image_refuse(&f->frozen.image, "a.db", &st, &why, NULL), 0);
	assert_false(sqlite_identity_of(&f->frozen.image, identity));
	still_error_clear(&why);
}

static int fail_fstat(enum still_sys_call call)
{
	return call == STILL_SYS_FSTAT ? EIO : 0;
}

static void not_to_be_had(void **state)
{
	struct fixture *f = *state;
	char identity[SQLITE_IDENTITY_BYTES];

	make(f, "a.db", "WAL");
	frozen_take(&f->frozen, "a.db");
	still_sys_fault = fail_fstat;
	assert_false(sqlite_identity_of(&f->frozen.image, identity));
	still_sys_fault = NULL;
	assert_true(sqlite_identity_of(&f->frozen.image, identity));
}

/* ---- whatever an application does ---------------------------------------- */

#define DATABASES 40
#define ROUNDS 8

static void act(struct fixture *f, const char *name, uint64_t *random)
{
	static const char *const statements[] = {
	    "UPDATE t SET n = n + 1 WHERE id = 7",
	    ("UPDATE t SET n = n + 1 WHERE id = 7;"
	     "PRAGMA wal_checkpoint(TRUNCATE)"),
	    "INSERT INTO t(n, v) VALUES(5, randomblob(2000))",
	    "DELETE FROM t WHERE id % 5 = 2",
	    "PRAGMA wal_checkpoint(PASSIVE)",
	    "PRAGMA wal_checkpoint(RESTART)",
	    "PRAGMA journal_mode = DELETE",
	    "PRAGMA journal_mode = WAL",
	    "VACUUM",
	    "BEGIN; UPDATE t SET n = n + 1; ROLLBACK",
	};
	const size_t n = sizeof(statements) / sizeof(statements[0]);
	size_t what = (size_t) scratch_below(random, n + 8);

	if (what < n)
		sql(f, name, statements[what]);
	else if (what == n)
		close_log(f, name);
	else if (what == n + 1)
		assert_int_equal(
		    utimensat(AT_FDCWD, scratch_path(f->dir, name), NULL, 0),
		    0);
}

/* Each freeze of a database against all its earlier ones. */
static unsigned compare(const struct shot *shots, size_t n)
{
	unsigned n_same = 0;

	for (size_t i = 0; i + 1 < n; i++) {
		if (!same(&shots[i], &shots[n - 1]))
			continue;
		assert_true(shots[i].digest == shots[n - 1].digest);
		n_same++;
	}
	return n_same;
}

static void whatever_happens(void **state)
{
	static struct shot shots[DATABASES][2 * ROUNDS];
	struct fixture *f = *state;
	uint64_t random = scratch_seed();
	unsigned n_same = 0;
	char name[16];

	for (int i = 0; i < DATABASES; i++) {
		snprintf(name, sizeof(name), "%d.db", i);
		make(f, name, i % 3 ? "WAL" : "DELETE");
	}
	for (int round = 0; round < ROUNDS; round++) {
		size_t n = 2 * (size_t) round;

		/* Some are frozen when they were just written, and all when
		 * their times can be believed. */
		for (int i = 0; i < DATABASES; i++) {
			snprintf(name, sizeof(name), "%d.db", i);
			act(f, name, &random);
			take_later(f, name, 0, &shots[i][n]);
			n_same += compare(shots[i], n + 1);
			if (scratch_below(&random, 4) == 0)
				act(f, name, &random);
		}
		still_sys_sleep_ns(RACY_NS + 50 * 1000 * 1000);
		for (int i = 0; i < DATABASES; i++) {
			snprintf(name, sizeof(name), "%d.db", i);
			take_later(f, name, 0, &shots[i][n + 1]);
			assert_null(strstr(shots[i][n + 1].identity, ":at-"));
			n_same += compare(shots[i], n + 2);
		}
	}
	printf("%d freezes, %u of them like one before\n",
	    DATABASES * 2 * ROUNDS, n_same);
	/* Or nothing was asked. */
	assert_true(n_same > DATABASES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_fact),
	    cmocka_unit_test(neighbours),
	    cmocka_unit_test(longest),
	    cmocka_unit_test(racy),
	    TEST(left_alone),
	    TEST(empty),
	    TEST(just_written),
	    cmocka_unit_test(one_step),
	    TEST(many_in_a_tick),
	    TEST(damaged),
	    TEST(refused),
	    TEST(not_to_be_had),
	    TEST(whatever_happens),
	};
	int rc = app_main(argc, argv);

	if (rc >= 0)
		return rc;
	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
